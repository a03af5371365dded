"""What Resource Manager checks before a provider sees a request.

Codes and messages: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
"""

from __future__ import annotations

from drkit.simulator.arm.catalog import PROVIDERS
from drkit.simulator.core.routing import Call
from drkit.simulator.core.state import Location, Loss, Resource, ResourceGroup, Subscription, normal, region_lost
from drkit.simulator.core.wire import ArmError, Hang

VIRTUAL_MACHINES = "Microsoft.Compute/virtualMachines"
CORES = 2
"""Of the one VM size the simulator has."""


def subscription(call: Call) -> Subscription:
    """The subscription in the path; SubscriptionNotFound otherwise."""
    wanted = call.path["subscription"]
    known = call.world.subscriptions.get(wanted.lower())
    if known is None:
        raise ArmError(404, "SubscriptionNotFound", f"The subscription '{wanted}' could not be found.")
    return known


def group(call: Call) -> ResourceGroup:
    """The resource group in the path; ResourceGroupNotFound otherwise."""
    name = call.path["group"]
    known = call.world.groups.get(f"/subscriptions/{subscription(call).id}/resourcegroups/{name}".lower())
    if known is None:
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    return known


def parent(call: Call, resource_id: str) -> Resource:
    """The resource that the path is below; ParentResourceNotFound if there is none."""
    group(call)
    resource = call.world.resource(resource_id)
    if resource is None:
        raise ArmError(
            404,
            "ParentResourceNotFound",
            "Can not perform requested operation on nested resource. "
            f"Parent resource '{resource_id.rpartition('/')[2]}' not found.",
        )
    return resource


def registered(call: Call, namespace: str) -> None:
    """MissingSubscriptionRegistration (409) unless the subscription registered the namespace."""
    if namespace.lower() not in subscription(call).registered:
        raise ArmError(
            409,
            "MissingSubscriptionRegistration",
            f"The subscription is not registered to use namespace '{namespace}'. "
            "See https://aka.ms/rps-not-found for how to register subscriptions.",
        )


def location(call: Call, name: str, resource_type: str) -> Location:
    """The location a resource asks for; LocationNotAvailableForResourceType if the type does not exist there."""
    namespace, _, rest = resource_type.partition("/")
    types = {key.lower(): value for key, value in PROVIDERS.get(namespace.lower(), {}).items()}
    allowed = types.get(rest.lower()) or list(call.world.locations)
    known = call.world.locations.get(normal(name))
    if known is None or known.name not in allowed:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{name}' is not available for resource type '{resource_type}'. "
            f"List of available regions for the resource type is '{','.join(allowed)}'.",
        )
    return known


def same_location(existing: Resource | None, wanted: str) -> None:
    """InvalidResourceLocation (409): a resource cannot be made again elsewhere under its name."""
    if existing is not None and normal(existing.location) != normal(wanted):
        raise ArmError(
            409,
            "InvalidResourceLocation",
            f"The resource '{existing.name}' already exists in location '{existing.location}' in resource group "
            f"'{existing.group}'. A resource with the same name cannot be created in location '{wanted}'. "
            "Please select a new resource name.",
        )


def lost(call: Call, *regions: str) -> Loss | None:
    """The loss of the first of these regions that is lost, or None."""
    return next((loss for region in regions if (loss := region_lost(call.world, region))), None)


def provider_answers(call: Call, *regions: str) -> None:
    """A write at a provider in a lost region, or into a group there, gets a 5xx or is never answered."""
    loss = lost(call, *regions)
    if loss is None:
        return
    if loss.arm == "hang":
        raise Hang
    raise ArmError(
        503,
        "ServiceUnavailable",
        "The request could not be served because the resource provider is temporarily unavailable in this region. "
        "Please retry the request.",
    )


def capacity(call: Call, resource_type: str, region: str, existing: Resource | None) -> None:
    """SkuNotAvailable and the cores quota, for a new VM: quotas of kind ``sku`` (0: none to be had) and ``cores``."""
    if existing is not None or resource_type.lower() != VIRTUAL_MACHINES.lower():
        return
    world, at = call.world, subscription(call)
    size = ((call.body.get("properties") or {}).get("hardwareProfile") or {}).get("vmSize", "Standard_D2s_v5")
    if world.limit(at.id, region, "sku", 1) == 0:
        raise ArmError(
            409,
            "SkuNotAvailable",
            f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is "
            f"currently not available in location '{region}'. Please try another size or deploy to a different "
            "location or different zone. See https://aka.ms/azureskunotavailable for details.",
        )
    used = sum(CORES for vm in world.under(f"/subscriptions/{at.id}", VIRTUAL_MACHINES) if vm.location == region)
    limit = world.limit(at.id, region, "cores", 100)
    if used + CORES > limit:
        raise ArmError(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. "
            f"Additional details - Deployment Model: Resource Manager, Location: {region}, Current Limit: {limit}, "
            f"Current Usage: {used}, Additional Required: {CORES}, (Minimum) New Limit Required: {used + CORES}.",
        )
