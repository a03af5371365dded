"""drkit's commands in separate processes, forked from one that has imported drkit: each begins within milliseconds.

The parent is multiprocessing's fork server, which has no threads and no state of a test. A test of the interpreter's start
(``python -m drkit``, its path, its variables) uses ``tests.support.command_line`` instead.
"""

from __future__ import annotations

import atexit
import io
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

from tests.support.patience import PATIENCE

WARM = ["tests.support.warm", "tests.support.run_process", "tests.support.forked"]
"""What the fork server has imported; its children begin with it."""


def server() -> Any:
    """The context whose processes are forked from the warm one."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(WARM)
    return found


@dataclass(frozen=True)
class Limits:
    """What a process may use before the system ends it: seconds of processor time, bytes of memory."""

    cpu_seconds: int
    memory: int

    def set(self) -> None:
        """Limit this process."""
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu_seconds, self.cpu_seconds))
        resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Command:
    """A running command, with what ``subprocess.Popen`` offers. ``output``: the open file for stdout and stderr."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        output: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.args = ["drkit", *words]
        self._files = [tempfile.TemporaryFile() for _ in range(2)] if output is None else []  # noqa: SIM115  (closed in communicate)
        outputs = [file.fileno() for file in self._files] if output is None else [output, output]
        os.umask(umask := os.umask(0o077))
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123  (it is no path of a test)
            drkit = Drkit(self.args, cwd, env, umask, [nothing.fileno(), *outputs], limits)
            self._process = server().Process(target=drkit, daemon=True)
            self._process.start()
        self.pid = int(self._process.pid)

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        self._process.join(timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def communicate(self) -> tuple[str, str]:
        """What it printed on stdout and stderr, once it has ended."""
        try:
            self.wait()
        finally:
            texts = self.output()
        return texts

    def output(self) -> tuple[str, str]:
        """End it if it still runs; what it printed on stdout and stderr."""
        self.kill()
        self._process.join()
        try:
            out, err = (_content(file) for file in self._files)
        finally:
            for file in self._files:
                file.close()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def run(words: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it printed."""
    command = Command(words, cwd=cwd, env=env)
    out, err = command.communicate()
    return subprocess.CompletedProcess(command.args, command.wait(), out, err)


class Drkit:
    """What a child does: it becomes drkit, as a new interpreter would."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        umask: int,
        streams: Sequence[int],
        limits: Limits | None,
    ) -> None:
        self.words, self.cwd, self.env = list(words), cwd, dict(env)
        self.umask, self.streams, self.limits = umask, streams, limits

    def __getstate__(self) -> dict[str, Any]:
        """Open files go with the message that begins the process."""
        return {**self.__dict__, "streams": [DupFd(number) for number in self.streams]}

    def __call__(self) -> None:
        from drkit.cli import main

        for number, stream in enumerate(self.streams):
            os.dup2(stream.detach(), number)  # type: ignore[attr-defined]
        os.chdir(self.cwd)
        os.umask(self.umask)
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv = self.words
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8")
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "utf-8", "backslashreplace", line_buffering=True
        )
        if self.env.get("PYTHONWARNINGS") == "error":
            warnings.simplefilter("error")
        if self.limits is not None:
            self.limits.set()
        try:
            main.main()
        finally:
            atexit._run_exitfuncs()
