"""Codespaces, the pure half: which steps bring a plan and its environments up elsewhere, or a host back to its plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from drkit.model import host_scripts
from drkit.model.estate import Environment, Plan
from drkit.model.host_scripts import HostScript
from drkit.model.ids import slug
from drkit.model.runbook import Affected, Estimate, LeftAlone, Precondition, Step
from drkit.model.settings import Settings
from drkit.planning.proposal import (
    Chain,
    Item,
    Need,
    Proposal,
    Proposed,
    Target,
    granted_again,
    identity_change,
    made_for,
    record_behind,
    replica_of,
)
from drkit.products.codespaces import plan_cleanup
from drkit.products.codespaces.plan_self_hosted import by_hand, has_channel, hosted
from drkit.products.codespaces.scripts import product_scripts
from drkit.products.codespaces.settings import NAME, settings_of
from drkit.products.codespaces.steps import ask_for, names_for, stale, still_lost, verified, where

# From the display names the service publishes with its SKUs ("Standard (Linux): 4 cores, 8 GB RAM").
CORES = {"basiclinux": 2, "standardlinux": 4, "premiumlinux": 8}
CARRIED = ("userId", "defaultAutoSuspendDelayMinutes", "defaultEnvironmentSku", "defaultCodespaceSku")
RISK = {
    "pushed": "all work was pushed when it was last seen",
    "unpushed": "it had unpushed work: that stays behind until its region returns",
    "unknown": "whether it had unpushed work is not known",
}


def need(environments: Sequence[Environment]) -> Need:
    """SKUs and cores of the managed environments among these."""
    managed = [environment for environment in environments if environment.kind == "managed"]
    return Need(
        frozenset(environment.sku for environment in managed if environment.sku),
        sum(CORES.get(environment.sku.lower(), 4) for environment in managed),
    )


def stand_ins(plan: Plan, candidates: Sequence[Plan], settings: Settings) -> list[Plan]:
    """The plan that drkit.toml names for this one; else those that an earlier run made for it."""
    wanted = replica_of(plan.id, settings_of(settings).replicas)
    named = [candidate for candidate in candidates if candidate.key == wanted and candidate.region != plan.region]
    # Where the one that is named is not there, drkit makes one, and knows it again.
    return named or made_for(plan, candidates)


def propose(proposal: Proposal) -> Proposed:
    """The plan's own steps, then one chain an environment."""
    if proposal.kind == "cleanup":
        return plan_cleanup.propose(proposal)
    plan, target = proposal.plan, proposal.target
    plan_steps = _plan_steps(proposal, target or _stays(plan))
    ready = plan_steps[-1].id if plan_steps else ""
    chains = tuple(_chain(proposal, item, ready) for item in proposal.items)
    used = {str(step.inputs.get("script", "")) for chain in chains for step in chain.steps}
    scripts = {script.name: script.sha256 for script in _scripts()} if used - {""} else {}
    unchanged = tuple(_not_carried(plan, proposal)) if target and not target.plan_exists else ()
    return Proposed(plan_steps, chains, unchanged, (), scripts)


def _scripts() -> list[HostScript]:
    """Those that the steps on hosts run."""
    return [host_scripts.load("reach"), *product_scripts().today.values()]


def _stays(plan: Plan) -> Target:
    """In a repair the plan is its own target, and is verified like any other before a host is released."""
    return Target(plan.region, plan.subscription, plan.resource_group, "", plan.name, plan.id, plan_exists=True)


def _plan_steps(proposal: Proposal, target: Target) -> tuple[Step, ...]:
    plan = proposal.plan
    handle = slug(plan.name, plan.id)
    verify = Step(
        id=f"{NAME}:{handle}:verify-plan",
        product=NAME,
        action="verify-plan",
        target=target.plan_id,
        title=f"see that {target.plan_name} answers in {target.region}",
        reason="nothing is registered with a plan that its own service does not know",
        effect="verify",
        estimate=Estimate(4, 5.0),
        needs=() if target.plan_exists else (f"{NAME}:{handle}:create-plan",),
        inputs=identity_change(proposal),
        preconditions=still_lost(proposal) if proposal.kind == "failback" else (),
        criticality="critical",
        plan=plan.id,
        region=target.region,
    )
    if target.plan_exists:
        return (verify,)
    properties = {key: plan.properties[key] for key in CARRIED if plan.properties.get(key) is not None}
    body: dict[str, Any] = {"location": target.region, "properties": properties, "tags": dict(plan.tags)}
    if plan.sku:
        body["sku"] = plan.sku
    if str((plan.properties.get("identity") or {}).get("type", "")) == "SystemAssigned":
        body["identity"] = {"type": "SystemAssigned"}
    create = Step(
        id=f"{NAME}:{handle}:create-plan",
        product=NAME,
        action="create-plan",
        target=target.plan_id,
        title=f"create plan {target.plan_name} in {target.region}",
        reason=f"{plan.name} {'leaves' if proposal.graceful else 'is lost with'} {plan.region}; a plan's region cannot be changed",
        effect="create",
        estimate=Estimate(3, 5.0),
        needs=(target.group_step,) if target.group_step else (),
        inputs={"body": body, "source": plan.id},
        preconditions=(Precondition(target.plan_id, "exists", False, "ARM: plan"), *still_lost(proposal)),
        criticality="critical",
        plan=plan.id,
        region=target.region,
    )
    return (create, verify)


def _not_carried(plan: Plan, proposal: Proposal) -> list[LeftAlone]:
    unchanged: list[LeftAlone] = []
    network = plan.properties.get("vnetProperties")
    if isinstance(network, dict) and any(network.values()):
        subnet = next((str(value) for value in network.values() if value), "")
        unchanged.append(
            LeftAlone(
                plan.id,
                plan.name,
                f"its subnet stays behind ({subnet}): a plan's network is in the plan's own region",
                "prepare a subnet in the target region and set it on the new plan",
            )
        )
    encryption = plan.properties.get("encryption")
    if isinstance(encryption, dict) and encryption.get("keySource") == "Microsoft.KeyVault":
        unchanged.append(
            LeftAlone(
                plan.id,
                plan.name,
                "its customer-managed key is not carried over: the new plan has another identity",
                "grant the new plan's identity on a key in a healthy region, then set it",
            )
        )
    return unchanged + granted_again(proposal)


def _chain(proposal: Proposal, item: Item, ready: str) -> Chain:
    environment = item.environment
    disposition = item.disposition
    steps: tuple[Step, ...] = ()
    if disposition == "new-plan" and environment.kind == "managed":
        steps = _managed(proposal, item, ready)
    elif disposition in ("new-plan", "successor", "same-plan"):
        steps = hosted(proposal, item, ready) if has_channel(item) else by_hand(proposal, item, ready)
    elif disposition == "person":
        steps = by_hand(proposal, item, ready)
    behind = (record_behind(NAME, environment.id, item, proposal.plan, steps[-1].id),) if steps else ()
    return Chain(_affected(item, steps), steps, any(step.effect == "ask" for step in steps), behind)


def _affected(item: Item, steps: Sequence[Step]) -> Affected:
    remedy = {
        "lost": "; until it is restored (a [[host]] entry says where), or its region returns",
        "start": "; start it, then assess and plan again",
        "wait": "; assess again in a few minutes",
    }.get(item.disposition, "")
    return Affected.of(
        item.environment,
        item.disposition,
        item.reason + remedy,
        verdict=item.verdict if item.environment.kind == "self-hosted" else "",
        host=item.host.id if item.host else "",
        proof_step=steps[-1].id if steps else "",
    )


def _managed(proposal: Proposal, item: Item, ready: str) -> tuple[Step, ...]:
    environment = item.environment
    plan_id, plan_name, region = where(proposal)
    handle = slug(environment.name, environment.id)
    if item.old_record is not None and item.old_record.state.lower() not in ("failed", "deleted"):
        return (_revived(proposal, item, ready),)
    body: dict[str, Any] = {
        "type": "cloudEnvironment",
        "planId": plan_id,
        "skuName": environment.sku,
        "autoShutdownDelayMinutes": environment.settings.get("autoShutdownDelayMinutes", 30),
        "experimentalFeatures": {"customContainers": True},
    }
    if environment.repository:
        moniker = environment.repository
        if environment.branch and "/tree/" not in moniker:
            moniker = f"{moniker}/tree/{environment.branch}"
        body["seed"] = {"type": "git", "moniker": moniker}
        if environment.settings.get("gitConfig"):
            body["seed"]["gitConfig"] = environment.settings["gitConfig"]
    create = Step(
        id=f"{NAME}:{handle}:create",
        product=NAME,
        action="create",
        target=environment.id,
        title=f"create {environment.name} again under {plan_name}",
        reason=f"{item.reason}; {RISK[environment.data_at_risk]}",
        effect="create",
        estimate=Estimate(4, 5.0),
        needs=(ready,) if ready else (),
        inputs={
            "plan": plan_id,
            "region": region,
            "names": names_for(proposal, item),
            "owner": environment.owner,
            "kind": "managed",
            "body": body,
            **stale(proposal),
        },
        preconditions=still_lost(proposal),
        environment=environment.id,
        plan=proposal.plan.id,
        region=region,
    )
    verify = verified(proposal, item, (create.id,), 75.0)
    if settings_of(proposal.settings).keep_owner == "delegate" and environment.owner and environment.repository:
        return (create, verify)
    origin = environment.repository or "what it was made from (no repository is recorded)"
    commands = [f"create {environment.name} from {origin} under plan {plan_id}"]
    ask = ask_for(
        proposal,
        item,
        (ready,) if ready else (),
        commands,
        [f"signed in as {environment.owner}"],
        f"its owner creates it; {RISK[environment.data_at_risk]}",
    )
    return (ask, verified(proposal, item, (ask.id,), 75.0))


def _revived(proposal: Proposal, item: Item, ready: str) -> Step:
    """Its own record is alive: that is the environment, perhaps with work that was never pushed, and no copy is made of it."""
    old, verify = item.old_record, verified(proposal, item, (ready,) if ready else (), 2.0)
    name = old.name if old else item.environment.name
    return msgspec.structs.replace(
        verify,
        title=f"see that {name} is there again under {proposal.target.plan_name if proposal.target else ''}, for its owner",
        reason="its own record is alive again, with all that was in it; what was done since is in the temporary one, which is "
        "kept until a cleanup finds it pushed",
        inputs={**verify.inputs, "names": [name], "stands": True},
        preconditions=still_lost(proposal),
    )
