"""Long-running operations of ARM as values: what an answer starts, and what a poll says. Pure.

ARM has two styles: ``Azure-AsyncOperation`` (a status document) and ``Location`` (202 until the operation ends). Where an answer
gives both, a POST is polled at Location, which ends with the result, and any other method at the status document. Where it
gives neither, the resource itself is polled (style ``none``).
https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drkit.model.clock import rfc3339
from drkit.model.operation import Operation, PollResult, Style

DEFAULT_WAIT = 5.0
_SUCCEEDED = frozenset({"succeeded"})
_FAILED = frozenset({"failed", "canceled", "cancelled"})
_RUNNING_STATES = frozenset(
    {"accepted", "creating", "updating", "deleting", "provisioning", "running", "inprogress", "pending", "moving"}
)


def started(
    method: str, url: str, status: int, headers: Mapping[str, str], body: Any, wait: float | None, now: datetime
) -> Operation | None:
    """The operation that a 2xx answer started; None when the answer completed it. Header names are in lower case.

    ``wait``: seconds of Retry-After; ``now``: when the operation began.
    """
    status_url = headers.get("azure-asyncoperation", "")
    location = headers.get("location", "")
    style: Style
    if method == "POST" and location and status == 202:
        style, polling = "location", location
    elif status_url:
        style, polling = "azure-async-operation", status_url
    elif location and (status == 202 or (status == 201 and method != "POST")):
        style, polling = "location", location
    elif status == 202 or (method in ("PUT", "PATCH") and _state(body) in _RUNNING_STATES):
        style, polling = "none", url
    else:
        return None
    return Operation(method=method, url=polling, style=style, retry_after=wait or DEFAULT_WAIT, since=rfc3339(now))


def status_document(body: Any, wait: float | None) -> PollResult:
    """The result of a poll of Azure-AsyncOperation. An unknown or missing status counts as running."""
    document = body if isinstance(body, dict) else {}
    state = str(document.get("status", "")).lower()
    if state in _SUCCEEDED:
        properties = document.get("properties")
        output = properties.get("output") if isinstance(properties, dict) else None
        return PollResult("succeeded", body=document if output is None else output)
    if state in _FAILED:
        return failure(document.get("error"), str(document.get("status", "")))
    return PollResult("running", retry_after=wait or DEFAULT_WAIT)


def location(status: int, body: Any, wait: float | None) -> PollResult:
    """The result of a poll of Location: 202 is running, 200, 201 and 204 are success, 4xx is the operation's failure."""
    if status == 202 or (status < 300 and _state(body) in _RUNNING_STATES):
        return PollResult("running", retry_after=wait or DEFAULT_WAIT)
    if status >= 400:
        return failure(body.get("error", body) if isinstance(body, dict) else None, f"HTTP {status}")
    return PollResult("succeeded", body=body)


def resource(method: str, status: int, body: Any, wait: float | None) -> PollResult:
    """The result of a poll of the resource itself (style ``none``). A 404 means that it is gone: the success of a DELETE."""
    if status == 404:
        return PollResult("succeeded") if method == "DELETE" else PollResult("failed", code="ResourceNotFound")
    state = _state(body)
    if method == "DELETE" or state in _RUNNING_STATES:
        return PollResult("running", retry_after=wait or DEFAULT_WAIT)
    if state in _FAILED:
        properties = body.get("properties", {})
        return failure(properties.get("error"), str(properties.get("provisioningState")))
    return PollResult("succeeded", body=body)


def failure(error: Any, otherwise: str) -> PollResult:
    """A failed operation with Azure's code and message; ``otherwise`` is the code when the body names none."""
    named = error if isinstance(error, dict) else {}
    return PollResult("failed", code=str(named.get("code") or otherwise), message=str(named.get("message") or ""))


def _state(body: Any) -> str:
    properties = body.get("properties") if isinstance(body, dict) else None
    return str(properties.get("provisioningState", "")).lower() if isinstance(properties, dict) else ""
