"""Azure VMs and Arc machines as ARM describes them: identity, region, power state. Reads only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import ArmIdentity, Baseline, Capture, Channel, Host, HostKind, is_region, region_name
from drkit.model.ids import ArmId
from drkit.model.settings import HostSettings, Settings

if TYPE_CHECKING:
    from drkit.providers.session import Session

VM_TYPE = "Microsoft.Compute/virtualMachines"
ARC_TYPE = "Microsoft.HybridCompute/machines"
ARC_API = "2024-07-10"
DISK_API = "2024-03-02"
TOGETHER = 8
VM_ID = re.compile(rf"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/{re.escape(VM_TYPE)}/[^/]+", re.IGNORECASE)
STOPPED = frozenset({"powerstate/stopped", "powerstate/deallocated", "powerstate/stopping", "powerstate/deallocating"})


@dataclass(frozen=True)
class Machine:
    """A machine as ARM has it now: the host with its identity as baseline, the power state, and the status of an Arc machine.

    ``changed``: when ``arc_status`` last changed; ``source``: what was read, for people.
    """

    host: Host
    power: Literal["running", "stopped", "unknown"] = "unknown"
    arc_status: str = ""
    arc_cloned: bool = False
    changed: str = ""
    source: str = "ARM"


@dataclass
class Machines:
    """Every machine by its id, how the reading of each subscription went, and which subscriptions were listed completely."""

    by_id: dict[ArmId, Machine] = field(default_factory=dict)
    captures: list[Capture] = field(default_factory=list)
    listed_subscriptions: set[str] = field(default_factory=set)


async def read(
    azure: Session,
    subscriptions: Sequence[str],
    settings: Settings,
    clock: Clock,
    before: Mapping[ArmId, ArmIdentity] | None = None,
) -> Machines:
    """Every machine of these subscriptions: two lists for the VMs of each, one list and a GET for each Arc machine.

    ``before``: the known identities by id; a VM whose OS disk has the same ARM id still has that disk. What could
    not be read is in ``captures``; nothing is raised for it.
    """
    machines, channels = Machines(), HostChannels(settings)
    for subscription in subscriptions:
        now = rfc3339(clock.now())
        groups: dict[str, str] = {}
        try:
            with reading_azure():
                groups = {
                    str(group["name"]).lower(): region_name(str(group.get("location", "")))
                    for group in await azure.resources.groups(subscription)
                }
        except CloudError as error:
            machines.captures.append(
                Capture(f"/subscriptions/{subscription}", "ARM: groups", "failed", now, str(error))
            )
        await _vms(azure, subscription, groups, channels, machines, now)
        await _arc(azure, subscription, groups, channels, machines, now)
    await _disks(azure, machines, before or {})
    return machines


async def read_arc(azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Machines:
    """Only the Arc machines of these subscriptions."""
    machines, channels = Machines(), HostChannels(settings)
    for subscription in subscriptions:
        await _arc(azure, subscription, {}, channels, machines, rfc3339(clock.now()))
    return machines


async def _vms(
    azure: Session, subscription: str, groups: Mapping[str, str], channels: HostChannels, machines: Machines, now: str
) -> None:
    subject = f"/subscriptions/{subscription}/providers/{VM_TYPE}"
    try:
        listed = await azure.compute.vms(subscription)
    except CloudError as error:
        machines.captures.append(Capture(subject, "ARM: virtual machines", "failed", now, str(error)))
        return
    power: dict[ArmId, str] = {}
    detail = ""
    try:
        with reading_azure():
            for status in await azure.compute.statuses(subscription):
                power[ArmId(str(status.get("id", "")))] = _power(status)
    except CloudError as error:
        detail = f"power states could not be read: {error.what}"
    odd = 0
    for item in listed:
        try:
            with reading_azure(subject):
                host = vm_host(item, groups, channels, now)
        except CloudError as error:
            odd += 1
            machines.captures.append(
                Capture(_subject(item, subject), "ARM: virtual machine", "failed", now, str(error))
            )
            continue
        state = power.get(host.key, "unknown")
        machines.by_id[host.key] = Machine(
            host, "running" if state == "running" else "stopped" if state == "stopped" else "unknown"
        )
    if odd:
        detail = "; ".join(filter(None, [detail, f"{odd} of {len(listed)} machines could not be read"]))
    else:
        machines.listed_subscriptions.add(subscription)
    machines.captures.append(
        Capture(subject, "ARM: virtual machines", "partial" if detail else "complete", now, detail)
    )


def _subject(item: Any, otherwise: str) -> str:
    arm_id = item.get("id") if isinstance(item, Mapping) else None
    return arm_id if isinstance(arm_id, str) and arm_id else otherwise


def power_of(body: Mapping[str, Any]) -> Literal["running", "stopped", "unknown"]:
    """The power state of a VM's body with its instance view."""
    state = _power(body)
    return "running" if state == "running" else "stopped" if state == "stopped" else "unknown"


def _power(status: Mapping[str, Any]) -> str:
    view = (status.get("properties") or {}).get("instanceView") or {}
    for status in view.get("statuses") or []:
        code = str(status.get("code", "")).lower()
        if code.startswith("powerstate/"):
            return "stopped" if code in STOPPED else "running" if code == "powerstate/running" else "unknown"
    return "unknown"


def vm_host(item: Mapping[str, Any], groups: Mapping[str, str], channels: HostChannels, now: str) -> Host:
    """A VM's body as a host with its identity as baseline. ValueError for an id that is not a VM's, or a location that is no region."""
    arm_id = str(item.get("id", ""))
    if not VM_ID.fullmatch(arm_id):
        raise ValueError(f"{arm_id[:200]!r} is not the id of a virtual machine")
    properties = item.get("properties") or {}
    os_disk = (properties.get("storageProfile") or {}).get("osDisk") or {}
    interfaces = (properties.get("networkProfile") or {}).get("networkInterfaces") or []
    identity = ArmIdentity(
        instance_id=str(properties.get("vmId", "")).lower(),
        created=str(properties.get("timeCreated", "")),
        os_disk=str((os_disk.get("managedDisk") or {}).get("id", "")),
        network_interfaces=tuple(str(interface.get("id", "")) for interface in interfaces),
        zones=tuple(str(zone) for zone in item.get("zones") or []),
        ephemeral_os_disk=str((os_disk.get("diffDiskSettings") or {}).get("option", "")).lower() == "local",
        principal_id=str((item.get("identity") or {}).get("principalId", "")),
    )
    system = str(os_disk.get("osType", "")).lower()
    host = _host(arm_id, "azure-vm", item, groups, channels, "windows" if system == "windows" else "linux")
    return msgspec.structs.replace(host, baseline=Baseline(arm=identity, arm_time=now))


def _host(
    arm_id: str, kind: HostKind, item: Mapping[str, Any], groups: Mapping[str, str], channels: HostChannels, system: Any
) -> Host:
    return as_host(
        arm_id,
        kind,
        str(item.get("name", "")),
        _region(item),
        groups.get(ArmId(arm_id).resource_group.lower(), ""),
        channels,
        system,
    )


def _region(item: Mapping[str, Any]) -> str:
    """A machine's region, empty where the body has none; ValueError for what is not a region."""
    region = region_name(str(item.get("location", "")))
    if region and not is_region(region):
        raise ValueError(f"its location {region[:100]!r} is not a region")
    return region


class HostChannels:
    """The channels that settings name for hosts, looked up by id or name."""

    def __init__(self, settings: Settings) -> None:
        self._by_kind = settings.channels
        self._entries: dict[ArmId, tuple[int, HostSettings]] = {}
        for position, entry in enumerate(settings.hosts):
            self._entries.setdefault(ArmId(entry.id), (position, entry))

    def of(self, arm_id: str, kind: HostKind, name: str) -> Channel:
        """The channel of the first entry for that id or name, else that of the kind. Arc machines have no run command."""
        entries = [self._entries[key] for key in (ArmId(arm_id), ArmId(name)) if key in self._entries]
        own = min(entries, key=lambda item: item[0])[1].channel if entries else ""
        channel = own or (self._by_kind.azure_vm if kind == "azure-vm" else self._by_kind.arc)
        return "manual" if kind == "arc" and channel == "run-command" else channel


def as_host(
    arm_id: str, kind: HostKind, name: str, region: str, group_region: str, channels: HostChannels, system: Any
) -> Host:
    """A host without a baseline, with its channel."""
    return Host(
        id=arm_id,
        kind=kind,
        name=name,
        region=region,
        group_region=group_region,
        os=system,
        channel=channels.of(arm_id, kind, name),
    )


async def _arc(
    azure: Session, subscription: str, groups: Mapping[str, str], channels: HostChannels, machines: Machines, now: str
) -> None:
    subject = f"/subscriptions/{subscription}/providers/{ARC_TYPE}"
    try:
        listed = await azure.resources.list_resources(subscription, ARC_TYPE)
    except CloudError as error:
        machines.captures.append(Capture(subject, "ARM: Arc machines", "failed", now, str(error)))
        return
    for item in listed:
        try:
            with reading_azure(subject):
                whole = await azure.resources.resource(str(item["id"]), ARC_API)
                machine = _arc_machine(whole, str(item["id"]), groups, channels, now)
        except NotFoundError:
            continue
        except CloudError as error:
            machines.captures.append(Capture(_subject(item, subject), "ARM: Arc machine", "failed", now, str(error)))
            continue
        machines.by_id[machine.host.key] = machine


def _arc_machine(
    whole: Mapping[str, Any], arm_id: str, groups: Mapping[str, str], channels: HostChannels, now: str
) -> Machine:
    properties = whole.get("properties") or {}
    windows = str(properties.get("osType", properties.get("osName", ""))).lower().startswith("win")
    host = _host(arm_id, "arc", whole, groups, channels, "windows" if windows else "linux")
    identity = ArmIdentity(instance_id=str(properties.get("vmUuid", "")).lower())
    return Machine(
        msgspec.structs.replace(host, baseline=Baseline(arm=identity, arm_time=now)),
        arc_status=str(properties.get("status", "")),
        arc_cloned=str(properties.get("statusReason", "")).lower() == "cloned",
        changed=str(properties.get("lastStatusChange", "")),
    )


async def disk_of(azure: Session, vm: Mapping[str, Any]) -> str:
    """The ``uniqueId`` of a VM's OS disk; empty where it cannot be read."""
    with reading_azure():
        os_disk = ((vm.get("properties") or {}).get("storageProfile") or {}).get("osDisk") or {}
        disk_id = str((os_disk.get("managedDisk") or {}).get("id", ""))
    return await _unique_id(azure, disk_id) if disk_id else ""


async def _unique_id(azure: Session, disk_id: str) -> str:
    try:
        with reading_azure(disk_id):
            disk = await azure.resources.resource(disk_id, DISK_API)
            return str((disk.get("properties") or {}).get("uniqueId", ""))
    except CloudError:
        return ""


async def _disks(azure: Session, machines: Machines, before: Mapping[ArmId, ArmIdentity]) -> None:
    """Add the ``uniqueId`` of each OS disk: it survives a move of the resource, the disk's ARM id does not."""
    limit = asyncio.Semaphore(TOGETHER)

    async def identify_disk(key: ArmId, machine: Machine) -> None:
        arm = machine.host.baseline.arm
        if arm is None or not arm.os_disk:
            return
        old = before.get(key)
        if old and old.os_disk_unique_id and ArmId(old.os_disk) == arm.os_disk:
            unique = old.os_disk_unique_id
        else:
            async with limit:
                unique = await _unique_id(azure, arm.os_disk)
        baseline = msgspec.structs.replace(
            machine.host.baseline, arm=msgspec.structs.replace(arm, os_disk_unique_id=unique)
        )
        machines.by_id[key] = Machine(
            msgspec.structs.replace(machine.host, baseline=baseline),
            machine.power,
            machine.arc_status,
            machine.arc_cloned,
            machine.changed,
        )

    await asyncio.gather(
        *(
            identify_disk(key, machine)
            for key, machine in list(machines.by_id.items())
            if machine.host.kind == "azure-vm"
        )
    )
