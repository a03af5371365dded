"""Which steps may start, and what waits on what. Pure: runbook and folded journal in, values out."""

from __future__ import annotations

from drkit.model.run import RunState, StepState
from drkit.model.runbook import Runbook, Step
from drkit.planning import hosts_in_doubt

HELD = frozenset({"failed", "skipped", "drifted", "asked"})


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


def all_needs(step: Step, runbook: Runbook) -> list[Step]:
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
    return [need for need in all_needs(step, runbook) if state.of(need.id).status in kinds]


def blocked_by(step: Step, runbook: Runbook, state: RunState) -> list[Step]:
    """The failed, skipped or drifted steps that this one rests on (root causes only)."""
    return _obstacles(step, runbook, state, {"failed", "skipped", "drifted"})


def tidying(runbook: Runbook, state: RunState) -> frozenset[str]:
    """The steps that a run which begins nothing new still carries out: those that finish what was begun for a released host."""
    return frozenset(step for doubt in hosts_in_doubt.in_doubt(runbook, state) for step in doubt.left)


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


def reopenable(state: StepState) -> bool:
    """Whether ``resume`` tries this step again: it failed or had drifted; the look before acting decides what is left to do."""
    return state.status in ("failed", "drifted")
