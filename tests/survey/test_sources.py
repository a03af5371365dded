"""The bodies that Microsoft publishes are read, and malformed ones are unknown, with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drkit.errors import UnreachableError
from drkit.model.ids import ArmId
from drkit.model.settings import Settings
from drkit.planning.outage_claims import read_claims
from drkit.providers import resource_graph
from drkit.survey import (
    activity_log,
    availability_metric,
    devops_status,
    emerging_issues,
    health,
    impacted_resources,
    machines,
    site_recovery,
    vm_annotations,
)

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "examples"
NOW = "2026-11-23T03:00:00Z"
VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
REGIONS = {"westus": "westus", "uksouth": "uksouth", "uscentral": "centralus"}
SERVICES = ("Virtual Machine", "Service Fabric")
ODD: tuple[Any, ...] = (None, 7, "text", [], {}, True, [None], {"value": None}, {"value": [None, 7, "x", []]})


def example(name: str) -> Any:
    path = EXAMPLES / name
    if not path.exists():
        pytest.skip(f"the published bodies are not beside this checkout: {name}")
    content = json.loads(path.read_text("utf-8"))
    return content["responses"]["200"]["body"] if isinstance(content, dict) and "responses" in content else content


# Resource Health


def test_the_published_history_is_read() -> None:
    current, earlier = health.readings_of(example("availability_statuses_list_history.json")["value"], VM, NOW)
    assert (current.signal, current.value, current.time) == ("availability", "Unavailable", NOW)
    assert health.since(current) == "2016-03-29T09:12:00Z"
    assert not health.by_customer(current)
    assert (earlier.signal, earlier.value, earlier.time) == (
        "availability-history",
        "Available",
        "2016-03-28T16:23:00Z",
    )


@pytest.mark.parametrize("row", ODD)
def test_a_malformed_status_is_skipped(row: Any) -> None:
    assert health.readings_of([row], VM, NOW) == []


@pytest.mark.parametrize("state", [None, 5, "", ["Available"]])
def test_a_state_that_is_not_a_text_is_unknown(state: Any) -> None:
    (state_reading,) = health.readings_of(
        [{"name": "current", "properties": {"availabilityState": state, "new": 1}}], VM, NOW
    )
    assert state_reading.value == "Unknown"


# annotations


def test_the_published_annotation_is_read() -> None:
    row = {"properties": example("healthresources_properties_resourceannotation.json")}
    annotation = vm_annotations.of_current(row)
    assert annotation is not None
    assert (annotation.value, annotation.time) == ("VirtualMachineHostRebootedForRepair", "2022-09-25T20:21:37Z")
    assert vm_annotations.strongest([annotation]) == ("reboot-same-host", annotation)


def test_the_published_availability_row_is_not_an_annotation() -> None:
    assert (
        vm_annotations.of_current({"properties": example("healthresources_properties_availabilitystatus.json")}) is None
    )


def test_the_published_change_of_something_else_is_skipped() -> None:
    assert vm_annotations.of_change({"properties": example("resourcechanges_properties.json")}) is True


@pytest.mark.parametrize("row", [*ODD, {"properties": {}}, {"properties": {"targetResourceId": VM, "changes": []}}])
def test_a_malformed_row_is_not_an_annotation(row: Any) -> None:
    assert vm_annotations.of_current(row) is None
    assert vm_annotations.of_change(row) is None


def change(at: str, name: str = "") -> dict[str, Any]:
    changes: dict[str, Any] = {"properties.occurredTime": {"newValue": at}}
    if name:
        changes["properties.annotationName"] = {"newValue": name}
    target = f"{VM}/providers/Microsoft.ResourceHealth/resourceAnnotations/current"
    return {"properties": {"targetResourceId": target, "changes": changes, "changeAttributes": {"timestamp": at}}}


def test_a_second_annotation_of_the_same_name_is_counted() -> None:
    rows = [change("2026-11-20T01:00:00Z", "LiveMigrationSucceeded"), change("2026-11-21T01:00:00Z")]
    annotations = {
        ArmId(VM): [
            annotation
            for row in rows
            if not isinstance(annotation := vm_annotations.of_change(row), bool) and annotation
        ]
    }
    vm_annotations._fill_in_names(annotations)
    assert [(annotation.value, annotation.time[:10]) for annotation in annotations[ArmId(VM)]] == [
        ("LiveMigrationSucceeded", "2026-11-20"),
        ("LiveMigrationSucceeded", "2026-11-21"),
    ]


EVENTS = {
    "LiveMigrationSucceeded": "freeze",
    "LiveMigrationFailure": "freeze",
    "VirtualMachinePlannedFreezeStarted": "freeze",
    "VirtualMachineHostCrashed": "reboot-same-host",
    "VirtualMachineStorageOffline": "reboot-same-host",
    "VirtualMachineRestarted": "reboot-same-host",
    "VirtualMachineMigrationInitiatedForRepair": "reboot-other-host",
    "virtualmachineredeployinitiatedbycontrolplaneduetoplannedmaintenance": "reboot-other-host",
    "VirtualMachineDeallocationInitiated": "none",
    "VirtualMachineScheduledForServiceHealing": "none",
    "PossiblyDegradedDueToHardwareFailureWithRedeployDeadline": "none",
    "SomethingNew": "none",
}


@pytest.mark.parametrize(("name", "event"), EVENTS.items())
def test_an_annotation_reports_an_event(name: str, event: str) -> None:
    assert vm_annotations.event_named(name) == event


def test_a_name_without_its_prefix_is_known() -> None:
    assert vm_annotations.event_named("MigrationInitiatedForRepair") == "reboot-other-host"
    assert vm_annotations.event_named("VirtualMachineMigrationInitiatedForRepair") == "reboot-other-host"
    assert vm_annotations.event_named("MigrationSucceeded") == "none"


MOMENTS = {
    "2022-10-11T11:13:59.9570000Z": "2022-10-11T11:13:59Z",
    "2024-06-12T13:26:17.347+00:00": "2024-06-12T13:26:17Z",
    "638000000000000000": "2022-09-28T22:13:20Z",
    638000000000000000: "2022-09-28T22:13:20Z",
    "": "",
    None: "",
    True: "",
    "soon": "",
}


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items(), ids=repr)
def test_a_time_is_read_in_each_of_its_forms(text: Any, moment: str) -> None:
    assert vm_annotations.moment(text) == moment


# the activity log


def test_the_published_health_event_is_read() -> None:
    reading = activity_log.reading(example("activity_log_event_resourcehealth.json"))
    assert reading is not None
    assert (reading.signal, reading.value, reading.time) == ("health-event", "Unavailable", "2018-09-04T15:33:43Z")
    assert "cause=PlatformInitiated" in reading.detail


def test_both_spellings_of_a_health_event_say_the_same() -> None:
    event: dict[str, Any] = {"operationName": {"value": "Microsoft.Resourcehealth/healthevent/Activated/action"}}
    event |= {"resourceId": VM, "eventTimestamp": NOW}
    one = {"healthStatus": "Unavailable", "healthEventCause": "PlatformInitiated", "healthEventType": "Downtime"}
    other = {"currentHealthStatus": "Unavailable", "cause": "PlatformInitiated", "type": "Downtime"}
    for properties in (one, json.dumps(one), json.dumps(other)):
        assert activity_log.reading(event | {"properties": properties}) == activity_log.reading(
            event | {"properties": other}
        )


def test_the_published_incident_becomes_a_claim_of_its_region() -> None:
    events = activity_log.service_events([example("activity_log_event_servicehealth.json")])
    claims, _ = read_claims(events, REGIONS, SERVICES)
    assert [(claim.region, claim.id, claim.since) for claim in claims] == [
        ("uksouth", "NA0F-BJG", "2017-07-20T21:41:00Z")
    ]


def test_the_published_administrative_event_concerns_no_machine() -> None:
    assert [activity_log.reading(event) for event in example("activity_log_list_generic.json")["value"]] == [
        None
    ] * len(example("activity_log_list_generic.json")["value"])


def test_the_log_shows_who_deleted_a_machine() -> None:
    event = {
        "operationName": {"value": "Microsoft.Compute/virtualMachines/delete", "localizedValue": "Delete"},
        "resourceId": VM,
        "eventTimestamp": NOW,
        "caller": "ada@contoso.com",
        "status": "Succeeded",
    }
    reading = activity_log.reading(event)
    assert reading is not None
    assert (reading.signal, reading.value, reading.detail) == (
        "operation",
        "delete",
        "by=ada@contoso.com status=Succeeded",
    )


@pytest.mark.parametrize(
    "event", [*ODD, {"operationName": 7, "resourceId": VM}, {"resourceId": VM, "eventTimestamp": NOW}]
)
def test_a_malformed_event_is_skipped(event: Any) -> None:
    assert activity_log.reading(event) is None
    assert activity_log.service_events([event]) == []


@pytest.mark.parametrize("text", [None, 7, "{", "[]", '"x"', '[{"ImpactedRegions": 5}]', "[" * 100_000])
def test_impacted_services_that_are_not_json_name_no_region(text: Any) -> None:
    assert not any(impact["impactedRegions"] for impact in activity_log.impacted(text))


# the metric


def metric(*values: float | None) -> dict[str, Any]:
    data = [
        {"timeStamp": f"2026-11-23T03:{minute:02}:00Z"} | ({} if value is None else {"average": value})
        for minute, value in enumerate(values)
    ]
    return {"value": [{"timeseries": [{"data": data}]}]}


def test_the_published_metric_is_read() -> None:
    assert availability_metric.counted(example("metrics_get.trimmed.json")) is not None


def test_a_minute_without_a_value_is_not_a_minute_down() -> None:
    downtime = availability_metric.counted(metric(1, None, 0, 0.5, None, 1))
    assert downtime is not None
    assert (downtime.down, downtime.unknown, downtime.measured) == (2, 2, 4)
    assert (downtime.first, downtime.last) == ("2026-11-23T03:02:00Z", "2026-11-23T03:03:00Z")


@pytest.mark.parametrize("body", [*ODD, {"value": [{"timeseries": [{"data": [{"timeStamp": "then"}]}]}]}])
def test_a_malformed_metric_is_unknown(body: Any) -> None:
    assert availability_metric.counted(body) is None


def test_a_value_of_the_wrong_type_is_unknown() -> None:
    downtime = availability_metric.counted(
        {"value": [{"timeseries": [{"data": [{"timeStamp": NOW, "average": "0"}]}]}]}
    )
    assert downtime is not None
    assert (downtime.down, downtime.unknown) == (0, 1)


# Service Health and emerging issues


def test_the_published_event_carries_the_tag_of_a_false_positive() -> None:
    events = example("servicehealth_events_list_by_subscription.json")["value"]
    claims, statements = read_claims(events, REGIONS, SERVICES)
    assert claims == []
    assert [statement.why_not for statement in statements] == ["withdrawn as a false positive"]


def issue(**more: Any) -> dict[str, Any]:
    region = {"name": "West US", "id": "us-west"}
    impacts = [{"name": "Virtual Machines", "id": "virtual-machines", "regions": [region]}]
    body = {"trackingId": "T-1", "title": "VMs", "stage": "Active", "severity": "Error", "impacts": impacts, **more}
    return {"properties": {"refreshTimestamp": NOW, "statusActiveEvents": [body]}}


def test_an_active_emerging_issue_is_a_claim() -> None:
    claims, _ = emerging_issues.issues(issue(startTime="2026-11-23T02:00:00Z"), REGIONS, SERVICES)
    assert [(claim.region, claim.kind, claim.id, claim.since) for claim in claims] == [
        ("westus", "emerging-issue", "T-1", "2026-11-23T02:00:00Z")
    ]


NO_CLAIMS = {
    "over": {"stage": "Resolve"},
    "archived": {"stage": "Archived"},
    "informational": {"severity": "Information"},
    "without a severity": {"severity": None},
    "about something else": {"impacts": [{"name": "Billing", "regions": [{"name": "West US", "id": "us-west"}]}]},
    "global": {"impacts": [{"name": "Virtual Machines", "regions": [{"name": "Global", "id": "global"}]}]},
}


@pytest.mark.parametrize("more", NO_CLAIMS.values(), ids=NO_CLAIMS)
def test_an_issue_that_claims_nothing_is_shown(more: dict[str, Any]) -> None:
    claims, statements = emerging_issues.issues(issue(**more), REGIONS, SERVICES)
    assert claims == []
    assert len(statements) == 1


@pytest.mark.parametrize("body", [*ODD, issue(impacts=None), issue(impacts=[None, {"regions": [7]}])])
def test_malformed_issues_are_skipped(body: Any) -> None:
    assert emerging_issues.issues(body, REGIONS, SERVICES) == ([], [])


def test_a_region_is_known_by_its_id_where_its_name_is_missing() -> None:
    impacts = [{"name": "Virtual Machines", "regions": [{"id": "central-us"}]}]
    claims, _ = emerging_issues.issues(issue(impacts=impacts), {"uscentral": "centralus"}, SERVICES)
    assert [claim.region for claim in claims] == ["centralus"]


# Resource Graph, Site Recovery, VMs, status


def test_the_published_table_is_read_as_objects() -> None:
    rows = resource_graph.rows(example("resource_graph_basic_query.json"))
    assert [row["name"] for row in rows][:2] == ["myNetworkInterface", "myVnet"]


@pytest.mark.parametrize("row", [*ODD, {"id": VM}, {"id": 7, "properties": {"targetResourceId": VM}}])
def test_a_malformed_row_names_no_impacted_machine(row: Any) -> None:
    assert impacted_resources.of_row(row) is None


@pytest.mark.parametrize("body", [None, 7, {}, {"data": None}, {"data": {"rows": []}}, []])
def test_an_answer_that_is_not_a_table_is_refused(body: Any) -> None:
    with pytest.raises(UnreachableError):
        resource_graph.rows(body)


@pytest.mark.parametrize(
    "row", [*ODD, {"properties": {"providerSpecificDetails": {"instanceType": "HyperVReplicaAzure"}}}]
)
def test_an_item_of_another_kind_links_nothing(row: Any) -> None:
    assert site_recovery.of_row(row) is None


def test_the_published_machines_are_read() -> None:
    for name in ("vm_get.json", "vm_instance_view.json"):
        body = example(name)
        host = machines.vm_host(
            body if "id" in body else {"id": VM, "properties": body}, {}, machines.HostChannels(Settings()), NOW
        )
        assert host.kind == "azure-vm"
    assert machines.power_of({"properties": {"instanceView": example("vm_instance_view.json")}}) in (
        "running",
        "unknown",
    )


@pytest.mark.parametrize("body", ODD)
def test_a_status_page_that_says_nothing_is_unknown(body: Any) -> None:
    assert [reading.value for reading in devops_status.readings(body, NOW)] == ["unknown"]


def test_a_status_page_names_what_is_not_healthy() -> None:
    places = [{"name": "Europe", "health": "degraded"}, {"name": "Asia", "health": "healthy"}, None]
    body = {
        "status": {"health": "degraded", "message": "slow"},
        "services": [{"id": "Pipelines", "geographies": places}, 5],
    }
    assert [(reading.subject, reading.value) for reading in devops_status.readings(body, NOW)] == [
        ("Azure DevOps", "degraded"),
        ("Pipelines in Europe", "degraded"),
    ]
