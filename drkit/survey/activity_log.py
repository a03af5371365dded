"""The activity log: who did what to a machine, and what Resource Health and Service Health said.

An entry appears 3 to 20 minutes after the event. Resource Health's properties come in two spellings; Service Health's
``impactedServices`` is JSON in a string. That the log does not show something is no evidence.
https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock
from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

SOURCE = "activity log"
BEFORE = timedelta(minutes=30)
MACHINE_OPERATION = "microsoft.compute/virtualmachines/"
RESOURCE_HEALTH = "microsoft.resourcehealth/healthevent/"
SERVICE_HEALTH = "microsoft.servicehealth/"
ACTIONS: tuple[str, ...] = ("write", "delete", "start", "restart", "deallocate", "poweroff", "redeploy", "reimage")
ACTIONS += ("performmaintenance", "livemigration")


async def read_machine(
    azure: Session, subscription: str, machine: str, since: datetime, clock: Clock
) -> tuple[list[Reading], str]:
    """The log's readings of one machine after ``since``, oldest first, and why the log could not be read (empty: it was)."""
    try:
        with reading_azure(machine):
            events = await azure.monitor.activity(subscription, since, clock.now(), resource=machine)
            readings = [entry for event in events if (entry := reading(event)) is not None]
    except CloudError as error:
        return [], f"activity log of {machine}: {error.what}"
    return sorted(readings, key=lambda reading: reading.time), ""


def text(value: Any) -> str:
    """The text of a member that is ``{value, localizedValue}`` in some bodies and plain text in others."""
    if isinstance(value, Mapping):
        value = value.get("value")
    return value if isinstance(value, str) else ""


def properties_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event's properties: an object, or that object as JSON in a string."""
    properties = event.get("properties")
    if isinstance(properties, str):
        try:
            properties = json.loads(properties)
        except (ValueError, RecursionError):
            return {}
    return properties if isinstance(properties, Mapping) else {}


def reading(event: Any) -> Reading | None:
    """An event about a machine as a reading of signal ``operation`` or ``health-event``; None for any other event."""
    if not isinstance(event, Mapping):
        return None
    operation = text(event.get("operationName")).lower()
    subject = ArmId(text(event.get("resourceId"))).folded
    when = moment(event.get("eventTimestamp"))
    if not subject or not when:
        return None
    if operation.startswith(RESOURCE_HEALTH):
        return health_event(subject, properties_of(event), when)
    if operation.startswith(MACHINE_OPERATION) and not operation.endswith("/read"):
        action = operation.removeprefix(MACHINE_OPERATION).removesuffix("/action")
        if "/" in action or action not in ACTIONS:
            return None
        caller = text(event.get("caller"))
        status = text(event.get("status"))
        detail = f"by={caller or 'unknown'} status={status or 'unknown'}"
        return Reading(subject, "operation", action, SOURCE, when, detail)
    return None


def health_event(subject: str, properties: Mapping[str, Any], when: str) -> Reading | None:
    """A change of availability as a reading, from properties in either spelling; None when they name no state."""

    def either(*names: str) -> str:
        return next((value for name in names if isinstance(value := properties.get(name), str) and value), "")

    state = either("currentHealthStatus", "healthStatus")
    if not state:
        return None
    cause = either("cause", "healthEventCause")
    parts = [f"cause={cause or 'unknown'}"]
    for name, text in (
        ("was", either("previousHealthStatus")),
        ("type", either("type", "healthEventType")),
        ("details", either("details")),
    ):
        if text:
            parts.append(f"{name}={text}")
    return Reading(subject, "health-event", state, SOURCE, when, " ".join(parts))


def service_events(events: Sequence[Any]) -> list[dict[str, Any]]:
    """The latest entry of each Service Health event, in the form of Service Health's own API, for ``planning.claims.read_claims``."""
    latest: dict[str, tuple[str, dict[str, Any]]] = {}
    for event in events:
        if not isinstance(event, Mapping) or not text(event.get("operationName")).lower().startswith(SERVICE_HEALTH):
            continue
        properties = properties_of(event)
        tracking = properties.get("trackingId")
        if not isinstance(tracking, str) or not tracking:
            continue
        when = moment(event.get("eventTimestamp"))
        if tracking in latest and latest[tracking][0] >= when:
            continue
        stage = str(properties.get("stage") or text(event.get("status")))
        incident = str(properties.get("incidentType") or "")
        withdrawn = "sent in error" in str(properties.get("communication", "")).lower()
        latest[tracking] = (
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
    return [event for _, event in latest.values()]


def impacted(value: Any) -> list[dict[str, Any]]:
    """``impactedServices``, a list or a string of JSON, in the form of Service Health's own API."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    impacts = []
    for impact in value if isinstance(value, list) else ():
        if not isinstance(impact, Mapping):
            continue
        regions = impact.get("ImpactedRegions") or impact.get("impactedRegions")
        names = [
            str(region.get("RegionName") or region.get("regionName") or "")
            for region in (regions if isinstance(regions, list) else ())
            if isinstance(region, Mapping)
        ]
        service = str(impact.get("ServiceName") or impact.get("serviceName") or "")
        impacts.append({"impactedService": service, "impactedRegions": [{"impactedRegion": name} for name in names]})
    return impacts
