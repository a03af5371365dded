"""The whole loop against one ``drkit simulate`` in the background: every command a process of its own, stopped and raced at will."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drkit.execution.interrupt import InterruptibleClock
from drkit.model.clock import StoppedError
from drkit.store import journal
from tests.support import forked
from tests.support.command_line import LOST, Cloud, Done, checked, copy_of_recorded, drkit, environment, settings
from tests.support.patience import PATIENCE

PATIENT = "[run]\nrequest_budget_seconds = 80000\nwaves = [5, 20]\n"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    running = Cloud(tmp_path_factory.mktemp("cloud"))
    yield running
    assert running.stop() == 0
    assert not running.ready.exists()


class Context:
    """A folder and the commands typed in it."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder, self.cloud = folder, cloud

    def __call__(self, *words: str) -> Done:
        return drkit(*words, cwd=self.folder, DRKIT_CLOUD=str(self.cloud.ready))

    def start(self, *words: str) -> forked.Command:
        return forked.Command(words, cwd=self.folder, env=environment(DRKIT_CLOUD=str(self.cloud.ready)))

    def end(self, process: forked.Command) -> Done:
        out, err = process.communicate()
        return checked(Done(process.wait(), out, err))

    def journal(self, run: str) -> Path:
        return self.folder / f".drkit/journal/{run}.jsonl"

    def kinds(self, run: str) -> list[str]:
        return [record.kind for record in journal.read_file(self.journal(run))[0]]

    def asked(self, run: str) -> list[str]:
        steps: dict[str, str] = self("status", run, "--json").json["steps"]
        return [step for step, status in steps.items() if status == "asked"]


def until(what: str, true: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"{what} does not come about"
        time.sleep(0.02)


def test_the_loop_as_separate_processes(cloud: Cloud, tmp_path: Path) -> None:
    desk = Context(tmp_path, cloud)
    (tmp_path / "drkit.toml").write_text(settings(more=PATIENT))

    # before
    assert "no snapshot yet" in desk().out
    assert desk("snapshot").code == 0
    assert "next: `drkit assess`" in desk().out
    cloud.control("lose", region=LOST)

    # during: nothing is claimed, so nothing is lost; then a person declares it
    doubtful = desk("assess")
    assert (doubtful.code, "unreachable" in doubtful.out, " lost " in doubtful.out) == (0, True, False)
    assert desk("assess", "--declare-lost", "West Europe", "--reason", "the status page is dark").code == 0
    first = desk("plan", "--json").json
    content = Path(tmp_path, first["path"]).read_bytes()
    again = desk("plan", "--json", "--detailed-exitcode", "--out", "again.json")
    assert (again.code, again.json["digest"]) == (2, first["digest"])
    assert Path(tmp_path, "again.json").read_bytes() == content
    assert "SIMULATED failover runbook" in desk("show").out

    # nobody approved it yet, and nothing was written
    assert desk("apply").code == 4
    writes = [one for one in cloud.view("record")["requests"] if one["kind"] == "write"]
    assert writes == []
    assert desk("approve", first["digest"][:12], "--note", "go").code == 0

    # two at once: one acts (and is made to wait long), the other is refused and hears by whom and since when
    cloud.control("fault", method="PUT", url="/plans/", times=0, status=429, retry_after=60_000, code="TooManyRequests")
    racers = [desk.start("apply", "again.json") for _ in range(2)]
    until("that one of two is refused", lambda: any(racer.poll() is not None for racer in racers))
    losers = [racer for racer in racers if racer.poll() is not None]
    assert len(losers) == 1
    refused = desk.end(losers[0])
    assert refused.code == 4
    assert "is held by" in refused.err or "is being carried out as run-0001, by" in refused.err, refused.err
    assert "process" in refused.err
    assert "since 20" in refused.err
    winner = next(racer for racer in racers if racer is not losers[0])
    until("that it begins", lambda: "intent" in desk.kinds("run-0001"))
    late = desk("resume", "run-0001")
    assert (late.code, "is held by" in late.err, "since 20" in late.err) == (4, True, True)

    # once interrupted it leaves, though Azure asked it to wait for 1,000 s of the clock on the wall
    until("that it waits", lambda: any(rule["struck"] for rule in cloud.view("faults")["faults"]))
    winner.send_signal(signal.SIGINT)
    left = desk.end(winner)
    assert (left.code, "drkit resume run-0001" in left.out) == (3, True), left.err
    assert desk.kinds("run-0001")[-1] == "ended"
    assert "open: run-0001" in desk().out
    cloud.control("unfault")

    # a torn last line is repaired and journaled; a token that ends midway is renewed
    with desk.journal("run-0001").open("ab") as file:
        file.write(b'{"drkit":"journal/1","seq":')
    assert desk("status", "run-0001").code == 0
    ender = threading.Timer(1.5, cloud.control, ("token",), {"expire": True})
    ender.start()
    resumed = desk("resume")
    ender.join()
    assert resumed.code == 3, resumed.err
    assert "FAILED" not in resumed.err
    kinds = desk.kinds("run-0001")
    assert kinds.index("repaired") < kinds.index("taken-over")
    assert kinds.count("started") == 1

    # people: what is unknown, ambiguous or settled is said so
    asked = desk.asked("run-0001")
    assert len(asked) > 5
    assert "more than one step" in desk("answer", "run-0001", ":ready").err
    assert "no step is called" in desk("skip", "run-0001", "nosuch", "--reason", "x").err
    done = next(step for step, status in desk("status", "latest", "--json").json["steps"].items() if status == "done")
    assert desk("answer", "run-0001", done).code == 4
    assert desk("skip", "run-0001", done, "--reason", "x").code == 4
    assert desk("skip", "run-0001", asked[0], "--reason", " ").code == 64
    assert desk("answer", "run-0002", asked[0]).code == 64
    by_hand = next(step for step in asked if step.endswith(":by-hand"))
    assert desk("answer", "run-0001", by_hand, "--json").json == {"step": by_hand, "said": "done"}
    assert desk("skip", "run-0001", by_hand.replace(":by-hand", ":verify"), "--reason", "looked at by eye").code == 0
    for step in asked:
        if step == by_hand:
            continue
        assert desk("skip", "run-0001", step, "--reason", "on leave \x1b[31m").code == 0
    resumed = desk("resume", "run-0001", "--json")
    for step in desk.asked("run-0001"):
        desk("skip", "run-0001", step, "--reason", "tomorrow")
        resumed = desk("resume", "run-0001", "--json")
    assert (resumed.code, resumed.json["outcome"]) == (0, "succeeded-with-exceptions"), resumed.err
    assert desk("skip", "run-0001", by_hand, "--reason", "x").code == 4
    assert desk("resume", "run-0001").code == 0

    # after
    report = desk("report", "--json").json
    numbers = report["environments"]
    assert numbers["total"] == sum(numbers[word] for word in ("recovered", "needs_person", "waiting", "lost"))
    assert numbers["recovered"] > 5
    assert report["approved_how"].startswith("unauthenticated")
    shown = desk("report")
    # What is to be copied keeps its line, however long.
    assert max(len(line) for line in shown.out.splitlines() if not line.startswith("    az ")) <= 80
    assert "\x1b" not in shown.out
    written = desk("report", "--markdown", "--out", "report.md", "--json").json
    assert written == {"run": "run-0001", "path": "report.md", "format": "markdown"}
    applied = desk("apply", first["digest"][:12])
    assert (applied.code, "was carried out as run-0001" in applied.err) == (4, True)
    plans = [one for one in cloud.view("state")["resources"] if "-westus2" in one["id"] and "/plans/" in one["id"]]
    assert len(plans) == len({one["id"].lower() for one in plans}) == 3

    # the repair, approved by nobody but the one who types
    assert desk("assess").code == 0
    repair = desk("plan", "--kind", "repair", "--json").json
    assert repair["runbook"]["kind"] == "repair"
    repaired = desk("apply", "--yes", "--json")
    assert repaired.code in (0, 3), repaired.err
    approved = next(record for record in journal.read_file(desk.journal("run-0002"))[0] if record.kind == "approved")
    assert approved.data["how"] == "self-approved with --yes"

    # one flipped byte is found, and stands in the way of nothing else
    path = desk.journal("run-0001")
    spoiled = path.read_bytes()
    middle = len(spoiled) // 2
    path.write_bytes(spoiled[:middle] + bytes([spoiled[middle] ^ 1]) + spoiled[middle + 1 :])
    for words in (("status", "run-0001"), ("report", "run-0001"), ("resume", "run-0001"), ("status",)):
        found = desk(*words)
        assert (found.code, "run-0001.jsonl: line " in found.err) == (1, True), words
    assert desk("status", "run-0002").code == 0
    assert "cannot be read: run-0001" in desk().out
    assert desk("plan").code == 0


def test_a_region_whose_arm_accepts_no_token_still_leaves_the_store_as_it_was(cloud: Cloud, tmp_path: Path) -> None:
    desk = Context(tmp_path, cloud)
    (tmp_path / "drkit.toml").write_text("[run]\nrequest_budget_seconds = 2\n")
    cloud.control("fault", url="/subscriptions", times=0, status=401, code="InvalidAuthenticationToken")
    done = desk("snapshot")
    cloud.control("unfault")
    assert (done.code, "does not accept the token" in done.err) == (1, True)
    shutil.rmtree(tmp_path / ".drkit")


# the wait itself


class Slow:
    """A clock that runs as the wall does."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def test_a_nap_ends_when_its_time_is_over() -> None:
    nap = InterruptibleClock(Slow())
    began = time.monotonic()
    await nap.sleep(0.05)
    assert time.monotonic() - began > 0.04
    assert not nap.stopped()


async def test_every_nap_ends_at_once_when_the_run_is_to_be_left() -> None:
    nap = InterruptibleClock(Slow())
    sleeping = [asyncio.create_task(nap.sleep(3600)) for _ in range(20)]
    await asyncio.sleep(0.01)
    nap.stop()
    ends = await asyncio.gather(*sleeping, return_exceptions=True)
    assert {type(end) for end in ends} == {StoppedError}
    with pytest.raises(StoppedError):
        await nap.sleep(3600)


async def test_a_nap_that_is_cancelled_leaves_nothing_behind() -> None:
    nap = InterruptibleClock(Slow())
    before = len(asyncio.all_tasks())
    sleeping = asyncio.create_task(nap.sleep(3600))
    await asyncio.sleep(0.01)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before


def test_a_runbook_made_of_too_little_says_so(tmp_path: Path) -> None:
    ready = str(copy_of_recorded(tmp_path))
    folder = tmp_path / ".drkit/state"
    known = json.loads((folder / "assessments/000001.json").read_text())
    lost = [one["plan"] for one in known["plans"] if one["state"] == "lost"]
    estate = json.loads((folder / "snapshots/000001.json").read_text())
    left = [one for one in estate["plans"] if one["id"] not in lost]
    ids = {one["id"] for one in left}
    less = {**estate, "plans": left, "environments": [one for one in estate["environments"] if one["plan"] in ids]}
    (tmp_path / "less.json").write_text(json.dumps(less))
    assert "look:" not in drkit("plan", cwd=tmp_path, DRKIT_CLOUD=ready).out
    without = drkit("plan", "--snapshot", "less.json", "--json", cwd=tmp_path, DRKIT_CLOUD=ready)
    assert any(lost[0].rsplit("/", 1)[-1] in one for one in without.json["warnings"])
    blind = {**known, "plans": [{**one, "state": "unknown"} for one in known["plans"]], "lost_regions": []}
    (folder / "assessments/000002.json").write_text(json.dumps(blind))
    told = drkit("plan", "--json", cwd=tmp_path, DRKIT_CLOUD=ready).json
    assert (told["runbook"]["steps"], len(told["warnings"])) == ([], 1)
    assert "does not know the state" in told["warnings"][0]


def test_messages_are_json() -> None:
    """What the loop reads back is what the commands print: nothing here parses text for people twice."""
    assert json.loads(drkit("schema", "runbook", cwd=Path.cwd()).out)["$defs"]["Runbook"]
    assert json.loads(drkit("schema", "journal", cwd=Path.cwd()).out)["$defs"]["Record"]
