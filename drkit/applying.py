"""An approved runbook carried out, gone on with, and talked to while it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drkit import cloud as clouds
from drkit import estate, handover, history, journal, linked
from drkit.clock import Clock, parse_time, rfc3339
from drkit.errors import LockedError, RefusedError, UsageError
from drkit.estate import Assessment
from drkit.journal import RunState
from drkit.kept import Approval, Message, message_fault, who
from drkit.planning import Planned, observed, show
from drkit.products import actions, actors
from drkit.runbook import Runbook
from drkit.standing import DONE, begun, closed
from drkit.version import __version__
from drkit.workplace import Desk

if TYPE_CHECKING:
    from drkit.execution.runner import Event

MOST_WAIT_MINUTES = 7 * 24 * 60.0
EXIT = {"succeeded": 0, "succeeded-with-exceptions": 0, "failed": 1, "partial": 3}


@dataclass(frozen=True)
class Applied:
    """How a run stands after ``apply`` or ``resume``: its outcome, why, and the exit code that says so."""

    run: str
    outcome: str
    reason: str
    exit_code: int


async def apply(
    desk: Desk,
    name: str = "latest",
    *,
    yes: bool = False,
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Carry out an approved runbook as a new run. RefusedError (4) when it is not approved, edited, or already carried out."""
    from drkit.execution import apply as execution

    shown = show(desk, name)
    book = shown.runbook
    clouds.check_same(book.made_against, desk.cloud, str(shown.path))
    observed(shown)
    execution.check_scripts(book)
    clock = desk.clock
    approved = approval_for(desk, shown, clock, yes=yes)
    job = _job(desk, book, shown.digest, wait_minutes, on_event)
    execution.check_guards(job)
    with desk.store.lock_runbook(shown.digest, rfc3339(clock.now())):
        _not_begun(desk, shown)
        linked.not_superseded(desk, book)
        if book.rebases:
            linked.not_replaced(desk, book.rebases)
        desk.store.keep_runbook(shown.content)
        since = _outage_since(desk, book)
        run = desk.store.new_run()
        started = {"since": since, "version": __version__, "minimum_share": desk.settings.run.minimum_share}
        try:
            ending = await execution.begin(job, run, clock, started, approved)
        except LockedError:
            desk.store.drop_unbegun(run)
            raise
    return Applied(run, ending.outcome, ending.reason, EXIT[ending.outcome])


def _not_begun(desk: Desk, shown: Planned) -> None:
    """RefusedError when a run of these bytes is there: who began it, when, and how it stands."""
    for other in desk.store.runs():
        state = desk.store.state(other)
        if state.runbook == shown.digest:
            done = state.outcome in DONE
            how = state.outcome or "it has not ended"
            raise RefusedError(
                f"this runbook {'was' if done else 'is being'} carried out as {other}, by {state.holder} since {state.started} ({how})",
                where=str(shown.path),
                remedy="`drkit assess` and `drkit plan` for what is left" if done else f"`drkit resume {other}`",
            )


async def resume(
    desk: Desk,
    run: str = "latest",
    *,
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Go on with a run, whatever ended it. Failed and drifted steps are looked at again. Nothing is done twice."""
    from drkit.execution import apply as execution

    name = desk.store.journal_path(run).stem
    state = begun(desk, name)
    shown = show(desk, state.runbook)
    journal.disbelieve(state, shown.runbook.asking)
    if state.outcome in DONE:
        return Applied(name, state.outcome, "it had ended already", EXIT[state.outcome])
    _still_wanted(desk, name, shown.runbook, state)
    linked.not_superseded(desk, shown.runbook, name)
    clouds.check_same(shown.runbook.made_against, desk.cloud, str(shown.path))
    execution.check_scripts(shown.runbook)
    job = _job(desk, shown.runbook, shown.digest, wait_minutes, on_event)
    execution.check_guards(job)
    ending = await execution.resume(job, name, desk.clock)
    return Applied(name, ending.outcome, ending.reason, EXIT[ending.outcome])


def _still_wanted(desk: Desk, name: str, book: Runbook, state: RunState) -> None:
    """RefusedError for a run that was aborted and left no host in doubt, or whose rest another run has begun to carry out."""
    linked.not_replaced(desk, name)
    if closed(book, state):
        raise RefusedError(
            f"{name} has ended: {state.stopped}",
            remedy=f"`drkit assess`, then `drkit plan --rebase {name}` for what is left",
        )


def _job(desk: Desk, book: Runbook, digest: str, wait_minutes: float | None, on_event: Callable[[Event], None]) -> Any:
    from drkit.execution.apply import Job

    wait = desk.settings.run.answer_wait_minutes if wait_minutes is None else wait_minutes
    if not 0 <= wait <= MOST_WAIT_MINUTES:
        raise UsageError(f"{wait} minutes is not from 0 to a week", remedy="--wait 30")
    return Job(
        book,
        digest,
        desk.cloud,
        desk.settings,
        desk.store,
        actors(),
        on_event,
        wait,
        desk.loopback_only,
        desk.principal,
        actions(),
        linked.recorded(desk, book),
    )


def approval_for(desk: Desk, shown: Planned, clock: Clock, *, yes: bool) -> dict[str, Any]:
    """The approval that the journal keeps with a run: ``who`` and ``how``. RefusedError when there is none that holds now."""
    approval = desk.store.approval(shown.digest)
    separate = _separate(desk, shown, approval, yes=yes) if desk.settings.run.separate_approver else {}
    if approval is not None and parse_time(approval.until) > clock.now():
        how = "authenticated" if approval.authenticated else "unauthenticated: a folder store cannot say who wrote it"
        return {
            "who": approval.who,
            "how": how,
            "when": approval.when,
            "until": approval.until,
            "note": approval.note,
            **separate,
        }
    if yes:
        return {"who": who(), "how": "self-approved with --yes", "when": rfc3339(clock.now())}
    what = "is not approved" if approval is None else f"was approved until {approval.until} only"
    raise RefusedError(
        what, where=f"runbook {shown.digest[:12]}", remedy=f"`drkit show` it, then `drkit approve {shown.digest[:12]}`"
    )


def _separate(desk: Desk, shown: Planned, approval: Approval | None, *, yes: bool) -> dict[str, Any]:
    """That another approved than carries out, and whether the store's permissions prove it; RefusedError when it is not so."""
    asked = "[run] separate_approver asks for somebody else's approval"
    if yes and approval is None:
        raise RefusedError(f"{asked}, so --yes is refused", remedy=f"let another `drkit approve {shown.digest[:12]}`")
    if approval is not None and approval.who == who():
        raise RefusedError(
            f"{asked}, and {approval.who} carries it out as well",
            remedy=f"let another `drkit approve {shown.digest[:12]}`",
        )
    proved = desk.store.approved_by_another(shown.digest)
    by_name = "by name only: who carries this out may write approvals here too"
    return {"separate": "the store lets nobody approve who carries this out" if proved else by_name}


def _outage_since(desk: Desk, book: Runbook) -> str:
    """The first sign of the outage, as the assessment behind a runbook has it; empty when that is not in the store."""
    if book.of_run:
        return ""
    assessed = desk.store.of_digest(Assessment, book.of_assessment)
    if assessed is None:
        return ""
    moments = [
        history.cutoff(finding.failing_since, assessed.claims, book.source_plans[plan])
        for finding in assessed.plans
        for plan in book.source_plans
        if estate.same_id(plan, finding.plan)
    ]
    known = [moment for moment in moments if moment]
    return min(known, key=parse_time) if known else ""


def answer(desk: Desk, run: str, step: str, text: str = "done") -> str:
    """Tell a run that a person did, or is ready for, what a step asks. Returns the step's id."""
    return _tell(desk, run, "answer", step, text)


def skip(desk: Desk, run: str, step: str, reason: str) -> str:
    """Leave a step out, with a reason that the journal keeps. Returns the step's id."""
    if not reason.strip():
        raise UsageError("skipping needs a reason", remedy="--reason TEXT: the journal keeps it")
    return _tell(desk, run, "skip", step, reason)


def _tell(desk: Desk, run: str, what: str, step: str, text: str) -> str:
    name = desk.store.journal_path(run).stem
    state = begun(desk, name)
    book = show(desk, state.runbook).runbook
    found = book.find(step)
    known = state.of(found.id)
    if known.status in ("done", "skipped"):
        raise RefusedError(f"{found.id} is {known.status} already", remedy=f"`drkit status {name}`")
    linked.not_replaced(desk, name)
    if closed(book, state):
        raise RefusedError(f"{name} has ended: {state.stopped or state.outcome}", remedy=f"`drkit report {name}`")
    if what == "skip" and (why := handover.refusal(book, state, found)):
        raise RefusedError(
            why,
            where=found.id,
            remedy=f"`drkit resume {name}` finishes it; `drkit abort {name} --reason TEXT` begins nothing else",
        )
    if what == "answer" and found.effect != "ask":
        raise RefusedError(f"{found.id} asks nothing", remedy=f"`drkit status {name}` lists what waits for a person")
    send(desk, name, Message(what=what, step=found.id, text=text, who=who(), when=rfc3339(desk.clock.now())))
    return found.id


def send(desk: Desk, run: str, message: Message) -> None:
    """Leave a message for a run; UsageError for one that the run would ignore, whatever its steps."""
    if fault := message_fault(message):
        raise UsageError(fault, remedy="say it in other words: the run would ignore this")
    desk.store.send(run, message)
