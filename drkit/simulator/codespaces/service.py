"""The environment service over HTTP: online.visualstudio.com and its regional hosts.

The global host answers for locations; what concerns a plan is redirected (307) to the host of the plan's region, named
by its public name, and a wrong regional host does the same. Refusals of a create are message codes, bare integers;
others are problem details. Published paths and schemas: the service's swagger of 2020-09-24.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from drkit.simulator.codespaces.environments import (
    AUTO_SHUTDOWN,
    CLOUD,
    GLOBAL,
    HOSTS,
    MOVED,
    NO_PLAN,
    SKUS,
    SPELLINGS,
    STATIC,
    ServiceRefusal,
    SimulatedEnvironment,
    bearers,
    body_of,
    create,
    of_plan,
    plan_of,
    sku_text,
)
from drkit.simulator.core.routing import CODESPACES, Call, Route
from drkit.simulator.core.state import Json, Resource, normal, region_lost
from drkit.simulator.core.wire import Answer, with_query

ENVIRONMENTS = "/api/v1/environments"
TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
SECTIONS = {400: "6.5.1", 403: "6.5.3", 404: "6.5.4"}


class Reply(Exception):  # noqa: N818 - an answer, not an error
    """Leaves a handler with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def problem(status: int, detail: str = "") -> Reply:
    """ProblemDetails."""
    rfc = f"rfc7231#section-{SECTIONS[status]}" if status in SECTIONS else "rfc7235#section-3.1"
    body: Json = {"type": f"https://tools.ietf.org/html/{rfc}", "title": TITLES[status], "status": status}
    if detail:
        body["detail"] = detail
    return Reply(Answer(status, body, content_type="application/problem+json; charset=utf-8"))


def _handler(act: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    @wraps(act)
    def handler(call: Call) -> Answer:
        try:
            return act(call)
        except Reply as reply:
            return reply.answer
        except ServiceRefusal as refused:
            return Answer(refused.status, refused.code)

    return handler


def _token(call: Call) -> Json:
    """What the bearer allows; 401 for one that the service did not issue, or that has ended."""
    token = call.world.service_tokens.get(call.bearer)
    if token is None or token["ends"] <= time.time():
        raise problem(401)
    call.note["principal"] = token["role"]
    return token


def _here(call: Call, plan: Resource) -> None:
    """307 unless this is the host of the plan's region. The path and the query stay as they were."""
    if HOSTS[call.host] != plan.location:
        target = f"https://{plan.location}.{GLOBAL}{call.raw_path}"
        raise Reply(Answer(307, headers={"Location": with_query(target, call.query)}))


def _plan(call: Call, plan_id: str, token: Json) -> Resource:
    """The plan of a request, reached at its own host, by a token of that plan."""
    plan = plan_of(call.world, plan_id)
    if plan is None:
        raise problem(403, "The plan does not exist, or the token is for another plan.")
    _here(call, plan)
    if plan.id.lower() != token["plan"].lower():
        raise problem(403, "The token is for another plan.")
    return plan


def _visible(environment: SimulatedEnvironment, token: Json) -> bool:
    if environment.invisible or (token["only"] and environment.id not in token["only"]):
        return False
    return token["right"] in ("read", "delete") or environment.owner == token["owner"]


def _environment(call: Call, token: Json, right: str) -> SimulatedEnvironment:
    """The environment in the path, if the token lets it be read, and changed where ``right`` says so."""
    environment = call.world.environments.get(call.path["id"])
    plan = plan_of(call.world, environment.plan if environment else token["plan"])
    if plan is not None:
        _here(call, plan)
    if environment is None or environment.invisible or plan is None:
        raise problem(404)
    if plan.id.lower() != token["plan"].lower() or not _visible(environment, token):
        raise problem(403)
    if right not in (token["right"], "read") and not (right == "delete" and token["right"] == "write"):
        raise problem(403)
    call.note["subject"] = environment.id
    return environment


@_handler
def locations(call: Call) -> Answer:
    """``current`` is the stamp that answered; a region that is lost drops out of ``available``."""
    available = [spelling for region, spelling in SPELLINGS.items() if not region_lost(call.world, region)]
    current = SPELLINGS.get(HOSTS[call.host] or "") or (available or ["EastUs"])[0]
    names = {SPELLINGS[region]: host for host, region in HOSTS.items() if region}
    return Answer(body={"current": current, "available": available, "hostnames": names})


@_handler
def location(call: Call) -> Answer:
    if normal(call.path["location"]) not in SPELLINGS:
        raise problem(404)
    skus = [{"name": name, "displayName": sku_text(name), "os": "Linux"} for name in SKUS]
    return Answer(body={"skus": skus, "defaultAutoSuspendDelayMinutes": list(AUTO_SHUTDOWN)})


@_handler
def list_environments(call: Call) -> Answer:
    """All of the plan with a readAll token; with a write token one's own."""
    token = _token(call)
    query = {key.lower(): value for key, value in call.query.items()}
    plan = _plan(call, query.get("planid") or token["plan"], token)
    call.note["subject"] = plan.id
    if query.get("deleted", "false").lower() == "true":
        return Answer(body=[])
    name, alive = query.get("name", "").lower(), bearers(call.world)
    listed = [
        environment
        for environment in of_plan(call.world, plan.id)
        if _visible(environment, token) and name in ("", environment.name.lower())
    ]
    if behind := float(call.fault.get("stale", 0.0)):
        then = call.world.now() - timedelta(seconds=behind)
        late = [environment for environment in listed if environment.created > then]
        call.note["behind"] = bool(late)
        listed = [environment for environment in listed if environment not in late]
    return Answer(body=[body_of(call.world, environment, alive) for environment in listed])


@_handler
def create_environment(call: Call) -> Answer:
    """201, for the identity in the token."""
    token, body = _token(call), call.body
    if not isinstance(body, dict) or not body.get("friendlyName"):
        raise problem(400, "friendlyName is required.")
    if str(body.get("type", "")).lower() not in (CLOUD.lower(), STATIC.lower()):
        raise problem(400, "type is required.")
    if plan_of(call.world, str(body.get("planId", ""))) is None:
        raise ServiceRefusal(NO_PLAN)
    plan = _plan(call, body["planId"], token)
    if token["right"] != "write":
        raise problem(403)
    made = create(call.world, plan, token["owner"], body)
    call.note["subject"] = made.id
    return Answer(201, body_of(call.world, made, bearers(call.world)))


@_handler
def get_environment(call: Call) -> Answer:
    environment = _environment(call, _token(call), "read")
    return Answer(body=body_of(call.world, environment, bearers(call.world)))


@_handler
def patch_environment(call: Call) -> Answer:
    """An environment may not move to a plan in another region: InvalidLocationChange."""
    environment = _environment(call, _token(call), "write")
    body: Any = call.body if isinstance(call.body, dict) else {}
    old, new = plan_of(call.world, environment.plan), plan_of(call.world, body.get("planId") or environment.plan)
    if old is None or new is None:
        return Answer(400, [NO_PLAN])
    if new.location != old.location:
        return Answer(400, [MOVED])
    environment.plan = new.id
    environment.name = body.get("friendlyName") or environment.name
    environment.auto_shutdown = body.get("autoShutdownDelayMinutes") or environment.auto_shutdown
    environment.updated = call.world.now()
    return Answer(body=body_of(call.world, environment, bearers(call.world)))


@_handler
def delete_environment(call: Call) -> Answer:
    """The owner, or a deleteAll token. A host keeps the registration on its disk; nothing answers to it any more."""
    environment = _environment(call, _token(call), "delete")
    del call.world.environments[environment.id]
    return Answer(204)


def health(_: Call) -> Answer:
    return Answer(text="Healthy", content_type="text/plain; charset=utf-8")


ROUTES = [
    Route("GET", "/health", health, plane=CODESPACES),
    Route("GET", "/api/v1/locations", locations, plane=CODESPACES),
    Route("GET", "/api/v1/locations/{location}", location, plane=CODESPACES),
    Route("GET", ENVIRONMENTS, list_environments, plane=CODESPACES),
    Route("POST", ENVIRONMENTS, create_environment, plane=CODESPACES),
    Route("GET", f"{ENVIRONMENTS}/{{id}}", get_environment, plane=CODESPACES),
    Route("PATCH", f"{ENVIRONMENTS}/{{id}}", patch_environment, plane=CODESPACES),
    Route("DELETE", f"{ENVIRONMENTS}/{{id}}", delete_environment, plane=CODESPACES),
]
