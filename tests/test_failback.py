"""There and back, and again: the estate is what it was, and no host ever answers to two plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drkit import returning
from tests import returning as way
from tests import workers
from tests.estates import Site, estate, guid

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
    with estate(tmp_path, lost=False, lost_writes_count=False) as site:
        before = way.estate_of(site)
        for number in range(2):
            there_and_back(site)
            assert way.estate_of(site) == before, number
            way.snapshot(site)
        # What was in the managed ones was never lost: they are the same records.
        assert {guid(name) for name in ("api", "shop", "docs")} <= {one["id"] for one in site.environments()}


def test_workers_go_there_and_back_twice(tmp_path: Path, protected: None) -> None:
    with workers.site(tmp_path) as site:
        before = way.estate_of(site)
        for number in range(2):
            there_and_back(site)
            assert way.estate_of(site) == before, number
            way.snapshot(site)
