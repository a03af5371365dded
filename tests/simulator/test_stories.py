"""The named stories: each is one of the cases of judgement, and can be played to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drkit.simulator.core import control
from drkit.simulator.core.server import Simulator
from drkit.simulator.samples.stories import STORIES, HostStory
from drkit.simulator.samples.story_estate import SUBSCRIPTION, vm
from drkit.simulator.signals import health, resource_graph

CASES = {
    case["name"]: case["expect"]
    for case in json.loads((Path(__file__).parents[1] / "cases" / "transparency_stories.json").read_text("utf-8"))
}
NAMED = {"live migration", "healing", "redeploy", "reimage", "restore in place", "recreated under the old name"}
NAMED |= {"restore as new, proved by its registration", "ASR failover", "ASR test failover", "resource move, probed"}
NAMED |= {"clone", "zone down", "region down", "region suspected", "stopped by its owner", "blind vantage point"}
NAMED |= {"false alarm", "storage blip"}


@pytest.fixture(params=STORIES.values(), ids=lambda story: story.name)
def story(request: pytest.FixtureRequest) -> HostStory:
    found = request.param
    assert isinstance(found, HostStory)
    return found


def play(story: HostStory, folder: Path) -> Simulator:
    """The story as it stands at its last minute, without waiting: every call is dated back."""
    simulator = Simulator(story.seed(), speed=1, folder=folder)
    for step in story.timeline:
        body = dict(step.body)
        if step.call in ("host", "lose", "announce", "restore"):
            body["minutes_ago"] = story.ends - step.minute
        control.ACTS[step.call](simulator, body)
        simulator.world.advance()
    return simulator


def rows(simulator: Simulator, query: str) -> list[dict[str, Any]]:
    return resource_graph.answer_query(simulator.world, query, {SUBSCRIPTION})


def test_every_named_story_is_there() -> None:
    assert STORIES.keys() >= NAMED


def test_a_story_ends_as_its_case_says(story: HostStory) -> None:
    expected = CASES.get(story.name)
    if expected is None:
        assert story.verdict["outcome"] in {case["outcome"] for case in CASES.values()}
        return
    for key in ("outcome", "rule", "reason"):
        assert story.verdict[key] == expected[key]
    assert set(expected["notes"]) <= set(story.verdict["notes"])


def test_a_story_can_be_played(story: HostStory, tmp_path: Path) -> None:
    """Every call of it is one the control interface takes; what happens is over before it ends."""
    simulator = play(story, tmp_path)
    assert all(0 < step.minute < story.ends and step.tells for step in story.timeline)
    assert [step.minute for step in story.timeline] == sorted(step.minute for step in story.timeline)
    world = simulator.world
    for found in world.under(f"/subscriptions/{SUBSCRIPTION}", "Microsoft.Compute/virtualMachines"):
        assert health.availability(world, found)["properties"]["availabilityState"] in ("Available", "Unavailable")


HEALTH_AT_THE_END = {
    "zone down": "Unavailable",
    "region down": "Unavailable",
    "host down": "Unavailable",
    "down for a moment": "Unavailable",
    "false alarm about the host": "Unavailable",
    "stopped by its owner": "Unavailable",
    "healing after a long outage": "Available",
    "zone down, and back": "Available",
    "storage blip": "Available",
    "guest down": "Available",
    "live migration": "Available",
}


@pytest.mark.parametrize(("name", "state"), HEALTH_AT_THE_END.items())
def test_resource_health_at_the_end(name: str, state: str, tmp_path: Path) -> None:
    world = play(STORIES[name], tmp_path).world
    found = world.resource(STORIES[name].subject)
    assert found is not None
    assert health.availability(world, found)["properties"]["availabilityState"] == state


ANNOTATIONS = {
    "live migration": "LiveMigrationSucceeded",
    "live migration without an annotation": None,
    "host update by freeze": "VirtualMachinePlannedFreezeSucceeded",
    "storage blip": "VirtualMachineStorageOffline",
    "healing": "VirtualMachineMigrationInitiatedForRepair",
    "healing after a long outage": "VirtualMachineMigrationInitiatedForRepair",
    "host crash, recovered on the same node": "VirtualMachineHostCrashed",
    "redeploy": "VirtualMachineRedeployInitiatedByControlPlane",
    "stopped by its owner": "VirtualMachineDeallocationInitiated",
    "plain reboot": None,
    "zone down": None,
}


@pytest.mark.parametrize(("name", "annotation"), ANNOTATIONS.items())
def test_annotations_at_the_end(name: str, annotation: str | None, tmp_path: Path) -> None:
    simulator = play(STORIES[name], tmp_path)
    found = rows(simulator, "healthresources | where type =~ 'microsoft.resourcehealth/resourceannotations'")
    told = [row["properties"]["annotationName"] for row in found if row["id"].startswith(vm("vm-build"))]
    assert told == ([annotation] if annotation else [])


def test_a_failover_is_done_minutes_after_it_began(tmp_path: Path) -> None:
    world = play(STORIES["ASR failover"], tmp_path).world
    (item,) = world.protected
    assert item.recovered == vm("vm-build", "rg-hosts-neu-asr")
    assert item.failed_over is not None
    assert item.began is not None
    assert timedelta(minutes=4) < item.failed_over - item.began < timedelta(minutes=6)
    old, new = world.hosts[vm("vm-build").lower()], world.hosts[item.recovered.lower()]
    assert (old.power, new.power) == ("deallocated", "running")
    assert old.vm_id != new.vm_id
    assert old.host_keys != new.host_keys
    assert (old.machine_id, old.registrations) == (new.machine_id, new.registrations)


def _differences(name: str, folder: Path) -> Iterator[str]:
    story = STORIES[name]
    before, after = Simulator(story.seed(), speed=1, folder=folder).world, play(story, folder).world
    one, other = before.hosts[story.subject.lower()], after.hosts[story.subject.lower()]
    for field in ("vm_id", "machine_id", "host_keys", "boot_id", "physical_host", "registrations", "macs"):
        if getattr(one, field) != getattr(other, field):
            yield field


SEEN_INSIDE = {
    "live migration": {"physical_host"},
    "host update by freeze": set(),
    "storage blip": set(),
    "healing": {"physical_host", "boot_id"},
    "host crash, recovered on the same node": {"boot_id"},
    "redeploy": {"physical_host", "boot_id"},
    "deallocate and start": {"physical_host", "boot_id"},
    "restore in place": {"boot_id"},
    "reimage": {"boot_id", "machine_id", "host_keys", "registrations"},
    "boot disk replaced": {"boot_id", "machine_id", "host_keys", "registrations"},
    "ephemeral live migration": {"physical_host"},
    "ephemeral healing, seen by the probe": {"physical_host", "boot_id", "machine_id", "host_keys", "registrations"},
    "recreated under the old name": {
        "vm_id",
        "physical_host",
        "boot_id",
        "machine_id",
        "host_keys",
        "registrations",
        "macs",
    },
    "clone": set(),
    "zone down, and back": {"boot_id"},
}


@pytest.mark.parametrize(("name", "fields"), SEEN_INSIDE.items())
def test_what_the_guest_shows_of_it(name: str, fields: set[str], tmp_path: Path) -> None:
    assert set(_differences(name, tmp_path)) == fields
