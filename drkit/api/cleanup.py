"""``cleanup``: from runs that have ended to the runbook that deletes what they left behind."""

from __future__ import annotations

from collections.abc import Mapping

from drkit.api import history
from drkit.api.context import Context
from drkit.api.ended_runs import ended, evidence, keep
from drkit.api.plan import Planned
from drkit.errors import RefusedError, UsageError
from drkit.model.ids import ArmId
from drkit.planning import leftovers
from drkit.planning.cleanup import cleanup_runbook
from drkit.products import registry


def cleanup(context: Context, run: str, *, discard: Mapping[str, str] | None = None, out: str | None = None) -> Planned:
    """The runbook that deletes, by id, what ``run`` left behind or made and nothing needs any more.

    ``discard``: name or id of an environment whose unpushed work may go -> why. RefusedError (4) while the run is unfinished, its
    region has not returned, another run went back since, or nothing is to be done; each says which.
    """
    for name, reason in (discard or {}).items():
        if not reason.strip():
            raise UsageError(f"discarding {name} needs a reason", remedy="--reason TEXT: the approver reads it")
    runs = ended(context, run)
    record = runs.last
    if record.book.kind == "cleanup":
        raise RefusedError(
            f"{record.run} is a cleanup itself",
            remedy=f"`drkit cleanup {record.book.source_run}` looks at that run again",
        )
    every_run = context.store.run_records()
    for other in every_run:
        if other.book.kind == "failback" and other.book.source_run in runs.names and not history.over(other.state):
            raise RefusedError(
                f"{record.run} goes back, or went, as {other.run}",
                remedy=f"`drkit cleanup {other.run}` cleans up after both",
            )
    known = evidence(context, runs)
    deferred = [item for item in leftovers.open_items(every_run) if item.run in runs.names]
    # What a failover made is in use while its environments are there. Once they went back, its failback has deferred it.
    made = runs.made if record.book.kind == "failover" and not deferred else []
    deleted = {
        ArmId(step.target)
        for other in every_run
        for step in other.book.steps
        if step.effect == "delete" and other.state.of(step.id).status == "done"
    }
    book = cleanup_runbook(
        known.snapshot,
        known.assessment,
        context.settings,
        registry(),
        known.provenance,
        deferred=deferred,
        made=[item for item in made if ArmId(item.id) not in deleted],
        recorded=runs.recorded,
        discard=discard,
    )
    return keep(context, book, out)
