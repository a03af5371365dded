"""Resource Graph and Azure Monitor: pages, quotas, and malformed answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drkit.errors import UnreachableError
from drkit.providers.resource_graph import SECONDS
from drkit.providers.session import Session
from drkit.survey import activity_log, health, vm_annotations
from tests.support.https_server import Answer, FakeClock, Seen, Server

SUB = "11111111-1111-4111-8111-111111111111"
VM = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
GRAPH = r"ResourceGraph/resources$"
LOG = r"eventtypes/management/values$"
SINCE, UNTIL = datetime(2026, 11, 23, 7, 0, tzinfo=UTC), datetime(2026, 11, 23, 7, 30, tzinfo=UTC)


def page(*rows: Any, token: str = "") -> Answer:
    body: dict[str, Any] = {"data": list(rows), "count": len(rows)}
    return Answer(json=body | ({"$skipToken": token} if token else {}))


async def test_every_page_of_a_query_is_read(reader: Session, server: Server) -> None:
    server.on("POST", GRAPH, page({"id": "1"}, token="a"), page(token="b"), page({"id": "2"}, None, 7))
    assert await reader.graph.query("resources", [SUB]) == [{"id": "1"}, {"id": "2"}]
    tokens = [json_of(seen)["options"].get("$skipToken") for seen in server.calls("POST", GRAPH)]
    assert tokens == [None, "a", "b"]


def json_of(seen: Seen) -> Any:
    import json

    return json.loads(seen.body)


async def test_a_repeated_token_ends_the_query(reader: Session, server: Server) -> None:
    server.on("POST", GRAPH, page({"id": "1"}, token="a"))
    with pytest.raises(UnreachableError, match="circle"):
        await reader.graph.query("resources", [SUB])


async def test_no_more_queries_than_the_quota_allows_are_sent(
    reader: Session, server: Server, clock: FakeClock
) -> None:
    server.on("POST", GRAPH, page())
    for _ in range(16):
        await reader.graph.query("resources", [SUB])
    assert clock.at >= SECONDS


async def test_an_exhausted_quota_is_waited_for(reader: Session, server: Server, clock: FakeClock) -> None:
    spent = {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:03"}
    server.on("POST", GRAPH, Answer(json={"data": []}, headers=spent), page())
    await reader.graph.query("resources", [SUB])
    await reader.graph.query("resources", [SUB])
    assert 3 <= clock.at < 5


@pytest.mark.parametrize("body", [{}, [], {"data": "x"}, {"data": None}])
async def test_annotations_that_cannot_be_read_are_reported(reader: Session, server: Server, body: Any) -> None:
    server.on("POST", GRAPH, Answer(json=body))
    annotations, unread = await vm_annotations.read(reader, [SUB])
    assert annotations == {}
    assert len(unread) == 2


def event(**more: Any) -> dict[str, Any]:
    return {
        "eventTimestamp": "2026-11-23T07:10:00Z",
        "operationName": {"value": "Microsoft.Compute/virtualMachines/restart/action"},
        "resourceId": VM,
        "caller": "ada@contoso.com",
        "status": {"value": "Succeeded"},
        "claims": {"name": "Ada"},
        "authorization": {"scope": VM},
        **more,
    }


async def test_the_log_of_one_machine_is_read_with_an_allowed_filter(reader: Session, server: Server) -> None:
    server.on("GET", LOG, Answer(json={"value": [event()]}))
    (entry,) = await reader.monitor.activity(SUB, SINCE, UNTIL, resource=VM)
    assert "claims" not in entry
    assert "authorization" not in entry
    (seen,) = server.calls("GET", LOG)
    assert seen.query["$filter"] == (
        f"eventTimestamp ge '2026-11-23T07:00:00Z' and eventTimestamp le '2026-11-23T07:30:00Z' and resourceUri eq '{VM}'"
    )


async def test_every_page_of_the_log_is_read(reader: Session, server: Server) -> None:
    url = f"{server.url}/subscriptions/{SUB}/providers/Microsoft.Insights/eventtypes/management/values?page="
    server.on(
        "GET",
        LOG,
        Answer(json={"value": [event()], "nextLink": f"{url}2"}),
        Answer(json={"value": [], "nextLink": f"{url}3"}),
        Answer(json={"value": [event(caller="bob@contoso.com")]}),
    )
    entries = await reader.monitor.activity(SUB, SINCE, UNTIL)
    assert [entry["caller"] for entry in entries] == ["ada@contoso.com", "bob@contoso.com"]


async def test_a_repeated_page_of_the_log_is_reported(reader: Session, server: Server, clock: FakeClock) -> None:
    url = f"{server.url}/subscriptions/{SUB}/providers/Microsoft.Insights/eventtypes/management/values?page=2"
    server.on("GET", LOG, Answer(json={"value": [event()], "nextLink": url}))
    readings, why = await activity_log.read_machine(reader, SUB, VM, SINCE, clock)
    assert readings == []
    assert "circle" in why


@pytest.mark.parametrize(
    "odd",
    [
        {"eventTimestamp": 5},
        {"properties": [1]},
        {"operationName": "plain"},
        {"status": 7},
        {"resourceId": None},
        {"new": {}},
    ],
)
async def test_an_event_with_members_of_odd_types_is_read(
    reader: Session, server: Server, clock: FakeClock, odd: Any
) -> None:
    server.on("GET", LOG, Answer(json={"value": [event(**odd), event()]}))
    readings, why = await activity_log.read_machine(reader, SUB, VM, SINCE, clock)
    assert why == ""
    assert [reading.value for reading in readings][-1] == "restart"


@pytest.mark.parametrize("body", [{}, {"value": None}, []])
async def test_an_answer_that_is_not_a_log_is_reported(
    reader: Session, server: Server, clock: FakeClock, body: Any
) -> None:
    server.on("GET", LOG, Answer(json=body))
    readings, why = await activity_log.read_machine(reader, SUB, VM, SINCE, clock)
    assert (readings, bool(why)) == ([], True)


async def test_service_health_that_does_not_answer_is_read_from_the_log(
    reader: Session, server: Server, clock: FakeClock
) -> None:
    impacted = '[{"ImpactedRegions":[{"RegionName":"West Europe"}],"ServiceName":"Virtual Machines"}]'
    properties = {"trackingId": "T-1", "incidentType": "Incident", "stage": "Active", "impactedServices": impacted}
    logged = event(operationName={"value": "Microsoft.ServiceHealth/incident/action"}, properties=properties)
    server.on(
        "GET", r"ResourceHealth/events$", Answer(403, json={"error": {"code": "AuthorizationFailed", "message": ""}})
    )
    server.on("GET", LOG, Answer(json={"value": [logged]}))
    events, unread = await health.events(reader, [SUB], clock)
    assert [entry["name"] for entry in events] == ["T-1"]
    assert len(unread) == 1


async def test_a_forbidden_history_is_reported(reader: Session, server: Server, clock: FakeClock) -> None:
    server.on(
        "GET", r"availabilityStatuses$", Answer(403, json={"error": {"code": "AuthorizationFailed", "message": ""}})
    )
    readings, why = await health.history(reader, VM, clock)
    assert readings == []
    assert VM in why
