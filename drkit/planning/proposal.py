"""What passes between the planner and a product's pure half."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from drkit.model.actions import Actions
from drkit.model.estate import Environment, Host, Leftover, Plan, RoleAssignment
from drkit.model.ids import ArmId
from drkit.model.runbook import Affected, LeftAlone, RunbookKind, Step
from drkit.model.settings import Settings

TAG_SOURCE = "drkit-source"
TAG_TARGET = "drkit-target"


@dataclass(frozen=True)
class Need:
    """What environments ask of a region: SKU names, and cores (None: this product cannot tell)."""

    skus: frozenset[str] = frozenset()
    cores: int | None = None


@dataclass(frozen=True)
class Target:
    """Where a lost plan goes: the group (there already, or to be made by ``group_step``) and the plan's new name and id."""

    region: str
    subscription: str
    group: str
    group_step: str
    plan_name: str
    plan_id: str
    plan_exists: bool


@dataclass(frozen=True)
class Item:
    """One environment and what is to become of it: ``disposition`` is a word of the planner's table.

    In a cleanup the environment is the old record, ``record_id`` the id it is deleted by, and ``replacement`` the environment that
    answers in its place, under ``replacement_plan``. In a failback ``before_move`` is the environment as it was under the plan it goes
    back to, and ``record_id`` and ``old_record`` are its record there, if that is alive.
    """

    environment: Environment
    disposition: str
    reason: str
    host: Host | None = None
    verdict: str = ""
    confidence: str = ""
    channel: str = ""
    record_id: str = ""
    replacement: Environment | None = None
    replacement_plan: Plan | None = None
    before_move: Environment | None = None
    old_record: Environment | None = None


@dataclass(frozen=True)
class Proposal:
    """What a product is asked to propose steps for.

    ``target`` is None in a repair (the plan stays). ``names_in_use``: the names of the plan's environments, in lower case.
    ``graceful``: the plan is left while it still answers. ``avoid_regions``: regions that nothing is written to. ``existing_target``:
    the plan that is the target, if it exists already; in a cleanup, the plan that what is deleted was made for.

    ``teardown``: in a cleanup, what drkit made and nothing needs any more: the plan itself and parts of it. ``stale_records``: records
    that an earlier run left behind under the target, id -> name.
    """

    kind: RunbookKind
    plan: Plan
    target: Target | None
    items: Sequence[Item]
    settings: Settings
    grants: tuple[RoleAssignment, ...] = ()
    names_in_use: frozenset[str] = frozenset()
    graceful: bool = False
    avoid_regions: frozenset[str] = frozenset()
    existing_target: Plan | None = None
    teardown: tuple[Leftover, ...] = ()
    stale_records: Mapping[str, str] = field(default_factory=dict)

    @property
    def stale_names(self) -> frozenset[str]:
        """The names of such records, in lower case."""
        return frozenset(name.lower() for name in self.stale_records.values())


def identity_change(proposal: Proposal) -> dict[str, Any]:
    """For the inputs of the step that verifies a plan: whose identity ends there, what it holds, and who holds what on its plan.

    A step that notes ``principal`` in its result completes it; ``results.identities`` reports both. Nothing where no grants are
    concerned.
    """
    plan, target, existing = proposal.plan, proposal.target, proposal.existing_target
    if target is None:
        return {}
    was = str((plan.properties.get("identity") or {}).get("principalId") or "")
    held = {_grant(grant) for grant in (existing.properties.get("identityGrants") or () if existing else ())}
    grants = [grant for grant in plan.properties.get("identityGrants") or () if _grant(grant) not in held]
    known = {(grant.role.lower(), grant.principal.lower()) for grant in existing.grants} if existing else set()
    on_plan = [
        {"scope": grant.scope, "role": grant.role, "principal": grant.principal}
        for grant in proposal.grants or plan.grants
        if (grant.role.lower(), grant.principal.lower()) not in known
    ]
    if not was and not on_plan:
        return {}
    unread = bool(was) and "identityGrants" not in plan.properties
    return {"identity": {"plan": plan.id, "was": was, "grants": grants, "on_plan": on_plan, "unread": unread}}


def _grant(grant: Mapping[str, str]) -> tuple[str, str]:
    return (grant["scope"].lower(), grant["role"].lower())


def granted_again(proposal: Proposal) -> list[LeftAlone]:
    """Grants on the plan that do not go with it, each with the command that makes it again on the target."""
    plan, scope = proposal.plan, shlex.quote(proposal.target.plan_id) if proposal.target else ""
    return [
        LeftAlone(
            plan.id,
            plan.name,
            f"grant of {grant.role} to {grant.principal} on {grant.scope} must be made again",
            f"az role assignment create --assignee {shlex.quote(grant.principal)} --role {shlex.quote(grant.role)} --scope {scope}",
        )
        for grant in proposal.grants
    ]


def made_for(plan: Plan, candidates: Sequence[Plan]) -> list[Plan]:
    """The plans of its subscription that drkit made for ``plan``, as their tags say; only a journal proves it."""
    subscription = plan.subscription.lower()
    return [
        candidate
        for candidate in candidates
        if plan.key == candidate.tags.get(TAG_SOURCE, "") and candidate.subscription.lower() == subscription
    ]


def replica_of(plan: str, replicas: Mapping[str, str]) -> str:
    """The ARM id that ``replicas`` of a product gives for a plan, by the plan's ARM id or else its name; empty without one."""
    replica_by_source = {source.lower(): replica for source, replica in replicas.items()}
    return replica_by_source.get(plan.lower()) or replica_by_source.get(ArmId(plan).name.lower()) or ""


def spare_names(name: str, taken: Collection[str]) -> Iterator[str]:
    """What an environment is called where its own name is held: ``name-2`` and on, without those ``taken`` (in lower case)."""
    return (spare for number in count(2) if (spare := f"{name}-{number}").lower() not in taken)


@dataclass(frozen=True)
class Chain:
    """The steps for one environment, in order, whether a person must act in them, and which of its records stay behind."""

    affected: Affected
    steps: tuple[Step, ...]
    needs_person: bool
    leftovers: tuple[Leftover, ...] = ()


@dataclass(frozen=True)
class Proposed:
    """The steps for the plan itself, one chain an environment, what cannot be carried over, and the scripts used.

    ``teardown``: the steps of a cleanup that come after all chains and need every one of them.
    """

    plan_steps: tuple[Step, ...] = ()
    chains: tuple[Chain, ...] = ()
    unchanged: tuple[LeftAlone, ...] = ()
    notes: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    teardown: tuple[Step, ...] = ()


def record_behind(product: str, record: str, item: Item, plan: Plan, final: str) -> Leftover:
    """An environment's record that stays behind under a plan once the step ``final`` is done."""
    return Leftover(
        id=record,
        product=product,
        kind="record",
        name=item.environment.name,
        plan=plan.id,
        region=plan.region,
        proof_steps=(final,),
        environment=item.environment.id,
        host=item.host.id if item.host else "",
    )


class Proposer(Protocol):
    """The pure half of a product. ``actions``: what each of its steps may do; a step that breaks it is refused wherever it is read."""

    name: str
    plan_types: tuple[str, ...]
    regions: tuple[str, ...]
    actions: Actions

    def need(self, environments: Sequence[Environment]) -> Need:
        """What these environments ask of a target region."""
        ...

    def propose(self, proposal: Proposal) -> Proposed:
        """The steps that bring this plan and these environments up where the proposal says."""
        ...

    def plan_limit(self, settings: Settings) -> int:
        """How many plans a subscription may have; 0 when there is no known limit."""
        ...

    def stand_ins(self, plan: Plan, candidates: Sequence[Plan], settings: Settings) -> Sequence[Plan]:
        """Which of these plans may take over from that one: made for it by an earlier run, or prepared by its owners."""
        ...
