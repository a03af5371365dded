"""What a run needs of a store and of its journals. The store in a folder and the one in an account both have it (decision 0010)."""

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
    """The messages that other processes leave for a run."""

    def inbox(self, run: str, known: Collection[str] = ()) -> list[Received]:
        """What was left for a run, oldest first, without the files of these names."""
        ...

    def obeyed(self, path: Path) -> None:
        """Remove a message that was journaled."""
        ...

    def set_aside(self, path: Path) -> None:
        """Move a message that the run ignores out of its inbox."""
        ...


class RunStore(Inbox, Protocol):
    """Where runs are held: one holder of a run, one of each source plan. LockedError names who has them."""

    folder: Path

    def lock_plans(self, plans: Sequence[str], run: str, now: str) -> AbstractContextManager[Any]:
        """Hold one lock per source plan."""
        ...

    def taken_remarks(self) -> list[str]:
        """What was unusual when locks were taken, in words; each is given once."""
        ...

    def open_journal(self, run: str, clock: Clock) -> HeldJournal:
        """Take a run's journal for this process."""
        ...

    def runs(self) -> list[str]:
        """The names of all runs, oldest first."""
        ...

    def state(self, run: str) -> RunState:
        """The state of a run, as its journal has it."""
        ...
