"""What a run left behind -> the runbook that deletes it, by id, where it is confirmed elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from drkit.errors import RefusedError, UsageError
from drkit.model.cloud import CloudMark
from drkit.model.estate import Assessment, Deferred, Environment, Leftover, Plan, Snapshot, Zombie
from drkit.model.ids import slug
from drkit.model.runbook import Estimate, LeftAlone, Precondition, Runbook, Step
from drkit.model.settings import Settings
from drkit.planning.failover import guarded, sound, waves
from drkit.planning.proposal import Item, Proposal, Proposer

ANSWERING = frozenset({"answering", "degraded"})
WORK = {
    "unpushed": "it holds work that was not pushed",
    "unknown": "whether it holds work that was not pushed is not known",
}


def cleanup(
    snapshot: Snapshot,
    assessment: Assessment,
    settings: Settings,
    products: Mapping[str, Proposer],
    *,
    run: str,
    deferred: Sequence[Deferred],
    made: Sequence[Leftover],
    recorded: Collection[str],
    snapshot_digest: str,
    of_assessment: str,
    cloud: CloudMark,
    version: str,
    discard: Mapping[str, str] | None = None,
    runs: Collection[str] = (),
) -> Runbook:
    """The cleanup after ``run``, and after those that it replaced, ``runs``.

    ``deferred`` is what of its records is open still, ``made`` what it created itself.

    ``discard``: names or ids of environments whose unpushed work may go, with the reason. UsageError for one that is none of these.
    """
    plans = {plan.id.lower(): plan for plan in (*snapshot.plans, *assessment.present_plans)}
    zombies = {one.id.lower(): one for one in assessment.zombies if one.run in {run, *runs}}
    states = {one.plan.lower(): one.state for one in assessment.plans}
    thrown = _discarded(discard or {}, deferred)
    left: list[LeftAlone] = []
    items: dict[str, list[Item]] = {}
    sources: dict[str, str] = {}
    held: set[str] = set()
    for one in sorted(deferred, key=lambda item: (item.behind.name.lower(), item.behind.id)):
        behind = one.behind
        if behind.kind != "record":
            continue
        zombie = zombies.get(behind.id.lower())
        why, remedy = _against(one, zombie, states, thrown, run)
        if why or zombie is None or zombie.found is None:
            left.append(LeftAlone(behind.id, behind.name, why, remedy))
            if zombie is None or zombie.state == "alive":
                held.add(behind.plan.lower())
            continue
        items.setdefault(behind.plan.lower(), []).append(_item(zombie, plans, thrown))
        sources[behind.plan] = behind.region
        if other := plans.get(one.now_plan.lower()):
            sources[other.id] = other.region
    closing = [one.behind for one in deferred if one.behind.kind != "record"]
    known = {one.id.lower() for one in closing}
    closing.extend(one for one in made if one.id.lower() not in known)
    closable, still = _closable(closing, held, items, assessment)
    left.extend(still)
    for item in closable:
        if item.plan:
            sources[item.plan] = item.region
        if item.kind == "plan" and (source := plans.get(item.source.lower())):
            sources[source.id] = source.region
    return _book(
        plans,
        items,
        closable,
        settings,
        products,
        left,
        run=run,
        sources=sources,
        recorded=recorded,
        thrown=thrown,
        lost=frozenset(assessment.lost_regions),
        marks=(snapshot_digest, of_assessment, cloud, version),
    )


def _discarded(discard: Mapping[str, str], deferred: Sequence[Deferred]) -> dict[str, str]:
    """Record id in lower case -> why its unpushed work may go."""
    found: dict[str, str] = {}
    for name, reason in discard.items():
        ids = [
            one.behind.id.lower()
            for one in deferred
            if name.lower() in (one.behind.name.lower(), one.behind.id.lower(), one.behind.environment.lower())
        ]
        if len(ids) != 1:
            known = ", ".join(sorted({one.behind.name for one in deferred if one.behind.kind == "record"})) or "nothing"
            raise UsageError(
                f"{name!r} is {'more than one record' if ids else 'no record'} that this run left behind",
                where="--discard",
                remedy=f"one of: {known}",
            )
        found[ids[0]] = reason
    return found


def _against(
    one: Deferred, zombie: Zombie | None, states: Mapping[str, str], thrown: Mapping[str, str], run: str
) -> tuple[str, str]:
    """Why a record is not deleted, and what would change that; empty when nothing is in the way."""
    plan = one.behind.plan.rsplit("/", 1)[-1]
    state = states.get(one.behind.plan.lower(), "answering")
    if zombie is None or state not in ANSWERING:
        word = "could not be read" if state in ANSWERING else f"is {state}"
        return f"{plan} {word}: nothing of it is touched", "drkit assess, when it answers again"
    if zombie.state == "gone":
        return zombie.reason, ""
    if zombie.two_plans:
        return f"{zombie.reason}: a person decides which of them it is", "look at the host, then drkit assess"
    if not zombie.confirmed or zombie.found is None:
        return f"{zombie.reason}: it is not confirmed elsewhere", "drkit assess, when it answers there"
    risk = zombie.found.data_at_risk
    if zombie.found.kind == "managed" and risk != "pushed" and one.behind.id.lower() not in thrown:
        return (
            f"{WORK[risk]}: its owner pushes it first, or says that it may go",
            f"drkit cleanup {run} --discard {one.behind.name} --reason TEXT",
        )
    return "", ""


def _item(zombie: Zombie, plans: Mapping[str, Plan], thrown: Mapping[str, str]) -> Item:
    found, reason = zombie.found, thrown.get(zombie.id.lower(), "")
    if found is None:
        raise AssertionError(zombie.id)
    text = f"{zombie.reason}; its unpushed work may go: {reason}" if reason else zombie.reason
    return Item(
        environment=found,
        disposition="discard" if reason else "delete",
        reason=text,
        record=zombie.id,
        other=zombie.now,
        other_plan=plans.get(zombie.now_plan.lower()),
    )


def _closable(
    closing: Sequence[Leftover], held: Collection[str], items: Mapping[str, Sequence[Item]], assessment: Assessment
) -> tuple[list[Leftover], list[LeftAlone]]:
    """Of what drkit made, what will be empty once the records are deleted, and why the rest stays."""
    going = {(key, item.environment.id.lower()) for key, mine in items.items() for item in mine}
    staying: dict[str, list[Environment]] = {}
    for there in assessment.present:
        if (there.plan.lower(), there.id.lower()) not in going:
            staying.setdefault(there.plan.lower(), []).append(there)
    kept: list[Leftover] = []
    left: list[LeftAlone] = []
    for one in closing:
        mine = staying.get(one.plan.lower(), []) if one.plan else []
        if mine:
            left.append(LeftAlone(one.id, one.name, f"it is in use: {len(mine)} environments are there", ""))
        elif one.plan.lower() in held:
            left.append(LeftAlone(one.id, one.name, "records of it are left alone", ""))
        else:
            kept.append(one)
    busy = {"/".join(one.subject.lower().split("/")[:5]) for one in left}
    stay = [one for one in kept if one.kind == "group" and one.id.lower() in busy]
    left.extend(LeftAlone(one.id, one.name, "something in it is left alone", "") for one in stay)
    return [one for one in kept if one not in stay], left


def _book(
    plans: Mapping[str, Plan],
    items: Mapping[str, Sequence[Item]],
    closing: Sequence[Leftover],
    settings: Settings,
    products: Mapping[str, Proposer],
    left: list[LeftAlone],
    *,
    run: str,
    sources: dict[str, str],
    recorded: Collection[str],
    thrown: Mapping[str, str],
    lost: frozenset[str],
    marks: tuple[str, str, CloudMark, str],
) -> Runbook:
    steps: list[Step] = []
    last: list[Step] = []
    parts = [one for one in closing if one.kind != "group"]
    wanted = dict.fromkeys((*items, *(one.plan.lower() for one in parts)))
    for key in sorted(wanted):
        plan = plans.get(key)
        mine = tuple(one for one in parts if one.plan.lower() == key)
        if plan is None or plan.product not in products:
            left.extend(LeftAlone(one.id, one.name, "its plan was not found: perhaps it is gone", "") for one in mine)
            continue
        source = next((plans[one.source.lower()] for one in mine if one.source.lower() in plans), None)
        proposal = Proposal(
            kind="cleanup",
            plan=plan,
            target=None,
            items=items.get(key, ()),
            settings=settings,
            lost=lost,
            standing=source,
            closing=mine,
        )
        proposed = sound(products[plan.product].propose(proposal), plan, products)
        for chain in waves(proposed.chains, settings):
            steps.extend(chain.steps)
        last.extend(proposed.closing)
        left.extend(proposed.unchanged)
    steps.extend(last)
    for one in closing:
        if one.kind == "group":
            steps.append(_group(one, [step.id for step in last]))
    snapshot_digest, of_assessment, cloud, version = marks
    book = Runbook(
        kind="cleanup",
        unchanged=tuple(left),
        cloud=cloud,
        drkit_version=version,
        notes=tuple(f"unpushed work that may go: {key}: {reason}" for key, reason in sorted(thrown.items())),
        of_assessment=of_assessment,
        source_run=run,
        snapshot_digest=snapshot_digest,
        source_plans=dict(sorted(sources.items())),
        steps=tuple(steps),
    )
    return guarded(book, products, settings, lost, {}, recorded)


def _group(one: Leftover, needs: Sequence[str]) -> Step:
    """The deletion of a resource group that drkit made, once nothing is in it."""
    return Step(
        id=f"azure:{slug(one.name, one.id)}:delete",
        product="azure",
        action="delete",
        target=one.id,
        title=f"delete resource group {one.name}, when nothing is in it",
        reason=f"{one.source} made it for the time in which the region was lost",
        effect="delete",
        estimate=Estimate(5, 35.0),
        needs=tuple(needs),
        preconditions=(
            Precondition(one.id, "made-by", one.source, "ARM: resource group"),
            Precondition(one.id, "empty", True, "ARM: resource group"),
        ),
        region=one.region,
    )


def nothing(book: Runbook, run: str) -> None:
    """RefusedError when a cleanup or failback has nothing to do: each thing with the reason why it is left alone."""
    if not book.steps:
        why = "; ".join(f"{one.name}: {one.reason}" for one in book.unchanged[:6]) or "the run left nothing behind"
        raise RefusedError(
            f"there is nothing to do after {run}: {why}",
            remedy="`drkit assess`, and look again when that has changed"
            if book.kind == "cleanup"
            else f"`drkit assess`, then `drkit cleanup {run}` deletes what is left",
        )
