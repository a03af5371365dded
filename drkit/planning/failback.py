"""What a run moved away -> the runbook that brings it back to the plans it came from, now that they answer again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import msgspec

from drkit.model.cloud import CloudMark
from drkit.model.estate import Assessment, Environment, Host, HostKind, HostLink, Leftover, Plan, Snapshot, Zombie
from drkit.model.ids import ArmId
from drkit.model.runbook import Affected, LeftAlone, Runbook, Step, Takeover
from drkit.model.settings import Settings
from drkit.planning.dispositions import Decided, channel, decide, verdict_word
from drkit.planning.failover import guarded, sound, waves
from drkit.planning.leftovers import MovedEnvironment
from drkit.planning.proposal import Item, Proposal, Proposer, Target
from drkit.planning.reasons import PlanStanding, ReasonCode


def failback(
    snapshot: Snapshot,
    assessment: Assessment,
    settings: Settings,
    products: Mapping[str, Proposer],
    *,
    run: str,
    moved: Sequence[MovedEnvironment],
    back: Collection[tuple[str, str]],
    origins: Mapping[str, Environment],
    made: Sequence[Leftover],
    recorded: Collection[str],
    snapshot_digest: str,
    of_assessment: str,
    cloud: CloudMark,
    version: str,
    runs: Collection[str] = (),
) -> Runbook:
    """The mirror of ``run``: every environment that it moved goes back to the plan it came from.

    ``runs``: those that it replaced, which count with it.
    ``origins``: environment id in lower case -> the environment as it was before the run. ``back``: (plan, id) in lower case of
    those that went back already. ``made``: what the run created, to be deferred once nobody is left there.
    """
    plans = {plan.id.lower(): plan for plan in (*assessment.present_plans, *snapshot.plans)}
    there = {plan.id.lower(): plan for plan in assessment.present_plans}
    present = {(one.plan.lower(), one.id.lower()): one for one in assessment.present}
    zombies = {
        (one.plan.lower(), one.environment.lower()): one for one in assessment.zombies if one.run in {run, *runs}
    }
    dead = frozenset(assessment.lost_regions)
    left: list[LeftAlone] = []
    items: dict[tuple[str, str], list[Item]] = {}
    for one in sorted(moved, key=lambda item: (item.name.lower(), item.environment)):
        if (one.now_plan.lower(), one.now.lower()) in back:
            left.append(LeftAlone(one.now, one.name, "it went back already", ""))
            continue
        now = present.get((one.now_plan.lower(), one.now.lower()))
        home, stay = plans.get(one.plan.lower()), there.get(one.now_plan.lower())
        if now is None or home is None or stay is None:
            why = (
                f"{ArmId(one.now_plan).name} does not list it any more" if now is None else "its plan could not be read"
            )
            left.append(LeftAlone(one.now, one.name, why, "drkit assess"))
            continue
        zombie = zombies.get((one.plan.lower(), one.environment.lower()))
        if zombie is not None and zombie.two_plans:
            left.append(LeftAlone(zombie.id, one.name, f"{zombie.reason}: a person decides which of them it is", ""))
            continue
        origin = origins.get(one.environment.lower(), msgspec.structs.replace(now, name=one.name))
        item = _item(one, now, origin, zombie, snapshot, assessment, dead)
        items.setdefault((home.id.lower(), stay.id.lower()), []).append(item)
    steps: list[Step] = []
    affected: list[Affected] = []
    behind: list[Leftover] = []
    notes: list[str] = []
    scripts: dict[str, str] = {}
    sources: dict[str, str] = {}
    targets: dict[str, str] = {}
    takeovers: dict[str, Takeover] = {}
    for (home_id, stay_id), mine in sorted(items.items()):
        home, stay = plans[home_id], there[stay_id]
        if home.product not in products:
            left.append(LeftAlone(home.id, home.name, f"drkit knows no product {home.product!r}"))
            continue
        proposed = sound(products[home.product].propose(_proposal(home, stay, mine, settings, dead)), home, products)
        if any(chain.steps for chain in proposed.chains):
            steps.extend(proposed.plan_steps)
        for chain in waves(proposed.chains, settings):
            affected.append(chain.affected)
            steps.extend(chain.steps)
            behind.extend(chain.behind)
        finals = tuple(chain.affected.final for chain in proposed.chains if chain.affected.final)
        behind.extend(
            msgspec.structs.replace(one, finals=finals)
            for one in made
            if finals and one.kind != "group" and one.plan.lower() == stay_id
        )
        left.extend(proposed.unchanged)
        notes.extend(proposed.notes)
        scripts.update(proposed.scripts)
        sources |= {home.id: home.region, stay.id: stay.region}
        targets[stay.id] = home.region
        takeovers[stay.id] = Takeover(home.id, f"{run} moved its environments away from there")
    finals = tuple(one.final for one in affected if one.final)
    behind.extend(msgspec.structs.replace(one, finals=finals) for one in made if one.kind == "group" and finals)
    book = Runbook(
        environments=tuple(affected),
        kind="failback",
        leftovers=tuple(behind),
        unchanged=tuple(left),
        cloud=cloud,
        drkit_version=version,
        notes=tuple(dict.fromkeys(notes)),
        of_assessment=of_assessment,
        source_run=run,
        snapshot_digest=snapshot_digest,
        scripts=dict(sorted(scripts.items())),
        source_plans=dict(sorted(sources.items())),
        steps=tuple(steps),
        target_plans=dict(sorted(takeovers.items())),
        target_regions=targets,
    )
    return guarded(book, products, settings, dead, {}, recorded)


def _proposal(home: Plan, stay: Plan, items: Sequence[Item], settings: Settings, dead: frozenset[str]) -> Proposal:
    """A move from the plan that stood in to the one it stood in for, which is there already."""
    target = Target(
        region=home.region,
        subscription=home.subscription,
        group=home.resource_group,
        group_step="",
        plan_name=home.name,
        plan_id=home.id,
        plan_exists=True,
    )
    held = frozenset(item.old.name.lower() for item in items if item.old is not None)
    return Proposal(
        kind="failback",
        plan=stay,
        target=target,
        items=items,
        settings=settings,
        names=held | {item.environment.name.lower() for item in items},
        lost=dead,
        standing=home,
    )


def _item(
    one: MovedEnvironment,
    now: Environment,
    origin: Environment,
    zombie: Zombie | None,
    snapshot: Snapshot,
    assessment: Assessment,
    dead: Collection[str],
) -> Item:
    link = origin.host or now.host
    if link is not None and one.host:
        link = msgspec.structs.replace(link, host=one.host)
    elif link is None and one.host:
        link = HostLink(one.host, "api")
    environment = msgspec.structs.replace(now, host=link)
    hosts = {host.id.lower(): host for host in snapshot.hosts}
    findings = {finding.host.lower(): finding for finding in assessment.hosts}
    for finding in assessment.hosts:
        if finding.found is not None:
            hosts.setdefault(finding.found.id.lower(), finding.found)
    decided: Decided = decide(environment, "lost", hosts, findings, plan=PlanStanding.BACK)
    code = decided.reason.code
    alive = zombie is not None and zombie.state == "alive"
    if alive and now.kind == "managed":
        code = ReasonCode.OWN_RECORD_ALIVE
    elif code is ReasonCode.REGISTRATION_LOST and decided.disposition == "new-plan":
        code = ReasonCode.REGISTERED_BY_THE_MOVE
    decided = replace(decided, reason=replace(decided.reason, code=code), host=decided.host or _named(one.host))
    return Item(
        environment=environment,
        disposition=decided.disposition,
        reason=decided.reason.text,
        host=decided.host,
        verdict=verdict_word(decided.finding),
        confidence=decided.finding.confidence if decided.finding else "",
        channel=channel(decided, dead),
        record=zombie.id if zombie and alive else "",
        origin=origin,
        old=zombie.found if zombie and alive else None,
    )


def _named(host: str) -> Host | None:
    """A machine of which only the run's record tells: enough for a person to find it."""
    if not host:
        return None
    kind: HostKind = "azure-vm" if "/microsoft.compute/" in host.lower() else "physical"
    return Host(id=host, kind="arc" if "/microsoft.hybridcompute/" in host.lower() else kind, name=ArmId(host).name)
