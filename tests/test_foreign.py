"""Another store's run, seen by the tags it left in the target before our first write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drkit import api
from drkit.errors import RefusedError
from drkit.execution import foreign
from drkit.store import Store
from tests.estates import SUBSCRIPTION, People, done_twice, estate


def test_a_run_of_another_store_in_the_target_stops_ours_before_its_first_write(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        other = Store(tmp_path / "elsewhere")
        assert site.planned is not None
        other.keep_runbook(site.planned.content)
        desk = site.desk
        elsewhere = api.Desk(desk.settings, other, desk.find_cloud, loopback_only=True)
        asyncio.run(api.apply(elsewhere, site.planned.digest, yes=True, wait_minutes=0))
        writes = [one for one in site.record() if one["kind"] in ("write", "delete")]
        with pytest.raises(RefusedError, match="of another store") as caught:
            asyncio.run(api.apply(site.desk, site.planned.digest))
        assert caught.value.exit_code == 4
        assert [one for one in site.record() if one["kind"] in ("write", "delete")] == writes
        with People(site):
            assert site.resume("--wait", "30", "--quiet") == 0
        assert done_twice(site) == []


def test_what_a_runbook_creates_is_looked_for_once_a_subscription_and_type(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        assert foreign.kinds(site.book) == [(SUBSCRIPTION, "Microsoft.VSOnline/plans")]
