"""azure-mgmt-compute: VM identity, instance view, and the run-command action (never the managed kind).

VMs come back as the JSON that was on the wire (camelCase names), never as SDK models.
https://learn.microsoft.com/rest/api/compute/virtual-machines
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from azure.core.rest import HttpRequest
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.compute.models import RunCommandInput

from drkit.errors import UnreachableError, UnreadableError
from drkit.model.host_scripts import HostScript
from drkit.model.operation import Operation
from drkit.providers.pages import Pages
from drkit.providers.resources import subscription_in
from drkit.providers.rest import joined, with_query
from drkit.providers.retry import lowered
from drkit.providers.sdk_clients import SubscriptionClients, as_json

if TYPE_CHECKING:
    from drkit.providers.session import Session

COMPUTE_API = "2026-04-01"
# Compute allows 15 polls a minute of one VM's operation:
# https://learn.microsoft.com/azure/virtual-machines/compute-throttling-limits
SLOWEST_POLL = 5.0
_STDOUT = "[stdout]"
_STDERR = "[stderr]"


class Compute:
    """``session.compute``. Methods raise the errors of ``drkit.errors``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients = SubscriptionClients(session, ComputeManagementClient)

    async def vm(self, vm_id: str) -> dict[str, Any]:
        """One VM with its instance view (Virtual Machines - Get, $expand=instanceView).

        NotFoundError only when ARM says that it, or its group, is gone.
        """
        subscription, group, name = vm_names(vm_id)
        call: Any = self._clients.of(subscription).virtual_machines.get(group, name, expand="instanceView", cls=as_json)
        body: Any = await self._session.sdk(call, vm_id)
        if not isinstance(body, dict):
            raise UnreachableError("Azure's answer is not a JSON object", where=vm_id, remedy="repeat the command")
        return body

    async def vms(self, subscription: str) -> list[dict[str, Any]]:
        """Every VM of a subscription, without instance views (Virtual Machines - List All)."""
        return await self._list(subscription, {})

    async def statuses(self, subscription: str) -> list[dict[str, Any]]:
        """The run-time status of every VM of a subscription, from one list (List All, statusOnly=true)."""
        return await self._list(subscription, {"statusOnly": "true"})

    async def _list(self, subscription: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        # The client's typed lists cost ten times the CPU of plain JSON, so its send_request reads the pages.
        client = self._clients.of(subscription)
        path = f"/subscriptions/{subscription}/providers/Microsoft.Compute/virtualMachines"
        url = with_query(self._session.absolute(path), {"api-version": COMPUTE_API, **params})
        machines: list[dict[str, Any]] = []
        pages = Pages(path, url)
        while url:
            answer = await self._session.sdk(client.send_request(HttpRequest("GET", url)), path)
            page = answer.json() if answer.content else None
            if not isinstance(page, dict) or not isinstance(page.get("value"), list):
                raise UnreachableError("the answer is not a list", where=path, remedy="repeat the command")
            machines.extend(page["value"])
            following = page.get("nextLink") or ""
            url = pages.turn(page["value"], joined(url, str(following)) if following else "")
        return machines

    async def run_command(self, vm_id: str, script: HostScript, values: Mapping[str, str]) -> Operation:
        """Run one of drkit's host scripts on a VM (Run Command action) and return the Operation to poll.

        A script for sh runs as RunShellScript (on Linux), one for PowerShell as RunPowerShellScript (on Windows). ``values`` are
        the script's parameters in plain text; each is sent as base64url (docs/host-scripts.md).

        KeyError for a parameter that is missing, UnknownFateError when the request was sent and no answer came.
        """
        subscription, group, name = vm_names(vm_id)
        command = {
            "commandId": "RunPowerShellScript" if script.shell == "powershell" else "RunShellScript",
            "script": [script.text],
            "parameters": [{"name": key, "value": value} for key, value in script.encode(values)],
        }
        answers: list[Any] = []
        call = self._clients.of(subscription).virtual_machines.begin_run_command(
            group, name, RunCommandInput(command), polling=False, raw_response_hook=answers.append
        )
        await self._session.sdk(call, vm_id)
        answer = answers[-1].http_response
        body = answer.json() if answer.content else None
        url = self._session.absolute(f"{vm_id}/runCommand?api-version={COMPUTE_API}")
        operation = self._session.rest.begun("POST", url, answer.status_code, lowered(answer.headers), body)
        if operation is None:
            raise UnreadableError(
                f"the run command was accepted ({answer.status_code}) without an operation to follow",
                where=vm_id,
                remedy="look at the VM before repeating",
                status=answer.status_code,
            )
        return msgspec.structs.replace(operation, retry_after=max(operation.retry_after, SLOWEST_POLL))


def vm_names(vm_id: str) -> tuple[str, str, str]:
    """Subscription, resource group and name of a VM's ARM id; ValueError for another id."""
    parts = vm_id.strip("/").split("/")
    shape = [part.lower() for part in parts[0:8:2]] + [part.lower() for part in parts[5:6]]
    if len(parts) != 8 or shape != [
        "subscriptions",
        "resourcegroups",
        "providers",
        "virtualmachines",
        "microsoft.compute",
    ]:
        raise ValueError(f"{vm_id!r} is not the id of a virtual machine")
    return subscription_in(vm_id), parts[3], parts[7]


def run_command_output(body: Any) -> tuple[str, str]:
    """(stdout, stderr) of a run command's result.

    Linux answers with one status whose message holds ``[stdout]`` and ``[stderr]``; Windows with a status for each of the two
    (``ComponentStatus/StdOut/...``). A message with neither mark, such as a failure of the agent, counts as stderr.
    """
    if isinstance(body, dict):
        properties = body.get("properties")
        inner = properties.get("output") if isinstance(properties, dict) else body.get("output")
        if inner is not None and "value" not in body:
            return run_command_output(inner)
        body = body.get("value")
    stdout: list[str] = []
    stderr: list[str] = []
    for status in body if isinstance(body, list) else ():
        if not isinstance(status, dict):
            continue
        code, message = str(status.get("code", "")).lower(), str(status.get("message") or "")
        if code.startswith("componentstatus/stdout"):
            stdout.append(message)
        elif code.startswith("componentstatus/stderr"):
            stderr.append(message)
        elif _STDOUT in message:
            # The last mark divides the two: drkit's output is at the end of stdout and must not be cut off.
            out, mark, err = message.partition(_STDOUT)[2].rpartition(_STDERR)
            stdout.append((out if mark else err).strip("\n"))
            stderr.append(err.strip("\n") if mark else "")
        elif message:
            stderr.append(message)
    return "\n".join(filter(None, stdout)), "\n".join(filter(None, stderr))
