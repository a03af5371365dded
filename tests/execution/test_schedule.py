"""Which steps may start, what waits on what, and how a run ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.execution import run_outcome, schedule
from drkit.execution.run_outcome import ending
from drkit.execution.schedule import blocked_by, reopenable, startable
from drkit.model.run import RunState, StepState, StepStatus
from drkit.model.runbook import Runbook, Step
from drkit.planning.hosts_in_doubt import in_doubt
from tests.model.test_runbook import a_runbook, a_step
from tests.support.builders import a_plan, a_vm, hosted, managed, one_lost

STATUSES: tuple[StepStatus, ...] = ("pending", "open", "asked", "done", "failed", "skipped", "drifted")
PLAN = a_plan()
BOXES = [a_vm("box0"), a_vm("box1", channel="manual")]
MADE = one_lost(
    *(managed(f"m{number}", PLAN) for number in range(8)),
    *(hosted(f"h{number}", PLAN, box) for number, box in enumerate(BOXES)),
    plan=PLAN,
    hosts=BOXES,
)


def standing(**statuses: StepStatus) -> RunState:
    return RunState(steps={step: StepState(status) for step, status in statuses.items()})


def ids(steps: list[Step]) -> list[str]:
    return [step.id for step in steps]


# --- starting --------------------------------------------------------------------------------------------------------

CHAIN = a_runbook(a_step("a"), a_step("b", needs=("a",)), a_step("c", needs=("b",)))


def test_a_step_starts_when_all_it_needs_is_done() -> None:
    assert ids(startable(CHAIN, standing())) == ["a"]
    assert ids(startable(CHAIN, standing(a="done"))) == ["b"]
    assert ids(startable(CHAIN, standing(a="done", b="done", c="done"))) == []


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "done"])
def test_nothing_starts_on_what_is_not_done(status: StepStatus) -> None:
    assert ids(startable(CHAIN, standing(a="done", b=status))) == (["b"] if status == "pending" else [])


def test_a_step_answered_ahead_of_its_turn_lets_nothing_pass_it() -> None:
    """Somebody says they are ready before the host was reached: it is not released for that."""
    steps = (
        a_step("reach", "verify"),
        a_step("ready", "ask", needs=("reach",)),
        a_step("release", "release", needs=("ready",)),
    )
    made = a_runbook(*steps)
    assert ids(startable(made, standing(ready="done"))) == ["reach"]
    assert ids(startable(made, standing(ready="done", reach="failed"))) == []
    assert ids(startable(made, standing(ready="done", reach="done"))) == ["release"]


def test_a_later_wave_waits_for_the_one_before_and_asking_does_not() -> None:
    made = a_runbook(
        a_step("one", wave=1),
        a_step("two", wave=2),
        a_step("ask", "ask", wave=9),
        a_step("free"),
        a_step("three", wave=3),
    )
    assert ids(startable(made, standing())) == ["one", "ask", "free"]
    assert ids(startable(made, standing(one="open", ask="asked", free="done"))) == []
    assert ids(startable(made, standing(one="done", ask="asked", free="done"))) == ["two"]
    assert ids(startable(made, standing(one="failed", two="drifted", ask="asked", free="done"))) == ["three"]


def test_a_wave_does_not_wait_for_people() -> None:
    made = a_runbook(a_step("ask", "ask", wave=1), a_step("after", wave=1, needs=("ask",)), a_step("next", wave=2))
    assert ids(startable(made, standing(ask="asked"))) == ["next"]
    assert ids(startable(made, standing(ask="done", next="done"))) == ["after"]


random_states = st.fixed_dictionaries({step.id: st.sampled_from(STATUSES) for step in MADE.steps})


@settings(max_examples=200)
@given(random_states)
def test_only_pending_steps_whose_needs_are_all_done_start(
    statuses: dict[str, StepStatus],
) -> None:
    state = standing(**statuses)

    def ground(step: Step) -> set[str]:
        needs = [need for need in step.needs if schedule.rests_on(step, MADE.step(need))]
        return {one for need in needs for one in (need, *ground(MADE.step(need)))}

    for step in startable(MADE, state):
        assert statuses[step.id] == "pending"
        assert {statuses[one] for one in ground(step)} <= {"done"}


@st.composite
def fates(draw: st.DrawFn, made: Runbook = MADE) -> dict[str, StepStatus]:
    """What becomes of each step once it is started; mostly well."""
    ends: list[StepStatus] = ["done", "done", "done", "done", "failed", "drifted", "skipped"]
    asked: list[StepStatus] = ["done", "done", "asked", "skipped"]
    return {step.id: draw(st.sampled_from(asked if step.effect == "ask" else ends)) for step in made.steps}


def before(step: Step) -> set[str]:
    """Every step that must or should come before this one."""
    return {one for need in step.needs for one in (need, *before(MADE.step(need)))}


@settings(max_examples=150)
@given(fates())
def test_a_run_reaches_every_step_that_nothing_blocks(fate: dict[str, StepStatus]) -> None:
    state = RunState()
    for _ in range(len(MADE.steps) + 1):
        ready = startable(MADE, state)
        if not ready:
            break
        state.of(ready[0].id).status = fate[ready[0].id]
    for step in MADE.steps:
        if state.of(step.id).status == "pending":
            assert any(state.of(need).status != "done" for need in step.needs)
            assert {"failed", "skipped", "drifted", "asked"} & {state.of(one).status for one in before(step)}


@settings(max_examples=150)
@given(random_states)
def test_only_root_causes_are_named_as_what_blocks(statuses: dict[str, StepStatus]) -> None:
    state = standing(**statuses)
    for step in MADE.steps:
        for cause in blocked_by(step, MADE, state):
            assert statuses[cause.id] in ("failed", "skipped", "drifted")
            assert cause.id != step.id


def chain(name: str, wave: int, *needs: str) -> tuple[Step, Step]:
    create = a_step(f"{name}:create", environment=name, wave=wave, needs=needs)
    return create, a_step(f"{name}:verify", "verify", environment=name, wave=wave, needs=(create.id,))


CANARY = a_runbook(a_step("plan"), *chain("first", 1, "plan"), *chain("second", 2, "plan", "first:verify"))


@pytest.mark.parametrize("status", ["skipped", "drifted"])
def test_one_environment_goes_first_and_what_others_did_to_it_stops_nobody_else(status: StepStatus) -> None:
    well: dict[str, StepStatus] = {"plan": "done", "first:create": "done"}
    assert ids(startable(CANARY, standing(**well))) == ["first:verify"]
    assert ids(startable(CANARY, standing(**well | {"first:verify": "open"}))) == []
    assert ids(startable(CANARY, standing(**well | {"first:verify": "done"}))) == ["second:create"]
    assert ids(startable(CANARY, standing(**well | {"first:verify": status}))) == ["second:create"]
    assert ids(startable(CANARY, standing(plan="done", **{"first:create": status}))) == ["second:create"]
    assert blocked_by(CANARY.step("second:create"), CANARY, standing(**{"first:verify": status})) == []
    assert ids(startable(CANARY, standing(plan="failed"))) == []


@pytest.mark.parametrize("step", ["first:create", "first:verify"])
def test_when_the_first_fails_the_others_wait_so_that_a_mistake_is_made_once(step: str) -> None:
    well: dict[str, StepStatus] = {"plan": "done", "first:create": "done"}
    state = standing(**well | {step: "failed"})
    assert ids(startable(CANARY, state)) == []
    ending = run_outcome.ending(CANARY, state)
    assert ending.outcome == "partial"
    assert "skip lets the rest go" in ending.reason


def test_a_skipped_first_environment_excuses_no_other() -> None:
    skipped: dict[str, StepStatus] = {"plan": "done", "first:create": "skipped"}
    assert ending(CANARY, standing(**skipped)).outcome == "partial"
    done: dict[str, StepStatus] = {"second:create": "done", "second:verify": "done"}
    assert ending(CANARY, standing(**skipped, **done)).outcome == "succeeded-with-exceptions"


# --- ending ----------------------------------------------------------------------------------------------------------

WIDE = a_runbook(
    a_step("plan", criticality="critical"),
    a_step("a", needs=("plan",)),
    a_step("a2", needs=("a",)),
    a_step("b", needs=("plan",)),
)
ENDS: list[tuple[str, dict[str, StepStatus], str]] = [
    ("all done", {"plan": "done", "a": "done", "a2": "done", "b": "done"}, "succeeded"),
    ("nothing begun", {}, "partial"),
    ("in flight", {"plan": "done", "a": "open"}, "partial"),
    ("a skip excuses what rests on it", {"plan": "done", "a": "skipped", "b": "done"}, "succeeded-with-exceptions"),
    ("a skip excuses nothing else", {"plan": "done", "a": "skipped"}, "partial"),
    ("a skip at the end", {"plan": "done", "a": "done", "a2": "skipped", "b": "done"}, "succeeded-with-exceptions"),
    ("everything skipped with its ground", {"plan": "skipped"}, "succeeded-with-exceptions"),
    ("asked", {"plan": "done", "a": "asked", "b": "done"}, "partial"),
    ("drifted", {"plan": "done", "a": "drifted", "b": "done"}, "partial"),
    ("an optional step failed", {"plan": "done", "a": "failed", "b": "done"}, "partial"),
    ("a critical step failed", {"plan": "failed"}, "failed"),
    ("a critical step failed, a person is still asked", {"plan": "failed", "b": "asked"}, "partial"),
    ("a critical step failed, something runs", {"plan": "failed", "b": "open"}, "partial"),
    ("a critical step failed, something may start", {"plan": "failed", "b": "done"}, "failed"),
]


def test_a_critical_step_that_failed_of_what_may_pass_ends_nothing_for_good() -> None:
    state = standing(plan="failed")
    state.of("plan").retryable = True
    found = ending(WIDE, state)
    assert (found.outcome, "may pass" in found.reason) == ("partial", True)


@pytest.mark.parametrize(("statuses", "outcome"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
def test_how_a_run_ends(statuses: dict[str, StepStatus], outcome: str) -> None:
    found = ending(WIDE, standing(**statuses))
    assert found.outcome == outcome
    assert found.reason


def test_a_failed_critical_step_beside_work_that_could_go_on_is_not_the_end() -> None:
    made = a_runbook(
        a_step("one", criticality="critical"), a_step("two", criticality="critical"), a_step("x", needs=("two",))
    )
    assert ending(made, standing(one="failed")).outcome == "partial"
    assert ending(made, standing(one="failed", two="done", x="done")).outcome == "failed"
    assert "create x" in ending(made, standing(one="failed", two="failed")).reason


def test_an_aborted_run_failed_with_the_reason_given() -> None:
    state = standing(plan="done")
    state.aborted = "aborted by ada: wrong region"
    assert ending(WIDE, state) == run_outcome.Ending("failed", "aborted by ada: wrong region")


def test_a_runbook_without_steps_has_succeeded() -> None:
    assert ending(a_runbook(), RunState()).outcome == "succeeded"


@settings(max_examples=200)
@given(random_states)
def test_a_run_succeeds_exactly_when_all_is_done_and_with_exceptions_never_without_a_skip(
    statuses: dict[str, StepStatus],
) -> None:
    outcome = ending(MADE, standing(**statuses)).outcome
    words = set(statuses.values())
    if in_doubt(MADE, standing(**statuses)):
        assert not outcome.startswith("succeeded")
        return
    assert (outcome == "succeeded") == (words == {"done"})
    if outcome == "succeeded-with-exceptions":
        assert "skipped" in words
        assert not words & {"open", "asked", "failed", "drifted"}
    if outcome == "failed":
        assert any(statuses[step.id] == "failed" and step.criticality == "critical" for step in MADE.steps)
        assert not words & {"open", "asked", "drifted"}
    if words & {"asked", "drifted", "open"}:
        assert outcome == "partial"


@pytest.mark.parametrize("status", STATUSES)
def test_resume_tries_again_what_failed_or_had_drifted(status: StepStatus) -> None:
    assert reopenable(StepState(status)) is (status in ("failed", "drifted"))


def test_the_waves_of_one_plan_do_not_wait_for_those_of_another() -> None:
    steps = [
        a_step("slow:create", environment="slow", plan="/p/one", wave=1),
        a_step("quick:create", environment="quick", plan="/p/two", wave=1),
        a_step("next:create", environment="next", plan="/p/two", wave=2, needs=("quick:create",)),
    ]
    book = a_runbook(*steps)
    statuses: dict[str, StepStatus] = {"slow:create": "open", "quick:create": "done"}
    assert ids(startable(book, standing(**statuses))) == ["next:create"]
