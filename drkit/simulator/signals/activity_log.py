"""The activity log: what was asked of Resource Manager, what Resource Health and Service Health said; 3 to 20 minutes late.

https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema and
https://learn.microsoft.com/rest/api/monitor/activity-logs/list
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from drkit.simulator.arm.write_rules import subscription
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Caller, Json, World
from drkit.simulator.core.wire import Answer, ArmError, page, parse_id
from drkit.simulator.signals import vm_annotations as noted
from drkit.simulator.signals.vm_annotations import AvailabilityChange

SOMEBODY = "admin@contoso.com"
KEPT = timedelta(days=90)
UNSEEN = timedelta(seconds=35)
"""A VM that was unavailable for less leaves nothing in the log."""
REPEATED = timedelta(minutes=15)
"""If a VM is still unavailable after this time, there is another event."""
SIZE = 200
MANAGEMENT = "management.azure.com"
EPOCH = datetime(1, 1, 1, tzinfo=UTC)
TIME = r"'?(?P<{}>\d{{4}}-\d\d-\d\d[^' ]*)'?"
FILTER = re.compile(
    rf"\s*eventTimestamp\s+ge\s+{TIME.format('since')}\s+and\s+eventTimestamp\s+le\s+{TIME.format('until')}"
    r"(?:\s+and\s+(?P<key>resourceGroupName|resourceUri|resourceProvider|correlationId)\s+eq\s+'(?P<value>[^']*)')?\s*",
    re.IGNORECASE,
)
"""The five patterns, and no other syntax. The command line of Azure writes the times without quotes."""
SELECT = frozenset(
    [
        "authorization",
        "claims",
        "correlationId",
        "description",
        "eventDataId",
        "eventName",
        "eventTimestamp",
        "httpRequest",
        "level",
        "operationId",
        "operationName",
        "properties",
        "resourceGroupName",
        "resourceProviderName",
        "resourceId",
        "status",
        "submissionTimestamp",
        "subStatus",
        "subscriptionId",
    ]
)
VM_PART = "/providers/microsoft.compute/virtualmachines/"


def happened(world: World, resource_id: str, operation: str, caller: str) -> None:
    """An administrative event that is not a request of the record: somebody else's, made elsewhere."""
    entry = {"id": resource_id, "operation": operation, "caller": caller, "at": world.now()}
    world.activity.append(entry | {"number": len(world.activity) + 1, "method": "", "status": 200, "code": "OK"})


def log(world: World, subscription_id: str) -> list[Json]:
    """What the log of that subscription holds by now, newest first."""
    now = world.now()
    events = [*_administrative(world, subscription_id), *_resource_health(world, subscription_id)]
    events += _service_health(world, subscription_id)
    visible = [event for event in events if event["submissionTimestamp"] <= now]
    visible.sort(key=lambda event: event["eventTimestamp"], reverse=True)
    return [_written(event) for event in visible]


def _event(world: World, subscription_id: str, resource_id: str, at: datetime, *names: str) -> Json:
    """What every event has. ``names`` make its id; times are still moments."""
    data_id = world.named_id("activity", *names)
    ticks = int((at - EPOCH) / timedelta(microseconds=1)) * 10
    parsed = parse_id(resource_id)
    return {
        "channels": "Operation",
        "correlationId": world.named_id("correlation", *names[:-1]),
        "description": "",
        "eventDataId": data_id,
        "eventName": _local("EndRequest", "End request"),
        "eventTimestamp": at,
        "id": f"{resource_id}/events/{data_id}/ticks/{ticks}",
        "level": "Informational",
        "operationId": world.named_id("correlation", *names[:-1]),
        "resourceGroupName": parsed.group if parsed else "",
        "resourceProviderName": _local(parsed.namespace if parsed else "Microsoft.Resources"),
        "resourceType": _local(parsed.type if parsed else "Microsoft.Resources/subscriptions/resourceGroups"),
        "resourceId": resource_id,
        "status": _local("Succeeded"),
        "subStatus": _local("", ""),
        "submissionTimestamp": at + world.lag("activity_log", *names),
        "subscriptionId": subscription_id,
    }


def _local(value: str, localized: str | None = None) -> Json:
    return {"value": value, "localizedValue": value if localized is None else localized}


# what was asked of Resource Manager


def _administrative(world: World, subscription_id: str) -> Iterator[Json]:
    root = f"/subscriptions/{subscription_id}/".lower()
    callers = {caller.role: caller for caller in world.principals.values()}
    for entry in [*world.activity, *_requests(world, callers)]:
        if not f"{entry['id']}/".lower().startswith(root):
            continue
        names = ("asked", str(entry["number"]), entry["method"], entry["operation"], "end")
        event = _event(world, subscription_id, entry["id"], entry["at"], *names)
        code, failed = entry["status"], entry["status"] >= 400
        if entry["id"].count("/") == 4:
            event["resourceGroupName"] = entry["id"].split("/")[4]
        event |= {
            "authorization": {"action": entry["operation"], "scope": entry["id"]},
            "caller": entry["caller"],
            "category": _local("Administrative"),
            "claims": {"appid" if "@" not in entry["caller"] else "name": entry["caller"]},
            "operationName": _local(entry["operation"]),
            "properties": {"statusCode": entry["code"], "eventCategory": "Administrative", "entity": entry["id"]},
            "subStatus": _local(entry["code"], f"{entry['code']} (HTTP Status Code: {code})"),
        }
        if entry["method"]:
            event["httpRequest"] = {"method": entry["method"], "clientIpAddress": "127.0.0.1"}
        if failed:
            event |= {"level": "Error", "status": _local("Failed")}
        yield event


STATUS_CODES = {200: "OK", 201: "Created", 202: "Accepted", 204: "NoContent", 403: "Forbidden", 409: "Conflict"}
VERBS = {"PUT": "write", "PATCH": "write", "DELETE": "delete"}


def _requests(world: World, callers: dict[str, Caller]) -> Iterator[Json]:
    """The requests of the record that asked Resource Manager for something other than to read."""
    for line in world.record:
        path, method = line["path"], line["method"]
        if line["host"] != MANAGEMENT or method in ("GET", "HEAD") or line["status"] is None:
            continue
        verb = VERBS.get(method, f"{path.rpartition('/')[2]}/action")
        scope = path if method != "POST" else path.rpartition("/")[0]
        parsed = parse_id(scope)
        if parsed is None and not re.fullmatch(r"/subscriptions/[^/]+/resourcegroups/[^/]+", scope, re.IGNORECASE):
            continue
        caller = callers.get(line["principal"] or "")
        yield {
            "id": scope,
            "operation": f"{parsed.type if parsed else 'Microsoft.Resources/subscriptions/resourceGroups'}/{verb}",
            "caller": caller.object_id if caller else "",
            "at": datetime.fromisoformat(line["time"]),
            "number": line["n"],
            "method": method,
            "status": line["status"],
            "code": STATUS_CODES.get(line["status"], "BadRequest" if line["status"] < 500 else "InternalServerError"),
        }


# what Resource Health said


def _resource_health(world: World, subscription_id: str) -> Iterator[Json]:
    """Changes of availability, except those to unknown and those that last a few seconds."""
    now, root = world.now(), f"/subscriptions/{subscription_id}/".lower()
    for key, notes in world.notes.items():
        if not key.startswith(root) or VM_PART not in key:
            continue
        changes = list(noted.changes(notes, now))
        for number, change in enumerate(changes):
            after = changes[number + 1].at if number + 1 < len(changes) else now
            if change.up:
                if change.at - changes[number - 1].at >= UNSEEN:
                    yield _health_event(world, subscription_id, change, change.at, "Resolved")
            elif after - change.at >= UNSEEN:
                yield _health_event(world, subscription_id, change, change.at, "Activated")
                if after - change.at >= REPEATED:
                    yield _health_event(world, subscription_id, change, change.at + REPEATED, "Updated")


def _health_event(world: World, subscription_id: str, change: AvailabilityChange, at: datetime, stage: str) -> Json:
    note = change.note
    state, was = ("Available", "Unavailable") if change.up else ("Unavailable", "Available")
    event = _event(world, subscription_id, note.vm, at, "health", note.vm.lower(), str(note.number), stage)
    said = "Active" if stage == "Activated" else stage
    operation = f"Microsoft.Resourcehealth/healthevent/{stage}/action"
    cause = "PlatformInitiated" if note.by_platform else "UserInitiated"
    title = f"Virtual Machine health status changed to {state.lower()}"
    details = note.annotation or note.summary
    properties = {"stage": said, "title": title, "details": details, "healthStatus": state}
    properties |= {"healthEventType": "Downtime", "healthEventCause": cause, "healthEventCategory": note.category}
    if int(event["eventDataId"][0], 16) % 2:  # the other spelling, as exported samples have it
        properties = {"title": title, "details": details, "currentHealthStatus": state, "previousHealthStatus": was}
        properties |= {"type": "Downtime", "cause": cause}
    name = "Microsoft.Resourcehealth/healthevent/action"
    return event | {
        "channels": "Admin, Operation",
        "category": _local("ResourceHealth", "Resource Health"),
        "eventName": _local("", ""),
        "level": "Informational" if change.up else "Critical",
        "operationId": "",
        "operationName": _local(operation, f"Health Event {stage}"),
        "resourceProviderName": _local(name),
        "status": _local(said),
        "properties": properties,
        "relatedEvents": [],
    }


# what Service Health said


def _service_health(world: World, subscription_id: str) -> Iterator[Json]:
    """Only where the subscription has something in the region. The event's resource is the subscription."""
    root = f"/subscriptions/{subscription_id}"
    for event in world.events:
        if subscription_id.lower() not in event["subscriptions"]:
            continue
        if not any(resource.location == event["region"] for resource in world.under(root)):
            continue
        yield _incident(world, subscription_id, event, event["visible"], "Active")
        if event["ended"]:
            yield _incident(world, subscription_id, event, max(event["ended"], event["visible"]), "Resolved")


def _incident(world: World, subscription_id: str, outage: Json, at: datetime, stage: str) -> Json:
    event = _event(
        world, subscription_id, f"/subscriptions/{subscription_id}", at, "incident", outage["tracking"], stage
    )
    regions = [{"RegionName": outage["display"]}]
    title = f"{' and '.join(outage['services'])} - {outage['display']}"
    text = (
        f"Starting at approximately {outage['started']:%H:%M} UTC, customers in {outage['display']} may see failures."
    )
    if outage["false_positive"]:
        text = "We have determined that your service is healthy; the earlier notice was sent in error."
    impacted = [{"ImpactedRegions": regions, "ServiceName": service} for service in outage["services"]]
    return event | {
        "channels": "Admin",
        "category": _local("ServiceHealth", "Service Health"),
        "description": f"{stage}: {title}",
        "eventName": {"value": None},
        "level": outage["level"],
        "operationName": _local("Microsoft.ServiceHealth/incident/action"),
        "resourceGroupName": "",
        "resourceProviderName": {"value": None},
        "resourceType": {"value": None, "localizedValue": ""},
        "status": _local(stage),
        "subStatus": {"value": None},
        "properties": {
            "title": title,
            "service": outage["services"][0],
            "region": outage["display"],
            "communication": text,
            "incidentType": "Incident",
            "trackingId": outage["tracking"],
            "impactStartTime": zulu(outage["started"]),
            "impactedServices": json.dumps(impacted, separators=(",", ":")),
            "defaultLanguageTitle": title,
            "defaultLanguageContent": text,
            "stage": stage,
            "communicationId": str(int((at - EPOCH) / timedelta(microseconds=1)) * 10),
            "version": "0.1.1",
        },
    }


def zulu(moment: datetime) -> str:
    """``2017-07-20T23:30:14.8022290Z``: as the log writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _written(event: Json) -> Json:
    return event | {key: zulu(event[key]) for key in ("eventTimestamp", "submissionTimestamp")}


# reading


def values(call: Call) -> Answer:
    """Events by one of the five patterns of ``$filter``, with the members that ``$select`` names."""
    owner = subscription(call)
    since, until, key, value = _filter(call)
    chosen = []
    for event in log(call.world, owner.id):
        if since <= datetime.fromisoformat(event["eventTimestamp"]) <= until and _fits(event, key, value):
            chosen.append(event)
    wanted = [name for part in call.query.get("$select", "").split(",") if (name := part.strip())]
    for name in wanted:
        if name not in SELECT:
            raise ArmError(400, "BadRequest", f"The property '{name}' in $select is not supported.")
    if wanted:
        chosen = [{name: event[name] for name in wanted if name in event} for event in chosen]
    return page(chosen, call.query, call.link, SIZE)


def _filter(call: Call) -> tuple[datetime, datetime, str, str]:
    text, now = call.query.get("$filter", ""), call.world.now()
    match = FILTER.fullmatch(text)
    if match is None:
        raise ArmError(
            400, "BadRequest", f"The filter '{text}' is not supported. Only the documented patterns are allowed."
        )
    try:
        since, until = (datetime.fromisoformat(_shortened(match[name])) for name in ("since", "until"))
    except ValueError as error:
        raise ArmError(400, "BadRequest", f"The filter '{text}' holds a time that is none.") from error
    since, until = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (since, until))
    if since < now - KEPT:
        raise ArmError(400, "BadRequest", "The start time cannot be more than 90 day(s) in the past.")
    return since, until, (match["key"] or "").lower(), (match["value"] or "").lower()


def _shortened(text: str) -> str:
    """Seven digits of a second's fraction, as Azure writes them, are one too many for Python."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def _fits(event: Json, key: str, value: str) -> bool:
    if key == "resourcegroupname":
        return str(event["resourceGroupName"]).lower() == value
    if key == "resourceuri":
        return str(event["resourceId"]).lower() == value
    if key == "resourceprovider":
        return str(event["resourceProviderName"].get("value") or "").lower().partition("/")[0] == value
    return key == "" or str(event["correlationId"]).lower() == value


ROUTES = [
    Route(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values",
        values,
        "Microsoft.Insights/eventtypes/values/read",
    )
]
