"""The way back: ``failback`` returns what a run moved, ``cleanup`` deletes what it left behind. Both write a runbook, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drkit.api import history, status
from drkit.api import plan as plan_
from drkit.api.context import Context
from drkit.api.plan import Planned
from drkit.errors import RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model import estate, files, runbook
from drkit.model.actions import described
from drkit.model.clock import parse_time
from drkit.model.estate import Assessment, Environment, Leftover, Snapshot
from drkit.model.run import RunRecord
from drkit.model.runbook import Runbook
from drkit.planning import cleanup as cleanup_
from drkit.planning import failback as failback_
from drkit.planning import leftovers
from drkit.planning.leftovers import MovedEnvironment
from drkit.planning.runbook_builder import Provenance
from drkit.products import actions, registry


def cleanup(context: Context, run: str, *, discard: Mapping[str, str] | None = None, out: str | None = None) -> Planned:
    """The runbook that deletes, by id, what ``run`` left behind or made and nothing needs any more.

    ``discard``: name or id of an environment whose unpushed work may go -> why. RefusedError (4) while the run is unfinished, its
    region has not returned, another run went back since, or nothing is to be done; each says which.
    """
    for name, reason in (discard or {}).items():
        if not reason.strip():
            raise UsageError(f"discarding {name} needs a reason", remedy="--reason TEXT: the approver reads it")
    record, chain = _ended(context, run)
    names = {one.run for one in chain}
    if record.book.kind == "cleanup":
        raise RefusedError(
            f"{record.run} is a cleanup itself",
            remedy=f"`drkit cleanup {record.book.source_run}` looks at that run again",
        )
    runs = context.store.run_records()
    for other in runs:
        if other.book.kind == "failback" and other.book.source_run in names and not history.over(other.state):
            raise RefusedError(
                f"{record.run} goes back, or went, as {other.run}",
                remedy=f"`drkit cleanup {other.run}` cleans up after both",
            )
    ground = _ground(context, chain)
    items = [one for one in leftovers.open_items(runs) if one.run in names]
    # What a failover made is in use while its environments are there. Once they went back, its failback has deferred it.
    made = _made(chain) if record.book.kind == "failover" and not items else []
    gone = {
        step.target.lower()
        for one in runs
        for step in one.book.steps
        if step.effect == "delete" and one.state.of(step.id).status == "done"
    }
    book = cleanup_.cleanup_runbook(
        ground.snapshot,
        ground.assessment,
        context.settings,
        registry(),
        ground.provenance(context, chain),
        deferred=items,
        made=[one for one in made if one.id.lower() not in gone],
        recorded=_recorded(chain),
        discard=discard,
    )
    cleanup_.refuse_if_empty(book)
    return _kept(context, book, out)


def failback(context: Context, run: str, *, out: str | None = None) -> Planned:
    """The mirror of a failover: the runbook that brings what ``run`` moved back to the plans it came from.

    RefusedError (4) while the run or an earlier way back is unfinished, the region has not returned, the newest assessment is
    older than the run, or everything went back already; each says which.
    """
    record, chain = _ended(context, run)
    names = {one.run for one in chain}
    if record.book.kind != "failover":
        ways = {
            "failback": f"to leave again, `drkit assess` and `drkit plan`; `drkit cleanup {record.run}` deletes what is left",
            "cleanup": f"`drkit failback {record.book.source_run}` mirrors the run that it cleaned up after",
            "repair": "a repair moves nothing away; `drkit failback` mirrors a failover",
        }
        raise RefusedError(f"{record.run} is a {record.book.kind}, not a failover", remedy=ways[record.book.kind])
    back: set[tuple[str, str]] = set()
    runs = context.store.run_records()
    for other in runs:
        if other.book.source_run not in names:
            continue
        standing = status.status(context, other.run)
        if standing.outcome == "partial":
            raise RefusedError(
                f"{other.run}, the {other.book.kind} of {record.run}, is unfinished: {standing.reason}",
                remedy=f"`drkit resume {other.run}`, or give it up: `drkit abort {other.run} --reason TEXT`",
            )
        if other.book.kind == "failback":
            if standing.outcome in status.DONE:
                raise RefusedError(
                    f"{record.run} went back as {other.run}",
                    remedy=f"`drkit cleanup {other.run}` deletes what is left after that",
                )
            # What a failback that was given up brought home without finishing goes the same way again, which records the rest.
            back |= {
                (one.plan.lower(), one.environment.lower())
                for one in leftovers.moved(other.book, other.state)
                if one.settled
            }
    ground = _ground(context, chain)
    book = failback_.failback_runbook(
        ground.snapshot,
        ground.assessment,
        context.settings,
        registry(),
        ground.provenance(context, chain),
        moved=_moved(chain),
        back=back,
        origins=_origins(context, chain, runs),
        made=_made(chain),
        recorded=_recorded(chain),
    )
    cleanup_.refuse_if_empty(book)
    return _kept(context, book, out)


def _moved(chain: Sequence[RunRecord]) -> list[MovedEnvironment]:
    """What these runs moved, each environment once: the later run's word counts."""
    return list(
        {
            (one.plan.lower(), one.environment.lower()): one
            for record in chain
            for one in leftovers.moved(record.book, record.state)
        }.values()
    )


def _made(chain: Sequence[RunRecord]) -> list[Leftover]:
    """What these runs created, each thing once."""
    return list({one.id.lower(): one for record in reversed(chain) for one in leftovers.made(record)}.values())


def _recorded(chain: Sequence[RunRecord]) -> frozenset[str]:
    return frozenset(item for record in chain for item in leftovers.recorded(record))


def _origins(context: Context, chain: Sequence[RunRecord], runs: Sequence[RunRecord]) -> dict[str, Environment]:
    """What the runs of ``chain`` moved, as the newest snapshot from before the first of them knew it: id in lower case -> environment.

    ``runs``: all runs of the store, oldest first.
    """
    started = parse_time(chain[0].state.started)
    before = runs[: next(number for number, one in enumerate(runs) if one.run == chain[0].run)]
    found: dict[str, Environment] = {}
    for taken in context.store.snapshots():
        if parse_time(taken.taken) <= started:
            # An environment that came back under another id was planned by that one, snapshot or not.
            for known in (taken, leftovers.advanced(taken, before)):
                found |= {one.id.lower(): one for one in known.environments}
    return found


@dataclass(frozen=True)
class Ground:
    """What a runbook of the way back rests on: an assessment from after the run, its digest, and the snapshot beside it."""

    assessment: Assessment
    digest: str
    snapshot: Snapshot

    def provenance(self, context: Context, chain: Sequence[RunRecord]) -> Provenance:
        """What a runbook says that goes back from the last run of ``chain``, or cleans up after it."""
        runs = frozenset(record.run for record in chain)
        return plan_.provenance(
            context, self.snapshot, assessment_digest=self.digest, run=chain[-1].run, run_chain=runs
        )


def _ended(context: Context, run: str) -> tuple[RunRecord, tuple[RunRecord, ...]]:
    """A run that has ended, or the one that carried out its rest; and all of these together, oldest first.

    RefusedError while it is unfinished: its rest is finished, or given up, first; and while a host is in doubt.
    """
    named = status.status(context, run).run
    chain = history.chain(context, named)
    standing = status.status(context, chain[-1].run if chain else named)
    clouds.check_same(standing.runbook.cloud, context.cloud, standing.run)
    if standing.outcome == "partial" or not standing.state.outcome:
        raise RefusedError(
            f"{standing.run} is unfinished: {standing.reason}",
            remedy=f"`drkit resume {standing.run}`, or `drkit abort {standing.run} --reason TEXT`, then `drkit resume {standing.run}`",
        )
    record = RunRecord(standing.run, standing.runbook, standing.state)
    return record, chain or (record,)


def _ground(context: Context, chain: Sequence[RunRecord]) -> Ground:
    """The newest assessment, which must be from after these runs, and in which the regions they left answer again."""
    record = chain[-1]
    found = context.store.newest(Assessment)
    last = context.store.records(record.run)[-1].time
    if found is None or parse_time(found[0].taken) < parse_time(last):
        raise RefusedError(
            f"the newest assessment is older than the end of {record.run} ({last})",
            remedy="`drkit assess`, then this again",
        )
    assessed, path = found
    clouds.check_same(assessed.cloud, context.cloud, str(path))
    wanted = {one.plan.lower(): one.plan for run in chain for one in run.book.leftovers if one.plan}
    for plan in assessed.plans:
        if plan.plan.lower() in wanted and plan.state not in cleanup_.ANSWERING:
            raise RefusedError(
                f"{plan.plan.rsplit('/', 1)[-1]} has not returned: it is {plan.state}, {plan.reason}",
                where=plan.plan,
                remedy="`drkit assess` again when its region is back; nothing is written to it before",
            )
    return Ground(assessed, estate.digest(files.read(path, limit=files.LARGE)), plan_.composed(context, assessed))


def _kept(context: Context, book: Runbook, out: str | None) -> Planned:
    content = runbook.encode(book)
    if out:
        plan_.write_out(out, content)
    kept = context.store.keep_runbook(content)
    return Planned(book, content, runbook.digest(content), kept, (), described(book, actions(), context.settings))
