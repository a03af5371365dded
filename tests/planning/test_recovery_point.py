"""Which capture an estate is recovered from, whatever a timer captured in the middle of the outage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.model.estate import Capture, Environment, Host, Plan, Snapshot
from drkit.planning.recovery_point import capture_of, compose, cutoff, failing_since
from tests.support.builders import LOST, OTHER, a_claim, a_plan, a_snapshot, a_vm, hosted, managed

DOWN, WELL = a_plan("down"), a_plan("well", OTHER)


def at(minute: int) -> str:
    return f"2026-03-01T{minute // 60:02}:{minute % 60:02}:00Z"


def generation(
    minute: int, down: str = "complete", well: str = "complete", environments: Sequence[Environment] = (), **more: Any
) -> Snapshot:
    captures = tuple(
        Capture(plan.id.upper(), "environment service", state, at(minute))  # type: ignore[arg-type]
        for plan, state in ((DOWN, down), (WELL, well))
        if state
    )
    fields: dict[str, Any] = {
        "plans": [DOWN, WELL],
        "taken": at(minute),
        "captures": captures,
        "environments": environments,
    }
    return a_snapshot(**(fields | more))


def names(snapshot: Snapshot) -> list[str]:
    return [one.name for one in snapshot.environments]


# --- failing since ---------------------------------------------------------------------------------------------------

RUNS: list[tuple[str, list[str], str, str]] = [
    ("never captured", [], "", ""),
    ("always well", ["complete", "complete"], "", ""),
    ("failing once", ["complete", "failed"], "", at(1)),
    ("failing since", ["complete", "failed", "failed"], "", at(1)),
    ("answered in between", ["failed", "complete", "failed"], "", at(2)),
    ("answers again", ["failed", "failed", "complete"], "", ""),
    ("partly read is an answer", ["failed", "partial", "failed"], "", at(2)),
    ("not listed says nothing", ["complete", "failed", "", "failed"], "", at(1)),
    ("an assessment saw it first", ["complete", "", "failed"], at(1), at(1)),
    ("an assessment saw it and no capture did", ["complete"], at(1), at(1)),
    ("answered after that assessment", ["failed", "", "complete", "failed"], at(1), at(3)),
    ("the captures knew before the assessment", ["complete", "failed", "failed"], at(2), at(1)),
]


@pytest.mark.parametrize(("states", "earlier", "since"), [run[1:] for run in RUNS], ids=[run[0] for run in RUNS])
def test_since_when_a_plan_fails(states: list[str], earlier: str, since: str) -> None:
    generations = [generation(minute, state) for minute, state in enumerate(states)]
    assert failing_since(DOWN.id, generations, earlier) == since


def test_a_failure_of_another_plan_does_not_count() -> None:
    assert failing_since(DOWN.id, [generation(0, "complete", "failed")]) == ""
    assert capture_of("/nowhere", generation(0)) is None


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["complete", "partial", "failed", ""]), max_size=8))
def test_it_is_failing_exactly_when_the_last_reading_failed_and_since_the_first_of_that_row(states: list[str]) -> None:
    since = failing_since(DOWN.id, [generation(minute, state) for minute, state in enumerate(states)])
    read = [(minute, state) for minute, state in enumerate(states) if state]
    expected = ""
    while read and read[-1][1] == "failed":
        expected = at(read.pop()[0])
    assert since == expected


def test_the_cutoff_is_the_first_failure_or_the_claim_whichever_is_earlier() -> None:
    early, late = a_claim(LOST, at(5)), a_claim(LOST, at(50))
    assert cutoff(at(20), [], LOST) == at(20)
    assert cutoff(at(20), [late, early], LOST) == at(5)
    assert cutoff(at(20), [late], LOST) == at(20)
    assert cutoff(at(20), [a_claim(OTHER, at(5))], LOST) == at(20)
    assert cutoff("", [early], LOST) == ""
    assert cutoff(at(20), [a_claim(LOST, "")], LOST) == at(20)


# --- compose ---------------------------------------------------------------------------------------------------------


def test_without_a_generation_there_is_nothing_to_compose() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        compose([], {})


def test_each_plan_comes_from_its_newest_whole_capture_before_its_own_cutoff() -> None:
    generations = [
        generation(0, environments=[managed("old", DOWN), managed("old", WELL)]),
        generation(10, environments=[managed("new", DOWN), managed("new", WELL)]),
        generation(20, "failed", environments=[managed("new", DOWN), managed("newest", WELL)]),
        generation(30, environments=[managed("spoiled", DOWN), managed("latest", WELL)]),
    ]
    assert names(compose(generations, {DOWN.id.lower(): at(20)})) == ["new", "latest"]
    assert names(compose(generations, {DOWN.id.lower(): at(5)})) == ["old", "latest"]
    assert names(compose(generations, {})) == ["spoiled", "latest"]


def test_a_capture_at_the_very_moment_of_the_cutoff_is_not_trusted() -> None:
    generations = [
        generation(0, environments=[managed("old", DOWN)]),
        generation(20, environments=[managed("new", DOWN)]),
    ]
    assert names(compose(generations, {DOWN.id.lower(): at(20)})) == ["old"]


def test_with_nothing_from_before_a_later_whole_capture_is_better_than_none() -> None:
    generations = [
        generation(30, environments=[managed("late", DOWN)]),
        generation(40, "failed", environments=[managed("carried", DOWN)]),
    ]
    assert names(compose(generations, {DOWN.id.lower(): at(20)})) == ["late"]
    assert names(compose([generations[1]], {DOWN.id.lower(): at(20)})) == ["carried"]


def test_the_baseline_of_a_host_is_the_one_of_the_capture_its_environment_comes_from() -> None:
    box = a_vm("box")
    changed = msgspec.structs.replace(box, name="reimaged")
    generations = [
        generation(0, environments=[hosted("web", DOWN, box)], hosts=[box]),
        generation(30, "failed", environments=[hosted("web", DOWN, changed)], hosts=[changed]),
    ]
    assert [host.name for host in compose(generations, {DOWN.id.lower(): at(20)}).hosts] == ["box"]
    assert [host.name for host in compose(generations, {}).hosts] == ["box"]


def test_a_failing_plan_that_a_later_list_left_out_is_not_forgotten() -> None:
    generations = [
        generation(0, environments=[managed("api", DOWN)]),
        generation(30, "", plans=[WELL], environments=[managed("other", WELL)]),
    ]
    composed = compose(generations, {DOWN.id.lower(): at(20)})
    assert {plan.name for plan in composed.plans} == {"down", "well"}
    assert sorted(names(composed)) == ["api", "other"]
    assert [plan.name for plan in compose(generations, {}).plans] == ["well"]


BOXES = [a_vm(f"box{number}") for number in range(3)]


@st.composite
def spoiled(draw: st.DrawFn) -> list[Snapshot]:
    """Generations of the middle of the outage: the failing plan failed, partly read, wholly but wrongly read, or missing."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        hosts = [msgspec.structs.replace(host, name=f"spoiled{number}") for host in draw(st.permutations(BOXES))]
        environments: list[Environment] = [managed("fine", WELL)]
        for name in draw(st.sets(st.sampled_from(["web", "api", "stranger"]))):
            environments.append(managed(name, DOWN, state=f"spoiled{number}", host=None))
        plans: list[Plan] = [msgspec.structs.replace(DOWN, tags={"spoiled": "yes"}), WELL]
        found.append(
            generation(
                30 + number,
                draw(st.sampled_from(["failed", "partial", "complete", ""])),
                environments=environments,
                hosts=hosts[: draw(st.integers(0, 3))],
                plans=plans if draw(st.booleans()) else [WELL],
            )
        )
    return found


@settings(max_examples=100)
@given(spoiled())
def test_captures_by_a_timer_in_the_middle_of_the_outage_spoil_nothing(later: list[Snapshot]) -> None:
    before = [
        generation(0, hosts=BOXES, environments=[managed("older", DOWN), managed("fine", WELL)]),
        generation(
            10,
            hosts=BOXES,
            environments=[hosted("web", DOWN, BOXES[0]), managed("api", DOWN), managed("fine", WELL)],
        ),
    ]
    cutoffs = {DOWN.id.lower(): at(20)}
    expected, found = compose(before, cutoffs), compose([*before, *later], cutoffs)

    def told(snapshot: Snapshot) -> tuple[list[Plan], list[Environment], list[Host]]:
        plans = sorted(snapshot.plans, key=lambda one: one.id)
        return plans, sorted(snapshot.environments, key=lambda one: (one.plan, one.id)), list(snapshot.hosts)

    assert told(found) == told(expected)
