"""What the platform notes of a VM: its annotations, and when it was unavailable and why.

Names, contexts and kinds of impact: https://learn.microsoft.com/azure/service-health/resource-health-vm-annotation.
Every source that reports a VM's health (Resource Health, the activity log, Resource Graph, the availability metric)
is read from these notes, each with its own delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from drkit.simulator.core.state import World

PLATFORM, CUSTOMER, GUEST = "Platform Initiated", "Customer Initiated", "VM Initiated"
PLANNED, UNPLANNED, NEITHER = "Planned", "Unplanned", "Not Applicable"
FREEZE, REBOOT, INFORMATIONAL, DEGRADED = "Downtime Freeze", "Downtime Reboot", "Informational", "Degraded"


class AnnotationKind(NamedTuple):
    context: str
    category: str
    impact: str
    summary: str
    reason: str = ""


SORRY = "We're sorry, your virtual machine isn't available because "
NAMES: dict[str, AnnotationKind] = {
    "LiveMigrationSucceeded": AnnotationKind(
        PLATFORM,
        UNPLANNED,
        FREEZE,
        "The virtual machine was briefly paused and moved to another host.",
        "Live migration",
    ),
    "VirtualMachinePlannedFreezeSucceeded": AnnotationKind(
        PLATFORM, PLANNED, FREEZE, "The virtual machine was briefly paused for an update of its host.", "Host update"
    ),
    "VirtualMachineHostCrashed": AnnotationKind(
        PLATFORM,
        UNPLANNED,
        REBOOT,
        f"{SORRY}its host server crashed. It is restarted there.",
        "Unexpected host failure",
    ),
    "VirtualMachineHostRebootedForRepair": AnnotationKind(
        PLATFORM,
        UNPLANNED,
        REBOOT,
        f"{SORRY}of an unexpected failure on the host server. Azure is rebooting the host server.",
        "Unexpected host failure",
    ),
    "VirtualMachineStorageOffline": AnnotationKind(
        PLATFORM, UNPLANNED, REBOOT, f"{SORRY}its connection to remote storage was lost.", "Storage connectivity lost"
    ),
    "VirtualMachineMigrationInitiatedForRepair": AnnotationKind(
        PLATFORM,
        UNPLANNED,
        REBOOT,
        f"{SORRY}of a failure on the host server. It is being moved to another one.",
        "Unexpected host failure",
    ),
    "VirtualMachineRedeployInitiatedByControlPlane": AnnotationKind(
        CUSTOMER,
        NEITHER,
        INFORMATIONAL,
        "The virtual machine is redeployed as an authorized user or process requested.",
    ),
    "VirtualMachineRestarted": AnnotationKind(
        CUSTOMER,
        NEITHER,
        INFORMATIONAL,
        "The virtual machine restarts as an authorized user or a process inside it requested.",
    ),
    "VirtualMachineDeallocationInitiated": AnnotationKind(
        CUSTOMER,
        NEITHER,
        INFORMATIONAL,
        "The virtual machine is stopped and deallocated as an authorized user or process requested.",
    ),
    "VirtualMachineStopInitiatedByControlPlane": AnnotationKind(
        CUSTOMER, NEITHER, INFORMATIONAL, "The virtual machine is stopping as an authorized user or process requested."
    ),
    "VirtualMachineStartInitiatedByControlPlane": AnnotationKind(
        CUSTOMER, NEITHER, INFORMATIONAL, "The virtual machine is starting as an authorized user or process requested."
    ),
    "VirtualMachineScheduledForServiceHealing": AnnotationKind(
        PLATFORM, UNPLANNED, DEGRADED, "The host of the virtual machine may fail; it is scheduled to be moved."
    ),
}
"""The annotations that the events of ``hosts.events`` leave."""


@dataclass
class Annotation:
    """Something that happened to a VM at ``at``. ``down``: it was unavailable from then until ``until`` (None: it is).

    ``value``: the availability metric during that time; None if it was not measured.
    """

    vm: str
    number: int
    at: datetime
    annotation: str = ""
    down: bool = False
    until: datetime | None = None
    title: str = ""
    summary: str = ""
    reason: str = ""
    context: str = PLATFORM
    category: str = UNPLANNED
    value: float | None = 0.0

    @property
    def by_platform(self) -> bool:
        return self.context == PLATFORM

    def holds(self, moment: datetime) -> bool:
        """Whether the VM was unavailable at that moment for this."""
        return self.down and self.at <= moment and (self.until is None or moment < self.until)


class AvailabilityChange(NamedTuple):
    """A VM became unavailable, or available again (``up``), at ``at``, for the reason in ``note``."""

    at: datetime
    up: bool
    note: Annotation


def annotate(world: World, vm: str, name: str, *, since: datetime | None = None) -> Annotation:
    """Add an annotation that is not about a change of availability."""
    kind = NAMES[name]
    at = since or world.now()
    return _keep(
        world,
        vm,
        Annotation(vm, 0, at, name, until=at, summary=kind.summary, context=kind.context, category=kind.category),
    )


def take_down(
    world: World,
    vm: str,
    name: str = "",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    title: str = "Unavailable",
    summary: str = "",
    context: str = "",
    value: float | None = 0.0,
) -> Annotation:
    """The VM is unavailable from ``since`` (now) until ``until`` (``bring_up``); ``name``: its annotation, if it has one."""
    kind = NAMES.get(name) or AnnotationKind(context or PLATFORM, UNPLANNED, REBOOT, summary)
    customer = kind.context == CUSTOMER
    note = Annotation(
        vm,
        0,
        since or world.now(),
        name,
        down=True,
        until=until,
        title=title,
        summary=summary or kind.summary,
        reason="Customer Initiated" if customer else kind.category,
        context=kind.context,
        category=NEITHER if customer else kind.category,
        value=value,
    )
    return _keep(world, vm, note)


def bring_up(world: World, vm: str, *, context: str = "") -> None:
    """What took the VM down ends now: everything, or what was of that ``context``."""
    for note in world.notes.get(vm.lower(), []):
        if note.down and note.until is None and context in ("", note.context):
            note.until = world.now()


def _keep(world: World, vm: str, note: Annotation) -> Annotation:
    notes = world.notes.setdefault(vm.lower(), [])
    note.number = len(notes) + 1
    notes.append(note)
    notes.sort(key=lambda note: note.at)
    return note


def down_at(notes: list[Annotation], moment: datetime) -> Annotation | None:
    """Why the VM was unavailable at that moment: what began first; None where it was available."""
    return next((note for note in notes if note.holds(moment)), None)


def changes(notes: list[Annotation], until: datetime) -> Iterator[AvailabilityChange]:
    """The changes of availability up to that moment, oldest first."""
    moments = {note.at for note in notes if note.down}
    moments |= {note.until for note in notes if note.down and note.until is not None}
    before: Annotation | None = None
    for moment in sorted(moments):
        if moment > until:
            return
        after = down_at(notes, moment)
        if after is None and before is not None:
            yield AvailabilityChange(moment, True, before)
        elif after is not None and before is None:
            yield AvailabilityChange(moment, False, after)
        before = after


def resolved(notes: list[Annotation], moment: datetime, within: timedelta) -> Annotation | None:
    """The platform's latest outage of the VM that ended so shortly before that moment."""
    ended = [n for n in notes if n.down and n.by_platform and n.until and n.until <= moment < n.until + within]
    return max(ended, key=lambda note: note.at, default=None)
