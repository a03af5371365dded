"""Runs and what links them: what they left behind, which runbook rests on which, and what one has outlived."""

from __future__ import annotations

from collections.abc import Iterable

from drkit.api.context import Context
from drkit.errors import RefusedError
from drkit.model.run import RunRecord, RunState
from drkit.model.runbook import Runbook
from drkit.planning import handover, leftovers

AFRESH = "`drkit assess`, then `drkit plan` registers it again"


def replaced(runs: Iterable[RunRecord]) -> dict[str, str]:
    """Run -> the run that carries out its rest, for each that was rebased and whose new runbook was begun."""
    return {one.book.rebases: one.run for one in runs if one.book.rebases}


def not_replaced(context: Context, run: str) -> None:
    """RefusedError for a run whose rest another run has begun to carry out: nothing that is said to it is heard any more."""
    if other := replaced(context.store.run_records()).get(run):
        raise RefusedError(f"the rest of {run} is carried out as {other}", remedy=f"`drkit status {other}`")


def chain(context: Context, run: str) -> tuple[RunRecord, ...]:
    """A run with those that it replaced and those that replaced it, oldest first: what they did counts together."""
    every = context.store.run_records()
    by_name, later = {one.run: one for one in every}, replaced(every)
    first = run
    while first in by_name and by_name[first].book.rebases in by_name:
        first = by_name[first].book.rebases
    found = []
    while first in by_name:
        found.append(by_name[first])
        first = later.get(first, "")
    return tuple(found)


def in_doubt(context: Context) -> list[tuple[handover.InDoubt, str]]:
    """Hosts that some run released, or a person registered by hand, and none proved to be registered since: what that run knows,
    and what to type.

    The latest run's word counts.
    """
    found: dict[str, tuple[handover.InDoubt, str]] = {}
    every = context.store.run_records()
    gone = replaced(every)
    for one in every:
        for host in handover.proved(one.book, one.state):
            found.pop(host.lower(), None)
        for doubt in (*handover.in_doubt(one.book, one.state), *handover.by_hand(one.book, one.state)):
            found[doubt.host.lower()] = (doubt, AFRESH if one.run in gone else handover.remedy((doubt,), one.run))
    return list(found.values())


def recorded(context: Context, book: Runbook) -> frozenset[str]:
    """The ids that a runbook may delete: what the journal of the run it is linked to left behind or made."""
    if not book.source_run:
        return frozenset()
    # The run must be readable: nothing is deleted because of a journal that nobody can read.
    context.store.runbook_of(context.store.state(book.source_run).runbook)
    return frozenset(item for one in chain(context, book.source_run) for item in leftovers.recorded(one))


def not_superseded(context: Context, book: Runbook, name: str = "") -> None:
    """RefusedError for a cleanup or failback of a run that another failback has taken up since: what it rests on has moved."""
    if not book.source_run:
        return
    names = {one.run for one in chain(context, book.source_run)}
    for other in context.store.run_records():
        linked = other.book.kind == "failback" and other.book.source_run in names and other.run != name
        if linked and not over(other.state):
            raise RefusedError(
                f"{book.source_run} goes back, or went, as {other.run}: what this runbook rests on has moved",
                remedy=f"`drkit cleanup {other.run}` deletes what is left after that",
            )


def over(state: RunState) -> bool:
    """Whether a run was given up: aborted, or failed for good."""
    return state.outcome == "failed"
