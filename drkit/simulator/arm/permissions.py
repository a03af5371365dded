"""Permissions at a subscription, a group or a resource: which actions the caller's roles allow there.

https://learn.microsoft.com/rest/api/authorization/permissions (list for resource group, list for resource)
"""

from __future__ import annotations

from drkit.simulator.arm import resource_manager, write_rules
from drkit.simulator.arm.identity import within
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json
from drkit.simulator.core.wire import Answer, page

PERMISSIONS = "providers/Microsoft.Authorization/permissions"


def listed(call: Call) -> Answer:
    """One entry a role of the caller's at or above the scope."""
    scope = call.raw_path.lower().partition(f"/{PERMISSIONS.lower()}")[0]
    if "group" in call.path:
        write_rules.group(call)
    if "resource" in call.path:
        resource_manager.find(call, scope)
    world, caller = call.world, call.caller
    roles = dict.fromkeys(
        entry["role"]
        for entry in world.assignments
        if caller is not None and entry["principal"] == caller.object_id and within(scope, entry["scope"])
    )
    empty: Json = {"notActions": [], "dataActions": [], "notDataActions": []}
    return page([{"actions": world.roles.get(role, []), **empty} for role in roles], call.query, call.link)


READ = "Microsoft.Authorization/permissions/read"
ROUTES = [
    Route("GET", f"{resource_manager.AT}/{PERMISSIONS}", listed, READ),
    Route("GET", f"{resource_manager.GROUP}/{PERMISSIONS}", listed, READ),
    Route("GET", f"{resource_manager.ANY}/{PERMISSIONS}", listed, READ),
]
