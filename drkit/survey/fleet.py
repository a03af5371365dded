"""A large estate: every VM in a few queries of Resource Graph, and one GET of ARM's for each that looks different.

Resource Graph is minutes behind ARM, so what it shows is a candidate: a difference of identity counts when ARM confirms
it. Stopped machines and changes of health need no GET of ARM's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import read as reading
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import ArmIdentity, Baseline, Capture, Host, Reading, Snapshot, region_name
from drkit.model.settings import Settings
from drkit.survey import health, machines
from drkit.survey.machines import Machine, Machines
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

FLEET = 200
"""Azure VMs in a baseline from which on Resource Graph is asked instead of ARM's lists."""
TOGETHER = 8
LISTED = 100
"""Unavailable machines of a subscription from which on one list of Resource Health beats a GET of each."""
SOURCE = "Resource Graph"

QUERY = """resources
| where type =~ 'microsoft.compute/virtualmachines'
| project id = tolower(id), name, location, zones, resourceGroup, subscriptionId,
    vmId = tolower(tostring(properties.vmId)), timeCreated = tostring(properties.timeCreated),
    power = tostring(properties.extended.instanceView.powerState.code),
    osDisk = tolower(tostring(properties.storageProfile.osDisk.managedDisk.id)),
    osType = tostring(properties.storageProfile.osDisk.osType),
    ephemeral = tostring(properties.storageProfile.osDisk.diffDiskSettings.option) =~ 'Local',
    nics = properties.networkProfile.networkInterfaces, principalId = tostring(identity.principalId)
| join kind=leftouter (healthresources
    | where type =~ 'microsoft.resourcehealth/availabilitystatuses'
    | project id = tolower(tostring(properties.targetResourceId)), state = tostring(properties.availabilityState),
        stateTime = tostring(properties.occurredTime)) on id"""


def is_fleet(base: Snapshot) -> bool:
    """Whether this estate is read through Resource Graph."""
    return sum(host.kind == "azure-vm" for host in base.hosts) >= FLEET


async def read(
    azure: Session, subscriptions: Sequence[str], base: Snapshot, settings: Settings, clock: Clock
) -> tuple[Machines, dict[str, Reading], list[str]] | None:
    """Every machine, the availability of those that have one, and what could not be read; None: Resource Graph fails."""
    now = rfc3339(clock.now())
    try:
        with reading(SOURCE):
            rows = await azure.graph.query(QUERY, subscriptions)
    except CloudError:
        return None
    found = Machines()
    available: dict[str, Reading] = {}
    known = {host.id.lower(): host for host in base.hosts}
    groups = {host.id.lower(): host.group_region for host in base.hosts}
    bad = 0
    for row in rows:
        try:
            with reading(SOURCE):
                machine = of_row(row, known, groups, settings, now)
        except CloudError:
            machine = None
        if machine is None:
            bad += 1
            continue
        key = machine.host.id.lower()
        found.found[key] = machine
        if state := row.get("state"):
            detail = f"context= since={moment(row.get('stateTime'))}"
            available[key] = Reading(key, "availability", str(state), f"{SOURCE}: healthresources", now, detail)
    unread = [f"{SOURCE}: {bad} of {len(rows)} rows could not be read"] if bad else []
    for subscription in subscriptions:
        subject = f"/subscriptions/{subscription}/providers/{machines.VM_TYPE}"
        found.captures.append(Capture(subject, SOURCE, "partial" if bad else "complete", now))
        found.seen.add(subscription)
    await _confirm(azure, found, base, settings, now)
    unread += await _explain_states(azure, available, clock)
    return found, available, unread


def of_row(
    row: Any, known: Mapping[str, Host], groups: Mapping[str, str], settings: Settings, now: str
) -> Machine | None:
    """A row as a machine; None for one that names none."""
    if not isinstance(row, Mapping) or not isinstance(row.get("id"), str) or not isinstance(row.get("vmId"), str):
        return None
    key = row["id"].lower().rstrip("/")
    if not machines.VM_ID.fullmatch(key):
        return None
    before = known.get(key)
    old = before.baseline.arm if before else None
    disk = str(row.get("osDisk") or "")
    nics, zones = row.get("nics"), row.get("zones")
    identity = ArmIdentity(
        instance_id=row["vmId"].lower(),
        created=str(row.get("timeCreated") or ""),
        os_disk=disk,
        # The same disk's ARM id: the same disk.
        os_disk_unique_id=old.os_disk_unique_id if old and old.os_disk.lower() == disk else "",
        network_interfaces=tuple(str(one.get("id", "")) for one in _maps(nics)),
        zones=tuple(str(zone) for zone in zones) if isinstance(zones, list) else (),
        ephemeral_os_disk=row.get("ephemeral") in (True, 1, "true", "True"),
        principal_id=str(row.get("principalId") or ""),
    )
    windows = str(row.get("osType") or "").lower() == "windows"
    host = machines.as_host(
        before.id if before else str(row["id"]),
        "azure-vm",
        str(row.get("name") or ""),
        region_name(str(row.get("location") or "")),
        groups.get(key, ""),
        settings,
        "windows" if windows else "linux",
    )
    power = str(row.get("power") or "").lower()
    state = "stopped" if power in machines.STOPPED else "running" if power == "powerstate/running" else "unknown"
    host = msgspec.structs.replace(host, baseline=Baseline(arm=identity, arm_time=now))
    return Machine(host, state, source=SOURCE)  # type: ignore[arg-type]


def differs(before: Host, machine: Machine) -> bool:
    """Whether a row shows another machine, or another disk, than the baseline has."""
    old, new = before.baseline.arm, machine.host.baseline.arm
    if old is None or new is None:
        return False
    disk = bool(old.os_disk and new.os_disk) and old.os_disk.lower() != new.os_disk.lower()
    return old.instance_id != new.instance_id or disk or old.ephemeral_os_disk != new.ephemeral_os_disk


async def _confirm(azure: Session, found: Machines, base: Snapshot, settings: Settings, now: str) -> None:
    """One GET for each VM that differs; what ARM then says replaces the row. One that ARM does not have is taken out."""
    limit = asyncio.Semaphore(TOGETHER)
    groups = {host.id.lower(): host.group_region for host in base.hosts}
    old_ids = {host.baseline.arm.instance_id for host in base.hosts if host.baseline.arm}
    known = {host.id.lower() for host in base.hosts}

    async def one(key: str, before: Host | None) -> None:
        async with limit:
            try:
                with azure.budget(attempts=2, seconds=20), reading(key):
                    body = await azure.compute.vm(key)
                    disk = await machines.disk_of(azure, body)
                    host = machines.vm_host(body, {}, settings, now)
                    power = machines.power_of(body)
            except NotFoundError:
                del found.found[key]
                return
            except CloudError as error:
                detail = f"a difference could not be confirmed: {error.what}"
                found.captures.append(Capture(key, "ARM: virtual machine", "failed", now, detail))
                if before is not None:
                    # Not confirmed: neither the old identity nor the new one.
                    found.found[key] = Machine(msgspec.structs.replace(before, baseline=Baseline()), "unknown")
                return
        arm = host.baseline.arm or ArmIdentity()
        baseline = Baseline(arm=msgspec.structs.replace(arm, os_disk_unique_id=disk), arm_time=now)
        host = msgspec.structs.replace(host, baseline=baseline, group_region=groups.get(key, ""))
        found.found[key] = Machine(host, power)

    jobs = [
        one(host.id.lower(), host)
        for host in base.hosts
        if host.kind == "azure-vm"
        and (machine := found.found.get(host.id.lower())) is not None
        and differs(host, machine)
    ]
    # The same machine under another ARM id, or one copied: looked at before anything rests on it.
    jobs += [
        one(key, None)
        for key, machine in list(found.found.items())
        if key not in known and machine.host.baseline.arm and machine.host.baseline.arm.instance_id in old_ids
    ]
    await asyncio.gather(*jobs)


async def _explain_states(azure: Session, available: dict[str, Reading], clock: Clock) -> list[str]:
    """Who is behind each unavailability: Resource Graph does not say."""
    down = [key for key, one in available.items() if str(one.value).lower() == "unavailable"]
    by_subscription: dict[str, list[str]] = {}
    for key in down:
        by_subscription.setdefault(key.split("/")[2], []).append(key)
    unread: list[str] = []
    limit = asyncio.Semaphore(TOGETHER)

    async def one(key: str) -> None:
        async with limit:
            reading, why = await health.current(azure, key, clock)
        if reading is not None:
            available[key] = reading
        elif why:
            unread.append(why)

    for subscription, keys in by_subscription.items():
        if len(keys) >= LISTED:
            listed, missing = await health.availability(azure, [subscription], clock)
            available.update({key: listed[key] for key in keys if key in listed})
            unread += missing
            continue
        await asyncio.gather(*(one(key) for key in keys))
    return unread


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
