"""The bodies of health signals against those that Azure published: names, types, nesting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulator.test_activity_log import AT_ONCE, span
from tests.simulator.test_published_shapes import DATA, STATUS_EXCEPTIONS, example, merged, nested, unlike
from tests.simulator.test_resource_graph import CHANGES, EVENTS, MACHINES, STATES, ask
from tests.support.simulator_thread import SUB, Running, host, seed, vm_id

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published examples are not beside the repository")

REST = "azure-rest-api-specs, the definition behind the example"
SCHEMA = "azure-monitor-docs, activity-log-schema.md"
LOG_EXCEPTIONS = {
    "properties.eventCategory": f"{SCHEMA}, administrative category",
    "properties.entity": f"{SCHEMA}, administrative category",
    "properties.currentHealthStatus": f"{SCHEMA}, resource health properties as exported",
    "properties.previousHealthStatus": f"{SCHEMA}, resource health properties as exported",
    "properties.type": f"{SCHEMA}, resource health properties as exported",
    "properties.cause": f"{SCHEMA}, resource health properties as exported",
}
METRIC_EXCEPTIONS: dict[str, str] = {}
ANNOTATION_EXCEPTIONS = {"impactType": "resource-health-vm-annotation.md: the impact type is a property of each"}
CHANGE_EXCEPTIONS: dict[str, str] = {}
CHANGE_FREE = "changes"
"""Its members are the paths of what changed."""


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With everything the sources have words for, told at once."""
    born = {"vm": {"created": "2026-01-01T00:00:00Z"}}
    signals = {"delays": AT_ONCE | {"graph": [0, 0]}}
    hosts = [host("web-01", "dev-ne", "northeurope", **born), host("web-02", "dev-we", "westeurope", **born)]
    running = Running(tmp_path_factory.mktemp("shapes"), seed(hosts=hosts, signals=signals))
    for ago in (50, 40, 30, 20):
        running.control("host", id=vm_id("web-01"), event="heal", minutes_ago=ago)
    running.control("host", id=vm_id("web-01"), event="stop", minutes_ago=10)
    running.control("lose", region="westeurope", minutes_ago=90, announce_after=12, emerging=5)
    running.resources().resource_groups.create_or_update("made", {"location": "northeurope"})
    yield running
    running.stop()


def raw(name: str) -> Any:
    return json.loads((DATA / "examples" / name).read_text("utf-8"))


def log(azure: Running) -> list[dict[str, Any]]:
    url = f"/subscriptions/{SUB}/providers/Microsoft.Insights/eventtypes/management/values"
    return list(azure.get(url, **{"$filter": span(azure)}).json()["value"])


PUBLISHED_LOGS = {
    "ResourceHealth": "activity_log_event_resourcehealth.json",
    "ServiceHealth": "activity_log_event_servicehealth.json",
}


@pytest.mark.parametrize("category", [*PUBLISHED_LOGS, "Administrative"])
def test_events_of_the_activity_log(azure: Running, category: str) -> None:
    found = [event for event in log(azure) if event["category"]["value"] == category]
    assert found
    generic = example("activity_log_list_generic.json")["value"][0]
    health = raw(PUBLISHED_LOGS["ResourceHealth"])
    published = raw(PUBLISHED_LOGS[category]) if category in PUBLISHED_LOGS else health | generic
    if category == "ServiceHealth":
        published |= {"operationId": "", "resourceGroupName": ""}
    for event in found:
        if category == "Administrative":
            event = event | {"claims": {}, "relatedEvents": []}
        exceptions = LOG_EXCEPTIONS | {"properties.statusCode": REST}
        assert list(unlike(event, published, exceptions)) == []


def test_what_is_json_in_a_string_is_published_so(azure: Running) -> None:
    (event,) = [event for event in log(azure) if event["category"]["value"] == "ServiceHealth"]
    told = json.loads(event["properties"]["impactedServices"])
    published = json.loads(raw(PUBLISHED_LOGS["ServiceHealth"])["properties"]["impactedServices"])
    assert list(unlike(told, published, {})) == []
    assert event["properties"].keys() == raw(PUBLISHED_LOGS["ServiceHealth"])["properties"].keys()


def test_a_metric(azure: Running) -> None:
    query = {"metricnames": "VmAvailabilityMetric", "aggregation": "Average,Minimum,Maximum"}
    body = azure.get(f"{vm_id('web-01')}/providers/Microsoft.Insights/metrics", **query).json()
    assert list(unlike(body, example("metrics_get.trimmed.json"), METRIC_EXCEPTIONS)) == []
    points = body["value"][0]["timeseries"][0]["data"]
    lacking = example("metrics_batch.trimmed.json")["values"][0]["value"][0]["timeseries"][0]["data"][0]
    assert {tuple(point) for point in points if "average" not in point} == {tuple(lacking)}


def test_the_history_of_a_vm(azure: Running) -> None:
    body = azure.get(f"{vm_id('web-01')}/providers/Microsoft.ResourceHealth/availabilityStatuses").json()
    wanted = example("availability_statuses_list_history.json")
    assert list(unlike(body, wanted, nested(STATUS_EXCEPTIONS))) == []
    names = [one["name"] for one in body["value"]]
    assert names[0] == "current"
    assert len(names) == 10
    assert all(name[10] == "+" and "%3a" in name for name in names[1:])


def test_rows_of_health_resources(azure: Running) -> None:
    for kind, name in (("availabilitystatuses", "availabilitystatus"), ("resourceannotations", "resourceannotation")):
        query = STATES.replace("availabilitystatuses", kind)
        rows = ask(azure, query).json()["data"]
        published = raw(f"healthresources_properties_{name}.json")
        for row in rows:
            assert list(unlike(row["properties"], published, ANNOTATION_EXCEPTIONS)) == []
        assert rows[0]["properties"].keys() >= published.keys()


def test_rows_of_changes(azure: Running) -> None:
    published = raw("resourcechanges_properties.json")
    one = merged(list(published["changes"].values()))
    rows = ask(azure, CHANGES).json()["data"]
    assert rows
    for row in rows:
        told = row["properties"]
        assert list(unlike(told, published, CHANGE_EXCEPTIONS | {CHANGE_FREE: "paths of what changed"})) == []
        assert all(list(unlike(change, one, {})) == [] for change in told["changes"].values())


def test_the_answer_to_a_query(azure: Running) -> None:
    wanted = example("resource_graph_basic_query.json") | {"facets": [], "$skipToken": ""}
    for query in (MACHINES, CHANGES, EVENTS):
        body = ask(azure, query, role="operator").json()
        assert isinstance(body["data"], list)
        assert list(unlike(body | {"data": {}}, wanted, {})) == []


EMERGING = {
    "name": "default",
    "type": "",
    "id": "",
    "properties": {
        "refreshTimestamp": "",
        "statusBanners": [{"cloud": "", "lastModifiedTime": "", "message": "", "title": ""}],
        "statusActiveEvents": [
            {
                **dict.fromkeys(("cloud", "description", "lastModifiedTime", "severity", "stage", "startTime"), ""),
                **dict.fromkeys(("title", "trackingId"), ""),
                "published": True,
                "impacts": [{"name": "", "id": "", "regions": [{"name": "", "id": ""}]}],
            }
        ],
    },
}
"""azure-rest-api-specs, resourcehealth 2025-05-01, EmergingIssues_Get.json, its names and types."""


def test_emerging_issues(azure: Running) -> None:
    body = azure.get("/providers/Microsoft.ResourceHealth/emergingIssues/default").json()
    assert list(unlike(body, EMERGING, {})) == []
    (event,) = body["properties"]["statusActiveEvents"]
    assert event["impacts"][0]["regions"] == [{"name": "West Europe", "id": "europe-west"}]
    assert (event["stage"], event["severity"]) == ("Active", "Warning")
