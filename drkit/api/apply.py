"""An approved runbook carried out, gone on with, and talked to while it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drkit.api import history as history_
from drkit.api.context import Context
from drkit.api.plan import Planned, approvable, candidates, observed, show, show_of
from drkit.api.status import DONE, begun, closed
from drkit.errors import FileError, ForbiddenError, LockedError, RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Assessment
from drkit.model.ids import ArmId
from drkit.model.run import RunState, disbelieve
from drkit.model.runbook import Runbook
from drkit.planning import handover, recovery_point, replicas
from drkit.products import actions, actors
from drkit.store import approvals
from drkit.store.records import Approval, Message, message_fault, who
from drkit.version import __version__

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
    context: Context,
    name: str = "latest",
    *,
    yes: bool = False,
    targets: Sequence[str] = (),
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Carry out an approved runbook as a new run. RefusedError (4) when it is not approved, edited, or already carried out.

    ``targets``, with ``yes``: whole ARM ids of the plans that take over though only a tag speaks for them.
    """
    from drkit.execution import session as execution

    shown = show(context, name)
    book = shown.runbook
    clouds.check_same(book.cloud, context.cloud, str(shown.path))
    observed(shown)
    execution.check_scripts(book)
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
        # Here, where nothing else refuses any more: with --yes it writes one.
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
    """RefusedError when a run of these bytes is there: who began it, when, and how it stands."""
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
    """Go on with a run, whatever ended it. Failed and drifted steps are looked at again. Nothing is done twice."""
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
    execution.check_scripts(shown.runbook)
    # A run that was begun with an older runbook goes on by the rules of its time.
    named = () if shown.runbook.drkit == "runbook/1" else candidates(context, shown.runbook)
    look_again(context, name, state, context.clock, named)
    job = _job(context, shown.runbook, shown.digest, wait_minutes, on_event)
    execution.check_guards(job)
    ending = await execution.resume(job, name, context.clock)
    return Applied(name, ending.outcome, ending.reason, EXIT[ending.outcome])


def _still_wanted(context: Context, name: str, book: Runbook, state: RunState) -> None:
    """RefusedError for a run that was aborted and left no host in doubt, or whose rest another run has begun to carry out."""
    history_.not_replaced(context, name)
    if closed(book, state):
        raise RefusedError(
            f"{name} has ended: {state.stopped}",
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
        on_event,
        wait,
        context.loopback_only,
        context.principal,
        actions(),
        history_.recorded(context, book),
    )


def approval_for(
    context: Context, shown: Planned, clock: Clock, *, yes: bool, targets: Sequence[str] = ()
) -> dict[str, Any]:
    """The approval that the journal keeps with a run: ``who``, ``how`` and its file. RefusedError when none holds now.

    ``yes``: where there is none, one of kind self-approved is written, if the store lets this identity do so. With ``[run]
    separate_approver`` that is refused, whatever else is there, and so is one's own approval. It must name each candidate of the runbook.
    """
    separate, now = context.settings.run.separate_approver, clock.now()
    if yes and separate:
        raise RefusedError(f"{SEPARATE}, so --yes is refused", remedy=_by_another(shown.digest))
    found = context.store.approvals(shown.digest)
    open_ones = candidates(context, shown.runbook)
    one = approvals.chosen(found, clock, now, separate=separate, by_yes=yes, targets=open_ones)
    if one is None and yes:
        approvable(context, shown, targets, f"drkit apply {shown.digest[:12]} --yes")
        return _self_approved(context, shown.digest, clock, targets)
    if one is None and approvals.chosen(found, clock, now, separate=separate, by_yes=yes) is not None:
        command = f"drkit approve {shown.digest[:12]}"
        raise replicas.refusal(open_ones, open_ones, command, f"the approval of runbook {shown.digest[:12]}")
    if one is None:
        raise _unapproved(found, shown.digest, clock, separate=separate)
    return _told(context, one, clock)


SEPARATE = "[run] separate_approver asks for somebody else's approval"
SELF_APPROVED = "self-approved with --yes"
SELF_APPROVED_HOURS = 24.0


def _by_another(digest: str) -> str:
    return f"let another `drkit approve {digest[:12]}`"


def _unapproved(found: Sequence[approvals.Found], digest: str, clock: Clock, *, separate: bool) -> RefusedError:
    """Why none of these approvals counts now."""
    faults = [fault for one in found if not approvals.self_approved(one) and (fault := one.doubt(clock, clock.now()))]
    own = next((one for one in found if one.own), None)
    if separate and own and not faults:
        what = f"{SEPARATE}, and {own.who} carries it out as well"
        return RefusedError(what, where=f"runbook {digest[:12]}", remedy=_by_another(digest))
    return RefusedError(
        "; ".join(dict.fromkeys(faults)) or "is not approved",
        where=f"runbook {digest[:12]}",
        remedy=_by_another(digest) if separate else f"`drkit show` it, then `drkit approve {digest[:12]}`",
    )


def _told(context: Context, one: approvals.Found, clock: Clock) -> dict[str, Any]:
    """What the journal keeps of an approval: what the store knows, and what it is worth."""
    assert one.approval is not None  # noqa: S101  # whoever chose it looked
    made, until = one.span(clock)
    proved = context.store.approved_by_another(one)
    told = {
        "who": one.who,
        "how": SELF_APPROVED if approvals.self_approved(one) else worth(one, proved=proved),
        "when": rfc3339(made),
        "until": rfc3339(until),
        "note": one.approval.note,
        "targets": list(one.approval.targets),
        "file": one.path.name,
        "authenticated": proved,
    }
    if context.settings.run.separate_approver:
        others = "the store lets nobody approve who carries this out"
        by = "by the owner of the file" if one.writer else "by name"
        told["separate"] = others if proved else f"{by} only: who carries this out may write approvals here too"
    return told


def worth(one: approvals.Found, *, proved: bool) -> str:
    """What an approval is worth, in words; ``proved``: who carries out cannot have written it."""
    if one.writer:
        return (
            f"authenticated: its file is of {one.writer}, and who carries this out cannot write it"
            if proved
            else "unauthenticated: who carries this out may write approvals in this folder too"
        )
    return (
        "worth the permissions of the container approvals, where who carries this out may not write; the name is claimed"
        if proved
        else "unauthenticated: who carries this out may write the container approvals too; the name is claimed"
    )


def _self_approved(context: Context, digest: str, clock: Clock, targets: Sequence[str]) -> dict[str, Any]:
    """Write the approval of who carries out. RefusedError where the store does not let them."""
    now = clock.now()
    until = rfc3339(now + timedelta(hours=SELF_APPROVED_HOURS))
    approval = Approval(
        digest=digest,
        who=who(),
        when=rfc3339(now),
        until=until,
        kind="self-approved",
        targets=tuple(targets),
    )
    try:
        path = context.store.approve(approval)
    except (FileError, ForbiddenError) as error:
        raise RefusedError(
            f"--yes writes an approval, and this store does not let you: {error.what}",
            where=error.where,
            remedy=f"let somebody who may `drkit approve {digest[:12]}`",
        ) from error
    return {
        "who": who(), "how": SELF_APPROVED, "when": approval.when, "until": until, "note": "", "file": path.name,
        "targets": list(targets),
        "authenticated": False,
    }  # fmt: skip


def look_again(context: Context, name: str, state: RunState, clock: Clock, targets: Collection[str] = ()) -> None:
    """See that a run was approved before it began, in the store's own approvals. RefusedError when it was not.

    For a run that drkit 0.1 began, what a file of that version says of its own times counts as well: a store may have been copied
    since. With ``--yes`` that version left the journal's word only, which whoever writes journals can forge. Without ``[run]
    separate_approver`` an approval that holds now will do then. ``targets``: ARM ids that an approval must name.
    """
    separate, began = context.settings.run.separate_approver, parse_time(state.started)
    found = approvals.naming(context.store.approvals(state.runbook), targets)
    if approvals.chosen(found, clock, began, separate=separate, by_yes=not separate):
        return
    told = [one.data for one in context.store.records(name) if one.kind == "approved"]
    # Later versions name the file of the approval.
    before = bool(told) and "file" not in told[0]
    if before and any(one.claimed_to_hold(began) and not (separate and one.own) for one in found):
        return
    if before and not separate and told[0].get("how") == SELF_APPROVED:
        if approvals.chosen(found, clock, clock.now(), separate=False, by_yes=True):
            return
        raise RefusedError(
            f"the journal of {name} says that drkit 0.1 began it with --yes, and no approval that holds now is in the store; "
            "a journal alone is none",
            where=f"{context.store.address}: approvals",
            remedy=f"`drkit show {state.runbook[:12]}`, and where {name} is yours, `drkit approve {state.runbook[:12]}`, then "
            f"`drkit resume {name}`",
        )
    faults = [fault for one in found if (fault := one.doubt(clock, began))]
    if separate and not faults and any(one.own or approvals.self_approved(one) for one in found):
        faults = [f"{SEPARATE}, and who carries it out approved it"]
    raise RefusedError(
        f"no approval of runbook {state.runbook[:12]} from before {name} began ({state.started}) is in the store"
        f"{': ' if faults else ''}{'; '.join(dict.fromkeys(faults))}",
        where=f"{context.store.address}: approvals",
        remedy="restore the approval with the time it had (`cp -p` keeps it), or `drkit assess`, then "
        f"`drkit plan --rebase {name}` for what is left, with an approval of its own",
    )


def approved(context: Context, shown: Planned) -> bool:
    """Whether a runbook may be carried out now: an approval holds that settings ask for, and names each candidate."""
    digest, open_ones = shown.digest, candidates(context, shown.runbook)
    clock = context.clock
    found = context.store.approvals(digest)
    separate = context.settings.run.separate_approver
    return approvals.chosen(found, clock, clock.now(), separate=separate, by_yes=False, targets=open_ones) is not None


def _outage_since(context: Context, book: Runbook) -> str:
    """The first sign of the outage, as the assessment behind a runbook has it; empty when that is not in the store."""
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


def answer(context: Context, run: str, step: str, text: str = "done") -> str:
    """Tell a run that a person did, or is ready for, what a step asks. Returns the step's id."""
    return _tell(context, run, "answer", step, text)


def skip(context: Context, run: str, step: str, reason: str) -> str:
    """Leave a step out, with a reason that the journal keeps. Returns the step's id."""
    if not reason.strip():
        raise UsageError("skipping needs a reason", remedy="--reason TEXT: the journal keeps it")
    return _tell(context, run, "skip", step, reason)


def _tell(context: Context, run: str, what: str, step: str, text: str) -> str:
    name = context.store.journal_path(run).stem
    state = begun(context, name)
    book = show_of(context, state.runbook).runbook
    found = book.find(step)
    known = state.of(found.id)
    if known.status in ("done", "skipped"):
        raise RefusedError(f"{found.id} is {known.status} already", remedy=f"`drkit status {name}`")
    history_.not_replaced(context, name)
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
    send(context, name, Message(what=what, step=found.id, text=text, who=who(), when=rfc3339(context.clock.now())))
    return found.id


def send(context: Context, run: str, message: Message) -> None:
    """Leave a message for a run; UsageError for one that the run would ignore, whatever its steps."""
    if fault := message_fault(message):
        raise UsageError(fault, remedy="say it in other words: the run would ignore this")
    context.store.send(run, message)
