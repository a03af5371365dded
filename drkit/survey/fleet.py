"""A large estate: every VM in a few queries to Resource Graph, and one GET to ARM for each VM that looks different.

Resource Graph is minutes behind ARM, so a different identity counts only when ARM confirms it. Stopped machines and changes
of health need no GET. docs/decisions/0009-a-fleet-is-read-through-resource-graph.md has the reasons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import ArmIdentity, Baseline, Capture, Host, Reading, Snapshot, region_name
from drkit.model.ids import ArmId
from drkit.model.settings import Settings
from drkit.survey import health, machines
from drkit.survey.machines import HostChannels, Machine, Machines
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

FLEET = 200
"""Azure VMs in a baseline from which on drkit reads Resource Graph instead of ARM's lists."""
TOGETHER = 8
LISTED = 100
"""Unavailable machines of a subscription from which on one list of Resource Health is cheaper than a GET for each."""
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
) -> tuple[Machines, dict[ArmId, Reading], list[str]] | None:
    """Every machine, the availability by machine id, and what could not be read; None when Resource Graph fails."""
    now = rfc3339(clock.now())
    try:
        with reading_azure(SOURCE):
            rows = await azure.graph.query(QUERY, subscriptions)
    except CloudError:
        return None
    listing, channels = Machines(), HostChannels(settings)
    availability: dict[ArmId, Reading] = {}
    baselines = {host.key: host for host in base.hosts}
    unreadable = 0
    for row in rows:
        try:
            with reading_azure(SOURCE):
                machine = of_row(row, baselines, channels, now)
        except CloudError:
            machine = None
        if machine is None:
            unreadable += 1
            continue
        key = machine.host.key
        listing.by_id[key] = machine
        if state := row.get("state"):
            detail = f"context= since={moment(row.get('stateTime'))}"
            availability[key] = Reading(
                key.folded, "availability", str(state), f"{SOURCE}: healthresources", now, detail
            )
    unread = [f"{SOURCE}: {unreadable} of {len(rows)} rows could not be read"] if unreadable else []
    for subscription in subscriptions:
        subject = f"/subscriptions/{subscription}/providers/{machines.VM_TYPE}"
        listing.captures.append(Capture(subject, SOURCE, "partial" if unreadable else "complete", now))
        listing.listed_subscriptions.add(subscription)
    await _confirm(azure, listing, base, channels, now)
    unread += await _explain_states(azure, availability, clock)
    return listing, availability, unread


def of_row(row: Any, baselines: Mapping[ArmId, Host], channels: HostChannels, now: str) -> Machine | None:
    """A row of ``QUERY`` as a machine; None for a row that names none. ``baselines``: the known hosts by id."""
    if not isinstance(row, Mapping) or not isinstance(row.get("id"), str) or not isinstance(row.get("vmId"), str):
        return None
    key = ArmId(row["id"])
    if not machines.VM_ID.fullmatch(key.folded):
        return None
    before = baselines.get(key)
    old = before.baseline.arm if before else None
    disk = str(row.get("osDisk") or "")
    nics, zones = row.get("nics"), row.get("zones")
    identity = ArmIdentity(
        instance_id=row["vmId"].lower(),
        created=str(row.get("timeCreated") or ""),
        os_disk=disk,
        # A disk with the same ARM id is the same disk.
        os_disk_unique_id=old.os_disk_unique_id if old and ArmId(old.os_disk) == disk else "",
        network_interfaces=tuple(str(interface.get("id", "")) for interface in _maps(nics)),
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
        before.group_region if before else "",
        channels,
        "windows" if windows else "linux",
    )
    power = str(row.get("power") or "").lower()
    state = "stopped" if power in machines.STOPPED else "running" if power == "powerstate/running" else "unknown"
    host = msgspec.structs.replace(host, baseline=Baseline(arm=identity, arm_time=now))
    return Machine(host, state, source=SOURCE)  # type: ignore[arg-type]


def differs(before: Host, machine: Machine) -> bool:
    """Whether a row shows another machine or another OS disk than the baseline."""
    old, new = before.baseline.arm, machine.host.baseline.arm
    if old is None or new is None:
        return False
    disk = bool(old.os_disk and new.os_disk) and ArmId(old.os_disk) != new.os_disk
    return old.instance_id != new.instance_id or disk or old.ephemeral_os_disk != new.ephemeral_os_disk


async def _confirm(azure: Session, listing: Machines, base: Snapshot, channels: HostChannels, now: str) -> None:
    """One GET for each VM that differs. ARM's answer replaces the row; a VM that ARM does not have is removed."""
    limit = asyncio.Semaphore(TOGETHER)
    group_regions = {host.key: host.group_region for host in base.hosts}
    old_ids = {host.baseline.arm.instance_id for host in base.hosts if host.baseline.arm}

    async def confirm(key: ArmId, before: Host | None) -> None:
        async with limit:
            try:
                with azure.budget(attempts=2, seconds=20), reading_azure(key.folded):
                    body = await azure.compute.vm(key.folded)
                    disk = await machines.disk_of(azure, body)
                    host = machines.vm_host(body, {}, channels, now)
                    power = machines.power_of(body)
            except NotFoundError:
                del listing.by_id[key]
                return
            except CloudError as error:
                detail = f"a difference could not be confirmed: {error.what}"
                listing.captures.append(Capture(key.folded, "ARM: virtual machine", "failed", now, detail))
                if before is not None:
                    # Neither the old identity nor the new one is confirmed.
                    listing.by_id[key] = Machine(msgspec.structs.replace(before, baseline=Baseline()), "unknown")
                return
        arm = host.baseline.arm or ArmIdentity()
        baseline = Baseline(arm=msgspec.structs.replace(arm, os_disk_unique_id=disk), arm_time=now)
        host = msgspec.structs.replace(host, baseline=baseline, group_region=group_regions.get(key, ""))
        listing.by_id[key] = Machine(host, power)

    jobs = [
        confirm(host.key, host)
        for host in base.hosts
        if host.kind == "azure-vm" and (machine := listing.by_id.get(host.key)) is not None and differs(host, machine)
    ]
    # The same machine under another ARM id, or a copy of one: a successor must be confirmed.
    jobs += [
        confirm(key, None)
        for key, machine in list(listing.by_id.items())
        if key not in group_regions and machine.host.baseline.arm and machine.host.baseline.arm.instance_id in old_ids
    ]
    await asyncio.gather(*jobs)


async def _explain_states(azure: Session, availability: dict[ArmId, Reading], clock: Clock) -> list[str]:
    """Replace the state of each unavailable machine by Resource Health's, which says who caused it; Resource Graph does not."""
    down = [key for key, state in availability.items() if str(state.value).lower() == "unavailable"]
    by_subscription: dict[str, list[ArmId]] = {}
    for key in down:
        by_subscription.setdefault(key.subscription.lower(), []).append(key)
    unread: list[str] = []
    limit = asyncio.Semaphore(TOGETHER)

    async def explain(key: ArmId) -> None:
        async with limit:
            reading, why = await health.current(azure, key.folded, clock)
        if reading is not None:
            availability[key] = reading
        elif why:
            unread.append(why)

    for subscription, keys in by_subscription.items():
        if len(keys) >= LISTED:
            listed, missing = await health.availability(azure, [subscription], clock)
            availability.update({key: listed[key] for key in keys if key in listed})
            unread += missing
            continue
        await asyncio.gather(*(explain(key) for key in keys))
    return unread


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
