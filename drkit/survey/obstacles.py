"""What may refuse a write: locks, policy assignments, permissions. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.estate import Reading

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


async def locks(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every lock of these subscriptions, at whatever scope (Management Locks - List At Subscription Level)."""
    found: list[Reading] = []
    for subscription in subscriptions:
        url = f"/subscriptions/{subscription}/{_AUTHORIZATION}/locks"
        source = "ARM: locks"
        try:
            async for item in azure.rest.pages(url, {"api-version": LOCKS_API}):
                scope = _scope(str(item.get("id", "")))
                properties = item.get("properties") or {}
                level = str(properties.get("level", ""))
                if scope and level in ("ReadOnly", "CanNotDelete"):
                    text = str(properties.get("notes") or item.get("name") or "")
                    found.append(Reading(scope, "lock", level, source, now, text))
        except CloudError as error:
            found.append(Reading(f"/subscriptions/{subscription}", "locks-unread", "unknown", source, now, str(error)))
    return found


def _scope(arm_id: str) -> str:
    """What a lock or an assignment stands on: its id up to its own type."""
    at = arm_id.lower().rfind(f"/{_AUTHORIZATION}/".lower())
    return arm_id[:at] if at > 0 else ""


async def policies(azure: Session, subscriptions: Sequence[str], now: str) -> list[Reading]:
    """Every policy assignment that applies in these subscriptions, and what drkit can tell of its rule.

    (Policy Assignments - List: with those of management groups above, and of groups and resources within.)
    """
    found: dict[str, Reading] = {}
    definitions: dict[str, tuple[dict[str, Any], str]] = {}
    for subscription in subscriptions:
        url = f"/subscriptions/{subscription}/{_AUTHORIZATION}/policyAssignments"
        source = "ARM: policy assignments"
        try:
            async for item in azure.rest.pages(url, {"api-version": POLICY_API}):
                key = str(item.get("id", ""))
                if key.lower() not in found:
                    value, why = await _assignment(azure, item, definitions)
                    found[key.lower()] = Reading(key, "policy", value, source, now, why)
        except CloudError as error:
            subject = f"/subscriptions/{subscription}"
            found[subject] = Reading(subject, "policies-unread", "unknown", source, now, str(error))
    return list(found.values())


async def _assignment(
    azure: Session, item: Mapping[str, Any], definitions: dict[str, tuple[dict[str, Any], str]]
) -> tuple[dict[str, Any], str]:
    """What an assignment does, as far as drkit can tell, and why it cannot tell more."""
    properties = item.get("properties") or {}
    wanted = str(properties.get("policyDefinitionId", ""))
    told: dict[str, Any] = {
        "name": str(properties.get("displayName") or item.get("name") or ""),
        "scope": str(properties.get("scope") or _scope(str(item.get("id", "")))),
        "not_scopes": [str(one) for one in properties.get("notScopes") or ()],
    }
    if str(properties.get("enforcementMode", "Default")).lower() == "donotenforce":
        return {**told, "effect": "none"}, ""
    given = {key: (value or {}).get("value") for key, value in (properties.get("parameters") or {}).items()}
    built_in = BUILT_IN.get(wanted.rsplit("/", 1)[-1].lower())
    if built_in is not None:
        kind, parameter = built_in
        if effect := _named(given, "effect"):
            told["effect"] = "deny" if str(effect).lower() in _DENIES else "none"
        return {**told, "kind": kind, "values": list(given.get(parameter) or ())}, ""
    if "/policysetdefinitions/" in wanted.lower():
        return told, "it is an initiative, whose members were not looked at"
    if wanted not in definitions:
        definitions[wanted] = await _definition(azure, wanted)
    definition, why = definitions[wanted]
    effect = _effect(definition, given)
    if effect and effect.lower() not in _DENIES:
        return {**told, "effect": "none"}, ""
    return told, why


async def _definition(azure: Session, wanted: str) -> tuple[dict[str, Any], str]:
    """What .../policyDefinitions/NAME says (Policy Definitions - Get), and why it could not be read."""
    try:
        answer = await azure.rest.request("GET", wanted, params={"api-version": POLICY_API})
    except CloudError as error:
        return {}, f"its definition could not be read: {error}"
    body = answer.body if isinstance(answer.body, dict) else {}
    return dict(body.get("properties") or {}), ""


def _effect(definition: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The effect a definition has with these parameters; empty where that cannot be told."""
    then = (definition.get("policyRule") or {}).get("then") or {}
    effect = str(then.get("effect", ""))
    if not effect.startswith("["):
        return effect
    name = effect.removeprefix("[parameters('").removesuffix("')]")
    if name in effect and name != effect:
        default = ((definition.get("parameters") or {}).get(name) or {}).get("defaultValue", "")
        return str(_named(given, name) or default)
    return ""


def _named(given: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in given.items() if key.lower() == name.lower()), None)


async def permissions(azure: Session, scopes: Iterable[str], now: str) -> list[Reading]:
    """What the identity may do at these scopes (subscriptions, groups, resources): one entry a role it has there or above."""
    found: list[Reading] = []
    for scope in scopes:
        url = f"{scope}/{_AUTHORIZATION}/permissions"
        try:
            pages = azure.rest.pages(url, {"api-version": PERMISSIONS_API})
            entries = [
                {"actions": list(item.get("actions") or ()), "notActions": list(item.get("notActions") or ())}
                async for item in pages
                if isinstance(item, dict)
            ]
        except CloudError as error:
            found.append(Reading(scope, "permissions", "unknown", "ARM: permissions", now, str(error)))
            continue
        found.append(Reading(scope, "permissions", entries, "ARM: permissions", now))
    return found
