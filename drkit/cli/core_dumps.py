"""No core dump of a process that holds credentials: it would write their memory to a disk, or hand it to a service of the system."""

from __future__ import annotations

import contextlib
import sys

PR_SET_DUMPABLE = 4


def switch_off() -> None:
    """Switch core dumps of this process off, where the system can; what it starts is not affected on Linux but for the size limit.

    On Linux another process of the same user can then no longer read this one's memory either. Harmless where it is not possible.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        # A dump that goes to a program (core_pattern begins with |) is not held up by the limit.
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
