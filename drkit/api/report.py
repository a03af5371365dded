"""What is told of a run: the report with its evidence, and what each owner hears. Reads the store only; needs no cloud."""

from __future__ import annotations

from typing import Any

from drkit.api import status
from drkit.api.context import Context
from drkit.errors import DrkitError
from drkit.execution import evidence, owner_notices, results
from drkit.model.actions import described
from drkit.model.estate import Assessment, Snapshot
from drkit.products import actions
from drkit.store.store import File


def report(context: Context, run: str = "latest") -> dict[str, Any]:
    """What a run did, what became of each environment, and the evidence, as plain values (``report/1``)."""
    standing = status.status(context, run)
    found = results.report(
        standing.run,
        standing.runbook,
        standing.digest,
        standing.state,
        outcome=standing.outcome,
        reason=standing.reason,
        since=standing.since,
        objective_minutes=context.settings.objectives.recovery_time_minutes,
    )
    told = {one.id: one for one in described(standing.runbook, actions(), context.settings)}
    for step in found["steps"]:
        row = told[step["id"]]
        step |= {
            "product": row.product,
            "action": row.action,
            "host": row.host,
            "requests": [{"method": one.method, "target": one.target} for one in row.requests],
            "inputs": row.inputs,
        }
    return {
        **found,
        **evidence.gather(
            standing.runbook, standing.records, _kept(context, Assessment, standing.runbook.of_assessment)
        ),
    }


def owners(context: Context, run: str = "latest") -> tuple[str, list[owner_notices.OwnerNotice], bool]:
    """The run's name, what each owner is told of it, and whether it was on a simulator."""
    standing = status.status(context, run)
    looked = _kept(context, Snapshot, standing.runbook.snapshot_digest)
    told = owner_notices.letters(standing.runbook, standing.state, looked.taken if looked else "")
    return standing.run, told, standing.runbook.cloud.simulated


def _kept(context: Context, kind: type[File], digest: str) -> File | None:
    """The snapshot or assessment that a runbook was planned on, where the store still has it whole."""
    try:
        return context.store.of_digest(kind, digest)
    except DrkitError:
        return None
