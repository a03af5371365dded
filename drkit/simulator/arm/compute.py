"""Microsoft.Compute: virtual machines, their instance view, and the run-command action.

https://learn.microsoft.com/rest/api/compute/virtual-machines and
https://learn.microsoft.com/azure/virtual-machines/run-command-overview
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from drkit.simulator.arm import resource_manager, write_rules
from drkit.simulator.codespaces.environments import surroundings
from drkit.simulator.core.clock import stamp
from drkit.simulator.core.operations import begin, busy, headers
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import AsyncOperation, Json, Resource, World, region_lost
from drkit.simulator.core.wire import Answer, ArmError, page, resource_body
from drkit.simulator.hosts import scripts
from drkit.simulator.hosts.machine import SimulatedHost, host_from_seed

VM = "Microsoft.Compute/virtualMachines"
DISK = "Microsoft.Compute/disks"
SIZE = "Standard_D2s_v5"
OUTPUT = 4096  # bytes of output that a run command keeps, the last ones
SHORTEST = 20.0  # seconds a run command takes at least
LONGEST = 5400.0  # seconds after which a run command is given up, https://learn.microsoft.com/azure/virtual-machines/run-command-overview
UNANSWERED = 1800.0  # seconds until a command that no agent picks up is given up
PROBES = frozenset({"probe", "probe_windows", "reach", "codespaces_watch"})
"""Scripts that only look: the record counts them apart from writes."""
IMAGES = {
    "linux": {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"},
    "windows": {
        "publisher": "MicrosoftWindowsServer",
        "offer": "WindowsServer",
        "sku": "2022-datacenter-azure-edition",
        "version": "latest",
    },
}


def make_vm(
    world: World,
    host: SimulatedHost,
    *,
    size: str = SIZE,
    tags: dict[str, str] | None = None,
    os_disk: str = "",
    disk_id: str = "",
    zone: str = "",
    created: str = "",
    identity: bool = False,
) -> Resource:
    """The VM of a host (its id is the VM's) with its OS disk, in a group that exists; replaces one of that id.

    ``os_disk``: ARM id of a disk that may exist already; ``disk_id``: the disk's ``uniqueId``; ``created``: RFC 3339;
    ``identity``: it has a system-assigned one.
    """
    parts = host.id.split("/")
    root, name = "/".join(parts[:5]), parts[-1]
    made = datetime.fromisoformat(created) if created else world.now()
    disk = os_disk or f"{root}/providers/{DISK}/{name}_OsDisk_1_{world.named_id('disk', host.id, host.vm_id)[:8]}"
    if world.resource(disk) is None and not host.ephemeral:
        unique = disk_id or world.named_id("disk-unique", disk)
        properties: Json = {"osType": host.os.capitalize(), "uniqueId": unique, "diskSizeGB": 30}
        properties |= {"timeCreated": stamp(made), "diskState": "Attached", "provisioningState": "Succeeded"}
        extra: Json = {"sku": {"name": "Premium_LRS", "tier": "Premium"}, "managedBy": host.id}
        world.put(Resource(disk, DISK, disk.split("/")[-1], host.location, {}, properties, extra))
    os_profile: Json = {"computerName": host.hostname, "adminUsername": "azureuser", "secrets": []}
    if host.os == "linux":
        os_profile["linuxConfiguration"] = {"disablePasswordAuthentication": True, "provisionVMAgent": True}
    else:
        os_profile["windowsConfiguration"] = {"provisionVMAgent": True, "enableAutomaticUpdates": True}
    disk_profile: Json = {
        "osType": host.os.capitalize(),
        "name": disk.split("/")[-1],
        "createOption": "Attach" if os_disk else "FromImage",
        "caching": "ReadOnly" if host.ephemeral else "ReadWrite",
        "managedDisk": {"storageAccountType": "Premium_LRS", "id": disk},
        "diskSizeGB": 30,
    }
    if host.ephemeral:
        disk_profile["diffDiskSettings"] = {"option": "Local"}
    body: Json = {
        "vmId": host.vm_id,
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {"imageReference": IMAGES[host.os], "osDisk": disk_profile, "dataDisks": []},
        "osProfile": os_profile,
        "networkProfile": {
            "networkInterfaces": [{"id": f"{root}/providers/Microsoft.Network/networkInterfaces/{name}-nic"}]
        },
        "provisioningState": "Succeeded",
        "timeCreated": stamp(made),
    }
    place = zone or host.zone
    extra = {"etag": '"1"'} | ({"zones": [place]} if place else {})
    if identity:
        principal = world.named_id("identity", host.id.lower(), host.vm_id)
        extra["identity"] = {"type": "SystemAssigned", "principalId": principal, "tenantId": world.tenant}
    vm = Resource(host.id, VM, name, host.location, dict(tags or {}), body, extra, created=made)
    world.resources.pop(host.id.lower(), None)
    return world.put(vm)


def equip(world: World, vm: Resource) -> None:
    """Give a VM what it leaves out: a host, a disk, the properties that Azure adds."""
    host = world.hosts.get(vm.id.lower())
    if host is None:
        more = {"vm_id": vm.properties.get("vmId", "")}
        entry = {"id": vm.id, "kind": "azure-vm", "hostname": vm.name, "location": vm.location}
        host = world.hosts[vm.id.lower()] = host_from_seed(entry | more)
    os_disk = (vm.properties.get("storageProfile") or {}).get("osDisk") or {}
    made = make_vm(world, host, tags=vm.tags, os_disk=(os_disk.get("managedDisk") or {}).get("id", ""))
    made.location, made.created = vm.location, vm.created
    made.properties = _filled(made.properties, vm.properties)
    made.extra |= vm.extra


def _filled(template: Json, given: Json) -> Json:
    """``given``, with what it lacks from ``template``, at every depth."""
    inner = {key: _filled(template[key], value) for key, value in given.items() if _both(template.get(key), value)}
    return template | given | inner


def _both(template: object, given: object) -> bool:
    return isinstance(template, dict) and isinstance(given, dict)


# reading


def host_of(call: Call, vm: Resource) -> SimulatedHost:
    return call.world.hosts[vm.id.lower()]


def agent_ready(world: World, host: SimulatedHost) -> bool:
    """Whether the VM's agent is Ready: not in a lost region, and not while it is said to be ``not-ready``."""
    return region_lost(world, host.location) is None and host.behaviour.get("vm_agent") != "not-ready"


def statuses(world: World, vm: Resource, host: SimulatedHost) -> list[Json]:
    """Provisioning and power state. Of a lost region ARM gives what it last knew."""
    return [
        {
            "code": "ProvisioningState/succeeded",
            "level": "Info",
            "displayStatus": "Provisioning succeeded",
            "time": vm.properties.get("timeCreated", stamp(world.now())),
        },
        {"code": f"PowerState/{host.power}", "level": "Info", "displayStatus": f"VM {host.power}"},
    ]


def instance_view(world: World, vm: Resource, host: SimulatedHost) -> Json:
    """What the platform and the guest agent say now. In a lost region, or switched off, the agent says nothing."""
    loss = region_lost(world, vm.location)
    body: Json = {}
    if host.running:
        ready = agent_ready(world, host)
        text = "Guest Agent is running" if ready else "VM status blob is found but not yet populated."
        body |= {
            "computerName": host.hostname,
            "osName": "ubuntu" if host.os == "linux" else "Windows Server 2022 Datacenter",
            "osVersion": "24.04" if host.os == "linux" else "10.0.20348",
            "vmAgent": {
                "vmAgentVersion": "2.15.0.1" if host.os == "linux" else "2.7.41491.1121",
                "statuses": [
                    {
                        "code": "ProvisioningState/succeeded" if ready else "ProvisioningState/Unavailable",
                        "level": "Info" if ready else "Warning",
                        "displayStatus": "Ready" if ready else "Not Ready",
                        "message": text,
                        "time": stamp(loss.since if loss else world.now()),
                    }
                ],
                "extensionHandlers": [],
            },
        }
    name = vm.properties["storageProfile"]["osDisk"]["name"]
    attached = {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"}
    body["disks"] = [{"name": name, "statuses": [attached | {"time": vm.properties["timeCreated"]}]}]
    body["hyperVGeneration"] = host.generation
    return body | {"statuses": statuses(world, vm, host)}


def vm(call: Call) -> Answer:
    machine = resource_manager.find(call)
    body = resource_body(machine)
    if "instanceview" in call.query.get("$expand", "").lower():
        view = instance_view(call.world, machine, host_of(call, machine))
        body["properties"] = body["properties"] | {"instanceView": view}
    return Answer(body=body)


def view(call: Call) -> Answer:
    machine = resource_manager.find(call, call.raw_path.rpartition("/")[0])
    return Answer(body=instance_view(call.world, machine, host_of(call, machine)))


def vms(call: Call) -> Answer:
    """Of the group or subscription. With ``statusOnly=true`` run-time status instead of the model."""
    scope = (
        write_rules.group(call).id if "group" in call.path else f"/subscriptions/{write_rules.subscription(call).id}"
    )
    bodies = []
    for machine in call.world.under(scope, VM):
        body = resource_body(machine)
        if call.query.get("statusOnly", "").lower() == "true":
            properties = {key: machine.properties[key] for key in ("vmId", "provisioningState", "timeCreated")}
            body["properties"] = properties | {
                "instanceView": instance_view(call.world, machine, host_of(call, machine))
            }
        bodies.append(body)
    return page(bodies, call.query, call.link)


# run command


def run_command(call: Call) -> Answer:
    """Accepted; one at a time on a VM. Needs the VM's region, its group's region, and the VM running."""
    world, machine = call.world, resource_manager.find(call, call.raw_path.rpartition("/")[0])
    host, at = host_of(call, machine), write_rules.group(call)
    body: Json = call.body if isinstance(call.body, dict) else {}
    command, script = body.get("commandId", ""), body.get("script") or []
    wanted = "RunShellScript" if host.os == "linux" else "RunPowerShellScript"
    if command.lower() != wanted.lower():
        raise ArmError(400, "InvalidParameter", f"The value '{command}' of parameter 'commandId' is invalid.")
    sha256, name = _script(world, script)
    call.note |= {"script": name, "subject": machine.id, "kind": "probe" if name in PROBES else "write"}
    loss = write_rules.lost(call, machine.location, at.location)
    if loss and loss.arm != "hang":
        write_rules.provider_answers(call, loss.region)
    if not host.running:
        raise ArmError(409, "OperationNotAllowed", "The operation requires the VM to be running (or set to run).")
    if busy(world, machine.id, call.action):
        raise ArmError(
            409,
            "Conflict",
            "Run command extension execution is in progress. Please wait for completion before invoking a run command.",
        )
    given = [
        (str(parameter.get("name", "")), str(parameter.get("value", ""))) for parameter in body.get("parameters") or []
    ]
    region = loss.region if loss else machine.location
    if loss:
        operation = begin(call, SHORTEST, machine.id, region)
    elif host.silent:
        operation = begin(call, UNANSWERED, machine.id, region, lambda _: _no_agent(machine))
    else:
        ran = scripts.run(host, surroundings(world), world.host_scripts, sha256, given)

        def finish(operation: AsyncOperation) -> None:
            operation.result = output(host, ran.stdout, ran.stderr)

        operation = begin(call, max(SHORTEST, ran.seconds + 10), machine.id, region, finish, limit=LONGEST)
    return Answer(202, headers=headers(call, operation, "Microsoft.Compute", "async location"))


def _no_agent(vm: Resource) -> None:
    raise ArmError(
        409,
        "VMAgentStatusCommunicationError",
        f"VM '{vm.name}' has not reported status for VM agent or extensions. Verify that the OS is up and healthy, the VM "
        "has a running VM agent, and that it can establish outbound connections to Azure storage.",
    )


def _script(world: World, lines: list[Any]) -> tuple[str, str | None]:
    """Hash and name of a script sent as lines, or as one text; a last newline may be lost in lines."""
    text = "\n".join(str(line) for line in lines)
    hashed = [hashlib.sha256(form.encode()).hexdigest() for form in (text, text + "\n")]
    for sha256 in hashed:
        if sha256 in world.host_scripts:
            return sha256, world.host_scripts[sha256]
    return hashed[0], None


def output(host: SimulatedHost, stdout: str, stderr: str) -> Json:
    """The result in the extension's words; only the last 4,096 bytes are kept."""
    out, err = (text.encode()[-OUTPUT:].decode("utf-8", "ignore") for text in (stdout, stderr))
    level = {"level": "Info", "displayStatus": "Provisioning succeeded"}
    if host.os == "windows":
        parts = (("StdOut", out), ("StdErr", err))
        return {"value": [{"code": f"ComponentStatus/{n}/succeeded", **level, "message": text} for n, text in parts]}
    message = f"Enable succeeded: \n[stdout]\n{out}\n[stderr]\n{err}"
    return {"value": [{"code": "ProvisioningState/succeeded", **level, "message": message}]}


AT = "/subscriptions/{subscription}"
ALL = "providers/Microsoft.Compute/virtualMachines"
IN_GROUP = f"{AT}/resourceGroups/{{group}}/{ALL}"
ROUTES = [
    Route("GET", f"{AT}/{ALL}", vms, f"{VM}/read"),
    Route("GET", IN_GROUP, vms, f"{VM}/read"),
    Route("GET", f"{IN_GROUP}/{{vm}}", vm, f"{VM}/read"),
    Route("GET", f"{IN_GROUP}/{{vm}}/instanceView", view, f"{VM}/instanceView/read"),
    Route("POST", f"{IN_GROUP}/{{vm}}/runCommand", run_command, f"{VM}/runCommand/action"),
]
