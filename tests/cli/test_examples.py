"""The examples that a command's help prints work as they are, in the estate whose names they use."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drkit.api import context
from drkit.cli.group import main_group
from drkit.drills import simulate
from drkit.simulator.samples.estate import sample_stories
from tests.support.command_line import Done, Here, command, environment
from tests.support.estates import World
from tests.support.every_command import examples_of
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

REGION = "westeurope"
ELSEWHERE = {"drkit drill --with-failback"}
"""Examples that another test carries out: tests/drills/test_scenario.py."""


class Outage(Here):
    """The sample estate, and drkit in a folder beside it; remembers which examples were typed."""

    def __init__(
        self, folder: Path, world: World, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        super().__init__(folder, patch, capture, world.ready)
        self.world = world
        self.typed: set[str] = set()

    def type(self, line: str, *codes: int) -> Done:
        """An example of the help, as it is; without the shell, so what it would write into a file is printed."""
        self.typed.add(line)
        done = self(*shlex.split(line.partition(" > ")[0])[1:])
        assert done.code in (codes or (0,)), (line, done)
        return done

    def all_of(self, name: str, *codes: int) -> list[Done]:
        """Every example of a command, in its order."""
        return [self.type(line, *codes) for line in examples_of(name)]


@pytest.fixture
def outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Outage]:
    content = simulate.estate_seed(None, 1)
    story = simulate._story(content, 1, REGION, sample=True)
    simulate._write_settings(tmp_path / "drkit.toml", story)
    for name, value in story.secrets.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "world").mkdir()
    desk = context.desk
    with World(tmp_path / "world", content, leaping=True) as world:
        monkeypatch.setattr(context, "desk", lambda **options: replace(desk(**options), own_clock=world.clock))
        yield Outage(tmp_path, world, monkeypatch, capsys)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[None]:
    """``drkit simulate`` in a process of its own, as its first example starts it."""
    line = examples_of("simulate")[0]
    words = command(*shlex.split(line)[1:])
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until = time.monotonic() + PATIENCE
            while not (tmp_path / "cloud.json").exists():
                assert process.poll() is None, "the simulator has ended"
                assert time.monotonic() < until, "the simulator does not come up"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def test_every_example_works_in_the_order_of_an_outage(outage: Outage, simulator: None) -> None:
    # before
    outage.all_of("init")
    outage.all_of("schema")
    outage.all_of("probe-script")
    outage.all_of("snapshot")
    outage.all_of("check", 0, 1)
    assert "this store is a folder" in outage.all_of("preflight", 4)[0].err
    serve, lose = examples_of("simulate")
    outage.typed.add(serve)
    outage.type(lose)
    outage.type("drkit drill --story list")
    # the outage, and a machine that somebody moves after the approval
    for story in sample_stories(1):
        outage.world.control(str(story["call"]), **story["body"])
    outage.world.control("lose", region=REGION, minutes_ago=25, announce_after=12)
    outage.all_of("watch", 0, 1)
    outage.all_of("assess")
    outage.all_of("explain")
    first, repair, rebase = examples_of("plan")
    outage.type(first)
    outage.all_of("show")
    outage.all_of("approve")
    host = next(host.id for host in outage.world.simulator.world.hosts.values() if host.id.endswith("/vm-orders-build"))
    group = host.partition("/providers/")[0].replace("rg-hosts-neu", "rg-hosts-uks")
    outage.world.control("host", id=host, event="move", group=group)
    # the run, which waits for people
    outage.all_of("apply", 3)
    for name in ("answer", "skip", "retry", "pause", "unpause"):
        outage.all_of(name)
    outage.all_of("resume", 0, 3)
    outage.all_of("status", 0, 4)  # sign-in codes: of a process that holds the run, and none does
    outage.all_of("report")
    outage.all_of("verify")
    assert outage("assess").code == 0
    outage.type(repair)
    outage.type(rebase)
    outage.all_of("abort")
    assert outage("resume").code in (0, 1, 3)
    # the region comes back
    outage.world.control("restore", region=REGION)
    assert outage("assess").code == 0
    outage.all_of("failback")
    outage.all_of("cleanup")
    outage.all_of("failover", 4)  # without a terminal and --yes it approves nothing
    every = {line for name in main_group.commands for line in examples_of(name)}
    assert every - outage.typed == ELSEWHERE
