"""Environments: what the service keeps of them, how they come to be, and when they answer.

Names on the wire are those the official client sends and reads (``seed.type``, ``seed.moniker``, locations as strings;
azure-cli-extensions, src/codespaces), not the C# names of the published swagger. States and message codes are that
swagger's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from drkit.simulator.core.state import Json, Resource, World, region_lost
from drkit.simulator.hosts.machine import Refusal, SimulatedHost, identity
from drkit.simulator.hosts.people import Job, Person
from drkit.simulator.hybrid_worker import model

GLOBAL = "online.visualstudio.com"
SPELLINGS = {"eastus": "EastUs", "southeastasia": "SouthEastAsia", "westeurope": "WestEurope", "westus2": "WestUs2"}
"""ARM's name of a region -> the service's. Plans may live in these only."""
HOSTS: dict[str, str | None] = {GLOBAL: None} | {f"{region}.{GLOBAL}": region for region in SPELLINGS}
PLAN_TYPES = ("microsoft.vsonline/plans", "microsoft.codespaces/plans")
CLOUD, STATIC = "cloudEnvironment", "staticEnvironment"
SKUS = {"basicLinux": ("Basic", 2, 4), "standardLinux": ("Standard", 4, 8), "premiumLinux": ("Premium", 8, 16)}
"""Name -> display word, cores, GB of memory."""
AUTO_SHUTDOWN = (5, 30, 60, 120)
PLANS, PER_PLAN, CORES = 20, 20, 350
"""Published limits (reference/quota-limits): plans a subscription, environments a plan, cores a subscription."""
ALLOCATING, PROVISIONING, REGISTERED = 5.0, 60.0, 15.0
"""Simulated seconds: Queued, Provisioning, and from registration to Available."""
QUOTA, NAME, NO_ALLOCATION, DELAY, SKU, NOT_REGISTERED, MOVED, NO_PLAN = 1, 2, 8, 10, 12, 20, 23, 24
STATUS = {QUOTA: 403, NAME: 409, NO_ALLOCATION: 503, NOT_REGISTERED: 403}
"""Message code -> HTTP status; 400 for the rest. Published by operation only; which is which is a sensible reading."""
WORDS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 503: "ServiceUnavailable"}
POST_FAILED = "Error calling HTTP POST at 'https://online.visualstudio.com/api/v1/environments' ErrorCode : {}"


class ServiceRefusal(Exception):  # noqa: N818 - an answer of the service, not an error of ours
    """The service will not; ``code`` is its message code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"message code {code}")
        self.code = code
        self.status = STATUS.get(code, 400)


@dataclass
class SimulatedEnvironment:
    id: str
    type: str
    name: str
    plan: str
    owner: str
    created: datetime
    updated: datetime
    used: datetime | None = None
    state: str = "Available"
    seed: Json | None = None
    sku: str | None = None
    auto_shutdown: int = 0
    folders: list[str] = field(default_factory=list)
    unpushed: bool = False
    image: str | None = None
    features: Json = field(default_factory=dict)
    invisible: bool = False
    """Not in any list, but it holds its name."""
    hosted: bool = False
    """Its host is modelled, so its state follows from the host's."""
    dead: bool = False
    """Registered, but its agent never connects."""

    @property
    def static(self) -> bool:
        return self.type.lower() == STATIC.lower()


def plan_of(world: World, plan_id: str) -> Resource | None:
    """The plan with that id."""
    plan = world.resource(plan_id)
    return plan if plan and plan.type.lower() in PLAN_TYPES else None


def of_plan(world: World, plan_id: str) -> list[SimulatedEnvironment]:
    """All records under a plan, invisible ones too."""
    return [e for e in world.environments.values() if e.plan.lower() == plan_id.lower()]


def bearers(world: World) -> dict[str, list[SimulatedHost]]:
    """Environment id -> the hosts whose running agent has its registration."""
    hosts: dict[str, list[SimulatedHost]] = {}
    for host in world.hosts.values():
        lost = host.kind == "azure-vm" and region_lost(world, host.location)
        up = host.running and host.agent and not host.silent and not lost
        for registration in host.registrations if up else ():
            hosts.setdefault(registration.id, []).append(host)
    return hosts


def state_of(environment: SimulatedEnvironment, alive: Mapping[str, list[SimulatedHost]]) -> str:
    """A self-hosted environment is Available while a host with its registration answers."""
    if not environment.static or not environment.hosted or environment.state != "Available":
        return environment.state
    return "Available" if environment.id in alive and not environment.dead else "Unavailable"


def create(
    world: World, plan: Resource, owner: str, body: Mapping[str, Any], workspace: str = ""
) -> SimulatedEnvironment:
    """A new environment of ``owner``; ``workspace``: the folder a host registers. Raises ``ServiceRefusal``."""
    region, subscription = plan.location, plan.subscription
    if plan.type.lower().partition("/")[0] not in world.subscriptions[subscription].registered:
        raise ServiceRefusal(NOT_REGISTERED)
    name, siblings = str(body["friendlyName"]), of_plan(world, plan.id)
    if any(e.name.lower() == name.lower() for e in siblings):
        raise ServiceRefusal(NAME)
    if len([e for e in siblings if not e.invisible]) >= world.limit(subscription, region, "environments", PER_PLAN):
        raise ServiceRefusal(QUOTA)
    now = world.now()
    number = 1 + len([e for e in world.environments.values() if e.owner == owner])
    made = SimulatedEnvironment(
        id=identity(f"{world.seed}/{plan.id.lower()}/{owner}/{name.lower()}/{number}"),
        type=STATIC if str(body["type"]).lower() == STATIC.lower() else CLOUD,
        name=name,
        plan=plan.id,
        owner=owner,
        created=now,
        updated=now,
        folders=[workspace] if workspace else [],
        features=dict(body.get("features") or {}),
    )
    if made.static:
        made.state, made.hosted = "Provisioning", True
        _become(world, made, REGISTERED, "Available")
    else:
        _size(world, plan, made, body)
        made.seed, made.image = body.get("seed"), body.get("containerImage")
        if made.seed:
            repository = str(made.seed.get("moniker", "")).partition("/tree/")[0].rpartition("/")[2]
            made.folders = [f"/home/codespace/workspace/{repository}"]
        made.state = "Queued"
        _become(world, made, ALLOCATING, "Provisioning", "Available")
    while made.id in world.environments:
        made.id = identity(made.id)
    world.environments[made.id] = made
    return made


def _size(world: World, plan: Resource, made: SimulatedEnvironment, body: Mapping[str, Any]) -> None:
    """SKU and delay of a managed environment, the plan's where it names none; and whether there is room for it."""
    defaults = plan.properties
    sku = body.get("skuName") or defaults.get("defaultEnvironmentSku") or defaults.get("defaultCodespaceSku")
    delay = body.get("autoShutdownDelayMinutes", defaults.get("defaultAutoSuspendDelayMinutes", 30))
    if sku not in SKUS:
        raise ServiceRefusal(SKU)
    if delay not in (0, *AUTO_SHUTDOWN):
        raise ServiceRefusal(DELAY)
    if world.limit(plan.subscription, plan.location, "sku", 1) == 0:
        raise ServiceRefusal(NO_ALLOCATION)
    if cores(world, plan) + SKUS[sku][1] > world.limit(plan.subscription, plan.location, "cores", CORES):
        raise ServiceRefusal(QUOTA)
    made.sku, made.auto_shutdown = sku, delay


def cores(world: World, plan: Resource) -> int:
    """Cores of the subscription's active managed environments in the plan's region."""
    total = 0
    for environment in world.environments.values():
        if environment.sku in SKUS and environment.state != "Shutdown" and not environment.invisible:
            home = plan_of(world, environment.plan)
            if home and (home.subscription, home.location) == (plan.subscription, plan.location):
                total += SKUS[environment.sku][1]
    return total


def _become(world: World, environment: SimulatedEnvironment, seconds: float, state: str, *then: str) -> None:
    """Lets it come to ``state`` in its own time; while its region is lost nothing moves."""

    def act() -> None:
        plan = plan_of(world, environment.plan)
        if plan is None or environment.id not in world.environments:
            return
        if region_lost(world, plan.location):
            world.later(30.0, act)
            return
        environment.state, environment.updated = state, world.now()
        if then:
            _become(world, environment, PROVISIONING, *then)

    world.later(seconds, act)


def body_of(world: World, environment: SimulatedEnvironment, alive: Mapping[str, list[SimulatedHost]]) -> Json:
    """A CloudEnvironmentResult."""
    plan = plan_of(world, environment.plan)
    words = SKUS.get(environment.sku or "")
    quota = usage = 0
    if plan:
        quota, usage = world.limit(plan.subscription, plan.location, "cores", CORES), cores(world, plan)
    return {
        "id": environment.id,
        "type": environment.type,
        "friendlyName": environment.name,
        "created": _stamp(environment.created),
        "updated": _stamp(environment.updated),
        "active": _stamp(environment.used or environment.created),
        "lastUsed": _stamp(environment.used) if environment.used else None,
        "ownerId": environment.owner,
        "state": state_of(environment, alive),
        "lastStateUpdateReason": None,
        "containerImage": environment.image,
        "seed": environment.seed,
        "connection": {
            "sessionId": identity(f"session/{environment.id}"),
            "sessionPath": environment.folders[0] if environment.folders else None,
        },
        "platform": None,
        "skuName": environment.sku,
        "skuDisplayName": sku_text(environment.sku) if words else None,
        "planId": environment.plan,
        "location": SPELLINGS[plan.location] if plan else None,
        "autoShutdownDelayMinutes": environment.auto_shutdown,
        "recentFolders": environment.folders,
        "features": environment.features,
        "hasUnpushedGitChanges": environment.unpushed,
        "exportedBlobUrl": None,
        "subscriptionData": {
            "subscriptionId": plan.subscription if plan else None,
            "subscriptionState": "Registered",
            "computeUsage": usage,
            "computeQuota": quota,
        },
    }


def sku_text(name: str | None) -> str:
    word, number, memory = SKUS[name or ""]
    return f"{word} (Linux): {number} cores, {memory} GB RAM"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def environment_from_seed(entry: Mapping[str, Any], world: World) -> SimulatedEnvironment:
    """An environment of a seed: a CloudEnvironmentResult, and ``invisible``. Hosts come before it in the seed."""
    plan = plan_of(world, entry["planId"])
    if plan is None:
        raise ValueError(f"environment {entry['id']}: there is no plan {entry['planId']}")
    now = world.now()

    def when(key: str) -> datetime:
        return datetime.fromisoformat(entry[key]).astimezone(UTC) if entry.get(key) else now

    return SimulatedEnvironment(
        id=entry["id"],
        type=entry["type"],
        name=entry["friendlyName"],
        plan=plan.id,
        owner=entry["ownerId"],
        created=when("created"),
        updated=when("updated"),
        used=when("lastUsed") if entry.get("lastUsed") else None,
        state=entry.get("state") or "Available",
        seed=entry.get("seed"),
        sku=entry.get("skuName"),
        auto_shutdown=entry.get("autoShutdownDelayMinutes") or 0,
        folders=list(entry.get("recentFolders") or []),
        unpushed=bool(entry.get("hasUnpushedGitChanges")),
        image=entry.get("containerImage"),
        features=dict(entry.get("features") or {}),
        invisible=bool(entry.get("invisible")),
        hosted=any(r.id == entry["id"] for host in world.hosts.values() for r in host.registrations),
    )


def describe(environment: SimulatedEnvironment, world: World) -> Json:
    """What control shows of it: the truth, also of a plan whose region is lost."""
    hosts = [h.id for h in world.hosts.values() for r in h.registrations if r.id == environment.id]
    return {
        "id": environment.id,
        "name": environment.name,
        "type": environment.type,
        "plan": environment.plan,
        "owner": environment.owner,
        "state": state_of(environment, bearers(world)),
        "hosts": hosts,
        "invisible": environment.invisible,
        "created": _stamp(environment.created),
    }


@dataclass
class CodespacesSurroundings:
    """What a host finds around it: the service, the people, the time (``machine.Surroundings``)."""

    world: World

    @property
    def registration_path(self) -> str:
        return self.world.registration_path

    def now(self) -> float:
        return self.world.now().timestamp()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self.world.later(seconds, action)

    def person(self, owner: str) -> Person:
        return self.world.people.setdefault(owner, Person(owner))

    def answers(self, url: str) -> int:
        """The services' hosts answer unless their region is lost; anything else a host asks for is not there."""
        parts = urlsplit(url)
        if parts.hostname not in HOSTS:
            return model.answers(self.world, parts.hostname or "", parts.path)
        if region_lost(self.world, HOSTS[parts.hostname] or ""):
            return 0
        return 401 if parts.path.lower().startswith("/api/v1/environments") else 200

    def unregister(self, environment: str) -> bool:
        known = self.world.environments.get(environment)
        plan = plan_of(self.world, known.plan) if known else None
        if plan and region_lost(self.world, plan.location):
            return False
        self.world.environments.pop(environment, None)
        return True

    def register(self, host: SimulatedHost, job: Job) -> str:
        plan = plan_of(self.world, job.plan)
        if plan is None:
            raise Refusal(POST_FAILED.format(f"BadRequest ({NO_PLAN})"))
        if region_lost(self.world, plan.location):
            raise Refusal(POST_FAILED.format("ServiceUnavailable"))
        if host.behaviour.get("start") == "unauthorized" and host.location != plan.location:
            raise Refusal(POST_FAILED.format("Unauthorized"))
        asked = {"friendlyName": job.name, "type": STATIC}
        try:
            made = create(self.world, plan, job.person, asked, job.workspace)
        except ServiceRefusal as refused:
            raise Refusal(POST_FAILED.format(f"{WORDS[refused.status]} ({refused.code})")) from None
        made.dead = host.behaviour.get("start") == "never-available"
        return made.id


def surroundings(world: World) -> CodespacesSurroundings:
    return CodespacesSurroundings(world)
