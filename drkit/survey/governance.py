"""What may refuse a write: locks, policy assignments and missing permissions. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.estate import Reading
from drkit.model.ids import ArmId

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
"""Definitions that one check reads at most: an initiative may have hundreds of members."""


async def locks(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every lock of these subscriptions, at any scope (Management Locks - List At Subscription Level).

    Signal ``lock``, subject its scope, value its level; ``locks-unread`` for a subscription whose locks cannot be read.
    """
    readings: list[Reading] = []
    for subscription in subscriptions:
        url = f"/subscriptions/{subscription}/{_AUTHORIZATION}/locks"
        source = "ARM: locks"
        try:
            with reading_azure(url):
                async for item in azure.rest.pages(url, {"api-version": LOCKS_API}):
                    readings += _lock(item, source, now)
        except CloudError as error:
            readings.append(
                Reading(f"/subscriptions/{subscription}", "locks-unread", "unknown", source, now, str(error))
            )
    return readings


def _lock(item: Any, source: str, now: str) -> list[Reading]:
    """The reading of one lock; none for an unknown level. ValueError for a lock without a scope or a level: a lock that drkit
    overlooks stops a run half-way.
    """
    scope = _scope(str(item.get("id", "")))
    properties = item.get("properties") or {}
    level = properties.get("level")
    if not scope or not isinstance(level, str):
        raise ValueError("a lock does not say what it locks, or how")
    if level not in ("ReadOnly", "CanNotDelete"):
        return []
    return [Reading(scope, "lock", level, source, now, str(properties.get("notes") or item.get("name") or ""))]


def _scope(arm_id: str) -> str:
    """The scope of a lock or an assignment: its id up to its own type; empty when there is none."""
    at = arm_id.lower().rfind(f"/{_AUTHORIZATION}/".lower())
    return arm_id[:at] if at > 0 else ""


async def policies(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every policy assignment that applies in these subscriptions, and its effect as far as drkit knows it.

    Policy Assignments - List includes the assignments of management groups above, and of groups and resources within. Signal
    ``policy``; the value has the facts of the assignment and of the effect. An initiative has a reading for each member that may
    deny.
    """
    assignments: dict[ArmId, list[Reading]] = {}
    rules = Rules(azure)
    for subscription in subscriptions:
        url = f"/subscriptions/{subscription}/{_AUTHORIZATION}/policyAssignments"
        source = "ARM: policy assignments"
        try:
            with reading_azure(url):
                async for item in azure.rest.pages(url, {"api-version": POLICY_API}):
                    assignment = _assignment(item)
                    key = ArmId(assignment.id)
                    if key not in assignments:
                        effects = await rules.effects(item)
                        assignments[key] = [
                            Reading(assignment.id, "policy", assignment.facts | effect.facts, source, now, effect.why)
                            for effect in effects
                        ]
        except CloudError as error:
            subject = f"/subscriptions/{subscription}"
            assignments[ArmId(subject)] = [Reading(subject, "policies-unread", "unknown", source, now, str(error))]
    return [reading for readings in assignments.values() for reading in readings]


@dataclass(frozen=True)
class PolicyAssignment:
    """A policy assignment: its id, and the name, scope and excluded scopes that a reading shows."""

    id: str
    name: str
    scope: str
    not_scopes: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """For the value of a reading."""
        return {"name": self.name, "scope": self.scope, "not_scopes": list(self.not_scopes)}


def _assignment(item: Mapping[str, Any]) -> PolicyAssignment:
    properties, arm_id = _map(item.get("properties")), str(item.get("id", ""))
    return PolicyAssignment(
        arm_id,
        str(properties.get("displayName") or item.get("name") or ""),
        str(properties.get("scope") or _scope(arm_id)),
        tuple(str(scope) for scope in _list(properties.get("notScopes"))),
    )


@dataclass(frozen=True)
class PolicyEffect:
    """What a policy denies, as far as drkit knows.

    ``kind`` and ``values``: those of a known built-in policy that denies; ``none``: it denies nothing; ``why``: why drkit does not
    know its effect, or not more of it. Without kind and none the effect is unknown.
    """

    kind: str = ""
    values: tuple[Any, ...] = ()
    none: bool = False
    why: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """For the value of a reading."""
        if self.kind:
            return {"kind": self.kind, "values": list(self.values)}
        return {"effect": "none"} if self.none else {}


NO_EFFECT = PolicyEffect(none=True)


class Rules:
    """Reads policy definitions, each one once."""

    def __init__(self, azure: Session) -> None:
        self._azure = azure
        self._known: dict[ArmId, tuple[dict[str, Any], str]] = {}

    async def effects(self, assignment: Mapping[str, Any]) -> list[PolicyEffect]:
        """The effects of an assignment, given its body: one for a policy, one for each member of an initiative that may deny."""
        properties = _map(assignment.get("properties"))
        definition_id = str(properties.get("policyDefinitionId", ""))
        if str(properties.get("enforcementMode", "Default")).lower() == "donotenforce":
            return [NO_EFFECT]
        parameters = {key: _map(value).get("value") for key, value in _map(properties.get("parameters")).items()}
        if "/policysetdefinitions/" not in definition_id.lower():
            return [await self._policy(definition_id, parameters)]
        return await self._initiative(definition_id, parameters)

    async def _policy(self, definition_id: str, parameters: Mapping[str, Any]) -> PolicyEffect:
        """The effect of one policy: in full for the built-in policies that drkit knows, else only whether it denies."""
        built_in = BUILT_IN.get(ArmId(definition_id).name.lower())
        if built_in is not None:
            kind, list_name = built_in
            effect = str(_named(parameters, "effect") or "Deny").lower()
            values = parameters.get(list_name)
            if effect not in _DENIES:
                return NO_EFFECT
            if isinstance(values, list):
                return PolicyEffect(kind, tuple(values))
            return PolicyEffect(why="its parameters do not contain its list")
        definition, why = await self._definition(definition_id)
        effect = _effect(definition, parameters)
        return NO_EFFECT if effect and effect.lower() not in _DENIES else PolicyEffect(why=why)

    async def _initiative(self, definition_id: str, parameters: Mapping[str, Any]) -> list[PolicyEffect]:
        """The effects of the members of an initiative (.../policySetDefinitions/NAME) that deny, or may deny."""
        definition, why = await self._definition(definition_id)
        members = definition.get("policyDefinitions")
        if not isinstance(members, list):
            return [PolicyEffect(why=why or "its members are not listed")]
        defaults = {key: _map(value).get("defaultValue") for key, value in _map(definition.get("parameters")).items()}
        effects: list[PolicyEffect] = []
        unclear = 0
        for member in (entry for entry in members if isinstance(entry, dict)):
            own_parameters = {
                key: _resolved(_map(value).get("value"), {**defaults, **parameters})
                for key, value in _map(member.get("parameters")).items()
            }
            named = str(_named(own_parameters, "effect") or "")
            if named and named.lower() not in _DENIES:
                continue
            effect = await self._policy(str(member.get("policyDefinitionId", "")), own_parameters)
            if effect.kind:
                effects.append(effect)
            unclear += not effect.kind and not effect.none
        if unclear:
            effects.append(
                PolicyEffect(why=f"{unclear} of the {len(members)} policies of this initiative deny, or may deny")
            )
        return effects or [NO_EFFECT]

    async def _definition(self, definition_id: str) -> tuple[dict[str, Any], str]:
        """The properties of .../policyDefinitions/NAME (Policy Definitions - Get), and why they could not be read."""
        key = ArmId(definition_id)
        if key not in self._known and len(self._known) >= MOST_DEFINITIONS:
            return {}, "too many definitions to read them all"
        if key not in self._known:
            try:
                with reading_azure(definition_id):
                    if not definition_id.startswith("/"):
                        raise ValueError("the policy definition has no id")
                    answer = await self._azure.rest.request("GET", definition_id, params={"api-version": POLICY_API})
                body = answer.body if isinstance(answer.body, dict) else {}
                self._known[key] = (dict(_map(body.get("properties"))), "")
            except CloudError as error:
                self._known[key] = ({}, f"its definition could not be read: {error}")
        return self._known[key]


def _effect(definition: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """The effect of a definition with these parameters; empty where it is unknown."""
    then = _map(_map(definition.get("policyRule")).get("then"))
    defaults = {key: _map(value).get("defaultValue") for key, value in _map(definition.get("parameters")).items()}
    effect = _resolved(then.get("effect"), {**defaults, **parameters})
    return effect if isinstance(effect, str) and not effect.startswith("[") else ""


def _resolved(value: Any, parameters: Mapping[str, Any]) -> Any:
    """The value of parameter x for ``[parameters('x')]``; any other expression unchanged."""
    expression = _PARAMETER.fullmatch(value) if isinstance(value, str) else None
    return _named(parameters, expression[1]) if expression else value


def _map(value: Any) -> Mapping[str, Any]:
    """A member that should be an object; an empty one where it is something else: users write some of these members."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    """A list of texts; empty for None. TypeError for anything else, because a denied action must not be overlooked."""
    if not isinstance(value, list | None) or not all(isinstance(text, str) for text in value or ()):
        raise TypeError("the actions are not a list of texts")
    return list(value or ())


def _named(parameters: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in parameters.items() if key.lower() == name.lower()), None)


async def permissions(azure: Session, scopes: Iterable[str], now: str) -> list[Reading]:
    """What the identity may do at these scopes (ARM ids of subscriptions, groups, resources).

    Signal ``permissions``; the value has an object with ``actions`` and ``notActions`` for each role at the scope or above.
    https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource-group
    """
    readings: list[Reading] = []
    for scope in scopes:
        url = f"{scope}/{_AUTHORIZATION}/permissions"
        try:
            with reading_azure(url):
                pages = azure.rest.pages(url, {"api-version": PERMISSIONS_API})
                entries = [
                    {"actions": _texts(item.get("actions")), "notActions": _texts(item.get("notActions"))}
                    async for item in pages
                ]
        except CloudError as error:
            readings.append(Reading(scope, "permissions", "unknown", "ARM: permissions", now, str(error)))
            continue
        readings.append(Reading(scope, "permissions", entries, "ARM: permissions", now))
    return readings
