"""Codespaces, the wire: plans through ARM, environments through their regional service, as the official client speaks it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from drkit.errors import CloudError, ForbiddenError, UnreachableError
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import Environment, Plan, Reading, Risk, region_name
from drkit.model.ids import ArmId
from drkit.products.codespaces.settings import (
    DELEGATE_ACTION,
    NAME,
    REGIONS,
    environments_url,
    health_url,
    regional_host,
)

if TYPE_CHECKING:
    from drkit.providers.session import Session

API_VERSIONS = {"microsoft.vsonline": "2020-05-26-preview", "microsoft.codespaces": "2020-06-16"}
LIST_ACTION = {"microsoft.vsonline": "readAllEnvironments", "microsoft.codespaces": "readAllCodespaces"}
TOKEN_SECONDS = 240.0
# MessageCodes the service answers with (its published OpenAPI, 2020-09-24).
NAME_EXISTS = "2"
MESSAGES = {
    "1": "the quota of environments is used up",
    "2": "an environment of that name exists already, perhaps one nobody can see",
    "8": "the service could not allocate resources",
    "12": "the SKU is not offered",
    "18": "the subscription is banned",
    "20": "the subscription is not registered",
    "22": "the subscription cannot do this",
    "23": "an environment cannot change its region",
    "24": "the service does not know the plan",
    "27": "the plan belongs to another tenant",
}


def namespace(plan_id: str) -> str:
    """``microsoft.vsonline`` or ``microsoft.codespaces``, of a plan's id."""
    return ArmId(plan_id).segment("providers").lower()


def api_version(plan_id: str) -> str:
    """The api-version that knows this plan's type."""
    return API_VERSIONS[namespace(plan_id)]


class Tokens:
    """Plan access tokens, kept in memory for a few minutes (real time: it is their lifetime that counts)."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[str, float]] = {}

    async def listing(self, azure: Session, plan_id: str) -> str:
        """A token that lists every environment of the plan."""
        key = (id(azure), plan_id.lower())
        token, until = self._kept.get(key, ("", 0.0))
        if time.monotonic() < until:
            return token
        token = await self._mint(azure, plan_id, LIST_ACTION[namespace(plan_id)], None)
        self._kept[key] = (token, time.monotonic() + TOKEN_SECONDS)
        return token

    async def delegate(self, azure: Session, plan_id: str, owner: str, only: str = "") -> str:
        """A one-use token that acts for ``owner`` (``{tid}_{oid}``); ``only``: on the environment of that id and no other."""
        body: dict[str, Any] = {
            "scope": "write:environments",
            "identity": {"id": owner, "username": owner, "displayName": owner},
        }
        if only:
            body["environmentIds"] = [only]
        return await self._mint(azure, plan_id, DELEGATE_ACTION, body)

    def forget(self, azure: Session, plan_id: str) -> None:
        """Drop a listing token that was refused."""
        self._kept.pop((id(azure), plan_id.lower()), None)

    async def _mint(self, azure: Session, plan_id: str, action: str, body: Mapping[str, Any] | None) -> str:
        response = await azure.rest.request(
            "POST", f"{plan_id}/{action}", params={"api-version": api_version(plan_id)}, json=body
        )
        token = response.body.get("accessToken") if isinstance(response.body, dict) else None
        if not isinstance(token, str) or not token:
            raise UnreachableError("answered without an access token", where=f"{plan_id}/{action}", remedy="try again")
        return token


async def healthy(azure: Session, region: str, service: str, clock: Clock) -> Reading:
    """Whether the regional service answers at all: ``yes`` on HTTP 200, ``no`` on anything else or nothing, ``unknown`` when not asked."""
    return await answers(azure, region, health_url(region, service), clock)


async def answers(azure: Session, region: str, url: str, clock: Clock) -> Reading:
    """The same of a URL of the region's service. A redirect to another host is not that service's answer."""
    now = rfc3339(clock.now())
    try:
        with azure.budget(attempts=1, seconds=5):
            response = await azure.rest.request("GET", url, anonymous=True)
    except CloudError as error:
        return Reading(region, "service", "no", url, now, error.what)
    return Reading(region, "service", "yes" if response.status == 200 else "no", url, now, f"HTTP {response.status}")


async def locations(azure: Session, service: str, clock: Clock) -> list[Reading]:
    """Which regions the service itself lists as available, asked of its global host; one reading, or ``unknown``."""
    url, now = f"https://{service}/api/v1/locations", rfc3339(clock.now())
    try:
        with azure.budget(attempts=1, seconds=5):
            answer = await azure.rest.request("GET", url, anonymous=True, trusted_hosts=_trusted(service))
    except CloudError as error:
        return [Reading("locations", "status", "unknown", url, now, error.what)]
    named = answer.body.get("available") if isinstance(answer.body, dict) else None
    if not isinstance(named, list):
        return [Reading("locations", "status", "unknown", url, now, "the answer holds no list of them")]
    return [Reading("locations", "status", ", ".join(sorted(region_name(str(name)) for name in named)), url, now)]


async def listed(azure: Session, tokens: Tokens, plan_id: str, region: str, service: str) -> list[dict[str, Any]]:
    """The environments of a plan as its regional service lists them. A refused token is minted again once."""
    url = environments_url(region, service)
    for last in (False, True):
        token = await tokens.listing(azure, plan_id)
        try:
            response = await azure.rest.request(
                "GET", url, params={"planId": plan_id}, token=token, trusted_hosts=_trusted(service)
            )
        except ForbiddenError:
            tokens.forget(azure, plan_id)
            if last:
                raise
            continue
        if not isinstance(response.body, list):
            raise UnreachableError("answered with something other than a list", where=url, remedy="try again")
        return [item for item in response.body if isinstance(item, dict)]
    return []


async def create(
    azure: Session, tokens: Tokens, plan_id: str, region: str, service: str, body: Mapping[str, Any], owner: str
) -> dict[str, Any]:
    """Make one managed environment for its owner; the service's answer. ConflictError code 2 when the name is held."""
    token = await tokens.delegate(azure, plan_id, owner)
    response = await azure.rest.request(
        "POST", environments_url(region, service), json=body, token=token, trusted_hosts=_trusted(service)
    )
    return response.body if isinstance(response.body, dict) else {}


async def delete(
    azure: Session, tokens: Tokens, plan_id: str, region: str, service: str, environment: str, owner: str
) -> None:
    """Delete one environment by its id, with a token that is good for it alone. One that is not there is deleted."""
    token = await tokens.delegate(azure, plan_id, owner, only=environment)
    url = f"{environments_url(region, service)}/{quote(environment, safe='')}"
    await azure.rest.request("DELETE", url, token=token, trusted_hosts=_trusted(service), allow=(404,))


def _trusted(service: str) -> Sequence[str]:
    return (service, *(regional_host(region, service) for region in REGIONS))


def environment_of(item: Mapping[str, Any], plan: Plan) -> Environment | None:
    """An environment from its wire form; None when it has no id."""
    environment_id = _text(item.get("id"))
    if not environment_id:
        return None
    seed = item.get("seed") if isinstance(item.get("seed"), Mapping) else {}
    moniker = _text(_any(seed, "moniker", "seedMoniker"))
    repository, _, branch = moniker.partition("/tree/")
    connection = item.get("connection") if isinstance(item.get("connection"), Mapping) else {}
    settings = {
        key: item[key]
        for key in ("autoShutdownDelayMinutes", "location", "containerImage", "platform", "recentFolders")
        if item.get(key) is not None
    }
    if isinstance(seed, Mapping) and seed.get("gitConfig"):
        settings["gitConfig"] = seed["gitConfig"]
    return Environment(
        id=environment_id,
        product=NAME,
        plan=plan.id,
        name=_text(item.get("friendlyName")) or environment_id,
        kind="managed" if _text(item.get("type")).lower() == "cloudenvironment" else "self-hosted",
        state=_text(item.get("state")),
        owner=_text(item.get("ownerId")),
        repository=repository,
        branch=branch,
        sku=_text(item.get("skuName")),
        workspace=_text(_any(connection, "sessionPath", "connectionSessionPath")),
        data_at_risk=_risk(item),
        last_used=_text(item.get("lastUsed")),
        settings=settings,
    )


def _risk(item: Mapping[str, Any]) -> Risk:
    unpushed = item.get("hasUnpushedGitChanges")
    if not isinstance(unpushed, bool):
        return "unknown"
    return "unpushed" if unpushed else "pushed"


def _any(mapping: Any, *names: str) -> Any:
    if isinstance(mapping, Mapping):
        for name in names:
            if mapping.get(name) is not None:
                return mapping[name]
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def plan_of(item: Mapping[str, Any], groups: Mapping[str, str], now: str) -> Plan:
    """A plan from its wire form; ``groups``: lower-cased group name -> its location."""
    plan_id = str(item.get("id", ""))
    group = ArmId(plan_id).resource_group
    tags = item.get("tags")
    properties = item.get("properties")
    sku = item.get("sku")
    return Plan(
        id=plan_id,
        product=NAME,
        name=str(item.get("name", "")),
        region=region_name(str(item.get("location", ""))),
        subscription=ArmId(plan_id).subscription,
        resource_group=group,
        group_region=region_name(groups.get(group.lower(), "")),
        tags={str(key): str(value) for key, value in tags.items()} if isinstance(tags, Mapping) else {},
        sku=dict(sku) if isinstance(sku, Mapping) else None,
        properties={
            **(properties if isinstance(properties, Mapping) else {}),
            **({"identity": item["identity"]} if isinstance(item.get("identity"), Mapping) else {}),
        },
        captured=now,
    )


def find(
    items: Sequence[Mapping[str, Any]], names: Sequence[str], owner: str, stale: Collection[str] = ()
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Among listed environments: the owner's one of one of these names, and one of such a name that is somebody else's.

    ``stale``: ids of records that were left behind, and are neither.
    """
    wanted = {name.lower() for name in names}
    passed = {record.lower() for record in stale}
    ours = other = None
    for item in items:
        if _text(item.get("id")).lower() in passed:
            continue
        if _text(item.get("friendlyName")).lower() in wanted:
            if not owner or _text(item.get("ownerId")).lower() == owner.lower():
                ours = ours or item
            else:
                other = other or item
    return ours, other
