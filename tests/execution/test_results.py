"""What a run came to for each environment, and that the numbers always add up."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.execution.results import (
    ENDINGS,
    FIXED,
    Outcome,
    at_risk,
    numbers,
    objective_met,
    outcomes,
    recovery_seconds,
    report,
)
from drkit.model.run import RunState, StepState, StepStatus
from drkit.model.runbook import Affected
from drkit.planning.dispositions import TABLE
from tests.model.test_runbook import a_runbook, a_step
from tests.support.builders import (
    LOST,
    TARGET,
    a_plan,
    a_snapshot,
    a_vm,
    an_assessment,
    facts,
    hosted,
    make,
    managed,
    state_of,
    verdict,
)

STATUSES: tuple[StepStatus, ...] = get_args(StepStatus)
WORDS = sorted({row[3] for row in TABLE} | {"already", "offered"})
PLAN = a_plan()
BOXES = [a_vm("well"), a_vm("dead"), a_vm("stopped"), a_vm("stale"), a_vm("blind")]
FATES = [("no-failover", ""), ("host-lost", ""), *(("undetermined", word) for word in ("stopped", "stale", "blind"))]
MADE = make(
    a_snapshot([PLAN], [managed("api", PLAN), *(hosted(box.name, PLAN, box) for box in BOXES)], BOXES),
    an_assessment(
        [state_of(PLAN, "lost")],
        [verdict(box, outcome, reason=reason) for box, (outcome, reason) in zip(BOXES, FATES, strict=True)],
        [facts()],
    ),
)


def an_affected(disposition: str = "new-plan", proof_step: str = "verify", name: str = "e") -> Affected:
    return Affected(
        environment=name,
        name=name,
        plan="/p",
        owner="ada",
        disposition=disposition,
        reason="because",
        data_at_risk="unpushed",
        proof_step=proof_step,
    )


STEPS = (a_step("create", environment="e"), a_step("verify", "verify", environment="e", needs=("create",)))


def one(affected: Affected | None = None, **statuses: StepState) -> Outcome:
    (found,) = outcomes(a_runbook(*STEPS, environments=(affected or an_affected(),)), RunState(steps=statuses))
    return found


# --- one environment -------------------------------------------------------------------------------------------------


def test_it_is_recovered_when_and_as_its_last_step_says() -> None:
    done = StepState("done", detail="Available", ended="2026-03-01T08:10:00Z", data={"name": "e-2"})
    found = one(create=StepState("done"), verify=done)
    assert (found.ending, found.detail, found.at, found.now) == (
        "recovered",
        "Available",
        "2026-03-01T08:10:00Z",
        "e-2",
    )
    assert (found.data_at_risk, found.owner) == ("unpushed", "ada")


def test_a_last_step_that_is_done_counts_whatever_went_before() -> None:
    assert one(create=StepState("failed"), verify=StepState("done")).ending == "recovered"


UNFINISHED: list[tuple[StepStatus, str, str]] = [
    ("pending", "waiting", "not finished"),
    ("open", "waiting", "not finished"),
    ("done", "waiting", "not finished"),
    ("asked", "needs_person", "waits for a person: word"),
    ("failed", "needs_person", "failed: word"),
    ("skipped", "needs_person", "skipped: word"),
    ("drifted", "waiting", "stopped: drifted: word"),
]


@pytest.mark.parametrize(("status", "ending", "detail"), UNFINISHED, ids=[case[0] for case in UNFINISHED])
def test_one_that_is_not_finished(status: StepStatus, ending: str, detail: str) -> None:
    found = one(create=StepState(status, detail="word"))
    assert (found.ending, found.detail, found.at) == (ending, detail, "")


def test_a_problem_of_another_environment_does_not_count() -> None:
    made = a_runbook(*STEPS, a_step("x", environment="f"), environments=(an_affected(),))
    (found,) = outcomes(made, RunState(steps={"x": StepState("failed", detail="word")}))
    assert (found.ending, found.detail) == ("waiting", "not finished")


@pytest.mark.parametrize("word", WORDS)
def test_one_without_steps_ends_as_its_disposition_says(word: str) -> None:
    found = one(an_affected(word, proof_step=""))
    assert found.ending in ENDINGS
    assert found.detail == "because"
    if word in ("already", "offered"):
        assert found.ending == "recovered"
    elif word == "start":
        assert found.ending == "needs_person"
    elif word == "lost":
        assert found.ending == "lost"
    else:
        assert found.ending == "waiting"


def test_every_disposition_without_steps_has_its_ending() -> None:
    assert set(FIXED) <= set(WORDS)
    assert {found.disposition for found in MADE.environments if not found.proof_step} <= set(FIXED)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_run_before_and_after() -> None:
    assert numbers(outcomes(MADE, RunState())) == {
        "total": 6,
        "recovered": 0,
        "needs_person": 1,
        "waiting": 4,
        "lost": 1,
    }
    done = RunState(steps={step.id: StepState("done", ended="2026-03-01T09:00:00Z") for step in MADE.steps})
    assert numbers(outcomes(MADE, done)) == {"total": 6, "recovered": 3, "needs_person": 1, "waiting": 1, "lost": 1}
    assert numbers([]) == {"total": 0, "recovered": 0, "needs_person": 0, "waiting": 0, "lost": 0}


@settings(max_examples=150)
@given(
    st.fixed_dictionaries({step.id: st.sampled_from(STATUSES) for step in MADE.steps}),
    st.lists(st.sampled_from(WORDS), max_size=5),
)
def test_the_total_is_every_affected_environment_and_the_sum_of_the_rest(
    statuses: dict[str, StepStatus], more: list[str]
) -> None:
    extra = tuple(an_affected(word, "", f"extra{number}") for number, word in enumerate(more))
    made = msgspec.structs.replace(MADE, environments=(*MADE.environments, *extra))
    counts = numbers(outcomes(made, RunState(steps={step: StepState(status) for step, status in statuses.items()})))
    assert counts["total"] == len(made.environments) == sum(counts[ending] for ending in ENDINGS)


# --- how long it took ------------------------------------------------------------------------------------------------


def test_recovery_took_from_the_first_sign_to_the_last_environment() -> None:
    def at(minute: int) -> Outcome:
        return one(verify=StepState("done", ended=f"2026-03-01T08:{minute:02}:00Z"))

    assert recovery_seconds([at(30), at(45), at(10), one()], "2026-03-01T08:00:00Z") == 45 * 60
    assert recovery_seconds([at(30)], "") is None
    assert recovery_seconds([one()], "2026-03-01T08:00:00Z") is None
    assert recovery_seconds([], "2026-03-01T08:00:00Z") is None


HOUR = 3600.0
FIRST = "2026-03-01T08:00:00Z"
BACK, AWAY, LATE, EARLIER = (
    Outcome("e", "e", "ada", "/p", ending, "", risk, host=host, at=at)  # type: ignore[arg-type]
    for ending, risk, host, at in (
        ("recovered", "unpushed", "", "2026-03-01T08:30:00Z"),
        ("needs_person", "unknown", "", ""),
        ("recovered", "pushed", "", "2026-03-01T09:30:00Z"),
        ("recovered", "unpushed", "vm", ""),
    )
)


@pytest.mark.parametrize(
    ("found", "since", "said"),
    [
        ([BACK], FIRST, "met"),
        ([BACK, EARLIER], FIRST, "met"),
        ([BACK, AWAY], FIRST, "open"),
        ([AWAY], FIRST, "open"),
        ([BACK, LATE], FIRST, "missed"),
        ([LATE, AWAY], FIRST, "missed"),
        ([BACK], "", "unknown"),
        ([EARLIER], FIRST, "unknown"),
        ([], FIRST, "unknown"),
        ([AWAY], "", "open"),
    ],
)
def test_the_objective_holds_when_all_are_back_in_time(found: list[Outcome], since: str, said: str) -> None:
    assert objective_met(found, since, HOUR) == said


def test_work_is_at_risk_where_it_was_not_pushed_and_no_machine_holds_it() -> None:
    lost = msgspec.structs.replace(EARLIER, ending="lost")
    assert [at_risk(one) for one in (BACK, AWAY, LATE, EARLIER, lost)] == [True, True, False, False, True]


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_report_holds_every_step_and_environment_and_is_plain() -> None:
    state = RunState(started="2026-03-01T08:20:00Z", approved_by="ada", count=7, head="f" * 64)
    told: dict[str, Any] = report(
        "run-1",
        MADE,
        "d" * 64,
        state,
        outcome="partial",
        reason="1 steps wait for a person",
        since="2026-03-01T08:00:00Z",
        objective_minutes=240,
    )
    assert msgspec.json.decode(msgspec.json.encode(told)) == told
    assert next(iter(told)) == "drkit"
    assert [step["id"] for step in told["steps"]] == [step.id for step in MADE.steps]
    assert {step["status"] for step in told["steps"]} == {"pending"}
    assert [found["environment"] for found in told["outcomes"]] == [found.environment for found in MADE.environments]
    assert told["environments"]["total"] == 6
    assert (told["lost_regions"], told["target_regions"]) == ([LOST], {PLAN.id: TARGET})
    assert (told["objective_seconds"], told["rto_seconds"]) == (14_400, None)
    assert told["journal"] == {"records": 7, "head": "f" * 64}
    assert told["simulated"] is False
