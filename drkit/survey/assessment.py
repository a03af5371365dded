"""Assesses: how each plan is, what happened to each host, who claims what, and what is in the way at the targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from drkit import advice, estate, history, transparency
from drkit.clock import Clock, parse_time, rfc3339
from drkit.cloud import CloudMark
from drkit.errors import NO_AUTHORITY, CloudError, CredentialError, NotFoundError, UnreachableError
from drkit.estate import (
    Assessment,
    Claim,
    Host,
    HostFinding,
    Plan,
    PlanFinding,
    Reading,
    Snapshot,
    Statement,
    TargetFacts,
    region_name,
)
from drkit.products.base import Captured, Endpoint, Product
from drkit.settings import Settings
from drkit.survey import by_hand, health, machines, probe, signals, snapshot

if TYPE_CHECKING:
    from drkit.providers.session import Session

COMPUTE_SERVICES = (
    "Virtual Machine",
    "Storage",
    "Managed Disk",
    "Virtual Network",
    "Network Infrastructure",
    "Compute",
)
ASLEEP = frozenset({"shutdown", "shuttingdown", "archived", "none", "created", "queued", "provisioning", "starting"})


@dataclass
class Night:
    """What one assessment gathers on its way."""

    now: str
    base: Snapshot
    captured: Captured
    down: str = ""
    states: dict[str, PlanFinding] = field(default_factory=dict)
    regions: dict[str, Reading] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def lost(self) -> set[str]:
        """The regions of lost plans."""
        return {plan.region for plan in self.base.plans if self.states[plan.id.lower()].state == "lost"}


async def take(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    *,
    mark: CloudMark,
    generations: Sequence[Snapshot],
    earlier: Assessment | None,
    declared: Sequence[Claim],
    refusals: Mapping[tuple[str, str], tuple[str, ...]],
    probes: Mapping[str, probe.Probed] | None = None,
    printed: Sequence[by_hand.Printed] = (),
) -> Assessment:
    """Read, judge, and say what could not be read.

    ``refusals``: (subscription, region) -> what earlier runs were refused there. ``printed``: probes that were run by hand.
    """
    newest = generations[-1]
    if not settings.subscriptions and newest.subscriptions:
        settings = msgspec.structs.replace(settings, subscriptions=list(newest.subscriptions))
    subscriptions, down = await _subscriptions(azure, settings, newest)
    captured = await _capture(azure, products, subscriptions, settings, clock)
    now = rfc3339(clock.now())
    night = Night(now, newest, captured, down)
    if down:
        night.unread.append(f"ARM does not answer, so it was asked nothing more: {down}")
    await _claims(azure, subscriptions, night, declared, products, clock)
    await _plans(azure, products, settings, clock, night, generations, earlier)
    cutoffs = {
        plan.id.lower(): moment
        for plan in newest.plans
        if (moment := history.cutoff(night.states[plan.id.lower()].failing_since, night.claims, plan.region))
    }
    night.base = history.compose(generations, cutoffs)
    findings, lost_regions = await _hosts(azure, products, subscriptions, settings, clock, night, probes, printed)
    lost = sorted(night.lost | lost_regions)
    targets = await _targets(azure, products, settings, clock, night, lost, refusals)
    ids = _stand_ins(products, settings, night)
    return Assessment(
        made_against=mark,
        taken=now,
        of_snapshot=estate.digest(estate.encode(night.base)),
        lost_regions=tuple(lost),
        plans=tuple(_advised(night, settings)),
        hosts=tuple(findings),
        claims=tuple(night.claims),
        statements=tuple(night.statements),
        targets=targets,
        present=tuple(one for one in captured.environments if one.plan.lower() in ids),
        present_plans=tuple(plan for plan in captured.plans if plan.id.lower() in ids),
        unread=tuple(night.unread),
    )


def _stand_ins(products: Mapping[str, Product], settings: Settings, night: Night) -> set[str]:
    """Lower-cased ids of the plans there are that may take over from others."""
    found: set[str] = set()
    for plan in night.base.plans:
        if plan.product in products:
            others = [one for one in night.captured.plans if one.product == plan.product]
            found |= {one.id.lower() for one in products[plan.product].stand_ins(plan, others, settings)}
    return found


async def _subscriptions(azure: Session, settings: Settings, newest: Snapshot) -> tuple[list[str], str]:
    """The subscriptions to look at; none, and why, when ARM itself does not answer: a hundred questions would all hang."""
    try:
        return await snapshot.subscriptions_of(azure, settings), ""
    except CredentialError as error:
        if error.code != NO_AUTHORITY:
            raise
        return [], str(error)
    except UnreachableError as error:
        return [], str(error)
    except CloudError:
        return sorted({plan.subscription for plan in newest.plans}), ""


async def _capture(
    azure: Session, products: Mapping[str, Product], subscriptions: Sequence[str], settings: Settings, clock: Clock
) -> Captured:
    parts = [await product.capture(azure, subscriptions, settings, clock) for product in products.values()]
    return Captured(
        tuple(plan for part in parts for plan in part.plans),
        tuple(one for part in parts for one in part.environments),
        tuple(capture for part in parts for capture in part.captures),
    )


async def _claims(
    azure: Session,
    subscriptions: Sequence[str],
    night: Night,
    declared: Sequence[Claim],
    products: Mapping[str, Product],
    clock: Clock,
) -> None:
    events, unread = await health.events(azure, subscriptions, clock)
    night.unread.extend(unread)
    regions = {region_name(one.display_name): one.name for one in night.base.locations}
    services = (*COMPUTE_SERVICES, *(name for product in products.values() for name in product.health_services))
    night.claims, night.statements = advice.read_claims(events, regions, services)
    night.claims.extend(declared)


# plans


async def _plans(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    night: Night,
    generations: Sequence[Snapshot],
    earlier: Assessment | None,
) -> None:
    by_id = {capture.subject.lower(): capture for capture in night.captured.captures}
    before = {finding.plan.lower(): finding for finding in earlier.plans} if earlier else {}
    for plan in night.base.plans:
        product = products.get(plan.product)
        if product is None:
            night.states[plan.id.lower()] = PlanFinding(plan.id, "unknown", f"drkit knows no product {plan.product!r}")
            continue
        service = await _service(azure, product, product.endpoint(plan, settings), clock, night)
        control = await _control(azure, product, plan, settings, clock, night)
        capture = by_id.get(plan.id.lower())
        listing = "unknown" if capture is None else "no" if capture.state == "failed" else "yes"
        arm, arm_reading = await _arm(azure, plan, product, night)
        mine = [one for one in night.captured.environments if one.plan.lower() == plan.id.lower()]
        awake = [one for one in mine if one.state.lower() not in ASLEEP]
        seen = advice.PlanSignals(
            service=service.value,
            listing=listing,  # type: ignore[arg-type]
            control=control.value,
            arm=arm,  # type: ignore[arg-type]
            claimed=any(claim.region == plan.region for claim in night.claims),
            live=sum(one.state.lower() == "available" for one in awake),
            dead=sum(one.state.lower() != "available" for one in awake),
        )
        state, reason = advice.plan_state(seen)
        failing = ""
        if state in ("lost", "unreachable", "unknown", "degraded") and listing != "yes":
            known = before.get(plan.id.lower())
            failing = history.failing_since(plan.id, generations, known.failing_since if known else "") or night.now
        readings = (
            service,
            control,
            Reading(
                plan.id,
                "listing",
                listing,
                capture.source if capture else "ARM: plans",
                night.now,
                capture.detail if capture else "not listed by ARM",
            ),
            arm_reading,
        )
        night.states[plan.id.lower()] = PlanFinding(plan.id, state, reason, failing, None, readings)


async def _service(azure: Session, product: Product, endpoint: Endpoint, clock: Clock, night: Night) -> Reading:
    key = f"{product.name} {endpoint.url}/{endpoint.region}"
    if key not in night.regions:
        night.regions[key] = await product.answers(azure, endpoint, clock)
    return night.regions[key]


async def _control(
    azure: Session, product: Product, plan: Plan, settings: Settings, clock: Clock, night: Night
) -> Reading:
    """The same service in another region: the first that answers, else the last that did not."""
    answer = Reading(plan.region, "control", "unknown", "another region", night.now, "there is no other region to ask")
    for other in product.controls(plan, night.base.plans, settings):
        reading = await _service(azure, product, other, clock, night)
        answer = Reading(other.region, "control", reading.value, reading.source, reading.time, reading.detail)
        if reading.value == "yes":
            break
    return answer


async def _arm(azure: Session, plan: Plan, product: Product, night: Night) -> tuple[str, Reading]:
    if any(one.id.lower() == plan.id.lower() for one in night.captured.plans):
        return "found", Reading(plan.id, "arm", "found", "ARM: plans", night.now, "listed, perhaps from a cache")
    if night.down:
        return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", night.now, night.down)
    try:
        with azure.budget(attempts=2, seconds=20):
            await azure.resources.resource(plan.id, product.api_version(plan.id))
    except NotFoundError as error:
        return "gone", Reading(plan.id, "arm", "gone", "ARM: plan", night.now, error.code)
    except CloudError as error:
        return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", night.now, error.what)
    return "found", Reading(plan.id, "arm", "found", "ARM: plan", night.now)


def _advised(night: Night, settings: Settings) -> list[PlanFinding]:
    found: list[PlanFinding] = []
    for plan in night.base.plans:
        finding = night.states[plan.id.lower()]
        mine = [one for one in night.base.environments if one.plan.lower() == plan.id.lower()]
        managed = sum(one.kind == "managed" for one in mine)
        forecast = advice.move_minutes(1, managed, len(mine) - managed, settings.run.sign_in_minutes)
        since = history.cutoff(finding.failing_since, night.claims, plan.region)
        found.append(
            msgspec.structs.replace(
                finding,
                advice=advice.wait_or_move(
                    finding.state,
                    failing_since=since,
                    now=parse_time(night.now),
                    expected_outage_minutes=settings.advice.expected_outage_minutes,
                    decision_minutes=settings.advice.decision_minutes,
                    forecast_minutes=forecast,
                    objective_minutes=settings.objectives.recovery_time_minutes,
                ),
            )
        )
    return found


# hosts


async def _hosts(
    azure: Session,
    products: Mapping[str, Product],
    subscriptions: Sequence[str],
    settings: Settings,
    clock: Clock,
    night: Night,
    given: Mapping[str, probe.Probed] | None,
    printed: Sequence[by_hand.Printed],
) -> tuple[list[HostFinding], set[str]]:
    found = await machines.read(azure, subscriptions, settings, clock)
    night.unread.extend(
        f"{capture.source} of {capture.subject}: {capture.detail}"
        for capture in found.captures
        if capture.state == "failed"
    )
    available, unread = await health.availability(azure, subscriptions, clock)
    night.unread.extend(unread)
    night.unread.extend(snapshot.unseen([machine.host for machine in found.found.values()]))
    down = night.lost
    wanted = [
        machine.host
        for machine in found.found.values()
        if machine.host.channel == "run-command"
        and machine.power == "running"
        and machine.host.region not in down
        and machine.host.group_region not in down
        and str(getattr(available.get(machine.host.id.lower()), "value", "Available")).lower() != "unavailable"
    ]
    paths = snapshot.registration_paths(products, settings)
    probed = await probe.run(azure, wanted, paths, settings, clock)
    probed.update(given or {})
    outputs, unused = by_hand.assign(
        printed,
        night.base.hosts,
        [machine.host for machine in found.found.values()],
        now=clock.now(),
        fresh_minutes=settings.assess.fresh_minutes,
    )
    night.unread.extend(unused)
    probed = by_hand.merge(probed, outputs)
    gone = {} if night.down else await _missing(azure, night.base.hosts, found)
    successors = _successors(night.base, found, probed, gone)
    now_ids = {host.id.lower(): _now_id(host, successors) for host in night.base.hosts}
    healths = {
        key: _health(host, found.found.get(now_ids[key]), available.get(now_ids[key]), settings, clock)
        for host in night.base.hosts
        for key in (host.id.lower(),)
    }
    regions = _regions(night, healths, probed, settings)
    answering, disowned = _registrations(night)
    result = []
    for host in night.base.hosts:
        key = host.id.lower()
        # A product that keeps no registration on its hosts has none that could be another one there.
        ids = tuple(
            one.id
            for one in night.base.environments
            if one.host and one.host.host.lower() == key and paths.get(one.product)
        )
        kind, heir = successors.get(key, ("none", None))
        machine = found.found.get(key)
        reading = available.get(now_ids[key])
        seen = signals.Seen(
            arm=_arm_of(host, machine, gone),
            now=machine.host if machine else heir if kind == "moved" else None,
            health=healths[key],
            probe=probed.get(heir.id.lower()) if heir and kind == "moved" else probed.get(key),
            region=regions.get(host.region, ("ok", ""))[0],  # type: ignore[arg-type]
            successor=kind,  # type: ignore[arg-type]
            arc_cloned=bool(machine and machine.arc_cloned),
            registration_ids=ids,
            answering=answering,
            disowned=disowned,
            readings=_readings(
                host, machine, reading, probed.get(key), regions.get(host.region), heir, kind, night.now
            ),
        )
        result.append(_finding(host, seen, machine, heir, kind, settings, reading, night.now))
    lost = {region for region, (word, _) in regions.items() if word == "both"}
    return result, lost


async def _missing(azure: Session, hosts: Sequence[Host], found: machines.Machines) -> dict[str, str]:
    """Hosts that no list shows: ``gone`` when ARM says so of the very object, else ``unreachable``."""
    told: dict[str, str] = {}
    for host in hosts:
        key = host.id.lower()
        if key in found.found or host.kind == "physical":
            continue
        try:
            with azure.budget(attempts=2, seconds=20):
                if host.kind == "azure-vm":
                    await azure.compute.vm(host.id)
                else:
                    await azure.resources.resource(host.id, machines.ARC_API)
        except NotFoundError as error:
            told[key] = f"gone {error.code}"
        except CloudError as error:
            told[key] = f"unreachable {error.what}"
        else:
            told[key] = "unreachable: listed by no list, found by its id"
    return told


def _arm_of(host: Host, machine: machines.Machine | None, missing: Mapping[str, str]) -> Any:
    if host.kind == "physical":
        return "none"
    if machine is not None:
        return "found"
    return "gone" if missing.get(host.id.lower(), "").startswith("gone") else "unreachable"


def _now_id(host: Host, successors: Mapping[str, tuple[str, Host]]) -> str:
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
    return signals.health_of(
        reading,
        by_customer=health.by_customer(reading) if reading else False,
        since=health.since(reading) if reading else "",
        stopped=machine.power == "stopped"
        and not (reading and str(reading.value).lower() == "unavailable" and not health.by_customer(reading)),
        now=clock.now(),
        grace_minutes=settings.assess.grace_minutes,
    )


def _regions(
    night: Night, healths: Mapping[str, str], probed: Mapping[str, probe.Probed], settings: Settings
) -> dict[str, tuple[str, str]]:
    """Per region of an Azure VM: ``ok``, ``claimed``, ``observed`` or ``both``, and why."""
    flags: dict[str, list[bool]] = defaultdict(list)
    for host in night.base.hosts:
        word = healths[host.id.lower()]
        if host.kind != "azure-vm" or word in ("stopped", "unknown"):
            continue
        answered = probed.get(host.id.lower())
        up = answered is not None and answered.state == "up" and not answered.stale
        flags[host.region].append(not up and (word != "ok" or (answered is not None and answered.state == "down")))
    told: dict[str, tuple[str, str]] = {}
    for region in {host.region for host in night.base.hosts if host.kind == "azure-vm"}:
        control = any(not bad for other, values in flags.items() if other != region for bad in values) or any(
            reading.value == "yes" for key, reading in night.regions.items() if not key.endswith(f"/{region}")
        )
        observed, text = signals.observed_regions(
            {region: flags[region]},
            control=control,
            min_hosts=settings.assess.region_min_hosts,
            share=settings.assess.region_share,
        )[region]
        claimed = any(claim.region == region for claim in night.claims)
        told[region] = (
            "both" if observed and claimed else "observed" if observed else "claimed" if claimed else "ok",
            text,
        )
    return told


def _registrations(night: Night) -> tuple[frozenset[str], frozenset[str]]:
    """Environment ids that their service lists as Available now, and those a whole listing no longer has."""
    answering = frozenset(one.id.lower() for one in night.captured.environments if one.state.lower() == "available")
    listed = snapshot.complete_plans(night.captured.captures)
    there = {one.id.lower() for one in night.captured.environments}
    disowned = frozenset(
        one.id.lower()
        for one in night.base.environments
        if one.kind == "self-hosted" and one.plan.lower() in listed and one.id.lower() not in there
    )
    return answering, disowned


def _successors(
    base: Snapshot, found: machines.Machines, probed: Mapping[str, probe.Probed], missing: Mapping[str, str]
) -> dict[str, tuple[str, Host]]:
    """Other machines that a host may have become: ``moved`` (same instance id elsewhere), ``proved`` (same registration), ``name-only``."""
    told: dict[str, tuple[str, Host]] = {}
    known = {host.id.lower(): host for host in base.hosts}
    for host in base.hosts:
        key = host.id.lower()
        arm = host.baseline.arm
        if host.kind != "azure-vm" or arm is None or not arm.instance_id:
            continue
        for other in found.by_instance(arm.instance_id):
            if other.host.id.lower() != key:
                told[key] = ("moved", other.host)
        if key in told:
            continue
        ours = {one.id.lower() for one in base.environments if one.host and one.host.host.lower() == key}
        for candidate, result in probed.items():
            machine = found.found.get(candidate)
            if candidate == key or result.guest is None or machine is None:
                continue
            theirs = {one.id.lower() for one in result.guest.registrations or ()}
            new = candidate not in known or _other_instance(known[candidate], machine)
            if ours & theirs and new:
                told[key] = ("proved", _with_guest(machine.host, result))
                break
            same_os = (
                host.baseline.guest is not None
                and host.baseline.guest.machine_id
                and host.baseline.guest.machine_id == result.guest.machine_id
            )
            if same_os and new and missing.get(key, "").startswith("gone"):
                told[key] = ("name-only", machine.host)
    return told


def _other_instance(before: Host, machine: machines.Machine) -> bool:
    old, new = before.baseline.arm, machine.host.baseline.arm
    return bool(old and new and old.instance_id != new.instance_id)


def _with_guest(host: Host, result: probe.Probed) -> Host:
    baseline = estate.Baseline(host.baseline.arm, host.baseline.arm_time, result.guest, result.time)
    return msgspec.structs.replace(host, baseline=baseline)


def _readings(
    host: Host,
    machine: machines.Machine | None,
    available: Reading | None,
    probed: probe.Probed | None,
    region: tuple[str, str] | None,
    heir: Host | None,
    kind: str,
    now: str,
) -> tuple[Reading, ...]:
    readings = []
    arm = machine.host.baseline.arm if machine else None
    if host.kind != "physical":
        readings.append(
            Reading(
                host.id,
                "arm",
                arm.instance_id if arm else "not found",
                "ARM",
                now,
                f"power {machine.power}" if machine else "",
            )
        )
    if available:
        readings.append(available)
    if machine and machine.arc_status:
        readings.append(
            Reading(host.id, "arc-status", machine.arc_status, "ARM: Arc machine", now, f"since={machine.changed}")
        )
    if probed:
        guest = probed.guest
        value = (
            {"boot_id": guest.boot_id, "machine_id": guest.machine_id, "physical_host": guest.physical_host}
            if guest
            else probed.state
        )
        readings.append(Reading(host.id, "probe", value, probed.source, probed.time, probed.detail))
    if region and region[0] != "ok":
        readings.append(Reading(host.region, "region", region[0], "own fleet and claims", now, region[1]))
    if heir:
        readings.append(Reading(host.id, f"successor-{kind}", heir.id, "ARM and probe", now))
    return tuple(readings)


def _finding(
    host: Host,
    seen: signals.Seen,
    machine: machines.Machine | None,
    heir: Host | None,
    kind: str,
    settings: Settings,
    available: Reading | None,
    now: str,
) -> HostFinding:
    given = signals.signals(host, seen)
    verdict = transparency.judge(given, trust_registration=settings.assess.trust_registration)
    happened = health.since(available) if available and str(available.value).lower() != "available" else ""
    if happened and (parse_time(now) - parse_time(happened)).total_seconds() < settings.assess.provisional_minutes * 60:
        verdict = transparency.with_notes(verdict, "provisional")
    if seen.probe and seen.probe.stale:
        verdict = transparency.with_notes(transparency.lower_confidence(verdict), "old-probe")
    current = machine.host if machine else None
    if kind in ("moved", "proved") and heir is not None:
        current = heir
    elif current is not None and seen.probe and seen.probe.guest:
        current = _with_guest(current, seen.probe)
    return HostFinding(
        host=host.id,
        outcome=verdict.outcome,
        confidence=verdict.confidence,
        rule=verdict.rule,
        reason=verdict.reason,
        notes=verdict.notes,
        signals=signals.builtins(given),
        readings=tuple(verdict.evidence),
        successor=heir.id if heir and kind == "proved" else "",
        found=current,
    )


# targets


async def _targets(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    night: Night,
    lost: Sequence[str],
    refusals: Mapping[tuple[str, str], tuple[str, ...]],
) -> tuple[TargetFacts, ...]:
    """Facts of each target region, for each subscription with a plan that does not answer."""
    if night.down:
        return ()
    wanted = [plan for plan in night.base.plans if night.states[plan.id.lower()].state in ("lost", "unreachable")]
    facts: list[TargetFacts] = []
    for subscription, name in sorted({(plan.subscription, plan.product) for plan in wanted}):
        product = products[name]
        ready = {one.region for plan in wanted for one in product.stand_ins(plan, night.captured.plans, settings)}
        regions = settings.targets or list(product.regions) or sorted(ready)
        for region in regions:
            if region in lost:
                continue
            one = await product.target(azure, subscription, region, night.base, settings, clock)
            facts.append(msgspec.structs.replace(one, refusals=refusals.get((subscription.lower(), region), ())))
    return tuple(facts)
