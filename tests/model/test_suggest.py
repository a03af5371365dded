"""A misspelt name is answered with the nearest that exists, wherever a name is typed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.errors import FileError
from drkit.model import suggest
from drkit.model.settings import parse
from drkit.products import tables
from tests.support.command_line import Here, copy_of_recorded, runbook_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder with a store up to a runbook; its cloud exists on paper only."""
    return Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))


def remedy(here: Here, *words: str) -> str:
    done = here(*words, "--json")
    assert done.code == 64, done.err
    return str(json.loads(done.out)["error"]["remedy"])


def test_regions_hosts_plans_environments_verdicts_guards_and_runs(here: Here) -> None:
    book = json.loads(runbook_of(here.folder).read_text())
    one = book["environments"][0]["name"]
    plan = next(iter(book["source_plans"])).rpartition("/")[2]
    for words, meant in (
        (("assess", "--declare-lost", "westeurop", "--reason", "dark"), "westeurope"),
        (("plan", "--graceful", "--from", "westeuropa"), "westeurope"),
        (("check", "--if-lost", "westerneurope"), "westeurope"),
        (("explain", f"{one}x"), one),
        (("assess", "--verdict", "region-los"), "region-lost"),
        (("assess", "--plan", f"{plan}x"), plan),
        (("plan", "--force", "only-source-plan", "--reason", "why"), "only-source-plans"),
        (("status", "latst"), "latest"),
    ):
        assert f"did you mean '{meant}" in remedy(here, *words), words


def test_an_environment_that_has_no_host_leads_to_its_plan(here: Here) -> None:
    book = json.loads(runbook_of(here.folder).read_text())
    one = next(one for one in book["environments"] if not one.get("host"))
    told = remedy(here, "explain", one["name"])
    assert told == f"`drkit explain {one['plan']}` explains its plan's state"
    assert here("explain", one["plan"]).code == 0


def test_an_unknown_step_is_answered_with_the_nearest_name(here: Here) -> None:
    from drkit.errors import UsageError
    from drkit.model import runbook

    path = runbook_of(here.folder)
    book = runbook.decode(path.read_bytes(), str(path))
    meant = book.steps[-1].id
    with pytest.raises(UsageError) as raised:
        book.find(meant[:-3] + "x" + meant[-3:])
    assert f"did you mean {meant!r}?" in (raised.value.remedy or "")


def test_an_unknown_product() -> None:
    with pytest.raises(FileError, match=r"did you mean 'codespaces'\?"):
        parse("[products.codespace]\n", "drkit.toml", tables())


def test_nothing_is_suggested_for_what_is_like_nothing() -> None:
    assert suggest.remedy("zzz", ["westeurope", "northeurope"], "one of: …") == "one of: …"
    assert suggest.remedy("", ["westeurope"], "one of: …") == "one of: …"


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_only_names_that_exist_are_suggested(text: str, names: list[str]) -> None:
    assert set(suggest.near(text, names)) <= set(names) - {text}


def test_names_of_any_length_are_compared_at_once() -> None:
    began = time.process_time()
    suggest.near("w" * 100_000, ["w" * 99_999, *("ab" * 100 for _ in range(50)), *(f"vm-{n}" for n in range(5000))])
    suggest.near("vm-77777", [f"vm-{number}" for number in range(5000)])
    assert time.process_time() - began < 2
