"""Whatever drkit prints as the next command can be typed: runs that were replaced, aborted, or overtaken by a region that came back."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from drkit import api, applying, control, returning
from drkit.errors import RefusedError
from tests import returning as way
from tests import workers
from tests.chaos.every_record import place_of
from tests.chaos.life import KILLED, Life, Lives
from tests.estates import Site
from tests.simulator.workers import WORKERS
from tests.workers import CUPBOARD, OLD, REPLICA, WEB

SECRET = json.dumps({"Proxy_URL": "s3cret"})
COMMAND = re.compile(r"`(drkit [^`]+)`")
REFUSED = 4


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", SECRET)
    with workers.site(tmp_path, leaping=True) as found:
        workers.lost(found)
        yield found


def step_of(site: Site, machine: str, action: str) -> str:
    return next(one.id for one in site.book.steps if one.environment == WORKERS[machine] and one.action == action)


def called(site: Site, *words: str) -> tuple[int, str]:
    done = site.call(*words)
    return done.returncode, done.stdout + done.stderr


def typed(site: Site, *first: str, most: int = 12) -> list[str]:
    """Type a command, then every command that it prints, and what those print; what was refused, with what it said."""
    refused: list[str] = []
    seen: set[str] = set()
    waiting = [shlex.join(first)]
    while waiting and len(seen) < most:
        line = waiting.pop(0)
        if line in seen:
            continue
        seen.add(line)
        code, said = called(site, *shlex.split(line))
        if code == REFUSED:
            refused.append(f"{line}: {said}")
        named = [one.removeprefix("drkit ").strip() for one in COMMAND.findall(said)]
        waiting += [one for one in named if not {"STEP", "RUN", "REGION"} & set(one.split())]
    return refused


def killed_in(site: Site, machine: str, kind: str, action: str) -> None:
    life = Life(death="before", at=(kind, step_of(site, machine, action)))
    assert Lives().one(place_of(site), life) == KILLED, (site.folder / "out.log").read_text()[-2000:]


def halves(site: Site) -> None:
    """run-0001 moves one machine and dies before the other's release; run-0002, its rebase, moves that one."""
    last = CUPBOARD
    killed_in(site, last, "intent", "release")
    if workers.reported(site).get(WEB) != [REPLICA]:
        # The other half is still under way: it is carried to its proof before the run dies.
        life = Life(death="before", at=("intent", step_of(site, last, "release")))
        Lives().one(place_of(site), life)
    way.assess(site)
    applied = way.carry_out(site, control.rebase(site.desk, "run-0001"))
    assert (applied.run, applied.outcome) == ("run-0002", "succeeded"), way.unfinished(site)


def test_what_a_replaced_run_moved_goes_back_with_the_run_that_replaced_it(site: Site) -> None:
    halves(site)
    assert api.status(site.desk, "run-0001").replaced == "run-0002"
    for say in (
        lambda: control.abort(site.desk, "run-0001", "x"),
        lambda: applying.skip(site.desk, "run-0001", step_of(site, CUPBOARD, "verify"), "x"),
        lambda: control.rebase(site.desk, "run-0001"),
    ):
        with pytest.raises(RefusedError, match="the rest of run-0001 is carried out as run-0002"):
            say()
    assert typed(site, most=4) == []
    assert typed(site, "status", "run-0001", most=4) == []
    way.restore(site)
    way.assess(site)
    planned = returning.failback(site.desk, "run-0001")
    assert planned.runbook.of_run == "run-0002"
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    told = workers.reported(site)
    assert (told[WEB], told[CUPBOARD]) == ([OLD], [OLD])
    way.assess(site)
    assert way.carry_out(site, returning.cleanup(site.desk, site.run)).outcome == "succeeded", way.unfinished(site)


def test_a_region_that_comes_back_midway_leads_to_an_end_and_nothing_printed_on_the_way_is_refused(site: Site) -> None:
    killed_in(site, WEB, "intent", "add")
    way.restore(site)
    applied = way.go_on(site, site.run)
    assert (applied.outcome, applied.exit_code) == ("partial", 3)
    assert "auto-we answers again" in applied.reason
    assert f"`drkit abort {site.run} --reason TEXT`" in applied.reason
    way.assess(site)
    with pytest.raises(RefusedError, match="no steps") as caught:
        control.rebase(site.desk, site.run)
    assert f"`drkit abort {site.run} --reason TEXT`" in caught.value.remedy
    assert typed(site, "status", site.run) == []
    standing = api.status(site.desk, "run-0001")
    assert (standing.outcome, standing.open) == ("failed", False)
    told = workers.reported(site)
    assert all(len(by) == 1 for by in told.values())
    assert typed(site) == []


def test_a_run_that_is_over_takes_no_answer_and_no_skip(site: Site) -> None:
    killed_in(site, WEB, "intent", "release")
    control.abort(site.desk, site.run, "enough")
    assert way.go_on(site, site.run).outcome == "failed"
    for say in (applying.skip, applying.answer):
        with pytest.raises(RefusedError, match="has ended: aborted by"):
            say(site.desk, site.run, step_of(site, WEB, "register"), "x")
    assert typed(site, "status", site.run, most=4) == []


def test_a_signal_at_the_first_record_leaves_a_run_that_ended_and_can_be_resumed(site: Site) -> None:
    assert Lives().one(place_of(site), Life(death="told", at=("started", ""))) == 3
    assert [one["kind"] for one in site.journal()][-1] == "ended"
    assert Lives().one(place_of(site)) == 0
