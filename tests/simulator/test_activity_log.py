"""The activity log and the availability metric, read by the genuine client of Azure Monitor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import ClientSecretCredential as AioCredential
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.monitor.aio import MonitorManagementClient as AioMonitor

from tests.support.simulator_thread import SUB, Running, host, seed, vm_id

Fresh = Callable[..., Running]
BORN = {"vm": {"created": "2026-01-01T00:00:00Z"}}
AT_ONCE = {"activity_log": [0, 0], "metrics": [0, 0]}
FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two hours in which much happened; the log and the metric tell it at once."""
    hosts = [host("web-01", "dev-ne", "northeurope", **BORN), host("web-02", "dev-we", "westeurope", **BORN)]
    hosts += [host("db-01", "dev-ne", "northeurope", **BORN)]
    running = Running(tmp_path_factory.mktemp("insights"), seed(hosts=hosts, signals={"delays": AT_ONCE}), speed=1.0)
    running.control("host", id=vm_id("web-01"), event="heal", minutes_ago=60)
    running.control("host", id=vm_id("web-01"), event="migrate", minutes_ago=50)
    running.control("host", id=vm_id("web-01"), event="storage-blip", minutes=0.5, minutes_ago=40)
    running.control("host", id=vm_id("web-01"), event="stop", by="ada@contoso.com", minutes_ago=30)
    running.control("host", id=vm_id("web-01"), event="start", by="ada@contoso.com", minutes_ago=20)
    running.control("lose", region="westeurope", announce_after=12, minutes_ago=90)
    running.control("host", id=vm_id("db-01"), event="crash", minutes=6, minutes_ago=10)
    yield running
    running.stop()


def monitor(azure: Running, role: str = "reader") -> MonitorManagementClient:
    options: Any = azure.client_options() | {"retry_total": 0}
    return MonitorManagementClient(azure.credential(role), SUB, **options)


def now(azure: Running) -> datetime:
    return datetime.fromisoformat(azure.view("clock")["now"])


def span(azure: Running, hours: float = 3) -> str:
    until = now(azure) + timedelta(minutes=5)
    return f"eventTimestamp ge '{until - timedelta(hours=hours):{FORMAT}}' and eventTimestamp le '{until:{FORMAT}}'"


def log(azure: Running, more: str = "", hours: float = 3, select: str | None = None) -> list[Any]:
    return list(monitor(azure).activity_logs.list(span(azure, hours) + more, select))


def told(found: list[Any]) -> list[str]:
    """Operations, newest first."""
    return [str(event.operation_name.value) for event in found]


HEALTH = "Microsoft.Resourcehealth/healthevent/{}/action"


def test_the_log_contains_requests_and_changes_of_health(azure: Running) -> None:
    found = log(azure, f" and resourceUri eq '{vm_id('web-01')}'")
    assert told(found) == [
        "Microsoft.Compute/virtualMachines/start/action",
        HEALTH.format("Resolved"),
        "Microsoft.Compute/virtualMachines/deallocate/action",
        HEALTH.format("Activated"),
        HEALTH.format("Resolved"),
        HEALTH.format("Activated"),
    ]
    stopped = found[2]
    assert (stopped.caller, stopped.category.value, stopped.status.value) == (
        "ada@contoso.com",
        "Administrative",
        "Succeeded",
    )


def test_a_migration_and_a_blip_of_seconds_leave_nothing(azure: Running) -> None:
    found = log(azure, f" and resourceUri eq '{vm_id('web-01')}'")
    assert not [e for e in found if timedelta(minutes=35) < now(azure) - e.event_timestamp < timedelta(minutes=52)]


def test_an_outage_of_more_than_a_quarter_of_an_hour_is_repeated(azure: Running) -> None:
    found = log(azure, f" and resourceUri eq '{vm_id('web-02', 'dev-we')}'")
    assert told(found) == [HEALTH.format("Updated"), HEALTH.format("Activated")]
    assert found[0].event_timestamp - found[1].event_timestamp == timedelta(minutes=15)


def test_both_spellings_of_the_health_properties_are_met(azure: Running) -> None:
    health = [e.properties for e in log(azure) if e.category.value == "ResourceHealth"]
    assert {"healthStatus" in one for one in health} == {True, False}
    assert {one.get("healthStatus") or one.get("currentHealthStatus") for one in health} == {"Available", "Unavailable"}
    causes = {one.get("healthEventCause") or one.get("cause") for one in health}
    assert causes == {"PlatformInitiated", "UserInitiated"}


def test_service_health_events_are_below_the_subscription_with_json_in_a_string(azure: Running) -> None:
    (event,) = [e for e in log(azure) if e.category.value == "ServiceHealth"]
    assert event.resource_id == f"/subscriptions/{SUB}"
    impacted = json.loads(event.properties["impactedServices"])
    assert {region["RegionName"] for one in impacted for region in one["ImpactedRegions"]} == {"West Europe"}
    assert event.properties["trackingId"] in event.id or event.properties["stage"] == "Active"


PATTERNS = {
    "": {"ResourceHealth", "ServiceHealth", "Administrative"},
    " and resourceGroupName eq 'dev-we'": {"ResourceHealth"},
    " and resourceProvider eq 'Microsoft.Compute'": {"Administrative"},
    " and correlationId eq '00000000-0000-0000-0000-000000000000'": set(),
}


@pytest.mark.parametrize(("more", "categories"), PATTERNS.items())
def test_the_patterns_that_are_allowed(azure: Running, more: str, categories: set[str]) -> None:
    assert {event.category.value for event in log(azure, more)} == categories


def test_events_of_one_correlation_are_found_by_it(azure: Running) -> None:
    wanted = log(azure)[0].correlation_id
    assert {e.correlation_id for e in log(azure, f" and correlationId eq '{wanted}'")} == {wanted}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eventTimestamp ge '2026-11-01T00:00:00Z'",
        "{span} and category eq 'ResourceHealth'",
        "{span} and resourceGroupName eq 'a' and resourceProvider eq 'b'",
        "{span} or resourceGroupName eq 'a'",
        "{span} and resourceUri ne 'x'",
        "eventTimestamp ge 'yesterday' and eventTimestamp le 'today'",
        "eventTimestamp ge '2026-01-01T00:00:00Z' and eventTimestamp le '2026-01-02T00:00:00Z'",
    ],
)
def test_no_other_filter_is_allowed(azure: Running, text: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        list(monitor(azure).activity_logs.list(text.replace("{span}", span(azure))))
    assert (refused.value.status_code, refused.value.error and refused.value.error.code) == (400, "BadRequest")


def test_only_the_selected_members_are_given(azure: Running) -> None:
    (found, *_) = log(azure, select="eventTimestamp,operationName,status")
    assert found.event_timestamp
    assert found.operation_name.value
    assert (found.caller, found.properties, found.id) == (None, None, None)
    with pytest.raises(HttpResponseError):
        log(azure, select="category")


def test_long_logs_come_in_pages(fresh: Fresh) -> None:
    azure = fresh(signals={"delays": AT_ONCE})
    for _ in range(205):
        azure.control("host", id=vm_id("web-01"), event="redeploy", minutes_ago=30)
    pages = list(monitor(azure).activity_logs.list(span(azure)).by_page())
    assert len(list(pages[0])) == 200
    assert len([e for e in log(azure) if e.category.value == "Administrative"]) == 205


def test_requests_are_in_the_log_with_who_made_them(fresh: Fresh) -> None:
    azure = fresh(signals={"delays": AT_ONCE})
    azure.resources().resource_groups.create_or_update("new-group", {"location": "northeurope"})
    with pytest.raises(HttpResponseError):
        azure.resources("reader").resource_groups.create_or_update("other", {"location": "northeurope"})
    found = {e.resource_id.rpartition("/")[2]: e for e in log(azure)}
    made, refused = found["new-group"], found["other"]
    principals = azure.ready["principals"]
    assert made.operation_name.value == "Microsoft.Resources/subscriptions/resourceGroups/write"
    assert (made.caller, refused.caller) == (principals["owner"]["object_id"], principals["reader"]["object_id"])
    assert (made.status.value, refused.status.value) == ("Succeeded", "Failed")


def test_the_log_is_three_to_twenty_minutes_late(fresh: Fresh) -> None:
    azure = fresh(speed=1)
    for ago in range(30):
        azure.control("host", id=vm_id("web-01"), event="redeploy", minutes_ago=ago)
    ages = [now(azure) - e.event_timestamp for e in log(azure) if e.category.value == "Administrative"]
    lags = [e.submission_timestamp - e.event_timestamp for e in log(azure)]
    assert min(ages) >= timedelta(minutes=3)
    assert len([age for age in ages if age > timedelta(minutes=20)]) == 10
    assert timedelta(minutes=3) <= min(lags) < max(lags) <= timedelta(minutes=20)


def test_the_log_needs_the_right_to_read(fresh: Fresh) -> None:
    azure = fresh()
    azure.simulator.world.roles["reader"] = []
    with pytest.raises(HttpResponseError) as refused:
        log(azure)
    assert refused.value.status_code == 403


# the metric


def values(azure: Running, name: str, minutes: int, **more: Any) -> list[float | None]:
    """The minimum of each minute of the last ``minutes``."""
    until = now(azure)
    timespan = f"{until - timedelta(minutes=minutes):{FORMAT}}/{until:{FORMAT}}"
    group = "dev-we" if name == "web-02" else "dev-ne"
    found = monitor(azure).metrics.list(
        vm_id(name, group), timespan=timespan, interval="PT1M", metricnames="VmAvailabilityMetric",
        aggregation="Average,Minimum,Maximum", **more,
    )  # fmt: skip
    (metric,) = found.value
    (series,) = metric.timeseries
    return [point.minimum for point in series.data or []]


def test_the_metric_is_one_while_it_runs_and_zero_while_it_does_not(azure: Running) -> None:
    found = values(azure, "db-01", 25)
    assert set(found[:-1]) == {0.0, 1.0}
    assert found.count(0.0) in (6, 7)


def test_there_is_no_metric_of_a_vm_that_was_deallocated_or_is_in_a_lost_region(azure: Running) -> None:
    assert values(azure, "web-01", 29)[2:6] == [None] * 4
    assert set(values(azure, "web-02", 60)) == {None}


def test_a_point_without_a_value_lacks_the_key(azure: Running) -> None:
    url = f"{vm_id('web-02', 'dev-we')}/providers/Microsoft.Insights/metrics"
    (metric,) = azure.get(url, metricnames="VmAvailabilityMetric").json()["value"]
    assert {tuple(point) for point in metric["timeseries"][0]["data"]} == {("timeStamp",)}


def test_the_metric_lags_some_minutes(fresh: Fresh) -> None:
    azure = fresh(speed=1, hosts=[host("web-01", "dev-ne", "northeurope", **BORN)])
    found = values(azure, "web-01", 20)
    assert set(found[:16]) == {1.0}
    assert set(found[-3:]) == {None}


@pytest.mark.parametrize(
    "query",
    [
        {"metricnames": "Percentage CPU"},
        {"interval": "PT2M"},
        {"timespan": "now"},
        {"timespan": "2020-01-01/2020-01-02"},
    ],
)
def test_the_metric_refuses_what_it_is_not(azure: Running, query: dict[str, str]) -> None:
    answer = azure.get(f"{vm_id('web-01')}/providers/Microsoft.Insights/metrics", **query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_the_metric_of_no_vm_is_not_found(azure: Running) -> None:
    assert azure.get(f"{vm_id('nobody')}/providers/Microsoft.Insights/metrics").status_code == 404
    answer = azure.get(f"{vm_id('x', 'none')}/providers/Microsoft.Insights/metrics")
    assert answer.json()["error"]["code"] == "ResourceGroupNotFound"


async def test_the_asynchronous_client_reads_the_same(azure: Running) -> None:
    one = azure.ready["principals"]["reader"]
    options: Any = {"authority": azure.ready["authority"], "disable_instance_discovery": True}
    options |= {"connection_verify": azure.ready["ca_bundle"], "retry_total": 0}
    credential = AioCredential(azure.ready["tenant"], one["client_id"], one["client_secret"], **options)
    async with credential, AioMonitor(credential, SUB, **azure.client_options()) as client:
        found = [event async for event in client.activity_logs.list(span(azure))]
        metric = await client.metrics.list(vm_id("db-01"), interval="PT1M", metricnames="VmAvailabilityMetric")
    assert told(found) == told(log(azure))
    assert metric.value[0].name.value == "VmAvailabilityMetric"
