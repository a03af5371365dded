"""Two processes at once: exactly one acts, the other is told who holds what; and what a run left undone, anew in another run."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from drkit.api import apply, assess, control, plan, status
from drkit.errors import RefusedError
from tests.support.estates import People, Site, done_twice, estate, wait_for
from tests.support.kill_points import place_of
from tests.support.patience import PATIENCE
from tests.support.run_process import Lives


@pytest.fixture(scope="module")
def lives() -> Lives:
    return Lives()


def ended(*processes: Any) -> list[int]:
    for process in processes:
        process.join(PATIENCE)
    return sorted(process.exitcode for process in processes)


def said(site: Site) -> str:
    return (site.folder / "out.log").read_text()


def test_of_two_that_apply_one_runbook_at_once_exactly_one_acts(tmp_path: Path, lives: Lives) -> None:
    with estate(tmp_path) as site, People(site):
        assert ended(*(lives.begin(place_of(site)) for _ in range(3))) == [0, 4, 4]
        assert site.store.runs() == ["run-0001"]
        assert done_twice(site) == []


def test_of_two_runbooks_for_one_plan_exactly_one_is_carried_out(tmp_path: Path, lives: Lives) -> None:
    with estate(tmp_path) as site:
        first = place_of(site)
        (site.folder / "drkit.toml").write_text((site.folder / "drkit.toml").read_text() + "\n[run]\nwaves = [2, 3]\n")
        site.plan()
        second = place_of(site)
        assert first.digest != second.digest
        with People(site):
            one = lives.begin(first)
            wait_for(lambda: any(record["kind"] == "intent" for record in site.journal()))
            refused = site.call("apply", second.digest)
            assert refused.returncode == 4
            assert "held by run-0001" in refused.stderr
            assert site.store.runs() == ["run-0001"], "nothing is left of the one that was refused"
            assert ended(one) == [0]
        assert done_twice(site) == []


def test_a_suspended_holder_keeps_its_run_and_the_refusal_names_it_and_since_when(tmp_path: Path, lives: Lives) -> None:
    with estate(tmp_path) as site, People(site):
        holder = lives.begin(place_of(site))
        wait_for(lambda: any(record["kind"] == "operation" for record in site.journal()))
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            refused = site.call("resume", "latest")
            assert refused.returncode == 4
            assert f"process {holder.pid}" in refused.stderr
            assert site.store.holder("run-0001").endswith(f"process {holder.pid}")
            told = site.call("status", "latest").stdout
            assert "run-0001: under way, held by" in told
            assert "drkit resume" not in told
            assert "  under way  " in site.call("status").stdout
            assert f"process {holder.pid}" in status.overview(site.context)[-2]
        finally:
            os.kill(holder.pid, signal.SIGCONT)
        assert ended(holder) == [0]
        assert done_twice(site) == []


def test_a_run_is_paused_and_aborted_from_another_terminal(tmp_path: Path, lives: Lives) -> None:
    with estate(tmp_path) as site, People(site):
        holder = lives.begin(place_of(site))
        wait_for(lambda: any(record["kind"] == "done" for record in site.journal()))
        assert site.call("pause", "latest", "--reason", "lunch").returncode == 0
        wait_for(lambda: site.state.paused)
        wait_for(lambda: not any(step.status == "open" for step in site.state.steps.values()))
        assert "paused by" in site.call("status", "latest").stdout
        assert site.call("abort", "latest", "--reason", "wrong night").returncode == 0
        assert ended(holder) == [1]
        assert site.state.outcome == "failed"
        assert "wrong night" in site.state.aborted
        again = site.call("resume", "latest")
        assert again.returncode == 4
        assert "--rebase" in again.stderr
        assert site.call("verify", "latest").returncode == 0


def test_steps_that_a_run_did_not_do_are_planned_again_and_need_another_approval(tmp_path: Path, lives: Lives) -> None:
    with estate(tmp_path) as site:
        with People(site, unheard=("build", "rack")):
            assert site.apply("--quiet") == 3
        first = site.run
        with pytest.raises(RefusedError, match="older than the last record"):
            control.rebase(site.context, first)
        asyncio.run(assess.assess(site.context))
        rest = control.rebase(site.context, first)
        assert rest.runbook.rebases == first
        assert any(note.startswith(f"the rest of {first}") for note in rest.runbook.notes)
        with pytest.raises(RefusedError, match="not approved"):
            asyncio.run(apply.apply(site.context, rest.digest))
        site.planned = rest
        plan.approve(site.context, rest.digest)
        with People(site):
            assert site.apply("--wait", "30", "--quiet") == 0
        assert site.run != first
        assert done_twice(site) == []
        with pytest.raises(RefusedError, match=f"carried out as {site.run}"):
            asyncio.run(apply.resume(site.context, first))


def test_a_run_whose_runbook_was_changed_is_named_and_not_passed_over(tmp_path: Path) -> None:
    with estate(tmp_path, leaping=True) as site:
        assert site.planned is not None
        asyncio.run(apply.apply(site.context, site.planned.digest, wait_minutes=0))
        assert "open: run-0001" in "\n".join(status.overview(site.context))
        site.planned.path.write_bytes(site.planned.content.replace(b'"made_with":"', b'"made_with":"x', 1))
        assert any(line.startswith("cannot be read: run-0001: ") for line in status.overview(site.context))
