"""Resource Graph for the queries it knows, its quota and pages, and what Site Recovery replicates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.core.rest import HttpRequest, HttpResponse

from drkit.simulator.signals.resource_graph import PAGE, QUERIES
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import OTHER_SUB, SUB, Running, group_id, host, vm_id

Fresh = Callable[..., Running]
AT_ONCE = {"delays": {"graph": [0, 0]}}
MACHINES = """
resources
| where type =~ 'microsoft.compute/virtualmachines'
| project id = tolower(id), name, location, zones, resourceGroup, subscriptionId,
    vmId = tolower(tostring(properties.vmId)), timeCreated = tostring(properties.timeCreated),
    power = tostring(properties.extended.instanceView.powerState.code),
    osDisk = tolower(tostring(properties.storageProfile.osDisk.managedDisk.id)),
    ephemeral = tostring(properties.storageProfile.osDisk.diffDiskSettings.option) =~ 'Local',
    nics = properties.networkProfile.networkInterfaces
| join kind=leftouter (healthresources
    | where type =~ 'microsoft.resourcehealth/availabilitystatuses'
    | project id = tolower(tostring(properties.targetResourceId)), state = tostring(properties.availabilityState),
        prevState = tostring(properties.previousAvailabilityState), stateTime = todatetime(properties.occurredTime)) on id
| join kind=leftouter (healthresources
    | where type =~ 'microsoft.resourcehealth/resourceannotations'
    | project id = tolower(tostring(properties.targetResourceId)), annotation = tostring(properties.annotationName),
        impactType = tostring(properties.impactType), context = tostring(properties.context),
        noteTime = todatetime(properties.occurredTime)) on id
"""
CHANGES = """
// every annotation of the last 14 days
healthresourcechanges
| where properties.targetResourceType =~ 'microsoft.resourcehealth/resourceannotations'
| extend t = todatetime(properties.changeAttributes.timestamp),
    id = tostring(split(tolower(tostring(properties.targetResourceId)), '/providers/microsoft.resourcehealth/resourceannotations')[0]),
    annotation = tostring(properties.changes['properties.annotationName'].newValue),
    impactType = tostring(properties.changes['properties.impactType'].newValue),
    context = tostring(properties.changes['properties.context'].newValue)
| where t > ago(14d) and isnotempty(annotation)
"""
EVENTS = """servicehealthresources | where type =~ 'Microsoft.ResourceHealth/events'
| where properties.EventType == 'ServiceIssue' and properties.Status == 'Active'
| project trackingId = name, level = properties.EventLevel, start = properties.ImpactStartTime, impact = properties.Impact,
    tags = properties.EventTags"""
IMPACTED = """// which of my VMs Azure names:
servicehealthresources | where type =~ 'microsoft.resourcehealth/events/impactedresources'
| project properties.targetResourceId, properties.targetRegion"""
STATES = "healthresources | where type =~ 'microsoft.resourcehealth/availabilitystatuses'"
ITEMS = (
    "recoveryservicesresources | where type =~ 'microsoft.recoveryservices/vaults/replicationfabrics/"
    "replicationprotectioncontainers/replicationprotecteditems'"
)


def ask(
    azure: Running, query: str, role: str = "reader", subscriptions: list[str] | None = None, options: Any = None
) -> HttpResponse:
    body: dict[str, Any] = {"query": query, "options": {"resultFormat": "objectArray"} | (options or {})}
    body["subscriptions"] = subscriptions or [SUB]
    request = HttpRequest(
        "POST", "/providers/Microsoft.ResourceGraph/resources", params={"api-version": "2022-10-01"}, json=body
    )
    return azure.compute(role).send_request(request)


def rows(azure: Running, query: str, **options: Any) -> list[dict[str, Any]]:
    answer = ask(azure, query, **options)
    assert answer.status_code == 200, answer.text()
    return list(answer.json()["data"])


def by_name(azure: Running, query: str = MACHINES) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows(azure, query)}


def test_every_vm_with_its_identity_and_health(fresh: Fresh) -> None:
    azure = fresh(signals=AT_ONCE)
    azure.control("host", id=vm_id("web-01"), event="crash", minutes_ago=5)
    azure.control("host", id=vm_id("win-01"), event="stop")
    azure.control("lose", region="westeurope", announce=False)
    found = by_name(azure)
    arm = azure.get(vm_id("web-01")).json()
    web = found["web-01"]
    assert (web["id"], web["vmId"]) == (vm_id("web-01").lower(), arm["properties"]["vmId"])
    assert (web["power"], web["ephemeral"]) == ("PowerState/running", False)
    assert (web["state"], web["prevState"], web["annotation"]) == (
        "Available",
        "Unavailable",
        "VirtualMachineHostCrashed",
    )
    assert (found["win-01"]["power"], found["win-01"]["state"]) == ("PowerState/deallocated", "Unavailable")
    assert (found["web-02"]["state"], found["web-02"]["annotation"], found["stray"]["state"]) == (
        "Unavailable",
        "",
        "Available",
    )
    assert "properties" not in web


def test_a_vm_without_a_health_row_is_not_available(fresh: Fresh) -> None:
    azure = fresh(signals=AT_ONCE)
    azure.control("host", id=vm_id("web-01"), event="heal")
    azure.control("signals", gaps=[vm_id("web-01")])
    web = by_name(azure)["web-01"]
    assert (web["state"], web["stateTime"], web["annotation"]) == ("", None, "")
    assert rows(azure, CHANGES) == []
    others = {vm_id("web-02", "dev-we"), vm_id("stray", "dev-we"), vm_id("win-01")}
    assert {row["properties"]["targetResourceId"] for row in rows(azure, STATES)} == others


def test_what_changed_shows_five_minutes_later(fresh: Fresh) -> None:
    azure = fresh(speed=1)
    before = by_name(azure)["web-01"]
    azure.control("host", id=vm_id("web-01"), event="recreate", minutes_ago=4)
    azure.control("host", id=vm_id("win-01"), event="delete", minutes_ago=4)
    azure.control("host", id=vm_id("web-01"), event="clone", new_id=vm_id("copy"), minutes_ago=4)
    early = by_name(azure)
    assert (early["web-01"]["vmId"], "win-01" in early, "copy" in early) == (before["vmId"], True, False)
    azure.control("signals", delays={"graph": [3, 3]})
    late = by_name(azure)
    assert (late["web-01"]["vmId"] != before["vmId"], "win-01" in late, "copy" in late) == (True, False, True)


def test_an_annotation_shows_five_minutes_later_and_the_latest_hides_the_others(fresh: Fresh) -> None:
    azure = fresh(speed=1)
    azure.control("host", id=vm_id("web-01"), event="heal", minutes_ago=20)
    azure.control("host", id=vm_id("web-01"), event="migrate", minutes_ago=10)
    azure.control("host", id=vm_id("web-01"), event="freeze", minutes_ago=2)
    assert by_name(azure)["web-01"]["annotation"] == "LiveMigrationSucceeded"
    told = [row["annotation"] for row in rows(azure, CHANGES)]
    assert told == ["VirtualMachineMigrationInitiatedForRepair", "LiveMigrationSucceeded"]


def test_two_equal_annotations_in_a_row_change_the_time_only(fresh: Fresh) -> None:
    azure = fresh(signals=AT_ONCE)
    for ago in (30, 20, 10):
        azure.control("host", id=vm_id("web-01"), event="migrate", minutes_ago=ago)
    assert len(rows(azure, CHANGES)) == 1
    every = rows(azure, CHANGES.replace("and isnotempty(annotation)", ""))
    assert [row["annotation"] for row in every] == ["LiveMigrationSucceeded", "", ""]
    assert list(every[2]["properties"]["changes"]) == ["properties.occurredTime"]
    assert {row["id"] for row in every} == {vm_id("web-01").lower()}


def test_changes_are_kept_for_fourteen_days(fresh: Fresh) -> None:
    azure = fresh(signals=AT_ONCE)
    azure.control("host", id=vm_id("web-01"), event="migrate", minutes_ago=15 * 24 * 60)
    azure.control("host", id=vm_id("web-01"), event="freeze", minutes_ago=13 * 24 * 60)
    assert [row["annotation"] for row in rows(azure, CHANGES)] == ["VirtualMachinePlannedFreezeSucceeded"]


def test_service_health_in_pascal_case_with_times_in_both_forms(fresh: Fresh) -> None:
    azure = fresh(signals=AT_ONCE)
    azure.control("lose", region="westeurope", announce_after=0)
    azure.control("announce", region="eastus", after_minutes=0)
    azure.control("announce", region="uksouth", after_minutes=30)
    first, second = rows(azure, EVENTS)
    assert first.keys() == {"trackingId", "level", "start", "impact", "tags"}
    assert first["impact"][0]["ImpactedRegions"][0]["ImpactedRegion"] == "West Europe"
    assert datetime.fromisoformat(first["start"].replace("0+00:00", "+00:00")).tzinfo
    since = timedelta(microseconds=int(second["start"]) // 10)
    assert (datetime(1, 1, 1) + since).year >= 2026  # noqa: DTZ001
    named = {row["properties_targetResourceId"] for row in rows(azure, IMPACTED)}
    assert named == {vm_id("web-02", "dev-we")}


def test_pages_hold_a_thousand_rows_and_stay_as_they_were_at_the_first(fresh: Fresh) -> None:
    many = [host(f"vm-{n:04}", "dev-ne", "northeurope") for n in range(PAGE + 5)]
    azure = fresh(hosts=many, signals=AT_ONCE)
    first = ask(azure, MACHINES).json()
    assert (first["count"], first["totalRecords"], first["resultTruncated"]) == (PAGE, PAGE + 5, "true")
    azure.control("host", id=vm_id("vm-0000"), event="delete")
    second = ask(azure, MACHINES, options={"$skipToken": first["$skipToken"]}).json()
    assert (second["count"], second["resultTruncated"], "$skipToken" in second) == (5, "false", False)
    assert len({row["id"] for row in first["data"] + second["data"]}) == PAGE + 5
    assert ask(azure, MACHINES, options={"$top": 2}).json()["count"] == 2


def test_without_an_id_there_is_no_next_page(azure: Running) -> None:
    query = "resources | where type =~ 'microsoft.compute/virtualmachines' | project name"
    answer = ask(azure, query, options={"$top": 2}).json()
    assert ("$skipToken" in answer, answer["resultTruncated"]) == (False, "true")


def test_fifteen_queries_in_five_seconds(fresh: Fresh) -> None:
    azure = fresh(speed=1)
    client, body = azure.compute("reader"), {"query": STATES, "subscriptions": [SUB]}
    url = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
    answers = [client.send_request(HttpRequest("POST", url, json=body)) for _ in range(QUERIES + 1)]
    assert [a.status_code for a in answers] == [200] * QUERIES + [429]
    assert [int(a.headers["x-ms-user-quota-remaining"]) for a in answers] == [*range(QUERIES - 1, -1, -1), 0]
    last = answers[-1]
    assert last.headers["x-ms-user-quota-resets-after"] in ("00:00:04", "00:00:05", "00:00:03")
    assert last.json()["error"]["code"] == last.json()["error"]["details"][0]["code"] == "RateLimiting"
    assert "Retry-After" not in last.headers
    assert ask(azure, STATES, role="owner").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "resources",
        "resources | where type =~ 'microsoft.network/networkinterfaces'",
        "resources | where type =~ 'microsoft.compute/virtualmachines' | summarize count()",
        "resources | where type =~ 'microsoft.compute/virtualmachines' | project id, colour = properties.colour",
        "",
    ],
)
def test_other_queries_are_refused(azure: Running, query: str) -> None:
    answer = ask(azure, query, role="operator")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_only_what_one_may_read_is_shown(fresh: Fresh) -> None:
    azure = fresh()
    assert rows(azure, MACHINES, subscriptions=[OTHER_SUB]) == []
    azure.simulator.world.roles["reader"] = []
    answer = ask(azure, MACHINES)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "NoValidSubscriptionsInQueryRequest")


def test_a_query_reads_and_is_in_no_log(azure: Running) -> None:
    ask(azure, STATES, role="planner")
    assert {line["kind"] for line in azure.view("record")["requests"] if "ResourceGraph" in line["path"]} == {"read"}


# Site Recovery

VAULT = f"{group_id('dev-ne')}/providers/Microsoft.RecoveryServices/vaults/vault"


def replicated(fresh: Fresh) -> Running:
    return fresh(
        speed=1,
        signals=AT_ONCE,
        resources=[{"id": VAULT, "location": "northeurope", "properties": {}}],
        protected=[{"vault": VAULT, "host": vm_id("web-02", "dev-we"), "group": group_id("dev-ne")}],
        hosts=[host("web-02", "dev-we", "westeurope")],
    )


def item(azure: Running) -> dict[str, Any]:
    (found,) = azure.get(f"{VAULT}/replicationProtectedItems").json()["value"]
    return dict(found["properties"])


def test_a_failover_links_the_old_vm_with_the_new_one(fresh: Fresh) -> None:
    azure = replicated(fresh)
    source = vm_id("web-02", "dev-we")
    before = item(azure)
    details = before["providerSpecificDetails"]
    assert (details["instanceType"], details["fabricObjectId"]) == ("A2A", source)
    assert (details["recoveryFabricObjectId"], before["activeLocation"]) == (None, "Primary")
    azure.control("host", id=source, event="asr-failover", minutes_ago=2)
    assert (item(azure)["currentScenario"]["scenarioName"], item(azure)["activeLocation"]) == (
        "UnplannedFailover",
        "Primary",
    )
    azure = replicated(fresh)
    azure.control("host", id=source, event="asr-failover", minutes_ago=20)
    after = item(azure)
    made = after["providerSpecificDetails"]["recoveryFabricObjectId"]
    assert (made, after["activeLocation"]) == (vm_id("web-02"), "Recovery")
    assert after["providerSpecificDetails"]["lifecycleId"] == details["lifecycleId"]
    old, new = azure.get(source).json(), azure.get(made).json()
    assert (old["properties"]["vmId"] != new["properties"]["vmId"], new["location"]) == (True, "northeurope")
    assert [row["recovered"] for row in rows(azure, f"{ITEMS} | project id, source, recovered, tested")] == [made]


def test_a_test_failover_makes_a_copy_and_cleans_it_up(fresh: Fresh) -> None:
    azure = replicated(fresh)
    source = vm_id("web-02", "dev-we")
    azure.control("host", id=source, event="asr-test-failover", minutes_ago=20)
    told = item(azure)
    copy = told["providerSpecificDetails"]["testFailoverRecoveryFabricObjectId"]
    assert (copy, told["activeLocation"], told["testFailoverState"] == "None") == (
        vm_id("web-02-test"),
        "Primary",
        False,
    )
    assert azure.get(copy).status_code == 200
    azure.control("host", id=source, event="asr-cleanup")
    assert (azure.get(copy).status_code, item(azure)["testFailoverState"]) == (404, "None")


def test_what_is_not_replicated_cannot_fail_over(fresh: Fresh) -> None:
    azure = fresh()
    answer = azure.http.post(
        f"{azure.ready['control']}/host", json={"id": vm_id("web-01"), "event": "asr-failover"}, timeout=PATIENCE
    )
    assert (answer.status_code, "not replicated" in answer.json()["error"]) == (400, True)
