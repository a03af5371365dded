"""What is told of a run by `drkit report`: to each owner, and to whoever types it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.api import report, status
from drkit.api.context import Context
from drkit.cli.views import notice_layout as letters_view
from drkit.execution import owner_notices
from tests.support.builders import LOST, OTHER, SUBSCRIPTION, TARGET
from tests.support.command_line import Here
from tests.support.finished_runs import a_run, badly, smoothly


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Context]:
    folder = tmp_path_factory.mktemp("told")
    return {
        "every exception": a_run(folder / "bad", "bad", 9, 4, badly),
        "a smooth run": a_run(folder / "small", "orders", 5, 3, smoothly, seconds=20.0),
    }


# owners


def test_each_owner_hears_of_their_own_and_of_nothing_else(contexts: dict[str, Context]) -> None:
    run, told, simulated = report.owners(contexts["a smooth run"])
    assert not simulated
    by_owner = {letter.owner: letter for letter in told}
    assert told[-1].owner == owner_notices.NOBODY
    assert {one.environment for one in by_owner["person-0"].environments} == {"orders-0"}
    moved = by_owner["person-0"].environments[0]
    assert (moved.ending, moved.address["region"]) == ("recovered", TARGET)
    assert "pushed" in moved.missing
    machine = by_owner[""].environments[0]
    assert "disks are what they were" in machine.missing
    text = letters_view.text(told, run)
    assert all(one.environment in text for letter in told for one in letter.environments)
    assert text.count("To: ") == len(told)
    assert "To: owner unknown" in text
    assert f"    plan: {moved.address['plan']}" in text
    assert (moved.address["subscription"], moved.address["resource_group"]) == (SUBSCRIPTION, f"drkit-{TARGET}")
    assert LOST not in {one.address.get("region") for letter in told for one in letter.environments}
    assert OTHER not in {one.address.get("region") for letter in told for one in letter.environments}


@given(st.text(st.characters(exclude_categories=()), max_size=40), st.booleans())
@settings(max_examples=60)
def test_no_name_adds_a_line_or_a_header_to_a_notice(bad: str, simulated: bool) -> None:
    def told(name: str) -> str:
        one = owner_notices.EnvironmentNotice(
            id=name,
            environment=name,
            ending="recovered",
            what=f"{name} moved.",
            address={"plan": name},
            missing=name,
            do=name,
        )
        return letters_view.text(
            [owner_notices.OwnerNotice(owner=name, environments=(one,))], "run-0001", simulated=simulated
        )

    shown = told(bad)
    assert len(shown.splitlines()) <= len(told("good").splitlines())
    assert [line for line in shown.splitlines() if line.startswith("Subject: ")] == [
        line for line in told("good").splitlines() if line.startswith("Subject: ")
    ]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
    assert ("SIMULATED" in shown) == simulated


def test_a_run_that_affected_nobody_says_so() -> None:
    assert "nobody to notify" in letters_view.text([], "run-0001")


def test_an_owner_hears_since_when_something_may_be_missing(contexts: dict[str, Context], tmp_path: Path) -> None:
    told = report.owners(a_run(tmp_path, "seen", 1, 0, smoothly))[1]
    assert "since it was last looked at" in told[0].environments[0].missing
    standing = status.status(contexts["a smooth run"])
    told = owner_notices.owner_notices(standing.runbook, standing.state, "2026-03-01T07:00:00Z")
    assert "after 2026-03-01 07:00 UTC" in told[0].environments[0].missing


def test_an_owner_whose_environment_did_not_move_hears_what_to_do(contexts: dict[str, Context]) -> None:
    _, told, _ = report.owners(contexts["every exception"])
    endings = {one.ending for letter in told for one in letter.environments}
    assert endings - {"recovered"}
    assert all(one.do for letter in told for one in letter.environments)


# the command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    a_run(tmp_path / ".drkit", "typed", 2, 1, smoothly)
    return Here(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (("--out", "r.html"), "<!DOCTYPE html>"),
        (("--out", "r.HTM"), "<!DOCTYPE html>"),
        (("--out", "r.xml"), "<?xml"),
        (("--out", "r.md"), "# Report"),
        (("--out", "r"), "# Report"),
        (("--out", "r.json"), "{"),
        (("--out", "r.txt"), "run-0001: succeeded"),
        (("--out", "r.txt", "--format", "html"), "<!DOCTYPE html>"),
        (("--out", "r.md", "--json"), "# Report"),
        (("--out", "r", "--json"), "{"),
        (("--owners", "--out", "r.txt"), "To: "),
        (("--owners", "--out", "r.json"), "{"),
    ],
)
def test_a_file_is_in_the_format_of_its_ending_unless_another_is_named(
    here: Here, words: tuple[str, ...], begins: str
) -> None:
    done = here("report", *words)
    assert done.code == 0, done.err
    assert here.path(words[words.index("--out") + 1]).read_text("utf-8").startswith(begins)


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (("--format", "html"), "<!DOCTYPE html>"),
        (("--format", "junit"), "<?xml"),
        (("--markdown",), "# Report"),
        (("--json",), "{"),
        ((), "run-0001: succeeded"),
        (("--owners",), "To: "),
        (("--owners", "--json"), "{"),
    ],
)
def test_it_is_printed_in_the_format_asked_for(here: Here, words: tuple[str, ...], begins: str) -> None:
    done = here("report", *words)
    assert (done.code, done.out[: len(begins)]) == (0, begins)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--out", "r.pdf"), 64, "no format goes with '.pdf'"),
        (("--format", "html", "--markdown"), 64, "one format at a time"),
        (("--format", "html", "--json"), 64, "one format at a time"),
        (("--owners", "--out", "r.html"), 64, "text or JSON"),
        (("--format", "pdf"), 64, "pdf"),
        (("run-9999",), 64, "run-9999"),
        (("--out", "none/r.html"), 64, "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_words(here: Here, words: tuple[str, ...], code: int, said: str) -> None:
    done = here("report", *words)
    assert done.code == code, done.out
    assert said in " ".join((done.err + done.out).split())
