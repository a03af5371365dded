"""Long-running operations of ARM, as values: what an answer starts, and what a poll says. Pure.

Both styles of learn.microsoft.com "Track asynchronous Azure operations": ``Azure-AsyncOperation`` (a status document)
and ``Location`` (202 until it is over). Where both are given, a POST is read by Location, which ends with the result,
anything else by its status document. With neither, the resource itself is looked at (style ``none``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drkit.model.clock import rfc3339
from drkit.model.operation import Operation, Progress, Style

DEFAULT_WAIT = 5.0
_SUCCEEDED = frozenset({"succeeded"})
_FAILED = frozenset({"failed", "canceled", "cancelled"})
_RUNNING_STATES = frozenset(
    {"accepted", "creating", "updating", "deleting", "provisioning", "running", "inprogress", "pending", "moving"}
)


def started(
    method: str, url: str, status: int, headers: Mapping[str, str], body: Any, wait: float | None, now: datetime
) -> Operation | None:
    """The operation that an answer of 2xx started; None when that answer ended it. Header names in lower case."""
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


def status_document(body: Any, wait: float | None) -> Progress:
    """What the document behind Azure-AsyncOperation says. An unknown or missing status counts as running."""
    document = body if isinstance(body, dict) else {}
    state = str(document.get("status", "")).lower()
    if state in _SUCCEEDED:
        properties = document.get("properties")
        output = properties.get("output") if isinstance(properties, dict) else None
        return Progress("succeeded", body=document if output is None else output)
    if state in _FAILED:
        return failure(document.get("error"), str(document.get("status", "")))
    return Progress("running", retry_after=wait or DEFAULT_WAIT)


def location(status: int, body: Any, wait: float | None) -> Progress:
    """What a Location says: 202 is running, 200, 201 and 204 are over, 4xx is the operation's failure."""
    if status == 202 or (status < 300 and _state(body) in _RUNNING_STATES):
        return Progress("running", retry_after=wait or DEFAULT_WAIT)
    if status >= 400:
        return failure(body.get("error", body) if isinstance(body, dict) else None, f"HTTP {status}")
    return Progress("succeeded", body=body)


def resource(method: str, status: int, body: Any, wait: float | None) -> Progress:
    """What the resource itself says (style ``none``); 404 stands for "gone", which ends a DELETE well."""
    if status == 404:
        return Progress("succeeded") if method == "DELETE" else Progress("failed", code="ResourceNotFound")
    state = _state(body)
    if method == "DELETE" or state in _RUNNING_STATES:
        return Progress("running", retry_after=wait or DEFAULT_WAIT)
    if state in _FAILED:
        properties = body.get("properties", {})
        return failure(properties.get("error"), str(properties.get("provisioningState")))
    return Progress("succeeded", body=body)


def failure(error: Any, otherwise: str) -> Progress:
    """A failed operation with Azure's code and message; ``otherwise`` is the code when the body names none."""
    named = error if isinstance(error, dict) else {}
    return Progress("failed", code=str(named.get("code") or otherwise), message=str(named.get("message") or ""))


def _state(body: Any) -> str:
    properties = body.get("properties") if isinstance(body, dict) else None
    return str(properties.get("provisioningState", "")).lower() if isinstance(properties, dict) else ""
