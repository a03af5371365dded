"""The roles: least privilege, held against what the simulated Azure asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from drkit.model import roles
from drkit.simulator.arm.identity import assign
from drkit.simulator.core.routing import routes
from tests.support import workers
from tests.support.estates import Site
from tests.support.simulator_thread import group_id

WRITES = ("/write", "/delete", "/add/action", "/runCommand/action", "/writeDelegates/action", "/register/action")
# What a route needs that stands for any type of resource, and what only somebody at a keyboard does (az, Bicep).
NOT_DRKIT = {
    "{type}/read", "{type}/write", "{type}/delete", "Microsoft.Resources/register/action",
    "Microsoft.Authorization/roleDefinitions/read",
    "Microsoft.Authorization/roleDefinitions/write", "Microsoft.Authorization/roleAssignments/write",
}  # fmt: skip


ACTING = ("operator", "operator-hosts", "operator-run-command", "group-creator")
"""The roles that change Azure."""


def granted(*names: str) -> set[str]:
    return {one.action.lower() for name in names for one in roles.load()[name].actions}


def test_there_is_a_role_for_each_thing_that_somebody_does() -> None:
    assert list(roles.load()) == [
        "planner", "prober", *ACTING[:-1], "responder", "approver", "group-creator",
    ]  # fmt: skip


def test_the_planner_changes_nothing_in_azure() -> None:
    assert [one for one in granted("planner") if one.endswith(tuple(word.lower() for word in WRITES))] == []


def test_only_the_approver_writes_approvals_and_nobody_deletes_from_the_journal() -> None:
    for role in roles.load().values():
        writes = {one.container for one in role.data_actions if not one.action.endswith("/read")}
        assert ("approvals" in writes) == (role.name == "approver"), role.name
        assert not [one for one in role.data_actions if one.container == "journal" and one.action.endswith("/delete")]
    assert roles.load()["approver"].actions == ()


def test_only_who_may_answer_writes_messages_and_the_planner_declares_and_no_more() -> None:
    writes = {
        (role.name, one.path)
        for role in roles.load().values()
        for one in role.data_actions
        if one.container == "inbox" and not one.action.endswith("/read")
    }
    assert writes == {("planner", "declarations/"), ("operator", ""), ("responder", "")}
    assert roles.load()["responder"].actions == ()
    assert {one.container for one in roles.load()["responder"].data_actions if not one.action.endswith("/read")} == {
        "inbox"
    }


def test_what_is_root_on_a_host_is_in_roles_of_their_own() -> None:
    """Run commands apart from extensions, and both apart from plans and accounts: each is granted only where it is needed."""
    root = ("/runcommand/action", "/extensions/write", "/extensions/delete")
    held = {
        role.name: {one.action.lower() for one in role.actions if one.action.lower().endswith(root)}
        for role in roles.load().values()
    }
    assert {name for name, actions in held.items() if actions} == {"prober", "operator-hosts", "operator-run-command"}
    assert held["prober"] == held["operator-run-command"] == {"microsoft.compute/virtualmachines/runcommand/action"}
    assert not [one for one in held["operator-hosts"] if one.endswith("/runcommand/action")]
    for name in ("operator-hosts", "operator-run-command"):
        assert roles.load()[name].scope == "hosts"
        other = granted(name) - granted("planner")
        assert all(one.endswith(root) for one in other), "reading apart, a role on hosts is for hosts"
    for name in ("prober", "operator-hosts", "operator-run-command"):
        assert "root, or SYSTEM" in roles.load()[name].description or "root or SYSTEM" in roles.load()[name].description
    assert "managed identity" in roles.load()["operator-hosts"].description


def test_no_role_has_a_wildcard_or_the_same_action_twice() -> None:
    for role in roles.load().values():
        actions = [one.action.lower() for one in role.actions]
        assert len(actions) == len(set(actions)), role.name
        assert not [one for one in actions if "*" in one], role.name
        assert all(one.why for one in role.actions), role.name


def test_every_action_that_drkit_may_need_is_granted_to_some_role() -> None:
    served = {route.action.lower() for route in routes() if route.action and route.action not in NOT_DRKIT}
    assert served - granted("planner", "prober", *ACTING) == set()


@pytest.mark.parametrize("name", ["planner", "prober", *ACTING])
def test_what_nothing_asks_for_says_why_it_is_there(name: str) -> None:
    served = {route.action.lower() for route in routes()}
    # These are asked for by routes that serve any type of resource.
    served |= {"microsoft.compute/disks/read", "microsoft.hybridcompute/machines/read"}
    served |= {"microsoft.managedidentity/userassignedidentities/read"}
    for one in roles.load()[name].actions:
        assert bool(one.unused) == (one.action.lower() not in served), one.action


def test_who_is_missing_an_action_is_given_the_role_that_has_it() -> None:
    assert roles.having("Microsoft.Automation/automationAccounts/write") == "operator"
    assert roles.having("microsoft.compute/virtualmachines/extensions/write") == "operator-hosts"
    assert roles.having("Microsoft.Compute/virtualMachines/runCommand/action") == "operator-run-command"
    assert roles.having("Microsoft.Resources/subscriptions/resourceGroups/write") == "group-creator"
    assert roles.having("Microsoft.Compute/virtualMachines/delete") == ""


# --- a night under exactly these roles

PLACES = [("operator", "dev-eus"), ("operator-hosts", "dev-ne"), ("operator-hosts", "dev-we")]
"""What bicep/ grants an operator besides planner on the subscription: of this estate, where replicas are, and where hosts are."""


def only(site: Site, places: Sequence[tuple[str, str]]) -> None:
    """From here on drkit is an operator with these roles in these groups, and planner on the subscription."""
    world = site.world.simulator.world
    operator = next(one for one in world.principals.values() if one.role == "operator")
    world.roles["operator"] = [one.action for one in roles.load()["planner"].actions]
    for name, place in places:
        world.roles[f"drkit {name}"] = [one.action for one in roles.load()[name].actions]
        assign(world, operator.object_id, f"drkit {name}", group_id(place))
    facts = {
        **json.loads(site.world.ready.read_text()),
        "client_id": operator.client_id,
        "client_secret": operator.secret,
    }
    site.world.ready.write_text(json.dumps(facts))


def refused(site: Site, since: int) -> list[str]:
    return [f"{one['method']} {one['path']}" for one in site.record()[since:] if one["status"] == 403]


def test_workers_are_moved_under_exactly_these_roles_without_run_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": "s3cret"}))
    with workers.site(tmp_path, leaping=True) as site:
        only(site, PLACES)
        since = len(site.record())
        workers.lost(site)
        done = workers.apply(site)
        assert done.outcome.startswith("succeeded"), done
        assert workers.carried(site, workers.WEB) == [workers.REPLICA]
        assert refused(site, since) == []


def test_without_the_role_on_hosts_no_extension_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": "s3cret"}))
    with workers.site(tmp_path, leaping=True) as site:
        only(site, PLACES[:1])
        workers.lost(site)
        assert not workers.apply(site).outcome.startswith("succeeded")
        assert workers.carried(site, workers.WEB) == [workers.OLD]
        assert any("may-change-extensions" in step.detail for step in site.state.steps.values())
