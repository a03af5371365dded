"""One life of a process that carries out a run: forked from a warmed parent, ended by SIGKILL at a given journal record.

The parent is multiprocessing's fork server, which has imported drkit and has no threads, so that a child begins at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from drkit.api import apply
from drkit.api.context import Context
from drkit.errors import DrkitError
from drkit.model import cloud as clouds
from drkit.model import settings
from drkit.model.clock import parse_time
from drkit.products import tables
from drkit.store.store import Store
from tests.support import azurite, forked
from tests.support.patience import PATIENCE

Death = Literal["after", "before", "torn", "told"]
DEATHS: tuple[Death, ...] = ("after", "before", "torn")
FORMALITIES = frozenset({"started", "taken-over", "repaired"})
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Life:
    """How a process lives: SIGKILL at its so-many-th record (0: never), before it, torn in its middle, or once it is durable.

    ``told`` is SIGTERM once that record is durable, and the process goes on.

    ``minutes``: how far its clock is off. Records that only say a process took over are not counted. ``at``: the kind of a record
    and the end of its step's id: SIGKILL at the first such record instead.
    """

    records: int = 0
    death: Death = "after"
    minutes: float = 0.0
    at: tuple[str, str] | None = None


@dataclass(frozen=True)
class Place:
    """Where a process works: the simulator's ready file, the folder with drkit.toml, the store, the runbook's digest."""

    ready: str
    folder: str
    store: str
    digest: str
    variables: tuple[tuple[str, str], ...] = ()
    """Environment variables of the process: where secrets come from."""


def store_of(name: str) -> Any:
    """A store by its name: a folder, or an account's address."""
    if name.startswith("http"):
        from drkit.providers import blob_store

        return blob_store.open_store(name, seconds=15)
    return Store(Path(name))


def live(place: Place, life: Life) -> None:
    """The process: ``apply`` where nothing began, else ``resume``. Leaves with drkit's exit code."""
    log = os.open(Path(place.folder) / "out.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(place.variables)
    if place.store.startswith("http"):
        os.environ[azurite.KEY] = azurite.SECRET
        os.environ["XDG_CACHE_HOME"] = str(Path(place.folder) / "cache")
    sys.exit(_exit_code(place, life))


def _within(variables: dict[str, str], function: Callable[..., None], *arguments: Any) -> None:
    """Call the function with these environment variables, not with those that the fork server began with."""
    os.environ.clear()
    os.environ.update(variables)
    function(*arguments)


def _exit_code(place: Place, life: Life) -> int:
    cloud = clouds.from_ready_file(Path(place.ready), "of chaos")
    if life.minutes and cloud.clock_spec is not None:
        origin = parse_time(cloud.clock_spec.origin) + timedelta(minutes=life.minutes)
        spec = msgspec.structs.replace(cloud.clock_spec, origin=origin.isoformat())
        cloud = msgspec.structs.replace(cloud, clock_spec=spec)
    store = store_of(place.store)
    if life.records or life.at:
        mortal(store, life)
    context = Context(
        settings.load(Path(place.folder) / "drkit.toml", tables()), store, lambda: cloud, loopback_only=True
    )
    runs = [run for run in store.runs() if store.state(run).runbook == place.digest]
    try:
        if runs:
            return asyncio.run(apply.resume(context, runs[-1], wait_minutes=30)).exit_code
        return asyncio.run(apply.apply(context, place.digest, wait_minutes=30)).exit_code
    except DrkitError as error:
        print(type(error).__name__, error, flush=True)
        return error.exit_code


def mortal(store: Any, life: Life) -> None:
    """Make the journals of this store fatal."""
    opened = store.open_journal

    def open_journal(*arguments: Any) -> Any:
        journal = opened(*arguments)
        journal._write = dying(journal._write, life)
        return journal

    store.open_journal = open_journal


def dying(write: Callable[[bytes], None], life: Life) -> Callable[[bytes], None]:
    """A journal's write that kills its process at a record."""
    left = life.records

    def written(lines: bytes) -> None:
        nonlocal left
        for line in lines.splitlines(keepends=True):
            record = msgspec.json.decode(line)
            if life.at is not None:
                if record["kind"] != life.at[0] or not record["step"].endswith(life.at[1]):
                    continue
            else:
                left -= record["kind"] not in FORMALITIES
                if left > 0:
                    continue
            if life.death == "told":
                write(lines)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            done = lines[: lines.index(line)]
            if life.death == "after":
                write(done + line)
            elif done:
                write(done)
            if life.death == "torn":
                tear(write, line)
            os.kill(os.getpid(), signal.SIGKILL)
        write(lines)

    return written


def tear(write: Callable[[bytes], None], line: bytes) -> None:
    """Half a record, as a write leaves it that was interrupted; where a backend writes whole blocks, nothing."""
    journal: Any = getattr(write, "__self__", None)
    if getattr(journal, "_file", -1) >= 0:
        os.write(journal._file, line[: len(line) // 2])


class Lives:
    """Processes, one after another or at once, from one warmed parent."""

    def __init__(self) -> None:
        self._context = forked.server()

    def begin(self, place: Place, life: Life = Life()) -> Any:
        """Begin one; a multiprocessing.Process."""
        return self.call(live, place, life)

    def call(self, function: Callable[..., None], *arguments: Any) -> Any:
        """Begin a process that calls the function, with the environment variables that this one has now."""
        process = self._context.Process(target=_within, args=(dict(os.environ), function, *arguments))
        process.start()
        return process

    def one(self, place: Place, life: Life = Life(), *, seconds: float = PATIENCE) -> int | None:
        """Live one to its end; its exit code, KILLED, or None when it did not come to an end in time (it is killed then)."""
        process = self.begin(place, life)
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            return None
        return int(process.exitcode)
