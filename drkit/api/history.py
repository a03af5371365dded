"""How runs follow one another: which run replaced which, and what that allows."""

from __future__ import annotations

from collections.abc import Iterable

from drkit.api.context import Context
from drkit.errors import RefusedError
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord, RunState
from drkit.model.runbook import Runbook
from drkit.planning import hosts_in_doubt, leftovers

AFRESH = "`drkit assess`, then `drkit plan` registers it again"


def replaced(runs: Iterable[RunRecord]) -> dict[str, str]:
    """For each run that was replaced: the run that carries out its rest. A rebased run is replaced once the new runbook has begun."""
    return {run.book.rebases: run.run for run in runs if run.book.rebases}


def not_replaced(context: Context, run: str) -> None:
    """RefusedError for a run that was replaced: it no longer reads messages."""
    if other := replaced(context.store.run_records()).get(run):
        raise RefusedError(f"the rest of {run} is carried out as {other}", remedy=f"`drkit status {other}`")


def chain(context: Context, run: str) -> tuple[RunRecord, ...]:
    """A run with those that it replaced and those that replaced it, oldest first. What they did counts together."""
    runs = context.store.run_records()
    by_name, later = {record.run: record for record in runs}, replaced(runs)
    first = run
    while first in by_name and by_name[first].book.rebases in by_name:
        first = by_name[first].book.rebases
    linked = []
    while first in by_name:
        linked.append(by_name[first])
        first = later.get(first, "")
    return tuple(linked)


def in_doubt(context: Context) -> list[tuple[hosts_in_doubt.InDoubt, str]]:
    """Hosts that a run released or a person registered by hand, and that no run has proved to be registered since.

    Each with what the latest of these runs knows, and the command to type.
    """
    doubts: dict[ArmId, tuple[hosts_in_doubt.InDoubt, str]] = {}
    runs = context.store.run_records()
    gone = replaced(runs)
    for run in runs:
        for host in hosts_in_doubt.proved(run.book, run.state):
            doubts.pop(ArmId(host), None)
        for doubt in (*hosts_in_doubt.in_doubt(run.book, run.state), *hosts_in_doubt.by_hand(run.book, run.state)):
            doubts[ArmId(doubt.host)] = (doubt, AFRESH if run.run in gone else hosts_in_doubt.remedy((doubt,), run.run))
    return list(doubts.values())


def recorded(context: Context, book: Runbook) -> frozenset[str]:
    """The ids that a runbook may delete: what the journals of its source run and the runs around that one recorded."""
    if not book.source_run:
        return frozenset()
    # The run must be readable: nothing is deleted because of a journal that nobody can read.
    context.store.runbook_of(context.store.state(book.source_run).runbook)
    return frozenset(item for run in chain(context, book.source_run) for item in leftovers.recorded(run))


def not_superseded(context: Context, book: Runbook, name: str = "") -> None:
    """RefusedError for a cleanup or failback whose source run another failback has moved back since."""
    if not book.source_run:
        return
    names = {run.run for run in chain(context, book.source_run)}
    for other in context.store.run_records():
        linked = other.book.kind == "failback" and other.book.source_run in names and other.run != name
        if linked and not over(other.state):
            raise RefusedError(
                f"{book.source_run} goes back, or went, as {other.run}: what this runbook was planned for has moved",
                remedy=f"`drkit cleanup {other.run}` deletes what is left after that",
            )


def over(state: RunState) -> bool:
    """Whether a run was aborted, or failed for good."""
    return state.outcome == "failed"
