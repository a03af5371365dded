"""A small estate with Automation accounts and workers, and the genuine clients that ask for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from azure.mgmt.automation import AutomationClient
from azure.mgmt.hybridcompute import HybridComputeManagementClient

from drkit.simulator.core.clock import SimulatedClock
from drkit.simulator.hybrid_worker.model import service_url
from tests.support.simulator_thread import SUB, Running, group_id, host, vm_id

GUIDS = {
    "auto-we": "11111111-aaaa-4aaa-8aaa-000000000001",
    "auto-eus": "22222222-aaaa-4aaa-8aaa-000000000002",
    "auto-dr": "33333333-aaaa-4aaa-8aaa-000000000003",
}
REGIONS = {"auto-we": "westeurope", "auto-eus": "eastus", "auto-dr": "eastus"}
IN = {"auto-we": "dev-we", "auto-eus": "dev-eus", "auto-dr": "dev-eus"}
NAME = "HybridWorkerExtension"
PUBLISHER = "Microsoft.Azure.Automation.HybridWorker"
CUPBOARD = f"{group_id('dev-ne')}/providers/Microsoft.HybridCompute/machines/cupboard"
WORKERS = {
    vm_id("web-01"): "aaaaaaaa-0000-4000-8000-000000000001",
    vm_id("web-02", "dev-we"): "aaaaaaaa-0000-4000-8000-000000000002",
    vm_id("stray", "dev-we"): "aaaaaaaa-0000-4000-8000-000000000003",
    CUPBOARD: "aaaaaaaa-0000-4000-8000-000000000004",
}
NEW = "bbbbbbbb-0000-4000-8000-000000000001"


def account_id(name: str) -> str:
    return f"{group_id(IN[name])}/providers/Microsoft.Automation/automationAccounts/{name}"


def url(name: str) -> str:
    return service_url(GUIDS[name], REGIONS[name])


def installed(account: str = "auto-we", **more: Any) -> dict[str, Any]:
    """An extension on a host of the seed."""
    settings = {"AutomationAccountURL": url(account)}
    return {"name": NAME, "publisher": PUBLISHER, "type": "HybridWorkerForLinux", "settings": settings, **more}


def wanted(account: str, location: str = "northeurope", **more: Any) -> dict[str, Any]:
    """The body that installs the extension, as the documentation has it."""
    properties = {
        "publisher": PUBLISHER,
        "type": "HybridWorkerForLinux",
        "typeHandlerVersion": "1.1",
        "autoUpgradeMinorVersion": True,
        "enableAutomaticUpgrade": True,
        "settings": {"AutomationAccountURL": url(account)},
        **more,
    }
    return {"location": location, "properties": properties}


def estate() -> dict[str, Any]:
    """Changes to the test seed: an account in West Europe with four workers, one in East US, and a replica there."""

    def account(name: str, **more: Any) -> dict[str, Any]:
        held = {"id": account_id(name), "location": REGIONS[name], "account_id": GUIDS[name], "identity": True}
        return {**held, **more}

    machines = [{"id": guid, "machine": machine} for machine, guid in WORKERS.items()]
    assets = {
        "runbooks": {"Nightly": {"runbookType": "PowerShell", "state": "Published"}},
        "credentials": {"lab-runas": {"userName": "lab"}},
        "variables": {"Secret": {"isEncrypted": True}},
        "schedules": {"nightly": {"isEnabled": True, "frequency": "Day"}},
        "jobSchedules": {
            NEW: {"runbook": {"name": "Nightly"}, "schedule": {"name": "nightly"}, "runOn": "linux"},
        },
        "python3Packages": {"paramiko": {"version": "3.4.0"}},
    }
    own = {"identity": True}
    arc = {"id": CUPBOARD, "kind": "arc", "hostname": "cupboard", "location": "northeurope"}
    return {
        "groups": [
            {"id": group_id("dev-ne"), "location": "northeurope"},
            {"id": group_id("dev-we"), "location": "westeurope"},
            {"id": group_id("dev-eus"), "location": "eastus"},
        ],
        "hosts": [
            host("web-01", "dev-ne", "northeurope", extensions=[installed(protected={"Proxy_URL": "s3cret"})], vm=own),
            host("web-02", "dev-we", "westeurope", extensions=[installed()], vm=own),
            host("stray", "dev-we", "northeurope", extensions=[installed()], vm=own),
            host("plain", "dev-ne", "northeurope", vm=own),
            host("nameless", "dev-ne", "northeurope"),
            {**arc, "extensions": [installed(version="1.1.13")]},
        ],
        "automation": [
            account("auto-we", assets=assets, groups=[{"name": "linux", "workers": machines}]),
            account("auto-eus", groups=[{"name": "builds", "credential": "runas"}]),
            account("auto-dr", tags={"drkit-target": "true"}),
        ],
    }


def automation(azure: Running, role: str = "owner") -> Any:
    """The SDK's client; bodies are given to it as the documentation writes them."""
    return AutomationClient(azure.credential(role), SUB, **azure.client_options())


def arc(azure: Running, role: str = "owner") -> Any:
    """What the SDK does to extensions of Arc machines."""
    return HybridComputeManagementClient(azure.credential(role), SUB, **azure.client_options()).machine_extensions


def vms(azure: Running, role: str = "owner") -> Any:
    """What the SDK does to extensions of VMs."""
    return azure.compute(role).virtual_machine_extensions


def wait(azure: Running, seconds: float) -> None:
    """Lets simulated time pass; the next request finds it gone."""
    clock = azure.simulator.world.clock
    azure.simulator.world.clock = SimulatedClock(clock.origin + timedelta(seconds=seconds), clock.started, clock.speed)


def workers(azure: Running, account: str = "auto-we", group: str = "linux") -> dict[str, Any]:
    """The workers of a group, by the machine's name."""
    found = automation(azure).hybrid_runbook_workers.list_by_hybrid_runbook_worker_group(IN[account], account, group)
    return {str(one.worker_name): one for one in found}


def join(azure: Running, machine: str, guid: str = NEW, account: str = "auto-dr", group: str = "linux") -> Any:
    """A machine added to a group that is made if need be."""
    client = automation(azure)
    client.hybrid_runbook_worker_group.create(IN[account], account, group, {})
    body: Any = {"properties": {"vmResourceId": machine}}
    return client.hybrid_runbook_workers.create(IN[account], account, group, guid, body)
