"""Microsoft.Automation in Resource Manager: accounts, hybrid worker groups, workers, and lists of what an account holds.

azure-rest-api-specs, specification/automation (2024-10-23), and
https://learn.microsoft.com/azure/automation/extension-based-hybrid-runbook-worker-install. What only an account itself
shows (``RegistrationUrl`` and its like) is as in the traffic of azure-rest-api-specs issue 17428. The provider's own
refusals are ``{"code", "message"}`` without an ``error`` around them (``AutomationErrorResponse``).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from drkit.simulator.arm import resource_manager, write_rules
from drkit.simulator.arm.compute import VM
from drkit.simulator.core.routing import AUTOMATION, Call, Route
from drkit.simulator.core.state import Json, Resource, region_lost
from drkit.simulator.core.wire import Answer, ArmError, Hang, page, parse_id
from drkit.simulator.hybrid_worker.model import (
    ASSETS,
    GLOBAL_MODULES,
    HOSTS,
    TYPE,
    AutomationAccount,
    HybridWorker,
    WorkerGroup,
    account_of,
    registered_elsewhere,
    renew,
    status,
    system_identity,
    wildcard,
)

NAMESPACE = "Microsoft.Automation"
ARC = "Microsoft.HybridCompute/machines"
GROUPS, WORKERS = "hybridRunbookWorkerGroups", "hybridRunbookWorkers"


class ProviderError(ArmError):
    """A refusal in the provider's own form."""

    def answer(self) -> Answer:
        return Answer(self.status, {"code": self.code, "message": self.message}, self.headers)


def moment(value: datetime | None) -> str | None:
    """``2023-11-08T05:53:12.080+00:00``."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds") if value else None


# accounts


def account_id(call: Call) -> str:
    return f"{write_rules.group(call).id}/providers/{NAMESPACE}/automationAccounts/{call.path['account']}"


def account_body(call: Call, resource: Resource, *, listed: bool = False) -> Json:
    """An account; a list has only the times among its properties."""
    account = account_of(call.world, resource)
    body: Json = {
        "id": resource.id,
        "name": resource.name,
        "type": TYPE,
        "location": resource.location,
        "tags": resource.tags,
    }
    times: Json = {"creationTime": moment(resource.created), "lastModifiedTime": moment(resource.changed)}
    if listed:
        return body | {"properties": times}
    properties: Json = {
        **times,
        "RegistrationUrl": account.url.replace(".jrds.", ".agentsvc.").replace("/automationAccounts/", "/accounts/"),
        "automationHybridServiceUrl": account.url,
        "disableLocalAuth": False,
        "encryption": {"keySource": "Microsoft.Automation", "identity": {"userAssignedIdentity": None}},
        "lastModifiedBy": None,
        "privateEndpointConnections": [],
        "sku": {"name": "Basic", "family": None, "capacity": None},
        "state": "Ok",
        **resource.properties,
    }
    data = {"createdAt": moment(resource.created), "lastModifiedAt": moment(resource.changed)}
    return {**body, **resource.extra, "etag": None, "properties": properties, "systemData": data}


def put(call: Call) -> Answer:
    """Synchronous. ``publicNetworkAccess`` and ``disableLocalAuth`` are kept as sent."""
    write_rules.registered(call, NAMESPACE)
    group, body = write_rules.group(call), call.body if isinstance(call.body, dict) else {}
    existing = call.world.resource(account_id(call))
    wanted = body.get("location") or (existing.location if existing else "")
    if not wanted:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    location = write_rules.location(call, wanted, f"{NAMESPACE}/automationAccounts")
    write_rules.same_location(existing, wanted)
    write_rules.provider_answers(call, location.name, group.location)
    made = existing or Resource(account_id(call), TYPE, call.path["account"], location.name)
    made.tags = dict(body.get("tags") or {})
    given = body.get("properties") or {}
    settable = ("publicNetworkAccess", "disableLocalAuth")
    made.properties = {key: given[key] for key in settable if key in given}
    if "SystemAssigned" in (body.get("identity") or {}).get("type", ""):
        made.extra["identity"] = system_identity(call.world, made.id)
    call.world.put(made)
    if existing is None:
        renew(call.world, made)
    return Answer(200 if existing else 201, account_body(call, made))


def get(call: Call) -> Answer:
    """From Resource Manager's cache, so of a lost region too."""
    return Answer(body=account_body(call, resource_manager.find(call, account_id(call))))


def delete(call: Call) -> Answer:
    """200, or 204 where there was none; the machines keep their extensions."""
    resource = call.world.resource(account_id(call))
    if resource is None:
        return Answer(204)
    write_rules.provider_answers(call, resource.location, write_rules.group(call).location)
    call.world.remove(resource.id)
    return Answer(200)


def accounts(call: Call) -> Answer:
    scope = (
        write_rules.group(call).id if "group" in call.path else f"/subscriptions/{write_rules.subscription(call).id}"
    )
    resources = call.world.under(scope, TYPE)
    return page([account_body(call, resource, listed=True) for resource in resources], call.query, call.link)


# below an account


def _inside(call: Call) -> tuple[Resource, AutomationAccount]:
    """The account in the path. A write needs its region and its group's; a read of a lost one may be from a cache."""
    resource = write_rules.parent(call, account_id(call))
    if call.method != "GET":
        write_rules.provider_answers(call, resource.location, write_rules.group(call).location)
    elif region_lost(call.world, resource.location) and call.world.automation_reads != "cached":
        if call.world.automation_reads == "hang":
            raise Hang
        raise ArmError(503, "ServiceUnavailable", "The service is temporarily unavailable. Please retry the request.")
    return resource, account_of(call.world, resource)


def _part(account: AutomationAccount, *parts: str) -> str:
    return "/".join((account.id, *parts))


def _data(made: datetime | None) -> Json:
    return {"createdAt": moment(made), "lastModifiedAt": moment(made)}


def group_body(resource: Resource, account: AutomationAccount, group: WorkerGroup) -> Json:
    return {
        "id": _part(account, GROUPS, group.name),
        "name": group.name,
        "type": f"{TYPE}/HybridRunbookWorkerGroups",
        "location": resource.location,
        "properties": {
            "groupType": "User",
            "credential": {"name": group.credential} if group.credential else None,
        },
        "systemData": _data(group.created),
    }


def worker_body(resource: Resource, account: AutomationAccount, group: WorkerGroup, worker: HybridWorker) -> Json:
    """``ip`` and ``lastSeenDateTime`` are empty until the machine first reports."""
    return {
        "id": _part(account, GROUPS, group.name, WORKERS, worker.id),
        "name": worker.id,
        "type": f"{TYPE}/HybridRunbookWorkerGroups/HybridRunbookWorkers",
        "location": resource.location,
        "properties": {
            "ip": worker.ip,
            "registeredDateTime": moment(worker.registered),
            "lastSeenDateTime": moment(worker.seen),
            "vmResourceId": worker.machine,
            "workerType": "HybridV2",
            "workerName": worker.name,
        },
        "systemData": _data(worker.registered),
    }


def _group(call: Call, account: AutomationAccount) -> WorkerGroup:
    group = account.groups.get(call.path["workers"].lower())
    if group is None:
        raise ProviderError(404, "NotFound", f"Hybrid runbook worker group {call.path['workers']} was not found.")
    return group


def put_group(call: Call) -> Answer:
    """``{}``, or ``properties.credential.name``: the credential that jobs of the group run under."""
    write_rules.registered(call, NAMESPACE)
    resource, account = _inside(call)
    name, body = call.path["workers"], call.body if isinstance(call.body, dict) else {}
    existing = account.groups.get(name.lower())
    made = existing or WorkerGroup(name, call.world.now())
    made.credential = ((body.get("properties") or {}).get("credential") or {}).get("name") or ""
    account.groups[name.lower()] = made
    return Answer(200 if existing else 201, group_body(resource, account, made))


def get_group(call: Call) -> Answer:
    resource, account = _inside(call)
    return Answer(body=group_body(resource, account, _group(call, account)))


def list_groups(call: Call) -> Answer:
    resource, account = _inside(call)
    return page([group_body(resource, account, group) for group in account.groups.values()], call.query, call.link)


def delete_group(call: Call) -> Answer:
    """An empty one only."""
    _, account = _inside(call)
    group = _group(call, account)
    if group.workers:
        raise ProviderError(409, "Conflict", f"Hybrid runbook worker group {group.name} still has workers.")
    del account.groups[group.name.lower()]
    return Answer(200)


def put_worker(call: Call) -> Answer:
    """Adds a machine to a group. Nothing is done on the machine: that is its extension's part."""
    write_rules.registered(call, NAMESPACE)
    resource, account = _inside(call)
    group, wanted = _group(call, account), call.path["worker"]
    body = call.body if isinstance(call.body, dict) else {}
    machine = str((body.get("properties") or {}).get("vmResourceId") or "")
    parsed = parse_id(machine)
    if parsed is None or parsed.type.lower() not in (VM.lower(), ARC.lower()):
        raise ProviderError(400, "BadRequest", f"The vmResourceId '{machine}' is invalid.")
    try:
        uuid.UUID(wanted)
    except ValueError:
        raise ProviderError(400, "BadRequest", f"The hybrid runbook worker id '{wanted}' is not a GUID.") from None
    for other_group, other in account.workers():
        same_record = other_group is group and other.id.lower() == wanted.lower()
        if same_record != (other.machine.lower() == machine.lower()):
            raise ProviderError(
                409,
                "Conflict",
                f"An active hybrid runbook worker {other.id} already exists in hybrid worker group {other_group.name} with same "
                "AzureResourceId",
            )
    if account.refuses and registered_elsewhere(call.world, account, machine):
        raise ProviderError(409, "Conflict", "Machine is already registered to a different account.")
    existing = group.workers.get(wanted.lower())
    made = existing or HybridWorker(wanted, machine, call.world.now())
    group.workers[wanted.lower()] = made
    call.note["subject"] = machine
    return Answer(200 if existing else 201, worker_body(resource, account, group, made))


def get_worker(call: Call) -> Answer:
    resource, account = _inside(call)
    group = _group(call, account)
    worker = group.workers.get(call.path["worker"].lower())
    if worker is None:
        raise ProviderError(404, "NotFound", f"Hybrid runbook worker {call.path['worker']} was not found.")
    return Answer(body=worker_body(resource, account, group, worker))


def list_workers(call: Call) -> Answer:
    resource, account = _inside(call)
    group = _group(call, account)
    bodies = [worker_body(resource, account, group, worker) for worker in group.workers.values()]
    return page(bodies, call.query, call.link)


def delete_worker(call: Call) -> Answer:
    """200, or 204 where there was none. The record goes; the machine and its extension stay as they are."""
    _, account = _inside(call)
    gone = _group(call, account).workers.pop(call.path["worker"].lower(), None)
    if gone:
        call.note["subject"] = gone.machine
    return Answer(200 if gone else 204)


def assets(kind: str) -> Callable[[Call], Answer]:
    """Lists one kind of what an account holds. Every account has the global modules."""

    def handler(call: Call) -> Answer:
        resource, account = _inside(call)
        made = moment(resource.created)
        held = dict(account.assets.get(kind, {}))
        if kind == "modules":
            shown = {"isGlobal": True, "provisioningState": "Succeeded", "version": "2.15.0"}
            held = dict.fromkeys(GLOBAL_MODULES, shown) | held
        bodies = []
        for name, properties in held.items():
            body: Json = {"id": _part(account, kind, name)}
            if kind == "jobSchedules":
                more: Json = {"jobScheduleId": name, "parameters": None, "runOn": None}
            else:
                body |= {"name": name, "type": f"{TYPE}/{ASSETS[kind]}"}
                more = {"creationTime": made, "lastModifiedTime": made}
            bodies.append(body | {"properties": more | properties})
        return page(bodies, call.query, call.link)

    return handler


def service(call: Call) -> Answer:
    """The account's own regional service, which wants a worker's token."""
    guid, region = call.path["guid"], HOSTS[call.host] or ""
    code = status(call.world, guid, region, call.raw_path)
    call.note["host"] = guid.lower() + wildcard(region)[1:]
    return Answer(code)


AT = "/subscriptions/{subscription}"
ALL = "providers/Microsoft.Automation/automationAccounts"
ACTION = f"{NAMESPACE}/automationAccounts"
ONE = f"{AT}/resourceGroups/{{group}}/{ALL}/{{account}}"
GROUP, GROUP_ACTION = f"{ONE}/{GROUPS}/{{workers}}", f"{ACTION}/{GROUPS}"
WORKER, WORKER_ACTION = f"{GROUP}/{WORKERS}/{{worker}}", f"{GROUP_ACTION}/{WORKERS}"
ROUTES = [
    Route("GET", f"{AT}/{ALL}", accounts, f"{ACTION}/read"),
    Route("GET", f"{AT}/resourceGroups/{{group}}/{ALL}", accounts, f"{ACTION}/read"),
    Route("PUT", ONE, put, f"{ACTION}/write"),
    Route("GET", ONE, get, f"{ACTION}/read"),
    Route("DELETE", ONE, delete, f"{ACTION}/delete"),
    Route("GET", f"{ONE}/{GROUPS}", list_groups, f"{GROUP_ACTION}/read"),
    Route("PUT", GROUP, put_group, f"{GROUP_ACTION}/write"),
    Route("GET", GROUP, get_group, f"{GROUP_ACTION}/read"),
    Route("DELETE", GROUP, delete_group, f"{GROUP_ACTION}/delete"),
    Route("GET", f"{GROUP}/{WORKERS}", list_workers, f"{WORKER_ACTION}/read"),
    Route("PUT", WORKER, put_worker, f"{WORKER_ACTION}/write"),
    Route("GET", WORKER, get_worker, f"{WORKER_ACTION}/read"),
    Route("DELETE", WORKER, delete_worker, f"{WORKER_ACTION}/delete"),
    *(Route("GET", f"{ONE}/{kind}", assets(kind), f"{ACTION}/{kind}/read") for kind in ASSETS),
    Route("GET", "/automationAccounts/{guid}", service, plane=AUTOMATION),
]
