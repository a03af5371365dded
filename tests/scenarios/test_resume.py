"""Killed at any moment and resumed, a run ends as if nothing had happened, with nothing done twice.

Judged by what exists in the simulated cloud and by its record of requests, never by the journal. ``DRKIT_KILLS`` is the
number of series (8 kills each) to run; the moments come from the number of the series.
"""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.estates import People, Site, done_twice, estate, found_end, kill_when, wait_for
from tests.support.kill_points import place_of
from tests.support.patience import PATIENCE
from tests.support.run_process import KILLED, Death, Life, Lives

SERIES = int(os.environ.get("DRKIT_KILLS", "3"))
KILLS = 8
LONGEST = 9
"""Records a process lives for at most, of some 80 of a whole run."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """How the world is after a run that nobody disturbed."""
    with estate(tmp_path_factory.mktemp("undisturbed")) as site, People(site):
        assert site.apply("--wait", "30", "--quiet") == 0, site.call("status", site.run).stdout
        assert done_twice(site) == []
        assert [one for one in site.record() if one["status"] == 409] == []
        return found_end(site)


def go_on(site: Site, *arguments: str) -> Any:
    """``apply`` as long as the run never began, then ``resume``."""
    assert site.planned is not None
    began = bool(site.run and site.state.runbook)
    command = ("resume", site.run) if began else ("apply", site.planned.digest)
    return site.start(*command, "--wait", "30", "--quiet", *arguments)


def to_the_end(site: Site) -> None:
    """Resume until nothing is left; a run that had ended before is left as it is."""
    assert go_on(site).wait(PATIENCE) == 0, (site.folder / "out.log").read_text()[-2000:]
    assert site.state.outcome == "succeeded"


def journal_of(site: Site) -> Path | None:
    runs = site.store.runs()
    return site.store.journal_path(runs[-1]) if runs else None


@pytest.mark.parametrize("series", range(SERIES))
def test_killed_at_random_moments_it_ends_as_if_undisturbed(tmp_path: Path, undisturbed: Any, series: int) -> None:
    """Also while it resumes: every process but the last of a series is killed."""
    moments = random.Random(series)
    killed = 0
    with estate(tmp_path) as site, People(site):
        for _ in range(KILLS):
            path = journal_of(site)
            before = path.stat().st_size if path else 0
            lines, pause = moments.randint(0, LONGEST), moments.uniform(0.0, 0.12)
            process = go_on(site)
            if lines == 0:
                time.sleep(moments.uniform(0.05, 0.9))
            kill_when(process, partial(journal_of, site), partial(_longer, before, lines), pause)
            killed += process.returncode == -signal.SIGKILL
        to_the_end(site)
        assert done_twice(site) == []
        assert found_end(site) == undisturbed
    assert killed >= KILLS - 1


def _longer(before: int, lines: int, content: bytes) -> bool:
    return content[before:].count(b"\n") >= lines


# What the journal has just been told when the process dies: kind of record, action of the step.
POINTS = [
    ("started", ""),
    ("intent", ":create-plan"),
    ("done", ":create-plan"),
    ("intent", ":create"),
    ("done", ":create"),
    ("intent", ":reach"),
    ("operation", ":reach"),
    ("intent", ":release"),
    ("operation", ":release"),
    ("done", ":release"),
    ("intent", ":register"),
    ("operation", ":register"),
    ("done", ":register"),
    ("done", ":verify"),
]


TORN = ("done", ":create-plan")


def test_killed_right_after_a_record_it_ends_as_if_undisturbed(tmp_path: Path, undisturbed: Any) -> None:
    """An intent before its request, a polling URL before the first poll, an end before the next step; once half a record."""
    struck = []
    with estate(tmp_path) as site, People(site):
        for kind, action in POINTS:
            death: Death = "torn" if (kind, action) == TORN else "after"
            if Lives().one(place_of(site), Life(death=death, at=(kind, action))) == KILLED:
                struck.append((kind, action))
        to_the_end(site)
        assert done_twice(site) == []
        assert found_end(site) == undisturbed
        assert any(one["kind"] == "repaired" for one in site.journal())
    assert set(POINTS[:5]) <= set(struck)
    assert len(struck) > len(POINTS) // 2, struck


def test_a_stopped_run_leaves_the_rest_to_resume_and_a_run_that_ended_does_not_begin_again(
    tmp_path: Path, undisturbed: Any
) -> None:
    with estate(tmp_path) as site, People(site):
        process = go_on(site)
        wait_for(lambda: any(one["kind"] == "operation" for one in site.journal()))
        process.send_signal(signal.SIGINT)
        assert process.wait() == 3
        left = site.journal()
        assert left[-1]["kind"] == "ended"
        assert left[-1]["data"]["outcome"] == "partial"
        assert f"drkit resume {site.run}" in (site.folder / "out.log").read_text()
        to_the_end(site)
        assert done_twice(site) == []
        assert found_end(site) == undisturbed

        # What has ended is not begun again.
        record, journal = len(site.record()), site.journal()
        assert site.call("resume", site.run).returncode == 0
        assert site.planned is not None
        again = site.call("apply", site.planned.digest)
        assert again.returncode == 4
        assert site.run in again.stderr
        assert [one for one in site.record()[record:] if one["kind"] in ("write", "delete")] == []
        assert site.journal() == journal
