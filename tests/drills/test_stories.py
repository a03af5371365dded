"""Every named story, played through the SDK: it ends in its verdict, and nothing unsafe is said on the way there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drkit.cli.views.drill import TerminalDrillPresenter
from drkit.drills import stories
from drkit.model.estate import Assessment, HostFinding
from drkit.simulator.samples.stories import STORIES, HostStory

BENIGN = ("no-failover", "transparent")
LOSSES = ("host-lost", "region-lost")
AFTER = (0.5, 3, 8, 14.5, 20)
"""Minutes after each step of a story at which drkit is asked."""
GRACE = 15.0
LOSING = {"down", "zone-down", "delete", "guest-hang"}
"""Events after which a host may be called lost, and control calls too."""
REPLACING = {
    "reimage",
    "swap-disk",
    "recreate",
    "restore_new",
    "asr-failover",
    "restore_in_place",
    "heal",
    "asr-commit",
}


def minutes(story: HostStory) -> list[float]:
    asked = {1.0, story.ends}
    for step in story.timeline:
        asked |= {step.minute + more for more in AFTER}
    return sorted(minute for minute in asked if minute <= story.ends)


def unsafe(story: HostStory, minute: float, assessed: Assessment, found: HostFinding) -> Iterator[str]:
    """What must not be said at that minute, from what has happened in the story and what was seen of it."""
    seen = found.signals
    gone = [step for step in story.timeline if step.minute <= minute]
    events = {str(step.body.get("event", step.call)) for step in gone}
    begun = gone[0].minute if gone else None
    if begun is None and found.outcome not in ("no-failover", "undetermined"):
        yield f"{found.outcome} before anything happened"
    if found.outcome in LOSSES:
        if not events & (LOSING | {"lose"}):
            yield f"{found.outcome}, and nothing was lost"
        if found.outcome == "host-lost" and seen["arm"] != "gone" and (begun is None or minute < begun + GRACE):
            yield "host-lost within the grace"
        if seen["arm"] != "gone" and seen["health"] != "down" and seen["region"] != "both":
            yield f"{found.outcome} without evidence"
        if seen["probe"] == "up" or seen["arm"] == "unreachable":
            yield f"{found.outcome} of a host that answers, or that nobody can see"
    if found.outcome == "region-lost" and (seen["region"] != "both" or not assessed.claims):
        yield "region-lost without a claim"
    differs = "different" in (seen["instance_id"], seen["os_id"], seen["registration"])
    if found.outcome == "re-register":
        if not (differs or seen["successor"] == "proved" or seen["ephemeral_os_disk"] or seen["arc_cloned"]):
            yield "re-register without a difference"
        if not events & (REPLACING | {"change"}):
            yield "re-register, and nothing was replaced"
    if differs and found.outcome in (*BENIGN, "transparent-with-interruption"):
        yield f"{found.outcome} though a difference was seen"
    replaced = [step for step in gone if step.body.get("event") in REPLACING - {"asr-failover", "asr-commit"}]
    if replaced and story.verdict["outcome"] == "re-register" and found.outcome in BENIGN:
        yield f"{found.outcome} of a machine that was replaced"
    for plan in assessed.plans:
        if plan.state == "lost" and not assessed.claims:
            yield "a plan lost without claim or declaration"
        if plan.state == "lost":
            yield "a plan lost that answers all the time"


@pytest.fixture(params=STORIES.values(), ids=lambda story: story.name)
def story(request: pytest.FixtureRequest) -> HostStory:
    found = request.param
    assert isinstance(found, HostStory)
    return found


async def test_a_story_says_nothing_unsafe_on_its_way_to_its_verdict(story: HostStory, tmp_path: Path) -> None:
    said: list[tuple[float, str]] = []
    async with stories.staged(story, tmp_path) as stage:
        for minute in minutes(story):
            await stage.play(minute)
            found = stage.finding(assessed := await stage.assess())
            # Asking takes time of its own: what had happened by the end of it may have been seen.
            said += [(minute, text) for text in unsafe(story, stage.clock.minute, assessed, found)]
    assert said == []
    assert stories.verdict_of(found) == stories.verdict_of(story.verdict)


async def test_a_verdict_is_provisional_while_the_slower_sources_may_still_speak(tmp_path: Path) -> None:
    async with stories.staged(STORIES["healing"], tmp_path) as stage:
        notes = {}
        for minute in (1, 8, 20, 30):
            await stage.play(minute)
            notes[minute] = stage.finding(await stage.assess()).notes
    assert {minute: "provisional" in words for minute, words in notes.items()} == {
        1: False,
        8: True,
        20: True,
        30: False,
    }


async def test_a_story_prints_the_same_text_each_time() -> None:
    told: list[list[str]] = []
    for _ in range(2):
        said: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            await stories.tell("ASR failover", said.append, TerminalDrillPresenter(), folder=folder)
        told.append(said)
    assert told[0] == told[1]


async def test_a_story_prints_what_happens_and_explains_its_end() -> None:
    said: list[str] = []
    value = await stories.tell("healing", said.append, TerminalDrillPresenter())
    text = "\n".join(said)
    assert "it is healed on another node" in text
    assert "its temporary disk is empty" in text
    assert "VirtualMachineMigrationInitiatedForRepair" in text
    assert value["as_told"] is True


async def test_the_list_names_every_story() -> None:
    said: list[str] = []
    value: dict[str, Any] = await stories.tell("list", said.append, TerminalDrillPresenter())
    assert value["stories"] == list(STORIES)
    assert len(said) == len(STORIES)


async def test_the_event_that_names_a_machine_is_among_its_evidence(tmp_path: Path) -> None:
    played = await stories.play("region down", tmp_path)
    said = {one.signal: one.value for one in played.explanation.evidence}
    assert said["impacted"] == said["claim"]


async def test_an_emerging_issue_is_a_claim_before_service_health_speaks(tmp_path: Path) -> None:
    step = STORIES["region down"].timeline[0]
    told = replace(step, body={**step.body, "announce_after": 60, "emerging": 5})
    async with stories.staged(replace(STORIES["region down"], timeline=(told,)), tmp_path) as stage:
        await stage.play(30)
        assessed = await stage.assess()
    assert [one.kind for one in assessed.claims] == ["emerging-issue"]
    assert stage.finding(assessed).outcome == "region-lost"
