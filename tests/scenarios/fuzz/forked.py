"""drkit's own ``main`` in a child of this process: everything is imported already, and nothing of one case reaches the next."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import PATIENCE

SECONDS = PATIENCE
"""Real seconds a case may take at the most: whatever waits is meant to end, and simulated minutes are seconds here."""
CPU_SECONDS = 40
MEMORY = 3 << 30


@dataclass(frozen=True)
class Ended:
    """What a command came to: its exit code (negative: a signal), None when it did not end."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str
    seconds: float


def run(words: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float = SECONDS) -> Ended:
    """``drkit WORDS`` in that folder, with that environment and no standard input."""
    out, err = folder / ".fuzz-out", folder / ".fuzz-err"
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_drkit(words, folder, environment, out, err)
    code = _waited(child, began + seconds)
    told = [path.read_bytes().decode("utf-8", "replace") if path.exists() else "" for path in (out, err)]
    for path in (out, err):
        path.unlink(missing_ok=True)
    return Ended(tuple(words), code, told[0], told[1], time.monotonic() - began)


def _waited(child: int, until: float) -> int | None:
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _be_drkit(words: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path) -> None:
    """The child: never returns."""
    code = 99
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, path in ((1, out), (2, err)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(opened, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["drkit", *words]
        from drkit.cli import main

        main.main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(code)
