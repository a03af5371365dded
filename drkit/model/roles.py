"""drkit's least-privilege roles as data: what each may do, where, and why. Bicep, ``check`` and the documentation use them.

docs/permissions.md explains them.
"""

from __future__ import annotations

import fnmatch
from functools import cache
from importlib import resources

import msgspec


class RoleAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An action of Azure Resource Manager, and why drkit needs it; ``unused``: why it is listed although no request needs it."""

    action: str
    why: str
    unused: str = ""


class RoleDataAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on the blobs of one of the store's containers, and why. ``path``: only on blobs whose names begin with it."""

    action: str
    container: str
    why: str
    path: str = ""


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One role. ``scope`` says where it is granted: subscription, hosts, targets-and-plans, store."""

    name: str
    title: str
    description: str
    scope: str
    actions: tuple[RoleAction, ...]
    data_actions: tuple[RoleDataAction, ...] = ()

    def allows(self, action: str) -> bool:
        """Whether the role has that action. Azure compares actions without case."""
        return any(fnmatch.fnmatchcase(action.lower(), granted.action.lower()) for granted in self.actions)


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of roles.json."""

    drkit: str
    roles: tuple[Role, ...]


def having(action: str) -> str:
    """The name of the first role with writing rights that has an action; empty where none has it."""
    acting = ("operator", "operator-hosts", "operator-run-command", "group-creator")
    return next((name for name in acting if load()[name].allows(action)), "")


@cache
def load() -> dict[str, Role]:
    """Every role by name, in the order of the file."""
    content = resources.files("drkit.model").joinpath("roles.json").read_bytes()
    return {role.name: role for role in msgspec.json.decode(content, type=Roles).roles}
