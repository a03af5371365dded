"""Where a lost plan goes: the first target region in which nothing is in the way, and what spoke against those before it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from drkit.model.estate import Assessment, Plan, TargetFacts
from drkit.model.ids import slug
from drkit.model.runbook import Estimate, Precondition, Step
from drkit.model.settings import Settings
from drkit.planning.dispositions import ACTING, Decided
from drkit.planning.proposal import TAG_TARGET, Need, Proposer, Target


@dataclass
class Reservations:
    """What the plans placed so far take away from the next: plan ids, and cores and plans per (product, subscription, region)."""

    ids: set[str]
    cores: dict[tuple[str, str, str], int] = field(default_factory=dict)
    plans: dict[tuple[str, str, str], int] = field(default_factory=dict)


def place(
    item: Plan,
    decided: Sequence[Decided],
    assessment: Assessment,
    settings: Settings,
    product: Proposer,
    avoided: Collection[str],
    taken: Reservations,
    made: Mapping[str, str] | None = None,
) -> tuple[Target | None, list[str]]:
    """The first target region in which nothing is in the way, and what spoke against those before it.

    A region where the plan was made anew already comes first: what is left of it goes to the rest. ``made``: as in ``stand_ins``.
    """
    acting = [one.environment for one in decided if one.disposition in ACTING]
    need = product.need(acting)
    reasons: list[str] = []
    rivals = ambiguous(item, assessment, settings, product, made)
    if rivals:
        named = ", ".join(one.id for one in rivals)
        why = f"{len(rivals)} may take over from {item.id} in {rivals[0].region}, by their tags: {named}"
        return None, [
            f"{why}; name the one in `replicas` of its product in drkit.toml, or take the tags off the others"
        ]
    there = standing(item, assessment, settings, product, made)
    for region in sorted(_candidates(item, settings, avoided, assessment), key=lambda one: one not in there):
        existing = there.get(region)
        key = (item.product, item.subscription.lower(), region)
        facts = _facts(key, assessment, taken)
        against = _against(region, facts, need, settings, product, exists=existing is not None)
        if against:
            reasons.append(f"not {region}: {against}")
            continue
        if reasons:
            reasons.append(f"so {region}, the next in order")
        target = _target(item, region, facts, existing, taken.ids)
        taken.ids.add(target.plan_id.lower())
        taken.cores[key] = taken.cores.get(key, 0) + (need.cores or 0)
        taken.plans[key] = taken.plans.get(key, 0) + (existing is None)
        return target, reasons
    return None, reasons


def stand_ins(
    item: Plan, assessment: Assessment, settings: Settings, product: Proposer, made: Mapping[str, str] | None = None
) -> list[Plan]:
    """The plans that may take over from this one. One that a journal proves to be drkit's own leaves out those of its region that a tag
    alone makes candidates. ``made``: what drkit made, plan -> source plan, in lower case."""
    found = product.stand_ins(item, assessment.present_plans, settings)
    proved = {one.id.lower() for one in found if (made or {}).get(one.id.lower()) == item.id.lower()}
    regions = {one.region for one in found if one.id.lower() in proved}
    return [one for one in found if one.id.lower() in proved or one.region not in regions]


def standing(
    item: Plan, assessment: Assessment, settings: Settings, product: Proposer, made: Mapping[str, str] | None = None
) -> dict[str, Plan]:
    """Region -> the plan there that takes over from this one, or may; arguments as in ``stand_ins``."""
    found = stand_ins(item, assessment, settings, product, made)
    return {plan.region: plan for plan in sorted(found, key=lambda one: one.id.lower(), reverse=True)}


def ambiguous(
    item: Plan, assessment: Assessment, settings: Settings, product: Proposer, made: Mapping[str, str] | None = None
) -> list[Plan]:
    """The plans of one region that may take over from this one, where they are more than one: none of them is taken."""
    regions: dict[str, dict[str, Plan]] = {}
    for one in stand_ins(item, assessment, settings, product, made):
        regions.setdefault(one.region, {})[one.id.lower()] = one
    rivals = next((found for found in regions.values() if len(found) > 1), {})
    return [rivals[key] for key in sorted(rivals)]


def _facts(key: tuple[str, str, str], assessment: Assessment, taken: Reservations) -> TargetFacts | None:
    """What the assessment says of a region, less what plans placed before take of it."""
    for fact in assessment.targets:
        if (fact.product, fact.subscription.lower(), fact.region) == key:
            cores, plans = fact.cores_left, fact.plans_in_subscription
            return msgspec.structs.replace(
                fact,
                cores_left=None if cores is None else cores - taken.cores.get(key, 0),
                plans_in_subscription=None if plans is None else plans + taken.plans.get(key, 0),
            )
    return None


def _candidates(item: Plan, settings: Settings, avoided: Collection[str], assessment: Assessment) -> list[str]:
    told = {fact.region for fact in assessment.targets if fact.product == item.product}
    wanted = list(settings.targets) or sorted(told)
    return [region for region in wanted if region not in avoided and region != item.region]


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
    item: Plan, region: str, facts: TargetFacts | None, existing: Plan | None, taken: Collection[str]
) -> Target:
    if existing is not None:
        return Target(
            region=region,
            subscription=item.subscription,
            group=existing.resource_group,
            group_step="",
            plan_name=existing.name,
            plan_id=existing.id,
            plan_exists=True,
        )
    group = facts.group if facts else ""
    handle = slug(_group_name(region), f"/subscriptions/{item.subscription}/resourceGroups/{_group_name(region)}")
    group_step = "" if group else f"azure:{handle}:create"
    name_of_group = group or _free(_group_name(region), set(facts.groups) if facts else set())
    kind = re.split("/providers/", item.id, flags=re.IGNORECASE)[-1].rsplit("/", 1)[0]
    base = f"/subscriptions/{item.subscription}/resourceGroups/{name_of_group}/providers/{kind}"
    name = f"{item.name}-{region}"
    number = 2
    while f"{base}/{name}".lower() in taken:
        name, number = f"{item.name}-{region}-{number}", number + 1
    return Target(
        region=region,
        subscription=item.subscription,
        group=name_of_group,
        group_step=group_step,
        plan_name=name,
        plan_id=f"{base}/{name}",
        plan_exists=False,
    )


def _group_name(region: str) -> str:
    return f"drkit-{region}"


def _free(name: str, taken: Collection[str]) -> str:
    lower = {one.lower() for one in taken}
    candidate, number = name, 2
    while candidate.lower() in lower:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def group_steps(target: Target) -> list[Step]:
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
