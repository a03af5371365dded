"""Codespaces, the pure half: the steps that managed and self-hosted environments share, and what they hold."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from drkit.model.estate import Environment, Plan
from drkit.model.ids import slug
from drkit.model.runbook import Estimate, Precondition, Step
from drkit.planning.proposal import Item, Proposal, spare_names
from drkit.products.codespaces.settings import NAME

# A registration that is not Available by then will not be by itself.
VERIFY_MINUTES = 20


def where(proposal: Proposal) -> tuple[str, str, str]:
    """(plan id, plan name, region) that the environments go to."""
    if proposal.target:
        return proposal.target.plan_id, proposal.target.plan_name, proposal.target.region
    return proposal.plan.id, proposal.plan.name, proposal.plan.region


def names_for(proposal: Proposal, item: Item) -> list[str]:
    """The name to take, and the one to fall back to when a record nobody can see holds it."""
    name = (item.before_move or item.environment).name
    free = list(islice(spare_names(name, proposal.names_in_use | proposal.stale_names), 2))
    return [name, free[0]] if proposal.target and name.lower() not in proposal.stale_names else free


def stale(proposal: Proposal) -> dict[str, Any]:
    """Records under the target that were left behind there: they hold their names, and are nobody's environment."""
    return {"stale": sorted(proposal.stale_records)} if proposal.stale_records else {}


def still_lost(proposal: Proposal) -> tuple[Precondition, ...]:
    """What must hold just before: the plan that is left is lost still; on the way back, the plan gone back to answers still."""
    if not proposal.target or proposal.graceful:
        return ()
    if proposal.kind == "failback":
        return (Precondition(proposal.target.plan_id, "answers", "yes", "environment service"),)
    return (Precondition(proposal.plan.id, "answers", "no", "environment service"),)


def verified(proposal: Proposal, item: Item, needs: tuple[str, ...], seconds: float) -> Step:
    """The step that asks the service whether an environment is Available, for its owner; ``seconds``: how long that takes."""
    environment = item.environment
    plan_id, plan_name, region = where(proposal)
    return Step(
        id=f"{NAME}:{slug(environment.name, environment.id)}:verify",
        product=NAME,
        action="verify",
        target=environment.id,
        title=f"see that {environment.name} is Available under {plan_name}, for its owner",
        reason="success is the service saying so, never an exit code",
        effect="verify",
        estimate=Estimate(4, seconds),
        needs=needs,
        inputs={
            "plan": plan_id,
            "region": region,
            "names": names_for(proposal, item),
            "owner": environment.owner,
            "kind": environment.kind,
            "minutes": VERIFY_MINUTES,
            **stale(proposal),
        },
        environment=environment.id,
        plan=proposal.plan.id,
        region=region,
        host=item.host.id if item.host else "",
    )


def ask_for(
    proposal: Proposal, item: Item, needs: tuple[str, ...], commands: list[str], identity: list[str], why: str
) -> Step:
    """The step that a person does; ``commands`` to type, ``identity`` to look at first, ``why`` it is theirs."""
    environment = item.environment
    plan_id, _, region = where(proposal)
    return Step(
        id=f"{NAME}:{slug(environment.name, environment.id)}:by-hand",
        product=NAME,
        action="by-hand",
        target=environment.id,
        title=f"somebody registers {environment.name} by hand",
        reason=f"{item.reason}; {why}",
        effect="ask",
        estimate=Estimate(0, 900.0),
        needs=needs,
        inputs={
            "plan": plan_id,
            "region": region,
            "owner": environment.owner,
            "commands": commands,
            "see_first": identity,
            "host": item.host.name if item.host else "",
        },
        # Whoever is sent to a machine stops the registration there: not while it answers again.
        preconditions=still_lost(proposal),
        environment=environment.id,
        plan=proposal.plan.id,
        host=item.host.id if item.host else "",
        region=region,
    )


def deletion(
    old: Environment, record: str, plan: Plan, where: Plan, other: str, why: str, *, discard: bool = False
) -> Step:
    """The deletion of an old record by its id: it is that record, nothing answers to it, its environment answers elsewhere."""
    managed = old.kind == "managed"
    # A self-hosted record that answers is somebody's; unpushed work in a managed one is somebody's too.
    condition = Precondition(record, "pushed" if managed else "idle", True, "environment service")
    return Step(
        id=f"{NAME}:{slug(old.name, record)}:delete",
        product=NAME,
        action="delete",
        target=record,
        title=f"delete the old record of {old.name} under {plan.name}",
        reason=why,
        effect="delete",
        estimate=Estimate(6, 4.0),
        inputs={
            "plan": plan.id,
            "region": plan.region,
            "owner": old.owner,
            "kind": old.kind,
            "elsewhere": {"plan": where.id, "region": where.region, "id": other},
            "minutes": VERIFY_MINUTES,
        },
        preconditions=(
            Precondition(plan.id, "answers", "yes", "environment service"),
            Precondition(record, "record", old.name, "environment service"),
            *(() if discard and managed else (condition,)),
            Precondition(other, "stands", "yes", "environment service"),
        ),
        environment=old.id,
        plan=plan.id,
        region=plan.region,
    )


def freed(proposal: Proposal, item: Item, need_id: str) -> tuple[Step, ...]:
    """The deletion of the old record, which holds the name that the host is to have again."""
    if proposal.existing_target is None or item.old_record is None or not item.record_id:
        return ()
    step = deletion(
        item.old_record,
        item.record_id,
        proposal.existing_target,
        proposal.plan,
        item.environment.id,
        "it holds the name",
    )
    return (
        msgspec.structs.replace(
            step,
            environment=item.environment.id,
            host=item.host.id if item.host else "",
            needs=(need_id,) if need_id else (),
        ),
    )
