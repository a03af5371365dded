"""Azure Automation as a model: accounts, hybrid worker groups, workers, and the machines that report to them.

An account's own regional service ("job runtime data service") has a host of the account's own,
``{account id}.jrds.{region's short name}.azure-automation.net``; ``automationHybridServiceUrl`` names it:
https://learn.microsoft.com/azure/automation/how-to/automation-region-dns-records. All accounts of a region are served
by one port, under the name ``*.jrds.…``; it closes with the region.

A machine reports to the account that its extension's ``AutomationAccountURL`` names, every thirty seconds
(https://learn.microsoft.com/azure/automation/troubleshoot/extension-based-hybrid-runbook-worker), and that account
remembers when it last did, if it has a worker with the machine's id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from drkit.simulator.core.state import Json, Resource, World, region_lost
from drkit.simulator.core.wire import parse_id
from drkit.simulator.hosts.machine import InstalledExtension, SimulatedHost, identity

TYPE = "Microsoft.Automation/AutomationAccounts"
"""The type as the provider spells it; ids say ``automationAccounts``."""
PUBLISHER = "Microsoft.Azure.Automation.HybridWorker"
URL = "AutomationAccountURL"
SHORT = {
    "eastus": "eus",
    "eastus2": "eus2",
    "centralus": "cus",
    "westus": "wus",
    "westus2": "wus2",
    "westcentralus": "wcus",
    "northeurope": "ne",
    "westeurope": "we",
    "uksouth": "uks",
    "ukwest": "cw",
    "francecentral": "fc",
    "francesouth": "mrs",
    "germanywestcentral": "dewc",
    "southeastasia": "sea",
    "eastasia": "ea",
}
"""Region -> its name in the host names of its accounts. Automation exists in these regions only."""
DOMAINS = {"germanywestcentral": "azure-automation.de"}
POLL = 30.0  # seconds between two reports of a machine
ASSETS = {
    "runbooks": "Runbooks",
    "modules": "Modules",
    "connections": "Connections",
    "credentials": "Credentials",
    "certificates": "Certificates",
    "variables": "Variables",
    "schedules": "Schedules",
    "jobSchedules": "JobSchedules",
    "python2Packages": "Python2Packages",
    "python3Packages": "Python3Packages",
}
"""What an account holds besides its workers: collection -> the last part of its resource type."""
GLOBAL_MODULES = ("Az.Accounts", "Az.Automation", "Az.Compute")
"""Some of the modules that every account has from the start (``isGlobal``)."""
READS = ("cached", "5xx", "hang")


@dataclass
class HybridWorker:
    """A hybrid runbook worker, extension-based. ``machine``: the ARM id it was added with; ``seen``: its last report."""

    id: str
    machine: str
    registered: datetime
    ip: str | None = None
    seen: datetime | None = None

    @property
    def name(self) -> str:
        return self.machine.rpartition("/")[2]


@dataclass
class WorkerGroup:
    name: str
    created: datetime
    credential: str = ""
    workers: dict[str, HybridWorker] = field(default_factory=dict)
    """By lower-cased id."""


@dataclass
class AutomationAccount:
    """What the provider keeps of an account; its ARM half is a resource of the same id.

    ``refuses``: it takes no worker whose machine still carries another account's extension. ``assets``: collection ->
    bodies as ``GET`` lists them, without ``id``, ``name`` and ``type``, by name.
    """

    id: str
    guid: str
    region: str
    refuses: bool = False
    groups: dict[str, WorkerGroup] = field(default_factory=dict)
    """By lower-cased name."""
    assets: dict[str, dict[str, Json]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return service_url(self.guid, self.region)

    def workers(self) -> Iterator[tuple[WorkerGroup, HybridWorker]]:
        for group in self.groups.values():
            for worker in group.workers.values():
                yield group, worker


# hosts


def wildcard(region: str) -> str:
    """The name under which the hosts of all accounts of a region are served."""
    return f"*.jrds.{SHORT[region]}.{DOMAINS.get(region, 'azure-automation.net')}"


HOSTS: dict[str, str | None] = {wildcard(region): region for region in SHORT}


def service_url(guid: str, region: str) -> str:
    """``automationHybridServiceUrl``."""
    return f"https://{guid}{wildcard(region)[1:]}/automationAccounts/{guid}"


def aliases(world: World) -> dict[str, str]:
    """Host of each account there is -> the name its region's accounts are served under."""
    return {f"{account.guid}{wildcard(account.region)[1:]}": wildcard(account.region) for account in accounts(world)}


def answers(world: World, host: str, path: str) -> int:
    """The status with which an account's own service answers a machine without a token; 0: nothing does."""
    guid, _, rest = host.partition(".")
    region = HOSTS.get(f"*.{rest}")
    if region is None or region_lost(world, region):
        return 0
    return status(world, guid, region, path)


def status(world: World, guid: str, region: str, path: str) -> int:
    """401 below the account's own path; 404 for anything else, and for an account that is not of the region."""
    parts = [part.lower() for part in path.split("/") if part]
    known = any(account.guid == guid.lower() and account.region == region for account in accounts(world))
    return 401 if known and parts[:2] == ["automationaccounts", guid.lower()] else 404


# accounts


def accounts(world: World) -> Iterator[AutomationAccount]:
    """Those whose resource exists."""
    for key, account in world.accounts.items():
        if world.resource(key):
            yield account


def account_of(world: World, resource: Resource) -> AutomationAccount:
    """The account of a resource of that type, made when it was not there before."""
    key = resource.id.lower()
    if key not in world.accounts:
        world.accounts[key] = AutomationAccount(resource.id, world.named_id("automation", key, ""), resource.location)
    return world.accounts[key]


def renew(world: World, resource: Resource) -> AutomationAccount:
    """The account of a resource just created: nothing is left of an earlier one of that name."""
    known = world.accounts.pop(resource.id.lower(), None)
    guid = world.named_id("automation", resource.id.lower(), known.guid if known else "")
    made = AutomationAccount(resource.id, guid, resource.location)
    world.accounts[resource.id.lower()] = made
    return made


def account_at(world: World, url: object) -> AutomationAccount | None:
    """The account that an extension's ``AutomationAccountURL`` leads to."""
    host = (urlsplit(str(url or "")).hostname or "").lower()
    return next((account for account in accounts(world) if urlsplit(account.url).hostname == host), None)


def is_worker(extension: InstalledExtension) -> bool:
    return extension.publisher.lower() == PUBLISHER.lower()


def registered_elsewhere(world: World, account: AutomationAccount, machine: str) -> bool:
    """Whether that machine carries the extension of another account."""
    host = world.hosts.get(machine.lower())
    held = [extension for extension in host.extensions.values() if is_worker(extension)] if host else []
    return any(account_at(world, extension.settings.get(URL)) is not account for extension in held)


def onboard(world: World, host: SimulatedHost, extension: InstalledExtension) -> str:
    """What keeps a machine's extension from becoming a worker, in the extension's words; empty if nothing does."""
    if not is_worker(extension):
        return ""
    resource = world.resource(host.id)
    held = (resource.extra.get("identity") or {}) if resource else {}
    if host.kind == "azure-vm" and "SystemAssigned" not in held.get("type", ""):
        return "Invalid Authorization Token"
    account = account_at(world, extension.settings.get(URL))
    unreached = host.behaviour.get("proxy") == "needed" and not extension.protected
    if account is not None and (unreached or region_lost(world, account.region)):
        return "Unable to connect to the Automation account: the request timed out after 3 attempts"
    if account is None or not any(worker.machine.lower() == host.id.lower() for _, worker in account.workers()):
        return "Account/Group specified does not exist"
    return ""


# reports


def reporting(world: World) -> Iterator[tuple[HybridWorker, SimulatedHost]]:
    """The workers whose machine reports now, each with its machine."""
    for host in world.hosts.values():
        if not host.running or (host.kind == "azure-vm" and region_lost(world, host.location)):
            continue
        for extension in host.extensions.values():
            account = account_at(world, extension.settings.get(URL)) if is_worker(extension) else None
            if extension.state != "Succeeded" or account is None or region_lost(world, account.region):
                continue
            for _, worker in account.workers():
                if worker.machine.lower() == host.id.lower():
                    yield worker, host


def beat(world: World) -> None:
    """Every machine reports, and will again."""
    for worker, host in reporting(world):
        worker.seen = world.now()
        worker.ip = worker.ip or address(host)
    world.later(POLL, lambda: beat(world))


def silence(world: World, region: str, since: datetime) -> None:
    """A region was lost some time ago: nothing of it reported since, nor was reported to it."""
    for account in accounts(world):
        for _, worker in account.workers():
            host = world.hosts.get(worker.machine.lower())
            gone = host is not None and host.kind == "azure-vm" and host.location == region
            if worker.seen and worker.seen > since and (gone or account.region == region):
                worker.seen = since


def address(host: SimulatedHost) -> str:
    number = int(identity(f"{host.id.lower()}/ip")[:8], 16)
    return f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 254 + 1}"


# seed and view


def account_from_seed(world: World, entry: Json) -> None:
    """An account of a seed; the form is in ``seed``."""
    parsed = parse_id(entry["id"])
    if parsed is None or parsed.type.lower() != TYPE.lower() or world.group(entry["id"]) is None:
        raise ValueError(f"{entry['id']} is not an Automation account in a group of the seed")
    location = world.locations[entry["location"]].name
    if location not in SHORT:
        raise ValueError(f"there is no Automation in {location}")
    resource = Resource(entry["id"], TYPE, parsed.name, location, dict(entry.get("tags") or {}))
    if entry.get("identity"):
        resource.extra["identity"] = system_identity(world, entry["id"])
    resource.created = _when(entry.get("created"))
    account = account_of(world, world.put(resource))
    account.guid = entry.get("account_id", account.guid)
    account.refuses = bool(entry.get("refuses", False))
    for key in entry.get("assets", {}).keys() - ASSETS.keys():
        raise ValueError(f"an Automation account has no {key!r}")
    account.assets = {kind: dict(bodies) for kind, bodies in entry.get("assets", {}).items()}
    for group in entry.get("groups", []):
        made = WorkerGroup(group["name"], resource.created or world.now(), group.get("credential", ""))
        account.groups[made.name.lower()] = made
        for worker in group.get("workers", []):
            registered = _when(worker.get("registered")) or world.now()
            member = HybridWorker(
                worker["id"], worker["machine"], registered, worker.get("ip"), _when(worker.get("seen"))
            )
            made.workers[member.id.lower()] = member


def _when(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def system_identity(world: World, resource_id: str) -> Json:
    principal = world.named_id("identity", resource_id.lower())
    return {"type": "SystemAssigned", "principalId": principal, "tenantId": world.tenant}


def describe(account: AutomationAccount, world: World) -> Json:
    """What control shows of it: the truth, also of an account whose region is lost."""
    up = {id(worker) for worker, _ in reporting(world)}
    workers: list[dict[str, Any]] = [
        {
            "group": group.name,
            "id": worker.id,
            "machine": worker.machine,
            "seen": worker.seen,
            "reports": id(worker) in up,
        }
        for group, worker in account.workers()
    ]
    return {
        "id": account.id,
        "region": account.region,
        "url": account.url,
        "refuses": account.refuses,
        "groups": [group.name for group in account.groups.values()],
        "workers": workers,
    }
