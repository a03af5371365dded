"""Which other machine a host may have become: by Site Recovery's link, its vmId, its registration, or its looks."""

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
    """Per lower-cased id how, and which: ``proved`` (Site Recovery's link after its failover, or the same registration
    answering from another vmId), ``moved`` (the same vmId under another ARM id), ``drill`` (a test failover's copy),
    ``name-only`` (the same machine id, which an image's clone has too).
    """
    told: Successors = {}
    known = {host.id.lower(): host for host in base.hosts}
    held: dict[str, set[str]] = defaultdict(set)
    for one in base.environments:
        if one.host:
            held[one.host.host.lower()].add(one.id.lower())
    by_instance: dict[str, list[machines.Machine]] = defaultdict(list)
    for machine in found.found.values():
        if machine.host.baseline.arm and machine.host.baseline.arm.instance_id:
            by_instance[machine.host.baseline.arm.instance_id.lower()].append(machine)
    guests = {key: result for key, result in probed.items() if result.guest is not None and key in found.found}
    fresh = {
        key: result
        for key, result in guests.items()
        if key not in known or _other_instance(known[key], found.found[key])
    }
    copies = {link.tested for link in links.values() if link.tested}
    for host in base.hosts:
        key, arm = host.id.lower(), host.baseline.arm
        if host.kind != "azure-vm" or arm is None or not arm.instance_id:
            continue
        link = links.get(key)
        if link and link.recovered and link.recovered != key:
            heir = found.found.get(link.recovered)
            told[key] = ("proved", _guessed(link.recovered, heir, guests.get(link.recovered)))
            continue
        moved = next((one for one in by_instance[arm.instance_id.lower()] if one.host.id.lower() != key), None)
        if moved is not None:
            told[key] = ("moved", moved.host)
            continue
        if link and link.tested:
            told[key] = ("drill", _guessed(link.tested, found.found.get(link.tested), None))
            continue
        for candidate, result in fresh.items():
            if candidate in (key, *copies) or result.guest is None:
                continue
            theirs = {one.id.lower() for one in result.guest.registrations or ()}
            if held[key] & theirs:
                told[key] = ("proved", with_guest(found.found[candidate].host, result))
                break
            guest = host.baseline.guest
            if candidate not in known and guest and guest.machine_id and guest.machine_id == result.guest.machine_id:
                told[key] = ("name-only", found.found[candidate].host)
    return told


def _guessed(arm_id: str, machine: machines.Machine | None, result: probe.Probed | None) -> Host:
    """The machine of that id, as far as it was seen."""
    if machine is None:
        return Host(arm_id, "azure-vm", arm_id.rsplit("/", 1)[-1])
    return with_guest(machine.host, result) if result else machine.host


def _other_instance(before: Host, machine: machines.Machine) -> bool:
    old, new = before.baseline.arm, machine.host.baseline.arm
    return bool(old and new and old.instance_id != new.instance_id)


def with_guest(host: Host, result: probe.Probed) -> Host:
    """The host with what a probe read inside it as its guest identity."""
    baseline = estate.Baseline(host.baseline.arm, host.baseline.arm_time, result.guest, result.time)
    return msgspec.structs.replace(host, baseline=baseline)
