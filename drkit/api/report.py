"""The report of a run with its evidence, and the notices to owners. Reads only the store."""

from __future__ import annotations

from typing import Any

from drkit.api import status
from drkit.api.context import Context
from drkit.errors import DrkitError
from drkit.execution import owner_notices, report_evidence, results
from drkit.model.estate import Assessment, Snapshot
from drkit.model.summary import described
from drkit.products import actions
from drkit.store.store import File


def report(context: Context, run: str = "latest") -> dict[str, Any]:
    """What a run did, what became of each environment, and the evidence, as plain values (``report/1``).

    Times are RFC 3339, durations seconds. UsageError for an unknown run; RefusedError for one that never began; IntegrityError for a
    broken journal.
    """
    run_status = status.status(context, run)
    value = results.report(
        run_status.run,
        run_status.runbook,
        run_status.digest,
        run_status.state,
        outcome=run_status.outcome,
        reason=run_status.reason,
        since=run_status.since,
        objective_minutes=context.settings.objectives.recovery_time_minutes,
    )
    rows = {described.id: described for described in described(run_status.runbook, actions(), context.settings)}
    for step in value["steps"]:
        row = rows[step["id"]]
        step |= {
            "product": row.product,
            "action": row.action,
            "host": row.host,
            "requests": [{"method": request.method, "target": request.target} for request in row.requests],
            "inputs": row.inputs,
        }
    return {
        **value,
        **report_evidence.gather(
            run_status.runbook, run_status.records, _planned_on(context, Assessment, run_status.runbook.of_assessment)
        ),
    }


def owners(context: Context, run: str = "latest") -> tuple[str, list[owner_notices.OwnerNotice], bool]:
    """The run's name, the notice to each owner, and whether the run was on a simulator. Errors as ``report``."""
    run_status = status.status(context, run)
    looked = _planned_on(context, Snapshot, run_status.runbook.snapshot_digest)
    notices = owner_notices.owner_notices(run_status.runbook, run_status.state, looked.taken if looked else "")
    return run_status.run, notices, run_status.runbook.cloud.simulated


def _planned_on(context: Context, kind: type[File], digest: str) -> File | None:
    """The snapshot or assessment that a runbook was planned on, or None when the store cannot read it any more."""
    try:
        return context.store.of_digest(kind, digest)
    except DrkitError:
        return None
