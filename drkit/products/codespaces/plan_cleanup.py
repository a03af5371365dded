"""Codespaces, the pure half of a cleanup: which records are deleted by id, and when a plan that drkit made may go."""

from __future__ import annotations

from drkit.model.estate import Leftover, Plan
from drkit.model.ids import slug
from drkit.model.runbook import Affected, Estimate, LeftAlone, Precondition, Step
from drkit.planning.proposal import Chain, Item, Proposal, Proposed
from drkit.products.codespaces.settings import NAME
from drkit.products.codespaces.steps import deletion

SERVICE = "environment service"


def propose(proposal: Proposal) -> Proposed:
    """One deletion an old record, then the plan itself where drkit made it."""
    unchanged: list[LeftAlone] = []
    chains: list[Chain] = []
    for item in proposal.items:
        if not item.environment.owner:
            why = "its owner is not known, and a record is deleted in its owner's name only"
            unchanged.append(LeftAlone(item.record_id, item.environment.name, why))
        elif item.replacement is None or item.replacement_plan is None:
            why = "what answers in its stead could not be read"
            unchanged.append(LeftAlone(item.record_id, item.environment.name, why, "drkit assess"))
        else:
            chains.append(_chain(proposal, item, item.replacement.id, item.replacement_plan))
    needs = tuple(chain.affected.proof_step for chain in chains)
    teardown = tuple(_plan(proposal, leftover, needs) for leftover in proposal.teardown) if not unchanged else ()
    return Proposed(chains=tuple(chains), unchanged=tuple(unchanged), teardown=teardown)


def _chain(proposal: Proposal, item: Item, other: str, where: Plan) -> Chain:
    environment, plan = item.environment, proposal.plan
    handle = slug(environment.name, item.record_id)
    delete = deletion(
        environment, item.record_id, plan, where, other, item.reason, discard=item.disposition == "discard"
    )
    verify = Step(
        id=f"{NAME}:{handle}:verify-elsewhere",
        product=NAME,
        action="verify-elsewhere",
        target=environment.id,
        title=f"see that {environment.name} still answers under {where.name}",
        reason="a deletion that takes more than it names is met once, and not by all",
        effect="verify",
        estimate=Estimate(2, 2.0),
        needs=(delete.id,),
        inputs=delete.inputs,
        environment=environment.id,
        plan=plan.id,
        region=plan.region,
    )
    affected = Affected.of(environment, item.disposition, item.reason, plan=plan.id, proof_step=verify.id)
    return Chain(affected, (delete, verify), needs_person=False)


def _plan(proposal: Proposal, made: Leftover, needs: tuple[str, ...]) -> Step:
    plan, source = proposal.plan, proposal.existing_target
    again = (Precondition(source.id, "answers", "yes", SERVICE),) if source else ()
    return Step(
        id=f"{NAME}:{slug(plan.name, plan.id)}:delete-plan",
        product=NAME,
        action="delete-plan",
        target=made.id,
        title=f"delete plan {plan.name} in {plan.region}, when it holds no environment",
        reason="drkit made it for the time in which the region was lost; deleting a plan takes its environments with it",
        effect="delete",
        estimate=Estimate(6, 15.0),
        needs=needs,
        inputs={"plan": plan.id, "region": plan.region, "source_region": source.region if source else ""},
        preconditions=(
            Precondition(plan.id, "answers", "yes", SERVICE),
            *again,
            Precondition(made.id, "made-for", made.source, "ARM: plan"),
            Precondition(made.id, "empty", True, SERVICE),
        ),
        plan=plan.id,
        region=plan.region,
    )
