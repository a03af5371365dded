"""Extensions of virtual machines (Microsoft.Compute) and of Arc machines (Microsoft.HybridCompute).

https://learn.microsoft.com/rest/api/compute/virtual-machine-extensions and
https://learn.microsoft.com/rest/api/hybridcompute/machine-extensions. ``protectedSettings`` go in and never come out.
An Arc machine that is not connected gets what was asked of it when it is again, within six hours:
https://learn.microsoft.com/azure/azure-arc/servers/agent-overview.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from drkit.simulator.arm import write_rules
from drkit.simulator.arm.compute import VM, agent_ready
from drkit.simulator.core.clock import stamp
from drkit.simulator.core.operations import begin, busy, headers
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import AsyncOperation, Json, Resource, World
from drkit.simulator.core.wire import Answer, ArmError, page
from drkit.simulator.hosts.machine import InstalledExtension, SimulatedHost, host_from_seed
from drkit.simulator.hybrid_worker import model

ARC = "Microsoft.HybridCompute/machines"
INSTALLING, REMOVING = 120.0, 60.0
NO_REPORT = 25 * 60.0  # seconds until Compute gives up on an agent that says nothing
QUEUED = 6 * 3600.0  # seconds for which an operation waits for an Arc machine
PATCH_LEVEL = ".13"
"""What an Arc machine adds to the version it was asked for: it says what it has installed."""


def machine_id(call: Call) -> str:
    return call.raw_path.lower().partition("/extensions")[0]


def _machine(call: Call) -> tuple[Resource, SimulatedHost]:
    resource = write_rules.parent(call, machine_id(call))
    host = call.world.hosts.get(resource.id.lower())
    if host is None:
        entry = {"id": resource.id, "kind": "arc", "hostname": resource.name, "location": resource.location}
        host = call.world.hosts[resource.id.lower()] = host_from_seed(entry)
    return resource, host


def connected(resource: Resource, host: SimulatedHost) -> bool:
    """Whether an Arc machine's agent is."""
    return host.running and resource.properties.get("status") == "Connected"


def body_of(world: World, machine: Resource, extension: InstalledExtension, *, view: bool = False) -> Json:
    """An extension. The view of its status comes with every Arc machine's, and with a VM's where it is asked for."""
    arc = machine.is_a(ARC)
    properties: Json = {
        "autoUpgradeMinorVersion": extension.auto_upgrade_minor_version,
        "enableAutomaticUpgrade": extension.enable_automatic_upgrade,
        "provisioningState": extension.state,
        "publisher": extension.publisher,
        "type": extension.type,
        "typeHandlerVersion": extension.version,
        "settings": extension.settings,
    }
    good = extension.state != "Failed"
    if arc:
        level = {"level": "Information" if good else "Error", "message": extension.message}
        now: Json = {"status": {"code": "success" if good else "error", **level, "time": stamp(world.now())}}
    else:
        level = {"level": "Info" if good else "Error", "displayStatus": "Ready" if good else "Not Ready"}
        code = f"ProvisioningState/{'succeeded' if good else 'failed/1'}"
        now = {"statuses": [{"code": code, **level, "message": extension.message}]}
    if arc or view:
        named = {"name": extension.name, "type": extension.type, "typeHandlerVersion": extension.version}
        properties["instanceView"] = named | now
    body: Json = {
        "id": f"{machine.id}/extensions/{extension.name}",
        "name": extension.name,
        "type": f"{VM if not arc else ARC}/extensions",
        "location": extension.location or machine.location,
        "properties": properties,
    }
    return body | ({"tags": extension.tags} if extension.tags else {})


def listed(call: Call) -> Answer:
    machine, host = _machine(call)
    view = "instanceview" in call.query.get("$expand", "").lower()
    bodies = [body_of(call.world, machine, extension, view=view) for extension in host.extensions.values()]
    return page(bodies, call.query, call.link) if machine.is_a(ARC) else Answer(body={"value": bodies})


def get(call: Call) -> Answer:
    machine, host = _machine(call)
    extension = host.extensions.get(call.path["extension"].lower())
    if extension is None:
        raise ArmError(
            404,
            "ResourceNotFound" if machine.is_a(VM) else "NotFound",
            f"The Resource '{machine.type}/{machine.name}/extensions/{call.path['extension']}' under resource group "
            f"'{machine.group}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
        )
    view = "instanceview" in call.query.get("$expand", "").lower()
    return Answer(body=body_of(call.world, machine, extension, view=view))


def _may_change(call: Call, machine: Resource, host: SimulatedHost) -> None:
    """The provider needs the machine's region and its group's; a VM must run, and takes one operation at a time."""
    loss = write_rules.lost(call, machine.location, write_rules.group(call).location)
    if loss and loss.arm != "hang":
        write_rules.provider_answers(call, loss.region)
    if machine.is_a(VM) and not host.running:
        text = "Cannot modify extensions in the VM when the VM is not running."
        raise ArmError(409, "OperationNotAllowed", text)
    kind = VM if machine.is_a(VM) else ARC
    if any(busy(call.world, machine.id, f"{kind}/extensions/{name}") for name in ("write", "delete")):
        raise ArmError(
            409,
            "Conflict",
            "The request failed due to conflict with a concurrent request. To resolve it, please refer to "
            "https://aka.ms/activitylog to get more details on the conflicting requests.",
        )


def _start(
    call: Call,
    machine: Resource,
    host: SimulatedHost,
    extension: InstalledExtension,
    seconds: float,
    work: Callable[[], None],
) -> AsyncOperation:
    """An operation on the machine, carried out by its agent. ``work`` raises what the agent says when it fails."""
    world, arc, began = call.world, machine.is_a(ARC), call.world.now()
    loss = write_rules.lost(call, machine.location, write_rules.group(call).location)
    region = loss.region if loss else machine.location

    def ready() -> bool:
        waited = (world.now() - began).total_seconds()
        return not arc or connected(machine, host) or waited >= QUEUED

    def fail(code: str, text: str) -> None:
        extension.state, extension.message = "Failed", text
        raise ArmError(409, code, text)

    def finish(_: AsyncOperation) -> None:
        if arc and not connected(machine, host):
            fail("OperationTimedOut", f"The machine '{machine.name}' did not connect in time.")
        if not arc and not (host.running and agent_ready(world, host)):
            fail(
                "VMAgentStatusCommunicationError",
                f"VM '{machine.name}' has not reported status for VM agent or extensions. Please verify the VM has a "
                "running VM agent, and can establish outbound connections to Azure storage.",
            )
        try:
            work()
        except ArmError as error:
            fail(error.code, error.message)

    if not arc and not agent_ready(world, host):
        seconds = NO_REPORT
    if call.fault.get("lro") == "fail":
        world.later(seconds, lambda: setattr(extension, "state", "Failed"))
    call.note["subject"] = machine.id
    return begin(call, seconds, machine.id, region, finish, ready)


def put(call: Call) -> Answer:
    """Accepted: 201 (200 for an update) of a VM, 202 of an Arc machine; installed when the operation ends."""
    machine, host = _machine(call)
    write_rules.registered(call, machine.type.partition("/")[0])
    body = call.body if isinstance(call.body, dict) else {}
    given, arc = body.get("properties") or {}, machine.is_a(ARC)
    for key in ("publisher", "type"):
        if not given.get(key):
            raise ArmError(400, "InvalidParameter", f"Required parameter '{key}' is missing (null).")
    _may_change(call, machine, host)
    name = call.path["extension"]
    handler = f"{given['publisher']}.{given['type']}"
    for installed in host.extensions.values():
        if (
            f"{installed.publisher}.{installed.type}".lower() == handler.lower()
            and installed.name.lower() != name.lower()
        ):
            raise ArmError(
                400,
                "BadRequest",
                f"Multiple VMExtensions per handler not supported for OS type '{host.os.capitalize()}'. VMExtension "
                f"'{installed.name}' with handler '{handler}' already added or specified in input.",
            )
    known = host.extensions.get(name.lower())
    version = str(given.get("typeHandlerVersion") or (known.version if known else "1.1"))
    made = InstalledExtension(
        name=known.name if known else name,
        publisher=given["publisher"],
        type=given["type"],
        version=version + PATCH_LEVEL if arc and version.count(".") < 2 else version,
        settings=dict(given.get("settings") or {}),
        protected=dict(given.get("protectedSettings") or {}),
        location=str(body.get("location") or machine.location),
        tags=dict(body.get("tags") or {}),
        auto_upgrade_minor_version=bool(given.get("autoUpgradeMinorVersion", False)),
        enable_automatic_upgrade=bool(given.get("enableAutomaticUpgrade", False)),
        state="Updating" if known else "Creating",
    )
    host.extensions[name.lower()] = made

    def work() -> None:
        said = model.onboard(call.world, host, made)
        if said:
            raise ArmError(
                409,
                "VMExtensionProvisioningError",
                f"VM has reported a failure when processing extension '{made.name}' (publisher '{made.publisher}' and "
                f"type '{made.type}'). Error message: '{said}'.",
            )
        made.state, made.message = "Succeeded", "Extension Message: ExtensionOperation:enable. Status:Success"

    operation = _start(call, machine, host, made, INSTALLING, work)
    if arc:
        return Answer(202, headers=headers(call, operation, "Microsoft.HybridCompute", "async location"))
    shown = body_of(call.world, machine, replace(made))
    return Answer(200 if known else 201, shown, headers(call, operation, "Microsoft.Compute", "async"))


def delete(call: Call) -> Answer:
    """Accepted, or 204 if there is none. The service that the worker was registered with is not informed."""
    machine, host = _machine(call)
    extension = host.extensions.get(call.path["extension"].lower())
    if extension is None:
        return Answer(204)
    _may_change(call, machine, host)
    extension.state = "Deleting"

    def work() -> None:
        host.extensions.pop(extension.name.lower(), None)

    operation = _start(call, machine, host, extension, REMOVING, work)
    return Answer(202, headers=headers(call, operation, machine.type.partition("/")[0], "async location"))


def _routes(kind: str) -> list[Route]:
    every = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{kind}/{{machine}}/extensions"
    extension = f"{every}/{{extension}}"
    return [
        Route("GET", every, listed, f"{kind}/extensions/read"),
        Route("PUT", extension, put, f"{kind}/extensions/write"),
        Route("GET", extension, get, f"{kind}/extensions/read"),
        Route("DELETE", extension, delete, f"{kind}/extensions/delete"),
    ]


ROUTES = [*_routes(VM), *_routes(ARC)]
