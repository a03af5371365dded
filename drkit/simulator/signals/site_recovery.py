"""Microsoft.RecoveryServices: what Site Recovery replicates from one region to another, and its failovers.

https://learn.microsoft.com/rest/api/site-recovery/replication-protected-items. A failover makes another VM from the
replicated disks in the recovery group; the source may live on.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta

from drkit.simulator.arm import write_rules
from drkit.simulator.arm.compute import make_vm
from drkit.simulator.core.clock import stamp
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, World, normal
from drkit.simulator.core.wire import Answer, page
from drkit.simulator.hosts import events
from drkit.simulator.hosts.machine import SimulatedHost, Surroundings, host_keys, mac
from drkit.simulator.signals import activity_log

VAULT = "Microsoft.RecoveryServices/vaults"
ITEM = f"{VAULT}/replicationFabrics/replicationProtectionContainers/replicationProtectedItems"
TAKES = 300.0
"""Seconds from the start of a failover to the new VM."""
POINTS = timedelta(minutes=5)
"""How often a recovery point is made."""
NEVER = "1753-01-01T01:01:01Z"


@dataclass
class Protected:
    """A VM that is replicated. ``recovered``: the VM after a failover; ``tested``: a test failover's copy."""

    id: str
    vault: str
    lifecycle: str
    source: str
    group: str
    location: str
    recovered: str = ""
    tested: str = ""
    state: str = "Protected"
    under_way: str = ""
    began: datetime | None = None
    failed_over: datetime | None = None
    tested_at: datetime | None = None
    point: str = ""

    @property
    def name(self) -> str:
        return self.id.split("/")[-1]


def protect(world: World, entry: Json) -> None:
    """An item of a seed: {vault, host, group, location}. ValueError for ids that do not exist."""
    vault, host = world.resource(entry["vault"]), world.hosts.get(entry["host"].lower())
    group = world.group(entry["group"])
    if vault is None or not vault.is_a(VAULT) or host is None or group is None:
        raise ValueError("protected: vault, host and group are ARM ids of things in the seed")
    lifecycle = world.named_id("protected", host.id.lower())
    fabric = f"asr-a2a-default-{host.location}"
    path = f"replicationFabrics/{fabric}/replicationProtectionContainers/{fabric}-container"
    item = Protected(
        f"{vault.id}/{path}/replicationProtectedItems/{lifecycle[:8]}-{host.hostname.lower()}",
        vault.id,
        lifecycle,
        host.id,
        group.id,
        normal(entry.get("location", group.location)),
    )
    world.protected.append(item)


def item_of(world: World, host: SimulatedHost) -> Protected:
    """The item of that VM; ValueError where it is not replicated."""
    protected = next(
        (item for item in world.protected if host.id.lower() in (item.source.lower(), item.recovered.lower())), None
    )
    if protected is None:
        raise ValueError(f"{host.id} is not replicated by Site Recovery")
    return protected


# events of hosts


def fail_over(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """An unplanned failover. ``keep``: the source is left running, as it is when it cannot be reached."""
    item = item_of(world, host)
    item.under_way, item.began, item.point = "UnplannedFailover", world.now(), stamp(world.now() - POINTS)
    if not details.get("keep") and host.running:
        events.happen(world, host, "stop", {"by": "Site Recovery"})

    def finish() -> None:
        item.recovered = _copy(world, around, host, item, item.source.split("/")[-1]).id
        item.state, item.under_way, item.failed_over = "UnplannedFailoverCommitPending", "", world.now()

    world.later(TAKES, finish)
    return host


def commit(world: World, _: Surroundings, host: SimulatedHost, __: Json) -> SimulatedHost:
    item_of(world, host).state = "UnplannedFailoverCommitted"
    return host


def fail_over_in_test(world: World, around: Surroundings, host: SimulatedHost, _: Json) -> SimulatedHost:
    """A copy beside the machine, for a drill."""
    item = item_of(world, host)
    item.under_way, item.began = "TestFailover", world.now()

    def finish() -> None:
        item.tested = _copy(world, around, host, item, f"{item.source.split('/')[-1]}-test").id
        item.under_way, item.tested_at = "", world.now()

    world.later(TAKES, finish)
    return host


def clean_up(world: World, _: Surroundings, host: SimulatedHost, __: Json) -> SimulatedHost:
    """Removes the copy of a test failover."""
    item = item_of(world, host)
    if item.tested:
        events.happen(world, world.hosts[item.tested.lower()], "delete", {"by": "Site Recovery"})
    item.tested = ""
    return host


def _copy(world: World, around: Surroundings, host: SimulatedHost, item: Protected, name: str) -> SimulatedHost:
    """A new VM from the replicated disk: another vmId, MAC and host keys, the OS and the registration as they were."""
    made = deepcopy(host)
    made.id = f"{item.group}/providers/Microsoft.Compute/virtualMachines/{name}"
    made.location, made.zone = item.location, ""
    made.vm_id = events.new(made, "vm")
    made.macs = [mac(made.vm_id)]
    made.host_keys = host_keys(made.vm_id)
    made.physical_host = events.node(made)
    made.power, made.silent = "running", False
    make_vm(world, made)
    world.hosts[made.id.lower()] = made
    events.boot(made, around.now())
    activity_log.happened(world, made.id, "Microsoft.Compute/virtualMachines/write", "Site Recovery")
    return made


EVENTS: dict[str, events.Act] = {
    "asr-failover": fail_over,
    "asr-commit": commit,
    "asr-test-failover": fail_over_in_test,
    "asr-cleanup": clean_up,
}


# reading


def item_body(world: World, item: Protected) -> Json:
    """A protected item as the REST API gives it."""
    fabric = "/".join(item.id.split("/")[:11])
    name = item.source.split("/")[-1]
    source = world.hosts.get(item.source.lower())
    primary = source.location if source else fabric.rpartition("-")[2]
    allowed = {"Protected": ["UnplannedFailover", "DisableProtection", "TestFailover"]}
    properties: Json = {
        "friendlyName": name,
        "protectedItemType": "AzureVirtualMachine",
        "protectableItemId": item.source,
        "recoveryServicesProviderId": f"{fabric}/replicationRecoveryServicesProviders/{fabric.split('/')[-1]}",
        "primaryFabricFriendlyName": fabric.split("/")[-1],
        "recoveryFabricFriendlyName": f"asr-a2a-default-{item.location}",
        "recoveryFabricId": f"{item.vault}/replicationFabrics/asr-a2a-default-{item.location}",
        "primaryProtectionContainerFriendlyName": item.id.split("/")[12],
        "recoveryProtectionContainerFriendlyName": f"asr-a2a-default-{item.location}-container",
        "protectionState": item.state,
        "protectionStateDescription": item.state,
        "activeLocation": "Recovery" if item.recovered else "Primary",
        "testFailoverState": "WaitingForCompletion" if item.tested else "None",
        "testFailoverStateDescription": "Cleanup test failover pending" if item.tested else "None",
        "allowedOperations": allowed.get(item.state, ["Commit", "ReverseReplicate"]),
        "replicationHealth": "Normal",
        "policyId": f"{item.vault}/replicationPolicies/24-hour-retention-policy",
        "policyFriendlyName": "24-hour-retention-policy",
        "currentScenario": {
            "scenarioName": item.under_way or "None",
            "jobId": f"{item.vault}/replicationJobs/{item.lifecycle if item.under_way else 'None'}",
            "startTime": stamp(item.began) if item.under_way and item.began else NEVER,
        },
        "recoveryContainerId": f"{item.vault}/replicationFabrics/asr-a2a-default-{item.location}",
        "providerSpecificDetails": {
            "instanceType": "A2A",
            "fabricObjectId": item.source,
            "lifecycleId": item.lifecycle,
            "managementId": item.lifecycle,
            "primaryFabricLocation": primary,
            "recoveryFabricLocation": item.location,
            "osType": source.os.capitalize() if source else "Linux",
            "recoveryAzureVMName": name,
            "recoveryAzureResourceGroupId": item.group,
            "recoveryFabricObjectId": item.recovered or None,
            "testFailoverRecoveryFabricObjectId": item.tested or None,
            "vmProtectionState": "ProtectedSuccessfully" if item.state == "Protected" else item.state,
        },
    }
    if item.failed_over:
        properties["lastSuccessfulFailoverTime"] = stamp(item.failed_over)
        properties["failoverRecoveryPointId"] = f"{item.id}/recoveryPoints/{world.named_id('point', item.point)}"
        properties["providerSpecificDetails"]["lastRpoCalculatedTime"] = item.point
    if item.tested_at:
        properties["lastSuccessfulTestFailoverTime"] = stamp(item.tested_at)
    return {"id": item.id, "name": item.name, "type": ITEM, "properties": properties}


def items(call: Call) -> Answer:
    """Of a vault."""
    at = f"{write_rules.group(call).id}/providers/{VAULT}/{call.path['vault']}".lower()
    bodies = [item_body(call.world, item) for item in call.world.protected if item.vault.lower() == at]
    return page(bodies, call.query, call.link)


ROUTES = [
    Route(
        "GET",
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.RecoveryServices/vaults/{vault}"
        "/replicationProtectedItems",
        items,
        f"{ITEM}/read",
    ),
]
