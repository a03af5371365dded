"""What a target region offers: VM sizes, regional cores, free plan names, and soft-deleted plans. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import reading_azure
from drkit.model.estate import Reading, region_name
from drkit.products.base import KeepsDeleted, Product
from drkit.survey.machines import VM_ID

if TYPE_CHECKING:
    from drkit.providers.session import Session

SKUS_API = "2021-07-01"
USAGES_API = "2024-07-01"
_COMPUTE = "providers/Microsoft.Compute"


async def machines(
    azure: Session, subscriptions: Sequence[str], targets: Sequence[str], protected: Sequence[str], now: str
) -> list[Reading]:
    """The size of every VM in a protected region, and for each target region which of these sizes it offers, and its core quota.

    Signals ``vm-size`` (subject: the VM, detail: its region), ``vm-skus`` and ``vm-cores`` (subject: subscription and region).
    A subscription whose VMs cannot be listed has no readings; the capture reports it.
    """
    readings: list[Reading] = []
    for subscription in subscriptions:
        try:
            listed = await azure.compute.vms(subscription)
        except CloudError:
            continue
        sizes: list[Reading] = []
        for item in listed:
            # A machine that cannot be read has no size to look for; the capture reports that it could not be read.
            with suppress(CloudError), reading_azure(subscription):
                sizes += [_size(item, now)] if region_name(str(item.get("location", ""))) in protected else []
        readings += [size for size in sizes if size.value]
        for target in targets if any(size.value for size in sizes) else ():
            readings.append(
                await _offered(azure, subscription, target, {str(size.value).lower() for size in sizes}, now)
            )
            readings.append(await _cores(azure, subscription, target, now))
    return readings


def _size(item: Mapping[str, Any], now: str) -> Reading:
    size = ((item.get("properties") or {}).get("hardwareProfile") or {}).get("vmSize", "")
    place, arm_id = region_name(str(item.get("location", ""))), str(item.get("id", ""))
    if not VM_ID.fullmatch(arm_id):
        raise ValueError(f"{arm_id[:200]!r} is not the id of a virtual machine")
    return Reading(arm_id, "vm-size", str(size), "ARM: virtual machines", now, place)


async def _offered(azure: Session, subscription: str, region: str, sizes: set[str], now: str) -> Reading:
    """Those of ``sizes`` that can be created in the region, with their cores (Resource SKUs - List)."""
    subject, source = f"/subscriptions/{subscription.lower()}/{region}", "ARM: Microsoft.Compute/skus"
    params = {"api-version": SKUS_API, "$filter": f"location eq '{region}'"}
    offered: dict[str, int] = {}
    try:
        with reading_azure(subject):
            async for item in azure.rest.pages(f"/subscriptions/{subscription}/{_COMPUTE}/skus", params):
                name = str(item.get("name", "")).lower()
                if str(item.get("resourceType", "")).lower() != "virtualmachines" or name not in sizes:
                    continue
                if not _restricted(item, region):
                    offered[name] = _cores_of(item)
    except CloudError as error:
        return Reading(subject, "vm-skus", "unknown", source, now, str(error))
    return Reading(subject, "vm-skus", offered, source, now)


def _restricted(item: Mapping[str, Any], region: str) -> bool:
    """Whether this subscription may not use the whole region; a restriction of one zone does not restrict the region."""
    return any(
        str(restriction.get("type", "")).lower() == "location"
        and region in {region_name(str(place)) for place in restriction.get("values") or ()}
        for restriction in item.get("restrictions") or ()
    )


def _cores_of(item: Mapping[str, Any]) -> int:
    for capability in item.get("capabilities") or ():
        if str(capability.get("name", "")).lower() == "vcpus" and str(capability.get("value", "")).isdigit():
            return int(capability["value"])
    return 0


async def _cores(azure: Session, subscription: str, region: str, now: str) -> Reading:
    """The regional vCPU quota and how much of it is used (Usage - List)."""
    subject, source = f"/subscriptions/{subscription.lower()}/{region}", "ARM: Microsoft.Compute usages"
    url = f"/subscriptions/{subscription}/{_COMPUTE}/locations/{region}/usages"
    try:
        with reading_azure(subject):
            async for item in azure.rest.pages(url, {"api-version": USAGES_API}):
                if str((item.get("name") or {}).get("value", "")).lower() == "cores":
                    value = {"used": int(item.get("currentValue", 0)), "limit": int(item.get("limit", 0))}
                    return Reading(subject, "vm-cores", value, source, now)
    except CloudError as error:
        return Reading(subject, "vm-cores", "unknown", source, now, str(error))
    return Reading(subject, "vm-cores", "unknown", source, now, "the list has no regional cores")


async def names(
    azure: Session, plan_ids: Iterable[tuple[str, Product]], subscriptions: Sequence[str], now: str
) -> list[Reading]:
    """Whether each plan name is free, and which plans of its product were soft-deleted.

    ``plan_ids``: (ARM id, its product). Signals ``exists`` (of an id), ``deleted-asked`` (of a type) and the product's ``deleted``.
    """
    readings: list[Reading] = []
    asked: dict[str, Product] = {}
    for arm_id, product in plan_ids:
        kind = "/".join(arm_id.strip("/").split("/")[5:7])
        asked.setdefault(kind, product)
        source = f"ARM: {kind}"
        try:
            with reading_azure(arm_id):
                await azure.resources.resource(arm_id, product.api_version(arm_id))
            readings.append(Reading(arm_id, "exists", "yes", source, now))
        except NotFoundError as error:
            readings.append(Reading(arm_id, "exists", "no", source, now, error.code))
        except CloudError as error:
            readings.append(Reading(arm_id, "exists", "unknown", source, now, str(error)))
    for kind, product in sorted(asked.items()):
        if not isinstance(product, KeepsDeleted):
            readings.append(Reading(kind, "deleted-asked", "no-api", "drkit", now))
            continue
        try:
            with reading_azure(kind):
                for subscription in subscriptions:
                    readings += await product.deleted(azure, subscription, now)
        except CloudError as error:
            readings.append(Reading(kind, "deleted-asked", "unknown", f"ARM: {kind}", now, str(error)))
            continue
        readings.append(Reading(kind, "deleted-asked", "yes", f"ARM: {kind}", now))
    return readings
