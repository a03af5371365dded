"""The least-privilege roles of drkit, as data: what each may do, where, and why. Bicep, ``check`` and the documentation use them too."""

from __future__ import annotations

import fnmatch
from functools import cache
from importlib import resources

import msgspec


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An action of Azure's resource manager, and what drkit needs it for; ``unused``: why it stands here though nothing asks for it."""

    action: str
    why: str
    unused: str = ""


class DataAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on the blobs of one of the store's containers, and what for. ``path``: on blobs whose name begins so, and no others."""

    action: str
    container: str
    why: str
    path: str = ""


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One role. ``scope`` says in a word where it is granted: subscription, hosts, targets-and-plans, store."""

    name: str
    title: str
    description: str
    scope: str
    actions: tuple[Action, ...]
    data_actions: tuple[DataAction, ...] = ()

    def allows(self, action: str) -> bool:
        """Whether the role has that action; Azure compares without case."""
        return any(fnmatch.fnmatchcase(action.lower(), one.action.lower()) for one in self.actions)


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    drkit: str
    roles: tuple[Role, ...]


def having(action: str) -> str:
    """The name of the role of those who change Azure that has an action; empty where none has."""
    acting = ("operator", "operator-hosts", "operator-run-command", "group-creator")
    return next((name for name in acting if load()[name].allows(action)), "")


@cache
def load() -> dict[str, Role]:
    """Every role by its name, in the file's order."""
    content = resources.files("drkit.model").joinpath("roles.json").read_bytes()
    return {role.name: role for role in msgspec.json.decode(content, type=Roles).roles}
