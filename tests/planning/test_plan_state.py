"""The state of a plan, whatever was read of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Literal, get_args

import pytest

from drkit.model.estate import PlanState
from drkit.planning.plan_state import Answer, Heard, PlanSignals, heard, plan_state

ANSWERS: tuple[Answer, ...] = get_args(Answer)
ARM: tuple[Literal["found", "gone", "unreachable"], ...] = ("found", "gone", "unreachable")
EVERY = [
    PlanSignals(
        service=service,
        listing=listing,
        control=control,
        arm=arm,
        claimed=claimed,
        live=live,
        dead=dead,
    )
    for service, listing, control, arm, claimed, live, dead in product(
        ANSWERS, ANSWERS, ANSWERS, ARM, (False, True), (0, 2), (0, 1, 2, 3)
    )
]
BAD = PlanSignals(service="no", listing="no", control="yes", arm="found", claimed=True)


# --- plan states -----------------------------------------------------------------------------------------------------


def test_every_combination_has_a_state_and_a_reason() -> None:
    for signals in EVERY:
        state, reason = plan_state(signals)
        assert state in get_args(PlanState)
        assert reason


def test_a_plan_is_lost_only_on_our_own_observation_a_working_control_and_a_claim() -> None:
    lost = [signals for signals in EVERY if plan_state(signals)[0] == "lost"]
    assert lost
    for signals in lost:
        assert signals.listing != "yes"
        assert signals.service == "no"
        assert signals.control == "yes"
        assert signals.claimed


def test_a_claim_alone_changes_nothing_but_unreachable_into_lost() -> None:
    for signals in EVERY:
        without, claimed = (plan_state(replace(signals, claimed=claim))[0] for claim in (False, True))
        assert (without, claimed) == ("unreachable", "lost") or without == claimed


def test_a_plan_that_is_listed_answers_or_is_degraded_whatever_else_is_said() -> None:
    for signals in EVERY:
        if signals.listing == "yes":
            assert plan_state(signals)[0] == ("degraded" if signals.dead > signals.live else "answering")


STORIES: list[tuple[str, PlanSignals, str]] = [
    ("lost", BAD, "lost"),
    ("nobody claims it yet", replace(BAD, claimed=False), "unreachable"),
    ("it is our own network", replace(BAD, control="no"), "unknown"),
    ("nothing to compare with", replace(BAD, control="unknown"), "unknown"),
    ("not asked", PlanSignals(claimed=True, control="yes"), "unknown"),
    ("its service answers, not for the plan", replace(BAD, service="yes"), "degraded"),
    ("deleted", replace(BAD, service="yes", arm="gone"), "gone"),
    ("deleted, and its service says so", replace(BAD, arm="gone"), "gone"),
    ("a false alarm", PlanSignals(service="yes", listing="yes", control="yes", claimed=True, live=5), "answering"),
    ("listed, and most are dead", PlanSignals(listing="yes", live=1, dead=2), "degraded"),
    ("listed, and half are dead", PlanSignals(listing="yes", live=2, dead=2), "answering"),
    ("listed and empty", PlanSignals(listing="yes"), "answering"),
]


@pytest.mark.parametrize(("signals", "state"), [story[1:] for story in STORIES], ids=[story[0] for story in STORIES])
def test_state_of_a_plan(signals: PlanSignals, state: str) -> None:
    assert plan_state(signals)[0] == state


def test_the_reason_for_degraded_counts() -> None:
    assert "2 of 3" in plan_state(PlanSignals(listing="yes", live=1, dead=2))[1]


# --- a service that does not answer, and hosts that were heard a moment ago ----------------------------------------------

SILENT = PlanSignals(
    service="no", listing="yes", control="yes", arm="found", live=3, heard_at="12:00", settled_at="12:05"
)


def at(minute: float) -> str:
    return f"2026-11-23T08:{int(minute):02}:{int(minute % 1 * 60):02}Z"


@pytest.mark.parametrize(
    ("last", "silent", "claimed", "now", "word"),
    [
        ("", at(1), "", at(2), ""),
        (at(10), at(10.5), "", at(11), "open"),
        (at(10), at(10.5), at(9), at(11), "open"),
        (at(10), at(10.5), at(10.2), at(11), "before"),
        (at(10), at(10.5), "", at(15), "open"),
        (at(10), at(10.5), "", at(15.5), "before"),
        (at(11), at(10.5), "", at(15.5), "before"),
        (at(12), at(10.5), at(9), at(12), "since"),
    ],
)
def test_reports_of_hosts_count_when_they_go_on_after_the_service_fell_silent(
    last: str, silent: str, claimed: str, now: str, word: str
) -> None:
    assert heard(last, silent, claimed, now) == word


@pytest.mark.parametrize(
    ("word", "claimed", "state", "said"),
    [
        ("open", True, "unreachable", "at 12:05"),
        ("open", False, "unreachable", "at 12:05"),
        ("before", True, "lost", "until 12:00, and not since"),
        ("before", False, "unreachable", "nobody claims"),
        ("since", True, "answering", "does not answer drkit, and its hosts go on reporting"),
    ],
)
def test_a_dead_service_is_never_outvoted_by_hosts_that_were_alive_a_few_minutes_ago(
    word: Heard, claimed: bool, state: str, said: str
) -> None:
    found = plan_state(replace(SILENT, heard=word, claimed=claimed))
    assert found[0] == state
    assert said in found[1]
