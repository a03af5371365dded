"""The regions of what drkit itself depends on: state store, identity, this machine, and resources in settings. Reads only."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.estate import Reading, region_name
from drkit.model.ids import ArmId
from drkit.planning.proposal import TAG_TARGET

if TYPE_CHECKING:
    from drkit.providers.session import Session

IMDS = "169.254.169.254"
IMDS_API = "2021-02-01"
IMDS_SECONDS = 3.0
IDENTITY_TYPE = "microsoft.managedidentity/userassignedidentities"
IDENTITY_API = "2024-11-30"
STORE_TYPE = "Microsoft.Storage/storageAccounts"
TYPE_NAMES: Mapping[str, str] = {
    "vaults": "key vault",
    "userassignedidentities": "identity",
    "virtualmachinescalesets": "agent pool",
    "virtualmachines": "agent",
    "storageaccounts": "state store",
}


async def read(
    azure: Session, subscriptions: Sequence[str], *, store: str, machine: str, needs: Sequence[str], now: str
) -> list[Reading]:
    """A reading of signal ``needs`` for each dependency: the value is its region or ``unknown``, the detail says what it is.

    ``store``: an account's address, or a folder; ``machine``: the region of this machine, ``imds``, or empty; ``needs``: ARM ids.
    A second reading, ``needs-group``, has the region of the resource group.
    """
    lookup = RegionLookup(azure, now)
    await lookup.store(store, subscriptions)
    await lookup.identity()
    await lookup.machine(machine)
    for arm_id in needs:
        kind = ArmId(arm_id).parts[-2]
        await lookup.resource(arm_id, TYPE_NAMES.get(kind.lower(), kind))
    return lookup.readings


class RegionLookup:
    """Looks up the regions of dependencies; ``readings`` are its results."""

    def __init__(self, azure: Session, now: str) -> None:
        self._azure = azure
        self._now = now
        self._groups: dict[str, dict[str, str]] = {}
        self._listed: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.readings: list[Reading] = []

    def _say(self, subject: str, value: str, what: str, source: str, detail: str = "") -> None:
        text = f"{what}: {detail}" if detail else what
        self.readings.append(Reading(subject, "needs", value, source, self._now, text))

    async def store(self, address: str, subscriptions: Sequence[str]) -> None:
        """Look for the storage account of that name in all subscriptions. A folder needs no reading: it is on this machine."""
        if not address.startswith(("https://", "http://")):
            return
        parts = urlsplit(address)
        name = parts.path.strip("/") or (parts.hostname or "").partition(".")[0]
        why = "no storage account of that name is in a subscription that drkit reads"
        for subscription in subscriptions:
            try:
                listed = await self._of_type(subscription, STORE_TYPE)
                with reading_azure(address):
                    account = next((item for item in listed if str(item.get("name", "")).lower() == name.lower()), None)
                    if account is not None:
                        await self._report(account, "state store")
                        return
            except CloudError as error:
                why = str(error)
        self._say(address, "unknown", "state store", "ARM: storage accounts", why)

    async def identity(self) -> None:
        """The managed identity that signs in, as its token names it. A service principal has no region."""
        try:
            with reading_azure("identity"):
                resource = await self._azure.identity()
        except CloudError as error:
            self._say("identity", "unknown", "identity", "token", str(error))
            return
        if resource:
            await self.resource(resource, "identity")

    async def machine(self, setting: str) -> None:
        """The region of this machine, from settings or from its metadata service."""
        if setting.strip().lower() == "imds":
            region, why = await asyncio.to_thread(imds)
            self._say("this machine", region or "unknown", "this machine", "Instance Metadata Service", why)
        elif setting:
            self._say("this machine", region_name(setting), "this machine", "drkit.toml: [check] machine")
        else:
            self._say("this machine", "unknown", "this machine", "drkit.toml: [check] machine", "not set")

    async def resource(self, arm_id: str, what: str) -> None:
        """The resource of that id, from the list of its type, so that its provider's api-version is not needed."""
        key = ArmId(arm_id)
        kind = key.resource_type
        try:
            with reading_azure(arm_id):
                listed = await self._of_type(key.subscription, kind)
                resource = next((item for item in listed if key == str(item.get("id", ""))), None)
                if resource is not None:
                    await self._report(resource, what)
                    return
        except CloudError as error:
            self._say(arm_id, "unknown", what, f"ARM: {kind}", str(error))
            return
        self._say(arm_id, "unknown", what, f"ARM: {kind}", "it does not exist, or this identity may not read it")

    async def _report(self, item: Mapping[str, Any], what: str) -> None:
        arm_id = str(item.get("id", ""))
        location = region_name(str(item.get("location", "")))
        self._say(arm_id, location or "unknown", what, f"ARM: {item.get('type', 'resources')}")
        if str(item.get("type", "")).lower() == IDENTITY_TYPE:
            await self._isolation(arm_id)
        try:
            with reading_azure(arm_id):
                regions = await self._groups_of(ArmId(arm_id).subscription)
        except CloudError:
            return
        if region := regions.get(ArmId(arm_id).resource_group.lower()):
            self.readings.append(Reading(arm_id, "needs-group", region, "ARM: resource groups", self._now, what))

    async def _isolation(self, arm_id: str) -> None:
        """Whether an identity may be assigned only to resources of its own region (``isolationScope``)."""
        try:
            with reading_azure(arm_id):
                body = await self._azure.resources.resource(arm_id, IDENTITY_API)
                scope = str((body.get("properties") or {}).get("isolationScope") or "None")
        except CloudError:
            return
        self.readings.append(Reading(arm_id, "isolation", scope, "ARM: userAssignedIdentities", self._now))

    async def _of_type(self, subscription: str, kind: str) -> list[dict[str, Any]]:
        key = (subscription.lower(), kind.lower())
        if key not in self._listed:
            self._listed[key] = await self._azure.resources.list_resources(subscription, kind)
        return self._listed[key]

    async def _groups_of(self, subscription: str) -> dict[str, str]:
        if subscription not in self._groups:
            self._groups[subscription] = {
                str(group["name"]).lower(): region_name(str(group.get("location", "")))
                for group in await self._azure.resources.groups(subscription)
            }
        return self._groups[subscription]


async def target_groups(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every resource group tagged as a target, with its region. A subscription whose groups cannot be read has no readings."""
    readings = []
    for subscription in subscriptions:
        with suppress(CloudError), reading_azure(subscription):
            for group in await azure.resources.groups(subscription):
                if str((group.get("tags") or {}).get(TAG_TARGET, "")).lower() == "true":
                    region = region_name(str(group.get("location", "")))
                    readings.append(Reading(str(group["id"]), "target-group", region, "ARM: resource groups", now))
    return readings


def imds(host: str = IMDS, port: int = 80) -> tuple[str, str]:
    """The region of the virtual machine that drkit runs on (empty: unknown), and why it is not known.

    The Azure Instance Metadata Service answers on the machine's own link, so no proxy is used. It needs no token and gives no
    access to Azure. https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
    """
    path = f"/metadata/instance/compute/location?api-version={IMDS_API}&format=text"
    connection = http.client.HTTPConnection(host, port, timeout=IMDS_SECONDS)
    try:
        connection.request("GET", path, headers={"Metadata": "true"})
        answer = connection.getresponse()
        text = answer.read(200).decode("utf-8", "replace").strip()
        status = answer.status
    except (OSError, http.client.HTTPException) as error:
        return "", f"the metadata service does not answer: {error}"
    finally:
        connection.close()
    region = region_name(text)
    if status != 200 or not region.isalnum():
        return "", f"the metadata service answered {status} without a region"
    return region, ""
