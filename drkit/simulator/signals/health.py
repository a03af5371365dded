"""Microsoft.ResourceHealth: what the platform says about VMs, and, late, about regions.

https://learn.microsoft.com/rest/api/resourcehealth
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import quote_plus

from drkit.simulator.arm.compute import VM
from drkit.simulator.arm.write_rules import subscription
from drkit.simulator.core.clock import precise, stamp
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, Resource, World
from drkit.simulator.core.wire import Answer, ArmError, page
from drkit.simulator.signals import vm_annotations as noted
from drkit.simulator.signals.vm_annotations import Annotation

SERVICES = {
    "Virtual Machines": "fd8065f5-ffd0-4756-8788-e6a11bf36257",
    "Automation": "5a4d6e0c-3c76-4f4e-8c4d-1b8d6f0a9e27",
    "Visual Studio Codespaces": "0b6d8f1c-6c1f-4f0e-9a55-7a2a4a3f9a10",
}
REMEMBERED = timedelta(hours=24)
WINDOW = timedelta(days=3)
HISTORY = timedelta(days=30)
STAYS = timedelta(hours=2)
"""How long an emerging issue is still listed after it ended."""
STOPPED = "Stopped and deallocated"
SEVERITIES = {"Critical": "Error", "Error": "Error", "Warning": "Warning"}


def availability(world: World, vm: Resource) -> Json:
    """The current availability status of a VM, as Resource Health knows it by now."""
    now = world.now()
    known = now - world.lag("resource_health", vm.id.lower())
    notes = world.notes.get(vm.id.lower(), [])
    host = world.hosts[vm.id.lower()]
    properties: Json = {
        "availabilityState": "Available",
        "title": "Available",
        "summary": "There aren't any known Azure platform problems affecting this virtual machine",
        "reasonChronicity": "Persistent",
        "occuredTime": stamp(vm.created or now),
        "reportedTime": stamp(now),
    }
    down = noted.down_at(notes, known)
    last = noted.resolved(notes, known, REMEMBERED)
    if down:
        properties |= {"availabilityState": "Unavailable", "occuredTime": stamp(down.at), **_reasons(down)}
    elif not host.running and not any(note.holds(now) for note in notes):
        properties |= {
            "availabilityState": "Unavailable",
            "title": STOPPED,
            "summary": "This virtual machine is stopped and deallocated as requested by an authorized user or process",
            "reasonType": noted.CUSTOMER,
            "context": noted.CUSTOMER,
            "category": noted.NEITHER,
        }
    elif last and last.until:
        properties["occuredTime"] = stamp(last.until)
        properties["recentlyResolved"] = {
            "unavailableOccuredTime": stamp(last.at),
            "resolvedTime": stamp(last.until),
            "unavailableSummary": last.summary,
        }
    return _status(vm, "current", properties)


def _status(vm: Resource, name: str, properties: Json) -> Json:
    return {
        "id": f"{vm.id}/providers/Microsoft.ResourceHealth/availabilityStatuses/{name}",
        "name": name,
        "type": "Microsoft.ResourceHealth/AvailabilityStatuses",
        "location": vm.location,
        "properties": properties,
    }


def _reasons(note: Annotation) -> Json:
    fields = {"title": note.title, "summary": note.summary, "reasonType": note.reason}
    return fields | {"context": note.context, "category": note.category}


def past(world: World, vm: Resource) -> list[Json]:
    """The VM's earlier statuses of the last 30 days, newest first; named by their time, URL-encoded."""
    now = world.now()
    known = now - world.lag("resource_health", vm.id.lower())
    statuses = []
    for change in noted.changes(world.notes.get(vm.id.lower(), []), known):
        if change.at < now - HISTORY:
            continue
        said: Json = {
            "availabilityState": "Available",
            "title": "Available",
            "summary": "This virtual machine is running normally",
        }
        if not change.up:
            said = {"availabilityState": "Unavailable"} | _reasons(change.note)
        said |= {"reasonChronicity": "Persistent", "occuredTime": stamp(change.at)}
        name = quote_plus(f"{change.at:%Y-%m-%d %H:%M:%SZ}").replace("%3A", "%3a")
        statuses.append(_status(vm, name, said))
    return statuses[::-1]


def _vm(call: Call) -> Resource:
    resource_id = call.raw_path.lower().partition("/providers/microsoft.resourcehealth")[0]
    vm = call.world.resource(resource_id)
    if vm is None or not vm.is_a(VM):
        raise ArmError(404, "ResourceNotFound", f"The Resource '{resource_id}' was not found.")
    return vm


def current(call: Call) -> Answer:
    return Answer(body=availability(call.world, _vm(call)))


def history(call: Call) -> Answer:
    """The current status, then the earlier ones."""
    vm = _vm(call)
    return page([availability(call.world, vm), *past(call.world, vm)], call.query, call.link)


def by_subscription(call: Call) -> Answer:
    vms = call.world.under(f"/subscriptions/{subscription(call).id}", VM)
    return page([availability(call.world, vm) for vm in vms], call.query, call.link)


# Service Health events


def make_event(
    world: World,
    region: str,
    after_minutes: float,
    level: str = "Warning",
    services: list[str] | None = None,
    subscriptions: list[str] | None = None,
    *,
    false_positive: bool = False,
    started: datetime | None = None,
    emerging: float | None = None,
) -> Json:
    """An event about a region, by its display name, that can be read so many simulated minutes after it began.

    It names only those ``services`` and ``subscriptions`` (default: all). ``emerging``: minutes after which it is
    among the emerging issues too (None: never).
    """
    number = len(world.events) + 1
    started = started or world.now()
    event: Json = {
        "tracking": f"{world.named_id('event', str(number))[:4].upper()}-{number}SM",
        "region": region,
        "display": world.locations[region].display,
        "level": level,
        "services": services or list(SERVICES),
        "subscriptions": subscriptions or list(world.subscriptions),
        "false_positive": false_positive,
        "started": started,
        "visible": started + timedelta(minutes=after_minutes),
        "emerging": None if emerging is None else started + timedelta(minutes=float(emerging)),
        "ended": None,
    }
    world.events.append(event)
    return event


def event_body(event: Json, subscription_id: str) -> Json:
    """An event as the REST API gives it to one subscription."""
    active = event["ended"] is None
    updated: datetime = event["ended"] or event["visible"]
    status = "Active" if active else "Resolved"
    tags = ["False Positive"] if event["false_positive"] else []
    names = " and ".join(event["services"])
    since = f"{event['started']:%H:%M} UTC"
    summary = f"Starting at {since}, customers using {names} in {event['display']} may see failures."
    if event["false_positive"]:
        summary = "We have determined that your service is healthy; the earlier notice was sent in error."
    body: Json = {
        "eventType": "ServiceIssue",
        "eventSource": "ResourceHealth",
        "eventLevel": event["level"],
        "level": event["level"],
        "eventTags": tags,
        "status": status,
        "title": f"{status.upper()}: {names} in {event['display']}",
        "header": "Your service might have been impacted by an Azure service issue",
        "summary": summary,
        "impactStartTime": stamp(event["started"]),
        "lastUpdateTime": stamp(updated),
        "isHIR": False,
        "priority": 2,
        "impact": [
            {
                "impactedService": service,
                "impactedServiceGuid": SERVICES.get(service, "00000000-0000-0000-0000-000000000000"),
                "impactedRegions": [
                    {
                        "impactedRegion": event["display"],
                        "status": status,
                        "impactedSubscriptions": [subscription_id],
                        "impactedTenants": [],
                        "lastUpdateTime": stamp(updated),
                        "updates": [{"summary": summary, "updateDateTime": stamp(updated), "eventTags": tags}],
                    }
                ],
            }
            for service in event["services"]
        ],
    }
    if not active:
        body["impactMitigationTime"] = stamp(event["ended"])
    path = f"/providers/Microsoft.ResourceHealth/events/{event['tracking']}"
    return {
        "id": f"/subscriptions/{subscription_id}{path}",
        "name": event["tracking"],
        "type": "/providers/Microsoft.ResourceHealth/events",
        "properties": body,
    }


def events(call: Call) -> Answer:
    """Those that can be read by now, of three days or since ``queryStartTime``; ``$filter`` by region or service."""
    owner = subscription(call)
    now = call.world.now()
    since = now - WINDOW
    if text := call.query.get("queryStartTime"):
        since = _date(text, now)
    wanted = re.findall(r"(service|region)\s+eq\s+'([^']*)'", call.query.get("$filter", ""), re.IGNORECASE)
    chosen = []
    for event in call.world.events:
        if event["visible"] > now or (event["ended"] or event["visible"]) < since:
            continue
        if owner.id.lower() not in event["subscriptions"]:
            continue
        names = {("region", event["display"].lower())} | {("service", s.lower()) for s in event["services"]}
        if not wanted or any((key.lower(), value.lower()) in names for key, value in wanted):
            chosen.append(event_body(event, owner.id))
    return page(chosen, call.query, call.link)


def _date(text: str, now: datetime) -> datetime:
    """``7/24/2020`` or RFC 3339."""
    try:
        if "/" in text:
            month, day, year = (int(part) for part in text.split("/"))
            return datetime(year, month, day, tzinfo=now.tzinfo)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArmError(400, "InvalidQueryStartTime", f"The queryStartTime '{text}' is invalid.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)


def emerging_issues(call: Call) -> Answer:
    """What the public status page says: of no tenant, by regions with ids of its own."""
    now = call.world.now()
    issues = []
    for event in call.world.events:
        if event["emerging"] is None or event["emerging"] > now or (event["ended"] and event["ended"] + STAYS < now):
            continue
        region = {"name": event["display"], "id": "-".join(reversed(event["display"].lower().split(" ", 1)))}
        impacts = [{"name": s, "id": s.lower().replace(" ", "-"), "regions": [region]} for s in event["services"]]
        names = " and ".join(event["services"])
        issues.append(
            {
                "title": f"{names} - {event['display']}",
                "description": f"Customers using {names} in {event['display']} may see failures.",
                "trackingId": event["tracking"],
                "startTime": stamp(event["started"]),
                "lastModifiedTime": stamp(event["ended"] or event["emerging"]),
                "cloud": "Public",
                "severity": SEVERITIES.get(event["level"], "Information"),
                "stage": "Resolve" if event["ended"] else "Active",
                "published": True,
                "impacts": impacts,
            }
        )
    body: Json = {"refreshTimestamp": stamp(now), "statusBanners": [], "statusActiveEvents": issues}
    name = "/providers/Microsoft.ResourceHealth/emergingissues"
    return Answer(body={"id": f"{name}/default", "name": "default", "type": name, "properties": body})


def view(event: Json) -> Json:
    """An event for the control interface."""
    return {key: precise(value) if isinstance(value, datetime) else value for key, value in event.items()}


AT = "/subscriptions/{subscription}"
READ = "Microsoft.ResourceHealth/availabilityStatuses/read"
OF_ONE = (
    f"{AT}/resourceGroups/{{group}}/providers/{{resource*}}/providers/Microsoft.ResourceHealth/availabilityStatuses"
)
ROUTES = [
    Route("GET", f"{AT}/providers/Microsoft.ResourceHealth/availabilityStatuses", by_subscription, READ),
    Route("GET", OF_ONE, history, READ),
    Route("GET", f"{OF_ONE}/current", current, READ),
    Route("GET", "/providers/Microsoft.ResourceHealth/emergingIssues/default", emerging_issues),
    Route("GET", f"{AT}/providers/Microsoft.ResourceHealth/events", events, "Microsoft.ResourceHealth/events/read"),
]
