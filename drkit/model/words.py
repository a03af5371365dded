"""Plain words for the names of verdicts and states. Files and JSON have the names; what people read has both.

``docs/states.md`` lists them, and a test compares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "no-failover": "unaffected",
        "transparent": "failed over, nothing to do",
        "transparent-with-interruption": "restarted, nothing to do",
        "re-register": "must be registered again",
        "host-lost": "lost",
        "region-lost": "lost with its region",
        "undetermined": "cannot be decided",
    }
)
"""Of a host."""
PLAN_STATES: Mapping[str, str] = MappingProxyType(
    {
        "answering": "works",
        "degraded": "works in part",
        "unreachable": "does not answer, no claim",
        "lost": "lost",
        "gone": "deleted",
        "unknown": "cannot be decided",
    }
)
"""Of a plan."""


def verdict(name: str, reason: str = "") -> str:
    """``re-register: must be registered again``. ``reason``: why a verdict is undetermined. A name may hold its reason."""
    return _both(name, VERDICTS.get(name.partition(" (")[0], ""), reason)


def plain(name: str, reason: str = "") -> str:
    """``must be registered again``, without the name of the verdict: for a picture of the whole, not for a command."""
    words = VERDICTS.get(name, name)
    return f"{words} ({reason})" if reason else words


def plan_state(name: str) -> str:
    """``gone: deleted``; a name that is its own word stays alone."""
    return _both(name, PLAN_STATES.get(name, ""))


def _both(name: str, words: str, reason: str = "") -> str:
    shown = f"{name} ({reason})" if reason else name
    return f"{shown}: {words}" if words and words != name else shown
