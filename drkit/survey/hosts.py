"""Each host's signals from every source, and its verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from drkit.model.clock import parse_time
from drkit.model.estate import Assessment, Claim, Host, HostFinding, Reading
from drkit.model.ids import ArmId
from drkit.planning import transparency
from drkit.survey import (
    baseline_comparison,
    capture,
    health,
    host_details,
    host_sources,
    machines,
    probe,
    probe_output,
    successors,
    vm_annotations,
)
from drkit.survey.context import SurveyContext
from drkit.survey.draft import AssessmentDraft
from drkit.survey.host_details import JudgedHost
from drkit.survey.successors import HostSuccessor

UNDER_WAY = timedelta(minutes=90)
"""How long a run command may be in progress, at the longest."""

HostHealth = Literal["unknown", "ok", "down", "down-within-grace", "stopped"]


@dataclass(frozen=True)
class RegionState:
    """Whether a region is claimed to be down, observed to be down by the estate's own machines, or both; and the share in words."""

    state: Literal["ok", "claimed", "observed", "both"] = "ok"
    reason: str = ""


@dataclass(frozen=True)
class _Facts:
    """What the hosts are judged from, by host id.

    ``current_ids``: the id that a host has now; ``registrations``: its environments' ids; ``states``: by environment id.
    """

    sources: host_sources.Sources
    successors: Mapping[ArmId, HostSuccessor]
    current_ids: Mapping[ArmId, ArmId]
    healths: Mapping[ArmId, HostHealth]
    regions: Mapping[str, RegionState]
    zones: set[ArmId]
    registrations: Mapping[ArmId, Sequence[str]]
    states: Mapping[ArmId, str]
    answering: frozenset[ArmId]
    disowned: frozenset[ArmId]
    claims: Mapping[str, Sequence[Claim]]


async def findings(
    survey: SurveyContext,
    draft: AssessmentDraft,
    earlier: Assessment | None,
    probe_outputs: Sequence[probe_output.ProbeOutput],
) -> tuple[list[HostFinding], set[str]]:
    """The finding of every host of the baseline, and the regions that are claimed and observed to be lost.

    ``earlier``: the assessment before this one; ``probe_outputs``: of probes that people ran. What could not be read is added to
    ``draft.unread``.
    """
    sources = await host_sources.read(survey, draft, probe_outputs, _silent(earlier, draft.now))
    facts = _facts(survey, draft, sources)
    judged_hosts = [_judge(host, facts, survey, draft) for host in draft.base.hosts]
    details = await host_details.read(survey, judged_hosts, draft)
    lost_regions = {region for region, view in facts.regions.items() if view.state == "both"}
    return [
        _finding(
            judged,
            sources.machines.by_id.get(judged.host.key),
            details.get(judged.host.key, ()),
            draft.now,
            survey.settings.assess.provisional_minutes,
        )
        for judged in judged_hosts
    ], lost_regions


def _facts(survey: SurveyContext, draft: AssessmentDraft, sources: host_sources.Sources) -> _Facts:
    known = successors.find(draft.base, sources.machines, sources.probes, sources.links)
    current_ids = {host.key: _current_id(host, known.get(host.key)) for host in draft.base.hosts}
    healths = {host.key: _health(host, current_ids[host.key], sources, survey) for host in draft.base.hosts}
    answering, disowned = _registrations(draft)
    registrations: dict[ArmId, list[str]] = defaultdict(list)
    paths = survey.registration_paths()
    for environment in draft.base.environments:
        # A product that keeps no registration on its hosts has none that could be replaced there.
        if environment.host and paths.get(environment.product):
            registrations[environment.host.key].append(environment.id)
    claims: dict[str, list[Claim]] = defaultdict(list)
    for claim in draft.claims:
        claims[claim.region].append(claim)
    return _Facts(
        sources=sources,
        successors=known,
        current_ids=current_ids,
        healths=healths,
        regions=_regions(survey, draft, healths, sources.probes),
        zones=_zones(draft, healths),
        registrations=registrations,
        states={ArmId(environment.id): environment.state for environment in draft.captured.environments},
        answering=answering,
        disowned=disowned,
        claims=claims,
    )


def _judge(host: Host, facts: _Facts, survey: SurveyContext, draft: AssessmentDraft) -> JudgedHost:
    observation = _observe(host, facts, draft)
    verdict = transparency.judge(
        baseline_comparison.signals(host, observation), trust_registration=survey.settings.assess.trust_registration
    )
    if host.key in facts.zones and verdict.outcome in ("host-lost", "undetermined"):
        verdict = transparency.with_notes(verdict, "zone")
    return JudgedHost(host, observation, verdict, facts.successors.get(host.key), facts.current_ids[host.key])


def _observe(host: Host, facts: _Facts, draft: AssessmentDraft) -> baseline_comparison.HostObservation:
    sources, key = facts.sources, host.key
    current_id = facts.current_ids[key]
    successor = facts.successors.get(key)
    moved = successor.host if successor and successor.kind == "moved" else None
    machine = sources.machines.by_id.get(key)
    probed = sources.probes.get(current_id)
    annotations = list(sources.annotations.get(key, ()))
    if current_id != key:
        annotations += sources.annotations.get(current_id, ())
    annotations = vm_annotations.since(
        sorted(annotations, key=_time), host.baseline.guest_time or host.baseline.arm_time
    )
    return baseline_comparison.HostObservation(
        arm=_arm_of(host, machine, sources.missing),
        current=machine.host if machine else moved,
        health=facts.healths[key],
        probe=probed,
        region=facts.regions.get(host.region, RegionState()).state,
        event=vm_annotations.strongest(annotations)[0],
        successor=successor.kind if successor else "none",
        arc_cloned=bool(machine and machine.arc_cloned),
        registration_ids=tuple(facts.registrations.get(key, ())),
        answering=facts.answering,
        disowned=facts.disowned,
        readings=(
            *_machine_readings(host, sources, current_id, draft.now),
            *([_probe_reading(host, probed)] if probed else []),
            *annotations,
            *_context_readings(host, facts, draft.now),
        ),
    )


def _time(reading: Reading) -> str:
    return reading.time


def _silent(earlier: Assessment | None, now: str) -> set[ArmId]:
    """The hosts that left the probe of the last assessment without an answer; it may still be in progress."""
    if earlier is None or parse_time(now) - parse_time(earlier.taken) > UNDER_WAY:
        return set()
    return {finding.key for finding in earlier.hosts if finding.signals.get("probe") == "down"}


def _arm_of(
    host: Host, machine: machines.Machine | None, missing: Mapping[ArmId, str]
) -> Literal["unreachable", "found", "gone", "none"]:
    if host.kind == "physical":
        return "none"
    if machine is not None:
        return "found"
    return "gone" if missing.get(host.key, "").startswith("gone") else "unreachable"


def _current_id(host: Host, successor: HostSuccessor | None) -> ArmId:
    """The id under which a host is to be read now: its own, or the one it was moved to."""
    return successor.host.key if successor and successor.kind == "moved" else host.key


def _health(host: Host, current_id: ArmId, sources: host_sources.Sources, survey: SurveyContext) -> HostHealth:
    machine = sources.machines.by_id.get(current_id)
    if host.kind == "arc":
        status = machine.arc_status.lower() if machine else ""
        return "ok" if status == "connected" else "down" if status == "disconnected" else "unknown"
    if machine is None:
        return "unknown"
    reading = sources.availability.get(current_id)
    by_customer = health.by_customer(reading) if reading else False
    unavailable = reading is not None and str(reading.value).lower() == "unavailable"
    return baseline_comparison.health_of(
        reading,
        by_customer=by_customer,
        since=health.since(reading) if reading else "",
        stopped=machine.power == "stopped" and (by_customer or not unavailable),
        now=survey.clock.now(),
        grace_minutes=survey.settings.assess.grace_minutes,
    )


def _regions(
    survey: SurveyContext,
    draft: AssessmentDraft,
    healths: Mapping[ArmId, HostHealth],
    probes: Mapping[ArmId, probe.ProbeResult],
) -> dict[str, RegionState]:
    """The state of each region with an Azure VM of the baseline."""
    down_flags: dict[str, list[bool]] = defaultdict(list)
    for host in draft.base.hosts:
        word = healths[host.key]
        if host.kind != "azure-vm" or word in ("stopped", "unknown"):
            continue
        answer = probes.get(host.key)
        up = answer is not None and answer.state == "up" and not answer.stale
        down_flags[host.region].append(not up and (word != "ok" or (answer is not None and answer.state == "down")))
    states: dict[str, RegionState] = {}
    claimed_regions = {claim.region for claim in draft.claims}
    for region in {host.region for host in draft.base.hosts if host.kind == "azure-vm"}:
        control = any(not all(flags) for other, flags in down_flags.items() if other != region) or any(
            reading.value == "yes" for (_, endpoint), reading in draft.services.items() if endpoint.region != region
        )
        observed, reason = baseline_comparison.observed_regions(
            {region: down_flags[region]},
            control=control,
            min_hosts=survey.settings.assess.region_min_hosts,
            share=survey.settings.assess.region_share,
        )[region]
        claimed = region in claimed_regions
        state: Literal["ok", "claimed", "observed", "both"] = "claimed" if claimed else "ok"
        if observed:
            state = "both" if claimed else "observed"
        states[region] = RegionState(state, reason)
    return states


def _zones(draft: AssessmentDraft, healths: Mapping[ArmId, HostHealth]) -> set[ArmId]:
    """The hosts whose zone is down with all its machines while another zone of the region is healthy."""
    places: dict[ArmId, tuple[str, str]] = {}
    for host in draft.base.hosts:
        arm = host.baseline.arm
        if host.kind == "azure-vm" and arm and arm.zones:
            places[host.key] = (host.region, arm.zones[0])
    down_flags: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for key, place in places.items():
        if healths[key] not in ("stopped", "unknown"):
            down_flags[place].append(healths[key] in ("down", "down-within-grace"))
    down = {place for place, flags in down_flags.items() if len(flags) > 1 and all(flags)}
    healthy_regions = {region for (region, _), flags in down_flags.items() if not any(flags)}
    return {key for key, place in places.items() if place in down and place[0] in healthy_regions}


def _registrations(draft: AssessmentDraft) -> tuple[frozenset[ArmId], frozenset[ArmId]]:
    """The environments that their service lists as available now, and those that a complete list no longer has."""
    answering = frozenset(
        ArmId(environment.id) for environment in draft.captured.environments if environment.state.lower() == "available"
    )
    whole = capture.whole_plans(draft.captured.captures)
    present = {ArmId(environment.id) for environment in draft.captured.environments}
    disowned = frozenset(
        ArmId(environment.id)
        for environment in draft.base.environments
        if environment.kind == "self-hosted" and environment.plan_key in whole and ArmId(environment.id) not in present
    )
    return answering, disowned


# evidence


def _machine_readings(host: Host, sources: host_sources.Sources, current_id: ArmId, now: str) -> list[Reading]:
    """What ARM and Resource Health say about a host."""
    readings = []
    machine = sources.machines.by_id.get(host.key)
    shown = machine or sources.machines.by_id.get(current_id)
    arm, old = shown.host.baseline.arm if shown else None, host.baseline.arm
    if host.kind != "physical":
        why = sources.missing.get(host.key, "")
        value = arm.instance_id if arm else "not found" if why.startswith("gone") else "not seen"
        parts = (
            [f"was {old.instance_id}"]
            if arm and old and not baseline_comparison.same_uuid(arm.instance_id, old.instance_id)
            else []
        )
        parts += [f"power {shown.power}"] if shown and host.kind == "azure-vm" else [] if shown else [why]
        source = shown.source if shown else "ARM"
        readings.append(Reading(host.id, "arm", value, source, now, ", ".join(filter(None, parts))))
    if arm and old and arm.os_disk_unique_id and arm.os_disk_unique_id != old.os_disk_unique_id:
        detail = f"was {old.os_disk_unique_id}" if old.os_disk_unique_id else ""
        readings.append(Reading(host.id, "os-disk", arm.os_disk_unique_id, "ARM: disk", now, detail))
    if availability := sources.availability.get(current_id):
        readings.append(availability)
    if machine and machine.arc_status:
        readings.append(
            Reading(host.id, "arc-status", machine.arc_status, "ARM: Arc machine", now, f"since={machine.changed}")
        )
    return readings


def _probe_reading(host: Host, probed: probe.ProbeResult) -> Reading:
    """The identities that the probe read, and which of them differ from the baseline."""
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


def _context_readings(host: Host, facts: _Facts, now: str) -> list[Reading]:
    """What concerns a host from outside: events, its region, its successor, its registrations, and claims about its region."""
    readings = []
    if event := facts.sources.impacted.get(facts.current_ids[host.key]):
        readings.append(Reading(host.id, "impacted", event, "Service Health: impacted resources", now))
    region = facts.regions.get(host.region)
    if region and region.state != "ok":
        readings.append(Reading(host.region, "region", region.state, "own fleet and claims", now, region.reason))
    if successor := facts.successors.get(host.key):
        by_link = host.key in facts.sources.links and successor.kind in ("proved", "drill")
        source = "Site Recovery" if by_link else "ARM and probe"
        readings.append(Reading(host.id, f"successor-{successor.kind}", successor.host.id, source, now))
    readings += [
        Reading(registration_id, "registration", facts.states[ArmId(registration_id)], "environment service", now)
        for registration_id in facts.registrations.get(host.key, ())
        if ArmId(registration_id) in facts.states
    ]
    if host.kind == "azure-vm":
        readings += [
            Reading(host.region, "claim", claim.id, claim.who, claim.since or now, claim.text)
            for claim in facts.claims.get(host.region, ())
        ]
    return readings


def _finding(
    judged: JudgedHost,
    machine: machines.Machine | None,
    details: Sequence[Reading],
    now: str,
    provisional_minutes: float,
) -> HostFinding:
    host, observation, verdict, successor = judged.host, judged.observation, judged.verdict, judged.successor
    readings = (*verdict.evidence, *details)
    if _provisional(host, readings, now, provisional_minutes):
        verdict = transparency.with_notes(verdict, "provisional")
    if observation.probe and observation.probe.stale:
        verdict = transparency.with_notes(transparency.lower_confidence(verdict), "old-probe")
    if baseline_comparison.contradicted(observation):
        verdict = transparency.with_notes(verdict, "sources-disagree")
    current = machine.host if machine else None
    if successor and successor.kind in ("moved", "proved"):
        current = successor.host
    elif current is not None and observation.probe and observation.probe.guest:
        current = successors.with_guest(current, observation.probe)
    return HostFinding(
        host=host.id,
        outcome=verdict.outcome,
        confidence=verdict.confidence,
        rule=verdict.rule,
        reason=verdict.reason,
        notes=verdict.notes,
        signals=baseline_comparison.builtins(baseline_comparison.signals(host, observation)),
        readings=readings,
        successor=successor.host.id if successor and successor.kind == "proved" else "",
        found=current,
    )


def _provisional(host: Host, readings: Sequence[Reading], now: str, minutes: float) -> bool:
    """Whether something happened to a host so recently that the slower sources may not have reported yet."""
    moments = [reading.time for reading in readings if reading.signal in (vm_annotations.SIGNAL, "operation")]
    for signal in ("health-event", "availability-history"):
        # The log repeats a state that lasts; only a change of state is an event.
        state: object = None
        for reading in sorted((reading for reading in readings if reading.signal == signal), key=_time):
            if reading.value != state:
                moments.append(reading.time)
            state = reading.value
    moments += [health.since(reading) for reading in readings if reading.signal == "availability"]
    start = parse_time(now) - timedelta(minutes=minutes)
    baseline_time = host.baseline.guest_time or host.baseline.arm_time
    return any(moment > baseline_time and parse_time(moment) > start for moment in moments if moment)
