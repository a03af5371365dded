"""Whatever drkit prints as the next command can be typed: runs that were replaced, aborted, or overtaken by a region that came back."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from drkit.api import cleanup as cleanup_
from drkit.api import control, failback, status
from drkit.errors import RefusedError
from drkit.model.run import RunState, StepState
from drkit.planning import hosts_in_doubt
from drkit.simulator.hybrid_worker import model
from drkit.store.store import Store
from tests.model.test_runbook import a_runbook, a_step
from tests.support import round_trip as way
from tests.support import workers
from tests.support.command_line import Here
from tests.support.estates import REGION, Site
from tests.support.every_command import prepare
from tests.support.kill_points import place_of
from tests.support.run_process import KILLED, Life, Lives
from tests.support.worker_estate import WORKERS
from tests.support.workers import CONTROL, CUPBOARD, OLD, REPLICA, WEB

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


def filled(site: Site, line: str) -> str:
    """A printed command with its placeholders filled; STEP is the first step that the command is for."""
    words = shlex.split(line)
    put = {
        "RUN": site.run,
        "TEXT": "because",
        "REGION": REGION,
        "DIGEST": site.state.runbook,
        "FOLDER": ".",
    }
    if "STEP" in words:
        put["STEP"] = step_for(words[0], words[1], site.store)
    return shlex.join(put.get(word, word) for word in words)


def step_for(verb: str, run: str, store: Store) -> str:
    """The first step of a run that a command can be said of."""
    wanted = {"answer": {"asked"}, "skip": {"asked", "failed", "drifted"}, "retry": {"failed", "drifted"}}[verb]
    state = store.state(run)
    return next(one.id for one in store.runbook_of(state.runbook)[0].steps if state.of(one.id).status in wanted)


def taken_back(store: Store, run: str) -> None:
    """What was said to a run and it has not heard is not said: each alternative is typed in the state in which it was printed."""
    for path in (store.folder / "inbox" / run).glob("*.json"):
        path.unlink()


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
        for one in (one.removeprefix("drkit ").strip() for one in COMMAND.findall(said)):
            words = shlex.split(filled(site, one))
            if words[0] not in ("answer", "skip", "retry"):
                waiting.append(shlex.join(words))
                continue
            code, said_of_it = called(site, *words)
            if code:
                refused.append(f"{one}: {said_of_it}")
            taken_back(site.store, words[1])
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
    applied = way.carry_out(site, control.rebase(site.context, "run-0001"))
    assert (applied.run, applied.outcome) == ("run-0002", "succeeded"), way.unfinished(site)


def test_what_a_replaced_run_moved_goes_back_with_the_run_that_replaced_it(site: Site) -> None:
    halves(site)
    assert status.status(site.context, "run-0001").replaced == "run-0002"
    for say in (
        lambda: control.abort(site.context, "run-0001", "x"),
        lambda: control.skip(site.context, "run-0001", step_of(site, CUPBOARD, "verify"), "x"),
        lambda: control.rebase(site.context, "run-0001"),
    ):
        with pytest.raises(RefusedError, match="the rest of run-0001 is carried out as run-0002"):
            say()
    assert typed(site, most=4) == []
    assert typed(site, "status", "run-0001", most=4) == []
    way.restore(site)
    way.assess(site)
    planned = failback.failback(site.context, "run-0001")
    assert planned.runbook.source_run == "run-0002"
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    told = workers.reported(site)
    assert (told[WEB], told[CUPBOARD]) == ([OLD], [OLD])
    way.assess(site)
    assert way.carry_out(site, cleanup_.cleanup(site.context, site.run)).outcome == "succeeded", way.unfinished(site)


def test_a_region_that_comes_back_midway_leads_to_an_end_and_nothing_printed_on_the_way_is_refused(site: Site) -> None:
    killed_in(site, WEB, "intent", "add")
    way.restore(site)
    applied = way.go_on(site, site.run)
    assert (applied.outcome, applied.exit_code) == ("partial", 3)
    assert "auto-we answers again" in applied.reason
    assert f"`drkit abort {site.run} --reason TEXT`" in applied.reason
    way.assess(site)
    with pytest.raises(RefusedError, match="no steps") as caught:
        control.rebase(site.context, site.run)
    assert f"`drkit abort {site.run} --reason TEXT`" in caught.value.remedy
    assert typed(site, "status", site.run) == []
    standing = status.status(site.context, "run-0001")
    assert (standing.outcome, standing.open) == ("failed", False)
    told = workers.reported(site)
    assert all(len(by) == 1 for by in told.values())
    assert typed(site) == []


def test_a_run_that_is_over_takes_no_answer_and_no_skip(site: Site) -> None:
    killed_in(site, WEB, "intent", "release")
    control.abort(site.context, site.run, "enough")
    assert way.go_on(site, site.run).outcome == "failed"
    for say in (control.skip, control.answer):
        with pytest.raises(RefusedError, match="has ended: aborted by"):
            say(site.context, site.run, step_of(site, WEB, "register"), "x")
    assert typed(site, "status", site.run, most=4) == []


def test_a_signal_at_the_first_record_leaves_a_run_that_ended_and_can_be_resumed(site: Site) -> None:
    assert Lives().one(place_of(site), Life(death="told", at=("started", ""))) == 3
    assert [one["kind"] for one in site.journal()][-1] == "ended"
    assert Lives().one(place_of(site)) == 0


def test_what_a_run_that_waits_prints_with_a_placeholder_is_heard_when_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Here(prepare(tmp_path), monkeypatch, capsys, tmp_path / "ready.json")
    store = Store(tmp_path / ".drkit")
    run = store.runs()[0]
    seen: set[str] = set()
    for words in ((), ("status", run), ("status", "--open"), ("report", run)):
        done = here(*words)
        for line in COMMAND.findall(done.out + done.err):
            verb, *rest = shlex.split(line)[1:]
            if verb not in ("answer", "skip", "retry", "abort", "pause"):
                continue
            step = step_for(verb, run, store) if "STEP" in rest else ""
            put = {"RUN": run, "STEP": step, "TEXT": "because"}
            assert here(verb, *(put.get(word, word) for word in rest)).code == 0, line
            taken_back(store, run)
            seen.add(verb)
    assert {"answer", "skip"} <= seen


def test_a_step_that_finishes_a_release_is_not_offered_to_be_left_out() -> None:
    chain = (
        a_step("release", "release", environment="e", host="/vm/a"),
        a_step("ready", "ask", needs=("release",), environment="e"),
        a_step("register", "register", needs=("ready",), environment="e", host="/vm/a"),
        a_step("verify", "verify", needs=("register",), environment="e"),
    )
    book = a_runbook(*chain, a_step("other", "ask"))
    state = RunState("run-0001", steps={"release": StepState("done"), "ready": StepState("asked")})
    assert hosts_in_doubt.asked(book, RunState("run-0001")) == ""
    assert hosts_in_doubt.asked(book, state) == "`drkit answer run-0001 STEP` when it is done"
    state.steps["other"] = StepState("asked")
    assert "`drkit skip run-0001 other --reason TEXT`" in hosts_in_doubt.asked(book, state)
    state.steps["release"] = StepState("pending")
    assert "`drkit skip run-0001 STEP --reason TEXT`" in hosts_in_doubt.asked(book, state)


def test_what_is_printed_of_somebody_elses_registration_leaves_it_so_when_typed(site: Site) -> None:
    killed_in(site, WEB, "intent", "register")
    world = site.world.simulator.world
    theirs = model.account_of(world, world.resources[CONTROL.lower()])
    held = next(iter(world.hosts[CUPBOARD.lower()].extensions.values()))
    copied = type(held)(**{name: getattr(held, name) for name in held.__dataclass_fields__})
    copied.settings = {**held.settings, model.URL: theirs.url}
    world.hosts[WEB.lower()].extensions[copied.name.lower()] = copied
    applied = way.go_on(site, site.run)
    (line,) = [one for one in COMMAND.findall(applied.reason) if " skip " in one]
    code, said = called(site, *(shlex.split(line)[1:]))
    assert code == 0, said
    assert way.go_on(site, site.run).outcome == "succeeded-with-exceptions"
