"""What runs left behind, what has become of it since, and what a linked run allows to delete. Pure: runbooks and folded journals in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from drkit.model.clock import parse_time
from drkit.model.estate import Deferred, Leftover, Snapshot, Zombie
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord, RunState
from drkit.model.runbook import Runbook


@dataclass(frozen=True)
class MovedEnvironment:
    """An environment that a run moved: which it was and under which plan, which it is now, and the machine it runs on.

    ``settled``: the run did all that it was to do for it, so what it left behind is recorded. ``final``: the step that tells.
    """

    environment: str
    name: str
    plan: str
    now: str
    now_name: str
    now_plan: str
    host: str
    final: str
    settled: bool = True


def open_items(told: Sequence[RunRecord]) -> list[Deferred]:
    """What is deferred and neither deleted by a later run nor what an environment answers as again. ``told``: oldest first."""
    found: dict[tuple[str, str], Deferred] = {}
    for one in told:
        for done in moved(one.book, one.state):
            back = (done.now_plan.lower(), done.now.lower())
            found = {key: kept for key, kept in found.items() if _environment(kept) != back}
        for step in one.book.steps:
            if step.effect == "delete" and one.state.of(step.id).status == "done":
                found = {key: kept for key, kept in found.items() if key[1] != step.target.lower()}
        for key, kept in one.state.deferred.items():
            found[(one.run, key)] = msgspec.structs.replace(kept, kind=one.book.kind)
    return list(found.values())


def _environment(one: Deferred) -> tuple[str, str]:
    return (one.behind.plan.lower(), one.behind.environment.lower() if one.behind.kind == "record" else "")


def moved(book: Runbook, state: RunState) -> list[MovedEnvironment]:
    """The environments that a run brought up elsewhere, as the service named them: one proof is enough.

    A run may be given up between the proof that its environment serves and the last step for it.
    """
    proofs = _proofs(book, state)
    found = []
    for one in book.environments:
        proof = proofs.get(one.environment)
        if not one.final or proof is None:
            continue
        data = state.of(proof).data
        found.append(
            MovedEnvironment(
                environment=one.environment,
                name=one.name,
                plan=one.plan,
                now=str(data["id"]),
                now_name=str(data.get("name", "")),
                now_plan=str(data["plan"]),
                host=one.host,
                final=proof,
                settled=state.of(one.final).status == "done",
            )
        )
    return found


def _proofs(book: Runbook, state: RunState) -> dict[str, str]:
    """Environment -> the last step done for it that saw it serve, and read under which plan and by which id."""
    finals = {one.final: one.environment for one in book.environments}
    found: dict[str, str] = {}
    for step in book.steps:
        environment = finals.get(step.id) or (step.environment if step.effect == "verify" else "")
        known = state.of(step.id)
        if environment and known.status == "done" and known.data.get("id") and known.data.get("plan"):
            found[environment] = step.id
    return found


def made(one: RunRecord) -> list[Leftover]:
    """What a run created for its plans, which is no environment: plans, parts of them, groups. Not what it found there."""
    found: list[Leftover] = []
    for step in one.book.steps:
        known = one.state.of(step.id)
        there = known.status == "done" and (known.intended or not known.data.get("found"))
        if step.effect != "create" or step.environment or not there:
            continue
        inside = step.target.lower().partition("/providers/")[2].strip("/").split("/")
        kind: Literal["plan", "part", "group"] = "group" if inside == [""] else "plan" if len(inside) == 3 else "part"
        plan = "/".join(step.target.split("/")[:9]) if kind != "group" else ""
        found.append(
            Leftover(
                id=step.target,
                product=step.product,
                kind=kind,
                name=step.target.rsplit("/", 1)[-1],
                plan=plan,
                region=step.region,
                finals=(),
                source=one.run if kind == "group" else step.plan,
            )
        )
    return found


def advanced(snapshot: Snapshot, told: Sequence[RunRecord]) -> Snapshot:
    """The snapshot with what journals know better: environments that came back to their plan, or stayed, under another id.

    A capture may be older than the run that brought them back; what is on their hosts now is the newer id.
    """
    trail: dict[tuple[str, str], tuple[str, str]] = {}
    for one in told:
        for key, now in _registered(one):
            for start, at in list(trail.items()):
                if (at[0].lower(), at[1].lower()) == key:
                    trail[start] = now
            trail[key] = now
    known = {(one.plan.lower(), one.id.lower()) for one in snapshot.environments}
    environments = []
    for item in snapshot.environments:
        plan, now_id = trail.get((item.plan.lower(), item.id.lower()), ("", ""))
        newer = ArmId(plan) == item.plan and (item.plan.lower(), now_id.lower()) not in known
        environments.append(msgspec.structs.replace(item, id=now_id) if newer else item)
    return msgspec.structs.replace(snapshot, environments=tuple(environments))


def _registered(one: RunRecord) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """What a run registered anew: (plan, environment) in lower case -> (plan, id) now. Its verification may be to come."""
    plans = {item.environment: item.plan for item in one.book.environments}
    for step in one.book.steps:
        known = one.state.of(step.id)
        if step.effect in ("register", "create") and known.status == "done" and step.environment in plans:
            now, plan = str(known.data.get("id") or ""), str(step.inputs.get("plan") or "")
            if now and plan:
                yield (plans[step.environment].lower(), step.environment.lower()), (plan, now)
    for done in moved(one.book, one.state):
        yield (done.plan.lower(), done.environment.lower()), (done.now_plan, done.now)


def recorded(one: RunRecord) -> frozenset[str]:
    """The ids that a cleanup or failback linked to this run may delete: what its journal says it left behind, or created."""
    return frozenset({*one.state.deferred, *(item.id.lower() for item in made(one))})


def way_on(zombies: Sequence[Zombie]) -> str:
    """What to type about records that are alive again: the way back first, or the cleanup; empty for none."""
    alive = [one for one in zombies if one.state == "alive" and one.run]
    if not alive:
        return ""
    first = alive[0]
    if first.run_kind == "failover":
        return f"`drkit failback {first.run}` goes back, `drkit cleanup {first.run}` stays and deletes what is left"
    return f"`drkit cleanup {first.run}` deletes what is left"


def created_for(runs: Iterable[RunRecord]) -> dict[str, str]:
    """What these runs made for a lost plan and no later run deleted: its id -> the id of that plan.

    Both are in lower case. ``runs``: oldest first.
    """
    plans: dict[str, str] = {}
    for run in runs:
        for step in run.book.steps:
            if run.state.of(step.id).status != "done":
                continue
            target = step.target.lower()
            if step.effect == "create" and step.plan:
                plans[target] = step.plan.lower()
            elif step.effect == "delete":
                plans.pop(target, None)
    return plans


def since_snapshot(runs: Iterable[RunRecord], newest: Snapshot) -> str:
    """A sentence about the last failback that ended after this snapshot, which shows things as they were before; or empty."""
    taken = parse_time(newest.taken)
    backs = [
        run for run in runs if run.book.kind == "failback" and run.state.ended and parse_time(run.state.ended) > taken
    ]
    return f"{backs[-1].run} brought back what snapshot {newest.generation} knows otherwise" if backs else ""
