"""Snapshot + assessment + settings -> runbook. Pure: what it does not find there, it does not know.

``dispositions`` says what becomes of each environment, ``placement`` where its plan goes, a product proposes the steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import msgspec

from drkit.errors import RefusedError, UsageError
from drkit.model import actions, runbook, suggest
from drkit.model.cloud import CloudMark
from drkit.model.estate import Assessment, Leftover, Plan, Snapshot
from drkit.model.ids import ArmId
from drkit.model.runbook import Affected, Kind, LeftAlone, Runbook, Step, Takeover
from drkit.model.settings import Settings
from drkit.planning import replicas
from drkit.planning.dispositions import (
    ACTING,
    already,
    channel,
    decide,
    fine,
    moved_away,
    offered,
    other_kind,
    state_of,
    unacted,
    unplaced_one,
    verdict_word,
)
from drkit.planning.placement import Reservations, group_steps, place, standing
from drkit.planning.proposal import TAG_SOURCE, TAG_TARGET, Chain, Item, Proposal, Proposed, Proposer
from drkit.planning.reasons import PlanStanding, no_target


def plan(
    snapshot: Snapshot,
    assessment: Assessment,
    settings: Settings,
    products: Mapping[str, Proposer],
    *,
    snapshot_digest: str,
    of_assessment: str,
    cloud: CloudMark,
    version: str,
    kind: Kind | None = None,
    graceful_from: str = "",
    force: Mapping[str, str] | None = None,
    made: Mapping[str, str] | None = None,
) -> Runbook:
    """The runbook for what the assessment found. ``made``: what journals say drkit made, plan -> source plan, in lower case.

    RefusedError (exit 4) when a lost region is among the targets, no region is left, or a guard refuses and was not forced.
    UsageError for a guard to force that there is none of.
    """
    states = {finding.plan.lower(): finding for finding in assessment.plans}
    lost = [item for item in snapshot.plans if state_of(states, item) == "lost"]
    if graceful_from:
        lost = [item for item in snapshot.plans if item.region == graceful_from]
    chosen: Kind = kind or ("failover" if lost else "repair")
    lost_regions = () if graceful_from else tuple(sorted(assessment.lost_regions))
    dead = frozenset(assessment.lost_regions)
    avoided = dead | {graceful_from} if graceful_from else dead
    if graceful_from in dead:
        raise RefusedError(
            f"{graceful_from} is lost, and cannot be left gracefully",
            where="--from",
            remedy="`drkit plan` moves what is lost",
        )
    _check_targets(settings, dead, graceful_from)
    hosts = {host.id.lower(): host for host in snapshot.hosts}
    findings = {finding.host.lower(): finding for finding in assessment.hosts}
    carried = {(one.plan.lower(), one.environment.lower()): one for one in assessment.carried}
    notes: list[str] = []
    left: list[LeftAlone] = []
    steps: list[Step] = []
    affected: list[Affected] = []
    behind: list[Leftover] = []
    scripts: dict[str, str] = {}
    targets: dict[str, str] = {}
    takeovers: dict[str, Takeover] = {}
    unplaced: list[str] = []
    taken = Reservations({plan.id.lower() for plan in (*snapshot.plans, *assessment.present_plans)})
    for item in sorted(snapshot.plans, key=lambda one: (one.name.lower(), one.id.lower())):
        state = "lost" if item in lost else state_of(states, item)
        left_on_purpose = bool(graceful_from) and item in lost
        standing_of_plan = PlanStanding.LEFT_ON_PURPOSE if left_on_purpose else PlanStanding.LOST
        decided = [
            decide(environment, state, hosts, findings, carried, standing_of_plan)
            for environment in sorted(snapshot.environments, key=lambda one: (one.name.lower(), one.id))
            if environment.plan_key == item.id
        ]
        if graceful_from and state == "lost" and not left_on_purpose:
            left.append(LeftAlone(item.id, item.name, fine(states.get(item.id.lower())), "drkit plan"))
            continue
        belongs: Kind = "failover" if state == "lost" else "repair"
        if belongs != chosen:
            left.extend(other_kind(decided, belongs, item, states.get(item.id.lower())))
            continue
        if item.product not in products:
            left.append(LeftAlone(item.id, item.name, f"drkit knows no product {item.product!r}"))
            continue
        if belongs == "repair":
            decided, away = moved_away(decided, assessment)
            left.extend(away)
            left.extend(unacted(decided))
            decided = [one for one in decided if one.disposition != "leave"]
            if not decided:
                left.append(LeftAlone(item.id, item.name, fine(states.get(item.id.lower()))))
                continue
        product = products[item.product]
        target, there = None, dict[str, Plan]()
        if belongs == "failover":
            there = standing(item, assessment, settings, product, made)
            decided, done = already(decided, list(there.values()), assessment, _names(snapshot, item))
            affected.extend(done)
            decided, elsewhere = offered(decided, snapshot, states, avoided)
            affected.extend(elsewhere)
        if belongs == "failover" and not any(one.disposition in ACTING | {"person"} for one in decided):
            why = "can be brought up elsewhere now, so no plan is made for it" if decided else "is left to bring up"
            left.append(LeftAlone(item.id, item.name, f"nothing of it {why}"))
            targets.update((item.id, region) for region in sorted(there)[:1])
        elif belongs == "failover":
            target, reasons = place(item, decided, assessment, settings, product, avoided, taken, made)
            notes.extend(f"{item.name}: {reason}" for reason in reasons)
            if target is None:
                unplaced.append(f"{item.name}: {'; '.join(reasons) or 'no target region is set'}")
                left.append(LeftAlone(item.id, item.name, no_target("; ".join(reasons))))
                affected.extend(unplaced_one(one) for one in decided)
                continue
            targets[item.id] = target.region
            takeovers[item.id] = Takeover(target.plan_id, _why(item, there.get(target.region), settings, made or {}))
            steps.extend(step for step in group_steps(target) if step.id not in {known.id for known in steps})
        proposal = Proposal(
            kind=chosen,
            plan=item,
            target=target,
            items=tuple(
                Item(
                    environment=one.environment,
                    disposition=one.disposition,
                    reason=one.reason.text,
                    host=one.host,
                    verdict=verdict_word(one.finding),
                    confidence=one.finding.confidence if one.finding else "",
                    channel=channel(one, dead),
                )
                for one in decided
            ),
            settings=settings,
            grants=item.grants,
            names=_names(snapshot, item),
            graceful=bool(graceful_from),
            lost=avoided,
            standing=there.get(target.region) if target and target.plan_exists else None,
            held=_held(assessment, target.plan_id) if target else {},
        )
        proposed = sound(product.propose(proposal), item, products)
        waved = waves(proposed.chains, settings)
        if any(chain.steps for chain in proposed.chains):
            steps.extend(proposed.plan_steps)
        for chain in waved:
            affected.append(chain.affected)
            steps.extend(chain.steps)
            behind.extend(chain.behind)
        left.extend(proposed.unchanged)
        notes.extend(proposed.notes)
        scripts.update(proposed.scripts)
    if unplaced and not targets:
        raise RefusedError(
            no_target(" | ".join(unplaced)),
            remedy="add a region to `targets` in drkit.toml, free quota there, then `drkit assess` and `drkit plan` again",
        )
    book = Runbook(
        environments=tuple(affected),
        kind=chosen,
        leftovers=tuple(behind),
        unchanged=tuple(left),
        lost_regions=lost_regions,
        cloud=cloud,
        drkit_version=version,
        notes=tuple(dict.fromkeys(notes)),
        of_assessment=of_assessment,
        snapshot_digest=snapshot_digest,
        only_assumed=True if assessment.assumed else msgspec.UNSET,
        scripts=dict(sorted(scripts.items())),
        source_plans={item.id: item.region for item in lost} if chosen == "failover" else {},
        steps=tuple(steps),
        target_plans=dict(sorted(takeovers.items())),
        target_regions=targets,
    )
    return guarded(book, products, settings, avoided, force or {})


def _held(assessment: Assessment, plan: str) -> dict[str, str]:
    """Self-hosted records left behind under a plan that nothing answers to: id -> name."""
    return {
        one.found.id: one.found.name
        for one in assessment.zombies
        if one.run and one.found and one.found.kind == "self-hosted" and ArmId(one.plan) == plan and not one.two_plans
        and one.found.state.lower() != "available"
    }  # fmt: skip


def _why(item: Plan, there: Plan | None, settings: Settings, made: Mapping[str, str]) -> str:
    """How it was decided which plan takes over: for who approves, who looks whether it is the one that is meant."""
    if there is None:
        return "this runbook makes it"
    if replicas.named(item.id, there.id, settings):
        return "drkit.toml names it"
    if made.get(there.id.lower()) == item.id.lower():
        return "an earlier run made it, as its journal says"
    tags = {key: value for key, value in sorted(there.tags.items()) if key in (TAG_SOURCE, TAG_TARGET)}
    said = ", ".join(f"{key} = {value}" for key, value in tags.items())
    return f"by its tags alone ({said}), which anybody has set who may write to it: a candidate, for whoever approves to name"


def _names(snapshot: Snapshot, item: Plan) -> frozenset[str]:
    return frozenset(one.name.lower() for one in snapshot.environments if one.plan_key == item.id)


def _check_targets(settings: Settings, lost: Collection[str], left: str) -> None:
    if left in settings.targets and left not in lost:
        raise RefusedError(
            f"{left}, the region to move away from, is among the targets",
            where=f"{settings.path or 'drkit.toml'}: targets",
            remedy="take it out of `targets`",
        )
    both = [region for region in settings.targets if region in lost]
    if both:
        raise RefusedError(
            f"the lost region {', '.join(both)} is among the targets",
            where=f"{settings.path or 'drkit.toml'}: targets",
            remedy="take it out of `targets`; drkit never writes to a lost region",
        )


def waves(chains: Sequence[Chain], settings: Settings) -> list[Chain]:
    """One first, then more: the first chain that needs no person goes alone, the rest in waves behind it."""
    first = next((chain for chain in chains if chain.steps and not chain.needs_person), None)
    sizes = list(settings.run.waves) or [1]
    waved: list[Chain] = []
    number, room = 2, sizes[1] if len(sizes) > 1 else sizes[-1]
    order = ([first] if first else []) + [chain for chain in chains if chain is not first]
    for chain in order:
        if chain is first or not chain.steps:
            waved.append(replace(chain, steps=tuple(msgspec.structs.replace(step, wave=1) for step in chain.steps)))
            continue
        if room == 0:
            number += 1
            room = sizes[min(number - 1, len(sizes) - 1)]
        room -= 1
        steps = [msgspec.structs.replace(step, wave=number) for step in chain.steps]
        if first is not None:
            steps[0] = msgspec.structs.replace(steps[0], needs=(*steps[0].needs, first.affected.final))
        waved.append(replace(chain, steps=tuple(steps)))
    return waved


def tables_of(products: Mapping[str, Proposer]) -> actions.Tables:
    """The tables of these products, and of the groups they share."""
    return {actions.SHARED: actions.GROUPS, **{name: product.actions for name, product in products.items()}}


def sound(proposed: Proposed, plan: Plan, products: Mapping[str, Proposer]) -> Proposed:
    """A proposal without what its product's table does not allow: that is left alone with the reason, and the rest goes on."""
    tables = tables_of(products)
    faults = actions.faults(proposed.plan_steps, tables)
    if faults:
        why = f"what was recorded of it cannot be carried out: {'; '.join(faults)}"
        waiting = tuple(_waiting(chain, why) for chain in proposed.chains)
        left = (*proposed.unchanged, LeftAlone(plan.id, plan.name, why, "drkit snapshot, when it is healthy"))
        return replace(proposed, plan_steps=(), chains=waiting, closing=(), unchanged=left)
    chains = []
    for chain in proposed.chains:
        faults = actions.faults(chain.steps, tables, beside=proposed.plan_steps)
        why = f"what was recorded of it cannot be carried out: {'; '.join(faults)}"
        chains.append(_waiting(chain, why) if faults else chain)
    return replace(proposed, chains=tuple(chains))


def _waiting(chain: Chain, why: str) -> Chain:
    """A chain without steps; its environment waits."""
    affected = msgspec.structs.replace(
        chain.affected, disposition="wait", reason=f"{chain.affected.reason}; {why}", final=""
    )
    return Chain(affected, (), needs_person=False)


def guarded(
    book: Runbook,
    products: Mapping[str, Proposer],
    settings: Settings,
    regions: Collection[str],
    force: Mapping[str, str],
    recorded: Collection[str] = (),
) -> Runbook:
    """A runbook with every guard's result, whose steps are what their products' tables say.

    ``regions``: those that nothing is written to. RefusedError for a guard that neither passed nor was forced, UsageError for one
    that is none, or cannot be forced; FileError for a step that breaks a table.
    """
    tables = tables_of(products)
    actions.check(book, tables, "the runbook just planned")
    results = actions.guards(book, tables, settings, recorded, regions=regions, forced=force)
    unknown = sorted(set(force) - {result.name for result in results})
    if unknown:
        raise UsageError(
            f"there is no guard {', '.join(unknown)} to force",
            remedy=suggest.remedy(
                unknown[0],
                (result.name for result in results),
                f"one of: {', '.join(result.name for result in results)}",
            ),
        )
    if runbook.NEVER_FORCED & set(force):
        raise UsageError("no-deletion cannot be forced: drkit deletes what a run recorded, and nothing else")
    stopped = [result for result in results if not result.passed and not result.forced]
    if stopped:
        raise RefusedError(
            "; ".join(f"guard {result.name}: {result.detail}" for result in stopped),
            remedy="`drkit plan --force GUARD --reason TEXT` writes the exception into the runbook, for the approver to see",
        )
    return msgspec.structs.replace(book, guards=results, settings=actions.bound(book, tables, settings))
