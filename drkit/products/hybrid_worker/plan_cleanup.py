"""Hybrid workers, the pure half of a cleanup: which records are deleted by id, and when groups and accounts that drkit made may go."""

from __future__ import annotations

from typing import Any

from drkit.model.estate import Environment, Leftover, Plan
from drkit.model.ids import slug
from drkit.model.runbook import Affected, Estimate, LeftAlone, Precondition, Step
from drkit.planning.proposal import Chain, Item, Proposal, Proposed
from drkit.products.hybrid_worker.settings import NAME, SERVICE, settings_of

RECORD = "ARM: hybrid worker"


def propose(proposal: Proposal) -> Proposed:
    """One deletion an old record, then worker groups and the account itself where drkit made them."""
    unchanged: list[LeftAlone] = []
    chains: list[Chain] = []
    for item in proposal.items:
        if item.replacement is None or item.replacement_plan is None or item.environment.host is None:
            why = "what answers in its stead could not be read"
            unchanged.append(LeftAlone(item.record_id, item.environment.name, why, "drkit assess"))
        else:
            chains.append(_chain(proposal, item, item.replacement, item.replacement_plan, item.environment.host.host))
    needs = tuple(chain.affected.proof_step for chain in chains)
    parts = [_close(proposal, leftover, needs) for leftover in proposal.teardown if leftover.kind == "part"]
    plans = [
        _close(proposal, leftover, (*needs, *(step.id for step in parts)))
        for leftover in proposal.teardown
        if leftover.kind == "plan"
    ]
    return Proposed(
        chains=tuple(chains), unchanged=tuple(unchanged), teardown=(*parts, *plans) if not unchanged else ()
    )


def _address(plan: Plan | None) -> str:
    return str(plan.properties.get("automationHybridServiceUrl", "")) if plan else ""


def _chain(proposal: Proposal, item: Item, other: Environment, where: Plan, machine: str) -> Chain:
    environment, plan = item.environment, proposal.plan
    handle = slug(environment.name, item.record_id)
    inputs: dict[str, Any] = {
        "account": plan.id,
        "machine": machine,
        "addresses": {plan.id.lower(): _address(plan)},
        "elsewhere": {"account": where.id, "group": str(other.settings.get("group", "")), "id": other.id},
        "minutes": settings_of(proposal.settings).verify_minutes,
    }
    shared: dict[str, Any] = {"environment": environment.id, "plan": plan.id, "region": plan.region}
    delete = Step(
        id=f"{NAME}:{handle}:delete",
        product=NAME,
        action="delete",
        target=item.record_id,
        title=f"delete the old record of {environment.name} in {plan.name}",
        reason=f"{item.reason}; by REST, which leaves the machine and its extension alone",
        effect="delete",
        estimate=Estimate(6, 4.0),
        inputs=inputs,
        preconditions=(
            Precondition(plan.id, "answers", "yes", SERVICE),
            Precondition(item.record_id, "machine", machine, RECORD),
            Precondition(item.record_id, "idle", True, RECORD),
            Precondition(other.id, "stands", "yes", RECORD),
        ),
        **shared,
    )
    verify = Step(
        id=f"{NAME}:{handle}:verify-elsewhere",
        product=NAME,
        action="verify-elsewhere",
        target=environment.id,
        title=f"see that {environment.name} still reports to {where.name}",
        reason="a deletion that takes more than it names is met once, and not by all",
        effect="verify",
        estimate=Estimate(2, 40.0),
        needs=(delete.id,),
        inputs={**inputs, "after": delete.id},
        **shared,
    )
    affected = Affected.of(environment, item.disposition, item.reason, plan=plan.id, proof_step=verify.id)
    return Chain(affected, (delete, verify), needs_person=False)


def _ended(plan: Plan) -> dict[str, Any]:
    """Its identity ends with it; what that was granted stays behind as grants to nobody."""
    was = str((plan.properties.get("identity") or {}).get("principalId") or "")
    grants = list(plan.properties.get("identityGrants") or ())
    return {"identity": {"plan": plan.id, "was": was, "grants": grants}} if was else {}


def _close(proposal: Proposal, made: Leftover, needs: tuple[str, ...]) -> Step:
    plan, source = proposal.plan, proposal.existing_target
    account = made.kind == "plan"
    again = (Precondition(source.id, "answers", "yes", SERVICE),) if source else ()
    tagged = (Precondition(made.id, "made-for", made.source, "ARM: Automation account"),) if account else ()
    what = f"Automation account {made.name}" if account else f"worker group {made.name} of {plan.name}"
    return Step(
        id=f"{NAME}:{slug(made.name, made.id)}:{'delete-plan' if account else 'delete-group'}",
        product=NAME,
        action="delete-plan" if account else "delete-group",
        target=made.id,
        title=f"delete {what}, when nothing is in it",
        reason="drkit made it for the time in which the region was lost",
        effect="delete",
        estimate=Estimate(14 if account else 4, 4.0),
        needs=needs,
        inputs={
            "account": plan.id,
            "addresses": {account.id.lower(): _address(account) for account in (plan, source) if account},
            **(_ended(plan) if account else {}),
        },
        preconditions=(
            Precondition(plan.id, "answers", "yes", SERVICE),
            *again,
            *tagged,
            Precondition(made.id, "empty", True, "ARM: Automation account"),
        ),
        plan=plan.id,
        region=plan.region,
    )
