"""What may refuse a write: locks, policy assignments, permissions. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import read as reading
from drkit.model.estate import Reading

if TYPE_CHECKING:
    from drkit.providers.session import Session

LOCKS_API = "2020-05-01"
POLICY_API = "2023-04-01"
PERMISSIONS_API = "2022-04-01"
_AUTHORIZATION = "providers/Microsoft.Authorization"
# learn.microsoft.com/azure/governance/policy/samples/built-in-policies: definition -> kind, the parameter with its list.
BUILT_IN: Mapping[str, tuple[str, str]] = {
    "e56962a6-4747-49cd-b67b-bf8b01975c4c": ("locations", "listOfAllowedLocations"),
    "e765b5de-1225-4ba3-bd56-1ac6695af988": ("group-locations", "listOfAllowedLocations"),
    "a08ec900-254a-4555-9bf5-e42af04b5c5c": ("types", "listOfResourceTypesAllowed"),
    "6c112d4e-5bc7-47ae-a041-ea2d9dccd749": ("denied-types", "listOfResourceTypesNotAllowed"),
}
_DENIES = frozenset({"deny", "denyaction"})
_PARAMETER = re.compile(r"\[parameters\('([^']+)'\)\]", re.IGNORECASE)
MOST_DEFINITIONS = 100
"""Definitions that one check reads at the most: an initiative may have hundreds of members."""


async def locks(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every lock of these subscriptions, at whatever scope (Management Locks - List At Subscription Level)."""
    found: list[Reading] = []
    for subscription in subscriptions:
        url = f"/subscriptions/{subscription}/{_AUTHORIZATION}/locks"
        source = "ARM: locks"
        try:
            with reading(url):
                async for item in azure.rest.pages(url, {"api-version": LOCKS_API}):
                    found += _lock(item, source, now)
        except CloudError as error:
            found.append(Reading(f"/subscriptions/{subscription}", "locks-unread", "unknown", source, now, str(error)))
    return found


def _lock(item: Any, source: str, now: str) -> list[Reading]:
    """One lock; ValueError for what does not say what it locks: a lock that is not seen stops a run in its middle."""
    scope = _scope(str(item.get("id", "")))
    properties = item.get("properties") or {}
    level = properties.get("level")
    if not scope or not isinstance(level, str):
        raise ValueError("a lock does not say what it locks, or how")
    if level not in ("ReadOnly", "CanNotDelete"):
        return []
    return [Reading(scope, "lock", level, source, now, str(properties.get("notes") or item.get("name") or ""))]


def _scope(arm_id: str) -> str:
    """What a lock or an assignment stands on: its id up to its own type."""
    at = arm_id.lower().rfind(f"/{_AUTHORIZATION}/".lower())
    return arm_id[:at] if at > 0 else ""


async def policies(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every policy assignment that applies in these subscriptions, and what drkit can tell of its rule.

    (Policy Assignments - List: with those of management groups above, and of groups and resources within.) An initiative is a
    reading for each member that may deny.
    """
    found: dict[str, list[Reading]] = {}
    rules = Rules(azure)
    for subscription in subscriptions:
        url = f"/subscriptions/{subscription}/{_AUTHORIZATION}/policyAssignments"
        source = "ARM: policy assignments"
        try:
            with reading(url):
                async for item in azure.rest.pages(url, {"api-version": POLICY_API}):
                    key = str(item.get("id", ""))
                    if key.lower() not in found:
                        told = await rules.assignment(item)
                        found[key.lower()] = [Reading(key, "policy", value, source, now, why) for value, why in told]
        except CloudError as error:
            subject = f"/subscriptions/{subscription}"
            found[subject] = [Reading(subject, "policies-unread", "unknown", source, now, str(error))]
    return [one for some in found.values() for one in some]


class Rules:
    """Reads policy definitions, each once."""

    def __init__(self, azure: Session) -> None:
        self._azure = azure
        self._known: dict[str, tuple[dict[str, Any], str]] = {}

    async def assignment(self, item: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
        """What an assignment does, as far as drkit can tell, and why it cannot tell more: one entry a policy."""
        properties = _map(item.get("properties"))
        wanted = str(properties.get("policyDefinitionId", ""))
        told: dict[str, Any] = {
            "name": str(properties.get("displayName") or item.get("name") or ""),
            "scope": str(properties.get("scope") or _scope(str(item.get("id", "")))),
            "not_scopes": [str(one) for one in _list(properties.get("notScopes"))],
        }
        if str(properties.get("enforcementMode", "Default")).lower() == "donotenforce":
            return [({**told, "effect": "none"}, "")]
        given = {key: _map(value).get("value") for key, value in _map(properties.get("parameters")).items()}
        if "/policysetdefinitions/" not in wanted.lower():
            fact, why = await self._policy(wanted, given)
            return [({**told, **fact}, why)]
        return [({**told, **fact}, why) for fact, why in await self._initiative(wanted, given)]

    async def _policy(self, wanted: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """One policy with its parameters: the built-in ones that drkit knows, else only whether it denies."""
        built_in = BUILT_IN.get(wanted.rsplit("/", 1)[-1].lower())
        if built_in is not None:
            effect = str(_named(given, "effect") or "Deny").lower()
            values = given.get(built_in[1])
            if effect in _DENIES and isinstance(values, list):
                return {"kind": built_in[0], "values": values}, ""
            return ({"effect": "none"}, "") if effect not in _DENIES else ({}, "its list is not among its parameters")
        definition, why = await self._definition(wanted)
        effect = _effect(definition, given)
        return ({"effect": "none"}, "") if effect and effect.lower() not in _DENIES else ({}, why)

    async def _initiative(self, wanted: str, given: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
        """Those of its members (.../policySetDefinitions/NAME) that deny, or may."""
        definition, why = await self._definition(wanted)
        members = definition.get("policyDefinitions")
        if not isinstance(members, list):
            return [({}, why or "its members are not told")]
        defaults = {key: _map(value).get("defaultValue") for key, value in _map(definition.get("parameters")).items()}
        found: list[tuple[dict[str, Any], str]] = []
        dark = 0
        for member in (one for one in members if isinstance(one, dict)):
            own = {
                key: _resolved(_map(value).get("value"), {**defaults, **given})
                for key, value in _map(member.get("parameters")).items()
            }
            effect = str(_named(own, "effect") or "")
            if effect and effect.lower() not in _DENIES:
                continue
            fact, _ = await self._policy(str(member.get("policyDefinitionId", "")), own)
            if "kind" in fact:
                found.append((fact, ""))
            dark += not fact
        if dark:
            found.append(({}, f"{dark} of the {len(members)} policies of this initiative deny, or may"))
        return found or [({"effect": "none"}, "")]

    async def _definition(self, wanted: str) -> tuple[dict[str, Any], str]:
        """What .../policyDefinitions/NAME says (Policy Definitions - Get), and why it could not be read."""
        key = wanted.lower()
        if key not in self._known and len(self._known) >= MOST_DEFINITIONS:
            return {}, "too many definitions to read them all"
        if key not in self._known:
            try:
                with reading(wanted):
                    if not wanted.startswith("/"):
                        raise ValueError("the policy's definition has no id")
                    answer = await self._azure.rest.request("GET", wanted, params={"api-version": POLICY_API})
                body = answer.body if isinstance(answer.body, dict) else {}
                self._known[key] = (dict(_map(body.get("properties"))), "")
            except CloudError as error:
                self._known[key] = ({}, f"its definition could not be read: {error}")
        return self._known[key]


def _effect(definition: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The effect a definition has with these parameters; empty where that cannot be told."""
    then = _map(_map(definition.get("policyRule")).get("then"))
    defaults = {key: _map(value).get("defaultValue") for key, value in _map(definition.get("parameters")).items()}
    effect = _resolved(then.get("effect"), {**defaults, **given})
    return effect if isinstance(effect, str) and not effect.startswith("[") else ""


def _resolved(value: Any, given: Mapping[str, Any]) -> Any:
    """``[parameters('x')]`` is what was given for x; any other expression stays as it is."""
    found = _PARAMETER.fullmatch(value) if isinstance(value, str) else None
    return _named(given, found[1]) if found else value


def _map(value: Any) -> Mapping[str, Any]:
    """A member that should be an object; none where Azure, or who may write there, made it something else."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    """A list of texts, or none; TypeError for anything else: what is not allowed must not be overlooked."""
    if not isinstance(value, list | None) or not all(isinstance(one, str) for one in value or ()):
        raise TypeError("actions are no list of texts")
    return list(value or ())


def _named(given: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in given.items() if key.lower() == name.lower()), None)


async def permissions(azure: Session, scopes: Iterable[str], now: str) -> list[Reading]:
    """What the identity may do at these scopes (subscriptions, groups, resources): one entry a role it has there or above."""
    found: list[Reading] = []
    for scope in scopes:
        url = f"{scope}/{_AUTHORIZATION}/permissions"
        try:
            with reading(url):
                pages = azure.rest.pages(url, {"api-version": PERMISSIONS_API})
                entries = [
                    {"actions": _texts(item.get("actions")), "notActions": _texts(item.get("notActions"))}
                    async for item in pages
                ]
        except CloudError as error:
            found.append(Reading(scope, "permissions", "unknown", "ARM: permissions", now, str(error)))
            continue
        found.append(Reading(scope, "permissions", entries, "ARM: permissions", now))
    return found
