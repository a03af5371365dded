"""Assesses: how each plan is, what happened to each host, who claims what, and what is in the way at the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from drkit.errors import NO_AUTHORITY, CloudError, CredentialError, NotFoundError, UnreachableError
from drkit.model import estate
from drkit.model.answers import read
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.cloud import CloudMark
from drkit.model.estate import (
    Assessment,
    Claim,
    Deferred,
    Environment,
    Plan,
    PlanFinding,
    Reading,
    Snapshot,
    TargetFacts,
    region_name,
)
from drkit.model.settings import Settings
from drkit.planning import plan_state, recovery_point
from drkit.products.base import Endpoint, Product
from drkit.survey import capture as capture_
from drkit.survey import (
    devops_status,
    emerging_issues,
    health,
    hosts,
    probe,
    probe_output,
    registrations,
    returned_records,
)
from drkit.survey.draft import AssessmentDraft

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
LAST_SEEN, SILENT = "last_seen", "silent-since"
ASLEEP = frozenset({"shutdown", "shuttingdown", "archived", "none", "created", "queued", "provisioning", "starting"})


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
    printed: Sequence[probe_output.Printed] = (),
    deferred: Sequence[Deferred] = (),
) -> Assessment:
    """Read, judge, and say what could not be read.

    ``refusals``: (subscription, region) -> what earlier runs were refused there. ``printed``: probes that were run by hand.
    ``deferred``: what runs left behind, and nobody deleted since.
    """
    newest = generations[-1]
    if not settings.subscriptions and newest.subscriptions:
        settings = msgspec.structs.replace(settings, subscriptions=list(newest.subscriptions))
    subscriptions, down = await _subscriptions(azure, settings, newest)
    captured = await capture_.capture(azure, products, subscriptions, settings, clock)
    now = rfc3339(clock.now())
    night = AssessmentDraft(now, newest, captured, down)
    if down:
        night.unread.append(f"ARM does not answer, so it was asked nothing more: {down}")
    await _claims(azure, subscriptions, night, declared, products, clock)
    await _plans(azure, products, settings, clock, night, generations, earlier)
    cutoffs = {
        plan.id.lower(): moment
        for plan in newest.plans
        if (moment := recovery_point.cutoff(night.states[plan.id.lower()].failing_since, night.claims, plan.region))
    }
    night.base = recovery_point.compose(generations, cutoffs)
    findings, lost_regions = await hosts.findings(
        azure, products, subscriptions, settings, clock, night, probes, printed, earlier
    )
    lost = sorted(night.lost | lost_regions)
    targets = await _targets(azure, products, settings, clock, night, lost, refusals)
    ids = _stand_ins(products, settings, night)
    return Assessment(
        cloud=mark,
        taken=now,
        snapshot_digest=estate.digest(estate.encode(night.base)),
        lost_regions=tuple(lost),
        plans=tuple(_advised(night, settings)),
        hosts=tuple(findings),
        claims=tuple(night.claims),
        statements=tuple(night.statements),
        targets=targets,
        present=tuple(one for one in captured.environments if one.plan.lower() in ids),
        present_plans=tuple(plan for plan in captured.plans if plan.id.lower() in ids),
        witnesses=(*night.regions.values(), *(await _witnesses(azure, products, settings, clock))),
        unread=tuple(night.unread),
        zombies=tuple(returned_records.find(captured, deferred)),
        carried=tuple(registrations.find(night.base, captured, products, findings, deferred, now)),
    )


def _stand_ins(products: Mapping[str, Product], settings: Settings, night: AssessmentDraft) -> set[str]:
    """Lower-cased ids of the plans there are that may take over from others."""
    found: set[str] = set()
    for plan in night.base.plans:
        if plan.product in products:
            others = [one for one in night.captured.plans if one.product == plan.product]
            found |= {one.id.lower() for one in products[plan.product].stand_ins(plan, others, settings)}
    return found


async def _witnesses(
    azure: Session, products: Mapping[str, Product], settings: Settings, clock: Clock
) -> list[Reading]:
    """What the services say of themselves, and the status page beside them: shown, never a claim."""
    said: list[Reading] = []
    for name, product in products.items():
        try:
            with read(name):
                said += await product.witnesses(azure, settings, clock)
        except CloudError as error:
            said.append(Reading(name, "status", "unknown", "its service", rfc3339(clock.now()), error.what))
    return [*said, *await devops_status.read(azure, settings, clock)]


async def _subscriptions(azure: Session, settings: Settings, newest: Snapshot) -> tuple[list[str], str]:
    """The subscriptions to look at; none, and why, when ARM itself does not answer: a hundred questions would all hang."""
    try:
        return await capture_.subscriptions_of(azure, settings), ""
    except CredentialError as error:
        if error.code != NO_AUTHORITY:
            raise
        return [], str(error)
    except UnreachableError as error:
        return [], str(error)
    except CloudError:
        return sorted({plan.subscription for plan in newest.plans}), ""


async def _claims(
    azure: Session,
    subscriptions: Sequence[str],
    night: AssessmentDraft,
    declared: Sequence[Claim],
    products: Mapping[str, Product],
    clock: Clock,
) -> None:
    events, unread = await health.events(azure, subscriptions, clock)
    night.unread.extend(unread)
    regions = {region_name(one.display_name): one.name for one in night.base.locations}
    services = (*COMPUTE_SERVICES, *(name for product in products.values() for name in product.health_services))
    for event in events:
        try:
            with read("Service Health"):
                claims, statements = plan_state.read_claims([event], regions, services)
        except CloudError as error:
            night.unread.append(f"Service Health: an event could not be read: {error.what}")
            continue
        night.claims.extend(claims)
        night.statements.extend(statements)
    issues, more, missing = await emerging_issues.read(azure, regions, services) if subscriptions else ([], [], [])
    night.claims.extend(issues)
    night.statements.extend(more)
    night.unread.extend(missing)
    night.claims.extend(declared)


# plans


async def _plans(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    night: AssessmentDraft,
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
        known = before.get(plan.id.lower())
        reports = _reports(plan, mine, service, known, night)
        seen = plan_state.PlanSignals(
            service=service.value,
            listing=listing,  # type: ignore[arg-type]
            control=control.value,
            arm=arm,  # type: ignore[arg-type]
            claimed=any(claim.region == plan.region for claim in night.claims),
            live=sum(one.state.lower() == "available" for one in awake),
            dead=sum(one.state.lower() != "available" for one in awake),
            heard=reports.heard,
            heard_at=reports.last,
            settled_at=reports.settled,
        )
        state, reason = plan_state.plan_state(seen)
        failing = ""
        silent = reports.heard in ("before", "open")
        if state in ("lost", "unreachable", "unknown", "degraded") and (listing != "yes" or silent):
            failing = (
                recovery_point.failing_since(plan.id, generations, known.failing_since if known else "") or night.now
            )
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
            *reports.readings,
        )
        night.states[plan.id.lower()] = PlanFinding(plan.id, state, reason, failing, None, readings)


@dataclass(frozen=True)
class _Reports:
    """What the hosts' own reports to a plan say while its service does not answer drkit."""

    heard: plan_state.Heard = ""
    last: str = ""
    settled: str = ""
    readings: tuple[Reading, ...] = ()


def _reports(
    plan: Plan, mine: Sequence[Environment], service: Reading, known: PlanFinding | None, night: AssessmentDraft
) -> _Reports:
    """Nothing while the service answers or could not be asked, and where hosts do not report."""
    times = [text for one in mine if (text := str(one.settings.get(LAST_SEEN) or "")) and _moment(text)]
    if service.value != "no" or not times:
        return _Reports()
    last = max(times, key=parse_time)
    was = {one.signal: one for one in known.readings} if known else {}
    since = night.now
    if "service" in was and was["service"].value == "no":
        since = str(was[SILENT].value) if SILENT in was else was["service"].time
    claims = [one.since for one in night.claims if one.region == plan.region and _moment(one.since)]
    heard = plan_state.heard(last, since, min(claims, key=parse_time) if claims else "", night.now)
    settled = rfc3339(parse_time(since) + plan_state.SETTLES)
    return _Reports(
        heard,
        last,
        settled,
        (
            Reading(plan.id, SILENT, since, service.source, night.now, "since when its service does not answer drkit"),
            Reading(plan.id, "heard", heard, "last-seen times of its hosts", last, f"settled at {settled}"),
        ),
    )


def _moment(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


async def _service(
    azure: Session, product: Product, endpoint: Endpoint, clock: Clock, night: AssessmentDraft
) -> Reading:
    key = f"{product.name} {endpoint.url}/{endpoint.region}"
    if key not in night.regions:
        try:
            with read(endpoint.url):
                night.regions[key] = await product.answers(azure, endpoint, clock)
        except CloudError as error:
            night.regions[key] = Reading(endpoint.region, "service", "unknown", endpoint.url, night.now, error.what)
    return night.regions[key]


async def _control(
    azure: Session, product: Product, plan: Plan, settings: Settings, clock: Clock, night: AssessmentDraft
) -> Reading:
    """The same service in another region: the first that answers, else the last that did not."""
    answer = Reading(plan.region, "control", "unknown", "another region", night.now, "there is no other region to ask")
    for other in product.controls(plan, night.base.plans, settings):
        reading = await _service(azure, product, other, clock, night)
        answer = Reading(other.region, "control", reading.value, reading.source, reading.time, reading.detail)
        if reading.value == "yes":
            break
    return answer


async def _arm(azure: Session, plan: Plan, product: Product, night: AssessmentDraft) -> tuple[str, Reading]:
    if any(one.id.lower() == plan.id.lower() for one in night.captured.plans):
        return "found", Reading(plan.id, "arm", "found", "ARM: plans", night.now, "listed, perhaps from a cache")
    if night.down:
        return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", night.now, night.down)
    try:
        with azure.budget(attempts=2, seconds=20), read(plan.id):
            await azure.resources.resource(plan.id, product.api_version(plan.id))
    except NotFoundError as error:
        return "gone", Reading(plan.id, "arm", "gone", "ARM: plan", night.now, error.code)
    except CloudError as error:
        return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", night.now, error.what)
    return "found", Reading(plan.id, "arm", "found", "ARM: plan", night.now)


def _advised(night: AssessmentDraft, settings: Settings) -> list[PlanFinding]:
    found: list[PlanFinding] = []
    for plan in night.base.plans:
        finding = night.states[plan.id.lower()]
        mine = [one for one in night.base.environments if one.plan.lower() == plan.id.lower()]
        managed = sum(one.kind == "managed" for one in mine)
        forecast = plan_state.move_minutes(1, managed, len(mine) - managed, settings.run.sign_in_minutes)
        since = recovery_point.cutoff(finding.failing_since, night.claims, plan.region)
        found.append(
            msgspec.structs.replace(
                finding,
                advice=plan_state.wait_or_move(
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


# targets


async def _targets(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    night: AssessmentDraft,
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
            # Where its product is not offered at all there is nothing to ask, and the planner says so.
            if region in lost or (product.regions and region not in product.regions):
                continue
            try:
                with read(region):
                    one = await product.target(azure, subscription, region, night.base, settings, clock)
            except CloudError as error:
                # A region of which nothing could be read is no candidate; the planner says so, and here is why.
                night.unread.append(f"{name} in {region}: {error.what}")
                continue
            facts.append(msgspec.structs.replace(one, refusals=refusals.get((subscription.lower(), region), ())))
    return tuple(facts)
