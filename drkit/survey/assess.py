"""Assesses: how each plan is, what happened to each host, who claims what, and what is in the way at the targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from drkit.errors import NO_AUTHORITY, CloudError, CredentialError, NotFoundError, UnreachableError
from drkit.model import estate
from drkit.model.answers import reading_azure
from drkit.model.clock import parse_time, rfc3339
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
from drkit.model.ids import ArmId
from drkit.model.settings import Settings
from drkit.planning import plan_state, recovery_point
from drkit.planning.advice import move_minutes, wait_or_move
from drkit.planning.outage_claims import read_claims
from drkit.products.base import Endpoint, Product
from drkit.survey import (
    capture,
    devops_status,
    emerging_issues,
    health,
    hosts,
    probe_output,
    registrations,
    returned_records,
)
from drkit.survey.context import SurveyContext
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


@dataclass(frozen=True, kw_only=True)
class PriorKnowledge:
    """What an assessment takes from the store and from people instead of from Azure.

    ``generations``: the snapshots, oldest first, at least one; ``earlier``: the assessment before; ``declared``: claims of
    people; ``refusals``: (subscription in lower case, region) -> what earlier runs were refused there; ``probe_outputs``: of
    probes that people ran; ``deferred``: what runs left behind and nobody has deleted since.
    """

    generations: Sequence[Snapshot]
    earlier: Assessment | None = None
    declared: Sequence[Claim] = ()
    refusals: Mapping[tuple[str, str], tuple[str, ...]]
    probe_outputs: Sequence[probe_output.ProbeOutput] = ()
    deferred: Sequence[Deferred] = ()


async def take(survey: SurveyContext, prior: PriorKnowledge) -> Assessment:
    """Read Azure, judge each plan and host, and say what could not be read. CredentialError when no token can be had."""
    newest, settings = prior.generations[-1], survey.settings
    if not settings.subscriptions and newest.subscriptions:
        settings = msgspec.structs.replace(settings, subscriptions=list(newest.subscriptions))
    subscriptions, arm_down = await _subscriptions(survey.azure, settings, newest)
    survey = replace(survey, settings=settings, subscriptions=subscriptions)
    captured = await capture.capture(survey)
    draft = AssessmentDraft(rfc3339(survey.clock.now()), newest, captured, arm_down)
    if arm_down:
        draft.unread.append(f"ARM does not answer, so nothing more was read from it: {arm_down}")
    await _read_claims(survey, draft)
    draft.claims.extend(prior.declared)
    plan_judge = _PlanJudge(survey, draft, prior)
    for plan in newest.plans:
        product = survey.products.get(plan.product)
        draft.plans[plan.key] = (
            PlanFinding(plan.id, "unknown", f"drkit knows no product {plan.product!r}")
            if product is None
            else await plan_judge.judge(plan, product)
        )
    cutoffs: dict[str, str] = {
        plan.key: moment
        for plan in newest.plans
        if (moment := recovery_point.cutoff(draft.plans[plan.key].failing_since, draft.claims, plan.region))
    }
    draft.base = recovery_point.compose(prior.generations, cutoffs)
    findings, lost_regions = await hosts.findings(survey, draft, prior.earlier, prior.probe_outputs)
    lost = sorted(draft.lost | lost_regions)
    targets = await _targets(survey, draft, lost, prior.refusals)
    stand_ins = _stand_ins(survey, draft)
    return Assessment(
        cloud=survey.mark,
        taken=draft.now,
        snapshot_digest=estate.digest(estate.encode(draft.base)),
        lost_regions=tuple(lost),
        plans=tuple(_advised(draft, settings)),
        hosts=tuple(findings),
        claims=tuple(draft.claims),
        statements=tuple(draft.statements),
        targets=targets,
        present=tuple(environment for environment in captured.environments if environment.plan_key in stand_ins),
        present_plans=tuple(plan for plan in captured.plans if plan.key in stand_ins),
        witnesses=(*draft.services.values(), *(await _witnesses(survey))),
        unread=tuple(draft.unread),
        zombies=tuple(returned_records.find(captured, prior.deferred)),
        carried=tuple(registrations.find(draft.base, captured, survey.products, findings, prior.deferred, draft.now)),
    )


def _stand_ins(survey: SurveyContext, draft: AssessmentDraft) -> set[ArmId]:
    """The existing plans that may take over from plans of the baseline."""
    by_product: dict[str, list[Plan]] = defaultdict(list)
    for plan in draft.captured.plans:
        by_product[plan.product].append(plan)
    return {
        stand_in.key
        for plan in draft.base.plans
        if plan.product in survey.products
        for stand_in in survey.products[plan.product].stand_ins(plan, by_product[plan.product], survey.settings)
    }


async def _witnesses(survey: SurveyContext) -> list[Reading]:
    """What services and status pages say about themselves. It is shown, and never a claim."""
    statuses: list[Reading] = []
    for name, product in survey.products.items():
        try:
            with reading_azure(name):
                statuses += await product.witnesses(survey.azure, survey.settings, survey.clock)
        except CloudError as error:
            now = rfc3339(survey.clock.now())
            statuses.append(Reading(name, "status", "unknown", "its service", now, error.what))
    return [*statuses, *await devops_status.read(survey.azure, survey.settings, survey.clock)]


async def _subscriptions(azure: Session, settings: Settings, newest: Snapshot) -> tuple[list[str], str]:
    """The subscriptions to read. None, and the reason, when ARM itself does not answer: then every request would time out."""
    try:
        return await capture.subscriptions_of(azure, settings), ""
    except CredentialError as error:
        if error.code != NO_AUTHORITY:
            raise
        return [], str(error)
    except UnreachableError as error:
        return [], str(error)
    except CloudError:
        return sorted({plan.subscription for plan in newest.plans}), ""


async def _read_claims(survey: SurveyContext, draft: AssessmentDraft) -> None:
    """Add the claims and statements of Service Health and of Azure's status page to the draft."""
    events, unread = await health.events(survey.azure, survey.subscriptions, survey.clock)
    draft.unread.extend(unread)
    regions = {region_name(location.display_name): location.name for location in draft.base.locations}
    services = (*COMPUTE_SERVICES, *(name for product in survey.products.values() for name in product.health_services))
    for event in events:
        try:
            with reading_azure("Service Health"):
                claims, statements = read_claims([event], regions, services)
        except CloudError as error:
            draft.unread.append(f"Service Health: an event could not be read: {error.what}")
            continue
        draft.claims.extend(claims)
        draft.statements.extend(statements)
    if survey.subscriptions:
        claims, statements, unread = await emerging_issues.read(survey.azure, regions, services)
        draft.claims.extend(claims)
        draft.statements.extend(statements)
        draft.unread.extend(unread)


# plans


class _PlanJudge:
    """Judges the plans of one assessment. Each regional service is asked once."""

    def __init__(self, survey: SurveyContext, draft: AssessmentDraft, prior: PriorKnowledge) -> None:
        self._survey = survey
        self._draft = draft
        self._generations = prior.generations
        self._earlier = {finding.key: finding for finding in prior.earlier.plans} if prior.earlier else {}
        self._captures = {outcome.key: outcome for outcome in draft.captured.captures}
        self._environments = _by_plan(draft.captured.environments)
        self._listed = {plan.key for plan in draft.captured.plans}
        self._claimed_regions = {claim.region for claim in draft.claims}

    async def judge(self, plan: Plan, product: Product) -> PlanFinding:
        """The state of a plan with its reason and readings, and since when it fails; no advice yet."""
        draft = self._draft
        service = await self._service(product, product.endpoint(plan, self._survey.settings))
        control = await self._control(product, plan)
        outcome = self._captures.get(plan.key)
        listing: Literal["yes", "no", "unknown"] = "unknown"
        if outcome is not None:
            listing = "no" if outcome.state == "failed" else "yes"
        arm, arm_reading = await self._arm(plan, product)
        environments = self._environments.get(plan.key, [])
        awake = [environment for environment in environments if environment.state.lower() not in ASLEEP]
        answering = sum(environment.state.lower() == "available" for environment in awake)
        earlier = self._earlier.get(plan.key)
        reports = self._reports(plan, environments, service, earlier)
        state, reason = plan_state.plan_state(
            plan_state.PlanSignals(
                service=service.value,
                listing=listing,
                control=control.value,
                arm=arm,
                claimed=plan.region in self._claimed_regions,
                live=answering,
                dead=len(awake) - answering,
                heard=reports.heard,
                heard_at=reports.last,
                settled_at=reports.settled,
            )
        )
        failing_since = ""
        silent = reports.heard in ("before", "open")
        if state in ("lost", "unreachable", "unknown", "degraded") and (listing != "yes" or silent):
            known = earlier.failing_since if earlier else ""
            failing_since = recovery_point.failing_since(plan.id, self._generations, known) or draft.now
        readings = (
            service,
            control,
            Reading(
                plan.id,
                "listing",
                listing,
                outcome.source if outcome else "ARM: plans",
                draft.now,
                outcome.detail if outcome else "not listed by ARM",
            ),
            arm_reading,
            *reports.readings,
        )
        return PlanFinding(plan.id, state, reason, failing_since, None, readings)

    def _reports(
        self, plan: Plan, environments: Sequence[Environment], service: Reading, earlier: PlanFinding | None
    ) -> _HostReports:
        """The hosts' reports; empty while the service answers or could not be asked, and where hosts do not report."""
        times = [
            text
            for environment in environments
            if (text := str(environment.settings.get(LAST_SEEN) or "")) and _is_time(text)
        ]
        if service.value != "no" or not times:
            return _HostReports()
        now = self._draft.now
        last = max(times, key=parse_time)
        earlier_readings = {reading.signal: reading for reading in earlier.readings} if earlier else {}
        since = now
        if "service" in earlier_readings and earlier_readings["service"].value == "no":
            silent_since = earlier_readings.get(SILENT)
            since = str(silent_since.value) if silent_since else earlier_readings["service"].time
        claimed = [claim.since for claim in self._draft.claims if claim.region == plan.region and _is_time(claim.since)]
        heard = plan_state.heard(last, since, min(claimed, key=parse_time) if claimed else "", now)
        settled = rfc3339(parse_time(since) + plan_state.SETTLES)
        return _HostReports(
            heard,
            last,
            settled,
            (
                Reading(plan.id, SILENT, since, service.source, now, "since when its service does not answer drkit"),
                Reading(plan.id, "heard", heard, "last-seen times of its hosts", last, f"settled at {settled}"),
            ),
        )

    async def _service(self, product: Product, endpoint: Endpoint) -> Reading:
        services, key = self._draft.services, (product.name, endpoint)
        if key not in services:
            try:
                with reading_azure(endpoint.url):
                    services[key] = await product.answers(self._survey.azure, endpoint, self._survey.clock)
            except CloudError as error:
                now = self._draft.now
                services[key] = Reading(endpoint.region, "service", "unknown", endpoint.url, now, error.what)
        return services[key]

    async def _control(self, product: Product, plan: Plan) -> Reading:
        """The same service in another region: the first one that answers, else the last one that was asked."""
        draft = self._draft
        control = Reading(
            plan.region, "control", "unknown", "another region", draft.now, "there is no other region to ask"
        )
        for endpoint in product.controls(plan, draft.base.plans, self._survey.settings):
            reading = await self._service(product, endpoint)
            control = Reading(endpoint.region, "control", reading.value, reading.source, reading.time, reading.detail)
            if reading.value == "yes":
                break
        return control

    async def _arm(self, plan: Plan, product: Product) -> tuple[Literal["found", "gone", "unreachable"], Reading]:
        """Whether ARM has the plan: from its list, else with a GET."""
        azure, now = self._survey.azure, self._draft.now
        if plan.key in self._listed:
            return "found", Reading(plan.id, "arm", "found", "ARM: plans", now, "listed, perhaps from a cache")
        if self._draft.arm_down:
            return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", now, self._draft.arm_down)
        try:
            with azure.budget(attempts=2, seconds=20), reading_azure(plan.id):
                await azure.resources.resource(plan.id, product.api_version(plan.id))
        except NotFoundError as error:
            return "gone", Reading(plan.id, "arm", "gone", "ARM: plan", now, error.code)
        except CloudError as error:
            return "unreachable", Reading(plan.id, "arm", "unreachable", "ARM: plan", now, error.what)
        return "found", Reading(plan.id, "arm", "found", "ARM: plan", now)


@dataclass(frozen=True)
class _HostReports:
    """What the hosts' own reports to a plan show while its service does not answer drkit. Times are RFC 3339."""

    heard: plan_state.Heard = ""
    last: str = ""
    settled: str = ""
    readings: tuple[Reading, ...] = ()


def _by_plan(environments: Sequence[Environment]) -> Mapping[ArmId, list[Environment]]:
    by_plan: dict[ArmId, list[Environment]] = defaultdict(list)
    for environment in environments:
        by_plan[environment.plan_key].append(environment)
    return by_plan


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _advised(draft: AssessmentDraft, settings: Settings) -> list[PlanFinding]:
    """The findings with the advice whether to wait or to move."""
    findings: list[PlanFinding] = []
    by_plan = _by_plan(draft.base.environments)
    for plan in draft.base.plans:
        finding = draft.plans[plan.key]
        environments = by_plan.get(plan.key, [])
        managed = sum(environment.kind == "managed" for environment in environments)
        forecast = move_minutes(1, managed, len(environments) - managed, settings.run.sign_in_minutes)
        since = recovery_point.cutoff(finding.failing_since, draft.claims, plan.region)
        advice = wait_or_move(
            finding.state,
            failing_since=since,
            now=parse_time(draft.now),
            expected_outage_minutes=settings.advice.expected_outage_minutes,
            decision_minutes=settings.advice.decision_minutes,
            forecast_minutes=forecast,
            objective_minutes=settings.objectives.recovery_time_minutes,
        )
        findings.append(msgspec.structs.replace(finding, advice=advice))
    return findings


# targets


async def _targets(
    survey: SurveyContext,
    draft: AssessmentDraft,
    lost_regions: Sequence[str],
    refusals: Mapping[tuple[str, str], tuple[str, ...]],
) -> tuple[TargetFacts, ...]:
    """Facts of each target region, for each subscription and product with a plan that does not answer."""
    if draft.arm_down:
        return ()
    azure, settings = survey.azure, survey.settings
    failing_plans = [plan for plan in draft.base.plans if draft.plans[plan.key].state in ("lost", "unreachable")]
    facts: list[TargetFacts] = []
    for subscription, name in sorted({(plan.subscription, plan.product) for plan in failing_plans}):
        product = survey.products[name]
        ready = {
            stand_in.region
            for plan in failing_plans
            for stand_in in product.stand_ins(plan, draft.captured.plans, settings)
        }
        for region in settings.targets or list(product.regions) or sorted(ready):
            # Where the product is not offered there is nothing to read; the planner says so.
            if region in lost_regions or (product.regions and region not in product.regions):
                continue
            try:
                with reading_azure(region):
                    target = await product.target(azure, subscription, region, draft.base, settings, survey.clock)
            except CloudError as error:
                # A region of which nothing could be read is no candidate; the planner says so, and this is the reason.
                draft.unread.append(f"{name} in {region}: {error.what}")
                continue
            refused = refusals.get((subscription.lower(), region), ())
            facts.append(msgspec.structs.replace(target, refusals=refused))
    return tuple(facts)
