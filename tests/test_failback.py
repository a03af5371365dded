"""There and back, and again: the estate is what it was, and no host ever answers to two plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drkit import api, control, returning
from drkit.errors import RefusedError
from tests import returning as way
from tests import workers
from tests.chaos.every_record import place_of
from tests.chaos.life import DEATHS, KILLED, Life, Lives
from tests.estates import People, Site, estate, guid

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
    assert way.carry_out(site, returning.failback(site.desk, run)).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    back = site.run
    way.assess(site)
    assert way.carry_out(site, returning.cleanup(site.desk, back)).outcome == "succeeded", way.unfinished(site)
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
    with workers.site(tmp_path, leaping=True) as site:
        before = way.estate_of(site)
        for number in range(2):
            there_and_back(site)
            assert way.estate_of(site) == before, number
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
        planned = returning.failback(site.desk, "run-0001")
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
        cleanup = returning.cleanup(site.desk, "run-0002")
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
        planned = returning.failback(site.desk, "run-0001")
        assert way.carry_out(site, planned, way.losing(site, "release")).outcome == "partial"
        assert len(workers.reported(site)) == 1
        control.abort(site.desk, "run-0002", "it is gone again")
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


def went_back(site: Site, run: str) -> str:
    """A failback of that run, carried out; or why there is none."""
    try:
        planned = returning.failback(site.desk, run)
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
    planned = returning.failback(site.desk, "run-0001")
    assert way.carry_out(site, planned, way.losing(site, "register")).outcome == "partial"
    assert way.answering_twice(site) == []
    control.abort(site.desk, "run-0002", "it is gone again")
    assert way.go_on(site, "run-0002").outcome == "failed"
    assert way.failover(site).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    way.restore(site)
    way.assess(site)
    assert way.carry_out(site, returning.failback(site.desk, "run-0003")).outcome == "succeeded", way.unfinished(site)
    assert way.answering_twice(site) == []
    way.assess(site)
    with pytest.raises(RefusedError, match=r"nothing to do after run-0001.*went back already.*drkit cleanup run-0001"):
        returning.failback(site.desk, "run-0001")
    for run in ("run-0002", "run-0004", "run-0001"):
        assert tidied(site, run) in ("", "there is nothing to do")
    assert way.estate_of(site) == before


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
        for propose, every in ((returning.failback, 13), (returning.cleanup, 5)):
            site.planned = propose(site.desk, site.run)
            api.approve(site.desk, site.planned.digest)
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
        planned = returning.cleanup(site.desk, run)
    except RefusedError as error:
        return error.what.partition(" after ")[0]
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    return ""
