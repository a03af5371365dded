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
    draft = AssessmentDraft(now, newest, captured, down)
    if down:
        draft.unread.append(f"ARM does not answer, so it was asked nothing more: {down}")
    await _claims(azure, subscriptions, draft, declared, products, clock)
    await _plans(azure, products, settings, clock, draft, generations, earlier)
    cutoffs = {
        plan.id.lower(): moment
        for plan in newest.plans
        if (moment := recovery_point.cutoff(draft.states[plan.id.lower()].failing_since, draft.claims, plan.region))
    }
    draft.base = recovery_point.compose(generations, cutoffs)
    findings, lost_regions = await hosts.findings(
        azure, products, subscriptions, settings, clock, draft, probes, printed, earlier
    )
    avoided_regions = sorted(draft.lost | lost_regions)
    targets = await _targets(azure, products, settings, clock, draft, avoided_regions, refusals)
    ids = _stand_ins(products, settings, draft)
    return Assessment(
        cloud=mark,
        taken=now,
        snapshot_digest=estate.digest(estate.encode(draft.base)),
        lost_regions=tuple(avoided_regions),
        plans=tuple(_advised(draft, settings)),
        hosts=tuple(findings),
        claims=tuple(draft.claims),
        statements=tuple(draft.statements),
        targets=targets,
        present=tuple(environment for environment in captured.environments if environment.plan.lower() in ids),
        present_plans=tuple(plan for plan in captured.plans if plan.id.lower() in ids),
        witnesses=(*draft.regions.values(), *(await _witnesses(azure, products, settings, clock))),
        unread=tuple(draft.unread),
        zombies=tuple(returned_records.find(captured, deferred)),
        carried=tuple(registrations.find(draft.base, captured, products, findings, deferred, now)),
    )


def _stand_ins(products: Mapping[str, Product], settings: Settings, draft: AssessmentDraft) -> set[str]:
    """Lower-cased ids of the plans there are that may take over from others."""
    ids: set[str] = set()
    for plan in draft.base.plans:
        if plan.product in products:
            candidates = [other for other in draft.captured.plans if other.product == plan.product]
            ids |= {stand_in.id.lower() for stand_in in products[plan.product].stand_ins(plan, candidates, settings)}
    return ids


async def _witnesses(
    azure: Session, products: Mapping[str, Product], settings: Settings, clock: Clock
) -> list[Reading]:
    """What the services say of themselves, and the status page beside them: shown, never a claim."""
    statuses: list[Reading] = []
    for name, product in products.items():
        try:
            with read(name):
                statuses += await product.witnesses(azure, settings, clock)
        except CloudError as error:
            statuses.append(Reading(name, "status", "unknown", "its service", rfc3339(clock.now()), error.what))
    return [*statuses, *await devops_status.read(azure, settings, clock)]


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
    draft: AssessmentDraft,
    declared: Sequence[Claim],
    products: Mapping[str, Product],
    clock: Clock,
) -> None:
    events, unread = await health.events(azure, subscriptions, clock)
    draft.unread.extend(unread)
    regions = {region_name(location.display_name): location.name for location in draft.base.locations}
    services = (*COMPUTE_SERVICES, *(name for product in products.values() for name in product.health_services))
    for event in events:
        try:
            with read("Service Health"):
                claims, statements = plan_state.read_claims([event], regions, services)
        except CloudError as error:
            draft.unread.append(f"Service Health: an event could not be read: {error.what}")
            continue
        draft.claims.extend(claims)
        draft.statements.extend(statements)
    issues, issue_statements, missing = (
        await emerging_issues.read(azure, regions, services) if subscriptions else ([], [], [])
    )
    draft.claims.extend(issues)
    draft.statements.extend(issue_statements)
    draft.unread.extend(missing)
    draft.claims.extend(declared)


# plans


async def _plans(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    draft: AssessmentDraft,
    generations: Sequence[Snapshot],
    earlier: Assessment | None,
) -> None:
    by_id = {capture.subject.lower(): capture for capture in draft.captured.captures}
    before = {finding.plan.lower(): finding for finding in earlier.plans} if earlier else {}
    for plan in draft.base.plans:
        product = products.get(plan.product)
        if product is None:
            draft.states[plan.id.lower()] = PlanFinding(plan.id, "unknown", f"drkit knows no product {plan.product!r}")
            continue
        service = await _service(azure, product, product.endpoint(plan, settings), clock, draft)
        control = await _control(azure, product, plan, settings, clock, draft)
        capture = by_id.get(plan.id.lower())
        listing = "unknown" if capture is None else "no" if capture.state == "failed" else "yes"
        arm, arm_reading = await _arm(azure, plan, product, draft)
        environments = [
            environment for environment in draft.captured.environments if environment.plan.lower() == plan.id.lower()
        ]
        awake = [environment for environment in environments if environment.state.lower() not in ASLEEP]
        earlier_finding = before.get(plan.id.lower())
        reports = _reports(plan, environments, service, earlier_finding, draft)
        seen = plan_state.PlanSignals(
            service=service.value,
            listing=listing,  # type: ignore[arg-type]
            control=control.value,
            arm=arm,  # type: ignore[arg-type]
            claimed=any(claim.region == plan.region for claim in draft.claims),
            live=sum(environment.state.lower() == "available" for environment in awake),
            dead=sum(environment.state.lower() != "available" for environment in awake),
            heard=reports.heard,
            heard_at=reports.last,
            settled_at=reports.settled,
        )
        state, reason = plan_state.plan_state(seen)
        failing = ""
        silent = reports.heard in ("before", "open")
        if state in ("lost", "unreachable", "unknown", "degraded") and (listing != "yes" or silent):
            failing = (
                recovery_point.failing_since(
                    plan.id, generations, earlier_finding.failing_since if earlier_finding else ""
                )
                or draft.now
            )
        readings = (
            service,
            control,
            Reading(
                plan.id,
                "listing",
                listing,
                capture.source if capture else "ARM: plans",
                draft.now,
                capture.detail if capture else "not listed by ARM",
            ),
            arm_reading,
            *reports.readings,
        )
        draft.states[plan.id.lower()] = PlanFinding(plan.id, state, reason, failing, None, readings)


@dataclass(frozen=True)
class _Reports:
    """What the hosts' own reports to a plan say while its service does not answer drkit."""

    heard: plan_state.Heard = ""
    last: str = ""
    settled: str = ""
    readings: tuple[Reading, ...] = ()


def _reports(
    plan: Plan,
    environments: Sequence[Environment],
    service: Reading,
    earlier_finding: PlanFinding | None,
    draft: AssessmentDraft,
) -> _Reports:
    """Nothing while the service answers or could not be asked, and where hosts do not report."""
    times = [
        text
        for environment in environments
        if (text := str(environment.settings.get(LAST_SEEN) or "")) and _moment(text)
    ]
    if service.value != "no" or not times:
        return _Reports()
    last = max(times, key=parse_time)
    earlier_readings = {reading.signal: reading for reading in earlier_finding.readings} if earlier_finding else {}
    since = draft.now
    if "service" in earlier_readings and earlier_readings["service"].value == "no":
        since = str(earlier_readings[SILENT].value) if SILENT in earlier_readings else earlier_readings["service"].time
    claims = [claim.since for claim in draft.claims if claim.region == plan.region and _moment(claim.since)]
    heard = plan_state.heard(last, since, min(claims, key=parse_time) if claims else "", draft.now)
    settled = rfc3339(parse_time(since) + plan_state.SETTLES)
    return _Reports(
        heard,
        last,
        settled,
        (
            Reading(plan.id, SILENT, since, service.source, draft.now, "since when its service does not answer drkit"),
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
    azure: Session, product: Product, endpoint: Endpoint, clock: Clock, draft: AssessmentDraft
) -> Reading:
    key = f"{product.name} {endpoint.url}/{endpoint.region}"
    if key not in draft.regions:
        try:
            with read(endpoint.url):
                draft.regions[key] = await product.answers(azure, endpoint, clock)
        except CloudError as error:
            draft.regions[key] = Reading(endpoint.region, "service", "unknown", endpoint.url, draft.now, error.what)
    return draft.regions[key]


async def _control(
    azure: Session, product: Product, plan: Plan, settings: Settings, clock: Clock, draft: AssessmentDraft
) -> Reading:
    """The same service in another region: the first that answers, else the last that did not."""
    answer = Reading(plan.region, "control", "unknown", "another region", draft.now, "there is no other region to ask")
    for endpoint in product.controls(plan, draft.base.plans, settings):
        reading = await _service(azure, product, endpoint, clock, draft)
        answer = Reading(endpoint.region, "control", reading.value, reading.source, reading.time, reading.detail)
        if reading.value == "yes":
            break
    return answer


async def _arm(azure: Session, plan: Plan, product: Product, draft: AssessmentDraft) -> tuple[str, Reading]:
    if any(listed_plan.id.lower() == plan.id.lower() for listed_plan in draft.captured.plans):
        return "found", Reading(plan.id, "arm", "found", "ARM: plans", draft.now, "listed, perhaps from a cache")
    if draft.down:
        return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", draft.now, draft.down)
    try:
        with azure.budget(attempts=2, seconds=20), read(plan.id):
            await azure.resources.resource(plan.id, product.api_version(plan.id))
    except NotFoundError as error:
        return "gone", Reading(plan.id, "arm", "gone", "ARM: plan", draft.now, error.code)
    except CloudError as error:
        return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", draft.now, error.what)
    return "found", Reading(plan.id, "arm", "found", "ARM: plan", draft.now)


def _advised(draft: AssessmentDraft, settings: Settings) -> list[PlanFinding]:
    findings: list[PlanFinding] = []
    for plan in draft.base.plans:
        finding = draft.states[plan.id.lower()]
        environments = [
            environment for environment in draft.base.environments if environment.plan.lower() == plan.id.lower()
        ]
        managed = sum(environment.kind == "managed" for environment in environments)
        forecast = plan_state.move_minutes(1, managed, len(environments) - managed, settings.run.sign_in_minutes)
        since = recovery_point.cutoff(finding.failing_since, draft.claims, plan.region)
        findings.append(
            msgspec.structs.replace(
                finding,
                advice=plan_state.wait_or_move(
                    finding.state,
                    failing_since=since,
                    now=parse_time(draft.now),
                    expected_outage_minutes=settings.advice.expected_outage_minutes,
                    decision_minutes=settings.advice.decision_minutes,
                    forecast_minutes=forecast,
                    objective_minutes=settings.objectives.recovery_time_minutes,
                ),
            )
        )
    return findings


# targets


async def _targets(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    draft: AssessmentDraft,
    lost: Sequence[str],
    refusals: Mapping[tuple[str, str], tuple[str, ...]],
) -> tuple[TargetFacts, ...]:
    """Facts of each target region, for each subscription with a plan that does not answer."""
    if draft.down:
        return ()
    failing_plans = [
        plan for plan in draft.base.plans if draft.states[plan.id.lower()].state in ("lost", "unreachable")
    ]
    facts: list[TargetFacts] = []
    for subscription, name in sorted({(plan.subscription, plan.product) for plan in failing_plans}):
        product = products[name]
        ready = {
            stand_in.region
            for plan in failing_plans
            for stand_in in product.stand_ins(plan, draft.captured.plans, settings)
        }
        regions = settings.targets or list(product.regions) or sorted(ready)
        for region in regions:
            # Where its product is not offered at all there is nothing to ask, and the planner says so.
            if region in lost or (product.regions and region not in product.regions):
                continue
            try:
                with read(region):
                    target = await product.target(azure, subscription, region, draft.base, settings, clock)
            except CloudError as error:
                # A region of which nothing could be read is no candidate; the planner says so, and here is why.
                draft.unread.append(f"{name} in {region}: {error.what}")
                continue
            facts.append(msgspec.structs.replace(target, refusals=refusals.get((subscription.lower(), region), ())))
    return tuple(facts)
