"""What a run left behind -> the runbook that deletes it, by id, where it is confirmed elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from drkit.errors import RefusedError, UsageError
from drkit.model.estate import Assessment, Deferred, Environment, Leftover, Plan, Snapshot, Zombie
from drkit.model.ids import ArmId, slug
from drkit.model.runbook import Estimate, Precondition, Runbook, Step
from drkit.model.settings import Settings
from drkit.planning.proposal import Item, Proposal, Proposer
from drkit.planning.runbook_builder import Provenance, RunbookBuilder

ANSWERING = frozenset({"answering", "degraded"})
WORK = {
    "unpushed": "it holds work that was not pushed",
    "unknown": "whether it holds work that was not pushed is not known",
}


def cleanup_runbook(
    snapshot: Snapshot,
    assessment: Assessment,
    settings: Settings,
    products: Mapping[str, Proposer],
    provenance: Provenance,
    *,
    deferred: Sequence[Deferred],
    made: Sequence[Leftover],
    recorded: Collection[str],
    discard: Mapping[str, str] | None = None,
) -> Runbook:
    """The cleanup after ``provenance.run``, and after the runs that it replaced.

    ``deferred``: which of its leftovers are still there. ``made``: what it created itself.

    ``discard``: names or ids of environments whose unpushed work may go, with the reason. UsageError for one that is none of these.
    """
    builder = RunbookBuilder(
        kind="cleanup",
        provenance=provenance,
        settings=settings,
        products=products,
        avoided_regions=frozenset(assessment.lost_regions),
    )
    plans = {plan.key: plan for plan in (*snapshot.plans, *assessment.present_plans)}
    discarded = _discarded(discard or {}, deferred)
    items, kept_plans = _records(assessment, plans, deferred, discarded, builder)
    closing = [item.behind for item in deferred if item.behind.kind != "record"]
    known = {ArmId(leftover.id) for leftover in closing}
    closing.extend(leftover for leftover in made if ArmId(leftover.id) not in known)
    closable = _closable(closing, kept_plans, items, assessment, builder)
    for leftover in closable:
        if leftover.plan:
            builder.source_plans[leftover.plan] = leftover.region
        if leftover.kind == "plan" and (source := plans.get(ArmId(leftover.source))):
            builder.source_plans[source.id] = source.region
    _propose(plans, items, closable, builder)
    builder.notes.extend(
        f"unpushed work that may go: {record}: {reason}" for record, reason in sorted(discarded.items())
    )
    return builder.runbook(recorded=recorded)


def _discarded(discard: Mapping[str, str], deferred: Sequence[Deferred]) -> dict[str, str]:
    """Record id in lower case -> why its unpushed work may go."""
    reasons: dict[str, str] = {}
    for name, reason in discard.items():
        ids = [
            item.behind.id.lower()
            for item in deferred
            if name.lower() in (item.behind.name.lower(), item.behind.id.lower(), item.behind.environment.lower())
        ]
        if len(ids) != 1:
            names = sorted({item.behind.name for item in deferred if item.behind.kind == "record"})
            raise UsageError(
                f"{name!r} is {'more than one record' if ids else 'no record'} that this run left behind",
                where="--discard",
                remedy=f"one of: {', '.join(names) or 'nothing'}",
            )
        reasons[ids[0]] = reason
    return reasons


def _records(
    assessment: Assessment,
    plans: Mapping[ArmId, Plan],
    deferred: Sequence[Deferred],
    discarded: Mapping[str, str],
    builder: RunbookBuilder,
) -> tuple[dict[ArmId, list[Item]], set[ArmId]]:
    """The records that are deleted, by plan, and the plans that stay because a record in them does."""
    zombies = {ArmId(zombie.id): zombie for zombie in assessment.zombies if zombie.run in builder.provenance.runs}
    states = {finding.key: finding.state for finding in assessment.plans}
    items: dict[ArmId, list[Item]] = {}
    kept_plans: set[ArmId] = set()
    for item in sorted(deferred, key=lambda item: (item.behind.name.lower(), item.behind.id)):
        record = item.behind
        if record.kind != "record":
            continue
        plan = ArmId(record.plan)
        zombie = zombies.get(ArmId(record.id))
        why, remedy = _against(record, zombie, states.get(plan, "answering"), discarded, builder.provenance.run)
        if why or zombie is None or zombie.found is None:
            builder.leave_alone(record.id, record.name, why, remedy)
            if zombie is None or zombie.state == "alive":
                kept_plans.add(plan)
            continue
        items.setdefault(plan, []).append(_item(zombie, zombie.found, plans, discarded))
        builder.source_plans[record.plan] = record.region
        if other := plans.get(ArmId(item.now_plan)):
            builder.source_plans[other.id] = other.region
    return items, kept_plans


def _against(
    record: Leftover, zombie: Zombie | None, state: str, discarded: Mapping[str, str], run: str
) -> tuple[str, str]:
    """Why a record is not deleted, and what would change that; empty when nothing is in the way."""
    if zombie is None or state not in ANSWERING:
        condition = "could not be read" if state in ANSWERING else f"is {state}"
        return f"{ArmId(record.plan).name} {condition}: nothing of it is touched", "drkit assess, when it answers again"
    if zombie.state == "gone":
        return zombie.reason, ""
    if zombie.two_plans:
        return f"{zombie.reason}: a person decides which of them it is", "look at the host, then drkit assess"
    if not zombie.confirmed or zombie.found is None:
        return f"{zombie.reason}: it is not confirmed elsewhere", "drkit assess, when it answers there"
    risk = zombie.found.data_at_risk
    if zombie.found.kind == "managed" and risk != "pushed" and record.id.lower() not in discarded:
        return (
            f"{WORK[risk]}: its owner pushes it first, or says that it may go",
            f"drkit cleanup {run} --discard {record.name} --reason TEXT",
        )
    return "", ""


def _item(zombie: Zombie, record: Environment, plans: Mapping[ArmId, Plan], discarded: Mapping[str, str]) -> Item:
    reason = discarded.get(zombie.id.lower(), "")
    return Item(
        environment=record,
        disposition="discard" if reason else "delete",
        reason=f"{zombie.reason}; its unpushed work may go: {reason}" if reason else zombie.reason,
        record_id=zombie.id,
        replacement=zombie.now,
        replacement_plan=plans.get(ArmId(zombie.now_plan)),
    )


def _closable(
    closing: Sequence[Leftover],
    kept_plans: Collection[ArmId],
    items: Mapping[ArmId, Sequence[Item]],
    assessment: Assessment,
    builder: RunbookBuilder,
) -> list[Leftover]:
    """Of what drkit made, what will be empty once the records are deleted. The rest stays, and the runbook says why."""
    deleted = {(plan, ArmId(item.environment.id)) for plan, records in items.items() for item in records}
    remaining: dict[ArmId, list[Environment]] = {}
    for environment in assessment.present:
        if environment.key not in deleted:
            remaining.setdefault(environment.plan_key, []).append(environment)
    closable: list[Leftover] = []
    used_groups: set[ArmId] = set()
    for leftover in closing:
        users = remaining.get(ArmId(leftover.plan), []) if leftover.plan else []
        if users:
            why = f"it is in use: {len(users)} environments are there"
        elif ArmId(leftover.plan) in kept_plans:
            why = "records of it are left alone"
        else:
            closable.append(leftover)
            continue
        used_groups.add(ArmId(leftover.id).group)
        builder.leave_alone(leftover.id, leftover.name, why)
    used = [leftover for leftover in closable if leftover.kind == "group" and ArmId(leftover.id) in used_groups]
    for group in used:
        builder.leave_alone(group.id, group.name, "something in it is left alone")
    return [leftover for leftover in closable if leftover not in used]


def _propose(
    plans: Mapping[ArmId, Plan],
    items: Mapping[ArmId, Sequence[Item]],
    closing: Sequence[Leftover],
    builder: RunbookBuilder,
) -> None:
    """Take in the steps of each plan, then those that delete the groups, once all else is deleted."""
    parts: dict[ArmId, list[Leftover]] = {}
    for leftover in closing:
        if leftover.kind != "group":
            parts.setdefault(ArmId(leftover.plan), []).append(leftover)
    for key in sorted({*items, *parts}):
        plan = plans.get(key)
        own_parts = tuple(parts.get(key, ()))
        if plan is None or plan.product not in builder.products:
            for part in own_parts:
                builder.leave_alone(part.id, part.name, "its plan was not found: perhaps it is gone")
            continue
        sources = (plans.get(ArmId(part.source)) for part in own_parts)
        proposal = Proposal(
            kind="cleanup",
            plan=plan,
            target=None,
            items=items.get(key, ()),
            settings=builder.settings,
            avoid_regions=builder.avoided_regions,
            existing_target=next((source for source in sources if source is not None), None),
            teardown=own_parts,
        )
        builder.propose(proposal, plan)
    deletions = [step.id for step in builder.closing_steps]
    builder.closing_steps.extend(_group(leftover, deletions) for leftover in closing if leftover.kind == "group")


def _group(group: Leftover, needs: Sequence[str]) -> Step:
    """The deletion of a resource group that drkit made, once nothing is in it."""
    return Step(
        id=f"azure:{slug(group.name, group.id)}:delete",
        product="azure",
        action="delete",
        target=group.id,
        title=f"delete resource group {group.name}, when nothing is in it",
        reason=f"{group.source} made it for the time in which the region was lost",
        effect="delete",
        estimate=Estimate(5, 35.0),
        needs=tuple(needs),
        preconditions=(
            Precondition(group.id, "made-by", group.source, "ARM: resource group"),
            Precondition(group.id, "empty", True, "ARM: resource group"),
        ),
        region=group.region,
    )


def refuse_if_empty(book: Runbook) -> None:
    """RefusedError when a cleanup or failback has nothing to do: each thing with the reason why it is left alone."""
    if book.steps:
        return
    run = book.source_run
    why = "; ".join(f"{item.name}: {item.reason}" for item in book.unchanged[:6]) or "the run left nothing behind"
    raise RefusedError(
        f"there is nothing to do after {run}: {why}",
        remedy="`drkit assess`, and look again when that has changed"
        if book.kind == "cleanup"
        else f"`drkit assess`, then `drkit cleanup {run}` deletes what is left",
    )
