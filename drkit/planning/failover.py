"""Snapshot + assessment + settings -> the runbook of a failover or a repair. Pure: it knows nothing but what it finds there.

``dispositions`` says what becomes of each environment, ``placement`` where its plan goes, a product proposes the steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from drkit.errors import RefusedError
from drkit.model.estate import (
    Assessment,
    Carried,
    Environment,
    EnvironmentKey,
    Host,
    HostFinding,
    Plan,
    PlanFinding,
    Snapshot,
)
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook, RunbookKind
from drkit.model.settings import Settings
from drkit.planning import replicas
from drkit.planning.dispositions import (
    ACTING,
    Decided,
    affected_without_target,
    already,
    decide,
    item_of,
    moved_away,
    offered,
    other_kind,
    state_in_words,
    state_of,
    unacted,
)
from drkit.planning.placement import Reservations, place, replacements
from drkit.planning.proposal import TAG_SOURCE, TAG_TARGET, Proposal, Proposer, Target
from drkit.planning.reasons import PlanStanding, no_target
from drkit.planning.runbook_builder import Provenance, RunbookBuilder


def recovery_runbook(
    snapshot: Snapshot,
    assessment: Assessment,
    settings: Settings,
    products: Mapping[str, Proposer],
    provenance: Provenance,
    *,
    kind: RunbookKind | None = None,
    graceful_from: str = "",
    force: Mapping[str, str] | None = None,
    made: Mapping[str, str] | None = None,
) -> Runbook:
    """The runbook for what the assessment found. ``made``: what journals say drkit made, plan -> source plan, in lower case.

    RefusedError (exit 4) when a lost region is among the targets, no region is left, or a guard refuses and was not forced.
    UsageError for a guard to force that there is none of.
    """
    lost_regions = frozenset(assessment.lost_regions)
    if graceful_from in lost_regions:
        raise RefusedError(
            f"{graceful_from} is lost, and cannot be left gracefully",
            where="--from",
            remedy="`drkit plan` moves what is lost",
        )
    _check_targets(settings, lost_regions, graceful_from)
    estate = _Estate.of(snapshot, assessment, graceful_from)
    builder = RunbookBuilder(
        kind=kind or ("failover" if estate.leaving else "repair"),
        provenance=provenance,
        settings=settings,
        products=products,
        avoided_regions=lost_regions | {graceful_from} if graceful_from else lost_regions,
        lost_regions=() if graceful_from else tuple(sorted(lost_regions)),
        assumed=assessment.assumed,
    )
    if builder.kind == "failover":
        builder.source_plans = {plan.id: plan.region for plan in snapshot.plans if plan.key in estate.leaving}
    move = _Move(estate, builder, made or {})
    for plan in sorted(snapshot.plans, key=lambda plan: (plan.name.lower(), plan.key)):
        finding = estate.findings.get(plan.key)
        if graceful_from and plan.key not in estate.leaving and finding is not None and finding.state == "lost":
            builder.leave_alone(plan.id, plan.name, state_in_words(finding), "drkit plan")
            continue
        decisions = estate.decide(plan)
        belongs: RunbookKind = "failover" if plan.key in estate.leaving else "repair"
        if belongs != builder.kind:
            builder.unchanged.extend(other_kind(decisions, belongs, plan, finding))
        elif plan.product not in products:
            builder.leave_alone(plan.id, plan.name, f"drkit knows no product {plan.product!r}")
        elif belongs == "repair":
            _repair(plan, decisions, estate, builder)
        else:
            move.plan_away(plan, decisions)
    if move.unplaced and not builder.target_regions:
        raise RefusedError(
            no_target(" | ".join(move.unplaced)),
            remedy="add a region to `targets` in drkit.toml, free quota there, then `drkit assess` and `drkit plan` again",
        )
    return builder.runbook(force=force)


@dataclass(frozen=True, kw_only=True)
class _Estate:
    """What the snapshot and the assessment say, by id. ``leaving``: the plans that are moved away from."""

    snapshot: Snapshot
    assessment: Assessment
    graceful: bool
    leaving: frozenset[ArmId]
    findings: Mapping[ArmId, PlanFinding]
    environments: Mapping[ArmId, Sequence[Environment]]
    hosts: Mapping[ArmId, Host]
    host_findings: Mapping[ArmId, HostFinding]
    carried: Mapping[EnvironmentKey, Carried]

    @classmethod
    def of(cls, snapshot: Snapshot, assessment: Assessment, graceful_from: str) -> _Estate:
        findings = {finding.key: finding for finding in assessment.plans}
        environments: dict[ArmId, list[Environment]] = {}
        for environment in sorted(snapshot.environments, key=lambda known: (known.name.lower(), known.id)):
            environments.setdefault(environment.plan_key, []).append(environment)
        return cls(
            snapshot=snapshot,
            assessment=assessment,
            graceful=bool(graceful_from),
            leaving=frozenset(
                plan.key
                for plan in snapshot.plans
                if (plan.region == graceful_from if graceful_from else state_of(findings, plan) == "lost")
            ),
            findings=findings,
            environments=environments,
            hosts={host.key: host for host in snapshot.hosts},
            host_findings={finding.key: finding for finding in assessment.hosts},
            carried={(ArmId(carried.plan), ArmId(carried.environment)): carried for carried in assessment.carried},
        )

    def decide(self, plan: Plan) -> list[Decided]:
        """What becomes of each environment of a plan."""
        leaving = plan.key in self.leaving
        state = "lost" if leaving else state_of(self.findings, plan)
        why = PlanStanding.LEFT_ON_PURPOSE if leaving and self.graceful else PlanStanding.LOST
        return [
            decide(environment, state, self.hosts, self.host_findings, self.carried, why)
            for environment in self.environments.get(plan.key, ())
        ]

    def names(self, plan: Plan) -> frozenset[str]:
        """The names of its environments, in lower case."""
        return frozenset(environment.name.lower() for environment in self.environments.get(plan.key, ()))


def _repair(plan: Plan, decisions: Sequence[Decided], estate: _Estate, builder: RunbookBuilder) -> None:
    """Register again, with the plan that they have, the environments whose machines lost their registration."""
    remaining, moved = moved_away(decisions, estate.assessment)
    builder.unchanged.extend(moved)
    builder.unchanged.extend(unacted(remaining))
    remaining = [decision for decision in remaining if decision.disposition != "leave"]
    if not remaining:
        builder.leave_alone(plan.id, plan.name, state_in_words(estate.findings.get(plan.key)))
        return
    builder.propose(_proposal(plan, remaining, estate, builder), plan)


@dataclass
class _Move:
    """Moves plans to other regions, one after the other: each takes room from the next. ``unplaced``: those for which there is none."""

    estate: _Estate
    builder: RunbookBuilder
    made: Mapping[str, str]

    def __post_init__(self) -> None:
        plans = (*self.estate.snapshot.plans, *self.estate.assessment.present_plans)
        self.reservations = Reservations({plan.key for plan in plans})
        self.unplaced: list[str] = []

    def plan_away(self, plan: Plan, decisions: Sequence[Decided]) -> None:
        """Take in the steps that bring the environments of a plan up elsewhere, as far as nothing has done so yet."""
        estate, builder, assessment = self.estate, self.builder, self.estate.assessment
        product = builder.products[plan.product]
        existing = replacements(plan, assessment, builder.settings, product, self.made)
        remaining, done = already(decisions, list(existing.values()), assessment, estate.names(plan))
        builder.affected.extend(done)
        remaining, elsewhere = offered(remaining, estate.snapshot, estate.findings, builder.avoided_regions)
        builder.affected.extend(elsewhere)
        if not any(decision.disposition in ACTING | {"person"} for decision in remaining):
            why = "can be brought up elsewhere now, so no plan is made for it" if remaining else "is left to bring up"
            builder.leave_alone(plan.id, plan.name, f"nothing of it {why}")
            builder.target_regions.update((plan.id, region) for region in sorted(existing)[:1])
            builder.propose(_proposal(plan, remaining, estate, builder), plan)
            return
        target, reasons = place(
            plan,
            remaining,
            assessment,
            builder.settings,
            product,
            builder.avoided_regions,
            self.reservations,
            self.made,
        )
        builder.notes.extend(f"{plan.name}: {reason}" for reason in reasons)
        if target is None:
            self.unplaced.append(f"{plan.name}: {'; '.join(reasons) or 'no target region is set'}")
            builder.leave_alone(plan.id, plan.name, no_target("; ".join(reasons)))
            builder.affected.extend(affected_without_target(decision) for decision in remaining)
            return
        takeover = existing.get(target.region)
        builder.move(plan, target, _why(plan, takeover, builder.settings, self.made))
        builder.propose(_proposal(plan, remaining, estate, builder, target, takeover), plan)


def _proposal(
    plan: Plan,
    decisions: Sequence[Decided],
    estate: _Estate,
    builder: RunbookBuilder,
    target: Target | None = None,
    existing: Plan | None = None,
) -> Proposal:
    """What the product of ``plan`` is asked. ``existing``: the plan in the target's region that takes over, if there is one."""
    return Proposal(
        kind=builder.kind,
        plan=plan,
        target=target,
        items=tuple(item_of(decision, estate.assessment.lost_regions) for decision in decisions),
        settings=builder.settings,
        grants=plan.grants,
        names_in_use=estate.names(plan),
        graceful=estate.graceful,
        avoid_regions=builder.avoided_regions,
        existing_target=existing if target and target.plan_exists else None,
        stale_records=_stale_records(estate.assessment, target.plan_id) if target else {},
    )


def _stale_records(assessment: Assessment, plan: str) -> dict[str, str]:
    """Self-hosted records left behind under a plan that nothing answers to: id -> name."""
    target = ArmId(plan)
    return {
        zombie.found.id: zombie.found.name
        for zombie in assessment.zombies
        if zombie.run and zombie.found and zombie.found.kind == "self-hosted" and target == zombie.plan
        and not zombie.two_plans and zombie.found.state.lower() != "available"
    }  # fmt: skip


def _why(plan: Plan, takeover: Plan | None, settings: Settings, made: Mapping[str, str]) -> str:
    """How it was decided which plan takes over: the approver checks whether it is the one that is meant."""
    if takeover is None:
        return "this runbook makes it"
    if replicas.named(plan.id, takeover.id, settings):
        return "drkit.toml names it"
    if made.get(takeover.key) == plan.key:
        return "an earlier run made it, as its journal says"
    tags = {key: value for key, value in sorted(takeover.tags.items()) if key in (TAG_SOURCE, TAG_TARGET)}
    listed = ", ".join(f"{key} = {value}" for key, value in tags.items())
    return f"by its tags alone ({listed}), which anyone with write access to it can set: a candidate, which the approver must name"


def _check_targets(settings: Settings, lost_regions: Collection[str], graceful_from: str) -> None:
    if graceful_from in settings.targets:
        raise RefusedError(
            f"{graceful_from}, the region to move away from, is among the targets",
            where=f"{settings.path or 'drkit.toml'}: targets",
            remedy="take it out of `targets`",
        )
    lost_targets = [region for region in settings.targets if region in lost_regions]
    if lost_targets:
        raise RefusedError(
            f"the lost region {', '.join(lost_targets)} is among the targets",
            where=f"{settings.path or 'drkit.toml'}: targets",
            remedy="take it out of `targets`; drkit never writes to a lost region",
        )
