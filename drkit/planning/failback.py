"""What a run moved away -> the runbook that brings it back to the plans it came from, now that they answer again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import msgspec

from drkit.model.estate import (
    Assessment,
    Environment,
    EnvironmentKey,
    Host,
    HostFinding,
    HostKind,
    HostLink,
    Leftover,
    Plan,
    Snapshot,
    Zombie,
)
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook, Takeover
from drkit.model.settings import Settings
from drkit.planning.dispositions import decide, item_of
from drkit.planning.leftovers import MovedEnvironment
from drkit.planning.proposal import Item, Proposal, Proposer, Target
from drkit.planning.reasons import PlanStanding, ReasonCode
from drkit.planning.runbook_builder import Provenance, RunbookBuilder


def failback_runbook(
    snapshot: Snapshot,
    assessment: Assessment,
    settings: Settings,
    products: Mapping[str, Proposer],
    provenance: Provenance,
    *,
    moved: Sequence[MovedEnvironment],
    back: Collection[EnvironmentKey],
    origins: Mapping[ArmId, Environment],
    made: Sequence[Leftover],
    recorded: Collection[str],
) -> Runbook:
    """The mirror of ``provenance.run``: every environment that it moved goes back to the plan it came from.

    ``origins``: environment id -> the environment as it was before the run. ``back``: the environments that went back already.
    ``made``: what the run created, to be deferred once no environment is there.
    """
    builder = RunbookBuilder(
        kind="failback",
        provenance=provenance,
        settings=settings,
        products=products,
        avoided_regions=frozenset(assessment.lost_regions),
    )
    plans = {plan.key: plan for plan in (*assessment.present_plans, *snapshot.plans)}
    present_plans = {plan.key: plan for plan in assessment.present_plans}
    items = _items(snapshot, assessment, builder, plans, moved, back, origins)
    for (home_id, replacement_id), own_items in sorted(items.items()):
        home, replacement = plans[home_id], present_plans[replacement_id]
        if home.product not in products:
            builder.leave_alone(home.id, home.name, f"drkit knows no product {home.product!r}")
            continue
        proposed = builder.propose(_proposal(home, replacement, own_items, builder), home)
        finals = tuple(chain.affected.proof_step for chain in proposed.chains if chain.affected.proof_step)
        if finals:
            builder.leftovers.extend(
                msgspec.structs.replace(leftover, proof_steps=finals)
                for leftover in made
                if leftover.kind != "group" and replacement.key == leftover.plan
            )
        builder.source_plans |= {home.id: home.region, replacement.id: replacement.region}
        builder.target_regions[replacement.id] = home.region
        builder.takeovers[replacement.id] = Takeover(
            home.id, f"{provenance.run} moved its environments away from there"
        )
    finals = tuple(environment.proof_step for environment in builder.affected if environment.proof_step)
    if finals:
        builder.leftovers.extend(
            msgspec.structs.replace(leftover, proof_steps=finals) for leftover in made if leftover.kind == "group"
        )
    return builder.runbook(recorded=recorded)


def _items(
    snapshot: Snapshot,
    assessment: Assessment,
    builder: RunbookBuilder,
    plans: Mapping[ArmId, Plan],
    moved: Sequence[MovedEnvironment],
    back: Collection[EnvironmentKey],
    origins: Mapping[ArmId, Environment],
) -> dict[tuple[ArmId, ArmId], list[Item]]:
    """What can go back: (the plan it goes back to, the plan that it is under now) -> environments. The rest is left alone."""
    present_plans = {plan.key for plan in assessment.present_plans}
    present = {environment.key: environment for environment in assessment.present}
    zombies = {zombie.environment_key: zombie for zombie in assessment.zombies if zombie.run in builder.provenance.runs}
    hosts = {host.key: host for host in snapshot.hosts}
    for finding in assessment.hosts:
        if finding.found is not None:
            hosts.setdefault(finding.found.key, finding.found)
    findings = {finding.key: finding for finding in assessment.hosts}
    items: dict[tuple[ArmId, ArmId], list[Item]] = {}
    for move in sorted(moved, key=lambda move: (move.name.lower(), move.environment)):
        home_id, replacement_id = ArmId(move.plan), ArmId(move.now_plan)
        if (replacement_id, ArmId(move.now)) in back:
            builder.leave_alone(move.now, move.name, "it went back already")
            continue
        now = present.get((replacement_id, ArmId(move.now)))
        if now is None:
            why = f"{replacement_id.name} does not list it any more"
            builder.leave_alone(move.now, move.name, why, "drkit assess")
            continue
        if home_id not in plans or replacement_id not in present_plans:
            builder.leave_alone(move.now, move.name, "its plan could not be read", "drkit assess")
            continue
        zombie = zombies.get((home_id, ArmId(move.environment)))
        if zombie is not None and zombie.two_plans:
            builder.leave_alone(zombie.id, move.name, f"{zombie.reason}: a person decides which of them it is")
            continue
        origin = origins.get(ArmId(move.environment), msgspec.structs.replace(now, name=move.name))
        item = _item(move, now, origin, zombie, hosts, findings, builder.avoided_regions)
        items.setdefault((home_id, replacement_id), []).append(item)
    return items


def _proposal(home: Plan, replacement: Plan, items: Sequence[Item], builder: RunbookBuilder) -> Proposal:
    """A move from the plan that took over back to the one it took over from, which exists already."""
    target = Target(
        region=home.region,
        subscription=home.subscription,
        group=home.resource_group,
        group_step="",
        plan_name=home.name,
        plan_id=home.id,
        plan_exists=True,
    )
    held = frozenset(item.old_record.name.lower() for item in items if item.old_record is not None)
    return Proposal(
        kind="failback",
        plan=replacement,
        target=target,
        items=items,
        settings=builder.settings,
        names_in_use=held | {item.environment.name.lower() for item in items},
        avoid_regions=builder.avoided_regions,
        existing_target=home,
    )


def _item(
    move: MovedEnvironment,
    now: Environment,
    origin: Environment,
    zombie: Zombie | None,
    hosts: Mapping[ArmId, Host],
    findings: Mapping[ArmId, HostFinding],
    lost_regions: Collection[str],
) -> Item:
    link = origin.host or now.host
    if link is not None and move.host:
        link = msgspec.structs.replace(link, host=move.host)
    elif link is None and move.host:
        link = HostLink(move.host, "api")
    environment = msgspec.structs.replace(now, host=link)
    decision = decide(environment, "lost", hosts, findings, plan=PlanStanding.BACK)
    code = decision.reason.code
    alive = zombie is not None and zombie.state == "alive"
    if alive and now.kind == "managed":
        code = ReasonCode.OWN_RECORD_ALIVE
    elif code is ReasonCode.REGISTRATION_LOST and decision.disposition == "new-plan":
        code = ReasonCode.REGISTERED_BY_THE_MOVE
    decision = replace(
        decision, reason=replace(decision.reason, code=code), host=decision.host or _host_of_journal(move.host)
    )
    return replace(
        item_of(decision, lost_regions),
        record_id=zombie.id if zombie and alive else "",
        before_move=origin,
        old_record=zombie.found if zombie and alive else None,
    )


def _host_of_journal(host: str) -> Host | None:
    """A machine that only the journal of the run knows: enough for a person to find it."""
    if not host:
        return None
    kind: HostKind = "azure-vm" if "/microsoft.compute/" in host.lower() else "physical"
    return Host(id=host, kind="arc" if "/microsoft.hybridcompute/" in host.lower() else kind, name=ArmId(host).name)
