"""The hybrid workers of the sample estate: an account in West Europe, its replica in East US, and one left in peace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drkit.simulator.hybrid_worker.model import PUBLISHER, URL, service_url

if TYPE_CHECKING:
    from drkit.simulator.samples.estate import Names

Json = dict[str, Any]
GROUPS = {
    "rg-automation-weu": ("platform", "westeurope"),
    "rg-automation-eus": ("platform", "eastus"),
    "rg-automation-dr-eus": ("platform", "eastus"),
}
LOST, CONTROL, REPLICA = "auto-ops-weu", "auto-builds-eus", "auto-ops-dr-eus"
ACCOUNTS = {LOST: "rg-automation-weu", CONTROL: "rg-automation-eus", REPLICA: "rg-automation-dr-eus"}
WORKERS = {
    "vm-jump-neu": (LOST, "ops-workers", "rg-hosts-neu"),
    "vm-artifact-cache": (LOST, "ops-workers", "rg-build-eus"),
    "vm-bastion-weu": (LOST, "ops-workers", "rg-hosts-weu"),
    "lab-microscope-7": (LOST, "lab-workers", "rg-labs-neu"),
    "vm-thesis-box": (LOST, "lab-workers", "rg-labs-uks"),
    "vm-edge-proxy": (CONTROL, "build-workers", "rg-build-eus"),
}
"""Host -> account, worker group, the host's resource group. Bastion is lost with its region, thesis-box gets stopped."""
ARC = "lab-microscope-7"
PROXIED = "vm-artifact-cache"
"""Its worker reaches the service through a proxy, whose address with a password is a protected setting."""
PROXY = "http://worker:Fjord-7741@proxy.halden.example:3128"
CREDENTIAL = {"lab-workers": "lab-runas"}

RUNBOOK = {"runbookType": "PowerShell", "state": "Published", "logVerbose": False, "logProgress": False}
NIGHTLY = {"isEnabled": True, "frequency": "Day", "interval": 1, "timeZone": "Europe/Oslo"}
ASSETS: dict[str, Json] = {
    "runbooks": {"Rotate-Certificates": RUNBOOK, "Sync-ArtifactCache": RUNBOOK, "Start-LabNight": RUNBOOK},
    "modules": {"Halden.Ops": {"isGlobal": False, "provisioningState": "Succeeded", "version": "3.2.1"}},
    "connections": {"artifact-store": {"connectionType": {"name": "AzureServicePrincipal"}}},
    "credentials": {"lab-runas": {"userName": "halden\\lab-runas"}, "registry": {"userName": "registry-sync"}},
    "certificates": {"ops-signing": {"isExportable": False, "expiryTime": "2027-05-01T00:00:00+00:00"}},
    "variables": {
        "CacheLimitGb": {"isEncrypted": False, "value": "500"},
        "LabTicket": {"isEncrypted": True, "value": None},
    },
    "schedules": {"nightly-0200": NIGHTLY, "hourly": NIGHTLY | {"frequency": "Hour"}},
    "python3Packages": {"paramiko": {"version": "3.4.0", "provisioningState": "Succeeded"}},
}
COPIED = ("runbooks", "modules", "variables")
"""What the replica already has: it lacks the rest, and one of the runbooks."""


def account_url(names: Names, account: str) -> str:
    return service_url(names.guid("automation", account), GROUPS[ACCOUNTS[account]][1])


def accounts(names: Names) -> list[Json]:
    """For ``automation`` in a seed. The replica is tagged as the target for its subscription."""
    return [_account(names, name) for name in ACCOUNTS]


def _account(names: Names, name: str) -> Json:
    replica = name == REPLICA
    assets = _assets(names) if name == LOST else {}
    if replica:
        assets = {kind: dict(ASSETS[kind]) for kind in COPIED}
        del assets["runbooks"]["Start-LabNight"]
    groups = dict.fromkeys(group for account, group, _ in WORKERS.values() if account == name)
    return {
        "id": names.automation(name),
        "location": GROUPS[ACCOUNTS[name]][1],
        "tags": {"team": "platform"} | ({"drkit-target": "true"} if replica else {}),
        "account_id": names.guid("automation", name),
        "identity": True,
        "created": "2025-03-14T09:12:44.267+00:00",
        "assets": assets,
        "groups": [
            {"name": group, "credential": CREDENTIAL.get(group, ""), "workers": _workers(names, group)}
            for group in groups
        ],
    }


def _assets(names: Names) -> Json:
    runs = {"Sync-ArtifactCache": ("hourly", "ops-workers"), "Start-LabNight": ("nightly-0200", "lab-workers")}
    links = {
        names.guid("job-schedule", runbook): {"runbook": {"name": runbook}, "schedule": {"name": when}, "runOn": group}
        for runbook, (when, group) in runs.items()
    }
    return {**ASSETS, "jobSchedules": links}


def _workers(names: Names, group: str) -> list[Json]:
    return [
        {"id": names.guid("worker", host), "machine": names.host(host, at), "registered": "2025-03-14T10:02:11+00:00"}
        for host, (_, of, at) in WORKERS.items()
        if of == group
    ]


def settings(names: Names) -> Json:
    """Hints: the hosts whose extension has protected settings, which no request shows; and which account takes over."""
    return {
        "replicas": {names.automation(LOST): names.automation(REPLICA)},
        "protected_settings": {names.host(PROXIED, WORKERS[PROXIED][2]): {"Proxy_URL": PROXY}},
    }


def outfit(names: Names, host: str, entry: Json) -> Json:
    """A host's entry in a seed with its extension and, for a VM, its identity."""
    if host not in WORKERS:
        return entry
    made: Json = {
        "name": "HybridWorkerExtension",
        "publisher": PUBLISHER,
        "type": "HybridWorkerForLinux",
        "version": "1.1.13" if host == ARC else "1.1",
        "settings": {URL: account_url(names, WORKERS[host][0])},
    }
    if host == PROXIED:
        made["protected"] = {"Proxy_URL": PROXY}
        entry["behaviour"] = {**entry.get("behaviour", {}), "proxy": "needed"}
    if host != ARC:
        entry["vm"]["identity"] = True
    return {**entry, "extensions": [made]}
