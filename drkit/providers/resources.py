"""azure-mgmt-resource: subscriptions, locations, groups, resources by id, providers, role assignments.

Everything except locations and providers comes back as the JSON that was on the wire (camelCase names), never as SDK models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from drkit.errors import NotFoundError, UnreachableError, UnreadableError
from drkit.model.estate import Location
from drkit.model.operation import Operation
from drkit.providers.retry import lowered
from drkit.providers.sdk_clients import SubscriptionClients, as_json
from drkit.providers.transport import encoded

if TYPE_CHECKING:
    from drkit.providers.session import Session

SUBSCRIPTIONS_API = "2022-12-01"
GROUPS_API = "2025-04-01"
ROLES_API = "2022-04-01"
_RESOURCE_ID = re.compile(r"(?is)/subscriptions/[^/]+(/resourceGroups/[^/]+)?/providers/[^/]+(/[^/]+/[^/]+)+/?")


class Provider(msgspec.Struct, frozen=True):
    """A resource provider in a subscription: its registration state, and the locations of each resource type as Azure spells them."""

    namespace: str
    registration_state: str
    resource_types: dict[str, tuple[str, ...]]


class Resources:
    """``session.resources``. Methods raise the errors of ``drkit.errors``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients = SubscriptionClients(session, ResourceManagementClient)

    async def subscriptions(self) -> list[dict[str, Any]]:
        """Every subscription the identity can see: ``{subscriptionId, displayName, state, tenantId, ...}``."""
        return await self._all("/subscriptions", {"api-version": SUBSCRIPTIONS_API})

    async def locations(self, subscription: str) -> list[Location]:
        """The physical regions of a subscription, with names as Azure spells them (List Locations; azure-mgmt-resource 26 lacks it)."""
        listed = await self._all(f"/subscriptions/{subscription}/locations", {"api-version": SUBSCRIPTIONS_API})
        return [_location(item) for item in listed if item.get("metadata", {}).get("regionType") != "Logical"]

    async def groups(self, subscription: str) -> list[dict[str, Any]]:
        """Every resource group: ``{id, name, location, tags, properties{provisioningState}}``."""
        return await self._all(f"/subscriptions/{subscription}/resourcegroups", {"api-version": GROUPS_API})

    async def group(self, subscription: str, name: str) -> dict[str, Any]:
        """One resource group; NotFoundError (ResourceGroupNotFound) when it does not exist."""
        call = self._clients.of(subscription).resource_groups.get(name, cls=as_json)
        return _object(await self._session.sdk(call, f"/subscriptions/{subscription}/resourceGroups/{name}"))

    async def create_group(
        self, subscription: str, name: str, location: str, tags: Mapping[str, str]
    ) -> dict[str, Any]:
        """Create a group, or give an existing one these tags. ConflictError when it exists in another location."""
        parameters = {"location": location, "tags": dict(tags)}
        call = self._clients.of(subscription).resource_groups.create_or_update(name, parameters, cls=as_json)
        return _object(await self._session.sdk(call, f"/subscriptions/{subscription}/resourceGroups/{name}"))

    async def inside(self, subscription: str, group: str) -> list[dict[str, Any]]:
        """Every resource of a group, in ARM's generic shape."""
        return await self._all(
            f"/subscriptions/{subscription}/resourceGroups/{group}/resources", {"api-version": GROUPS_API}
        )

    async def delete_group(self, subscription: str, group: str) -> Operation | None:
        """Delete a group **and everything in it** (check with ``inside`` first): the Operation to poll, or None when it is gone."""
        path = f"/subscriptions/{subscription}/resourceGroups/{group}"
        try:
            started = await self._session.rest.start("DELETE", path, params={"api-version": GROUPS_API})
        except NotFoundError:
            return None
        return started if isinstance(started, Operation) else None

    async def resource(self, resource_id: str, api_version: str) -> dict[str, Any]:
        """One resource by its id; NotFoundError only when ARM says that it, or its group, is gone.

        UnreadableError, before any request, for a text that is not a resource's id: an id from an answer may be any text.
        """
        if not _RESOURCE_ID.fullmatch(resource_id):
            raise UnreadableError(
                f"{resource_id[:200]!r} is not the id of a resource, so it was not read",
                remedy="look at it in Azure",
            )
        client = self._clients.of(subscription_in(resource_id))
        call = client.resources.get_by_id(_slashless(resource_id), api_version=api_version, cls=as_json)
        return _object(await self._session.sdk(call, resource_id))

    async def list_resources(self, subscription: str, resource_type: str) -> list[dict[str, Any]]:
        """Every resource of one type in a subscription, in ARM's generic shape (no properties)."""
        params = {"api-version": GROUPS_API, "$filter": f"resourceType eq '{resource_type}'"}
        return await self._all(f"/subscriptions/{subscription}/resources", params)

    async def put_resource(
        self, resource_id: str, api_version: str, body: Mapping[str, Any]
    ) -> Operation | dict[str, Any]:
        """Create or replace a resource: the Operation to poll, or the resource when the answer completed it."""
        answers: list[Any] = []
        client = self._clients.of(subscription_in(resource_id))
        call = client.resources.begin_create_or_update_by_id(
            _slashless(resource_id),
            dict(body),
            api_version=api_version,
            polling=False,
            raw_response_hook=answers.append,
        )
        await self._session.sdk(call, resource_id)
        answer = answers[-1].http_response
        content = answer.json() if answer.content else None
        operation = self._begun("PUT", resource_id, api_version, answer, content)
        return operation or _object(content)

    async def delete_resource(self, resource_id: str, api_version: str) -> Operation | None:
        """Delete a resource: the Operation to poll, or None when it is gone (or was gone already)."""
        answers: list[Any] = []
        client = self._clients.of(subscription_in(resource_id))
        call = client.resources.begin_delete_by_id(
            _slashless(resource_id), api_version=api_version, polling=False, raw_response_hook=answers.append
        )
        try:
            await self._session.sdk(call, resource_id)
        except NotFoundError:
            return None
        return self._begun("DELETE", resource_id, api_version, answers[-1].http_response, None)

    def _begun(self, method: str, resource_id: str, api_version: str, answer: Any, body: Any) -> Operation | None:
        url = self._session.absolute(f"{resource_id}?api-version={api_version}")
        return self._session.rest.begun(method, url, answer.status_code, lowered(answer.headers), body)

    async def provider(self, subscription: str, namespace: str) -> Provider:
        """One resource provider. drkit only reads it: it never registers a provider."""
        call = self._clients.of(subscription).providers.get(namespace, cls=as_json)
        where = f"/subscriptions/{subscription}/providers/{namespace}"
        body = _object(await self._session.sdk(call, where))
        types = {
            str(item.get("resourceType", "")): tuple(str(place) for place in item.get("locations") or ())
            for item in body.get("resourceTypes") or ()
        }
        return Provider(str(body.get("namespace", namespace)), str(body.get("registrationState", "")), types)

    async def role_assignments(self, scope: str) -> list[dict[str, Any]]:
        """Role assignments at and above a scope (an ARM id): ``{id, properties{scope, principalId, ...}}``."""
        path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
        return await self._all(path, {"api-version": ROLES_API, "$filter": "atScope()"})

    async def held_by(self, subscription: str, principal: str) -> list[dict[str, str]]:
        """The grants of a principal anywhere in a subscription: ``scope`` and ``role`` (the GUID of the role definition)."""
        path = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleAssignments"
        listed = await self._all(path, {"api-version": ROLES_API, "$filter": f"principalId eq '{principal}'"})
        properties = [assignment.get("properties") or {} for assignment in listed]
        return [
            {"scope": str(grant.get("scope", "")), "role": str(grant.get("roleDefinitionId", "")).rsplit("/", 1)[-1]}
            for grant in properties
        ]

    async def _all(self, url: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        return [_object(item) async for item in self._session.rest.pages(url, params)]


def subscription_in(resource_id: str) -> str:
    """The subscription an ARM id names; ValueError for an id that names none."""
    parts = resource_id.strip("/").split("/")
    if len(parts) < 2 or parts[0].lower() != "subscriptions" or not parts[1]:
        raise ValueError(f"{resource_id!r} names no subscription")
    return parts[1]


def _slashless(resource_id: str) -> str:
    return encoded(resource_id.strip("/"))


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UnreachableError("Azure's answer is not a JSON object", remedy="repeat the command")
    return body


def _location(item: Mapping[str, Any]) -> Location:
    pairs = item.get("metadata", {}).get("pairedRegion") or [{}]
    return Location(str(item.get("name", "")), str(item.get("displayName", "")), str(pairs[0].get("name", "")))
