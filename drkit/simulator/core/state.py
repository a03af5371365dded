"""Everything the simulated cloud knows: plain data, no HTTP.

How the parts plug in:

- A handler is a plain function ``handler(call: routing.Call) -> wire.Answer``. ``call.world`` is the ``World``,
  ``call.caller`` a ``Caller`` (None where a route has no ARM token), ``call.path["name"]`` what its pattern caught,
  ``call.bearer`` the raw token. It raises ``wire.ArmError(status, code, message)`` for Azure's refusals and
  ``wire.Hang()`` for a request that is never answered, or returns any other body as an ``Answer``.
- A module offers its handlers as ``ROUTES: list[routing.Route]``; ``routing.routes()`` collects them. Service hosts are
  ``codespaces.environments.HOSTS`` and ``hybrid_worker.model.HOSTS``: each gets a port of its own, which closes with its region.
- An Automation account is a resource and, of that id, a ``hybrid_worker.model.AutomationAccount`` with its groups and workers; extensions
  are their machine's, ``SimulatedHost.extensions``; what reports to an account follows from both (``hybrid_worker.model.reporting``).
- Time passes in ``World.advance()``, which the server calls before each request: it runs what ``World.later(seconds,
  action)`` postponed, in order, each at its own moment (``World.now()`` is that moment while it runs).
- ARM resources (plans, VMs, disks, Arc machines) are ``Resource`` in ``World.resources``. A VM's power and guest are
  its ``SimulatedHost`` in ``World.hosts``, found by the VM's id; its ARM fields (``vmId``, ``timeCreated``, OS disk) are the
  resource's.
- What happens to a host: ``events.happen(world, host, event, body) -> dict`` and, after a region was lost or came
  back, ``events.region_changed(world, region, lost)``; what the platform notes of it is in ``World.notes``.
- A VM with its OS disk is made by ``compute.make_vm(world, host, **more)``.
- ``write_rules`` holds what Resource Manager checks before a provider sees a request; ``region_lost`` says whether a region
  is gone.
"""

from __future__ import annotations

import heapq
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from drkit.simulator.core.clock import SimulatedClock

if TYPE_CHECKING:
    from drkit.simulator.codespaces.environments import SimulatedEnvironment
    from drkit.simulator.hosts.machine import SimulatedHost
    from drkit.simulator.hosts.people import Person
    from drkit.simulator.hybrid_worker.model import AutomationAccount
    from drkit.simulator.signals.site_recovery import Protected
    from drkit.simulator.signals.vm_annotations import Annotation

Json = dict[str, Any]
DELAYS = {"resource_health": (0.0, 0.0), "graph": (5.0, 5.0), "activity_log": (3.0, 20.0), "metrics": (3.0, 3.0)}
"""Minutes, at least and at most, after which a source reports what happened. Resource Health: within 10 minutes."""
VIRTUAL_MACHINES = "microsoft.compute/virtualmachines"


@dataclass(frozen=True)
class Caller:
    """Who makes a request: a service principal of the tenant."""

    role: str
    tenant: str
    client_id: str
    object_id: str
    secret: str = field(default="", repr=False)
    resource: str = ""
    """The ARM id of the managed identity it is; empty for an application."""

    @property
    def owner(self) -> str:
        """How the environment service names this identity: ``{tid}_{oid}``."""
        return f"{self.tenant}_{self.object_id}"


@dataclass
class Location:
    name: str
    display: str
    pair: str


@dataclass
class Subscription:
    id: str
    name: str
    registered: set[str] = field(default_factory=set)
    """Registered namespaces, lower case."""
    registering: set[str] = field(default_factory=set)


@dataclass
class ResourceGroup:
    id: str
    subscription: str
    name: str
    location: str
    tags: dict[str, str] = field(default_factory=dict)
    state: str = "Succeeded"


@dataclass
class Resource:
    """An ARM resource. ``type`` and ``id`` in the case they were made in; ``extra``: further top-level members."""

    id: str
    type: str
    name: str
    location: str
    tags: dict[str, str] = field(default_factory=dict)
    properties: Json = field(default_factory=dict)
    extra: Json = field(default_factory=dict)
    created: datetime | None = None
    changed: datetime | None = None

    @property
    def subscription(self) -> str:
        return self.id.split("/")[2].lower()

    @property
    def group(self) -> str:
        """The resource group's name as it is written in the id."""
        return self.id.split("/")[4]

    @property
    def group_id(self) -> str:
        return "/".join(self.id.split("/")[:5])

    def is_a(self, resource_type: str) -> bool:
        return self.type.lower() == resource_type.lower()


@dataclass
class AsyncOperation:
    """A long-running operation. ``subject`` is the id it works on, ``kind`` the action it carries out."""

    id: str
    subscription: str
    region: str
    kind: str
    subject: str
    started: datetime
    status: str = "InProgress"
    ended: datetime | None = None
    result: Json | None = None
    error: Json | None = None
    never: bool = False
    signature: str = ""
    """Its URL carries this; without it the operation is not found."""


@dataclass
class Loss:
    """How a region is lost: ``mode`` of its service hosts (refuse, hang), ``arm`` of writes to it (5xx, hang)."""

    region: str
    since: datetime
    mode: str = "refuse"
    arm: str = "5xx"


@dataclass
class World:
    clock: SimulatedClock
    tenant: str
    seed: int = 1
    host_scripts: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of a host script's text -> its name."""
    locations: dict[str, Location] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    groups: dict[str, ResourceGroup] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    """By lower-cased id, as ``groups`` and ``subscriptions``."""
    operations: dict[str, AsyncOperation] = field(default_factory=dict)
    principals: dict[str, Caller] = field(default_factory=dict)
    """By client id."""
    roles: dict[str, list[str]] = field(default_factory=dict)
    deployed: dict[str, Json] = field(default_factory=dict)
    """Bodies of role definitions and grants that a deployment made, by lower-cased id."""
    """Role name -> action patterns."""
    assignments: list[Json] = field(default_factory=list)
    """{name, principal (object id), role, scope, kind (of principal)}."""
    tokens: dict[str, tuple[Caller, float]] = field(default_factory=dict)
    """ARM bearer -> who, and the real time (seconds since the epoch) at which it ends."""
    expires_in: int = 3600
    service_tokens: dict[str, Json] = field(default_factory=dict)
    """Bearer of the environment service -> what it allows; kept by the codespaces modules."""
    hosts: dict[str, SimulatedHost] = field(default_factory=dict)
    """By lower-cased host id: a VM's or Arc machine's ARM id, any other name of a physical server."""
    environments: dict[str, SimulatedEnvironment] = field(default_factory=dict)
    accounts: dict[str, AutomationAccount] = field(default_factory=dict)
    """Automation accounts by lower-cased id; one counts while its resource exists."""
    automation_reads: str = "cached"
    """What a read below an account of a lost region gets: cached, 5xx, hang."""
    people: dict[str, Person] = field(default_factory=dict)
    """By owner id, ``{tid}_{oid}``."""
    lost: dict[str, Loss] = field(default_factory=dict)
    quota: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(subscription or *, region or *, kind) -> limit."""
    events: list[Json] = field(default_factory=list)
    """Service Health events, in the form that ``health`` gives them."""
    notes: dict[str, list[Annotation]] = field(default_factory=dict)
    """Lower-cased VM id -> what the platform noted of it, by time; kept by ``vm_annotations``."""
    activity: list[Json] = field(default_factory=list)
    """Administrative events that no request caused; kept by ``activity_log``."""
    locks: list[Json] = field(default_factory=list)
    """{scope, name, level: ReadOnly|CanNotDelete, notes}; as the next three, kept by ``governance``."""
    policies: list[Json] = field(default_factory=list)
    """Assignments: {scope, name, display, definition (its id), parameters, enforcement, not_scopes}."""
    policy_definitions: list[Json] = field(default_factory=list)
    """{id, properties}"""
    deleted_accounts: list[Json] = field(default_factory=list)
    """Automation accounts that can be restored: {id, account_id, location, deleted (RFC 3339)}."""
    protected: list[Protected] = field(default_factory=list)
    """What Site Recovery replicates."""
    delays: dict[str, tuple[float, float]] = field(default_factory=lambda: dict(DELAYS))
    graph_queries: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    """Object id -> when its window of Resource Graph queries began, and how many there were."""
    gaps: set[str] = field(default_factory=set)
    """Lower-cased ids of VMs whose health Resource Graph has no row of."""
    before: dict[str, list[tuple[datetime, Resource | None, str]]] = field(default_factory=dict)
    """What each VM was until that moment, and its power: what Resource Graph, which lags, still shows."""
    record: list[Json] = field(default_factory=list)
    registration_path: str = "~/.codespaces/registration.json"
    random: random.Random = field(init=False)
    _due: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _moment: datetime | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    # time

    def now(self) -> datetime:
        """The simulated time; inside an action put off with ``later``, the moment it was due."""
        return self._moment or self.clock.now()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Put ``action`` off by that many simulated seconds."""
        self._count += 1
        heapq.heappush(self._due, (self.now() + timedelta(seconds=seconds), self._count, action))

    def advance(self) -> None:
        """Run everything that is due by now."""
        now = self.clock.now()
        while self._due and self._due[0][0] <= now:
            self._moment, _, action = heapq.heappop(self._due)
            try:
                action()
            finally:
                self._moment = None

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """While the block runs, it is that moment: for what is said to have happened earlier."""
        held, self._moment = self._moment, moment
        try:
            yield
        finally:
            self._moment = held

    def lag(self, source: str, *names: str) -> timedelta:
        """The delay with which that source reports the thing with those names: always the same for the same names."""
        least, most = self.delays[source]
        share = int(self.named_id(source, *names)[:8], 16) / 0xFFFFFFFF
        return timedelta(minutes=least + (most - least) * share)

    # ids

    def new_id(self) -> str:
        """A GUID from the seed's own random numbers: the same in every run that asks in the same order."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def named_id(self, *names: str) -> str:
        """A GUID that depends on the seed and these names only."""
        return str(uuid.uuid5(uuid.UUID(int=self.seed & (2**128 - 1)), "/".join(names)))

    # objects

    def resource(self, resource_id: str) -> Resource | None:
        return self.resources.get(resource_id.lower())

    def group(self, resource_id: str) -> ResourceGroup | None:
        """The group with that id, or the one that holds the resource with that id."""
        return self.groups.get("/".join(resource_id.lower().split("/")[:5]))

    def put(self, resource: Resource) -> Resource:
        """Store a resource, dating it."""
        if resource.id.lower() not in self.resources:
            self.remember(resource.id, resource.type)
        resource.changed = self.now()
        resource.created = resource.created or resource.changed
        self.resources[resource.id.lower()] = resource
        return resource

    def remove(self, resource_id: str) -> Resource | None:
        self.remember(resource_id)
        return self.resources.pop(resource_id.lower(), None)

    def remember(self, resource_id: str, resource_type: str = "") -> None:
        """Keep what a VM is before it changes, or that there was none."""
        key = resource_id.lower()
        resource, host = self.resources.get(key), self.hosts.get(key)
        if (resource.type if resource else resource_type).lower() == VIRTUAL_MACHINES:
            past = self.before.setdefault(key, [])
            past.append((self.now(), deepcopy(resource), host.power if host else "running"))
            past.sort(key=lambda entry: entry[0])

    def under(self, scope: str, resource_type: str = "") -> Iterator[Resource]:
        """Resources below a subscription or group id, in the order in which they were made."""
        prefix = scope.lower().rstrip("/") + "/"
        for key, resource in list(self.resources.items()):
            if key.startswith(prefix) and (not resource_type or resource.is_a(resource_type)):
                yield resource

    def limit(self, subscription: str, region: str, kind: str, default: int) -> int:
        """The quota of that kind: the most specific one that was set, else ``default``."""
        subscription, region = subscription.lower(), normal(region)
        for key in ((subscription, region), (subscription, "*"), ("*", region), ("*", "*")):
            if (*key, kind) in self.quota:
                return self.quota[(*key, kind)]
        return default


def normal(region: str) -> str:
    """``West Europe`` and ``WestEurope`` are ``westeurope``."""
    return "".join(region.split()).lower()


def region_lost(world: World, region: str) -> Loss | None:
    """How the region is lost, or None."""
    return world.lost.get(normal(region))
