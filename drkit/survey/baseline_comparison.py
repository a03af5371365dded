"""Turns baseline and readings into ``Signals``. Pure. What was not read is unknown, and unknown is never "same"."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drkit.model.clock import parse_time
from drkit.model.estate import Baseline, GuestIdentity, Host, Reading
from drkit.model.ids import ArmId
from drkit.planning.transparency import Signals
from drkit.survey.probe import ProbeResult

Same = Literal["unknown", "same", "different"]
SAME_START = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class HostObservation:
    """What one assessment read of one host.

    ``arm``, ``health``, ``region``, ``event``, ``successor``: as in ``Signals``; ``current``: the host as ARM has it (None: not found);
    ``registration_ids``: its environments; ``answering``: the environments that their service lists as available;
    ``disowned``: those that a complete list of their service no longer has.
    """

    arm: Literal["unreachable", "found", "gone", "none"] = "unreachable"
    current: Host | None = None
    health: Literal["unknown", "ok", "down", "down-within-grace", "stopped"] = "unknown"
    probe: ProbeResult | None = None
    region: Literal["ok", "claimed", "observed", "both"] = "ok"
    event: Literal["none", "freeze", "reboot-same-host", "reboot-other-host"] = "none"
    successor: Literal["none", "moved", "proved", "name-only", "drill"] = "none"
    arc_cloned: bool = False
    registration_ids: tuple[str, ...] = ()
    answering: frozenset[ArmId] = frozenset()
    disowned: frozenset[ArmId] = frozenset()
    readings: tuple[Reading, ...] = ()


def signals(host: Host, observation: HostObservation) -> Signals:
    """The signals of one host: what was read, compared with its baseline."""
    baseline = host.baseline
    guest = observation.probe.guest if observation.probe else None
    arm = baseline.arm
    now = observation.current.baseline.arm if observation.current else None
    return Signals(
        host_kind=host.kind,
        arm=observation.arm,
        instance_id=_instance(baseline, now.instance_id if now else "", guest),
        os_id=_os(baseline.guest, guest),
        registration=_registration(observation, guest),
        boot=_boot(baseline.guest.boot_id if baseline.guest else None, guest.boot_id if guest else None),
        physical_host=_same(
            baseline.guest.physical_host if baseline.guest else None, guest.physical_host if guest else None
        ),
        os_disk=_same(arm.os_disk_unique_id if arm else None, now.os_disk_unique_id if now else None),
        event=observation.event,
        ephemeral_os_disk=bool(arm and arm.ephemeral_os_disk),
        successor=observation.successor,
        health=observation.health,
        probe=observation.probe.state if observation.probe else "none",
        region=observation.region,
        arc_cloned=observation.arc_cloned,
        evidence=observation.readings,
    )


def _same(before: str | None, after: str | None) -> Same:
    if not before or not after:
        return "unknown"
    return "same" if before.lower() == after.lower() else "different"


def _boot(before: str | None, after: str | None) -> Same:
    """Compare two starts. Linux has an id for each start; Windows has its time, which moves a little when the clock is set."""
    if before and after and before.lower() != after.lower():
        try:
            apart = abs(parse_time(before) - parse_time(after))
        except ValueError:
            return "different"
        return "same" if apart <= SAME_START else "different"
    return _same(before, after)


def same_uuid(first: str, second: str) -> bool:
    """Whether two SMBIOS UUIDs are equal, or equal with the first three fields byte-swapped, as generation 1 VMs show them."""
    try:
        first_uuid, second_uuid = uuid.UUID(first), uuid.UUID(second)
    except ValueError:
        return first.lower() == second.lower()
    return second_uuid in (first_uuid, uuid.UUID(bytes=first_uuid.bytes_le))


def _instance(baseline: Baseline, now: str, guest: GuestIdentity | None) -> Same:
    """Compare the instance id with ARM's and with the machine's own: ``different`` when either of them differs."""
    before = baseline.arm.instance_id if baseline.arm else ""
    inside_now = guest.smbios_uuid if guest else None
    inside = before or (baseline.guest.smbios_uuid if baseline.guest else None) or ""
    answers = [
        same_uuid(uuid_before, uuid_now)
        for uuid_before, uuid_now in ((before, now), (inside, inside_now))
        if uuid_before and uuid_now
    ]
    return "unknown" if not answers else "same" if all(answers) else "different"


def contradicted(observation: HostObservation) -> bool:
    """Whether ARM and the machine itself report different instance ids."""
    now = observation.current.baseline.arm if observation.current else None
    inside = observation.probe.guest.smbios_uuid if observation.probe and observation.probe.guest else None
    return bool(now and now.instance_id and inside and not same_uuid(now.instance_id, inside))


def _os(before: GuestIdentity | None, after: GuestIdentity | None) -> Same:
    if before is None or after is None:
        return "unknown"
    machine = _same(before.machine_id, after.machine_id)
    keys: Same = "unknown"
    if before.ssh_host_keys and after.ssh_host_keys:
        keys = "same" if set(before.ssh_host_keys) & set(after.ssh_host_keys) else "different"
    if "different" in (machine, keys):
        return "different"
    return "same" if "same" in (machine, keys) else "unknown"


def _registration(observation: HostObservation, guest: GuestIdentity | None) -> Same:
    """``same`` only when the service confirms it; ``different`` when the host has another one, or the service no longer has ours."""
    ours = {ArmId(registration_id) for registration_id in observation.registration_ids}
    if not ours:
        return "unknown"
    if ours & observation.disowned:
        return "different"
    on_host = (
        {ArmId(registration.id) for registration in guest.registrations}
        if guest and guest.registrations is not None
        else None
    )
    if on_host and not on_host & ours:
        return "different"
    if ours & observation.answering and (on_host is None or on_host & ours):
        return "same"
    return "unknown"


def health_of(
    reading: Reading | None, *, by_customer: bool, since: str, stopped: bool, now: datetime, grace_minutes: float
) -> Literal["unknown", "ok", "down", "down-within-grace", "stopped"]:
    """An availability reading and the power state as a value of ``Signals.health``. ``since``: RFC 3339, or empty."""
    state = str(reading.value).lower() if reading else "unknown"
    if stopped:
        return "stopped"
    if state == "available":
        return "ok"
    if state != "unavailable":
        return "unknown"
    if by_customer:
        return "stopped"
    if since and now - parse_time(since) < timedelta(minutes=grace_minutes):
        return "down-within-grace"
    return "down"


def observed_regions(
    flags_by_region: Mapping[str, Sequence[bool]], *, control: bool, min_hosts: int, share: float
) -> dict[str, tuple[bool, str]]:
    """Per region whether the estate's own machines show it down, and the share in words.

    ``flags_by_region``: for each machine that was not stopped, whether it is down; ``control``: something outside the region answers.
    """
    observed: dict[str, tuple[bool, str]] = {}
    for region, flags in flags_by_region.items():
        text = f"{sum(flags)} of {len(flags)} own machines do not answer"
        if len(flags) < min_hosts:
            observed[region] = (False, f"{text}; fewer than {min_hosts} are too few to judge")
        else:
            observed[region] = (
                control and any(flags) and sum(flags) / len(flags) >= share,
                text if control else f"{text}, and neither does the control region",
            )
    return observed


def builtins(value: Signals) -> dict[str, Any]:
    """The signals by name, without their evidence, for a file."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__ if name != "evidence"}
