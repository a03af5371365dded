"""What is on a worker's machine: its instance, its agent and the hybrid worker's extension, as ARM has them now."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from drkit.errors import CloudError, FileError, NotFoundError
from drkit.model import files
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.products.base import RegisteredElsewhereError, StepContext, StepFailedError
from drkit.products.defaults import LOOK_SECONDS
from drkit.products.hybrid_worker import client as wire
from drkit.products.hybrid_worker.actions import extension_path
from drkit.products.hybrid_worker.settings import URL

SIGNALS = frozenset({"instance_id", "running", "agent", "identity"})
MAY_CHANGE = "may-change-extensions"


# the machine


async def machine_readings(machine: str, context: StepContext, now: str) -> list[Reading]:
    """The readings ``SIGNALS`` of a machine: its instance, whether it runs, its agent and its identity."""
    source = "ARM: machine"
    values: dict[str, Any] = dict.fromkeys(("instance_id", "running", "agent", "identity"), "unknown")
    try:
        if "/microsoft.compute/" in machine.lower():
            values = _virtual_machine(await context.azure.compute.vm(machine))
        else:
            values = _arc_machine(await context.azure.resources.resource(machine, wire.machine_api(machine)))
    except NotFoundError:
        values = {"instance_id": "gone", "running": False, "agent": "none", "identity": False}
    except CloudError as error:
        source = f"{source}: {error.what}"
    return [Reading(machine, signal, value, source, now) for signal, value in values.items()]


async def permission_reading(machine: str, context: StepContext, now: str) -> Reading:
    """Whether this identity may change the extensions of a machine."""
    source = "ARM: permissions"
    try:
        value = await wire.permitted(context.azure, machine)
    except CloudError as error:
        return Reading(machine, MAY_CHANGE, "unknown", source, now, str(error))
    return Reading(machine, MAY_CHANGE, value, source, now)


def _virtual_machine(body: Mapping[str, Any]) -> dict[str, Any]:
    properties = body.get("properties") or {}
    view = properties.get("instanceView") or {}
    power = [str(status.get("code", "")).lower() for status in view.get("statuses") or []]
    agent = view.get("vmAgent") or {}
    ready = [str(status.get("displayStatus", "")).lower() for status in agent.get("statuses") or []]
    return {
        "instance_id": str(properties.get("vmId", "unknown")),
        "running": "powerstate/running" in power,
        "agent": "ready" if "ready" in ready else "not ready",
        "identity": "systemassigned" in str((body.get("identity") or {}).get("type", "")).lower(),
    }


def _arc_machine(body: Mapping[str, Any]) -> dict[str, Any]:
    properties = body.get("properties") or {}
    connected = str(properties.get("status", "")).lower() == "connected"
    return {
        "instance_id": str(properties.get("vmUuid") or "unknown"),
        "running": connected,
        "agent": "ready" if connected else "not ready",
        "identity": "systemassigned" in str((body.get("identity") or {}).get("type", "")).lower(),
    }


# its extension


def extension_name(inputs: Mapping[str, Any]) -> str:
    """The name of the extension that a step's inputs recorded."""
    return str(inputs["extension"]["name"])


async def extension_of(step: Step, context: StepContext) -> dict[str, Any] | None:
    """The extension of that name that is on the step's machine now; None without one."""
    return await wire.extension(context.azure, str(step.inputs["machine"]), extension_name(step.inputs))


def state_of(extension: Mapping[str, Any]) -> str:
    """Its provisioning state, in lower case."""
    return str((extension.get("properties") or {}).get("provisioningState", "")).lower()


def refuse_another(step: Step, extension: Mapping[str, Any] | None) -> None:
    """StepFailedError for an extension of that name which is not the hybrid worker's."""
    if extension is not None and not wire.is_worker_extension(extension):
        publisher = (extension.get("properties") or {}).get("publisher")
        raise StepFailedError(
            f"the extension of that name on the machine is one of {publisher}, so it is left alone",
            where=extension_path(step.inputs),
            code="OtherExtension",
            remedy="look at the machine's extensions, then `drkit resume`",
        )


async def refuse_another_account(step: Step, address: str, context: StepContext) -> None:
    """RegisteredElsewhereError if the machine carries a hybrid worker's extension for another account than that of ``address``."""
    machine = str(step.inputs["machine"])
    for extension in await wire.extensions(context.azure, machine):
        named = wire.url_of(extension)
        # An extension that is being deleted is no registration any more; one without an address serves no account.
        if (
            wire.is_worker_extension(extension)
            and named
            and state_of(extension) != "deleting"
            and named.lower() != address.lower()
        ):
            raise RegisteredElsewhereError(
                f"its extension {extension.get('name')} names another account, {named}: nothing was written over it",
                another=named,
                where=machine,
                remedy="ask whose it is; once it is off the machine, `drkit resume` registers it as planned",
            )


def operation_on(method: str, inputs: Mapping[str, Any], context: StepContext) -> Operation:
    """An operation that somebody, perhaps an earlier process, began on the extension: the extension itself shows when it ends."""
    version = wire.machine_api(str(inputs["machine"]))
    url = context.azure.absolute(f"{extension_path(inputs)}?api-version={version}")
    return Operation(method=method, url=url, retry_after=LOOK_SECONDS, since=rfc3339(context.clock.now()))


def extension_body(recorded: Mapping[str, Any], address: str, protected: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body that installs an extension again: everything that was recorded, with another address."""
    properties = dict(recorded.get("properties") or {})
    properties["settings"] = {**(properties.get("settings") or {}), URL: address}
    if protected is not None:
        properties["protectedSettings"] = dict(protected)
    body: dict[str, Any] = {"location": recorded["location"]} if recorded.get("location") else {}
    return {**body, **({"tags": recorded["tags"]} if recorded.get("tags") else {}), "properties": properties}


def protected_settings(source: str, context: StepContext) -> dict[str, Any] | None:
    """The protected settings from ``source``, as drkit.toml names it; never kept, never shown. StepFailedError if they are not there."""
    if source == "none" or source.startswith("vault:"):
        return None  # Azure itself reads the secret of a key vault
    kind, _, name = source.partition(":")
    text, why = None, ""
    if kind == "env":
        text = os.environ.get(name)
    elif kind == "file":
        try:
            text = files.text(context.settings.beside(name))
        except FileError as error:
            why = f": it {error.what}"
    try:
        value = json.loads(text or "")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StepFailedError(
            f"the protected settings could not be read from {source}{why}",
            code="NoProtectedSettings",
            remedy=f"put a JSON object into {'the variable' if kind == 'env' else 'the file'} {name}, then `drkit resume`",
        )
    for text in _texts(value):
        context.azure.redact.add(text)
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for inner in values for text in _texts(inner)]
