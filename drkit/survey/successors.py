"""Which other machine a host may have become: by Site Recovery's link, its vmId, its registration or its machine id. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal

import msgspec

from drkit.model.estate import Baseline, Host, Snapshot
from drkit.model.ids import ArmId
from drkit.survey import machines, probe
from drkit.survey.site_recovery import Link


@dataclass(frozen=True)
class HostSuccessor:
    """A machine that a host may have become, and how that is known.

    ``proved``: Site Recovery's link after a failover, or the same registration answering from another vmId; ``moved``: the same
    vmId under another ARM id; ``drill``: the copy of a test failover; ``name-only``: the same machine id, which a clone of
    an image has too.
    """

    kind: Literal["proved", "moved", "drill", "name-only"]
    host: Host


def find(
    base: Snapshot,
    listing: machines.Machines,
    probes: Mapping[ArmId, probe.ProbeResult],
    links: Mapping[ArmId, Link],
) -> dict[ArmId, HostSuccessor]:
    """The successor of each host of the baseline that has one, by the host's id."""
    successors: dict[ArmId, HostSuccessor] = {}
    baselines = {host.key: host for host in base.hosts}
    registrations_by_host: dict[ArmId, set[ArmId]] = defaultdict(set)
    for environment in base.environments:
        if environment.host:
            registrations_by_host[environment.host.key].add(ArmId(environment.id))
    by_instance: dict[str, list[machines.Machine]] = defaultdict(list)
    for machine in listing.by_id.values():
        if machine.host.baseline.arm and machine.host.baseline.arm.instance_id:
            by_instance[machine.host.baseline.arm.instance_id.lower()].append(machine)
    guests = {key: result for key, result in probes.items() if result.guest is not None and key in listing.by_id}
    test_copies = {link.tested for link in links.values() if link.tested}
    candidates = _Candidates(
        {
            key: result
            for key, result in guests.items()
            if key not in test_copies and (key not in baselines or _other_instance(baselines[key], listing.by_id[key]))
        },
        baselines,
    )
    for host in base.hosts:
        key, arm = host.key, host.baseline.arm
        if host.kind != "azure-vm" or arm is None or not arm.instance_id:
            continue
        link = links.get(key)
        if link and link.recovered and link.recovered != key:
            recovered = listing.by_id.get(link.recovered)
            successors[key] = HostSuccessor("proved", _linked(link.recovered, recovered, guests.get(link.recovered)))
            continue
        moved = next((machine for machine in by_instance[arm.instance_id.lower()] if machine.host.key != key), None)
        if moved is not None:
            successors[key] = HostSuccessor("moved", moved.host)
            continue
        if link and link.tested:
            successors[key] = HostSuccessor("drill", _linked(link.tested, listing.by_id.get(link.tested), None))
            continue
        if (twin := candidates.with_registration(registrations_by_host[key], key)) is not None:
            successors[key] = HostSuccessor("proved", with_guest(listing.by_id[twin].host, guests[twin]))
            continue
        guest = host.baseline.guest
        if guest and guest.machine_id and (twin := candidates.with_machine_id(guest.machine_id, key)) is not None:
            successors[key] = HostSuccessor("name-only", listing.by_id[twin].host)
    return successors


class _Candidates:
    """Probed machines that are not what the baseline has under their ids, by what the probe read in them."""

    def __init__(self, results: Mapping[ArmId, probe.ProbeResult], baselines: Mapping[ArmId, Host]) -> None:
        self._order = {key: position for position, key in enumerate(results)}
        self._by_registration: dict[ArmId, list[ArmId]] = defaultdict(list)
        self._by_machine_id: dict[str, list[ArmId]] = defaultdict(list)
        for key, result in results.items():
            if result.guest is None:
                continue
            for registration in result.guest.registrations or ():
                self._by_registration[ArmId(registration.id)].append(key)
            if key not in baselines and result.guest.machine_id:
                self._by_machine_id[result.guest.machine_id].append(key)

    def with_registration(self, registration_ids: Set[ArmId], but: ArmId) -> ArmId | None:
        """The first machine, other than ``but``, that has one of these registrations."""
        keys = {key for registration_id in registration_ids for key in self._by_registration.get(registration_id, ())}
        return min(keys - {but}, key=self._order.__getitem__, default=None)

    def with_machine_id(self, machine_id: str, but: ArmId) -> ArmId | None:
        """The last machine that the baseline does not have, other than ``but``, with that machine id."""
        return next((key for key in reversed(self._by_machine_id.get(machine_id, ())) if key != but), None)


def _linked(arm_id: ArmId, machine: machines.Machine | None, result: probe.ProbeResult | None) -> Host:
    """The machine of that id with what was read of it; only its id where nothing was."""
    if machine is None:
        return Host(arm_id.folded, "azure-vm", arm_id.name)
    return with_guest(machine.host, result) if result else machine.host


def _other_instance(before: Host, machine: machines.Machine) -> bool:
    old, new = before.baseline.arm, machine.host.baseline.arm
    return bool(old and new and old.instance_id != new.instance_id)


def with_guest(host: Host, result: probe.ProbeResult) -> Host:
    """The host with the guest identity that a probe read."""
    baseline = Baseline(host.baseline.arm, host.baseline.arm_time, result.guest, result.time)
    return msgspec.structs.replace(host, baseline=baseline)
