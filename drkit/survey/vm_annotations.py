"""VM annotations: what Azure says that it did to a machine, read through Resource Graph. They become ``Signals.event``.

Only the name is matched: context and category are spelt in several ways. No annotation is no evidence: short freezes leave
none, and rows can be missing. https://learn.microsoft.com/azure/service-health/resource-health-vm-annotation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.planning.transparency import PlatformEvent

if TYPE_CHECKING:
    from drkit.providers.session import Session

SIGNAL = "annotation"
HEALTH_PART = "/providers/microsoft.resourcehealth/"

FREEZE: tuple[str, ...] = ("LiveMigrationSucceeded", "LiveMigrationFailure", "VirtualMachinePlannedFreezeStarted")
FREEZE += ("VirtualMachinePlannedFreezeSucceeded", "VirtualMachinePlannedFreezeFailed")
SAME_HOST: tuple[str, ...] = (
    "VirtualMachineHostCrashed",
    "VirtualMachineHostRebootedForRepair",
    "VirtualMachineStorageOffline",
)
SAME_HOST += ("VirtualMachineRebootInitiatedForPlannedMaintenance",)
OTHER_HOST: tuple[str, ...] = (
    "VirtualMachineMigrationInitiatedForRepair",
    "VirtualMachineMigrationInitiatedForPlannedMaintenance",
)
OTHER_HOST += ("VirtualMachineRedeployInitiatedByControlPlane",)
OTHER_HOST += ("VirtualMachineRedeployInitiatedByControlPlaneDueToPlannedMaintenance",)
# A reboot by a customer or by the guest. After a start or a change of size the physical host may be another one; no source says.
RESTARTED: tuple[str, ...] = (
    "VirtualMachineRestarted",
    "VirtualMachineRebootInitiatedByControlPlane",
    "VirtualMachineCrashed",
)
RESTARTED += ("VirtualMachineAllocated", "VirtualMachineStartInitiatedByControlPlane", "VirtualMachineSizeChanged")
STOPPED: tuple[str, ...] = ("VirtualMachineDeallocationInitiated", "VirtualMachineStopInitiatedByControlPlane")
STOPPED += ("VirtualMachineStoppedInternally", "VirtualMachinePreempted")
WARNING: tuple[str, ...] = (
    "VirtualMachineMigrationScheduledForDegradedHardware",
    "VirtualMachineScheduledForServiceHealing",
)
WARNING += ("VirtualMachinePossiblyDegradedDueToHardwareFailure", "AccelnetUnhealthy")
WARNING += ("VirtualMachinePossiblyDegradedDueToHardwareFailureWithRedeployDeadline",)
OTHER = ("VirtualMachineConfigurationUpdated", "VirtualMachineFailedToSecureBoot", "VirtualMachineProvisioningTimedOut")

_CLASSES: tuple[tuple[PlatformEvent, tuple[str, ...]], ...] = (
    ("freeze", FREEZE),
    ("reboot-same-host", (*SAME_HOST, *RESTARTED)),
    ("reboot-other-host", OTHER_HOST),
    ("none", (*STOPPED, *WARNING, *OTHER)),
)
EVENTS: Mapping[str, PlatformEvent] = MappingProxyType(
    {name.lower(): event for event, names in _CLASSES for name in names}
)
"""Annotation name in lower case -> event. One of Microsoft's pages prints a name without its prefix: see ``event_named``."""
_WEIGHT: tuple[PlatformEvent, ...] = ("none", "freeze", "reboot-same-host", "reboot-other-host")

CHANGES = """healthresourcechanges
| where properties.targetResourceType =~ 'microsoft.resourcehealth/resourceannotations'
| extend t = todatetime(properties.changeAttributes.timestamp),
    annotation = tostring(properties.changes['properties.annotationName'].newValue),
    context = tostring(properties.changes['properties.context'].newValue),
    occurred = tostring(properties.changes['properties.occurredTime'].newValue)
| project id, t, properties, annotation, context, occurred"""
CURRENT = """healthresources
| where type =~ 'microsoft.resourcehealth/resourceannotations'
| project id, properties"""


def event_named(name: str) -> PlatformEvent:
    """The event that an annotation reports; ``none`` for an unknown annotation."""
    key = name.lower()
    return EVENTS.get(key) or EVENTS.get(f"virtualmachine{key}") or "none"


async def read(azure: Session, subscriptions: Sequence[str]) -> tuple[dict[ArmId, list[Reading]], list[str]]:
    """Per VM id its annotations of the last 14 days, oldest first, and what could not be read.

    A reading's ``time`` is when the event happened, its ``detail`` the context.
    """
    by_machine: dict[ArmId, list[Reading]] = {}
    unread: list[str] = []
    if not subscriptions:
        return by_machine, unread
    for what, query in (("changes of annotations", CHANGES), ("current annotations", CURRENT)):
        try:
            with reading_azure():
                rows = await azure.graph.query(query, subscriptions)
        except CloudError as error:
            unread.append(f"Resource Graph, {what}: {error.what}")
            continue
        unreadable = 0
        for row in rows:
            reading = of_change(row) if query is CHANGES else of_current(row)
            if isinstance(reading, Reading):
                readings = by_machine.setdefault(reading.key, [])
                if not any(same(other, reading) for other in readings):
                    readings.append(reading)
            unreadable += reading is None
        if unreadable:
            unread.append(f"Resource Graph, {what}: {unreadable} of {len(rows)} rows could not be read")
    _fill_in_names(by_machine)
    return by_machine, unread


def same(first: Reading, second: Reading) -> bool:
    """Whether two readings are of one annotation: the current row, and the change that made it."""
    return first.time == second.time and (first.value == second.value or "" in (first.value, second.value))


def of_change(row: Any) -> Reading | bool | None:
    """A row of ``healthresourcechanges`` as a reading; None for a row that cannot be read, True for a change of something else."""
    if not isinstance(row, Mapping) or not isinstance(properties := row.get("properties"), Mapping):
        return None
    subject = subject_of(properties.get("targetResourceId"))
    changes = properties.get("changes")
    if not subject or not isinstance(changes, Mapping):
        return None
    name = _new(changes, "annotationName")
    occurred = moment(_new(changes, "occurredTime"))
    attributes = properties.get("changeAttributes")
    when = occurred or moment(attributes.get("timestamp") if isinstance(attributes, Mapping) else None)
    if not when:
        return None
    if not name and not occurred:
        return True
    # A second annotation of the same name changes only the time.
    return Reading(
        subject.folded, SIGNAL, name, "Resource Graph: healthresourcechanges", when, _new(changes, "context")
    )


def of_current(row: Any) -> Reading | None:
    """A row of ``healthresources`` as a reading; None for a row that cannot be read."""
    if not isinstance(row, Mapping) or not isinstance(properties := row.get("properties"), Mapping):
        return None
    subject = subject_of(properties.get("targetResourceId"))
    when = moment(properties.get("occurredTime") or properties.get("occuredTime"))
    name = properties.get("annotationName")
    if not subject or not when or not isinstance(name, str) or not name:
        return None
    context = properties.get("context")
    return Reading(
        subject.folded,
        SIGNAL,
        name,
        "Resource Graph: healthresources",
        when,
        context if isinstance(context, str) else "",
    )


def _fill_in_names(by_machine: Mapping[ArmId, list[Reading]]) -> None:
    """Give a change that has a time and no name the name of the annotation before it; drop it when there is none."""
    for readings in by_machine.values():
        readings.sort(key=lambda reading: reading.time)
        name = ""
        for number, reading in enumerate(readings):
            name = str(reading.value) or name
            readings[number] = Reading(
                reading.subject, reading.signal, name, reading.source, reading.time, reading.detail
            )
        readings[:] = [reading for reading in readings if reading.value]


def _new(changes: Mapping[str, Any], name: str) -> str:
    change = changes.get(f"properties.{name}")
    value = change.get("newValue") if isinstance(change, Mapping) else None
    return value if isinstance(value, str) and value != "null" else ""


def subject_of(target: Any) -> ArmId:
    """The id of the machine that a Resource Health id belongs to; an empty one where ``target`` is no text."""
    return ArmId(ArmId(target).folded.split(HEALTH_PART)[0] if isinstance(target, str) else "")


def moment(text: Any) -> str:
    """A time in any of Azure's forms as RFC 3339 in whole seconds; empty when it is no time."""
    try:
        if isinstance(text, str) and text.isdigit() and len(text) >= 17:
            # Some tables have ticks of 100 ns since the year 1.
            text = int(text)
        if isinstance(text, int) and not isinstance(text, bool):
            return rfc3339(datetime.fromtimestamp(text / 10_000_000 - 62_135_596_800, UTC))
        time = datetime.fromisoformat(text)
        return rfc3339(time if time.tzinfo else time.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def since(readings: Sequence[Reading], start: str) -> list[Reading]:
    """The readings of events after ``start`` (RFC 3339; empty: all of them)."""
    return [reading for reading in readings if reading.time > start]


def strongest(readings: Sequence[Reading]) -> tuple[PlatformEvent, Reading | None]:
    """The weightiest event among these annotations, and the latest annotation of it; ``none`` and None when there is none."""
    best: Reading | None = None
    for reading in readings:
        if event_named(str(reading.value)) != "none" and (
            best is None
            or _WEIGHT.index(event_named(str(reading.value))) >= _WEIGHT.index(event_named(str(best.value)))
        ):
            best = reading
    return (event_named(str(best.value)), best) if best else ("none", None)
