"""Two hundred of the cases that ``scripts/fuzz`` has; and a judge that knows what is wrong when it sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.fuzz import judge
from tests.scenarios.fuzz.cases import Case
from tests.scenarios.fuzz.judge import Ended
from tests.scenarios.fuzz.values import mutated, places

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", [0, 100])
def test_no_case_of_bad_input_ends_badly(first: int) -> None:
    words = [sys.executable, "-m", "tests.scenarios.fuzz", "--cases", "100", "--first", str(first), "--seed", "1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cases 100," in done.stdout
    assert "bad 0" in done.stdout


def ended(code: int | None = 0, out: str = "", err: str = "", *words: str) -> Ended:
    return Ended(words, code, out, err, 1.0)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (ended(None), "did not end"), (ended(99, "", "x"), "left with 99"), (ended(-9), "left with -9"), (ended(64), "no word"),
        (ended(1, "", "drkit: drkit itself failed: KeyError"), "itself failed"),
        (ended(0, "", "Traceback (most recent call last):"), "traceback"),
        (ended(0, "a s3cret b"), "secret"), (ended(0, "{", "", "--json"), "no JSON"), (ended(0, "", "a\x1b[2J"), "control"),
    ],
)  # fmt: skip
def test_the_judge_knows_a_bad_end(bad: Ended, word: str) -> None:
    assert any(word in fault for fault in judge.faults(bad, {"s3cret"}))


def test_the_judge_knows_a_good_end() -> None:
    assert judge.faults(ended(64, "", "drkit: a.toml: is not TOML"), {"s3cret"}) == []
    assert judge.faults(ended(0, '{"a": 1}\n', "", "status", "--json"), set()) == []


def test_the_judge_knows_what_must_not_be_kept(tmp_path: Path) -> None:
    after = {"a.json": b"{", "b.jsonl": b'{"a":1}\nx\n', "c.json": b'"s3cret"', "old.json": b"{"}
    assert len(judge.kept_faults({"old.json": b"{"}, after, {"s3cret"})) == 3
    (tmp_path / "strayed").write_text('{"token": true}\n{"token": false}\n')
    assert len(judge.strayed(tmp_path)) == 1


def test_the_same_seed_has_the_same_cases() -> None:
    value = {"a": [1, {"b": "x"}], "c": None}
    assert len(list(places(value))) == 5
    made = [[mutated(value, Case(7, number).random) for number in range(50)] for _ in range(2)]
    assert made[0] == made[1]
    assert len({repr(one) for one in made[0]}) > 30
