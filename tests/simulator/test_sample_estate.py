"""The sample estate: what it must contain for the drill to meet every kind of case."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from drkit.simulator import sample_seed
from drkit.simulator.codespaces.environments import bearers, state_of
from drkit.simulator.core.seed import build, check
from drkit.simulator.core.state import Loss, World
from drkit.simulator.hosts import events
from drkit.simulator.hybrid_worker import model
from drkit.simulator.samples.estate import Names, sample_stories

NAMES = Names(1)


@pytest.fixture
def world() -> World:
    return build(sample_seed(), 1.0, {})


def tell(world: World) -> None:
    """All stories, as the control interface tells them."""
    for story in sample_stories():
        body = dict(story["body"])
        host = world.hosts[body.pop("id").lower()]
        events.happen(world, host, body.pop("event"), body)


def states(world: World) -> dict[str, str]:
    alive = bearers(world)
    return {one.name: state_of(one, alive) for one in world.environments.values() if one.static}


def guids(value: Any) -> set[str]:
    return {one["id"] for one in value["subscriptions"] + value["environments"]} | {value["tenant"]["id"]}


def test_the_same_number_gives_the_same_sample_another_number_other_ids() -> None:
    assert json.dumps(sample_seed(3)) == json.dumps(sample_seed(3))
    assert sample_stories(3) == sample_stories(3)
    assert not guids(sample_seed(1)) & guids(sample_seed(2))


def test_it_is_a_seed_that_survives_a_file() -> None:
    check(json.loads(json.dumps(sample_seed())), "the sample")


def test_plans_and_environments_are_where_they_should_be(world: World) -> None:
    plans = {r.id: r for r in world.resources.values() if r.type.lower().endswith("/plans")}
    assert Counter(plan.location for plan in plans.values()) == {"westeurope": 3, "eastus": 2, "southeastasia": 1}
    west = {key for key, plan in plans.items() if plan.location == "westeurope"}
    assert Counter(plans[key].type for key in west) == {"Microsoft.VSOnline/plans": 2, "Microsoft.Codespaces/plans": 1}
    assert {group.location for key in west if (group := world.group(key))} == {"westeurope"}
    assert len(world.environments) == 40
    assert Counter(one.static for one in world.environments.values() if one.plan in west) == {False: 11, True: 13}
    assert max(Counter(one.plan for one in world.environments.values()).values()) <= 20


def test_one_subscription_has_a_group_prepared_for_the_move(world: World) -> None:
    prepared = [group for group in world.groups.values() if group.tags.get("drkit-target") == "true"]
    assert [(group.location, group.subscription) for group in prepared] == [
        ("eastus", NAMES.guid("subscription", "engineering"))
    ]


def test_one_lost_environment_exists_elsewhere_already(world: World) -> None:
    clouds = [one for one in world.environments.values() if not one.static]
    twins = Counter((one.owner, json.dumps(one.seed)) for one in clouds)
    assert list(twins.values()).count(2) == 1
    assert max(twins.values()) == 2


def test_names_are_unique_in_their_plan(world: World) -> None:
    names = Counter((one.plan, one.name.lower()) for one in world.environments.values())
    assert set(names.values()) == {1}


def test_every_owner_is_somebody_and_one_of_them_is_never_ready(world: World) -> None:
    assert {one.owner for one in world.environments.values()} <= world.people.keys()
    times = [(one.ready_after, one.signs_in_after) for one in world.people.values()]
    assert times.count((None, None)) == 1
    for ready, signs in times:
        if ready is not None and signs is not None:
            assert 60 <= ready <= 240
            assert 60 <= signs <= 180


def test_before_anything_happens_every_self_hosted_environment_answers(world: World) -> None:
    assert set(states(world).values()) == {"Available"}


def test_the_stories_take_down_only_what_they_say(world: World) -> None:
    tell(world)
    down = {name for name, state in states(world).items() if state != "Available"}
    assert down == {"legacy-erp", "genome-lab", "thesis-box", "billing-batch"}


def test_the_loss_takes_down_hosts_in_the_region_and_leaves_the_others_running(world: World) -> None:
    world.lost["westeurope"] = Loss("westeurope", world.now())
    down = {name for name, state in states(world).items() if state != "Available"}
    assert down == {"search-index", "registry-mirror"}


def test_the_hosts_are_of_every_kind(world: World) -> None:
    assert Counter(host.kind for host in world.hosts.values()) == {"azure-vm": 20, "arc": 1, "physical": 1}
    assert [host.hostname for host in world.hosts.values() if host.os == "windows"] == ["VM-DESKTOP-WIN"]
    assert len([host for host in world.hosts.values() if not host.registrations]) == 4
    straying = [
        host.hostname
        for host in world.hosts.values()
        if (group := world.group(host.id)) and group.location == "westeurope" and host.location != "westeurope"
    ]
    assert straying == ["vm-deploy-agent"]
    identities = [host.machine_id for host in world.hosts.values()] + [host.boot_id for host in world.hosts.values()]
    assert len(set(identities)) == len(identities)


def test_the_workers_of_the_lost_account_stand_everywhere_and_all_report(world: World) -> None:
    found = {account.id.rpartition("/")[2]: account for account in model.accounts(world)}
    assert {name: account.region for name, account in found.items()} == {
        "auto-ops-weu": "westeurope",
        "auto-builds-eus": "eastus",
        "auto-ops-dr-eus": "eastus",
    }
    lost = [world.hosts[worker.machine.lower()] for _, worker in found["auto-ops-weu"].workers()]
    assert Counter((host.kind, host.location) for host in lost) == {
        ("azure-vm", "northeurope"): 1,
        ("azure-vm", "eastus"): 1,
        ("azure-vm", "westeurope"): 1,
        ("azure-vm", "uksouth"): 1,
        ("arc", "northeurope"): 1,
    }
    assert [host.hostname for host in lost if any(one.protected for one in host.extensions.values())] == [
        "vm-artifact-cache"
    ]
    assert len(list(model.reporting(world))) == 6
    assert not list(found["auto-ops-dr-eus"].workers())
    tell(world)
    assert {host.hostname for _, host in model.reporting(world)} == {host.hostname for host in lost} - {
        "vm-thesis-box"
    } | {"vm-edge-proxy"}
    world.lost["westeurope"] = Loss("westeurope", world.now())
    assert [host.hostname for _, host in model.reporting(world)] == ["vm-edge-proxy"]


def test_the_replica_is_prepared_and_lacks_something_of_most_kinds(world: World) -> None:
    found = {account.id.rpartition("/")[2]: account for account in model.accounts(world)}
    lost, replica = found["auto-ops-weu"], found["auto-ops-dr-eus"]
    resource = world.resource(replica.id)
    assert resource is not None
    assert resource.tags["drkit-target"] == "true"
    lacking = {kind for kind, held in lost.assets.items() if held.keys() - replica.assets.get(kind, {}).keys()}
    assert lacking == model.ASSETS.keys() - {"modules", "variables", "python2Packages"}


def test_settings_name_the_hosts_no_probe_can_find(world: World) -> None:
    hints = sample_seed()["settings"]["host"]
    assert {hint["name"] for hint in hints} == {"desktop-client", "microscope-7", "hsm-bench"}
    for hint in hints:
        host = world.hosts[hint["host"].lower()]
        assert hint["user"] in host.accounts
        assert hint["environment"] in [registration.id for registration in host.registrations]
        assert host.folders == [hint["workspace"]]


def test_the_repair_case_can_be_repaired(world: World) -> None:
    """Its workspace lies on a data disk, and the image carries the command line."""
    tell(world)
    host = world.hosts[NAMES.host("vm-billing-batch", "rg-hosts-eus").lower()]
    assert (host.registrations, host.folders, host.cli) == ([], ["/data/billing"], True)
