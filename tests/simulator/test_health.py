"""What Resource Health and Service Health say, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.simulator_thread import OTHER_SUB, SUB, Running, vm_id

Fresh = Callable[..., Running]
STATUSES = f"/subscriptions/{SUB}/providers/Microsoft.ResourceHealth/availabilityStatuses"
EVENTS = f"/subscriptions/{SUB}/providers/Microsoft.ResourceHealth/events"


def statuses(azure: Running) -> dict[str, dict[str, Any]]:
    """VM name -> properties of its current status."""
    found = azure.get(STATUSES).json()["value"]
    return {one["id"].split("/")[8]: one["properties"] for one in found}


def test_healthy_vms_are_available(azure: Running) -> None:
    assert {name: one["availabilityState"] for name, one in statuses(azure).items()} == {
        "web-01": "Available",
        "web-02": "Available",
        "stray": "Available",
        "win-01": "Available",
    }


def test_one_vm_is_asked_by_its_id(azure: Running) -> None:
    at = "/providers/Microsoft.ResourceHealth/availabilityStatuses/current"
    assert azure.get(vm_id("web-01") + at).json()["name"] == "current"
    missing = azure.get(vm_id("nobody") + at)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ResourceNotFound")


def test_a_vm_that_its_owner_stopped_is_distinguished_from_one_that_the_platform_lost(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("host", id=vm_id("web-01"), event="stop")
    azure.control("lose", region="westeurope", announce=False)
    found = statuses(azure)
    assert (found["web-01"]["availabilityState"], found["web-01"]["context"]) == ("Unavailable", "Customer Initiated")
    assert (found["web-02"]["availabilityState"], found["web-02"]["context"]) == ("Unavailable", "Platform Initiated")
    assert found["stray"]["availabilityState"] == "Available"
    azure.control("restore", region="westeurope")
    back = statuses(azure)["web-02"]
    assert back["availabilityState"] == "Available"
    assert back["recentlyResolved"]["unavailableOccuredTime"] < back["recentlyResolved"]["resolvedTime"]


def test_a_healed_vm_remembers_that_it_was_down(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("host", id=vm_id("web-01"), event="heal")
    assert "recentlyResolved" in statuses(azure)["web-01"]


def test_service_health_speaks_late_and_in_display_names(fresh: Fresh) -> None:
    azure = fresh(speed=60.0)
    azure.control("announce", region="westeurope", after_minutes=1)
    assert azure.get(EVENTS).json()["value"] == []
    while not (found := azure.get(EVENTS).json()["value"]):
        pass
    event = found[0]["properties"]
    assert (event["status"], event["level"], event["eventType"]) == ("Active", "Warning", "ServiceIssue")
    assert {r["impactedRegion"] for i in event["impact"] for r in i["impactedRegions"]} == {"West Europe"}
    assert event["impactStartTime"] < event["lastUpdateTime"]


def test_the_loss_of_a_region_is_announced_ten_to_sixty_minutes_later(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("lose", region="westeurope")
    (event,) = azure.simulator.world.events
    assert 600 <= (event["visible"] - event["started"]).total_seconds() <= 3600
    azure.control("restore", region="westeurope")
    assert event["ended"] >= event["visible"]


def test_events_are_filtered_and_can_be_false(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("announce", region="westeurope", level="Informational", services=["Virtual Machines"])
    azure.control("announce", region="eastus", false_positive=True)
    here = azure.get(EVENTS, **{"$filter": "region eq 'West Europe'"}).json()["value"]
    assert [one["properties"]["eventLevel"] for one in here] == ["Informational"]
    azure.control("announce", region="eastus", subscriptions=[OTHER_SUB])
    codespaces = azure.get(EVENTS, **{"$filter": "service eq 'Visual Studio Codespaces'"}).json()["value"]
    assert [one["properties"]["eventTags"] for one in codespaces] == [["False Positive"]]


@pytest.mark.parametrize(("since", "status"), [("7/24/2020", 200), ("2020-07-24T00:00:00Z", 200), ("yesterday", 400)])
def test_the_start_of_the_window_is_a_date(azure: Running, since: str, status: int) -> None:
    assert azure.get(EVENTS, queryStartTime=since).status_code == status
