"""Each host's signals from every source, and its verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drkit.model.clock import Clock, parse_time
from drkit.model.estate import Assessment, Host, HostFinding, Reading
from drkit.model.settings import Settings
from drkit.planning import transparency
from drkit.products.base import Product
from drkit.survey import (
    capture,
    health,
    host_details,
    host_signals,
    host_sources,
    machines,
    probe,
    probe_output,
    vm_annotations,
)
from drkit.survey.draft import AssessmentDraft
from drkit.survey.successors import Successors, find, with_guest

if TYPE_CHECKING:
    from drkit.providers.session import Session

UNDER_WAY = timedelta(minutes=90)
"""How long a run command may be under way, at the longest."""


async def findings(
    azure: Session,
    products: Mapping[str, Product],
    subscriptions: Sequence[str],
    settings: Settings,
    clock: Clock,
    draft: AssessmentDraft,
    given: Mapping[str, probe.Probed] | None,
    printed: Sequence[probe_output.Printed],
    earlier: Assessment | None = None,
) -> tuple[list[HostFinding], set[str]]:
    """The finding of every host, and the regions that our fleet and a claim call lost. ``earlier``: the assessment before."""
    silent = _silent(earlier, draft.now)
    sources = await host_sources.gather(azure, products, subscriptions, settings, clock, draft, given, printed, silent)
    listing = sources.found
    successors = find(draft.base, listing, sources.probed, sources.links)
    now_ids = {host.id.lower(): _now_id(host, successors) for host in draft.base.hosts}
    healths = {
        key: _health(host, listing.found.get(now_ids[key]), sources.available.get(now_ids[key]), settings, clock)
        for host in draft.base.hosts
        for key in (host.id.lower(),)
    }
    regions = _regions(draft, healths, sources.probed, settings)
    zones = _zones(draft, healths)
    registrations = _registrations(draft)
    registrations_by_host: dict[str, list[str]] = defaultdict(list)
    paths = capture.registration_paths(products, settings)
    for environment in draft.base.environments:
        # A product that keeps no registration on its hosts has none that could be another one there.
        if environment.host and paths.get(environment.product):
            registrations_by_host[environment.host.host.lower()].append(environment.id)
    states = {environment.id.lower(): environment.state for environment in draft.captured.environments}
    judged: list[tuple[Host, host_signals.Seen, transparency.Verdict, Host | None, str]] = []
    for host in draft.base.hosts:
        key = host.id.lower()
        kind, heir = successors.get(key, ("none", None))
        machine, now_id = listing.found.get(key), now_ids[key]
        probed = sources.probed.get(heir.id.lower()) if heir and kind == "moved" else sources.probed.get(key)
        annotations = vm_annotations.since(
            sorted([*sources.told.get(key, ()), *(sources.told.get(now_id, ()) if now_id != key else ())], key=_time),
            host.baseline.guest_time or host.baseline.arm_time,
        )
        seen = host_signals.Seen(
            arm=_arm_of(host, machine, sources.missing),
            now=machine.host if machine else heir if kind == "moved" else None,
            health=healths[key],
            probe=probed,
            region=regions.get(host.region, ("ok", ""))[0],  # type: ignore[arg-type]
            event=vm_annotations.strongest(annotations)[0],
            successor=kind,  # type: ignore[arg-type]
            arc_cloned=bool(machine and machine.arc_cloned),
            registration_ids=tuple(registrations_by_host.get(key, ())),
            answering=registrations[0],
            disowned=registrations[1],
            readings=(
                *_readings(
                    host, machine, sources, now_id, probed, regions.get(host.region), heir, kind, annotations, draft.now
                ),
                *_said(host, registrations_by_host.get(key, ()), states, draft),
            ),
        )
        verdict = transparency.judge(
            host_signals.signals(host, seen), trust_registration=settings.assess.trust_registration
        )
        if key in zones and verdict.outcome in ("host-lost", "undetermined"):
            verdict = transparency.with_notes(verdict, "zone")
        judged.append((host, seen, verdict, heir, now_id))
    details = await host_details.look(azure, judged, draft, clock)
    result = [
        _finding(host, seen, verdict, listing.found.get(host.id.lower()), heir, settings, draft.now, details)
        for host, seen, verdict, heir, _ in judged
    ]
    return result, {region for region, (word, _) in regions.items() if word == "both"}


def _time(reading: Reading) -> str:
    return reading.time


def _silent(earlier: Assessment | None, now: str) -> set[str]:
    """Lower-cased ids of hosts that left their last probe without an answer, which may still be under way."""
    if earlier is None or parse_time(now) - parse_time(earlier.taken) > UNDER_WAY:
        return set()
    return {finding.host.lower() for finding in earlier.hosts if finding.signals.get("probe") == "down"}


def _arm_of(host: Host, machine: machines.Machine | None, missing: Mapping[str, str]) -> Any:
    if host.kind == "physical":
        return "none"
    if machine is not None:
        return "found"
    return "gone" if missing.get(host.id.lower(), "").startswith("gone") else "unreachable"


def _now_id(host: Host, successors: Successors) -> str:
    """The lower-cased id under which a host is to be read now: its own, or the one it was moved to."""
    kind, heir = successors.get(host.id.lower(), ("none", host))
    return heir.id.lower() if kind == "moved" else host.id.lower()


def _health(
    host: Host, machine: machines.Machine | None, reading: Reading | None, settings: Settings, clock: Clock
) -> Any:
    if host.kind == "arc":
        status = machine.arc_status.lower() if machine else ""
        return {"connected": "ok", "disconnected": "down"}.get(status, "unknown")
    if machine is None:
        return "unknown"
    return host_signals.health_of(
        reading,
        by_customer=health.by_customer(reading) if reading else False,
        since=health.since(reading) if reading else "",
        stopped=machine.power == "stopped"
        and not (reading and str(reading.value).lower() == "unavailable" and not health.by_customer(reading)),
        now=clock.now(),
        grace_minutes=settings.assess.grace_minutes,
    )


def _regions(
    draft: AssessmentDraft, healths: Mapping[str, str], probed: Mapping[str, probe.Probed], settings: Settings
) -> dict[str, tuple[str, str]]:
    """Per region of an Azure VM: ``ok``, ``claimed``, ``observed`` or ``both``, and why."""
    flags: dict[str, list[bool]] = defaultdict(list)
    for host in draft.base.hosts:
        word = healths[host.id.lower()]
        if host.kind != "azure-vm" or word in ("stopped", "unknown"):
            continue
        answered = probed.get(host.id.lower())
        up = answered is not None and answered.state == "up" and not answered.stale
        flags[host.region].append(not up and (word != "ok" or (answered is not None and answered.state == "down")))
    words: dict[str, tuple[str, str]] = {}
    for region in {host.region for host in draft.base.hosts if host.kind == "azure-vm"}:
        control = any(
            not down_flag for other, values in flags.items() if other != region for down_flag in values
        ) or any(reading.value == "yes" for key, reading in draft.regions.items() if not key.endswith(f"/{region}"))
        observed, text = host_signals.observed_regions(
            {region: flags[region]},
            control=control,
            min_hosts=settings.assess.region_min_hosts,
            share=settings.assess.region_share,
        )[region]
        claimed = any(claim.region == region for claim in draft.claims)
        words[region] = (
            "both" if observed and claimed else "observed" if observed else "claimed" if claimed else "ok",
            text,
        )
    return words


def _zones(draft: AssessmentDraft, healths: Mapping[str, str]) -> set[str]:
    """Lower-cased ids of hosts whose zone is down with all its machines, while another zone of the region is well."""
    places: dict[str, tuple[str, str]] = {}
    for host in draft.base.hosts:
        arm = host.baseline.arm
        if host.kind == "azure-vm" and arm and arm.zones:
            places[host.id.lower()] = (host.region, arm.zones[0])
    down_flags: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for key, place in places.items():
        if healths[key] not in ("stopped", "unknown"):
            down_flags[place].append(healths[key] in ("down", "down-within-grace"))
    down = {place for place, flags in down_flags.items() if len(flags) > 1 and all(flags)}
    well = {place[0] for place, flags in down_flags.items() if not any(flags)}
    return {key for key, place in places.items() if place in down and place[0] in well}


def _registrations(draft: AssessmentDraft) -> tuple[frozenset[str], frozenset[str]]:
    """Environment ids that their service lists as Available now, and those a whole listing no longer has."""
    answering = frozenset(
        environment.id.lower()
        for environment in draft.captured.environments
        if environment.state.lower() == "available"
    )
    listed = capture.whole_plans(draft.captured.captures)
    present = {environment.id.lower() for environment in draft.captured.environments}
    disowned = frozenset(
        environment.id.lower()
        for environment in draft.base.environments
        if environment.kind == "self-hosted"
        and environment.plan.lower() in listed
        and environment.id.lower() not in present
    )
    return answering, disowned


def _readings(
    host: Host,
    machine: machines.Machine | None,
    sources: host_sources.Sources,
    now_id: str,
    probed: probe.Probed | None,
    region: tuple[str, str] | None,
    heir: Host | None,
    kind: str,
    annotations: Sequence[Reading],
    now: str,
) -> tuple[Reading, ...]:
    """The evidence: what each source said of this host, with its time."""
    readings = []
    shown = machine or sources.found.found.get(now_id)
    arm, old = shown.host.baseline.arm if shown else None, host.baseline.arm
    if host.kind != "physical":
        why = sources.missing.get(host.id.lower(), "")
        value = arm.instance_id if arm else "not found" if why.startswith("gone") else "not seen"
        parts = (
            [f"was {old.instance_id}"]
            if arm and old and not host_signals.same_uuid(arm.instance_id, old.instance_id)
            else []
        )
        parts += [f"power {shown.power}"] if shown and host.kind == "azure-vm" else [] if shown else [why]
        source = shown.source if shown else "ARM"
        readings.append(Reading(host.id, "arm", value, source, now, ", ".join(filter(None, parts))))
    if arm and old and arm.os_disk_unique_id and arm.os_disk_unique_id != old.os_disk_unique_id:
        detail = f"was {old.os_disk_unique_id}" if old.os_disk_unique_id else ""
        readings.append(Reading(host.id, "os-disk", arm.os_disk_unique_id, "ARM: disk", now, detail))
    if available := sources.available.get(now_id):
        readings.append(available)
    if machine and machine.arc_status:
        readings.append(
            Reading(host.id, "arc-status", machine.arc_status, "ARM: Arc machine", now, f"since={machine.changed}")
        )
    if probed:
        readings.append(_probe_reading(host, probed))
    readings.extend(annotations)
    if event := sources.impacted.get(now_id):
        readings.append(Reading(host.id, "impacted", event, "Service Health: impacted resources", now))
    if region and region[0] != "ok":
        readings.append(Reading(host.region, "region", region[0], "own fleet and claims", now, region[1]))
    if heir:
        source = (
            "Site Recovery" if host.id.lower() in sources.links and kind in ("proved", "drill") else "ARM and probe"
        )
        readings.append(Reading(host.id, f"successor-{kind}", heir.id, source, now))
    return tuple(readings)


def _probe_reading(host: Host, probed: probe.Probed) -> Reading:
    """What the probe read that is compared, and what differs from the baseline."""
    guest, before = probed.guest, host.baseline.guest
    if guest is None:
        return Reading(host.id, "probe", probed.state, probed.source, probed.time, probed.detail)
    names = ("boot_id", "machine_id", "physical_host")
    value = {name: getattr(guest, name) for name in names}
    was = [
        f"{name} {old}"
        for name in names
        if before and (old := getattr(before, name)) and value[name] and old.lower() != value[name].lower()
    ]
    detail = ", ".join(filter(None, [probed.detail, f"was {', '.join(was)}" if was else ""]))
    return Reading(host.id, "probe", value, probed.source, probed.time, detail)


def _said(
    host: Host, registration_ids: Sequence[str], states: Mapping[str, str], draft: AssessmentDraft
) -> tuple[Reading, ...]:
    """What the environment service says of its registrations, and who claims that its region is lost."""
    readings = [
        Reading(registration_id, "registration", states[registration_id.lower()], "environment service", draft.now)
        for registration_id in registration_ids
        if registration_id.lower() in states
    ]
    if host.kind == "azure-vm":
        readings += [
            Reading(host.region, "claim", claim.id, claim.who, claim.since or draft.now, claim.text)
            for claim in draft.claims
            if claim.region == host.region
        ]
    return tuple(readings)


def _finding(
    host: Host,
    seen: host_signals.Seen,
    verdict: transparency.Verdict,
    machine: machines.Machine | None,
    heir: Host | None,
    settings: Settings,
    now: str,
    details: Mapping[str, Sequence[Reading]],
) -> HostFinding:
    readings = (*verdict.evidence, *details.get(host.id.lower(), ()))
    if _provisional(host, readings, now, settings.assess.provisional_minutes):
        verdict = transparency.with_notes(verdict, "provisional")
    if seen.probe and seen.probe.stale:
        verdict = transparency.with_notes(transparency.lower_confidence(verdict), "old-probe")
    if host_signals.contradicted(seen):
        verdict = transparency.with_notes(verdict, "sources-disagree")
    current = machine.host if machine else None
    if seen.successor in ("moved", "proved") and heir is not None:
        current = heir
    elif current is not None and seen.probe and seen.probe.guest:
        current = with_guest(current, seen.probe)
    return HostFinding(
        host=host.id,
        outcome=verdict.outcome,
        confidence=verdict.confidence,
        rule=verdict.rule,
        reason=verdict.reason,
        notes=verdict.notes,
        signals=host_signals.builtins(host_signals.signals(host, seen)),
        readings=readings,
        successor=heir.id if heir and seen.successor == "proved" else "",
        found=current,
    )


def _provisional(host: Host, readings: Sequence[Reading], now: str, minutes: float) -> bool:
    """Whether something happened to it so lately that the slower sources may still speak."""
    moments = [reading.time for reading in readings if reading.signal in (vm_annotations.SIGNAL, "operation")]
    for signal in ("health-event", "availability-history"):
        # The log repeats a state that lasts; only a change of it is an event.
        state: object = None
        for reading in sorted((reading for reading in readings if reading.signal == signal), key=_time):
            if reading.value != state:
                moments.append(reading.time)
            state = reading.value
    moments += [health.since(reading) for reading in readings if reading.signal == "availability"]
    start = parse_time(now) - timedelta(minutes=minutes)
    baseline_time = host.baseline.guest_time or host.baseline.arm_time
    return any(moment > baseline_time and parse_time(moment) > start for moment in moments if moment)
