"""The small estate of a story: one host to watch, peers in its region and zone, others as control.

The plan is in East US and stays available, so that the verdict is about the host.
"""

from __future__ import annotations

import uuid
from typing import Any

from drkit.simulator.hosts.machine import host_keys, mac

Json = dict[str, Any]
SPACE = uuid.UUID("2f6e0d8b-5f0a-4c46-9a0f-3f3d1c9b7e52")
REGISTRATION = "~/.vsonline/environment.json"
SUBSCRIPTION = str(uuid.uuid5(SPACE, "subscription"))
TENANT = str(uuid.uuid5(SPACE, "tenant"))
GROUPS = {
    "rg-plan-eus": "eastus",
    "rg-hosts-weu": "westeurope",
    "rg-moved-weu": "westeurope",
    "rg-hosts-neu": "northeurope",
    "rg-hosts-neu-asr": "northeurope",
    "rg-vault-neu": "northeurope",
}
PEERS = {"vm-peer-1": ("westeurope", "1"), "vm-peer-2": ("westeurope", "2"), "vm-peer-3": ("westeurope", "2")}
CONTROLS = {"vm-control-1": ("northeurope", "1"), "vm-control-2": ("northeurope", "1")}
HEALTH_DELAY = [2, 8]
WATCHED, RACK = "vm-build", "rack-2-node-7"


def guid(*names: str) -> str:
    return str(uuid.uuid5(SPACE, "/".join(names)))


def group(name: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"


def vm(name: str, at: str = "rg-hosts-weu") -> str:
    return f"{group(at)}/providers/Microsoft.Compute/virtualMachines/{name}"


def arc(name: str = WATCHED) -> str:
    return f"{group('rg-hosts-neu')}/providers/Microsoft.HybridCompute/machines/{name}"


PLAN = f"{group('rg-plan-eus')}/providers/Microsoft.VSOnline/plans/plan-eastus"
VAULT = f"{group('rg-vault-neu')}/providers/Microsoft.RecoveryServices/vaults/vault-neu"
OWNER = f"{TENANT}_{guid('person')}"


def subject(kind: str) -> str:
    """The id of the host to watch."""
    return {"azure-vm": vm(WATCHED), "arc": arc(), "physical": RACK}[kind]


def estate(
    *,
    kind: str = "azure-vm",
    ephemeral: bool = False,
    protected: bool = False,
    health_delay: list[float] | None = None,
) -> Json:
    """The estate as a simulator's seed. ``kind`` of the watched host; ``protected``: Site Recovery replicates it."""
    watched = _host(subject(kind), kind, RACK if kind == "physical" else WATCHED, "westeurope", "1", 0)
    watched |= {"ephemeral": True} if ephemeral else {}
    others = [
        _host(vm(name, f"rg-hosts-{'weu' if place[0] == 'westeurope' else 'neu'}"), "azure-vm", name, *place, number)
        for number, (name, place) in enumerate((PEERS | CONTROLS).items(), 1)
    ]
    hosts = [_registered(watched, "build"), _registered(others[3], "control"), *others[:3], *others[4:]]
    resources: list[Json] = [
        {"id": PLAN, "location": "eastus", "properties": {"userId": OWNER}},
        *([_arc_machine(watched)] if kind == "arc" else []),
        *([{"id": VAULT, "location": "northeurope", "properties": {}}] if protected else []),
    ]
    entry = {"vault": VAULT, "host": vm(WATCHED), "group": group("rg-hosts-neu-asr"), "location": "northeurope"}
    return {
        "drkit": "simulator-seed/1",
        "seed": 5,
        "tenant": {"id": TENANT, "domain": "contoso.com"},
        "registration_path": REGISTRATION,
        "subscriptions": [{"id": SUBSCRIPTION, "name": "Contoso Development"}],
        "groups": [{"id": group(name), "location": region} for name, region in GROUPS.items()],
        "resources": resources,
        "hosts": hosts,
        "environments": [_environment("build"), _environment("control")],
        "people": [{"owner": OWNER, "name": "Ada Moreau", "ready_after": 60, "signs_in_after": 60}],
        "protected": [entry] if protected else [],
        "signals": {"delays": {"resource_health": health_delay or HEALTH_DELAY}},
        "settings": {
            "codespaces": {"registration": REGISTRATION},
            "host": [_by_hand(watched)] if kind != "azure-vm" else [],
        },
    }


def _host(host_id: str, kind: str, name: str, region: str, zone: str, number: int) -> Json:
    machine, smbios = guid("machine", name).replace("-", ""), guid("smbios", name)
    entry: Json = {
        "id": host_id,
        "kind": kind,
        "hostname": name,
        "location": {"azure-vm": region, "arc": "northeurope"}.get(kind, ""),
        "machine_id": machine,
        "boot_id": guid("boot", name),
        "vm_id": smbios,
        "host_keys": host_keys(machine),
        "macs": [mac(smbios)],
        "cli": True,
    }
    if kind == "azure-vm":
        site = {"westeurope": "AMS", "northeurope": "DUB"}[region]
        entry |= {"zone": zone, "physical_host": f"{site}{20 + number}PrdApp{10 + number}"}
        entry["vm"] = {"created": f"2026-10-{1 + number:02}T08:00:00Z"}
    return entry


def _registered(host: Json, name: str) -> Json:
    """With an environment of the plan registered from it."""
    path = REGISTRATION.replace("~", "/home/ada")
    return host | {
        "accounts": {"ada": {"home": "/home/ada", "person": OWNER}},
        "folders": ["/home/ada/src"],
        "registrations": [{"id": guid("environment", name), "user": "ada", "path": path}],
    }


def _environment(name: str) -> Json:
    times = dict.fromkeys(("created", "updated", "lastUsed"), "2026-11-01T09:00:00Z")
    return {
        "id": guid("environment", name),
        "friendlyName": name,
        "planId": PLAN,
        "ownerId": OWNER,
        "type": "staticEnvironment",
        "state": "Available",
        "recentFolders": ["/home/ada/src"],
        **times,
    }


def _arc_machine(host: Json) -> Json:
    properties = {
        "status": "Connected",
        "osType": "linux",
        "vmId": guid("arc", WATCHED),
        "vmUuid": host["vm_id"],
        "agentVersion": "1.58.03228.2672",
        "lastStatusChange": "2026-11-01T09:00:00Z",
        "provisioningState": "Succeeded",
    }
    return {"id": host["id"], "location": "northeurope", "properties": properties}


def _by_hand(host: Json) -> Json:
    return {
        "environment": guid("environment", "build"),
        "name": "build",
        "host": host["id"],
        "channel": "manual",
        "user": "ada",
        "workspace": "/home/ada/src",
    }
