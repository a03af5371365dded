"""Which steps may start, what waits on what, how a run ends. Pure: runbook and folded journal in, values out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from drkit.model.ids import ArmId
from drkit.model.run import RunState, StepState
from drkit.model.runbook import Runbook, Step
from drkit.planning import handover, leftovers

HELD = frozenset({"failed", "skipped", "drifted", "asked"})
NAMED = 3
"""So many steps under way are named in one sentence."""


def startable(runbook: Runbook, state: RunState) -> list[Step]:
    """Pending steps whose needs are done, however far back, in the runbook's order; earlier waves of a plan go first.

    However far back: a person may say that they are ready before the steps that lead to that question are done. A need inside the
    same environment, or on a step of the plan, must be done. A need on another environment's step only orders: it is met, too, once
    that step can no longer run by itself, unless it or something that it rests on failed. So a first environment that failed holds
    back the others until somebody retries or skips its step, and a mistake is made once.
    """
    ready: list[Step] = []
    fronts: dict[str, int] = {}
    grounded: set[str] = set()
    unaided: set[str] = set()
    coming: set[str] = set()
    failed: set[str] = set()
    by_id = {step.id: step for step in runbook.steps}
    for step in runbook.steps:
        status = state.of(step.id).status
        ground = [need for need in step.needs if rests_on(step, by_id[need])]
        may_run = unaided.issuperset(ground)
        if grounded.issuperset(ground):
            if status == "pending" and (coming | failed).isdisjoint(step.needs):
                ready.append(step)
            elif status == "done":
                grounded.add(step.id)
        if status == "failed" or (status == "pending" and not failed.isdisjoint(ground)):
            failed.add(step.id)
        if may_run and step.effect != "ask" and status in ("pending", "open"):
            coming.add(step.id)
        if may_run and status not in HELD and (step.effect != "ask" or status == "done"):
            unaided.add(step.id)
        if may_run and step.wave and step.effect != "ask" and status in ("pending", "open"):
            fronts[step.plan] = min(step.wave, fronts.get(step.plan, step.wave))
    late = [
        step
        for step in ready
        if step.wave > fronts.get(step.plan, 0) and step.effect in ("release", "register", "verify")
    ]
    # What finishes what was begun for a released host waits for no wave.
    finishing = tidying(runbook, state) if late else frozenset()
    return [
        step for step in ready if step.wave <= fronts.get(step.plan, 0) or step.effect == "ask" or step.id in finishing
    ]


def rests_on(step: Step, need: Step) -> bool:
    """Whether a step rests on a need. A step of another environment only goes before it."""
    return not step.environment or not need.environment or step.environment == need.environment


def _all_needs(step: Step, runbook: Runbook) -> list[Step]:
    """All that a step rests on, however far back."""
    by_id = {other.id: other for other in runbook.steps}
    needs: dict[str, Step] = {}
    stack = [step]
    while stack:
        current = stack.pop()
        for need in (by_id[name] for name in current.needs):
            if need.id not in needs and rests_on(current, need):
                needs[need.id] = need
                stack.append(need)
    return list(needs.values())


def _obstacles(step: Step, runbook: Runbook, state: RunState, kinds: set[str]) -> list[Step]:
    return [need for need in _all_needs(step, runbook) if state.of(need.id).status in kinds]


def blocked_by(step: Step, runbook: Runbook, state: RunState) -> list[Step]:
    """The failed, skipped or drifted steps that this one rests on (root causes only)."""
    return _obstacles(step, runbook, state, {"failed", "skipped", "drifted"})


def tidying(runbook: Runbook, state: RunState) -> frozenset[str]:
    """The steps that a run which begins nothing new still carries out: those that finish what was begun for a released host."""
    return frozenset(step for found in handover.in_doubt(runbook, state) for step in found.left)


def idle_without(runbook: Runbook, state: RunState, skipped: str) -> list[str]:
    """Steps before a skipped one that nothing needs without it, and that have not begun: a host is not released for nothing."""
    idle: list[str] = []
    environment = runbook.step(skipped).environment
    for step in reversed(runbook.steps):
        users = [other.id for other in runbook.steps if step.id in other.needs]
        gone = all(user == skipped or user in idle or state.of(user).status == "skipped" for user in users)
        own = environment and step.environment == environment and step.id != skipped
        if own and users and gone and state.of(step.id).status in ("pending", "asked"):
            idle.append(step.id)
    return idle


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
    doubt = handover.in_doubt(runbook, state)
    if state.aborted and (by_hand := handover.by_hand(runbook, state)):
        end = Ending(end.outcome, f"{end.reason}; {handover.doubts_in_words(by_hand, state.run, held=held)}")
    if not doubt:
        return end
    outcome = "failed" if end.outcome.startswith("succeeded") else end.outcome
    return Ending(outcome, f"{end.reason}; {handover.doubts_in_words(doubt, state.run, held=held)}")


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
            and any(state.of(need.id).status == "skipped" for need in _all_needs(step, runbook))
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
    chains = tidying(runbook, state)
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
    finals = [affected.final for affected in runbook.environments if affected.final]
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
        waiting = [step for step in runbook.steps if final.id in step.needs and not rests_on(step, final)]
        failed = [step for step in (*_all_needs(final, runbook), final) if state.of(step.id).status == "failed"]
        if waiting and failed:
            return failed[0]
    return None


def _unfinished_elsewhere(runbook: Runbook, state: RunState) -> bool:
    """Whether anything but the consequences of failed critical steps is left."""
    for step in runbook.steps:
        status = state.of(step.id).status
        if status in ("asked", "open", "drifted") or (status == "failed" and step.criticality != "critical"):
            return True
        if status == "pending" and not blocked_by(step, runbook, state):
            return True
    return False


def reopenable(state: StepState) -> bool:
    """Whether ``resume`` tries this step again: it failed or had drifted; the look before acting decides what is left to do."""
    return state.status in ("failed", "drifted")
