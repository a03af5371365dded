"""What a target region has for machines and names: VM sizes, regional cores, plan names, what was deleted softly. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import read as reading
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
    """The size of every VM in a protected region, and what each target region offers of them and has left."""
    found: list[Reading] = []
    for subscription in subscriptions:
        try:
            listed = await azure.compute.vms(subscription)
        except CloudError:
            continue
        sizes: list[Reading] = []
        for item in listed:
            # A machine that cannot be read has no size to ask for; the capture says that it could not be read.
            with suppress(CloudError), reading(subscription):
                sizes += [_size(item, now)] if region_name(str(item.get("location", ""))) in protected else []
        found += [one for one in sizes if one.value]
        for target in targets if any(one.value for one in sizes) else ():
            found.append(await _offered(azure, subscription, target, {str(one.value).lower() for one in sizes}, now))
            found.append(await _cores(azure, subscription, target, now))
    return found


def _size(item: Mapping[str, Any], now: str) -> Reading:
    size = ((item.get("properties") or {}).get("hardwareProfile") or {}).get("vmSize", "")
    place, arm_id = region_name(str(item.get("location", ""))), str(item.get("id", ""))
    if not VM_ID.fullmatch(arm_id):
        raise ValueError(f"{arm_id[:200]!r} is not the id of a virtual machine")
    return Reading(arm_id, "vm-size", str(size), "ARM: virtual machines", now, place)


async def _offered(azure: Session, subscription: str, region: str, sizes: set[str], now: str) -> Reading:
    """Those of ``sizes`` that may be made there, with their cores (Resource SKUs - List)."""
    subject, source = f"/subscriptions/{subscription.lower()}/{region}", "ARM: Microsoft.Compute/skus"
    params = {"api-version": SKUS_API, "$filter": f"location eq '{region}'"}
    offered: dict[str, int] = {}
    try:
        with reading(subject):
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
    """Whether the whole region is barred to this subscription; a zone that is does not bar the region."""
    return any(
        str(one.get("type", "")).lower() == "location"
        and region in {region_name(str(place)) for place in one.get("values") or ()}
        for one in item.get("restrictions") or ()
    )


def _cores_of(item: Mapping[str, Any]) -> int:
    for one in item.get("capabilities") or ():
        if str(one.get("name", "")).lower() == "vcpus" and str(one.get("value", "")).isdigit():
            return int(one["value"])
    return 0


async def _cores(azure: Session, subscription: str, region: str, now: str) -> Reading:
    """The regional vCPU quota and what is used of it (Usage - List)."""
    subject, source = f"/subscriptions/{subscription.lower()}/{region}", "ARM: Microsoft.Compute usages"
    url = f"/subscriptions/{subscription}/{_COMPUTE}/locations/{region}/usages"
    try:
        with reading(subject):
            async for item in azure.rest.pages(url, {"api-version": USAGES_API}):
                if str((item.get("name") or {}).get("value", "")).lower() == "cores":
                    value = {"used": int(item.get("currentValue", 0)), "limit": int(item.get("limit", 0))}
                    return Reading(subject, "vm-cores", value, source, now)
    except CloudError as error:
        return Reading(subject, "vm-cores", "unknown", source, now, str(error))
    return Reading(subject, "vm-cores", "unknown", source, now, "the list has no regional cores")


async def names(
    azure: Session, wanted: Iterable[tuple[str, Product]], subscriptions: Sequence[str], now: str
) -> list[Reading]:
    """Whether each id is free, and what was softly deleted of its product's plans. ``wanted``: (ARM id, its product)."""
    found: list[Reading] = []
    asked: dict[str, Product] = {}
    for arm_id, product in wanted:
        kind = "/".join(arm_id.strip("/").split("/")[5:7])
        asked.setdefault(kind, product)
        source = f"ARM: {kind}"
        try:
            with reading(arm_id):
                await azure.resources.resource(arm_id, product.api_version(arm_id))
            found.append(Reading(arm_id, "exists", "yes", source, now))
        except NotFoundError as error:
            found.append(Reading(arm_id, "exists", "no", source, now, error.code))
        except CloudError as error:
            found.append(Reading(arm_id, "exists", "unknown", source, now, str(error)))
    for kind, product in sorted(asked.items()):
        if not isinstance(product, KeepsDeleted):
            found.append(Reading(kind, "deleted-asked", "no-api", "drkit", now))
            continue
        try:
            with reading(kind):
                for subscription in subscriptions:
                    found += await product.deleted(azure, subscription, now)
        except CloudError as error:
            found.append(Reading(kind, "deleted-asked", "unknown", f"ARM: {kind}", now, str(error)))
            continue
        found.append(Reading(kind, "deleted-asked", "yes", f"ARM: {kind}", now))
    return found
