"""How a plan is, what claims its loss, and whether to wait or to move."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Advice, PlanState
from drkit.planning.plan_state import (
    Answer,
    Heard,
    PlanSignals,
    heard,
    move_minutes,
    plan_state,
    read_claims,
    wait_or_move,
)
from drkit.planning.recovery_point import cutoff

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


# --- claims ----------------------------------------------------------------------------------------------------------

EXAMPLE = Path(__file__).parents[3] / "shared/data/examples/servicehealth_events_list_by_subscription.json"
REGIONS = {"westus": "westus", "westeurope": "westeurope"}
SERVICES = ("Virtual Machines", "Visual Studio")


def an_event(region: str = "West Europe", service: str = "Virtual Machines", **more: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "eventType": "ServiceIssue",
        "eventLevel": "Warning",
        "status": "Active",
        "title": "an outage",
        "impactStartTime": "2026-03-01T08:00:00Z",
        "impact": [{"impactedService": service, "impactedRegions": [{"impactedRegion": region, "status": "Active"}]}],
    }
    return {"name": "BC_1-FXZ", "properties": properties | more}


def claimed(*events: Any) -> list[str]:
    return [claim.region for claim in read_claims(events, REGIONS, SERVICES)[0]]


def why_not(*events: Any) -> list[str]:
    return [statement.why_not for statement in read_claims(events, REGIONS, SERVICES)[1]]


def test_an_active_warning_about_a_region_and_a_service_we_depend_on_is_a_claim() -> None:
    (claim,), statements = read_claims([an_event()], REGIONS, SERVICES)
    assert (claim.region, claim.kind, claim.id, claim.who) == ("westeurope", "service-health", "BC_1-FXZ", "Microsoft")
    assert (claim.since, claim.text, claim.services) == ("2026-03-01T08:00:00Z", "an outage", ("Virtual Machines",))
    assert statements == []


@pytest.mark.parametrize("level", ["Warning", "Error", "Critical", "warning"])
def test_levels_that_claim(level: str) -> None:
    assert claimed(an_event(eventLevel=level)) == ["westeurope"]
    assert claimed(an_event(eventLevel=None, level=level)) == ["westeurope"]


NO_CLAIMS: list[tuple[str, dict[str, Any], str]] = [
    ("informational", {"eventLevel": "Informational"}, "level informational"),
    ("no level", {"eventLevel": None}, "level unknown"),
    ("resolved", {"status": "Resolved"}, "resolved"),
    ("maintenance", {"eventType": "PlannedMaintenance"}, "PlannedMaintenance"),
    ("no type", {"eventType": None}, "no known type"),
    ("withdrawn", {"eventTags": ["Action Recommended", "False Positive"]}, "false positive"),
    ("another service", {"service": "Azure Batch"}, "Azure Batch"),
    ("no service", {"service": None}, "no named service"),
]


@pytest.mark.parametrize(("change", "said"), [one[1:] for one in NO_CLAIMS], ids=[one[0] for one in NO_CLAIMS])
def test_what_claims_nothing_is_shown_with_why_not(change: dict[str, Any], said: str) -> None:
    event = an_event(**change) if "service" not in change else an_event(service=change["service"])
    assert claimed(event) == []
    (why,) = why_not(event)
    assert said in why


def test_a_region_that_recovered_is_no_longer_claimed_while_another_still_is() -> None:
    event = an_event()
    event["properties"]["impact"][0]["impactedRegions"] = [
        {"impactedRegion": "West Europe", "status": "Resolved"},
        {"impactedRegion": "West US", "status": "Active"},
    ]
    assert claimed(event) == ["westus"]
    assert why_not(event) == ["resolved"]


def test_regions_are_known_by_any_spelling_and_unknown_ones_kept() -> None:
    assert claimed(an_event("WEST  europe"), an_event("westus")) == ["westeurope", "westus"]
    assert claimed(an_event("New Place")) == ["newplace"]


def test_one_event_claims_a_region_once_however_many_services_it_names() -> None:
    event = an_event()
    event["properties"]["impact"] *= 3
    assert claimed(event) == ["westeurope"]


def test_the_published_example_was_withdrawn_and_claims_nothing_until_the_tag_is_gone() -> None:
    if not EXAMPLE.exists():
        pytest.skip("the published examples are not beside this checkout")
    body = json.loads(EXAMPLE.read_text("utf-8"))["responses"]["200"]["body"]
    claims, (statement,) = read_claims(body["value"], REGIONS, SERVICES)
    assert claims == []
    assert (statement.region, statement.id, statement.why_not) == (
        "westus",
        "BC_1-FXZ",
        "withdrawn as a false positive",
    )
    body["value"][0]["properties"]["eventTags"].remove("False Positive")
    (claim,), _ = read_claims(body["value"], REGIONS, SERVICES)
    assert claim.region == "westus"
    assert claim.since == "2025-05-12T14:45:48Z"


ODD: list[Any] = [None, 7, "text", [], {}, [None], [[]], {"a": None}, True, 1e300]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*at, index))
    return found


def spoilt(at: tuple[Any, ...], by: Any) -> Any:
    events = [an_event(eventTags=["Preliminary PIR"])]
    if not at:
        return by if isinstance(by, list) else [by]
    inner: Any = events
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = copy.deepcopy(by)
    return events


@pytest.mark.parametrize("at", places([an_event(eventTags=["Preliminary PIR"])]), ids=str)
def test_odd_values_anywhere_in_an_event_harm_nothing(at: tuple[Any, ...]) -> None:
    for by in ODD:
        claims, statements = read_claims(spoilt(at, by), REGIONS, SERVICES)
        for claim in claims:
            assert cutoff("2026-03-02T00:00:00Z", claims, claim.region)
            assert not claim.since or parse_time(claim.since)
        assert len(claims) + len(statements) <= 1


def test_a_missing_field_anywhere_in_an_event_harms_nothing() -> None:
    for at in places([an_event()]):
        if at and isinstance(at[-1], str):
            events: Any = [an_event()]
            inner = events
            for key in at[:-1]:
                inner = inner[key]
            del inner[at[-1]]
            read_claims(events, REGIONS, SERVICES)


def test_a_start_without_a_time_zone_is_utc_and_one_that_is_no_time_is_left_out() -> None:
    for start, since in (("2026-03-01T08:00:00", "2026-03-01T08:00:00Z"), ("yesterday", ""), (None, ""), (12, "")):
        (claim,), _ = read_claims([an_event(impactStartTime=start)], REGIONS, SERVICES)
        assert claim.since == since


# --- wait or move ----------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def advised(state: PlanState = "lost", ago: float | None = 30, **more: float) -> Advice:
    numbers: dict[str, float] = {
        "expected_outage_minutes": 240,
        "decision_minutes": 15,
        "forecast_minutes": 45,
        "objective_minutes": 240,
    }
    since = "" if ago is None else rfc3339(NOW - timedelta(minutes=ago))
    return wait_or_move(state, failing_since=since, now=NOW, **(numbers | more))


def test_moving_is_advised_when_it_is_sooner_than_the_wait() -> None:
    advice = advised()
    assert (advice.advice, advice.wait_minutes, advice.move_minutes) == ("move", 210, 60)
    assert "60 min" in advice.reason
    assert "210 min" in advice.reason
    assert "can be met by moving" in advice.reason
    assert any("240 min" in one and "30 min have passed" in one for one in advice.assumed)
    assert any("15 min" in one for one in advice.assumed)


def test_waiting_is_advised_when_the_move_takes_longer() -> None:
    advice = advised(ago=200)
    assert (advice.advice, advice.wait_minutes, advice.move_minutes) == ("wait", 40, 60)
    assert "out of reach" in advice.reason


def test_an_outage_of_unknown_beginning_has_just_begun_and_one_from_the_future_too() -> None:
    assert advised(ago=None).wait_minutes == 240
    assert advised(ago=-30).wait_minutes == 240


@pytest.mark.parametrize("state", [state for state in get_args(PlanState) if state != "lost"])
def test_nothing_is_moved_that_is_not_lost(state: PlanState) -> None:
    advice = advised(state)
    assert advice.advice == ("nothing" if state == "answering" else "wait")
    assert advice.reason


minutes = st.floats(0, 10_000, allow_nan=False)


@given(minutes, minutes, minutes, minutes, minutes)
def test_moving_is_advised_exactly_when_it_is_sooner(
    ago: float, outage: float, decision: float, forecast: float, objective: float
) -> None:
    advice = advised(
        "lost",
        round(ago),
        expected_outage_minutes=outage,
        decision_minutes=decision,
        forecast_minutes=forecast,
        objective_minutes=objective,
    )
    passed = round(ago)
    assert advice.wait_minutes == pytest.approx(outage - passed if passed < outage else passed)
    assert advice.move_minutes == decision + forecast
    assert (advice.advice == "move") == (advice.move_minutes < advice.wait_minutes)


def test_the_forecast_grows_with_the_work_and_is_nothing_for_nothing() -> None:
    assert move_minutes(0, 0, 0, 30) == 0
    assert move_minutes(1, 0, 0, 30) < move_minutes(1, 1, 0, 30) < move_minutes(1, 40, 0, 30)
    assert move_minutes(1, 40, 0, 30) < move_minutes(1, 40, 8, 30) < move_minutes(1, 40, 80, 30)
    assert move_minutes(1, 0, 4, 30) < move_minutes(1, 0, 4, 60)


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
