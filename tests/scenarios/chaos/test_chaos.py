"""A few of the stories that ``scripts/chaos`` tells: nothing lost, nothing twice, an end that drkit may have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.chaos.chaos_run import BLOWS, FOR_GOOD, Fate, one
from tests.support.patience import PATIENCE
from tests.support.run_process import Lives

SHORT = (4, 5, 9, 18, 21, 27)
"""Stories of seed 1, in short: deaths and clocks that are off under cuts, truncation, HTML, 429, stale lists, tokens that expire, a
region that returns or goes, and an installation that fails; both products, over and back."""

WITH_OPERATOR = (3,)
"""Stories of seed 77 with somebody beside the run who pauses, skips, retries and aborts."""


@pytest.fixture(scope="module")
def lives() -> Lives:
    return Lives()


@pytest.mark.slow
@pytest.mark.parametrize("number", SHORT)
def test_faults_and_killed_processes_lose_nothing_and_do_nothing_twice(
    tmp_path: Path, lives: Lives, number: int
) -> None:
    fate = one(number, 1, tmp_path / "run", lives)
    assert fate.good, fate
    assert any(fate.struck.values()), "nothing of the story came about"


@pytest.mark.slow
@pytest.mark.parametrize("number", WITH_OPERATOR)
def test_with_a_second_operator_drkit_says_at_every_end_who_serves_each_host(
    tmp_path: Path, lives: Lives, number: int
) -> None:
    fate = one(number, 77, tmp_path / "run", lives, operator=True)
    assert fate.good, fate
    assert fate.operator is not None


def variable(file: Path) -> None:
    file.write_text(os.environ.get("DRKIT_TEST_LIFE", ""), "utf-8")


def test_a_life_has_the_variables_of_who_begins_it(
    tmp_path: Path, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "one", "two"):
        monkeypatch.setenv("DRKIT_TEST_LIFE", value)
        process = lives.call(variable, tmp_path / "found")
        process.join(PATIENCE)
        assert (process.exitcode, (tmp_path / "found").read_text("utf-8")) == (0, value)


def test_the_judge_condemns_what_is_lost_twice_or_stuck() -> None:
    fine = ("429 storm",)
    assert not Fate(0, fine, "succeeded", unsaid=["x"]).good
    assert not Fate(0, fine, "failed", operator={"skip": 1}).good, "nobody aborted it"
    assert Fate(0, fine, "failed", operator={"abort": 1}).good
    assert Fate(0, fine, "partial", operator={"pause": 1}, paused=True).good
    assert not Fate(0, fine, "partial", operator={"pause": 1}).good, "somebody took the pause back"
    assert Fate(0, fine, "succeeded").good
    assert not Fate(0, fine, "succeeded", lost=["x"]).good
    assert not Fate(0, fine, "succeeded", twice=["x"]).good
    assert not Fate(0, fine, "stuck").good
    assert not Fate(0, fine, "partial").good, "nothing stood in its way for good"
    assert Fate(0, ("target fills",), "partial").good
    assert set(BLOWS) >= FOR_GOOD


@pytest.mark.slow
def test_the_command_prints_the_numbers_and_keeps_what_a_story_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.chaos", "--story", "0", "--seed", "6", "--json", "--keep", str(tmp_path / "made" / "here")],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told)[:8] == ["runs", "succeeded", "exceptions", "partial", "failed", "lost", "twice", "stuck"]
    assert set(told["faults"]) == {*BLOWS, "clock off", "deaths"}
    assert (told["runs"], told["lost"], told["twice"], told["stuck"]) == (1, 0, 0, 0)
    assert list(tmp_path.glob("made/here/story-0-*/run/**/journal/run-0001.jsonl"))
