"""The guided path: what it does next, what it asks, where it begins again; and a stranger at a terminal, from alarm to report."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.api import apply, control, guided_failover, plan
from drkit.api.guided_failover import Ended, ResumePoint, Waiting
from drkit.cli.views import failover as view
from drkit.cli.views import terminal
from drkit.errors import RefusedError
from tests.support import workers
from tests.support.command_line import LOST, Cloud, environment, settings
from tests.support.estates import BY_HAND, REGION, Site, estate, host_id
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
ANSWER = {"declared": "To declare", "target": "Type the whole id", "approved": "Type `", "people": "Who is ready"}


class Script:
    """A person who answers by the beginning of the question; keeps what they saw."""

    def __init__(self, answers: dict[str, list[str]] | None = None, *, site: Site | None = None) -> None:
        self.answers, self.site = answers or {}, site
        self.present = answers is not None
        self.said: list[str] = []
        self.shown: list[Any] = []
        self.asked: list[str] = []
        self.stages: list[str] = []

    def stage(self, number: int, title: str) -> None:
        assert list(guided_failover.STAGES.values())[number - 1] == title
        self.stages.append(title)

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, found: Any, *, whole: bool = False) -> None:
        self.shown.append((type(found).__name__, whole))
        if isinstance(found, list) and self.site:
            self._by_hand(self.site, found)

    def event(self, event: Any) -> None:
        assert event.kind

    def ask(self, question: str) -> str:
        self.asked.append(question)
        key = next(key for key, begins in ANSWER.items() if question.startswith(begins))
        return self.answers[key].pop(0) if self.answers.get(key) else ""

    def _by_hand(self, site: Site, found: list[Waiting]) -> None:
        """Somebody goes to the machine and types what the step says."""
        for one in found:
            if one.step.action == "by-hand":
                site.world.control("host", id=host_id(BY_HAND), event="codespaces-stop", force=True)
                site.world.control(
                    "host", id=host_id(BY_HAND), event="codespaces-start", user="dev", plan=one.step.inputs["plan"],
                    name=BY_HAND, workspace=f"/home/dev/{BY_HAND}",
                )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An estate whose region is lost, and of which nobody has looked yet."""
    with estate(tmp_path, lost=False) as made:
        made.lose()
        yield made


def go(site: Site, talk: Script, **options: Any) -> Ended:
    return guided_failover.failover(site.context, talk, **options)


def test_the_guided_failover_leads_from_the_alarm_to_the_report_with_one_decision(site: Site) -> None:
    talk = Script({"approved": ["show", "yes"], "people": ["7 frogs", "all", "all", "all"]}, site=site)
    ended = go(site, talk)
    assert (ended.outcome, ended.exit_code, ended.decisions) == ("succeeded", 0, 1), ended
    assert talk.stages == list(guided_failover.STAGES.values())
    kinds = [kind for kind, _ in talk.shown]
    assert kinds.index("Checked") < kinds.index("Assessment") < kinds.index("Planned") < kinds.index("dict")
    assert ("Planned", True) in talk.shown  # shown whole when asked for
    assert any("'7' is none of them" in line or "'frogs' is none of them" in line for line in talk.said)
    assert any("failback" in line for line in talk.said)
    assert ended.report is not None
    assert ended.report["outcome"] == "succeeded"
    approval = site.store.approval(ended.digest)
    assert approval is not None
    assert approval.note == "on the guided path"
    # the region is still lost, and everything stands elsewhere
    again = Script({})
    assert (go(site, again).outcome, again.asked) == ("nothing-to-do", [])


def test_enter_approves_nothing_and_changes_nothing(site: Site) -> None:
    talk = Script({"approved": [""]})
    with pytest.raises(RefusedError, match=r"is not approved; nothing was changed") as refused:
        go(site, talk)
    assert "drkit failover" in refused.value.remedy
    assert site.store.runs() == []
    assert [one for one in site.world.view("record")["requests"] if one["kind"] == "write"] == []


def test_without_a_terminal_it_stops_before_the_approval_and_continues_after_it(site: Site) -> None:
    with pytest.raises(RefusedError, match="is not approved"):
        go(site, Script())
    shown = plan.show(site.context)
    plan.approve(site.context, shown.digest)
    assert guided_failover.begin(site.context) == ResumePoint("apply", digest=shown.digest)
    talk = Script()
    ended = go(site, talk)
    assert (ended.digest, ended.outcome, ended.exit_code, talk.asked) == (shown.digest, "partial", 3, [])
    assert guided_failover.begin(site.context) == ResumePoint("resume", ended.run, ended.digest)
    assert any("drkit status run-0001" in line for line in talk.said)
    # a person comes, and it goes on with the run, deciding nothing any more
    person = Script({"people": ["all", "all", "all"]}, site=site)
    done = go(site, person)
    assert (done.run, done.outcome, done.decisions) == ("run-0001", "succeeded", 0)
    assert "the decision" not in person.stages


def test_yes_asks_nothing_and_the_journal_says_who(site: Site) -> None:
    talk = Script({})
    ended = go(site, talk, yes=True)
    assert (ended.outcome, ended.decisions, talk.asked) == ("partial", 0, [])
    assert site.store.state(ended.run).approved_how == "self-approved with --yes"
    # --restart leaves that run alone
    assert go(site, Script({}), yes=True, anew=True).run != ended.run


def test_another_approver_is_waited_for_with_the_same_runbook(site: Site) -> None:
    config = site.folder / "drkit.toml"
    config.write_text(config.read_text() + "\n[run]\nseparate_approver = true\n")
    for yes in (False, True):
        with pytest.raises(RefusedError, match="somebody other than the person who carries it out"):
            go(site, Script({}), yes=yes)
        digest = plan.show(site.context).digest
        assert guided_failover.begin(site.context) == ResumePoint("approval", digest=digest)
    assert len(list((site.store.folder / "state/runbooks").glob("*.json"))) == 1


def test_advice_to_wait_needs_a_person_who_decides_otherwise(site: Site) -> None:
    config = site.folder / "drkit.toml"
    config.write_text(
        config.read_text() + "\n[advice]\nexpected_outage_minutes = 26\n[objectives]\nrecovery_time_minutes = 9000\n"
    )
    with pytest.raises(RefusedError, match="the advice is to wait"):
        go(site, Script(), yes=True)
    assert site.store.runs() == []
    talk = Script({"approved": ["yes"]})
    with pytest.raises(RefusedError, match="is not approved"):
        go(site, talk)
    assert "Type `move`" in talk.asked[0]


def test_a_run_that_another_run_replaced_is_not_continued(site: Site) -> None:
    first = go(site, Script({}), yes=True)
    control.abort(site.context, first.run, "given up")
    asyncio.run(apply.resume(site.context, first.run))
    assert guided_failover.begin(site.context).at == "look"


def test_a_journal_that_cannot_be_read_is_said_and_stops_nothing(site: Site) -> None:
    first = go(site, Script({}), yes=True)
    path = site.store.journal_path(first.run)
    path.write_bytes(path.read_bytes().replace(b"started", b"stArted", 1))
    found = guided_failover.begin(site.context)
    assert found.at == "look"
    assert "run-0001" in found.notes[0]


# nothing is lost, or nobody says so


def test_when_nothing_is_lost_it_refuses_and_offers_the_declaration(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        talk = Script({})
        with pytest.raises(RefusedError, match="nothing is lost") as refused:
            go(site, talk, again="scripts/failover")
        assert refused.value.remedy.startswith("scripts/failover --declare-lost REGION --reason TEXT")
        assert talk.asked == []
        # a declaration does not stand for drkit's own observation
        with pytest.raises(RefusedError, match="nothing is lost"):
            go(site, Script({}), yes=True, declare_lost=REGION, reason="I dreamt it")


def test_a_silent_region_may_be_declared_lost_and_that_is_the_other_decision(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        site.world.control("lose", region=REGION, announce=False)
        with pytest.raises(RefusedError, match=f"{REGION} does not answer, but nobody says that it is lost") as refused:
            go(site, Script({"declared": [""]}))
        assert f"--declare-lost {REGION} --reason TEXT" in refused.value.remedy
        talk = Script(
            {"declared": ["two calls and the status page"], "approved": ["yes"], "people": ["all"] * 3}, site=site
        )
        ended = go(site, talk)
        assert (ended.outcome, ended.decisions) == ("succeeded", 2), talk.said
        (declared,) = site.store.declarations()
        assert (declared.region, declared.reason) == (REGION, "two calls and the status page")


def test_without_a_snapshot_one_is_taken_first(site: Site) -> None:
    shutil.rmtree(site.store.folder)
    talk = Script({})
    with pytest.raises(RefusedError, match="nothing can be done now for what was on it"):
        go(site, talk)
    assert talk.shown[0][0] == "Snapshot"
    assert any("no snapshot" in line for line in talk.said)


# the words


def test_numbers_choose_and_nothing_else_does() -> None:
    offered = [Waiting(number, None) for number in (1, 2, 3)]  # type: ignore[arg-type]
    assert [one.number for one in guided_failover.chosen("3, 1 3", offered)] == [3, 1]
    assert [one.number for one in guided_failover.chosen(" ALL ", offered)] == [1, 2, 3]
    assert guided_failover.chosen("", offered) == []
    for text in ("4", "0", "-1", "1-3", "all 1", "²"):
        with pytest.raises(RefusedError, match="is none of them"):
            guided_failover.chosen(text, offered)


# a stranger at a terminal

# Makes the terminal that it has the one whose Ctrl-C reaches it, and becomes the command.
SITS = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Seat:
    """A process at a terminal of its own."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SITS, *command],
            cwd=cwd,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            close_fds=True,
        )
        os.close(slave)
        self.text = ""

    def until(self, *patterns: str, seconds: float = PATIENCE) -> str:
        """Read until one of these is on the screen after what was read before; which."""
        begun, end = len(self.text), time.monotonic() + seconds
        while True:
            for pattern in patterns:
                if pattern and re.search(pattern, self.text[begun:]):
                    return pattern
            left = end - time.monotonic()
            assert left > 0, self.text[-3000:]
            if select.select([self.master], [], [], min(left, 1))[0]:
                try:
                    more = os.read(self.master, 65536)
                except OSError:
                    more = b""
                if not more:
                    assert "" in patterns, self.text[-3000:]
                    return ""
                self.text += more.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def leave(self) -> int:
        self.until("")
        os.close(self.master)
        return self.process.wait(PATIENCE)


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Callable[[], Seat]]:
    """The sample estate, captured, its region lost; and scripts/failover as somebody types it, under dash."""
    cloud = Cloud(tmp_path / "cloud")
    (tmp_path / "drkit.toml").write_text(settings(more="[run]\nwaves = [5, 20]\n"))
    env = environment(
        DRKIT_CLOUD=str(cloud.ready), DRKIT=str(Path(sys.executable).parent / "drkit"), TERM="xterm", COLUMNS="100"
    )
    subprocess.run([env["DRKIT"], "snapshot", "-q"], cwd=tmp_path, env=env, check=True, capture_output=True)
    cloud.control("lose", region=LOST, minutes_ago=25, announce_after=12)
    dash = shutil.which("dash") or "sh"
    try:
        yield lambda: Seat([dash, str(ROOT / "scripts/failover")], tmp_path, env)
    finally:
        cloud.stop()


def test_the_guided_failover_recovers_at_a_terminal_although_it_is_killed_midway(
    night: Callable[[], Seat], tmp_path: Path
) -> None:
    decisions = 0
    seat = night()
    seat.until(r"Type `yes` to approve it")
    decisions += 1
    before = seat.text
    for stage in list(guided_failover.STAGES.values())[:5]:
        assert stage in before
    assert "SIMULATED" in before
    assert re.search(r"never\s+pushed", before)
    seat.type("yes\n")
    seat.until(r"codespaces:\S+:create-plan")
    assert "scripts/failover" in seat.text  # how to go on
    seat.process.send_signal(signal.SIGKILL)
    seat.process.wait(PATIENCE)
    os.close(seat.master)

    # Ctrl-C, too: in good order
    seat = night()
    seat.until(r"run-0001 was begun and is not finished")
    seat.until(r":verify ")
    seat.type("\x03")
    assert seat.leave() == 3, seat.text[-3000:]
    assert "To go on: " in seat.text
    assert "Who is ready" not in seat.text

    seat = night()
    asked = 0
    while seat.until(r"Who is ready", r"Type `", "") == r"Who is ready":
        asked += 1
        offered = re.findall(r"^\s*(\d+)  ask the owner", seat.text.rsplit("steps for people", 1)[1], re.MULTILINE)
        seat.type(f"{' '.join(offered)}\n" if asked == 1 else "\n")
    assert seat.process.wait(PATIENCE) == 3  # what is to be done by hand at machines nobody did
    assert "SIGN IN" in seat.text
    assert re.search(r"\d+ recovered", seat.text)
    assert decisions == 1

    status = json.loads(
        subprocess.run(
            [sys.executable, "-m", "drkit", "status", "run-0001", "--json"], cwd=tmp_path, capture_output=True, check=True,
            env=environment(),
        ).stdout
    )["steps"]  # fmt: skip
    registered = [step for step, state in status.items() if step.endswith(":register") and state == "done"]
    assert len(registered) > 3, status
    assert "<svg" in (tmp_path / "report-run-0001.html").read_text()
    assert sorted(path.name for path in (tmp_path / ".drkit/journal").glob("*.jsonl")) == ["run-0001.jsonl"]


def test_without_a_terminal_it_takes_yes_and_prints_json(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        site.lose()
        command = [sys.executable, "-m", "drkit", "failover", "--config", str(site.folder / "drkit.toml"), "--json"]
        command += ["--store", str(site.store.folder), "--report", str(tmp_path / "night.html")]

        def run(*more: str) -> tuple[int, Any, str]:
            done = subprocess.run(
                [*command, *more], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
                env=environment(DRKIT_CLOUD=str(site.world.ready)), check=False,
            )  # fmt: skip
            assert "Traceback" not in done.stderr
            return done.returncode, json.loads(done.stdout), done.stderr

        code, told, _ = run()
        assert (code, told["error"]["exit_code"]) == (4, 4)
        code, told, err = run("--yes")
        assert (code, told["outcome"], told["decisions"], told["run"]) == (3, "partial", 0, "run-0001")
        assert (tmp_path / "night.html").exists()
        assert "Ctrl-C stops it cleanly" in err.replace("\n", " ")
        code, told, _ = run("--declare-lost", "westeurope")
        assert code == 64


def test_names_of_others_are_harmless_on_the_path(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        step = next(step for step in site.book.steps if step.effect == "ask" and step.inputs.get("commands"))
        bad = msgspec.structs.replace(
            step, title="a\x1b[31m\u202e\nnext: `rm -rf /`" + "x" * 100_000,
            inputs={**step.inputs, "owner": "o\x1b]0;t\x07\n", "commands": ["echo \x1b[2J"]},
        )  # fmt: skip
        text = terminal.render(*view.shown([Waiting(1, bad)], concurrency=8), columns=100)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\x07" not in text
        assert len(text) < 2000
        assert not [line for line in text.splitlines() if line.startswith("next: ")]


def test_what_only_a_tag_speaks_for_is_named_by_its_whole_id(tmp_path: Path) -> None:
    with workers.site(tmp_path, "", leaping=True) as found:
        found.lose()
        with pytest.raises(RefusedError, match="a journal names") as refused:
            go(found, Script(), yes=True)
        assert f"drkit failover --yes --target {workers.REPLICA}" in refused.value.remedy
        with pytest.raises(RefusedError, match="is not approved") as refused:
            go(found, Script({"approved": ["yes"], "target": ["auto-dr"]}))
        assert f"--target {workers.REPLICA}`" in refused.value.remedy
        assert found.store.runs() == []
        talk = Script({"approved": ["yes"], "target": [workers.REPLICA]})
        ended = go(found, talk)
        assert (ended.outcome, ended.decisions) == ("partial", 2)  # a person installs the extensions
        assert any(line.startswith(f"{workers.REPLICA} would take over") for line in talk.said)
        approval = found.store.approval(ended.digest)
        assert approval is not None
        assert approval.targets == (workers.REPLICA,)
