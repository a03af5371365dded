"""Hybrid workers, the wire: Automation accounts, worker groups, workers, and the extension on each machine, through ARM.

azure-rest-api-specs, specification/automation (2024-10-23), compute (virtualMachineExtensions) and hybridcompute
(machineExtensions); https://learn.microsoft.com/azure/automation/extension-based-hybrid-runbook-worker-install.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError, UnreachableError
from drkit.model.answers import segment
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Environment, HostLink, Plan, Reading, region_name
from drkit.model.ids import ArmId
from drkit.products.hybrid_worker.settings import NAME, PUBLISHER, URL, is_service

if TYPE_CHECKING:
    from drkit.providers.session import Session

API = "2024-10-23"
MACHINE_API = {"microsoft.compute": "2026-04-01", "microsoft.hybridcompute": "2026-07-15"}
PERMISSIONS_API = "2022-04-01"
ASSETS = (
    "runbooks",
    "modules",
    "connections",
    "credentials",
    "certificates",
    "variables",
    "schedules",
    "jobSchedules",
    "python2Packages",
    "python3Packages",
)
KEPT = ("automationHybridServiceUrl", "publicNetworkAccess", "disableLocalAuth", "sku", "encryption")
# Properties of an extension that are its state, and not its configuration.
TOLD = frozenset({"provisioningState", "instanceView", "protectedSettings"})
ANY_ANSWER = tuple(range(400, 600))


def machine_api(machine: str) -> str:
    """The api-version of a machine's extensions; KeyError for what is neither a VM nor an Arc machine."""
    return MACHINE_API[ArmId(machine).segment("providers").lower()]


async def answers(azure: Session, region: str, url: str, clock: Clock) -> Reading:
    """Whether an account's own regional service answers: ``yes`` on any HTTP answer, ``no`` on none, ``unknown`` without address."""
    now = rfc3339(clock.now())
    if not url:
        return Reading(
            region, "service", "unknown", "Automation: regional service", now, "the account gives no address"
        )
    if not is_service(url):
        return Reading(
            region, "service", "unknown", url[:200], now, "the account gives an address that is not Automation's"
        )
    try:
        with azure.budget(attempts=1, seconds=5):
            response = await azure.rest.request("GET", url, anonymous=True, allow=ANY_ANSWER, plain=True)
    except CloudError as error:
        # An answer that the pipeline makes an error of is an answer all the same; being sent elsewhere is none of its own.
        answered = "yes" if error.status and not 300 <= error.status < 400 else "no"
        return Reading(region, "service", answered, url, now, error.what)
    return Reading(region, "service", "yes", url, now, f"HTTP {response.status}")


async def account(azure: Session, account_id: str) -> dict[str, Any]:
    """One account, with its address. Of a lost region ARM gives what it last knew."""
    return await azure.resources.resource(account_id, API)


async def below(azure: Session, account_id: str, path: str) -> list[dict[str, Any]]:
    """A list below an account: ``hybridRunbookWorkerGroups``, ``runbooks`` …"""
    pages = azure.rest.pages(f"{account_id}/{path}", {"api-version": API})
    return [item async for item in pages if isinstance(item, dict)]


async def workers(azure: Session, account_id: str, group: str) -> list[dict[str, Any]]:
    """The workers of a group; none where there is no such group."""
    path = f"{account_id}/hybridRunbookWorkerGroups/{segment(group)}/hybridRunbookWorkers"
    try:
        return await below(azure, account_id, path.removeprefix(f"{account_id}/"))
    except CloudError as error:
        if error.status == 404:
            return []
        raise


async def worker_of(
    azure: Session, account_id: str, group: str, machine: str, known: str = ""
) -> dict[str, Any] | None:
    """The worker of a group for that machine. ``known``: the id that drkit would have given it.

    ARM may answer a list from a cache, so that what was made a moment ago is missing: it is asked for by its id then.
    """
    for item in await workers(azure, account_id, group):
        if _is_of(item, machine):
            return item
    if not known:
        return None
    path = f"{account_id}/hybridRunbookWorkerGroups/{segment(group)}/hybridRunbookWorkers/{segment(known)}"
    answer = await azure.rest.request("GET", path, params={"api-version": API}, allow=(404,))
    return (
        answer.body if answer.status == 200 and isinstance(answer.body, dict) and _is_of(answer.body, machine) else None
    )


def _is_of(item: Mapping[str, Any], machine: str) -> bool:
    return str((item.get("properties") or {}).get("vmResourceId", "")).lower() == machine.lower()


async def extensions(azure: Session, machine: str) -> list[dict[str, Any]]:
    """The extensions of a VM or an Arc machine."""
    pages = azure.rest.pages(f"{machine}/extensions", {"api-version": machine_api(machine)})
    return [item async for item in pages if isinstance(item, dict)]


async def extension(azure: Session, machine: str, name: str) -> dict[str, Any] | None:
    """One extension, None where there is none."""
    params = {"api-version": machine_api(machine)}
    answer = await azure.rest.request("GET", f"{machine}/extensions/{segment(name)}", params=params, allow=(404,))
    return answer.body if answer.status != 404 and isinstance(answer.body, dict) else None


async def permitted(azure: Session, machine: str) -> bool:
    """Whether this identity may write and delete extensions of the machine (Permissions - List For Resource)."""
    params = {"api-version": PERMISSIONS_API}
    pages = azure.rest.pages(f"{machine}/providers/Microsoft.Authorization/permissions", params)
    kind = "/".join(machine.strip("/").split("/")[5:7])
    wanted = {f"{kind}/extensions/{verb}".lower() for verb in ("write", "delete")}
    allowed: set[str] = set()
    async for entry in pages:
        yes = [str(action).lower() for action in entry.get("actions") or ()]
        no = [str(action).lower() for action in entry.get("notActions") or ()]
        allowed |= {action for action in wanted if _any(action, yes) and not _any(action, no)}
    return allowed == wanted


def _any(action: str, patterns: list[str]) -> bool:
    """Role definitions know ``*`` for any characters, and nothing else."""
    return any(_matches(action, pattern.split("*")) for pattern in patterns)


def _matches(action: str, parts: list[str]) -> bool:
    if len(parts) == 1:
        return action == parts[0]
    if not action.startswith(parts[0]) or not action.endswith(parts[-1]) or len(action) < len(parts[0] + parts[-1]):
        return False
    at, end = len(parts[0]), len(action) - len(parts[-1])
    for part in parts[1:-1]:
        place = action.find(part, at, end)
        if place < 0:
            return False
        at = place + len(part)
    return True


def is_worker_extension(item: Mapping[str, Any]) -> bool:
    """Whether an extension is the hybrid worker's."""
    return str((item.get("properties") or {}).get("publisher", "")).lower() == PUBLISHER.lower()


def recorded(item: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of an extension, which installs it again. ARM never returns protected settings."""
    properties = {key: value for key, value in (item.get("properties") or {}).items() if key not in TOLD}
    recorded_fields: dict[str, Any] = {"name": str(item.get("name", "")), "properties": properties}
    return recorded_fields | {key: item[key] for key in ("location", "tags") if item.get(key)}


def url_of(item: Mapping[str, Any]) -> str:
    """The account that an extension names."""
    settings = (item.get("properties") or {}).get("settings") or {}
    return str(settings.get(URL, "")) if isinstance(settings, Mapping) else ""


def plan_of(item: Mapping[str, Any], groups: Mapping[str, str], now: str) -> Plan:
    """An account from its wire form; ``groups``: lower-cased group name -> its location."""
    account_id = str(item.get("id", ""))
    group = ArmId(account_id).resource_group
    tags, properties = item.get("tags"), item.get("properties") or {}
    known = {key: properties[key] for key in KEPT if properties.get(key) is not None}
    if isinstance(item.get("identity"), Mapping):
        known["identity"] = item["identity"]
    return Plan(
        id=account_id,
        product=NAME,
        name=str(item.get("name", "")),
        region=region_name(str(item.get("location", ""))),
        subscription=ArmId(account_id).subscription,
        resource_group=group,
        group_region=region_name(groups.get(group.lower(), "")),
        tags={str(key): str(value) for key, value in tags.items()} if isinstance(tags, Mapping) else {},
        properties=known,
        captured=now,
    )


def environment_of(
    item: Mapping[str, Any], plan: Plan, group: str, held: Mapping[str, Any] | None, now: datetime, fresh_minutes: float
) -> Environment:
    """A worker from its wire form, with its machine and the settings of its extension. UnreachableError when it names no machine."""
    properties = item.get("properties") or {}
    machine, seen = properties.get("vmResourceId") or "", str(properties.get("lastSeenDateTime") or "")
    if not isinstance(machine, str):
        raise TypeError("vmResourceId is no text")
    if not machine:
        name = str(properties.get("workerName") or item.get("name") or "a worker without a name")
        raise UnreachableError(f"{name} of group {group} names no machine (vmResourceId)", where=plan.id)
    settings: dict[str, Any] = {"group": group, "last_seen": seen}
    if held is not None:
        settings["extension"] = dict(held)
    return Environment(
        id=str(item.get("name", "")),
        product=NAME,
        plan=plan.id,
        name=str(properties.get("workerName") or machine.rsplit("/", 1)[-1]),
        kind="self-hosted",
        state=state_of(seen, now, fresh_minutes),
        last_used=seen,
        settings=settings,
        host=HostLink(machine, "api"),
    )


def state_of(seen: str, now: datetime, fresh_minutes: float) -> str:
    """``Available`` while its machine reports, ``Unavailable`` when it no longer does, ``Created`` when it never did."""
    moment = seen_at(seen)
    if moment is None:
        return "Created"
    return "Available" if (now - moment).total_seconds() <= fresh_minutes * 60 else "Unavailable"


def seen_at(text: str) -> datetime | None:
    """A last-seen time, None for none."""
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None
