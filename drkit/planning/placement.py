"""Where a lost plan goes: the first target region in which nothing is in the way, and what spoke against those before it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from drkit.model.estate import Assessment, Plan, TargetFacts
from drkit.model.ids import ArmId, slug
from drkit.model.runbook import Estimate, Precondition, Step
from drkit.model.settings import Settings
from drkit.planning.dispositions import ACTING, Decided
from drkit.planning.proposal import TAG_TARGET, Need, Proposer, Target


@dataclass
class Reservations:
    """What the plans placed so far take away from the next: plan ids, and cores and plans per (product, subscription, region)."""

    ids: set[ArmId]
    cores: dict[tuple[str, str, str], int] = field(default_factory=dict)
    plans: dict[tuple[str, str, str], int] = field(default_factory=dict)


def place(
    plan: Plan,
    decisions: Sequence[Decided],
    assessment: Assessment,
    settings: Settings,
    product: Proposer,
    avoided_regions: Collection[str],
    reservations: Reservations,
    made: Mapping[str, str],
) -> tuple[Target | None, list[str]]:
    """The first target region in which nothing is in the way, and what spoke against those before it.

    A region comes first in which a plan takes over already: what is left to move goes to the rest. ``made``: as in ``replacements``.
    """
    need = product.need([decision.environment for decision in decisions if decision.disposition in ACTING])
    reasons: list[str] = []
    rivals = _rivals(plan, assessment, settings, product, made)
    if rivals:
        listed = ", ".join(rival.id for rival in rivals)
        why = f"{len(rivals)} may take over from {plan.id} in {rivals[0].region}, by their tags: {listed}"
        return None, [
            f"{why}; name the one in `replicas` of its product in drkit.toml, or take the tags off the others"
        ]
    existing = replacements(plan, assessment, settings, product, made)
    regions = _candidates(plan, settings, avoided_regions, assessment)
    for region in sorted(regions, key=lambda region: region not in existing):
        replacement = existing.get(region)
        key = (plan.product, plan.subscription.lower(), region)
        facts = _facts(key, assessment, reservations)
        against = _against(region, facts, need, settings, product, exists=replacement is not None)
        if against:
            reasons.append(f"not {region}: {against}")
            continue
        if reasons:
            reasons.append(f"so {region}, the next in order")
        target = _target(plan, region, facts, replacement, reservations.ids)
        reservations.ids.add(ArmId(target.plan_id))
        reservations.cores[key] = reservations.cores.get(key, 0) + (need.cores or 0)
        reservations.plans[key] = reservations.plans.get(key, 0) + (replacement is None)
        return target, reasons
    return None, reasons


def replacements(
    plan: Plan, assessment: Assessment, settings: Settings, product: Proposer, made: Mapping[str, str]
) -> dict[str, Plan]:
    """Region -> the plan there that takes over from this one, or may. ``made``: what drkit made, plan -> source plan, in lower case."""
    candidates = _stand_ins(plan, assessment, settings, product, made)
    return {candidate.region: candidate for candidate in sorted(candidates, key=lambda known: known.key, reverse=True)}


def _stand_ins(
    plan: Plan, assessment: Assessment, settings: Settings, product: Proposer, made: Mapping[str, str]
) -> list[Plan]:
    """The plans that may take over from this one. One that a journal proves to be drkit's own leaves out those of its region that a tag
    alone makes candidates."""
    candidates = product.stand_ins(plan, assessment.present_plans, settings)
    proved = {candidate.key for candidate in candidates if made.get(candidate.key) == plan.key}
    regions = {candidate.region for candidate in candidates if candidate.key in proved}
    return [candidate for candidate in candidates if candidate.key in proved or candidate.region not in regions]


def _rivals(
    plan: Plan, assessment: Assessment, settings: Settings, product: Proposer, made: Mapping[str, str]
) -> list[Plan]:
    """The plans of one region that may take over from this one, where they are more than one: none of them is taken."""
    regions: dict[str, dict[ArmId, Plan]] = {}
    for candidate in _stand_ins(plan, assessment, settings, product, made):
        regions.setdefault(candidate.region, {})[candidate.key] = candidate
    rivals = next((candidates for candidates in regions.values() if len(candidates) > 1), {})
    return [rivals[key] for key in sorted(rivals)]


def _facts(key: tuple[str, str, str], assessment: Assessment, reservations: Reservations) -> TargetFacts | None:
    """What the assessment says of a region, less what plans placed before take of it."""
    for fact in assessment.targets:
        if (fact.product, fact.subscription.lower(), fact.region) == key:
            cores, plans = fact.cores_left, fact.plans_in_subscription
            return msgspec.structs.replace(
                fact,
                cores_left=None if cores is None else cores - reservations.cores.get(key, 0),
                plans_in_subscription=None if plans is None else plans + reservations.plans.get(key, 0),
            )
    return None


def _candidates(plan: Plan, settings: Settings, avoided_regions: Collection[str], assessment: Assessment) -> list[str]:
    assessed = {fact.region for fact in assessment.targets if fact.product == plan.product}
    wanted = list(settings.targets) or sorted(assessed)
    return [region for region in wanted if region not in avoided_regions and region != plan.region]


def _against(
    region: str,
    facts: TargetFacts | None,
    need: Need,
    settings: Settings,
    product: Proposer,
    *,
    exists: bool,
) -> str:
    if product.regions and region not in product.regions:
        return f"{product.name} is offered in {', '.join(product.regions)} only"
    if facts is None:
        return "the assessment says nothing about it; run `drkit assess` with these targets"
    if facts.answering is False:
        return "its own service does not answer"
    if facts.offered is False:
        return "the plan's type is not offered there"
    if facts.provider and facts.provider.lower() != "registered":
        return f"the provider is {facts.provider} in the subscription; register it first"
    missing = sorted(need.skus - set(facts.skus)) if facts.skus is not None else []
    if missing:
        return f"it does not offer {', '.join(missing)}"
    if need.cores and facts.cores_left is not None and need.cores > facts.cores_left:
        return f"quota: {need.cores} cores are needed, {facts.cores_left} are left"
    if exists:
        return ""
    if facts.refusals:
        return f"quota: {facts.refusals[0]}"
    limit = product.plan_limit(settings)
    if limit and facts.plans_in_subscription is not None and facts.plans_in_subscription >= limit:
        return f"quota: the subscription has {facts.plans_in_subscription} of {limit} plans"
    return ""


def _target(
    plan: Plan, region: str, facts: TargetFacts | None, replacement: Plan | None, taken: Collection[ArmId]
) -> Target:
    if replacement is not None:
        return Target(
            region=region,
            subscription=plan.subscription,
            group=replacement.resource_group,
            group_step="",
            plan_name=replacement.name,
            plan_id=replacement.id,
            plan_exists=True,
        )
    group = facts.group if facts else ""
    handle = slug(_group_name(region), f"/subscriptions/{plan.subscription}/resourceGroups/{_group_name(region)}")
    group_step = "" if group else f"azure:{handle}:create"
    name_of_group = group or _free(_group_name(region), facts.groups if facts else ())
    kind = re.split("/providers/", plan.id, flags=re.IGNORECASE)[-1].rsplit("/", 1)[0]
    base = f"/subscriptions/{plan.subscription}/resourceGroups/{name_of_group}/providers/{kind}"
    name = f"{plan.name}-{region}"
    number = 2
    while ArmId(f"{base}/{name}") in taken:
        name, number = f"{plan.name}-{region}-{number}", number + 1
    return Target(
        region=region,
        subscription=plan.subscription,
        group=name_of_group,
        group_step=group_step,
        plan_name=name,
        plan_id=f"{base}/{name}",
        plan_exists=False,
    )


def _group_name(region: str) -> str:
    return f"drkit-{region}"


def _free(name: str, taken: Collection[str]) -> str:
    lower = {group.lower() for group in taken}
    candidate, number = name, 2
    while candidate.lower() in lower:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def group_steps(target: Target) -> list[Step]:
    """The step that makes the target's resource group, where there is none yet."""
    if not target.group_step:
        return []
    group_id = f"/subscriptions/{target.subscription}/resourceGroups/{target.group}"
    return [
        Step(
            id=target.group_step,
            product="azure",
            action="create",
            target=group_id,
            title=f"create resource group {target.group} in {target.region}",
            reason="a group in the lost region may refuse every write, so the target gets one of its own",
            effect="create",
            estimate=Estimate(2, 2.0),
            inputs={"location": target.region, "tags": {TAG_TARGET: "true"}},
            preconditions=(Precondition(group_id, "location", "", "ARM: resource group"),),
            criticality="critical",
            region=target.region,
        )
    ]
