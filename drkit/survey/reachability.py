"""Whether hosts can be reached now: power state and agent of VMs, status of Arc machines. Reads only; runs nothing on a host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import reading_azure
from drkit.model.estate import Host, Reading
from drkit.model.ids import ArmId
from drkit.survey.fleet import FLEET
from drkit.survey.machines import ARC_API, power_of

if TYPE_CHECKING:
    from drkit.providers.session import Session

TOGETHER = 8


async def read(azure: Session, hosts: Sequence[Host], now: str) -> list[Reading]:
    """Signals ``power`` and ``agent`` of each VM and ``arc-status`` of each Arc machine, with a GET for each host.

    For the VMs of a fleet only ``power``, from a list for each subscription, and one ``agents-unread`` for all of them.
    """
    vms = [host for host in hosts if host.kind == "azure-vm"]
    if len(vms) >= FLEET:
        others = await read(azure, [host for host in hosts if host.kind != "azure-vm"], now)
        return [*others, *await _fleet(azure, vms, now)]
    limit = asyncio.Semaphore(TOGETHER)

    async def read_host(host: Host) -> list[Reading]:
        async with limit:
            if host.kind == "azure-vm":
                return await _vm(azure, host, now)
            return await _arc(azure, host, now) if host.kind == "arc" else []

    return [reading for readings in await asyncio.gather(*(read_host(host) for host in hosts)) for reading in readings]


async def _fleet(azure: Session, vms: Sequence[Host], now: str) -> list[Reading]:
    source = "ARM: status of all virtual machines"
    power: dict[ArmId, str] = {}
    unread: dict[str, str] = {}
    for subscription in sorted({host.key.subscription.lower() for host in vms}):
        try:
            with reading_azure():
                listed = await azure.compute.statuses(subscription)
                power.update((ArmId(str(item.get("id", ""))), power_of(item)) for item in listed)
        except CloudError as error:
            unread[subscription] = str(error)
    readings = [Reading("hosts", "agents-unread", len(vms), source, now)]
    for host in vms:
        why = unread.get(host.key.subscription.lower(), "")
        value = power.get(host.key, "unknown" if why else "gone")
        readings.append(Reading(host.id, "power", value, source, now, why))
    return readings


async def _vm(azure: Session, host: Host, now: str) -> list[Reading]:
    source = "ARM: instance view"
    try:
        with reading_azure(host.id):
            body = await azure.compute.vm(host.id)
            value, detail = _agent(body)
            power = power_of(body)
    except NotFoundError as error:
        return [Reading(host.id, "power", "gone", source, now, error.code)]
    except CloudError as error:
        return [Reading(host.id, "power", "unknown", source, now, str(error))]
    return [
        Reading(host.id, "power", power, source, now),
        Reading(host.id, "agent", value, source, now, detail),
    ]


def _agent(body: Mapping[str, Any]) -> tuple[str, str]:
    view = (body.get("properties") or {}).get("instanceView") or {}
    statuses = (view.get("vmAgent") or {}).get("statuses") or []
    for status in statuses:
        word = str(status.get("displayStatus", ""))
        return ("ready" if word.lower() == "ready" else word.lower() or "unknown"), str(status.get("message", ""))
    return "unknown", "the agent reports no status"


async def _arc(azure: Session, host: Host, now: str) -> list[Reading]:
    source = "ARM: Arc machine"
    try:
        with reading_azure(host.id):
            body = await azure.resources.resource(host.id, ARC_API)
            properties = body.get("properties") or {}
            status = str(properties.get("status") or "unknown")
            changed = str(properties.get("lastStatusChange") or "")
    except NotFoundError as error:
        return [Reading(host.id, "arc-status", "gone", source, now, error.code)]
    except CloudError as error:
        return [Reading(host.id, "arc-status", "unknown", source, now, str(error))]
    return [Reading(host.id, "arc-status", status, source, now, changed)]
