"""How a run ends, or would end now: the outcome and the reason for it. Pure: runbook and folded journal in, values out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from drkit.execution import schedule
from drkit.model.ids import ArmId
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step
from drkit.planning import hosts_in_doubt, leftovers

NAMED = 3
"""So many steps under way are named in one sentence."""


@dataclass(frozen=True)
class Ending:
    """The outcome that a run would have if it ended now, and why."""

    outcome: str
    reason: str


def ending(runbook: Runbook, state: RunState, *, held: bool = False) -> Ending:
    """The end this state amounts to: succeeded, succeeded-with-exceptions, failed or partial.

    While a host is in doubt it is never one of the first two, and the reason says which host, and what to type unless a process
    holds the run (``held``). An aborted run names those that a person registered by hand too.
    """
    end = _ending(runbook, state)
    doubt = hosts_in_doubt.in_doubt(runbook, state)
    if state.aborted and (by_hand := hosts_in_doubt.by_hand(runbook, state)):
        end = Ending(end.outcome, f"{end.reason}; {hosts_in_doubt.doubts_in_words(by_hand, state.run, held=held)}")
    if not doubt:
        return end
    outcome = "failed" if end.outcome.startswith("succeeded") else end.outcome
    return Ending(outcome, f"{end.reason}; {hosts_in_doubt.doubts_in_words(doubt, state.run, held=held)}")


def _ending(runbook: Runbook, state: RunState) -> Ending:
    """The end this state amounts to, hosts in doubt apart."""
    if state.aborted:
        if all(state.of(step.id).status == "done" for step in runbook.steps):
            return Ending("succeeded", f"every step is done, though {state.aborted}")
        return Ending("failed", f"{state.aborted}{_under_way(runbook, state)}")
    failed = [step for step in runbook.steps if step.criticality == "critical" and state.of(step.id).status == "failed"]
    bad = [step for step in failed if not state.of(step.id).retryable]
    statuses = {step.id: state.of(step.id).status for step in runbook.steps}
    if all(status == "done" for status in statuses.values()):
        return Ending("succeeded", "every step is done")
    excused = {
        step.id
        for step in runbook.steps
        if statuses[step.id] == "skipped"
        or (
            statuses[step.id] == "pending"
            and any(state.of(need.id).status == "skipped" for need in schedule.all_needs(step, runbook))
        )
    }
    if short := _short_of(runbook, state, excused):
        return Ending("failed", short)
    if all(status == "done" or step in excused for step, status in statuses.items()):
        return Ending(
            "succeeded-with-exceptions",
            f"{sum(status == 'skipped' for status in statuses.values())} steps were skipped",
        )
    if bad and not _unfinished_elsewhere(runbook, state):
        return Ending("failed", f"{bad[0].title}: {state.of(bad[0].id).detail}")
    if state.paused or state.deadline:
        return Ending("partial", state.paused or state.deadline)
    if failed and not bad:
        return Ending("partial", f"{failed[0].title}: {state.of(failed[0].id).detail}; it may pass: resume tries again")
    first = _failed_first(runbook, state)
    if first is not None:
        return Ending(
            "partial", f"{first.title}: failed, and the rest waits behind it; resume tries again, skip lets the rest go"
        )
    if back := _back(runbook, state):
        return Ending("partial", back)
    waiting = sum(status == "asked" for status in statuses.values())
    if waiting:
        return Ending("partial", f"{waiting} steps wait for a person")
    return Ending("partial", "some steps are unfinished")


def _under_way(runbook: Runbook, state: RunState) -> str:
    """What an aborted run left in flight, and what looks it up; empty when nothing is. A chain in doubt has words of its own."""
    chains = schedule.tidying(runbook, state)
    titles = [step.title for step in runbook.steps if state.of(step.id).status == "open" and step.id not in chains]
    if not titles:
        return ""
    more = f" and {len(titles) - NAMED} more" if len(titles) > NAMED else ""
    looks = f"`drkit resume {state.run}` looks {'it' if len(titles) == 1 else 'them'} up"
    return f"; still under way: {', '.join(titles[:NAMED])}{more}; {looks}"


def _back(runbook: Runbook, state: RunState) -> str:
    """That a plan which is left answers again, and the ways on; empty when none does."""
    for step in runbook.steps:
        lost = any(condition.signal == "answers" and condition.expected == "no" for condition in step.preconditions)
        if lost and state.of(step.id).status == "drifted" and "answers" in state.of(step.id).data.get("drift", ()):
            run = state.run
            way = f"; `drkit assess`, then `drkit failback {run}` brings back what it moved"
            back = way if leftovers.moved(runbook, state) else ""
            return (
                f"{ArmId(step.plan).name} answers again, so what was not begun is left: `drkit abort {run} --reason TEXT`, "
                f"then `drkit resume {run}` closes it{back}; when it is lost again, `drkit resume {run}` goes on"
            )
    return ""


def _short_of(runbook: Runbook, state: RunState, excused: Collection[str]) -> str:
    """Why the minimum share can no longer be reached, with nothing left under way; empty while it can."""
    finals = [affected.proof_step for affected in runbook.environments if affected.proof_step]
    possible = sum(final not in excused for final in finals)
    if not finals or possible >= state.minimum_share * len(finals):
        return ""
    if any(state.of(step.id).status == "open" for step in runbook.steps):
        return ""
    return f"at most {possible} of {len(finals)} environments can come up, and {state.minimum_share:.0%} must"


def _failed_first(runbook: Runbook, state: RunState) -> Step | None:
    """The failed step of an environment that goes before others which have not begun."""
    firsts = {need for step in runbook.steps if state.of(step.id).status == "pending" for need in step.needs}
    for final in (step for step in runbook.steps if step.id in firsts):
        waiting = [step for step in runbook.steps if final.id in step.needs and not schedule.rests_on(step, final)]
        failed = [step for step in (*schedule.all_needs(final, runbook), final) if state.of(step.id).status == "failed"]
        if waiting and failed:
            return failed[0]
    return None


def _unfinished_elsewhere(runbook: Runbook, state: RunState) -> bool:
    """Whether anything but the consequences of failed critical steps is left."""
    for step in runbook.steps:
        status = state.of(step.id).status
        if status in ("asked", "open", "drifted") or (status == "failed" and step.criticality != "critical"):
            return True
        if status == "pending" and not schedule.blocked_by(step, runbook, state):
            return True
    return False
