"""The activity log: who did what to a machine, what Resource Health and Service Health said. Usable 3 to 20 minutes late.

https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema. Resource Health's properties come in two
spellings; Service Health's ``impactedServices`` is JSON in a string. What is missing from the log is no evidence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import read
from drkit.model.clock import Clock
from drkit.model.estate import Reading
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

SOURCE = "activity log"
BEFORE = timedelta(minutes=30)
OF_MACHINES = "microsoft.compute/virtualmachines/"
HEALTH = "microsoft.resourcehealth/healthevent/"
SERVICE = "microsoft.servicehealth/"
TELLING: tuple[str, ...] = ("write", "delete", "start", "restart", "deallocate", "poweroff", "redeploy", "reimage")
TELLING += ("performmaintenance", "livemigration")


async def of_machine(
    azure: Session, subscription: str, machine: str, since: datetime, clock: Clock
) -> tuple[list[Reading], str]:
    """What the log says of one machine since then, oldest first, and why it could not be read (empty: it was)."""
    try:
        with read(machine):
            events = await azure.monitor.activity(subscription, since, clock.now(), resource=machine)
            found = [one for event in events if (one := reading(event)) is not None]
    except CloudError as error:
        return [], f"activity log of {machine}: {error.what}"
    return sorted(found, key=lambda one: one.time), ""


def text(value: Any) -> str:
    """A member that is ``{value, localizedValue}`` in one body and plain text in another."""
    if isinstance(value, Mapping):
        value = value.get("value")
    return value if isinstance(value, str) else ""


def properties_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event's properties: an object, or that object as JSON in a string."""
    found = event.get("properties")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, Mapping) else {}


def reading(event: Any) -> Reading | None:
    """An event about a machine as a reading: ``operation`` or ``health-event``; None for any other."""
    if not isinstance(event, Mapping):
        return None
    operation = text(event.get("operationName")).lower()
    subject = text(event.get("resourceId")).lower()
    when = moment(event.get("eventTimestamp"))
    if not subject or not when:
        return None
    if operation.startswith(HEALTH):
        return health_event(subject, properties_of(event), when)
    if operation.startswith(OF_MACHINES) and not operation.endswith("/read"):
        action = operation.removeprefix(OF_MACHINES).removesuffix("/action")
        if "/" in action or action not in TELLING:
            return None
        caller = text(event.get("caller"))
        status = text(event.get("status"))
        detail = f"by={caller or 'unknown'} status={status or 'unknown'}"
        return Reading(subject, "operation", action, SOURCE, when, detail)
    return None


def health_event(subject: str, properties: Mapping[str, Any], when: str) -> Reading | None:
    """A change of availability, in either spelling of its properties."""

    def either(*names: str) -> str:
        return next((found for name in names if isinstance(found := properties.get(name), str) and found), "")

    state = either("currentHealthStatus", "healthStatus")
    if not state:
        return None
    cause = either("cause", "healthEventCause")
    parts = [f"cause={cause or 'unknown'}"]
    for name, found in (
        ("was", either("previousHealthStatus")),
        ("type", either("type", "healthEventType")),
        ("details", either("details")),
    ):
        if found:
            parts.append(f"{name}={found}")
    return Reading(subject, "health-event", state, SOURCE, when, " ".join(parts))


def service_events(events: Sequence[Any]) -> list[dict[str, Any]]:
    """Service Health's entries in the form of its own API, for ``plan_state.read_claims``: the latest of each tracking id."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for event in events:
        if not isinstance(event, Mapping) or not text(event.get("operationName")).lower().startswith(SERVICE):
            continue
        properties = properties_of(event)
        tracking = properties.get("trackingId")
        if not isinstance(tracking, str) or not tracking:
            continue
        when = moment(event.get("eventTimestamp"))
        if tracking in found and found[tracking][0] >= when:
            continue
        stage = str(properties.get("stage") or text(event.get("status")))
        incident = str(properties.get("incidentType") or "")
        withdrawn = "sent in error" in str(properties.get("communication", "")).lower()
        found[tracking] = (
            when,
            {
                "name": tracking,
                "properties": {
                    "eventType": "ServiceIssue" if incident.lower() == "incident" else incident,
                    "eventLevel": str(event.get("level") or ""),
                    "status": "Resolved" if stage.lower() in ("resolved", "rca", "complete") else "Active",
                    "title": str(properties.get("title") or ""),
                    "impactStartTime": str(properties.get("impactStartTime") or ""),
                    "eventTags": ["False Positive"] if withdrawn else [],
                    "impact": impacted(properties.get("impactedServices")),
                },
            },
        )
    return [event for _, event in found.values()]


def impacted(value: Any) -> list[dict[str, Any]]:
    """``impactedServices``: JSON in a string, or what that holds."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    found = []
    for one in value if isinstance(value, list) else ():
        if not isinstance(one, Mapping):
            continue
        regions = one.get("ImpactedRegions") or one.get("impactedRegions")
        names = [
            str(region.get("RegionName") or region.get("regionName") or "")
            for region in (regions if isinstance(regions, list) else ())
            if isinstance(region, Mapping)
        ]
        service = str(one.get("ServiceName") or one.get("serviceName") or "")
        found.append({"impactedService": service, "impactedRegions": [{"impactedRegion": name} for name in names]})
    return found
