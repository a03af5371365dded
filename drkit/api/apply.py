"""``apply`` carries out an approved runbook as a run; ``resume`` continues a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drkit.api import history as history_
from drkit.api.approval import approval_for, check_approved
from drkit.api.context import Context
from drkit.api.plan import Planned, approvable, candidates, observed, show, show_of
from drkit.api.status import DONE, begun, closed
from drkit.errors import LockedError, RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Assessment
from drkit.model.ids import ArmId
from drkit.model.run import RunState, disbelieve
from drkit.model.runbook import Runbook
from drkit.planning import recovery_point
from drkit.products import actions, actors, reading_posts, scripts
from drkit.version import __version__

if TYPE_CHECKING:
    from drkit.execution.events import Event

MOST_WAIT_MINUTES = 7 * 24 * 60.0
EXIT = {"succeeded": 0, "succeeded-with-exceptions": 0, "failed": 1, "partial": 3}


@dataclass(frozen=True)
class Applied:
    """The result of ``apply`` or ``resume``.

    ``outcome``: ``succeeded``, ``succeeded-with-exceptions``, ``failed`` or ``partial`` (it can be resumed); ``reason``: why, as a
    sentence; ``exit_code``: 0, 0, 1 or 3.
    """

    run: str
    outcome: str
    reason: str
    exit_code: int


async def apply(
    context: Context,
    name: str = "latest",
    *,
    yes: bool = False,
    targets: Sequence[str] = (),
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Carry out an approved runbook as a new run, and return when the run has ended or can do nothing more now.

    ``name``: the path of a runbook, at least 8 digits of its digest, or ``latest``. ``yes``: where there is no approval, write one.
    ``targets``, with ``yes``: whole ARM ids of the plans that take over although only a tag names them. ``wait_minutes``: how long to
    wait for people (default: ``[run] answer_wait_minutes``). ``on_event`` is called with each event of the run.

    RefusedError (4) when the runbook is not approved, was changed, was carried out already, or a guard does not pass; LockedError when
    another run holds one of its plans; UsageError for a wait of less than 0 minutes or more than a week.
    """
    from drkit.execution import session as execution

    shown = show(context, name)
    book = shown.runbook
    clouds.check_same(book.cloud, context.cloud, str(shown.path))
    observed(shown)
    execution.check_scripts(book, scripts())
    clock = context.clock
    if not yes or context.settings.run.separate_approver:
        approval_for(context, shown, clock, yes=yes, targets=targets)
    else:
        approvable(context, shown, targets, f"drkit apply {shown.digest[:12]} --yes")
    job = _job(context, book, shown.digest, wait_minutes, on_event)
    execution.check_guards(job)
    with context.store.lock_runbook(shown.digest, rfc3339(clock.now())):
        _not_begun(context, shown)
        history_.not_superseded(context, book)
        if book.rebases:
            history_.not_replaced(context, book.rebases)
        context.store.keep_runbook(shown.content)
        # Last of all checks, because with --yes it writes an approval.
        approved = approval_for(context, shown, clock, yes=yes, targets=targets)
        since = _outage_since(context, book)
        run = context.store.new_run()
        started = {"since": since, "version": __version__, "minimum_share": context.settings.run.minimum_share}
        try:
            ending = await execution.begin(job, run, clock, started, approved)
        except LockedError:
            context.store.drop_unbegun(run)
            raise
    return Applied(run, ending.outcome, ending.reason, EXIT[ending.outcome])


def _not_begun(context: Context, shown: Planned) -> None:
    """RefusedError when a run of these bytes exists: who began it, when, and its state."""
    for other in context.store.runs():
        state = context.store.state(other)
        if state.runbook == shown.digest:
            done = state.outcome in DONE
            how = state.outcome or "it has not ended"
            raise RefusedError(
                f"this runbook {'was' if done else 'is being'} carried out as {other}, by {state.holder} since {state.started} ({how})",
                where=str(shown.path),
                remedy="`drkit assess` and `drkit plan` for what is left" if done else f"`drkit resume {other}`",
            )


async def resume(
    context: Context,
    run: str = "latest",
    *,
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Continue a run, whatever stopped it. Failed and drifted steps are looked at again, and nothing is done twice.

    ``wait_minutes`` and ``on_event`` as in ``apply``. RefusedError when the run never began, has ended for good or was replaced, or when no
    approval from before it began is in the store; LockedError when another process holds it.
    """
    from drkit.execution import session as execution

    name = context.store.journal_path(run).stem
    state = begun(context, name)
    shown = show_of(context, state.runbook)
    disbelieve(state, shown.runbook.asking)
    if state.outcome in DONE:
        return Applied(name, state.outcome, "it had ended already", EXIT[state.outcome])
    _still_wanted(context, name, shown.runbook, state)
    history_.not_superseded(context, shown.runbook, name)
    clouds.check_same(shown.runbook.cloud, context.cloud, str(shown.path))
    execution.check_scripts(shown.runbook, scripts())
    # A run of an older runbook format continues under the rules of that format.
    named = () if shown.runbook.drkit == "runbook/1" else candidates(context, shown.runbook)
    check_approved(context, name, state, context.clock, named)
    job = _job(context, shown.runbook, shown.digest, wait_minutes, on_event)
    execution.check_guards(job)
    ending = await execution.resume(job, name, context.clock)
    return Applied(name, ending.outcome, ending.reason, EXIT[ending.outcome])


def _still_wanted(context: Context, name: str, book: Runbook, state: RunState) -> None:
    """RefusedError for a run that was aborted and left no host in doubt, or whose rest another run has begun to carry out."""
    history_.not_replaced(context, name)
    if closed(book, state):
        raise RefusedError(
            f"{name} has ended: {state.aborted}",
            remedy=f"`drkit assess`, then `drkit plan --rebase {name}` for what is left",
        )


def _job(
    context: Context, book: Runbook, digest: str, wait_minutes: float | None, on_event: Callable[[Event], None]
) -> Any:
    from drkit.execution.session import Job

    wait = context.settings.run.answer_wait_minutes if wait_minutes is None else wait_minutes
    if not 0 <= wait <= MOST_WAIT_MINUTES:
        raise UsageError(f"{wait} minutes is not from 0 to a week", remedy="--wait 30")
    return Job(
        book,
        digest,
        context.cloud,
        context.settings,
        context.store,
        actors(),
        actions(),
        scripts(),
        reading_posts(),
        on_event,
        wait,
        context.loopback_only,
        context.principal,
        history_.recorded(context, book),
    )


def _outage_since(context: Context, book: Runbook) -> str:
    """When the outage was first seen (RFC 3339), by the assessment of a runbook; empty when the store does not have that."""
    if book.source_run:
        return ""
    assessed = context.store.of_digest(Assessment, book.of_assessment)
    if assessed is None:
        return ""
    moments = [
        recovery_point.cutoff(finding.failing_since, assessed.claims, book.source_plans[plan])
        for finding in assessed.plans
        for plan in book.source_plans
        if ArmId(plan) == finding.plan
    ]
    known = [moment for moment in moments if moment]
    return min(known, key=parse_time) if known else ""
