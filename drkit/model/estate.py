"""What drkit looks after, and what was seen of it: plans, environments, hosts; snapshots, readings, assessments.

Pure values, written as JSON by ``store``. Times are RFC 3339 in UTC, ids full ARM ids in the case Azure gave them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from drkit.model.clock import time_faults
from drkit.model.cloud import CloudMark
from drkit.model.ids import ArmId

CaptureState = Literal["complete", "partial", "failed"]
HostKind = Literal["azure-vm", "arc", "physical"]
EnvironmentKind = Literal["managed", "self-hosted"]
Risk = Literal["pushed", "unpushed", "unknown"]
PlanState = Literal["answering", "degraded", "unreachable", "lost", "gone", "unknown"]
Channel = Literal["", "run-command", "ssh", "manual"]
EnvironmentKey = tuple[ArmId, ArmId]
"""A plan's id, and the environment's id in its product: neither is compared by case."""
LISTING = "/environments"
"""Added to a plan's id: the subject of a capture that could not read all of its environments."""
LONGEST_REGION = 60
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
PLAN_ID = re.compile(r"(?is)/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+(/[^/]+/[^/]+)+/?")


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing observed: about whom, which signal, its value, where it was read, and when (RFC 3339)."""

    subject: str
    signal: str
    value: Any
    source: str
    time: str
    detail: str = ""

    @property
    def key(self) -> ArmId:
        """What the reading is about, to compare and look it up by."""
        return ArmId(self.subject)


class Capture(msgspec.Struct, frozen=True):
    """How the reading of one subject from one source went, and when."""

    subject: str
    source: str
    state: CaptureState
    time: str
    detail: str = ""

    @property
    def key(self) -> ArmId:
        """What was captured, to compare and look it up by."""
        return ArmId(self.subject)


class Registration(msgspec.Struct, frozen=True):
    """A registration found on a host's disk by the probe."""

    product: str
    id: str
    user: str = ""
    path: str = ""


class ArmIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ARM says identifies a machine. For Arc ``instance_id`` is the machine's ``vmUuid``."""

    instance_id: str = ""
    created: str = ""
    os_disk: str = ""
    os_disk_unique_id: str = ""
    network_interfaces: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    ephemeral_os_disk: bool = False
    principal_id: str = ""


class GuestIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the probe read inside a machine; ``None`` is unknown, never "same"."""

    machine_id: str | None = None
    boot_id: str | None = None
    smbios_uuid: str | None = None
    physical_host: str | None = None
    hostname: str | None = None
    ssh_host_keys: tuple[str, ...] | None = None
    macs: tuple[str, ...] | None = None
    imds: dict[str, Any] | None = None
    registrations: tuple[Registration, ...] | None = None


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True):
    """What identified a host when the snapshot was taken; the times say when each half was read."""

    arm: ArmIdentity | None = None
    arm_time: str = ""
    guest: GuestIdentity | None = None
    guest_time: str = ""


class Host(msgspec.Struct, frozen=True):
    """A machine. ``id`` is its ARM id, or a plain name for one that ARM does not know."""

    id: str
    kind: HostKind
    name: str
    region: str = ""
    group_region: str = ""
    os: Literal["linux", "windows", ""] = ""
    channel: Channel = ""
    baseline: Baseline = Baseline()

    @property
    def key(self) -> ArmId:
        """Its id, to compare and look it up by."""
        return ArmId(self.id)


class HostLink(msgspec.Struct, frozen=True):
    """Which host an environment runs on, and who says so (``probe``, ``settings``, ``api``)."""

    host: str
    source: Literal["probe", "settings", "api"]
    user: str = ""
    workspace: str = ""
    path: str = ""

    @property
    def key(self) -> ArmId:
        """The host's id, to compare and look it up by."""
        return ArmId(self.host)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What a user opens or a service uses. ``id`` is the product's own; ``plan`` the ARM id it is registered with."""

    id: str
    product: str
    plan: str
    name: str
    kind: EnvironmentKind
    state: str = ""
    owner: str = ""
    repository: str = ""
    branch: str = ""
    sku: str = ""
    workspace: str = ""
    data_at_risk: Risk = "unknown"
    last_used: str = ""
    settings: dict[str, Any] = {}
    host: HostLink | None = None
    host_dispute: str = ""

    @property
    def key(self) -> EnvironmentKey:
        """What no other environment of the estate has: its plan and its own id."""
        return (ArmId(self.plan), ArmId(self.id))

    @property
    def plan_key(self) -> ArmId:
        """Its plan's id, to compare and look it up by."""
        return ArmId(self.plan)


class RoleAssignment(msgspec.Struct, frozen=True):
    """A grant on a plan or its group, to be made again by hand in the target region."""

    scope: str
    role: str
    principal: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A region-bound Azure resource that environments are registered with."""

    id: str
    product: str
    name: str
    region: str
    subscription: str
    resource_group: str
    group_region: str = ""
    tags: dict[str, str] = {}
    sku: dict[str, Any] | None = None
    properties: dict[str, Any] = {}
    grants: tuple[RoleAssignment, ...] = ()
    captured: str = ""

    @property
    def key(self) -> ArmId:
        """Its id, to compare and look it up by."""
        return ArmId(self.id)


class Leftover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a runbook leaves behind: its id, under which plan, and the steps (``proof_steps``) that prove it is no longer needed there.

    ``record``: an environment's old record; ``plan``, ``part`` (of a plan) and ``group``: what drkit made for a while. ``source``:
    the plan it was made for.
    """

    id: str
    product: str
    kind: Literal["record", "plan", "part", "group"]
    name: str
    plan: str
    region: str
    proof_steps: tuple[str, ...] = msgspec.field(name="finals")
    environment: str = ""
    host: str = ""
    source: str = ""


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left behind for a cleanup, by the journal; ``now``: the environment that answers in its stead, and its plan."""

    behind: Leftover
    run: str
    when: str
    kind: str = ""
    now: str = ""
    now_name: str = ""
    now_plan: str = ""


class Location(msgspec.Struct, frozen=True):
    """A region: its ARM name, the name people and Service Health use, and its pair."""

    name: str
    display_name: str
    paired: str = ""


class Snapshot(msgspec.Struct, kw_only=True, frozen=True):
    """The estate as captured: what this capture read, and, for what it could not read, what the last complete one knew.

    ``subscriptions``: those it was asked for; empty: every one the identity saw. ``unseen``: what nobody could look at, in words.
    """

    drkit: str = "snapshot/1"
    cloud: CloudMark = msgspec.field(name="made_against")
    taken: str
    generation: int = 0
    plans: tuple[Plan, ...] = ()
    environments: tuple[Environment, ...] = ()
    hosts: tuple[Host, ...] = ()
    captures: tuple[Capture, ...] = ()
    locations: tuple[Location, ...] = ()
    flags: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class Claim(msgspec.Struct, frozen=True):
    """What Microsoft, or a person who takes responsibility, says about a region."""

    region: str
    kind: Literal["service-health", "emerging-issue", "declaration"]
    id: str
    since: str
    text: str
    who: str
    services: tuple[str, ...] = ()


class Statement(msgspec.Struct, frozen=True):
    """A status that is shown and claims nothing: informational, a false positive, another service, resolved."""

    region: str
    id: str
    text: str
    why_not: str
    time: str


class Advice(msgspec.Struct, frozen=True):
    """Wait or move, in minutes: the expected wait still to come against the forecast of the move, and what was assumed."""

    advice: Literal["wait", "move", "nothing"]
    wait_minutes: float
    move_minutes: float
    reason: str
    assumed: tuple[str, ...] = ()


class PlanFinding(msgspec.Struct, frozen=True):
    """How a plan is, why, since when, and what to do about it. ``failing_since``: first failed reading since it last answered."""

    plan: str
    state: PlanState
    reason: str
    failing_since: str = ""
    advice: Advice | None = None
    readings: tuple[Reading, ...] = ()

    @property
    def key(self) -> ArmId:
        """The plan's id, to compare and look it up by."""
        return ArmId(self.plan)


class HostFinding(msgspec.Struct, frozen=True):
    """What happened to a host since its baseline. ``successor`` is the machine that carries on, where one was proved."""

    host: str
    outcome: str
    confidence: str
    rule: int
    reason: str = ""
    notes: tuple[str, ...] = ()
    signals: dict[str, Any] = {}
    readings: tuple[Reading, ...] = ()
    successor: str = ""
    found: Host | None = None

    @property
    def key(self) -> ArmId:
        """The host's id, to compare and look it up by."""
        return ArmId(self.host)


class TargetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the way, or already there, in one target region for one subscription and product."""

    product: str
    subscription: str
    region: str
    answering: bool | None = None
    provider: str = ""
    offered: bool | None = None
    skus: tuple[str, ...] | None = None
    cores_left: int | None = None
    plans_in_subscription: int | None = None
    group: str = ""
    groups: dict[str, str] = {}
    refusals: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()


class Zombie(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a run left behind, as its plan has it now that it can be read again.

    ``found``: the record; ``now``: the environment that answers in its stead, where its plan lists it. ``confirmed``: that one
    answers, and nothing answers to the old record. ``run`` is empty where only a host was seen answering to two plans.
    """

    id: str
    product: str
    name: str
    plan: str
    region: str
    state: Literal["alive", "gone"]
    reason: str
    confirmed: bool = False
    two_plans: bool = False
    environment: str = ""
    host: str = ""
    run: str = ""
    run_kind: str = ""
    found: Environment | None = None
    now: Environment | None = None
    now_plan: str = ""

    @property
    def environment_key(self) -> EnvironmentKey:
        """The environment whose record it was, as ``Environment.key`` gives it."""
        return (ArmId(self.plan), ArmId(self.environment))


UNLISTED = "unlisted"
"""The value of a reading of what a host carries, where its plan does not list it any more."""


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a host of the baseline carries now instead of the registration it had: a finding, and no verdict about the host.

    ``another``: whose registration it is instead (an address, or an environment's id); empty: it carries none, or its plan does not
    list it any more, whatever it carries.
    """

    environment: str
    name: str
    plan: str
    host: str
    reading: Reading
    another: str = ""

    @property
    def words(self) -> str:
        """As one sentence without its full stop."""
        home = ArmId(self.plan).name
        if self.another:
            return f"{self.name} carries another registration than that of {home}: {self.another}"
        if self.unlisted:
            return f"{home} does not list {self.name} any more"
        return f"{self.name} carries no registration any more, and had that of {home}"

    @property
    def unlisted(self) -> bool:
        """Whether it is missing from its plan's list; what its host carries was not read then."""
        return bool(self.reading.value == UNLISTED)


class Assessment(msgspec.Struct, kw_only=True, frozen=True):
    """Everything the planner may know of the night: plan states, verdicts, claims, and the facts of the target regions.

    ``assumed``: nobody observed it; a region was taken for lost, to see what would happen.
    """

    drkit: str = "assessment/1"
    cloud: CloudMark = msgspec.field(name="made_against")
    taken: str
    generation: int = 0
    snapshot_digest: str = msgspec.field(name="of_snapshot", default="")
    lost_regions: tuple[str, ...] = ()
    plans: tuple[PlanFinding, ...] = ()
    hosts: tuple[HostFinding, ...] = ()
    claims: tuple[Claim, ...] = ()
    statements: tuple[Statement, ...] = ()
    targets: tuple[TargetFacts, ...] = ()
    present: tuple[Environment, ...] = ()
    present_plans: tuple[Plan, ...] = ()
    witnesses: tuple[Reading, ...] = ()
    unread: tuple[str, ...] = ()
    zombies: tuple[Zombie, ...] = ()
    carried: tuple[Carried, ...] = ()
    assumed: bool = False

    @property
    def blind(self) -> bool:
        """Whether nothing can be said: no plan's state is known, or ARM answered for none of them."""
        if not self.plans:
            return bool(self.unread) and all(finding.outcome == "undetermined" for finding in self.hosts)
        arm = [reading.value for finding in self.plans for reading in finding.readings if reading.signal == "arm"]
        return all(finding.state == "unknown" for finding in self.plans) or (
            bool(arm) and all(value == "unreachable" for value in arm)
        )


def encode(value: msgspec.Struct) -> bytes:
    """A snapshot or assessment as its file's bytes: the marker first, readable, one final newline."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


def digest(content: bytes) -> str:
    """The sha256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def region_name(text: str) -> str:
    """A region by its ARM name: ``West Europe`` and ``WestEurope`` are ``westeurope``."""
    return "".join(text.split()).lower()


def is_region(name: str) -> bool:
    """Whether a text looks like a region's ARM name, and so may become part of a host name or of a path."""
    return len(name) <= LONGEST_REGION and _REGION.fullmatch(name) is not None


def faults_of(value: Snapshot | Assessment) -> list[str]:
    """What of a snapshot or assessment cannot be used, with its place: times, regions and ids, and references that lead nowhere."""
    faults = _snapshot_faults(value) if isinstance(value, Snapshot) else _assessment_faults(value)
    return time_faults("taken", value.taken) + faults


def _assessment_faults(value: Assessment) -> list[str]:
    faults: list[str] = []
    for number, finding in enumerate(value.plans):
        if finding.failing_since:
            faults += time_faults(f"plans[{number}].failing_since", finding.failing_since)
    for number, claim in enumerate(value.claims):
        faults += time_faults(f"claims[{number}].since", claim.since)
    named = [(f"lost_regions[{n}]", region) for n, region in enumerate(value.lost_regions)]
    named += [(f"targets[{n}]", target.region) for n, target in enumerate(value.targets)]
    named += [(f"present_plans[{n}]", plan.region) for n, plan in enumerate(value.present_plans)]
    faults += _region_faults(named)
    present = {plan.key for plan in value.present_plans}
    faults += [
        f"present_plans[{n}]: {fault}" for n, plan in enumerate(value.present_plans) if (fault := _id_fault(plan.id))
    ]
    faults += [
        f"present[{number}] ({environment.name}): its plan is not there: {environment.plan}"
        for number, environment in enumerate(value.present)
        if environment.plan_key not in present
    ]
    return faults


def _snapshot_faults(value: Snapshot) -> list[str]:
    faults: list[str] = []
    plans: set[ArmId] = set()
    for number, plan in enumerate(value.plans):
        if fault := _id_fault(plan.id):
            faults.append(f"plans[{number}]: {fault}")
        if plan.key in plans:
            faults.append(f"plans[{number}]: two plans have the id {plan.id}")
        plans.add(plan.key)
    named = [(f"plans[{n}]", plan.region) for n, plan in enumerate(value.plans)]
    named += [
        (f"plans[{n}].group_region", plan.group_region) for n, plan in enumerate(value.plans) if plan.group_region
    ]
    named += [(f"hosts[{n}]", host.region) for n, host in enumerate(value.hosts) if host.region]
    named += [(f"locations[{n}]", location.name) for n, location in enumerate(value.locations)]
    faults += _region_faults(named)
    known = {location.name for location in value.locations}
    for number, plan in enumerate(value.plans):
        if known and is_region(plan.region) and plan.region not in known:
            faults.append(f"plans[{number}]: unknown region {plan.region!r}")
    seen: set[tuple[str, str]] = set()
    for number, environment in enumerate(value.environments):
        if environment.plan_key not in plans:
            faults.append(f"environments[{number}] ({environment.name}): its plan is not there: {environment.plan}")
        if (environment.product, environment.id) in seen:
            faults.append(f"environments[{number}]: two environments have the id {environment.id}")
        seen.add((environment.product, environment.id))
    hosts = {host.key for host in value.hosts}
    for number, environment in enumerate(value.environments):
        if environment.host and environment.host.key not in hosts:
            faults.append(
                f"environments[{number}] ({environment.name}): its host is not there: {environment.host.host}"
            )
    return faults


def plan_fault(plan: Plan) -> str:
    """Why a plan from Azure cannot be kept: its id or its region has another shape. Empty for a plan that can."""
    if fault := _id_fault(plan.id):
        return fault
    return "" if is_region(plan.region) else f"its location {plan.region[:100]!r} is no region"


def _id_fault(text: str) -> str:
    return "" if PLAN_ID.fullmatch(text) else f"{text[:300]!r} is not the ARM id of a plan"


def _region_faults(named: Sequence[tuple[str, str]]) -> list[str]:
    """A region may become part of a host name: those that have another shape, with their places."""
    return [f"{place}: {region[:100]!r} is no region" for place, region in named if not is_region(region)]
