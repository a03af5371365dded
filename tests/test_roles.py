"""The roles: least privilege, held against what the embedded Azure asks for."""

from __future__ import annotations

import pytest

from drkit import roles
from drkit.simulator.routing import routes

WRITES = ("/write", "/delete", "/add/action", "/runCommand/action", "/writeDelegates/action", "/register/action")
# What a route needs that stands for any type of resource, and what only somebody at a keyboard does (az, Bicep).
NOT_DRKIT = {
    "{type}/read", "{type}/write", "{type}/delete", "Microsoft.Resources/register/action",
    "Microsoft.Authorization/roleDefinitions/read",
    "Microsoft.Authorization/roleDefinitions/write", "Microsoft.Authorization/roleAssignments/write",
}  # fmt: skip


def granted(*names: str) -> set[str]:
    return {one.action.lower() for name in names for one in roles.load()[name].actions}


def test_there_is_a_role_for_each_thing_that_somebody_does() -> None:
    assert list(roles.load()) == ["planner", "prober", "operator", "approver", "group-creator"]


def test_the_planner_changes_nothing_in_azure() -> None:
    assert [one for one in granted("planner") if one.endswith(tuple(word.lower() for word in WRITES))] == []


def test_only_the_approver_writes_approvals_and_nobody_deletes_from_the_journal() -> None:
    for role in roles.load().values():
        writes = {one.container for one in role.data_actions if not one.action.endswith("/read")}
        assert ("approvals" in writes) == (role.name == "approver"), role.name
        assert not [one for one in role.data_actions if one.container == "journal" and one.action.endswith("/delete")]
    assert roles.load()["approver"].actions == ()


def test_no_role_has_a_wildcard_or_the_same_action_twice() -> None:
    for role in roles.load().values():
        actions = [one.action.lower() for one in role.actions]
        assert len(actions) == len(set(actions)), role.name
        assert not [one for one in actions if "*" in one], role.name
        assert all(one.why for one in role.actions), role.name


def test_every_action_that_drkit_may_need_is_granted_to_some_role() -> None:
    served = {route.action.lower() for route in routes() if route.action and route.action not in NOT_DRKIT}
    assert served - granted("planner", "prober", "operator", "group-creator") == set()


@pytest.mark.parametrize("name", ["planner", "prober", "operator", "group-creator"])
def test_what_nothing_asks_for_says_why_it_is_there(name: str) -> None:
    served = {route.action.lower() for route in routes()}
    # These are asked for by routes that serve any type of resource.
    served |= {"microsoft.compute/disks/read", "microsoft.hybridcompute/machines/read"}
    served |= {"microsoft.managedidentity/userassignedidentities/read"}
    for one in roles.load()[name].actions:
        assert bool(one.unused) == (one.action.lower() not in served), one.action
