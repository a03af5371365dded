"""Plans: Microsoft.VSOnline/plans and Microsoft.Codespaces/plans in Resource Manager, and their token actions.

azure-rest-api-specs, specification/vsonline (2020-05-26-preview) and specification/codespaces (2020-06-16); bodies as
in the recordings of azure-cli-extensions, src/codespaces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from drkit.simulator.arm import write_rules
from drkit.simulator.arm.identity import jwt
from drkit.simulator.codespaces.environments import PLANS, of_plan
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, Resource
from drkit.simulator.core.wire import Answer, ArmError, page, resource_body

NAMESPACES = {"Microsoft.VSOnline": "Environments", "Microsoft.Codespaces": "Codespaces"}
"""Namespace -> what its token actions are named after."""
LONGEST = 30 * 86_400.0
EXTRA = ("sku", "identity")


def _plan(call: Call, namespace: str) -> Resource | None:
    group = write_rules.group(call)
    return call.world.resource(f"{group.id}/providers/{namespace}/plans/{call.path['name']}")


def _found(call: Call, namespace: str) -> Resource:
    plan = _plan(call, namespace)
    if plan is None:
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{namespace}/plans/{call.path['name']}' under resource group '{call.path['group']}' was not "
            "found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )
    return plan


def _answers(call: Call, plan: Resource) -> None:
    """The provider acts on a plan in the plan's region and in its group's."""
    write_rules.provider_answers(call, plan.location, write_rules.group(call).location)


def _body(call: Call) -> Json:
    if not isinstance(call.body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    return call.body


def put(call: Call, namespace: str) -> Answer:
    """Synchronous: 200 with the plan. Its location cannot be changed."""
    kind = f"{namespace}/plans"
    group, body, existing = write_rules.group(call), _body(call), _plan(call, namespace)
    write_rules.registered(call, namespace)
    if not body.get("location"):
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    location = write_rules.location(call, body["location"], kind)
    write_rules.same_location(existing, body["location"])
    name = existing.name if existing else call.path["name"]
    if not name[:1].isascii() or not name[:1].isalnum():
        raise ArmError(400, "InvalidResourceName", f"The resource name '{name}' is invalid.")
    write_rules.provider_answers(call, location.name, group.location)
    limit = call.world.limit(write_rules.subscription(call).id, location.name, "plans", PLANS)
    others = [r for t in NAMESPACES for r in call.world.under(f"/subscriptions/{group.subscription}", f"{t}/plans")]
    if existing is None and len(others) >= limit:
        raise ArmError(403, "ExceededQuota", f"You have exceeded the Codespace quota. Plans per subscription: {limit}.")
    plan = existing or Resource(f"{group.id}/providers/{kind}/{name}", kind, name, location.name)
    plan.tags = dict(body.get("tags") or {})
    plan.properties = dict(body.get("properties") or {})
    plan.extra = {key: body[key] for key in EXTRA if body.get(key)}
    if (plan.extra.get("identity") or {}).get("type") == "SystemAssigned":
        principal = call.world.named_id("plan", plan.id.lower())
        plan.extra["identity"] = {"type": "SystemAssigned", "principalId": principal, "tenantId": call.world.tenant}
    return Answer(body=resource_body(call.world.put(plan)))


def get(call: Call, namespace: str) -> Answer:
    return Answer(body=resource_body(_found(call, namespace)))


def patch(call: Call, namespace: str) -> Answer:
    plan, body = _found(call, namespace), _body(call)
    write_rules.same_location(plan, body.get("location", plan.location))
    _answers(call, plan)
    plan.tags = dict(body.get("tags", plan.tags) or {})
    plan.properties |= body.get("properties") or {}
    plan.extra |= {key: body[key] for key in EXTRA if body.get(key)}
    return Answer(body=resource_body(call.world.put(plan)))


def delete(call: Call, namespace: str) -> Answer:
    """200, or 204 where there was none; its environments go with it."""
    plan = _plan(call, namespace)
    if plan is None:
        return Answer(204)
    _answers(call, plan)
    for environment in of_plan(call.world, plan.id):
        del call.world.environments[environment.id]
    call.world.remove(plan.id)
    return Answer(200)


def list_group(call: Call, namespace: str) -> Answer:
    plans = call.world.under(write_rules.group(call).id, f"{namespace}/plans")
    return page([resource_body(plan) for plan in plans], call.query, call.link)


def list_subscription(call: Call, namespace: str) -> Answer:
    plans = call.world.under(f"/subscriptions/{write_rules.subscription(call).id}", f"{namespace}/plans")
    return page([resource_body(plan) for plan in plans], call.query, call.link)


def _grant(call: Call, namespace: str, right: str, owner: str, ends: float, only: list[str] | None = None) -> Answer:
    """An access token for the environment service. It counts in real time, as every token does."""
    plan = _found(call, namespace)
    _answers(call, plan)
    now = time.time()
    ends = min(ends or now + call.world.expires_in, now + LONGEST)
    if ends <= now:
        raise ArmError(400, "InvalidExpiration", "The requested expiration is in the past.")
    tid, _, oid = owner.partition("_")
    serial = len(call.world.service_tokens)
    claims = {"iat": int(now), "exp": int(ends), "tid": tid, "oid": oid, "plan": plan.id, "scp": right, "uti": serial}
    bearer = jwt(claims)
    role = call.principal.role
    token = {"plan": plan.id, "right": right, "owner": owner, "ends": ends, "only": only, "role": role}
    call.world.service_tokens[bearer] = token
    call.note["subject"] = plan.id
    return Answer(body={"accessToken": bearer})


def _seconds(value: Any) -> float:
    """``expiration`` in UNIX seconds; the specification's own example has milliseconds."""
    try:
        number = float(value or 0)
    except (TypeError, ValueError):
        raise ArmError(400, "InvalidExpiration", f"The expiration '{value}' is invalid.") from None
    return number / 1000 if number > 1e11 else number


def _token(right: str) -> Callable[[Call, str], Answer]:
    def handler(call: Call, namespace: str) -> Answer:
        return _grant(call, namespace, right, call.principal.owner, _seconds(call.query.get("expiration")))

    return handler


def delegate(call: Call, namespace: str) -> Answer:
    """A token that acts as somebody else: {scope, expiration, identity{id, username, displayName}, environmentIds}."""
    body = _body(call)
    who = body.get("identity") or {}
    if not body.get("scope") or not all(who.get(key) for key in ("id", "username", "displayName")):
        raise ArmError(400, "InvalidRequestContent", "scope and identity (id, username, displayName) are required.")
    owner = who["id"] if "_" in who["id"] else f"{call.world.tenant}_{who['id']}"
    only = body.get("environmentIds") or None
    return _grant(call, namespace, "write", owner, _seconds(body.get("expiration")), only)


def _routes(namespace: str, noun: str) -> list[Route]:
    kind = f"{namespace}/plans"
    by_group = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{kind}"
    single = f"{by_group}/{{name}}"

    def route(method: str, pattern: str, handler: Callable[[Call, str], Answer], action: str) -> Route:
        token = "/action" in action
        return Route(method, pattern, lambda call: handler(call, namespace), action, kind="token" if token else "")

    return [
        route("PUT", single, put, f"{kind}/write"),
        route("GET", single, get, f"{kind}/read"),
        route("PATCH", single, patch, f"{kind}/write"),
        route("DELETE", single, delete, f"{kind}/delete"),
        route("GET", by_group, list_group, f"{kind}/read"),
        route("GET", f"/subscriptions/{{subscription}}/providers/{kind}", list_subscription, f"{kind}/read"),
        route("POST", f"{single}/writeDelegates", delegate, f"{kind}/writeDelegates/action"),
        route("POST", f"{single}/readAll{noun}", _token("read"), f"{kind}/readAll{noun}/action"),
    ]


ROUTES = [route for namespace, noun in NAMESPACES.items() for route in _routes(namespace, noun)]
