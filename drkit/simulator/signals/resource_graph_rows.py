"""What Resource Graph holds: rows of its tables as it has them, some minutes late, some missing.

https://learn.microsoft.com/azure/governance/resource-graph/reference/supported-tables-resources and
https://learn.microsoft.com/azure/virtual-machines/resource-graph-availability
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from drkit.simulator.arm.compute import VM
from drkit.simulator.core.state import Json, Resource, World, region_lost
from drkit.simulator.signals import vm_annotations as noted
from drkit.simulator.signals.activity_log import EPOCH
from drkit.simulator.signals.health import event_body
from drkit.simulator.signals.site_recovery import item_body
from drkit.simulator.signals.vm_annotations import NAMES, Annotation

HEALTH = "/providers/Microsoft.ResourceHealth/"
STATUSES, ANNOTATIONS = "availabilityStatuses", "resourceAnnotations"
ROLLING = timedelta(days=14)


def seen(world: World) -> datetime:
    """The moment that Resource Graph shows."""
    return world.now() - world.lag("graph")


def zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def vms(world: World, subscriptions: set[str]) -> Iterator[tuple[Resource, str]]:
    """The VMs as they were then, and their power."""
    shown = seen(world)
    keys = {key for key, resource in world.resources.items() if resource.is_a(VM)} | world.before.keys()
    for key in sorted(keys):
        if key.split("/")[2] not in subscriptions:
            continue
        was = next((entry for entry in world.before.get(key, []) if entry[0] > shown), None)
        host = world.hosts.get(key)
        vm, power = (was[1], was[2]) if was else (world.resource(key), host.power if host else "running")
        if vm is not None:
            yield vm, power


def _row(resource_id: str, resource_type: str, name: str, subscription: str, properties: Json, **more: Any) -> Json:
    parts = resource_id.split("/")
    return {
        "id": resource_id,
        "name": name,
        "type": resource_type.lower(),
        "subscriptionId": subscription,
        "resourceGroup": parts[4].lower() if len(parts) > 4 and parts[3].lower() == "resourcegroups" else "",
        "location": "",
        "properties": properties,
        **more,
    }


def resources(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """``resources``: VMs, their power among the extended properties."""
    for vm, power in vms(world, subscriptions):
        code = {"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"}
        properties = vm.properties | {"extended": {"instanceView": {"powerState": code}}}
        more = {"location": vm.location, "tags": vm.tags or None, "zones": vm.extra.get("zones")}
        row = _row(vm.id, VM, vm.name, vm.id.split("/")[2], properties, **more)
        yield row | {"identity": vm.extra.get("identity"), "kind": "", "tenantId": world.tenant}


def _status(world: World, vm: Resource) -> Json | None:
    """The current availability row of a VM: of the state it has, or of the state before any change."""
    if vm.id.lower() in world.gaps:
        return None
    changes = list(noted.changes(world.notes.get(vm.id.lower(), []), seen(world)))
    last = changes[-1] if changes else None
    now, was = ("Available", "Unavailable") if last and last.up else ("Unavailable", "Available")
    if last is None:
        now, was = "Available", "Unknown"
    return {
        "targetResourceType": VM,
        "previousAvailabilityState": was,
        "targetResourceId": vm.id,
        "occurredTime": zulu(last.at if last else vm.created or EPOCH),
        "availabilityState": now,
    }


def _annotation(note: Annotation) -> Json:
    kind = NAMES[note.annotation]
    return {
        "targetResourceType": VM,
        "targetResourceId": note.vm,
        "annotationName": note.annotation,
        "occurredTime": zulu(note.at),
        "category": kind.category,
        "summary": kind.summary,
        "context": kind.context,
        "impactType": kind.impact,
        "reason": kind.reason,
    }


def _annotated(world: World, key: str) -> list[Annotation]:
    if key in world.gaps:
        return []
    shown = seen(world)
    return [note for note in world.notes.get(key, []) if note.annotation and note.at <= shown]


def health(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """``healthresources``: the current availability and the latest annotation of each VM."""
    for vm, _ in vms(world, subscriptions):
        subscription = vm.id.split("/")[2]
        more = {"location": vm.location}
        for kind, properties in ((STATUSES, _status(world, vm)), (ANNOTATIONS, _latest(world, vm))):
            if properties:
                path = f"{vm.id}{HEALTH}{kind}/current"
                yield _row(path, f"microsoft.resourcehealth/{kind}", "current", subscription, properties, **more)


def _latest(world: World, vm: Resource) -> Json | None:
    notes = _annotated(world, vm.id.lower())
    return _annotation(notes[-1]) if notes else None


def health_changes(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """``healthresourcechanges``: every change of those rows, of 14 days."""
    shown = seen(world)
    for key, notes in world.notes.items():
        if key.split("/")[2] not in subscriptions or key in world.gaps:
            continue
        before: Json = {}
        for note in _annotated(world, key):
            after = _annotation(note)
            if note.at > shown - ROLLING:
                yield _change(world, note.vm, ANNOTATIONS, note.at, before, after)
            before = after
        was = "Unknown"
        for change in noted.changes(notes, shown):
            state = "Available" if change.up else "Unavailable"
            rows = [{"availabilityState": status, "occurredTime": zulu(change.at)} for status in (was, state)]
            rows[0]["previousAvailabilityState"], rows[1]["previousAvailabilityState"] = "Unknown", was
            if change.at > shown - ROLLING:
                yield _change(world, change.note.vm, STATUSES, change.at, rows[0], rows[1])
            was = state


def _change(world: World, vm: str, kind: str, at: datetime, before: Json, after: Json) -> Json:
    """One change. A member that stays the same is not among ``changes``, not even an annotation's name."""
    guid = world.named_id("change", vm.lower(), kind, zulu(at))
    target = f"{vm}{HEALTH}{kind}/current"
    differ = {
        f"properties.{name}": {
            "newValue": value,
            "previousValue": before.get(name) or "null",
            "changeCategory": "System",
            "propertyChangeType": "Update" if before else "Insert",
        }
        for name, value in after.items()
        if value != before.get(name)
    }
    when = at + timedelta(seconds=4)
    properties = {
        "targetResourceId": target,
        "targetResourceType": f"microsoft.resourcehealth/{kind.lower()}",
        "changeType": "Update" if before else "Create",
        "changeAttributes": {
            "previousResourceSnapshotId": world.named_id("snapshot", guid, "before"),
            "newResourceSnapshotId": world.named_id("snapshot", guid, "after"),
            "correlationId": "00000000-0000-0000-0000-000000000000",
            "changedByType": "System",
            "changesCount": len(differ),
            "timestamp": when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+00:00",
        },
        "changes": differ,
    }
    path = f"{target}/providers/Microsoft.Resources/changes/{guid}"
    return _row(path, "microsoft.resources/changes", guid, vm.split("/")[2], properties)


def service_health(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """``servicehealthresources``: events by subscription, their properties in PascalCase.

    Times stand there as text, or as a number of ticks in text: both forms are met.
    """
    shown = seen(world)
    for number, event in enumerate(world.events):
        for subscription in [subscription for subscription in event["subscriptions"] if subscription in subscriptions]:
            if event["visible"] > shown:
                continue
            at = {"ended": event["ended"] if event["ended"] and event["ended"] <= shown else None}
            body = event_body(event | at, subscription)
            properties = _pascal(body["properties"])
            properties["TrackingId"] = event["tracking"]
            if number % 2:
                for name in ("ImpactStartTime", "LastUpdateTime", "ImpactMitigationTime"):
                    if name in properties:
                        moment = datetime.fromisoformat(properties[name].replace("0+00:00", "+00:00"))
                        properties[name] = str(int((moment - EPOCH) / timedelta(microseconds=1)) * 10)
            yield _row(body["id"], "microsoft.resourcehealth/events", event["tracking"], subscription, properties)


def _pascal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[0].upper() + key[1:]: _pascal(inner) for key, inner in value.items()}
    return [_pascal(item) for item in value] if isinstance(value, list) else value


def impacted(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """``servicehealthresources``: the VMs that active events name, those of regions that are lost."""
    shown = seen(world)
    for incident in world.events:
        if incident["visible"] > shown or incident["ended"] or not region_lost(world, incident["region"]):
            continue
        for vm, _ in vms(world, subscriptions & set(incident["subscriptions"])):
            if vm.location == incident["region"]:
                subscription = vm.id.split("/")[2]
                guid = world.named_id("impacted", incident["tracking"], vm.id.lower())
                event = f"/subscriptions/{subscription}{HEALTH}events/{incident['tracking']}"
                properties = {"targetResourceId": vm.id, "targetResourceType": VM, "targetRegion": vm.location}
                kind = "microsoft.resourcehealth/events/impactedresources"
                yield _row(f"{event}/impactedResources/{guid}", kind, guid, subscription, properties)


def recovery(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """``recoveryservicesresources``: what Site Recovery replicates."""
    for item in world.protected:
        if item.id.split("/")[2].lower() in subscriptions:
            body = item_body(world, item)
            yield _row(body["id"], body["type"], body["name"], item.id.split("/")[2], body["properties"])
