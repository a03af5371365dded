"""What people say to a run, from this terminal or another machine: messages, the check of its journal, and a new plan.

Nothing here changes a run: a message is left in its inbox, and the process that holds the run obeys it.
"""

from __future__ import annotations

from collections.abc import Mapping

from drkit.api import history, plan
from drkit.api import status as status_
from drkit.api.context import Context
from drkit.api.plan import Planned, show_of
from drkit.api.status import begun, closed
from drkit.errors import IntegrityError, LockedError, RefusedError, UsageError
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Assessment
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook
from drkit.planning import hosts_in_doubt
from drkit.store.records import Message, message_fault, who
from drkit.store.verify_journal import Verified
from drkit.store.verify_journal import verify as verify_bytes


def answer(context: Context, run: str, step: str, text: str = "done") -> str:
    """Tell a run that a person did what a step asks, or is ready for it. Return the step's id.

    ``step``: its id, or a part of the id that only one step has. RefusedError when the step asks nothing or is done, or the run has ended.
    """
    return _tell(context, run, "answer", step, text)


def skip(context: Context, run: str, step: str, reason: str) -> str:
    """Leave a step out, with a reason that the journal keeps. Return the step's id.

    UsageError without a reason; RefusedError when the step is done or must not be left out, or the run has ended.
    """
    if not reason.strip():
        raise UsageError("skipping needs a reason", remedy="--reason TEXT: the journal keeps it")
    return _tell(context, run, "skip", step, reason)


def pause(context: Context, run: str = "latest", reason: str = "") -> str:
    """Let a run begin nothing new; what is under way is finished. Return the run's name. RefusedError when it has ended."""
    return _say(context, run, "pause", reason)


def unpause(context: Context, run: str = "latest") -> str:
    """Continue a paused run. Return the run's name. RefusedError when it has ended."""
    return _say(context, run, "unpause", "")


def abort(context: Context, run: str, reason: str) -> str:
    """End a run for good. What was begun for a released host is finished, and nothing else is begun.

    Return the run's name. UsageError without a reason; RefusedError when the run has ended.
    """
    if not reason.strip():
        raise UsageError("aborting needs a reason", remedy="--reason TEXT: the journal keeps it")
    return _say(context, run, "abort", reason)


def retry(context: Context, run: str, step: str) -> str:
    """Try a failed or drifted step again. Return the step's id. RefusedError when it is neither, or the run has ended."""
    run_status = status_.status(context, run)
    retried = run_status.runbook.find(step)
    status = run_status.state.of(retried.id).status
    if status not in ("failed", "drifted"):
        raise RefusedError(
            f"{retried.id} is {status}; only what failed or drifted is tried again",
            remedy=f"`drkit status {run_status.run}`",
        )
    _say(context, run_status.run, "retry", "", retried.id)
    return retried.id


def _tell(context: Context, run: str, what: str, step: str, text: str) -> str:
    name = context.store.journal_path(run).stem
    state = begun(context, name)
    book = show_of(context, state.runbook).runbook
    asked = book.find(step)
    known = state.of(asked.id)
    if known.status in ("done", "skipped"):
        raise RefusedError(f"{asked.id} is {known.status} already", remedy=f"`drkit status {name}`")
    history.not_replaced(context, name)
    if closed(book, state):
        raise RefusedError(f"{name} has ended: {state.aborted or state.outcome}", remedy=f"`drkit report {name}`")
    if what == "skip" and (why := hosts_in_doubt.refusal(book, state, asked)):
        raise RefusedError(
            why,
            where=asked.id,
            remedy=f"`drkit resume {name}` finishes it; `drkit abort {name} --reason TEXT` begins nothing else",
        )
    if what == "answer" and asked.effect != "ask":
        raise RefusedError(f"{asked.id} asks nothing", remedy=f"`drkit status {name}` lists what waits for a person")
    send(context, name, Message(what=what, step=asked.id, text=text, who=who(), when=rfc3339(context.clock.now())))
    return asked.id


def send(context: Context, run: str, message: Message) -> None:
    """Leave a message for a run. UsageError for a message that every run ignores."""
    if fault := message_fault(message):
        raise UsageError(fault, remedy="change it: the run would ignore this")
    context.store.send(run, message)


def _say(context: Context, run: str, what: str, text: str, step: str = "") -> str:
    run_status = status_.status(context, run)
    state = run_status.state
    history.not_replaced(context, run_status.run)
    if closed(run_status.runbook, state):
        raise RefusedError(
            f"{run_status.run} has ended: {run_status.outcome}", remedy=f"`drkit report {run_status.run}`"
        )
    now = rfc3339(context.clock.now())
    send(context, run_status.run, Message(what=what, step=step, text=text, who=who(), when=now))
    return run_status.run


def verify(context: Context, run: str = "latest", head: str | None = None) -> Verified:
    """Compute the hash chain of a run's journal again. Needs no cloud and repairs nothing. IntegrityError says where it breaks.

    ``head``: a hash that was kept elsewhere and must be in the chain; UsageError for an empty one.
    """
    name = context.store.journal_path(run).stem
    verified = verify_bytes(context.store.journal_bytes(name), name, head)
    if not verified.holds:
        place = f"line {verified.line}: " if verified.line else ""
        raise IntegrityError(
            f"{place}{verified.fault}; the {verified.count} records before it hold, up to head {verified.head}"
            if verified.line
            else verified.fault,
            where=str(context.store.journal_path(name)),
            remedy="nothing was changed: restore the file from a copy, and look at who could write it",
        )
    return verified


def rebase(context: Context, run: str, *, force: Mapping[str, str] | None = None, out: str | None = None) -> Planned:
    """Plan what a run left undone, on a newer assessment. The runbook needs its own approval, and replaces the run once it begins.

    ``force`` and ``out`` as in ``plan``. RefusedError when nothing is left to do, or the newest assessment is older than the last record
    of the run; LockedError when a process holds the run.
    """
    run_status = status_.status(context, run)
    name, state, book = run_status.run, run_status.state, run_status.runbook
    history.not_replaced(context, name)
    if run_status.outcome in status_.DONE:
        raise RefusedError(f"{name} left nothing undone: {run_status.outcome}", remedy=f"`drkit report {name}`")
    if book.source_run:
        raise RefusedError(
            f"{name} is a {book.kind}: what is left of it is planned as another one",
            remedy=f"`drkit resume {name}`, or give it up with `drkit abort {name} --reason TEXT`, "
            f"then `drkit {book.kind} {book.source_run}`",
        )
    if holder := context.store.holder(name):
        raise LockedError(
            f"{name} is held by {holder}", remedy=f"`drkit abort {name} --reason TEXT`, or wait for its end"
        )
    last = context.store.records(name)[-1].time
    newest = context.store.newest(Assessment)
    if newest is None or parse_time(newest[0].taken) < parse_time(last):
        raise RefusedError(
            f"the newest assessment is older than the last record of {name} ({last})",
            remedy="`drkit assess`, then this again",
        )
    undone = [step for step in book.steps if state.of(step.id).status not in ("done", "skipped")]
    drifted = [step for step in undone if state.of(step.id).status == "drifted"]
    done = f"{len(book.steps) - len(undone)} of {len(book.steps)} steps"
    notes = (
        f"the rest of {name}, which did {done}; this replaces {book.kind} {run_status.digest[:12]}",
        *(f"drifted: {step.title}: {state.of(step.id).detail}" for step in drifted),
    )
    graceful = "" if book.kind != "failover" or book.lost_regions else next(iter(book.source_plans.values()), "")
    doubts = hosts_in_doubt.in_doubt(book, state)

    def fits(made: Runbook) -> None:
        if not made.steps:
            why = "; ".join(f"{item.name}: {item.reason}" for item in made.unchanged[:6]) or "nothing is lost"
            raise RefusedError(
                f"a new runbook would have no steps, so {name} is not replaced: {why}",
                remedy=f"`drkit abort {name} --reason TEXT`, then `drkit resume {name}` finishes what was begun and closes it",
            )
        registered = {ArmId(step.host) for step in made.steps if step.effect == "register"}
        missed = [doubt for doubt in doubts if ArmId(doubt.host) not in registered]
        if missed:
            raise RefusedError(
                f"{'; '.join(doubt.words for doubt in missed[: hosts_in_doubt.NAMED])}; and the new runbook would not register it again",
                remedy=f"`drkit resume {name}` finishes it first",
            )

    return plan.plan(
        context, kind=book.kind, graceful_from=graceful, force=force, out=out, rebases=name, notes=notes, fits=fits
    )
