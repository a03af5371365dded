"""``failback``: from runs that have ended to the runbook that brings back what they moved."""

from __future__ import annotations

from collections.abc import Sequence

from drkit.api import status
from drkit.api.context import Context
from drkit.api.ended_runs import EndedRuns, ended, evidence, keep
from drkit.api.plan import Planned
from drkit.errors import RefusedError
from drkit.model.clock import parse_time
from drkit.model.estate import Environment, EnvironmentKey
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord
from drkit.planning import leftovers
from drkit.planning.failback import failback_runbook
from drkit.planning.leftovers import MovedEnvironment
from drkit.products import registry


def failback(context: Context, run: str, *, out: str | None = None) -> Planned:
    """The mirror of a failover: the runbook that brings what ``run`` moved back to the plans it came from.

    RefusedError (4) while the run or an earlier way back is unfinished, the region has not returned, the newest assessment is
    older than the run, or everything went back already; each says which.
    """
    runs = ended(context, run)
    record = runs.last
    if record.book.kind != "failover":
        remedies = {
            "failback": f"to leave again, `drkit assess` and `drkit plan`; `drkit cleanup {record.run}` deletes what is left",
            "cleanup": f"`drkit failback {record.book.source_run}` mirrors the run that it cleaned up after",
            "repair": "a repair moves nothing away; `drkit failback` mirrors a failover",
        }
        raise RefusedError(f"{record.run} is a {record.book.kind}, not a failover", remedy=remedies[record.book.kind])
    every_run = context.store.run_records()
    back = _back_already(context, runs, every_run)
    known = evidence(context, runs)
    book = failback_runbook(
        known.snapshot,
        known.assessment,
        context.settings,
        registry(),
        known.provenance,
        moved=_moved(runs),
        back=back,
        origins=_origins(context, runs, every_run),
        made=runs.made,
        recorded=runs.recorded,
    )
    return keep(context, book, out)


def _back_already(context: Context, runs: EndedRuns, every_run: Sequence[RunRecord]) -> set[EnvironmentKey]:
    """The environments that a failback which was given up brought home. RefusedError for one that is unfinished, or done."""
    back: set[EnvironmentKey] = set()
    for other in every_run:
        if other.book.source_run not in runs.names:
            continue
        run_status = status.status(context, other.run)
        if run_status.outcome == "partial":
            raise RefusedError(
                f"{other.run}, the {other.book.kind} of {runs.last.run}, is unfinished: {run_status.reason}",
                remedy=f"`drkit resume {other.run}`, or give it up: `drkit abort {other.run} --reason TEXT`",
            )
        if other.book.kind != "failback":
            continue
        if run_status.outcome in status.DONE:
            raise RefusedError(
                f"{runs.last.run} went back as {other.run}",
                remedy=f"`drkit cleanup {other.run}` deletes what is left after that",
            )
        # What it brought home without finishing goes the same way again, which records the rest.
        back |= {move.key for move in leftovers.moved(other.book, other.state) if move.settled}
    return back


def _moved(runs: EndedRuns) -> list[MovedEnvironment]:
    """What these runs moved, each environment once: what the later run says counts."""
    moves = (move for record in runs.records for move in leftovers.moved(record.book, record.state))
    return list({move.key: move for move in moves}.values())


def _origins(context: Context, runs: EndedRuns, every_run: Sequence[RunRecord]) -> dict[ArmId, Environment]:
    """What the runs moved, as the newest snapshot from before the first of them knew it: environment id -> environment.

    ``every_run``: all runs of the store, oldest first.
    """
    first = runs.records[0]
    started = parse_time(first.state.started)
    before = every_run[: next(number for number, record in enumerate(every_run) if record.run == first.run)]
    origins: dict[ArmId, Environment] = {}
    for snapshot in context.store.snapshots():
        if parse_time(snapshot.taken) <= started:
            # An environment that came back under another id was planned by that id, snapshot or not.
            for known in (snapshot, leftovers.advanced(snapshot, before)):
                origins |= {ArmId(environment.id): environment for environment in known.environments}
    return origins
