"""What carrying out needs of a store and of its journals: the folder store and the account's both are such (decision 0010)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from drkit.model.clock import Clock
from drkit.model.run import RunState
from drkit.store.journal import Journal
from drkit.store.records import Received


class HeldJournal(Journal, Protocol):
    """A journal that this process holds until the end of its context."""

    run: str
    holder: str
    path: Path
    repaired: bytes
    remarks: list[str]

    def take_over(self) -> None:
        """Become its holder, with a fencing token above every earlier one."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Inbox(Protocol):
    """What other processes say to a run."""

    def inbox(self, run: str, known: Collection[str] = ()) -> list[Received]:
        """What was left for a run, oldest first, without the files of these names."""
        ...

    def obeyed(self, path: Path) -> None:
        """A message was journaled: it need not be read again."""
        ...

    def set_aside(self, path: Path) -> None:
        """What the run ignores goes out of its way."""
        ...


class RunStore(Inbox, Protocol):
    """Where runs are held: one holder of a run, one of each source plan. LockedError names who has them."""

    folder: Path

    def lock_plans(self, plans: Sequence[str], run: str, now: str) -> AbstractContextManager[Any]:
        """Hold one lock per source plan."""
        ...

    def taken_remarks(self) -> list[str]:
        """What was unusual when locks were taken, in words; each is told once."""
        ...

    def open_journal(self, run: str, clock: Clock) -> HeldJournal:
        """Take a run's journal for this process."""
        ...

    def runs(self) -> list[str]:
        """The names of all runs, oldest first."""
        ...

    def state(self, run: str) -> RunState:
        """Where a run stands."""
        ...
