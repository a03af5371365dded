"""How Azure Resource Manager writes things on the wire: errors, pages, operations, ids, api-versions, headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from drkit.simulator.core.clock import stamp
from drkit.simulator.core.state import AsyncOperation, Json, Resource, ResourceGroup

API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[A-Za-z0-9.]+)?\Z")
PAGE = 100
RETRY_AFTER = 5


@dataclass
class Answer:
    """A response: a JSON value (None: no body at all), or ``text`` with its content type."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    content_type: str = "application/json; charset=utf-8"

    def payload(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        return b"" if self.body is None else json.dumps(self.body, ensure_ascii=False).encode()


class ArmError(Exception):
    """A refusal in Azure's form: ``{"error": {"code", "message"}}``."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        return Answer(self.status, {"error": {"code": self.code, "message": self.message}}, self.headers)


class Hang(Exception):  # noqa: N818  (not an error of anybody's: the request is never answered)
    """The request stays open and is never answered."""


def check_api_version(query: Mapping[str, str]) -> str:
    """Any well-formed version is accepted, as by a cloud that has every one.

    https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
    """
    version = query.get("api-version", "")
    if not version:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not API_VERSION.match(version):
        raise ArmError(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
    return version


@dataclass(frozen=True)
class ResourceId:
    """The parts of an ARM id as written; ``type`` is ``Namespace/type[/type…]``."""

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def type(self) -> str:
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        return self.names[-1]


def parse_id(text: str) -> ResourceId | None:
    """``/subscriptions/S/resourceGroups/G/providers/N/t/n[/t/n…]`` in any case, or None for anything else."""
    parts = [part for part in text.split("/") if part]
    fixed = [part.lower() for part in parts[:6:2]]
    if len(parts) < 8 or len(parts) % 2 or fixed != ["subscriptions", "resourcegroups", "providers"]:
        return None
    return ResourceId(parts[1], parts[3], parts[5], tuple(parts[6::2]), tuple(parts[7::2]))


def resource_body(resource: Resource) -> Json:
    """A resource as ``GET`` gives it."""
    body: Json = {"id": resource.id, "name": resource.name, "type": resource.type, "location": resource.location}
    if resource.tags:
        body["tags"] = resource.tags
    return body | resource.extra | {"properties": resource.properties}


def group_body(group: ResourceGroup) -> Json:
    body: Json = {
        "id": group.id,
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "properties": {"provisioningState": group.state},
    }
    return body | ({"tags": group.tags} if group.tags else {})


def page(items: Sequence[Json], query: Mapping[str, str], link: str, size: int = PAGE) -> Answer:
    """One page of a list. ``link``: the request's own URL without its query; ``$skiptoken``: where the next begins."""
    token = next((value for key, value in query.items() if key.lower() == "$skiptoken"), "0")
    start = int(token) if token.isdigit() else 0
    body: Json = {"value": list(items[start : start + size])}
    if start + size < len(items):
        others = {key: value for key, value in query.items() if key.lower() != "$skiptoken"}
        body["nextLink"] = with_query(link, others | {"$skiptoken": str(start + size)})
    return Answer(body=body)


def with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(query, quote_via=quote, safe='$')}" if query else url


def operation_body(operation: AsyncOperation) -> Json:
    """An operation as the ``Azure-AsyncOperation`` URL gives it.

    https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
    """
    body: Json = {"startTime": stamp(operation.started), "status": operation.status, "name": operation.id}
    if operation.ended:
        body["endTime"] = stamp(operation.ended)
    if operation.error:
        body["error"] = operation.error
    if operation.result is not None and operation.status == "Succeeded":
        body["properties"] = {"output": operation.result}
    return body
