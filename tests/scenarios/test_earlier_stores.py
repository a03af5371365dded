"""A store that the version before wrote: read, applied, resumed, reported and verified by this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import earlier_stores as before
from tests.support import azurite
from tests.support.estates import People, Site, done_twice, found_end
from tests.support.patience import PATIENCE
from tests.support.workers import CUPBOARD, REPLICA, SECRET, WEB, reported

READING = (
    ("status",),
    ("show", "latest"),
    ("status", "run-0001"),
    ("explain", "bench"),
    ("report", "run-0001"),
    ("verify", "run-0001"),
    ("plan", "--detailed-exitcode"),
)


@pytest.fixture(autouse=True)
def protected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": SECRET}))


def test_what_was_approved_is_carried_out(tmp_path: Path) -> None:
    with before.site(tmp_path, "codespaces", half_run=False) as site, People(site):
        assert site.call("show", "latest").returncode == 0
        assert site.apply("--wait", "30", "--quiet") == 0, (site.folder / "out.log").read_text()[-3000:]
        assert site.state.outcome == "succeeded"
        assert done_twice(site) == []
        everywhere = found_end(site)["environments"]
        assert {name for name, _, plan, *_ in everywhere if plan.endswith("/plan-weu-eastus")} == {
            "api", "shop", "docs", "build", "bench", "rack",
        }  # fmt: skip


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(azurite.KEY, azurite.SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with azurite.account(tmp_path / "azurite") as address:
        yield address


def test_a_run_that_was_killed_is_resumed_to_its_end(tmp_path: Path) -> None:
    resumed(tmp_path, None)


def test_a_run_that_was_killed_is_resumed_to_its_end_in_an_account_too(tmp_path: Path, account: str) -> None:
    resumed(tmp_path, account)


def resumed(folder: Path, account: str | None) -> None:
    """The owner of build answered while nobody held the run: the message waits in its old place, and is heard."""
    half = before.site(folder, "codespaces", half_run=True, account=account)
    with half as site, People(site, unheard=["build"]):
        for words in READING:
            assert site.call(*words).returncode in (0, 2, 3), (words, (site.folder / "out.log").read_text()[-3000:])
        begun = report(site)
        assert begun["outcome"] == "partial"
        ended_before = {step["id"]: step["ended"] for step in begun["steps"] if step["status"] == "done"}
        assert 0 < len(ended_before) < len(begun["steps"])
        assert site.resume("--wait", "30", "--quiet") == 0, (site.folder / "out.log").read_text()[-3000:]
        assert site.state.outcome == "succeeded"
        assert done_twice(site) == []
        answered = [one for one in site.journal() if one["kind"] == "answered" and ":ready" in one["step"]]
        assert {one["data"]["who"].partition("@")[0] for one in answered if ":build." in one["step"]} == {"ops"}
        assert sorted(name for name, _, plan, *_ in found_end(site)["environments"] if plan.endswith("-eastus")) == [
            "api", "bench", "build", "docs", "rack", "shop",
        ]  # fmt: skip
        assert "the chain holds" in site.call("verify", "run-0001").stdout
        whole = report(site)
        assert whole["outcome"] == "succeeded"
        assert whole["started"] == begun["started"]
        assert {step["status"] for step in whole["steps"]} <= {"done", "said"}
        # What the earlier version did is reported with its own times, beside what this one did.
        assert ended_before.items() <= {step["id"]: step["ended"] for step in whole["steps"]}.items()
        assert site.call("report", "run-0001").returncode == 0


def report(site: Site) -> dict[str, Any]:
    """The report of the run, as the command prints it."""
    done = site.call("report", "run-0001", "--json")
    assert done.returncode in (0, 3), done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.mark.parametrize("half_run", [False, True], ids=["approved", "half-run"])
def test_workers_too(tmp_path: Path, account: str, *, half_run: bool) -> None:
    """Approved in an account, half-run in a folder."""
    with before.site(tmp_path, "workers", half_run=half_run, account=None if half_run else account) as site:
        if not half_run:
            # Only a tag spoke for the account that takes over, which does not count any more: it is named in settings.
            refused = site.start("apply", before.runbook("workers"), "--quiet")
            assert refused.wait(PATIENCE) == 4
            assert REPLICA in (site.folder / "out.log").read_text()
            with (site.folder / "drkit.toml").open("a", encoding="utf-8") as settings:
                settings.write(f'[products.hybrid-worker.replicas]\nauto-we = "{REPLICA}"\n')
        process = site.start(*(("resume", "latest") if half_run else ("apply", before.runbook("workers"))), "--quiet")
        assert process.wait(PATIENCE) == 0, (site.folder / "out.log").read_text()[-3000:]
        told = reported(site)
        assert (told[WEB], told[CUPBOARD]) == ([REPLICA], [REPLICA])
        assert site.state.outcome == "succeeded"
