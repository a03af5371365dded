"""Killed with SIGKILL at every record of its journal, a run ends as if undisturbed, with nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.estates import People, done_twice, estate, found_end
from tests.support.kill_points import killed_at_every_record, place_of
from tests.support.run_process import Lives


@pytest.fixture(scope="module")
def lives() -> Lives:
    return Lives()


@pytest.mark.slow
def test_killed_at_every_record_a_run_ends_as_if_undisturbed(tmp_path: Path, lives: Lives) -> None:
    with estate(tmp_path / "undisturbed") as site, People(site):
        assert lives.one(place_of(site)) == 0
        assert done_twice(site) == []
        undisturbed, records = found_end(site), len(site.journal())
    with estate(tmp_path / "killed") as site:
        found = killed_at_every_record(site, lives)
        assert found.exit_code == 0, (site.folder / "out.log").read_text()[-2000:]
        assert found.twice == []
        assert found.end == undisturbed
        assert found.deaths > records // 2
        assert {"approved", "intent", "operation", "done", "asked"} <= found.kinds
        assert site.state.outcome == "succeeded"
