"""Runs and what links them: what they left behind, which runbook rests on which, and what one has outlived."""

from __future__ import annotations

from drkit import behind, journal
from drkit.clock import parse_time
from drkit.errors import FileError, IntegrityError, RefusedError
from drkit.estate import Snapshot
from drkit.journal import RunState
from drkit.runbook import Runbook
from drkit.workplace import Desk


def told(desk: Desk) -> list[behind.Told]:
    """Every run that can be read, oldest first, with its runbook."""
    found: list[behind.Told] = []
    for run in desk.store.runs():
        try:
            state = desk.store.state(run)
            if state.runbook:
                book = desk.store.runbook(state.runbook)[0]
                journal.disbelieve(state, book.asking)
                found.append(behind.Told(run, book, state))
        except (FileError, RefusedError, IntegrityError):
            continue
    return found


def recorded(desk: Desk, book: Runbook) -> frozenset[str]:
    """The ids that a runbook may delete: what the journal of the run it is linked to left behind or made."""
    if not book.of_run:
        return frozenset()
    state = desk.store.state(book.of_run)
    begun = desk.store.runbook(state.runbook)[0]
    journal.disbelieve(state, begun.asking)
    return behind.recorded(behind.Told(book.of_run, begun, state))


def not_superseded(desk: Desk, book: Runbook, name: str = "") -> None:
    """RefusedError for a cleanup or failback of a run that another failback has taken up since: what it rests on has moved."""
    if not book.of_run:
        return
    for other in told(desk):
        linked = other.book.kind == "failback" and other.book.of_run == book.of_run and other.run != name
        if linked and not over(other.state):
            raise RefusedError(
                f"{book.of_run} goes back, or went, as {other.run}: what this runbook rests on has moved",
                remedy=f"`drkit cleanup {other.run}` deletes what is left after that",
            )


def over(state: RunState) -> bool:
    """Whether a run was given up: aborted, or failed for good."""
    return state.outcome == "failed"


def since_snapshot(desk: Desk, newest: Snapshot) -> str:
    """That a run ended after the snapshot: what it moved is not as recorded there. Empty when none did."""
    ended = [one for one in told(desk) if one.state.ended and parse_time(one.state.ended) > parse_time(newest.taken)]
    backs = [one for one in ended if one.book.kind == "failback"]
    return f"{backs[-1].run} brought back what snapshot {newest.generation} knows otherwise" if backs else ""
