"""What a deployment of drkit's Bicep makes besides resources with a region: parts of resources, settings on them, roles, grants.

https://learn.microsoft.com/azure/azure-resource-manager/management/extension-resource-types,
https://learn.microsoft.com/rest/api/authorization/role-definitions/create-or-update,
https://learn.microsoft.com/rest/api/authorization/role-assignments/create.
"""

from __future__ import annotations

import re

from drkit.simulator.arm import write_rules
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, Resource
from drkit.simulator.core.wire import Answer, ArmError, ResourceId, resource_body

GLOBAL = "global"
AT = "/subscriptions/{subscription}"
GROUP = f"{AT}/resourceGroups/{{group}}"
ANY = f"{GROUP}/providers/{{resource*}}"
DEFINITIONS = f"{AT}/providers/Microsoft.Authorization/roleDefinitions/{{name}}"
ASSIGNMENT = "providers/Microsoft.Authorization/roleAssignments/{name}"
ACTION = "Microsoft.Authorization"


def is_part(body: Json, parsed: ResourceId) -> bool:
    """Whether a resource has no region: a part of another, a setting on one, or a thing of the whole world."""
    place = str(body.get("location", "")).lower()
    return place == GLOBAL or (not place and len(parsed.types) > 1)


def put_part(call: Call, body: Json, parsed: ResourceId) -> Answer:
    """Create or update at once. What it is part of must be there (ParentResourceNotFound otherwise)."""
    group = write_rules.group(call)
    above, _, last = call.raw_path.rpartition("/providers/")
    namespace = last.split("/")[0]
    write_rules.registered(call, namespace)
    parent = above if "/providers/" in above else call.raw_path.rsplit("/", 2)[0]
    if "/providers/" in parent and len(parsed.types) > 1 and call.world.resource(parent) is None:
        raise ArmError(
            404,
            "ParentResourceNotFound",
            f"Can not perform requested operation on nested resource. Parent resource '{parent}' not found.",
        )
    existing = call.world.resource(call.raw_path)
    kind = "/".join([namespace, *last.split("/")[1::2]])
    made = existing or Resource(call.raw_path, kind, parsed.names[-1], str(body.get("location", group.location)))
    made.tags = dict(body.get("tags") or {})
    made.properties = dict(body.get("properties") or {})
    made.extra = {
        key: value for key, value in body.items() if key not in ("id", "name", "type", "location", "tags", "properties")
    }
    call.world.put(made)
    return Answer(200 if existing else 201, resource_body(made))


def put_definition(call: Call) -> Answer:
    """A custom role; the same name again changes it."""
    write_rules.subscription(call)
    properties = _properties(call)
    actions = [action for permission in properties.get("permissions", ()) for action in permission.get("actions", ())]
    call.world.roles[f"custom:{call.path['name'].lower()}"] = actions
    return Answer(201, _kept(call, "roleDefinitions", properties))


def put_assignment(call: Call) -> Answer:
    """A grant. The same again is 200; another one under that name is refused (RoleAssignmentUpdateNotPermitted)."""
    scope = re.split("/providers/microsoft.authorization/", call.raw_path, flags=re.IGNORECASE)[0]
    properties, name = _properties(call), call.path["name"]
    role = str(properties.get("roleDefinitionId", "")).rsplit("/", 1)[-1].lower()
    made = {
        "name": name,
        "principal": str(properties.get("principalId", "")),
        "role": f"custom:{role}",
        "scope": scope,
        "kind": str(properties.get("principalType", "ServicePrincipal")),
    }
    existing = next(
        (
            assignment
            for assignment in call.world.assignments
            if assignment["name"] == name and assignment["scope"] == scope
        ),
        None,
    )
    if existing is not None and existing != made:
        text = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise ArmError(400, "RoleAssignmentUpdateNotPermitted", text)
    if existing is None:
        call.world.assignments.append(made)
    return Answer(200 if existing else 201, _kept(call, "roleAssignments", {**properties, "scope": scope}))


def get(call: Call) -> Answer:
    """One that was deployed; RoleDefinitionDoesNotExist or RoleAssignmentNotFound otherwise."""
    body = call.world.deployed.get(call.raw_path.lower())
    if body is None:
        kind = (
            "RoleDefinitionDoesNotExist" if "/roledefinitions/" in call.raw_path.lower() else "RoleAssignmentNotFound"
        )
        raise ArmError(404, kind, f"'{call.path['name']}' is not found.")
    return Answer(body=body)


def _kept(call: Call, kind: str, properties: Json) -> Json:
    body = {"id": call.raw_path, "name": call.path["name"], "type": f"{ACTION}/{kind}", "properties": properties}
    call.world.deployed[call.raw_path.lower()] = body
    return body


def _properties(call: Call) -> Json:
    body = call.body if isinstance(call.body, dict) else {}
    if not isinstance(body.get("properties"), dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    return dict(body["properties"])


ROUTES = [
    Route("PUT", DEFINITIONS, put_definition, f"{ACTION}/roleDefinitions/write"),
    Route("GET", DEFINITIONS, get, f"{ACTION}/roleDefinitions/read"),
    *(
        route
        for scope in (AT, GROUP, ANY)
        for route in (
            Route("PUT", f"{scope}/{ASSIGNMENT}", put_assignment, f"{ACTION}/roleAssignments/write"),
            Route("GET", f"{scope}/{ASSIGNMENT}", get, f"{ACTION}/roleAssignments/read"),
        )
    ),
]
