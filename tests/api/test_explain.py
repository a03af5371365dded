"""``explain``, ``watch`` and the filters of ``assess``: what they say, of what, and with which exit codes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from docs.generate import transparency_page
from drkit.api import explain as api_explain
from drkit.api import watch as api_watch
from drkit.cli.views.explain import lines
from drkit.drills import stories
from drkit.model.estate import Assessment, Baseline, HostFinding
from drkit.planning import explain as explain_
from drkit.planning import transparency
from drkit.planning.plan_state import plan_state
from drkit.planning.transparency import DOMAINS, ROWS, Signals
from drkit.simulator.samples.stories import STORIES
from tests.support.command_line import Cloud, Here, settings

ROOT = Path(__file__).parents[2]


# what is said


def test_every_value_of_every_signal_has_words() -> None:
    for name, allowed in DOMAINS.items():
        for value in allowed:
            assert explain_.WORDS[name, value]


def test_every_verdict_says_what_to_do() -> None:
    for row in ROWS:
        assert explain_.TO_DO[row.reason or row.outcome]
        assert explain_.VERDICTS[row.outcome]


def some_signals() -> Iterator[Signals]:
    names = ("host_kind", "arm", "instance_id", "boot", "health", "probe", "region")
    for values in itertools.product(*(DOMAINS[name] for name in names)):
        yield Signals(**dict(zip(names, values, strict=True)))


def test_each_counterfactual_is_true() -> None:
    """Each row that is named is one that the table gives, and its verdict is another than the one it had."""
    rows = {row.number: row for row in ROWS}
    for given in itertools.islice(some_signals(), 0, None, 7):
        mine = transparency.judge(given)
        for change in explain_.otherwise(given):
            row = rows[change.row]
            assert change.verdict == row.outcome + (f" ({row.reason})" if row.reason else "")
            assert (row.outcome, row.reason) != (mine.outcome, mine.reason)
            assert change.when


def finding(**more: Any) -> HostFinding:
    signals = {name: allowed[0] for name, allowed in DOMAINS.items()} | more.pop("signals", {})
    return HostFinding("/h", more.pop("outcome", "transparent-with-interruption"), "high", 28, signals=signals, **more)


def test_a_restart_on_another_host_empties_the_temporary_disk() -> None:
    told = explain_.noticed(finding(signals={"boot": "different", "physical_host": "different"}), Baseline())
    assert any("temporary disk" in one for one in told)


def test_a_restart_on_the_same_host_does_not() -> None:
    told = explain_.noticed(finding(signals={"boot": "different", "event": "reboot-same-host"}), Baseline())
    assert not any("temporary disk" in one for one in told)
    assert any("it restarted" in one for one in told)


@pytest.mark.parametrize("columns", [60, 80, 140])
async def test_an_explanation_fits_the_width(columns: int) -> None:
    played = await stories.play("zone down")
    long = [line for line in lines(played.explanation, columns) if len(line) > columns]
    assert all("/" in line or len(line.split()) == 1 for line in long)


async def test_a_plan_is_explained(tmp_path: Path) -> None:
    async with stories.staged(STORIES["healing"], tmp_path) as stage:
        assessed = await stage.assess()
        found = api_explain.explain(stage.context, "plan-eastus")
    assert isinstance(found, explain_.PlanExplanation)
    assert found.state == "answering"
    assert found.hosts
    text = "\n".join(lines(found))
    assert "nobody claims that its region is lost" in text
    assert assessed.taken[:16].replace("T", " ") in text
    for one in found.otherwise:
        assert one.partition(",")[0] in {plan_state.__name__, "degraded", "unreachable", "lost", "gone", "unknown"}


async def test_an_environment_s_name_means_its_host(tmp_path: Path) -> None:
    async with stories.staged(STORIES["healing"], tmp_path) as stage:
        await stage.assess()
        found = api_explain.explain(stage.context, "build")
    assert isinstance(found, explain_.Explanation)
    assert found.name == "vm-build"


ANEW = "scripts/transparency-page writes it anew"
PAGE = (ROOT / "docs" / "transparency.md").read_text("utf-8")


def test_the_page_of_stories_has_its_head_and_one_chapter_a_story() -> None:
    head = transparency_page.page(())
    assert PAGE.startswith(head), ANEW
    assert [chapter.partition("\n")[0] for chapter in PAGE[len(head) :].split("\n### ")[1:]] == list(STORIES), ANEW


@pytest.mark.parametrize("name", STORIES)
async def test_a_chapter_of_the_page_is_what_its_story_says(name: str) -> None:
    chapters = PAGE.split("\n### ")
    assert transparency_page.chapter(await stories.play(name)).removeprefix("\n### ") in chapters, ANEW


# watching


async def looks(name: str, folder: Path, **more: Any) -> list[api_watch.WatchUpdate]:
    found = []
    async with stories.staged(STORIES[name], folder) as stage:
        async for look in api_watch.watch(stage.context, **more):
            found.append(look)
            await stage.play(stage.clock.minute + 0.01)
    return found


async def test_watch_prints_changes_only(tmp_path: Path) -> None:
    found = await looks("host down", tmp_path, every_minutes=5, for_minutes=60)
    said = [line for look in found for line in look.changes]
    assert len(found) > 5
    assert len(said) < len(found)
    assert said[-1].startswith("host vm-build: host-lost -> host-lost") or "host-lost" in said[-1]
    assert len(set(said)) == len(said)


async def test_watch_ends_when_what_it_waits_for_is_there(tmp_path: Path) -> None:
    found = await looks("host down", tmp_path, every_minutes=5, for_minutes=120, until="host-lost")
    assert [look.reached for look in found] == [False] * (len(found) - 1) + [True]


async def test_watch_looks_no_more_often_than_asked(tmp_path: Path) -> None:
    found = await looks("nothing happened", tmp_path, every_minutes=5, for_minutes=30)
    moments = [look.assessed.taken for look in found]
    assert 4 <= len(moments) <= 7
    assert len(set(moments)) == len(moments)


async def test_watch_looks_less_often_while_nothing_answers(tmp_path: Path) -> None:
    found = await looks("blind vantage point", tmp_path, every_minutes=5, for_minutes=120)
    assert [look.blind for look in found[-2:]] == [True, True]
    assert len(found) < 12


def assessment(*found: HostFinding) -> Assessment:
    from drkit.model.cloud import CloudMark

    return Assessment(cloud=CloudMark("https://arm", "", True), taken="2026-11-23T03:00:00Z", hosts=found)


def test_a_verdict_that_becomes_final_is_a_change() -> None:
    early, late = finding(notes=("provisional",)), finding()
    assert api_watch.changes(assessment(early), assessment(late)) == [
        "host h: transparent-with-interruption -> transparent-with-interruption, confidence high (final)"
    ]
    assert api_watch.changes(assessment(late), assessment(late)) == []


def test_settled_means_final_and_known() -> None:
    assert api_watch.holds(assessment(finding()), "settled")
    assert not api_watch.holds(assessment(finding(notes=("provisional",))), "settled")
    assert not api_watch.holds(assessment(msgspec.structs.replace(finding(), outcome="undetermined")), "settled")


# the command line


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("cloud"))
    yield made
    made.stop()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cloud: Cloud) -> Here:
    for name in [one for one in os.environ if one.startswith(("DRKIT_", "AZURE_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "drkit.toml").write_text(settings(channels=False))
    found = Here(tmp_path, monkeypatch, capsys, cloud.ready)
    assert found("snapshot", "--quiet").code == 0
    return found


def test_the_command_line_explains_filters_and_watches(here: Here) -> None:
    assert here("explain", "vm-orders-build").code == 4
    assert here("assess").code == 0
    told = here("explain", "vm-orders-build")
    assert told.code == 0
    assert "Row 33 of the table decided" in told.out
    assert here("explain", "vm-orders-build", "--json").json["outcome"] == "no-failover"
    assert here("explain", "nothing-of-the-kind").code == 64
    shown = here("assess", "--verdict", "no-failover", "--json").json["hosts"]
    assert shown
    assert {one["outcome"] for one in shown} == {"no-failover"}
    assert here("assess", "--verdict", "no-witness", "--json").json["hosts"][0]["reason"] == "no-witness"
    plan = here("assess", "--json").json["plans"][0]["plan"]
    only = here("assess", "--plan", plan.rsplit("/", 1)[-1], "--json").json
    assert [one["plan"] for one in only["plans"]] == [plan]
    assert len(only["hosts"]) < len(here("assess", "--json").json["hosts"])
    assert here("assess", "--verdict", "sunny").code == 64
    assert here("assess", "--plan", "nowhere").code == 64
    assert here("explain", plan).code == 0


def test_watch_ends_with_the_code_a_pipeline_needs(here: Here) -> None:
    assert here("watch", "--every", "1", "--for", "0.5").code == 0
    missed = here("watch", "--every", "1", "--for", "0.5", "--until", "lost", "--json")
    assert missed.code == 1
    assert missed.json["reached"] is False
    assert here("watch", "--for", "0.5", "--until", "no-witness", "--json").json["reached"] is True
    assert here("watch", "--every", "0").code == 64
    assert here("watch", "--until", "sunny").code == 64


def test_drill_plays_a_story(here: Here) -> None:
    told = here("drill", "--story", "healing")
    assert told.code == 0
    assert "transparent-with-interruption" in told.out
    assert here("drill", "--story", "no such story").code == 64
    assert here("drill", "--story", "healing", "--json").json["as_told"] is True
