"""What is told of a run: the report with its evidence, and what each owner hears. Reads the store only; needs no cloud."""

from __future__ import annotations

from typing import Any

from drkit import api, evidence, letters, results
from drkit.errors import DrkitError
from drkit.estate import Assessment, Snapshot
from drkit.runbook import Runbook
from drkit.workplace import Desk


def report(desk: Desk, run: str = "latest") -> dict[str, Any]:
    """What a run did, what became of each environment, and the evidence, as plain values (``report/1``)."""
    standing = api.status(desk, run)
    found = results.report(
        standing.run,
        standing.runbook,
        standing.digest,
        standing.state,
        outcome=standing.outcome,
        reason=standing.reason,
        since=standing.since,
        objective_minutes=desk.settings.objectives.recovery_time_minutes,
    )
    records = desk.store.records(standing.run)
    return {
        **found,
        **evidence.gather(standing.runbook, records, _planned_on(desk, standing.runbook)),
    }


def owners(desk: Desk, run: str = "latest") -> tuple[str, list[letters.Letter], bool]:
    """The run's name, what each owner is told of it, and whether it was on a simulator."""
    standing = api.status(desk, run)
    told = letters.letters(standing.runbook, standing.state, _looked(desk, standing.runbook))
    return standing.run, told, standing.runbook.made_against.simulated


def _looked(desk: Desk, book: Runbook) -> str:
    """When the snapshot that a runbook was planned on was taken, where the store still has it whole."""
    try:
        found = desk.store.of_digest(Snapshot, book.of_snapshot)
    except DrkitError:
        return ""
    return found.taken if found else ""


def _planned_on(desk: Desk, book: Runbook) -> Assessment | None:
    """The assessment that a runbook was planned on, where the store still has it whole."""
    try:
        return desk.store.of_digest(Assessment, book.of_assessment)
    except DrkitError:
        return None
