"""What a failback and a cleanup both start from: runs that have ended, and an assessment from after them."""

from __future__ import annotations

from dataclasses import dataclass

from drkit.api import history, status
from drkit.api import plan as plan_
from drkit.api.context import Context
from drkit.api.plan import Planned
from drkit.errors import RefusedError
from drkit.model import cloud as clouds
from drkit.model import estate, files
from drkit.model.clock import parse_time
from drkit.model.estate import Assessment, Leftover, Snapshot
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord
from drkit.model.runbook import Runbook
from drkit.planning import leftovers
from drkit.planning.cleanup import ANSWERING, refuse_if_empty
from drkit.planning.runbook_builder import Provenance


@dataclass(frozen=True)
class EndedRuns:
    """A run that has ended, with the runs whose rest it carried out, oldest first: the last of them is the run itself."""

    records: tuple[RunRecord, ...]

    @property
    def last(self) -> RunRecord:
        """The run itself."""
        return self.records[-1]

    @property
    def names(self) -> frozenset[str]:
        """The names of all of them."""
        return frozenset(record.run for record in self.records)

    @property
    def made(self) -> list[Leftover]:
        """What they created, each thing once."""
        created = (item for record in reversed(self.records) for item in leftovers.made(record))
        return list({ArmId(item.id): item for item in created}.values())

    @property
    def recorded(self) -> frozenset[str]:
        """The ids that a failback or cleanup of them may delete."""
        return frozenset(item for record in self.records for item in leftovers.recorded(record))


def ended(context: Context, run: str) -> EndedRuns:
    """The run of that name, or the one that carried out its rest, with those before it.

    RefusedError while it is unfinished: its rest is finished, or given up, first; and while a host is in doubt.
    """
    named = status.status(context, run).run
    chain = history.chain(context, named)
    last = status.status(context, chain[-1].run if chain else named)
    clouds.check_same(last.runbook.cloud, context.cloud, last.run)
    if last.outcome == "partial" or not last.state.outcome:
        raise RefusedError(
            f"{last.run} is unfinished: {last.reason}",
            remedy=f"`drkit resume {last.run}`, or `drkit abort {last.run} --reason TEXT`, then `drkit resume {last.run}`",
        )
    return EndedRuns(tuple(chain) or (RunRecord(last.run, last.runbook, last.state),))


@dataclass(frozen=True)
class Evidence:
    """What shows that the regions answer again: an assessment from after the runs, and the snapshot beside it."""

    assessment: Assessment
    snapshot: Snapshot
    provenance: Provenance


def evidence(context: Context, runs: EndedRuns) -> Evidence:
    """The newest assessment, which must be from after these runs, and in which the plans they left answer again."""
    newest = context.store.newest(Assessment)
    end = context.store.records(runs.last.run)[-1].time
    if newest is None or parse_time(newest[0].taken) < parse_time(end):
        raise RefusedError(
            f"the newest assessment is older than the end of {runs.last.run} ({end})",
            remedy="`drkit assess`, then this again",
        )
    assessment, path = newest
    clouds.check_same(assessment.cloud, context.cloud, str(path))
    left_plans = {ArmId(item.plan) for record in runs.records for item in record.book.leftovers if item.plan}
    for finding in assessment.plans:
        if finding.key in left_plans and finding.state not in ANSWERING:
            raise RefusedError(
                f"{finding.key.name} has not returned: it is {finding.state}, {finding.reason}",
                where=finding.plan,
                remedy="`drkit assess` again when its region is back; nothing is written to it before",
            )
    snapshot = plan_.composed(context, assessment)
    digest = estate.digest(files.read(path, limit=files.LARGE))
    made_from = plan_.provenance(context, snapshot, assessment_digest=digest, run=runs.last.run, run_chain=runs.names)
    return Evidence(assessment, snapshot, made_from)


def keep(context: Context, book: Runbook, out: str | None) -> Planned:
    """Keep a runbook in the store, and write it to the file ``out``. RefusedError for one that does nothing."""
    refuse_if_empty(book)
    return plan_.keep(context, book, out)
