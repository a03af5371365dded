"""The control interface: what a test, a drill or a judge does to the simulated cloud, and may see of it.

JSON by POST (``Content-Type: application/json``) or GET under ``/control/TOKEN/``; not in the record. The address, token and all, is
``control`` in the ready file, which its user alone may read. A refusal is 400 ``{"error": text}``; 403 for a token that is none,
a request of a web page (``Origin``), or a ``SimulatedHost`` that is not this one.

================ ======================================================================= ===============================
``lose``         {region, mode: refuse|hang, arm: 5xx|hang, announce: true|false,
                 minutes_ago: 0, announce_after: minutes (default 10 to 60)}             a region is lost
``restore``      {region, minutes_ago}                                                   and comes back
``announce``     {region, after_minutes, level, services, subscriptions, false_positive,
                 emerging: minutes, minutes_ago}                                         a Service Health event
``host``         {id, event, minutes_ago, …}                                             something happens to a host
``signals``      {delays: {source: [least, most] minutes}, gaps: [VM ids]}               how Azure's signals lag
``people``       {owner, ready_after, signs_in_after}                                    how a person behaves
``fault``        a rule of ``faults``                                                    requests go wrong
``unfault``      {id} or {}                                                              they stop
``quota``        {subscription, region, kind, limit}                                     a quota is set
``governance``   {locks|policies|policy_definitions|deleted_accounts: [entries]}         each list as a whole
``roles``        {name, actions: patterns}                                               what a role allows
``register``     {subscription, namespace, registered: true|false}                       a provider in a subscription
``throttle``     {reads|writes|deletes: [size, refill]}                                  smaller token buckets
``automation``   {reads: cached|5xx|hang}                                                reads below lost accounts
``automation``   {account, machine_with_extension: accept|refuse}                        is another's machine taken
``token``        {expires_in, expire: true}                                              life of tokens, real seconds
``change``       {id, patch, delete: true}                                               somebody else's change
GET ``clock``, ``record?since=n``, ``state``, ``throttle``, ``faults``, ``people/{owner}``
================ ======================================================================= ===============================
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from drkit.errors import DrkitError
from drkit.simulator.arm import governance
from drkit.simulator.codespaces import environments
from drkit.simulator.core.clock import precise
from drkit.simulator.core.seed import set_signals
from drkit.simulator.core.state import Json, Loss, World, normal
from drkit.simulator.core.wire import group_body, resource_body
from drkit.simulator.hosts import events, machine, people
from drkit.simulator.hybrid_worker import model
from drkit.simulator.signals import health

if TYPE_CHECKING:
    from drkit.simulator.core.server import Simulator

PREFIX = "/control"


async def answer(simulator: Simulator, request: web.BaseRequest, content: bytes) -> web.Response:
    """Carry out one control request."""
    token, _, asked = request.path.removeprefix(f"{PREFIX}/").partition("/")
    name, _, rest = asked.partition("/")
    if refused := _stranger(simulator, request, token):
        return _json({"error": refused}, 403)
    if request.method == "POST" and request.content_type != "application/json":
        return _json({"error": "Content-Type: application/json is needed"}, 415)
    try:
        if request.method == "GET" and name in VIEWS:
            return _json(VIEWS[name](simulator, rest, dict(request.query)))
        if request.method == "POST" and name in ACTS:
            body = json.loads(content or b"{}")
            if not isinstance(body, dict):
                raise ValueError("a JSON object is needed")
            said = ACTS[name](simulator, body)
            if name in ("lose", "restore"):
                await _ports(simulator, said["region"])
            return _json(said)
    except KeyError as error:
        return _json({"error": f"{error.args[0]!r} is missing or unknown"}, 400)
    except (ValueError, TypeError, DrkitError) as error:
        return _json({"error": str(error)}, 400)
    return _json({"error": f"there is no control {request.method} {name!r}"}, 404)


def _stranger(simulator: Simulator, request: web.BaseRequest, token: str) -> str:
    """Why a request is not from who reads the ready file; empty when it is."""
    if not hmac.compare_digest(token.encode(), simulator.token.encode()):
        return "the ready file has the address of the control interface"
    if "Origin" in request.headers:
        return "a web page is not obeyed"
    if request.host != simulator.address:
        return f"this is {simulator.address}"
    return ""


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, text=json.dumps(body, default=str), content_type="application/json")


async def _ports(simulator: Simulator, region: str) -> None:
    """Close or open the service hosts of a region."""
    loss = simulator.world.lost.get(region)
    for port in simulator.ports.values():
        if port.region == region:
            await (port.lose(loss.mode) if loss else port.open())


# regions


def lose(simulator: Simulator, body: Json) -> Json:
    world = simulator.world
    region = _region(simulator, body)
    mode, arm = body.get("mode", "refuse"), body.get("arm", "5xx")
    if mode not in ("refuse", "hang") or arm not in ("5xx", "hang"):
        raise ValueError("mode is refuse or hang, arm is 5xx or hang")
    since = _when(world, body)
    world.lost[region] = Loss(region, since, mode, arm)
    events.region_changed(world, region, lost=True, since=since)
    model.silence(world, region, since)
    if body.get("announce", True):
        after = body.get("announce_after", world.random.randint(10, 60))
        health.make_event(world, region, float(after), started=since, emerging=body.get("emerging"))
    return {"region": region, "mode": mode, "arm": arm, "since": precise(since)}


def restore(simulator: Simulator, body: Json) -> Json:
    world = simulator.world
    region = _region(simulator, body)
    with world.at(_when(world, body)):
        if world.lost.pop(region, None):
            events.region_changed(world, region, lost=False)
            for event in world.events:
                if event["region"] == region and event["ended"] is None:
                    event["ended"] = max(world.now(), event["visible"])
        return {"region": region, "at": precise(world.now())}


def announce(simulator: Simulator, body: Json) -> Json:
    event = health.make_event(
        simulator.world,
        _region(simulator, body),
        float(body.get("after_minutes", 0)),
        body.get("level", "Warning"),
        body.get("services"),
        [subscription.lower() for subscription in body.get("subscriptions", [])],
        false_positive=bool(body.get("false_positive", False)),
        started=_when(simulator.world, body),
        emerging=body.get("emerging"),
    )
    return health.view(event)


def _when(world: World, body: Json) -> datetime:
    """``minutes_ago`` as a moment."""
    return world.now() - timedelta(minutes=float(body.get("minutes_ago", 0)))


def _region(simulator: Simulator, body: Json) -> str:
    region = normal(body["region"])
    if region not in simulator.world.locations:
        raise ValueError(f"there is no region {body['region']!r}")
    return region


# hosts, people, somebody else


def host(simulator: Simulator, body: Json) -> Json:
    world = simulator.world
    with world.at(_when(world, body)):
        return events.happen(world, world.hosts[body["id"].lower()], body["event"], body)


def signals(simulator: Simulator, body: Json) -> Json:
    return set_signals(simulator.world, body)


def person(simulator: Simulator, body: Json) -> Json:
    owner = simulator.world.people[body["owner"]]
    for key in ("ready_after", "signs_in_after"):
        if key in body:
            setattr(owner, key, body[key])
    return people.describe(owner, simulator.world)


def change(simulator: Simulator, body: Json) -> Json:
    """``patch`` is merged into the group, resource or environment of that id; ``delete`` removes it."""
    world, key = simulator.world, body["id"].lower()
    patch: Json = body.get("patch", {})
    if resource := world.resources.get(key):
        if body.get("delete"):
            world.remove(key)
            return {"deleted": resource.id}
        resource.tags |= patch.get("tags", {})
        resource.properties |= patch.get("properties", {})
        resource.location = patch.get("location", resource.location)
        world.put(resource)
        return resource_body(resource)
    if group := world.groups.get(key):
        if body.get("delete"):
            del world.groups[key]
            for inside in world.under(group.id):
                world.remove(inside.id)
            return {"deleted": group.id}
        group.tags |= patch.get("tags", {})
        group.location = patch.get("location", group.location)
        return group_body(group)
    environment = world.environments[body["id"]]
    if body.get("delete"):
        del world.environments[body["id"]]
        return {"deleted": body["id"]}
    for name, value in patch.items():
        if not hasattr(environment, name):
            raise ValueError(f"an environment has no {name!r}")
        setattr(environment, name, value)
    return environments.describe(environment, world)


# what goes wrong


def fault(simulator: Simulator, body: Json) -> Json:
    return simulator.faults.add(simulator.world.now(), body).view()


def unfault(simulator: Simulator, body: Json) -> Json:
    return {"removed": simulator.faults.remove(body.get("id"))}


def quota(simulator: Simulator, body: Json) -> Json:
    place = (body.get("subscription", "*").lower(), normal(body.get("region", "*")), body["kind"])
    simulator.world.quota[place] = int(body["limit"])
    return dict(zip(("subscription", "region", "kind"), place, strict=True)) | {"limit": int(body["limit"])}


def govern(simulator: Simulator, body: Json) -> Json:
    return governance.take(simulator.world, body)


def role(simulator: Simulator, body: Json) -> Json:
    simulator.world.roles[body["name"]] = [str(action) for action in body["actions"]]
    return {"name": body["name"], "actions": simulator.world.roles[body["name"]]}


def register(simulator: Simulator, body: Json) -> Json:
    subscription, namespace = simulator.world.subscriptions[body["subscription"].lower()], body["namespace"].lower()
    (subscription.registered.add if body.get("registered", True) else subscription.registered.discard)(namespace)
    return {"registered": sorted(subscription.registered)}


def throttle(simulator: Simulator, body: Json) -> Json:
    for kind, (size, refill) in body.items():
        if kind not in simulator.throttle.limits:
            raise ValueError(f"there is no bucket {kind!r}")
        simulator.throttle.limits[kind] = (float(size), float(refill))
    simulator.throttle.buckets.clear()
    return {kind: list(limit) for kind, limit in simulator.throttle.limits.items()}


def automation_behaviour(simulator: Simulator, body: Json) -> Json:
    """Whether an account takes a worker whose machine carries another account's extension; what reads of lost ones get."""
    world = simulator.world
    reads = body.get("reads", world.automation_reads)
    if reads not in model.READS:
        raise ValueError(f"reads is one of {', '.join(model.READS)}")
    world.automation_reads = reads
    if "account" not in body:
        return {"reads": reads}
    account = world.accounts[body["account"].lower()]
    if body["machine_with_extension"] not in ("accept", "refuse"):
        raise ValueError("machine_with_extension is accept or refuse")
    account.refuses = body["machine_with_extension"] == "refuse"
    return {"reads": reads, **model.describe(account, world)}


def token(simulator: Simulator, body: Json) -> Json:
    world = simulator.world
    world.expires_in = int(body.get("expires_in", world.expires_in))
    if body.get("expire"):
        world.tokens = {bearer: (caller, time.time() - 1) for bearer, (caller, _) in world.tokens.items()}
    return {"expires_in": world.expires_in}


# views


def state(simulator: Simulator, _rest: str, _query: dict[str, str]) -> Json:
    world = simulator.world
    return {
        "groups": [group_body(group) for group in world.groups.values()],
        "resources": [resource_body(resource) for resource in world.resources.values()],
        "environments": [environments.describe(one, world) for one in world.environments.values()],
        "hosts": [machine.describe(one, world) for one in world.hosts.values()],
        "automation": [model.describe(one, world) for one in model.accounts(world)],
        "people": [people.describe(one, world) for one in world.people.values()],
        "lost": {region: loss.mode for region, loss in world.lost.items()},
        "events": [health.view(event) for event in world.events],
        "roles": world.assignments,
    }


def record(simulator: Simulator, _rest: str, query: dict[str, str]) -> Json:
    since = int(query.get("since", "0"))
    return {"requests": simulator.world.record[since:], "count": len(simulator.world.record)}


def clock(simulator: Simulator, _rest: str, _query: dict[str, str]) -> Json:
    return {"now": precise(simulator.world.now()), **simulator.world.clock.public()}


def ready(simulator: Simulator, rest: str, _query: dict[str, str]) -> Json:
    """Whether that person is ready now, and whether they wait for a code. The first question starts their time."""
    owner = simulator.world.people[rest]
    owner.ask(simulator.world.now().timestamp())
    return people.describe(owner, simulator.world)


def counts(simulator: Simulator, _rest: str, _query: dict[str, str]) -> Json:
    return simulator.throttle.counts()


def rules_in_force(simulator: Simulator, _rest: str, _query: dict[str, str]) -> Json:
    return {"faults": [rule.view() for rule in simulator.faults.rules]}


ACTS: dict[str, Callable[[Simulator, Json], Json]] = {
    "lose": lose,
    "restore": restore,
    "announce": announce,
    "host": host,
    "people": person,
    "change": change,
    "fault": fault,
    "unfault": unfault,
    "quota": quota,
    "governance": govern,
    "roles": role,
    "register": register,
    "throttle": throttle,
    "automation": automation_behaviour,
    "token": token,
    "signals": signals,
}
VIEWS: dict[str, Callable[[Simulator, str, dict[str, str]], Json]] = {
    "state": state,
    "record": record,
    "clock": clock,
    "people": ready,
    "throttle": counts,
    "faults": rules_in_force,
}
