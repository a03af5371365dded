"""Which events of Service Health claim that a region is lost."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from drkit.model.clock import parse_time
from drkit.planning.outage_claims import read_claims
from drkit.planning.recovery_point import cutoff

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
