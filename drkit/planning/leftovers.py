"""What runs left behind, what has become of it since, and what a linked run allows to delete. Pure: runbooks and folded journals in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from drkit.model.clock import parse_time
from drkit.model.estate import Deferred, EnvironmentKey, Leftover, Snapshot, Zombie
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord, RunState
from drkit.model.runbook import Runbook


@dataclass(frozen=True)
class MovedEnvironment:
    """An environment that a run moved: which it was and under which plan, which it is now, and the machine it runs on.

    ``settled``: the run did all that it was to do for it, so what it left behind is recorded. ``proof_step``: the step that proved it.
    """

    environment: str
    name: str
    plan: str
    now: str
    now_name: str
    now_plan: str
    host: str
    proof_step: str
    settled: bool = True

    @property
    def key(self) -> EnvironmentKey:
        """The environment that it was, as ``Environment.key`` gives it."""
        return (ArmId(self.plan), ArmId(self.environment))

    @property
    def now_key(self) -> EnvironmentKey:
        """The environment that it is now."""
        return (ArmId(self.now_plan), ArmId(self.now))


def open_items(runs: Sequence[RunRecord]) -> list[Deferred]:
    """What is deferred and neither deleted by a later run nor what an environment answers as again. ``runs``: oldest first."""
    items: dict[tuple[str, str], Deferred] = {}
    by_id: dict[ArmId, set[tuple[str, str]]] = {}
    by_environment: dict[EnvironmentKey, set[tuple[str, str]]] = {}
    for record in runs:
        for move in moved(record.book, record.state):
            for key in by_environment.pop(move.now_key, ()):
                items.pop(key, None)
        for step in record.book.steps:
            if step.effect == "delete" and record.state.of(step.id).status == "done":
                for key in by_id.pop(ArmId(step.target), ()):
                    items.pop(key, None)
        for leftover, item in record.state.deferred.items():
            key = (record.run, leftover)
            items[key] = msgspec.structs.replace(item, kind=record.book.kind)
            by_id.setdefault(ArmId(leftover), set()).add(key)
            by_environment.setdefault(_environment(item), set()).add(key)
    return list(items.values())


def _environment(item: Deferred) -> EnvironmentKey:
    return (ArmId(item.behind.plan), ArmId(item.behind.environment if item.behind.kind == "record" else ""))


def moved(book: Runbook, state: RunState) -> list[MovedEnvironment]:
    """The environments that a run brought up elsewhere, as the service named them: one proof is enough.

    A run may be given up between the proof that its environment serves and the last step for it.
    """
    proofs = _proofs(book, state)
    moves = []
    for affected in book.environments:
        proof = proofs.get(affected.environment)
        if not affected.proof_step or proof is None:
            continue
        data = state.of(proof).data
        moves.append(
            MovedEnvironment(
                environment=affected.environment,
                name=affected.name,
                plan=affected.plan,
                now=str(data["id"]),
                now_name=str(data.get("name", "")),
                now_plan=str(data["plan"]),
                host=affected.host,
                proof_step=proof,
                settled=state.of(affected.proof_step).status == "done",
            )
        )
    return moves


def _proofs(book: Runbook, state: RunState) -> dict[str, str]:
    """Environment -> the last step done for it that saw it serve, and read under which plan and by which id."""
    finals = {affected.proof_step: affected.environment for affected in book.environments}
    proofs: dict[str, str] = {}
    for step in book.steps:
        environment = finals.get(step.id) or (step.environment if step.effect == "verify" else "")
        known = state.of(step.id)
        if environment and known.status == "done" and known.data.get("id") and known.data.get("plan"):
            proofs[environment] = step.id
    return proofs


def made(record: RunRecord) -> list[Leftover]:
    """What a run created for its plans, environments apart: plans, parts of them, groups. Not what the run found there."""
    created: list[Leftover] = []
    for step in record.book.steps:
        known = record.state.of(step.id)
        is_own = known.status == "done" and (known.intended or not known.data.get("found"))
        if step.effect != "create" or step.environment or not is_own:
            continue
        below_provider = step.target.lower().partition("/providers/")[2].strip("/").split("/")
        kind: Literal["plan", "part", "group"] = (
            "group" if below_provider == [""] else "plan" if len(below_provider) == 3 else "part"
        )
        created.append(
            Leftover(
                id=step.target,
                product=step.product,
                kind=kind,
                name=ArmId(step.target).name,
                plan="/".join(step.target.split("/")[:9]) if kind != "group" else "",
                region=step.region,
                proof_steps=(),
                source=record.run if kind == "group" else step.plan,
            )
        )
    return created


def advanced(snapshot: Snapshot, runs: Sequence[RunRecord]) -> Snapshot:
    """The snapshot with what journals know better: environments that came back to their plan, or stayed, under another id.

    A capture may be older than the run that brought them back; what is on their hosts now is the newer id. ``runs``: oldest first.
    """
    latest: dict[EnvironmentKey, EnvironmentKey] = {}
    origins: dict[EnvironmentKey, set[EnvironmentKey]] = {}
    for record in runs:
        for before, after in _registered(record):
            origins.get(latest.get(before, before), set()).discard(before)
            trail = {before, *origins.pop(before, ())}
            latest |= dict.fromkeys(trail, after)
            origins.setdefault(after, set()).update(trail)
    captured = {environment.key for environment in snapshot.environments}
    environments = []
    for environment in snapshot.environments:
        plan, environment_id = latest.get(environment.key, environment.key)
        is_newer = plan == environment.plan and (plan, environment_id) not in captured
        environments.append(msgspec.structs.replace(environment, id=str(environment_id)) if is_newer else environment)
    return msgspec.structs.replace(snapshot, environments=tuple(environments))


def _registered(record: RunRecord) -> Iterator[tuple[EnvironmentKey, EnvironmentKey]]:
    """What a run registered again: the environment as it was, and as it is now. Its verification may be still to come."""
    plans = {affected.environment: affected.plan for affected in record.book.environments}
    for step in record.book.steps:
        known = record.state.of(step.id)
        if step.effect in ("register", "create") and known.status == "done" and step.environment in plans:
            now, plan = str(known.data.get("id") or ""), str(step.inputs.get("plan") or "")
            if now and plan:
                yield (ArmId(plans[step.environment]), ArmId(step.environment)), (ArmId(plan), ArmId(now))
    for move in moved(record.book, record.state):
        yield move.key, move.now_key


def recorded(record: RunRecord) -> frozenset[str]:
    """The ids that a cleanup or failback linked to this run may delete: what its journal says it left behind, or created."""
    return frozenset({*record.state.deferred, *(item.id.lower() for item in made(record))})


def way_on(zombies: Sequence[Zombie]) -> str:
    """What to type about records that are alive again: the failback first, or the cleanup; empty for none."""
    first = next((zombie for zombie in zombies if zombie.state == "alive" and zombie.run), None)
    if first is None:
        return ""
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
