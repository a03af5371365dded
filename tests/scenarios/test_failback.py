"""There and back, and again: the estate is what it was, and no host ever answers to two plans."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from drkit.api import apply, control, failback, plan, report, status
from drkit.api import cleanup as cleanup_
from drkit.cli.group import GROUPS, main_group
from drkit.cli.views import terminal
from drkit.errors import RefusedError
from drkit.execution import results
from drkit.execution.events import Event
from drkit.planning import leftovers
from drkit.simulator.arm.identity import assign
from tests.support import round_trip as way
from tests.support import worker_estate as simulated
from tests.support import workers
from tests.support.estates import People, Site, estate, guid
from tests.support.kill_points import place_of
from tests.support.run_process import DEATHS, KILLED, Life, Lives
from tests.support.simulator_thread import SUB

SECRET = json.dumps({"Proxy_URL": "s3cret"})
Json = dict[str, Any]


@pytest.fixture
def protected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", SECRET)


def there_and_back(site: Site) -> None:
    """Over, back, cleaned up; each wholly, and nothing answers twice meanwhile."""
    site.lose()
    assert way.failover(site).outcome == "succeeded", way.unfinished(site)
    run = site.run
    assert way.answering_twice(site) == []
    way.restore(site)
    way.assess(site)
    assert way.answering_twice(site) == []
    assert way.carry_out(site, failback.failback(site.context, run)).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    back = site.run
    way.assess(site)
    assert way.carry_out(site, cleanup_.cleanup(site.context, back)).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []


def test_codespaces_go_there_and_back_twice(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False, lost_writes_count=False, leaping=True) as site:
        before = way.estate_of(site)
        for number in range(2):
            there_and_back(site)
            assert way.estate_of(site) == before, number
            way.snapshot(site)
        # What was in the managed ones was never lost: they are the same records.
        assert {guid(name) for name in ("api", "shop", "docs")} <= {one["id"] for one in site.environments()}


def test_workers_go_there_and_back_twice(tmp_path: Path, protected: None) -> None:
    """No account is prepared: one is made, with an identity of its own, and removed again."""
    accounts = [one for one in simulated.estate()["automation"] if one["id"] != workers.REPLICA]
    with workers.site(tmp_path, made=workers.content(automation=accounts), leaping=True) as site:
        world = site.world.simulator.world
        scope = f"/subscriptions/{SUB}/resourceGroups/dev-ne"
        was = str(world.resources[workers.OLD.lower()].extra["identity"]["principalId"])
        assign(world, was, "reader", scope)
        way.snapshot(site)
        before = way.estate_of(site)
        for number in range(2):
            there_and_back(site)
            assert way.estate_of(site) == before, number
            over, back, cleaned = (report.report(site.context, run)["identities"] for run in site.store.runs()[-3:])
            made = over[0]["now"]
            assert (over[0]["was"], len(made), over[0]["plan"]) == (was, 36, workers.OLD)
            assert f"--assignee-object-id {made} " in over[0]["grants"][0]
            assert over[0]["grants"][0].endswith(f"--scope {scope}")
            assert [(one["was"], one["now"]) for one in back] == [(made, was)]
            assert [(one["was"], one["now"], one["now_plan"]) for one in cleaned] == [(made, "", "")]
            way.snapshot(site)


def test_a_region_that_goes_and_returns_all_the_time_loses_nothing(tmp_path: Path) -> None:
    """Before the failback, in the middle of it, twice, and in the middle of the cleanup; each time the run goes on."""
    with estate(tmp_path, lost=False, lost_writes_count=False, leaping=True) as site:
        before, faults = way.estate_of(site), list[str]()
        way.judge(site, faults)
        site.lose()
        assert way.failover(site).outcome == "succeeded"
        way.restore(site)
        way.assess(site)
        planned = failback.failback(site.context, "run-0001")
        site.lose()
        assert way.carry_out(site, planned).outcome == "partial"
        for action in ("release", "register", "delete"):
            assert way.answering_twice(site) == []
            way.restore(site)
            applied = way.go_on(site, "run-0002", way.losing(site, action))
            assert applied.outcome in ("partial", "succeeded")
        way.restore(site)
        assert way.go_on(site, "run-0002").outcome == "succeeded", way.unfinished(site)
        assert way.answering_twice(site) == []
        way.assess(site)
        cleanup = cleanup_.cleanup(site.context, "run-0002")
        applied = way.carry_out(site, cleanup, way.losing(site, "delete"))
        assert applied.outcome == "partial"
        way.restore(site)
        assert way.go_on(site, applied.run).outcome == "succeeded", way.unfinished(site)
        assert faults == []
        assert way.estate_of(site) == before


def test_a_region_that_goes_in_the_middle_of_a_failback_can_be_left_again(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False, lost_writes_count=False, leaping=True) as site:
        before, faults = way.estate_of(site), list[str]()
        way.judge(site, faults)
        left_again(site, before)
        assert faults == []


def test_workers_whose_account_goes_again_on_the_way_back(tmp_path: Path, protected: None) -> None:
    """Taken off and not yet on again: they are brought up elsewhere from there, and all the way back later."""
    with workers.site(tmp_path, leaping=True) as site:
        before, faults = way.estate_of(site), list[str]()
        site.lose()
        assert way.failover(site).outcome == "succeeded"
        way.restore(site)
        way.assess(site)
        way.judge(site, faults)
        planned = failback.failback(site.context, "run-0001")
        assert way.carry_out(site, planned, way.losing(site, "release")).outcome == "partial"
        assert len(workers.reported(site)) == 1
        control.abort(site.context, "run-0002", "it is gone again")
        assert way.go_on(site, "run-0002").outcome == "failed"
        assert way.failover(site).outcome == "succeeded", way.unfinished(site)
        assert workers.reported(site) == {workers.WEB: [workers.REPLICA], workers.CUPBOARD: [workers.REPLICA]}
        assert way.answering_twice(site) == []
        way.restore(site)
        for run in ("run-0003", "run-0001"):
            way.assess(site)
            assert went_back(site, run) in ("", "there is nothing to do")
        for run in ("run-0002", "run-0004", "run-0005"):
            assert tidied(site, run) in ("", "there is nothing to do"), run
        assert faults == []
        assert way.estate_of(site) == before


def accounts_of(site: Site) -> dict[str, list[str]]:
    """The accounts that hear each worker that moved."""
    return {machine: workers.reported(site).get(machine, []) for machine in (workers.WEB, workers.CUPBOARD)}


def aborting(site: Site) -> way.Heard:
    """The run is aborted as soon as the first worker was seen where it moved to, and before it is seen once more."""
    said: list[bool] = []

    def hear(event: Event) -> None:
        if event.kind == "done" and event.step is not None and event.step.action == "verify" and not said:
            said.append(True)
            control.abort(site.context, site.run, "enough")

    return hear


def test_a_worker_that_an_aborted_failover_brought_up_goes_back(tmp_path: Path, protected: None) -> None:
    """One sign of life at the new account proves where it is; that it was to be seen there twice changes nothing of that."""
    with workers.site(tmp_path, leaping=True) as site:
        before, faults = way.estate_of(site), list[str]()
        site.lose()
        way.assess(site)
        assert way.carry_out(site, plan.plan(site.context), aborting(site)).outcome == "failed"
        assert sorted(accounts_of(site).values()) == [[], [workers.REPLICA]]
        told = [one.detail for one in results.outcomes(site.book, site.state) if one.now]
        assert [one.partition(" saw ")[0] for one in told] == ["auto-dr"]
        way.restore(site)
        way.judge(site, faults)
        way.assess(site)
        assert went_back(site, "run-0001") == ""
        assert accounts_of(site) == {workers.WEB: [workers.OLD], workers.CUPBOARD: [workers.OLD]}
        way.assess(site)
        assert tidied(site, site.run) == ""
        assert faults == []
        assert way.estate_of(site) == before


def test_a_worker_that_an_aborted_failback_brought_home_is_known_to_be_home(tmp_path: Path, protected: None) -> None:
    """Its old record is the one that it reports under, so no cleanup names it; the next failback finishes with it."""
    with workers.site(tmp_path, leaping=True) as site:
        before, faults = way.estate_of(site), list[str]()
        site.lose()
        assert way.failover(site).outcome == "succeeded"
        way.restore(site)
        way.judge(site, faults)
        way.assess(site)
        assert way.carry_out(site, failback.failback(site.context, "run-0001"), aborting(site)).outcome == "failed"
        (home,) = [machine for machine, by in accounts_of(site).items() if by == [workers.OLD]]
        (moved,) = leftovers.moved(site.book, site.state)
        assert (moved.host, moved.now_plan) == (home, workers.OLD)
        way.assess(site)
        cleaned = cleanup_.cleanup(site.context, "run-0001").runbook
        assert moved.now not in [step.environment for step in cleaned.steps]
        assert went_back(site, "run-0001") == ""
        way.assess(site)
        assert tidied(site, site.run) == ""
        assert faults == []
        assert way.estate_of(site) == before


def test_a_last_look_that_is_skipped_leaves_nothing_that_no_cleanup_knows(tmp_path: Path, protected: None) -> None:
    """The worker was seen at home once, so its record in the account that stood in is superfluous."""
    with workers.site(tmp_path, leaping=True) as site:
        before, faults = way.estate_of(site), list[str]()
        site.lose()
        assert way.failover(site).outcome == "succeeded"
        way.restore(site)
        way.judge(site, faults)
        way.assess(site)
        planned = failback.failback(site.context, "run-0001")
        last = next(step.id for step in planned.runbook.steps if step.action == "verify-again")

        def hear(event: Event) -> None:
            if event.kind == "done" and event.step is not None and event.step.id == last.removesuffix("-again"):
                control.skip(site.context, site.run, last, "seen once is enough")

        assert way.carry_out(site, planned, hear).outcome == "succeeded-with-exceptions"
        assert site.state.of(last).status == "skipped"
        assert tidied(site, site.run) == ""
        assert faults == []
        assert way.estate_of(site) == before


def went_back(site: Site, run: str) -> str:
    """A failback of that run, carried out; or why there is none."""
    try:
        planned = failback.failback(site.context, run)
    except RefusedError as error:
        return error.what.partition(" after ")[0]
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    return ""


def left_again(site: Site, before: Json) -> None:
    """Over; on the way back the region goes; that is given up, and over again; then all the way back."""
    site.lose()
    assert way.failover(site).outcome == "succeeded"
    way.restore(site)
    way.assess(site)
    planned = failback.failback(site.context, "run-0001")
    assert way.carry_out(site, planned, way.losing(site, "register")).outcome == "partial"
    assert way.answering_twice(site) == []
    control.abort(site.context, "run-0002", "it is gone again")
    assert way.go_on(site, "run-0002").outcome == "failed"
    assert way.failover(site).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    way.restore(site)
    way.assess(site)
    assert way.carry_out(site, failback.failback(site.context, "run-0003")).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    way.assess(site)
    with pytest.raises(RefusedError, match=r"nothing to do after run-0001.*went back already.*drkit cleanup run-0001"):
        failback.failback(site.context, "run-0001")
    for run in ("run-0002", "run-0004", "run-0001"):
        assert tidied(site, run) in ("", "there is nothing to do")
    assert way.estate_of(site) == before


def test_a_failback_refuses_in_clear_words(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False, leaping=True) as site:
        assert site.planned
        plan.approve(site.context, site.planned.digest)
        assert asyncio.run(apply.apply(site.context, site.planned.digest, wait_minutes=0)).outcome == "partial"
        with pytest.raises(RefusedError, match=r"run-0001 is unfinished.*drkit resume run-0001"):
            failback.failback(site.context, "run-0001")
        assert way.go_on(site, "run-0001").outcome == "succeeded"
        with pytest.raises(RefusedError, match="older than the end of run-0001"):
            failback.failback(site.context, "run-0001")
        way.assess(site)
        with pytest.raises(RefusedError, match="has not returned: it is lost"):
            failback.failback(site.context, "run-0001")
        way.restore(site)
        assert "drkit failback run-0001" in "\n".join(terminal.assessment(way.assess(site), "x")[-1:])
        assert status.overview(site.context)[-1].startswith("next: `drkit failback run-0001` goes back")
        planned = failback.failback(site.context, "run-0001")
        assert asyncio.run(applied_without_people(site, planned)) == "partial"
        with pytest.raises(RefusedError, match=r"run-0002, the failback of run-0001, is unfinished"):
            failback.failback(site.context, "run-0001")
        with pytest.raises(RefusedError, match=r"goes back, or went, as run-0002"):
            cleanup_.cleanup(site.context, "run-0001")
        with pytest.raises(RefusedError, match=r"drkit failback run-0001"):
            control.rebase(site.context, "run-0002")
        assert way.go_on(site, "run-0002").outcome == "succeeded"
        way.assess(site)
        with pytest.raises(RefusedError, match=r"went back as run-0002.*drkit cleanup run-0002"):
            failback.failback(site.context, "run-0001")
        with pytest.raises(RefusedError, match="is a failback, not a failover"):
            failback.failback(site.context, "run-0002")
        # The machine-readable runbook of the way back is linked, and the store's own next word is the cleanup.
        assert (planned.runbook.source_run, planned.runbook.lost_regions) == ("run-0001", ())
        assert status.overview(site.context)[-1] == "next: `drkit cleanup run-0002` deletes what is left"
        assert way.carry_out(site, cleanup_.cleanup(site.context, "run-0002")).outcome == "succeeded"
        way.assess(site)
        assert "drkit snapshot" in status.overview(site.context)[-1]
        assert any("drkit snapshot" in text for text in plan.plan(site.context).warnings)


def test_the_commands_write_the_runbooks_and_say_what_comes_next(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False) as site:
        assert site.planned
        assert way.carry_out(site, site.planned).outcome == "succeeded"
        told = " ".join(site.call("report", "latest").stdout.split())
        assert "6 records left behind" in told
        assert "drkit failback run-0001" in told
        refused = site.call("failback", "run-0001")
        assert refused.returncode == 4
        assert "drkit assess" in refused.stderr
        way.restore(site)
        assert "`drkit failback run-0001` goes back" in site.call("assess").stdout
        back = site.call("failback", "run-0001", "--out", str(tmp_path / "back.json"))
        assert back.returncode == 0
        assert "failback runbook" in back.stdout
        assert "of run-0001" in back.stdout
        assert json.loads((tmp_path / "back.json").read_bytes())["of_run"] == "run-0001"
        found = json.loads(site.call("cleanup", "run-0001", "--json").stdout)
        assert found["runbook"]["kind"] == "cleanup"
        assert {one["effect"] for one in found["runbook"]["steps"]} == {"delete", "verify"}


def test_every_command_that_help_groups_is_there() -> None:
    listed = {name for names in GROUPS.values() for name in names}

    assert listed == set(main_group.commands)


async def applied_without_people(site: Site, planned: plan.Planned) -> str:
    plan.approve(site.context, planned.digest)
    return (await apply.apply(site.context, planned.digest, wait_minutes=0)).outcome


def killed(site: Site, lives: Lives, every: int) -> int:
    """Carry the approved runbook out with processes that die at their every so-many-th record; how many died."""
    place, deaths = place_of(site), 0
    with People(site):
        while (code := lives.one(place, Life(every, DEATHS[deaths % len(DEATHS)]))) == KILLED:
            deaths += 1
    assert code == 0, way.unfinished(site)
    return deaths


def test_processes_that_die_on_the_way_back_do_nothing_twice(tmp_path: Path) -> None:
    lives = Lives()
    with estate(tmp_path, lost=False, lost_writes_count=False) as site:
        before, faults = way.estate_of(site), list[str]()
        site.lose()
        assert way.failover(site).outcome == "succeeded"
        way.restore(site)
        way.assess(site)
        way.judge(site, faults)
        count = len(site.record())
        for propose, every in ((failback.failback, 13), (cleanup_.cleanup, 5)):
            site.planned = propose(site.context, site.run)
            plan.approve(site.context, site.planned.digest)
            assert killed(site, lives, every) > 2
            way.assess(site)
        deleted = [one["path"] for one in site.record()[count:] if one["method"] == "DELETE" and one["status"] < 300]
        assert len(deleted) == len(set(deleted))
        for host in site.world.view("state")["hosts"]:
            # Once under the plan that stood in, once back under its own.
            assert sum(str(one["event"]).startswith("registered ") for one in host["history"]) == 2
        assert faults == []
        assert way.estate_of(site) == before


def tidied(site: Site, run: str) -> str:
    """A cleanup of that run, carried out; or why there is none."""
    way.assess(site)
    try:
        planned = cleanup_.cleanup(site.context, run)
    except RefusedError as error:
        return error.what.partition(" after ")[0]
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    return ""
