"""Resource Manager itself: subscriptions, locations, providers, resource groups, role assignments, any resource."""

from __future__ import annotations

import re

from drkit.simulator.arm import catalog, write_rules
from drkit.simulator.arm.identity import ROLE_IDS, within
from drkit.simulator.core.clock import stamp
from drkit.simulator.core.operations import begin, headers
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import AsyncOperation, Json, Resource, ResourceGroup, Subscription, normal
from drkit.simulator.core.wire import Answer, ArmError, group_body, page, parse_id, resource_body

REGISTERING = 20.0
DELETING_GROUP = 30.0
WRITING = 10.0
CLAUSE = re.compile(r"(\w+)\s+eq\s+'((?:[^']|'')*)'\Z", re.IGNORECASE)

# subscriptions and locations


def subscription_body(subscription: Subscription, tenant: str) -> Json:
    return {
        "id": f"/subscriptions/{subscription.id}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": tenant,
        "displayName": subscription.name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def subscriptions(call: Call) -> Answer:
    """Those in which the caller has any role."""
    scopes = [e["scope"] for e in call.world.assignments if e["principal"] == call.principal.object_id]
    seen = [
        subscription
        for subscription in call.world.subscriptions.values()
        if any(within(scope, f"/subscriptions/{subscription.id}") or scope == "/" for scope in scopes)
    ]
    return page([subscription_body(subscription, call.world.tenant) for subscription in seen], call.query, call.link)


def subscription(call: Call) -> Answer:
    return Answer(body=subscription_body(write_rules.subscription(call), call.world.tenant))


def locations(call: Call) -> Answer:
    root = f"/subscriptions/{write_rules.subscription(call).id}/locations"
    bodies = [
        {
            "id": f"{root}/{location.name}",
            "name": location.name,
            "type": "Region",
            "displayName": location.display,
            "regionalDisplayName": location.display,
            "metadata": {
                "regionType": "Physical",
                "regionCategory": "Recommended",
                "pairedRegion": [{"name": location.pair, "id": f"{root}/{location.pair}"}],
            },
        }
        for location in call.world.locations.values()
    ]
    return Answer(body={"value": bodies})


# providers


def provider_body(call: Call, namespace: str) -> Json:
    subscription = write_rules.subscription(call)
    state = "Registered" if namespace in subscription.registered else "NotRegistered"
    if namespace in subscription.registering:
        state = "Registering"
    every = call.world.locations
    types = [
        {
            "resourceType": name,
            "locations": [every[region].display for region in regions or every],
            "apiVersions": [catalog.API_VERSIONS[namespace]],
            "capabilities": "SupportsTags, SupportsLocation",
        }
        for name, regions in catalog.PROVIDERS[namespace].items()
    ]
    return {
        "id": f"/subscriptions/{subscription.id}/providers/{catalog.NAMES[namespace]}",
        "namespace": catalog.NAMES[namespace],
        "resourceTypes": types,
        "registrationState": state,
        "registrationPolicy": "RegistrationFree" if namespace in catalog.BUILT_IN else "RegistrationRequired",
    }


def _namespace(call: Call) -> str:
    namespace = call.path["namespace"].lower()
    if namespace not in catalog.PROVIDERS:
        text = f"The resource namespace '{call.path['namespace']}' is invalid."
        raise ArmError(404, "InvalidResourceNamespace", text)
    return namespace


def providers(call: Call) -> Answer:
    return page([provider_body(call, namespace) for namespace in catalog.PROVIDERS], call.query, call.link)


def provider(call: Call) -> Answer:
    return Answer(body=provider_body(call, _namespace(call)))


def register(call: Call) -> Answer:
    subscription, namespace = write_rules.subscription(call), _namespace(call)
    if namespace not in subscription.registered | subscription.registering:
        subscription.registering.add(namespace)

        def done() -> None:
            subscription.registering.discard(namespace)
            subscription.registered.add(namespace)

        call.world.later(REGISTERING, done)
    return Answer(body=provider_body(call, namespace))


# resource groups


def groups(call: Call) -> Answer:
    root = f"/subscriptions/{write_rules.subscription(call).id}/".lower()
    matching = [group for key, group in call.world.groups.items() if key.startswith(root)]
    wanted = _filter(call, {"tagname", "tagvalue"})
    if "tagname" in wanted:
        matching = [group for group in matching if _tagged(group.tags, wanted)]
    return page([group_body(group) for group in matching], call.query, call.link)


def group(call: Call) -> Answer:
    return Answer(body=group_body(write_rules.group(call)))


def group_exists(call: Call) -> Answer:
    try:
        write_rules.group(call)
    except ArmError:
        return Answer(404)
    return Answer(204)


def put_group(call: Call) -> Answer:
    """Create or update. A group's location cannot change; one located in a lost region cannot be written."""
    at, body = write_rules.subscription(call), _body(call)
    name, wanted = call.path["group"], body.get("location")
    if not wanted:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    location = call.world.locations.get(normal(wanted))
    if location is None:
        text = f"The provided location '{wanted}' is not available for resource group."
        raise ArmError(400, "LocationNotAvailableForResourceGroup", text)
    key = f"/subscriptions/{at.id}/resourcegroups/{name}".lower()
    existing = call.world.groups.get(key)
    if existing and existing.location != location.name:
        raise ArmError(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{wanted}'. "
            f"The Resource group already exists in location '{existing.location}'.",
        )
    if existing and existing.state == "Deleting":
        text = f"The resource group '{name}' is in deprovisioning state and cannot perform this operation."
        raise ArmError(409, "ResourceGroupBeingDeleted", text)
    write_rules.provider_answers(call, location.name)
    made = existing or ResourceGroup(f"/subscriptions/{at.id}/resourceGroups/{name}", at.id, name, location.name)
    made.tags = dict(body.get("tags") or {})
    call.world.groups[key] = made
    return Answer(200 if existing else 201, group_body(made))


def delete_group(call: Call) -> Answer:
    """Accepted; the group and what is in it are gone when the operation ends."""
    group = write_rules.group(call)
    inside = list(call.world.under(group.id))
    write_rules.provider_answers(call, group.location, *(resource.location for resource in inside))
    group.state = "Deleting"

    def finish(_: AsyncOperation) -> None:
        for resource in call.world.under(group.id):
            call.world.remove(resource.id)
        call.world.groups.pop(group.id.lower(), None)

    operation = begin(call, DELETING_GROUP, group.id, group.location, finish)
    return Answer(202, headers=headers(call, operation, "", "location"))


# role assignments


def assignments(call: Call) -> Answer:
    """Those at the scope and above it, and below it too unless ``$filter=atScope()``."""
    scope = re.split("/providers/microsoft.authorization/", call.raw_path, flags=re.IGNORECASE)[0]
    only_here = "atscope" in call.query.get("$filter", "").lower()
    wanted = re.search(r"principalId eq '([^']*)'", call.query.get("$filter", ""))
    bodies: list[Json] = []
    for entry in call.world.assignments:
        below = within(entry["scope"], scope) and not only_here
        if (wanted and wanted[1] != entry["principal"]) or not (within(scope, entry["scope"]) or below):
            continue
        root = f"/subscriptions/{call.path['subscription']}/providers/Microsoft.Authorization"
        definition = ROLE_IDS.get(entry["role"]) or call.world.named_id("role", entry["role"])
        bodies.append(
            {
                "properties": {
                    "roleDefinitionId": f"{root}/roleDefinitions/{definition}",
                    "principalId": entry["principal"],
                    "principalType": entry["kind"],
                    "scope": entry["scope"],
                },
                "id": f"{entry['scope'].rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{entry['name']}",
                "type": "Microsoft.Authorization/roleAssignments",
                "name": entry["name"],
            }
        )
    return page(bodies, call.query, call.link)


# any resource


def resources(call: Call) -> Answer:
    """Of the subscription, or of the group in the path, as the generic list gives them: without properties."""
    scope = f"/subscriptions/{write_rules.subscription(call).id}"
    if "group" in call.path:
        scope = write_rules.group(call).id
    wanted = _filter(call, {"resourcetype", "resourcegroup", "location", "name", "tagname", "tagvalue"})
    bodies = []
    for resource in call.world.under(scope):
        has = {
            "resourcetype": resource.type,
            "resourcegroup": resource.group,
            "location": resource.location,
            "name": resource.name,
        }
        if all(has[key].lower() == normal(value) if key == "location" else has[key].lower() == value.lower()
               for key, value in wanted.items() if key in has) and _tagged(resource.tags, wanted):  # fmt: skip
            body = resource_body(resource)
            del body["properties"]
            if "createdTime" in call.query.get("$expand", "") and resource.created and resource.changed:
                body |= {"createdTime": stamp(resource.created), "changedTime": stamp(resource.changed)}
            bodies.append(body)
    return page(bodies, call.query, call.link)


def find(call: Call, resource_id: str = "") -> Resource:
    """The resource of that id, or of the path; ResourceGroupNotFound or ResourceNotFound otherwise."""
    at, wanted = write_rules.group(call), resource_id or call.raw_path
    resource = call.world.resource(wanted)
    if resource is None:
        parsed = parse_id(wanted)
        what = f"{parsed.type}/{parsed.name}" if parsed else wanted
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{what}' under resource group '{at.name}' was not found. "
            "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )
    return resource


def resource(call: Call) -> Answer:
    return Answer(body=resource_body(find(call)))


def resource_exists(call: Call) -> Answer:
    try:
        find(call)
    except ArmError as error:
        return Answer(error.status)
    return Answer(204)


def put_resource(call: Call) -> Answer:
    """Create or update, ending some time later (``Azure-AsyncOperation``)."""
    from drkit.simulator.arm import (
        compute,  # which build on this module
        deployments,
    )

    at, body, parsed = write_rules.group(call), _body(call), parse_id(call.raw_path)
    if parsed is None:
        raise ArmError(404, "InvalidResourceType", f"'{call.raw_path}' is not the id of a resource.")
    if deployments.is_part(body, parsed):
        return deployments.put_part(call, body, parsed)
    write_rules.registered(call, parsed.namespace)
    existing = call.world.resource(call.raw_path)
    location = write_rules.location(call, body.get("location") or (existing.location if existing else ""), parsed.type)
    write_rules.same_location(existing, location.name)
    write_rules.provider_answers(call, location.name, at.location)
    write_rules.capacity(call, parsed.type, location.name, existing)
    made = existing or Resource(
        f"{at.id}/providers/{parsed.type}/{parsed.name}", parsed.type, parsed.name, location.name
    )
    made.tags = dict(body.get("tags") or {})
    made.properties = dict(body.get("properties") or {}) | {"provisioningState": "Updating" if existing else "Creating"}
    fixed = {"id", "name", "type", "location", "tags", "properties"}
    made.extra = {key: value for key, value in body.items() if key not in fixed}
    call.world.put(made)
    if existing is None and made.is_a(write_rules.VIRTUAL_MACHINES):
        compute.equip(call.world, made)

    def finish(_: AsyncOperation) -> None:
        if now := call.world.resource(made.id):
            now.properties["provisioningState"] = "Succeeded"

    operation = begin(call, WRITING, made.id, location.name, finish)
    return Answer(200 if existing else 201, resource_body(made), headers(call, operation, parsed.namespace, "async"))


def patch_resource(call: Call) -> Answer:
    """Merge tags and properties, at once."""
    resource, body = find(call), _body(call)
    write_rules.provider_answers(call, resource.location, write_rules.group(call).location)
    if "tags" in body:
        resource.tags = dict(body["tags"] or {})
    resource.properties = resource.properties | (body.get("properties") or {})
    return Answer(body=resource_body(call.world.put(resource)))


def delete_resource(call: Call) -> Answer:
    """Accepted (``Location``), or 204 where there is nothing."""
    at = write_rules.group(call)
    resource = call.world.resource(call.raw_path)
    if resource is None:
        return Answer(204)
    write_rules.provider_answers(call, resource.location, at.location)

    def finish(_: AsyncOperation) -> None:
        call.world.remove(resource.id)
        call.world.hosts.pop(resource.id.lower(), None)

    operation = begin(call, WRITING, resource.id, resource.location, finish)
    return Answer(202, headers=headers(call, operation, resource.type.partition("/")[0], "location"))


# parts of requests


def _body(call: Call) -> Json:
    if not isinstance(call.body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
    return call.body


def _filter(call: Call, allowed: set[str]) -> dict[str, str]:
    """``$filter`` as name -> value: clauses ``name eq 'value'`` joined by ``and``. An empty one is none."""
    wanted = {}
    text = call.query.get("$filter", "").strip()
    for clause in re.split(r"\s+and\s+", text) if text else []:
        match = CLAUSE.match(clause.strip())
        if match is None or match[1].lower() not in allowed:
            raise ArmError(
                400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string."
            )
        wanted[match[1].lower()] = match[2].replace("''", "'")
    return wanted


def _tagged(tags: dict[str, str], wanted: dict[str, str]) -> bool:
    if "tagname" not in wanted:
        return True
    tag = {key.lower(): value for key, value in tags.items()}.get(wanted["tagname"].lower())
    return tag is not None and wanted.get("tagvalue", tag) == tag


AT = "/subscriptions/{subscription}"
GROUP = f"{AT}/resourceGroups/{{group}}"
ANY = f"{GROUP}/providers/{{resource*}}"
GROUPS = "Microsoft.Resources/subscriptions/resourceGroups"
ROLES = "providers/Microsoft.Authorization/roleAssignments"
ROLES_READ = "Microsoft.Authorization/roleAssignments/read"
ROUTES = [
    Route("GET", "/subscriptions", subscriptions),
    Route("GET", AT, subscription, "Microsoft.Resources/subscriptions/read"),
    Route("GET", f"{AT}/locations", locations, "Microsoft.Resources/subscriptions/locations/read"),
    Route("GET", f"{AT}/providers", providers, "Microsoft.Resources/subscriptions/providers/read"),
    Route("GET", f"{AT}/providers/{{namespace}}", provider, "Microsoft.Resources/subscriptions/providers/read"),
    Route("POST", f"{AT}/providers/{{namespace}}/register", register, "Microsoft.Resources/register/action"),
    Route("GET", f"{AT}/resourceGroups", groups, f"{GROUPS}/read"),
    Route("GET", GROUP, group, f"{GROUPS}/read"),
    Route("HEAD", GROUP, group_exists, f"{GROUPS}/read"),
    Route("PUT", GROUP, put_group, f"{GROUPS}/write"),
    Route("DELETE", GROUP, delete_group, f"{GROUPS}/delete"),
    Route("GET", f"{AT}/{ROLES}", assignments, ROLES_READ),
    Route("GET", f"{GROUP}/{ROLES}", assignments, ROLES_READ),
    Route("GET", f"{ANY}/{ROLES}", assignments, ROLES_READ),
    Route("GET", f"{AT}/resources", resources, "Microsoft.Resources/subscriptions/resources/read"),
    Route("GET", f"{GROUP}/resources", resources, f"{GROUPS}/resources/read"),
    Route("GET", ANY, resource, "{type}/read"),
    Route("HEAD", ANY, resource_exists, "{type}/read"),
    Route("PUT", ANY, put_resource, "{type}/write"),
    Route("PATCH", ANY, patch_resource, "{type}/write"),
    Route("DELETE", ANY, delete_resource, "{type}/delete"),
]
