"""Another store's run, seen by the tags it left in the target before our first write."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest

from drkit.api import apply, assess, capture, plan
from drkit.api.context import Context
from drkit.api.plan import candidates
from drkit.errors import RefusedError
from drkit.execution import other_stores
from drkit.store.store import Store
from tests.support import round_trip as returning
from tests.support import workers
from tests.support.estates import SUBSCRIPTION, People, Site, done_twice, estate
from tests.support.kill_points import place_of
from tests.support.run_process import KILLED, Life, Lives
from tests.support.worker_estate import WORKERS

pytestmark = pytest.mark.slow


def test_a_run_of_another_store_in_the_target_stops_ours_before_its_first_write(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        other = Store(tmp_path / "elsewhere")
        assert site.planned is not None
        other.keep_runbook(site.planned.content)
        context = site.context
        elsewhere = Context(context.settings, other, context.find_cloud, loopback_only=True)
        asyncio.run(apply.apply(elsewhere, site.planned.digest, yes=True, wait_minutes=0))
        writes = [one for one in site.record() if one["kind"] in ("write", "delete")]
        with pytest.raises(RefusedError, match="of another store") as caught:
            asyncio.run(apply.apply(site.context, site.planned.digest))
        assert caught.value.exit_code == 4
        assert [one for one in site.record() if one["kind"] in ("write", "delete")] == writes
        with People(site):
            assert site.resume("--wait", "30", "--quiet") == 0
        assert done_twice(site) == []


def test_what_a_runbook_creates_is_looked_for_once_a_subscription_and_type(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        assert other_stores.kinds(site.book) == [(SUBSCRIPTION, "Microsoft.VSOnline/plans")]


def elsewhere(site: Site, folder: Path) -> Context:
    """A context with another store, which captured the estate as well."""
    context = site.context
    found = Context(context.settings, Store(folder), context.find_cloud, loopback_only=True, own_clock=site.world.clock)
    asyncio.run(capture.snapshot(found))
    return found


def refused(context: Context, site: Site) -> None:
    """That store's runbook is stopped before its first write, once it is planned on what there is now."""
    asyncio.run(assess.assess(context))
    planned = plan.plan(context)
    assert planned.runbook.steps
    before = [one for one in site.record() if one["kind"] in ("write", "delete")]
    # What another store's run made is a candidate here; somebody who names it is stopped all the same.
    named = tuple(candidates(context, planned.runbook))
    with pytest.raises(RefusedError, match=r"another store|of another store"):
        asyncio.run(apply.apply(context, planned.digest, yes=True, targets=named, wait_minutes=0))
    assert [one for one in site.record() if one["kind"] in ("write", "delete")] == before


def test_another_stores_run_is_seen_by_a_run_that_makes_no_plan_itself(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False, leaping=True) as site:
        other = elsewhere(site, tmp_path / "elsewhere")
        site.lose()
        planned = site.plan()
        asyncio.run(apply.apply(site.context, planned.digest, wait_minutes=0))
        refused(other, site)


def test_another_stores_run_is_seen_in_a_prepared_account_by_the_ids_that_only_drkit_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", '{"Proxy_URL": "s3cret"}')
    with workers.site(tmp_path, leaping=True) as site:
        other = elsewhere(site, tmp_path / "elsewhere")
        book = workers.lost(site)
        (add,) = [one.id for one in book.steps if one.environment == WORKERS[workers.WEB] and one.action == "add"]
        Lives().one(place_of(site), Life(death="after", at=("done", add)))
        refused(other, site)
        # The store whose run it is goes on with it.
        assert Lives().one(place_of(site)) == 0


def test_a_run_ends_after_another_stores_run_has_moved_every_host(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        other = replace(site, folder=tmp_path / "elsewhere")
        other.folder.mkdir()
        copy(site.folder / "drkit.toml", other.folder)
        for kept in site.store.snapshots():
            other.store.keep(kept)
        other.plan()
        with People(other):
            assert Lives().one(place_of(other)) == 0
        assert Lives().one(place_of(site)) == 4
        with People(site):
            assert Lives().one(place_of(site)) == 0, returning.unfinished(site)
        assert "serves already" in site.detail("build", "release")
        assert done_twice(site) == []


def test_a_run_that_died_before_it_looked_for_another_stores_run_looks_when_it_is_resumed(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        other = replace(site, folder=tmp_path / "elsewhere")
        other.folder.mkdir()
        copy(site.folder / "drkit.toml", other.folder)
        for kept in site.store.snapshots():
            other.store.keep(kept)
        other.plan()
        assert Lives().one(place_of(site), Life(death="after", at=("approved", ""))) == KILLED
        (made,) = [step.id for step in other.book.steps if step.action == "create-plan"]
        assert Lives().one(place_of(other), Life(death="after", at=("done", made))) == KILLED
        assert Lives().one(place_of(site)) == 4
        assert [one["kind"] for one in site.journal() if one["kind"] == "intent"] == []
        # Somebody made sure that the other run is over: it is not refused for the same reason again.
        with People(site):
            assert Lives().one(place_of(site)) == 0, returning.unfinished(site)
        assert done_twice(site) == []
