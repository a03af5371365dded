"""Which other machine a host may have become: by Site Recovery's link, its vmId, its registration or its machine id. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from drkit.model import estate
from drkit.model.estate import Host, Snapshot
from drkit.survey import machines, probe
from drkit.survey.site_recovery import Link

Successors = dict[str, tuple[str, Host]]


def find(
    base: Snapshot,
    found: machines.Machines,
    probed: Mapping[str, probe.Probed],
    links: Mapping[str, Link],
) -> Successors:
    """The successor of each host that has one, by lower-cased host id: how it is known, and the machine.

    ``proved``: Site Recovery's link after a failover, or the same registration answering from another vmId; ``moved``: the same
    vmId under another ARM id; ``drill``: the copy of a test failover; ``name-only``: the same machine id, which a clone of
    an image has too.
    """
    successors: Successors = {}
    baselines = {host.id.lower(): host for host in base.hosts}
    registrations_by_host: dict[str, set[str]] = defaultdict(set)
    for environment in base.environments:
        if environment.host:
            registrations_by_host[environment.host.host.lower()].add(environment.id.lower())
    by_instance: dict[str, list[machines.Machine]] = defaultdict(list)
    for machine in found.found.values():
        if machine.host.baseline.arm and machine.host.baseline.arm.instance_id:
            by_instance[machine.host.baseline.arm.instance_id.lower()].append(machine)
    guests = {key: result for key, result in probed.items() if result.guest is not None and key in found.found}
    fresh = {
        key: result
        for key, result in guests.items()
        if key not in baselines or _other_instance(baselines[key], found.found[key])
    }
    copies = {link.tested for link in links.values() if link.tested}
    for host in base.hosts:
        key, arm = host.id.lower(), host.baseline.arm
        if host.kind != "azure-vm" or arm is None or not arm.instance_id:
            continue
        link = links.get(key)
        if link and link.recovered and link.recovered != key:
            recovered = found.found.get(link.recovered)
            successors[key] = ("proved", _linked(link.recovered, recovered, guests.get(link.recovered)))
            continue
        moved = next(
            (machine for machine in by_instance[arm.instance_id.lower()] if machine.host.id.lower() != key), None
        )
        if moved is not None:
            successors[key] = ("moved", moved.host)
            continue
        if link and link.tested:
            successors[key] = ("drill", _linked(link.tested, found.found.get(link.tested), None))
            continue
        for candidate, result in fresh.items():
            if candidate in (key, *copies) or result.guest is None:
                continue
            registration_ids = {registration.id.lower() for registration in result.guest.registrations or ()}
            if registrations_by_host[key] & registration_ids:
                successors[key] = ("proved", with_guest(found.found[candidate].host, result))
                break
            guest = host.baseline.guest
            if (
                candidate not in baselines
                and guest
                and guest.machine_id
                and guest.machine_id == result.guest.machine_id
            ):
                successors[key] = ("name-only", found.found[candidate].host)
    return successors


def _linked(arm_id: str, machine: machines.Machine | None, result: probe.Probed | None) -> Host:
    """The machine of that id with what was read of it; only its id where nothing was."""
    if machine is None:
        return Host(arm_id, "azure-vm", arm_id.rsplit("/", 1)[-1])
    return with_guest(machine.host, result) if result else machine.host


def _other_instance(before: Host, machine: machines.Machine) -> bool:
    old, new = before.baseline.arm, machine.host.baseline.arm
    return bool(old and new and old.instance_id != new.instance_id)


def with_guest(host: Host, result: probe.Probed) -> Host:
    """The host with the guest identity that a probe read."""
    baseline = estate.Baseline(host.baseline.arm, host.baseline.arm_time, result.guest, result.time)
    return msgspec.structs.replace(host, baseline=baseline)
