"""What can prevent a write: locks, policies, deleted accounts, VM sizes and quotas.

Locks and the built-in policies about locations are enforced, as Resource Manager does, before a provider sees the request.
https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources
https://learn.microsoft.com/azure/governance/policy/concepts/effect-deny
"""

from __future__ import annotations

from drkit.simulator.arm import resource_manager, write_rules
from drkit.simulator.arm.compute import SIZE
from drkit.simulator.arm.identity import within
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, World, normal
from drkit.simulator.core.wire import Answer, ArmError, page, parse_id

AUTHORIZATION = "providers/Microsoft.Authorization"
LISTS = ("locks", "policies", "policy_definitions", "deleted_accounts")
LEVELS = ("ReadOnly", "CanNotDelete")
ALLOWED_LOCATIONS = "e56962a6-4747-49cd-b67b-bf8b01975c4c"
ALLOWED_GROUP_LOCATIONS = "e765b5de-1225-4ba3-bd56-1ac6695af988"
"""https://learn.microsoft.com/azure/governance/policy/samples/built-in-policies (General)"""
SIZES = {SIZE: 2, "Standard_D4s_v5": 4, "Standard_NV36ads_A10_v5": 36}


def add(world: World, key: str, entry: Json) -> None:
    """One more entry of the list ``key``."""
    take(world, {key: [*getattr(world, key), entry]})


def take(world: World, given: Json) -> Json:
    """Set what ``given`` names, each list whole: locks, policies, policy_definitions, deleted_accounts. ValueError for nonsense."""
    for key in LISTS:
        if key not in given:
            continue
        entries = [dict(entry) for entry in given[key]]
        for entry in entries:
            if key == "locks" and entry["level"] not in LEVELS:
                raise ValueError(f"a lock's level is one of {', '.join(LEVELS)}")
        setattr(world, key, entries)
    return {key: getattr(world, key) for key in LISTS}


# locks


def locks(call: Call) -> Answer:
    """Those of the subscription, its groups and their resources."""
    root = f"/subscriptions/{write_rules.subscription(call).id}"
    bodies = [
        {
            "properties": {"level": lock["level"], "notes": lock.get("notes", "")},
            "id": f"{lock['scope'].rstrip('/')}/{AUTHORIZATION}/locks/{lock['name']}",
            "type": "Microsoft.Authorization/locks",
            "name": lock["name"],
        }
        for lock in call.world.locks
        if within(lock["scope"], root)
    ]
    return page(bodies, call.query, call.link)


def obey(call: Call) -> None:
    """ScopeLocked (409) for a write below a lock, RequestDisallowedByPolicy (403) for a creation where a policy has no place for it."""
    if call.method in ("GET", "HEAD") or not call.action.lower().endswith(("/write", "/delete", "/action")):
        return
    verb = call.action.rsplit("/", 1)[-1].lower()
    held = [
        lock
        for lock in call.world.locks
        if within(call.raw_path, lock["scope"]) and (lock["level"] == "ReadOnly" or verb == "delete")
    ]
    if held and (verb != "action" or call.action.lower().endswith("/runcommand/action")):
        raise ArmError(
            409,
            "ScopeLocked",
            f"The scope '{call.raw_path}' cannot perform {verb} operation because following scope(s) are locked: "
            f"'{held[0]['scope']}'. Please remove the lock and try again.",
        )
    if call.method == "PUT" and isinstance(call.body, dict):
        _placed(call, normal(str(call.body.get("location") or "")))


def _placed(call: Call, region: str) -> None:
    is_group = parse_id(call.raw_path) is None
    wanted = ALLOWED_GROUP_LOCATIONS if is_group else ALLOWED_LOCATIONS
    for policy in call.world.policies:
        if (
            not policy["definition"].lower().endswith(wanted)
            or policy.get("enforcement", "Default") != "Default"
            or not region
        ):
            continue
        allowed = [normal(place) for place in policy["parameters"]["listOfAllowedLocations"]["value"]]
        excluded = any(within(call.raw_path, scope) for scope in policy.get("not_scopes", ()))
        if within(call.raw_path, policy["scope"]) and not excluded and region not in allowed:
            raise ArmError(
                403,
                "RequestDisallowedByPolicy",
                f"Resource '{call.raw_path.rsplit('/', 1)[-1]}' was disallowed by policy. Policy identifiers: "
                f'\'[{{"policyAssignment":{{"name":"{policy.get("display", policy["name"])}"}}}}]\'.',
            )


# policies


def assignments(call: Call) -> Answer:
    """Those that apply to the subscription, from above too, and those of scopes inside it."""
    root = f"/subscriptions/{write_rules.subscription(call).id}"
    bodies = []
    for policy in call.world.policies:
        scope = policy["scope"].rstrip("/")
        if not within(scope, root) and not scope.lower().startswith("/providers/microsoft.management/"):
            continue
        bodies.append(
            {
                "properties": {
                    "displayName": policy.get("display", policy["name"]),
                    "policyDefinitionId": policy["definition"],
                    "scope": scope,
                    "notScopes": list(policy.get("not_scopes", ())),
                    "parameters": policy.get("parameters", {}),
                    "enforcementMode": policy.get("enforcement", "Default"),
                },
                "id": f"{scope}/{AUTHORIZATION}/policyAssignments/{policy['name']}",
                "type": "Microsoft.Authorization/policyAssignments",
                "name": policy["name"],
            }
        )
    return page(bodies, call.query, call.link)


def definition(call: Call) -> Answer:
    """A policy definition or a set of them, of the subscription or built in; PolicyDefinitionNotFound otherwise."""
    policy = next(
        (policy for policy in call.world.policy_definitions if policy["id"].lower() == call.raw_path.lower()), None
    )
    if policy is None:
        text = f"The policy definition '{call.path['name']}' could not be found."
        raise ArmError(404, "PolicyDefinitionNotFound", text)
    kind = "/".join(policy["id"].split("/")[-3:-1])
    return Answer(
        body={"properties": policy["properties"], "id": policy["id"], "name": call.path["name"], "type": kind}
    )


# what is there beside


def deleted_accounts(call: Call) -> Answer:
    """Automation accounts deleted in the last 30 days."""
    root = f"/subscriptions/{write_rules.subscription(call).id}"
    bodies = [
        {
            "id": f"{root}/providers/Microsoft.Automation/deletedAutomationAccounts/{account['id'].rsplit('/', 1)[-1]}",
            "name": account["id"].rsplit("/", 1)[-1],
            "type": "Microsoft.Automation/deletedAutomationAccounts",
            "location": account["location"],
            "properties": {
                "automationAccountResourceId": account["id"],
                "automationAccountId": account["account_id"],
                "location": account["location"],
                "deletionTime": account["deleted"],
            },
        }
        for account in call.world.deleted_accounts
        if within(account["id"], root)
    ]
    return Answer(body={"value": bodies})


def skus(call: Call) -> Answer:
    """VM sizes; a quota of kind ``sku`` that is 0 bars a region to the subscription. ``$filter=location eq 'x'`` only."""
    at = write_rules.subscription(call)
    wanted = normal(call.query.get("$filter", "").partition("'")[2].partition("'")[0])
    bodies = []
    for region in [wanted] if wanted in call.world.locations else list(call.world.locations):
        barred = call.world.limit(at.id, region, "sku", 1) == 0
        restriction = {
            "type": "Location",
            "values": [region],
            "restrictionInfo": {"locations": [region]},
            "reasonCode": "NotAvailableForSubscription",
        }
        bodies += [
            {
                "resourceType": "virtualMachines",
                "name": size,
                "tier": "Standard",
                "locations": [region],
                "capabilities": [{"name": "vCPUs", "value": str(cores)}],
                "restrictions": [restriction] if barred else [],
            }
            for size, cores in SIZES.items()
        ]
    return Answer(body={"value": bodies})


def usages(call: Call) -> Answer:
    """The regional cores, used and allowed."""
    at, region = write_rules.subscription(call), normal(call.path["region"])
    vms = call.world.under(f"/subscriptions/{at.id}", write_rules.VIRTUAL_MACHINES)
    used = sum(write_rules.CORES for vm in vms if vm.location == region)
    cores = {"value": "cores", "localizedValue": "Total Regional vCPUs"}
    limit = call.world.limit(at.id, region, "cores", 100)
    return Answer(body={"value": [{"limit": limit, "unit": "Count", "currentValue": used, "name": cores}]})


READS = "Microsoft.Authorization"
ROUTES = [
    Route("GET", f"{resource_manager.AT}/{AUTHORIZATION}/locks", locks, f"{READS}/locks/read"),
    Route(
        "GET",
        f"{resource_manager.AT}/{AUTHORIZATION}/policyAssignments",
        assignments,
        f"{READS}/policyAssignments/read",
    ),
    Route(
        "GET",
        f"{resource_manager.AT}/{AUTHORIZATION}/policyDefinitions/{{name}}",
        definition,
        f"{READS}/policyDefinitions/read",
    ),
    Route("GET", f"/{AUTHORIZATION}/policyDefinitions/{{name}}", definition),
    Route(
        "GET",
        f"{resource_manager.AT}/{AUTHORIZATION}/policySetDefinitions/{{name}}",
        definition,
        f"{READS}/policySetDefinitions/read",
    ),
    Route("GET", f"/{AUTHORIZATION}/policySetDefinitions/{{name}}", definition),
    Route(
        "GET",
        f"{resource_manager.AT}/providers/Microsoft.Automation/deletedAutomationAccounts",
        deleted_accounts,
        "Microsoft.Automation/deletedAutomationAccounts/read",
    ),
    Route("GET", f"{resource_manager.AT}/providers/Microsoft.Compute/skus", skus, "Microsoft.Compute/skus/read"),
    Route(
        "GET",
        f"{resource_manager.AT}/providers/Microsoft.Compute/locations/{{region}}/usages",
        usages,
        "Microsoft.Compute/locations/usages/read",
    ),
]
