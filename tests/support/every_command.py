"""Every command of drkit with words it can be called with, and a folder prepared so that each finds what it needs.

For a rule that holds for all commands, as one test over all of them::

    folder = prepare(tmp_path)                # drkit.toml, a store up to a run that waits for a person, ready.json
    for words in every_command(folder):
        here(*words)

A command that has no words here fails ``test_every_command.py``.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import click

from drkit.api import apply, assess, capture, check, plan
from drkit.api.context import Context
from drkit.cli.command import Command
from drkit.cli.group import main_group
from drkit.model import cloud as clouds
from drkit.model import settings
from drkit.model.clock import parse_time, rfc3339
from drkit.products import tables
from drkit.store.store import Store
from tests.support.estates import HOSTED, PLAN, REGION, SETTINGS, TARGET, World, seed

RUN, STEP, RUNBOOK = "{run}", "{step}", "{runbook}"
"""Stand for the prepared folder's run, the step of it that waits for a person, and the digest of the runbook."""

WORDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "": ((),),
    # look and read
    "status": (("status",), ("status", RUN), ("status", "--open"), ("status", RUN, "--show-code")),
    "show": (("show",), ("show", RUNBOOK)),
    "report": (("report", RUN), ("report", RUN, "--owners"), ("report", RUN, "--out", "report.html")),
    "verify": (("verify", RUN),),
    "explain": (("explain", PLAN), ("explain", f"vm-{HOSTED[0]}")),
    "schema": (("schema", "runbook"),),
    "completion": (("completion", "bash"),),
    "probe-script": (("probe-script", "linux"),),
    "init": (("init", "--out", "made.toml"),),
    "snapshot": (("snapshot",), ("snapshot", "--problems-only")),
    "check": (("check",), ("check", "--if-lost", TARGET)),
    "preflight": (("preflight", "--machine", "northeurope"),),
    "assess": (("assess",), ("assess", "--declare-lost", REGION, "--reason", "it is dark")),
    "watch": (("watch", "--for", "0.001"),),
    "drill": (("drill", "--story", "list"), ("drill", "--lose", "Atlantis")),
    "simulate": (("simulate", "--exit-with-parent", "--speed", "60"), ("simulate", "--lose", TARGET)),
    # write a runbook
    "plan": (("plan",), ("plan", "--out", "runbook.json", "--summary", "runbook.md")),
    "failback": (("failback", RUN),),
    "cleanup": (("cleanup", RUN),),
    # carry out
    "approve": (("approve", RUNBOOK),),
    "apply": (("apply", RUNBOOK), ("apply", RUNBOOK, "--yes"), ("apply", RUNBOOK, "--resume-existing")),
    "resume": (("resume", RUN),),
    "failover": (("failover",), ("failover", "--yes")),
    # speak to a run
    "answer": (("answer", RUN, STEP, "ready"),),
    "skip": (("skip", RUN, STEP, "--reason", "not needed"),),
    "retry": (("retry", RUN, STEP),),
    "pause": (("pause", RUN),),
    "unpause": (("unpause", RUN),),
    "abort": (("abort", RUN, "--reason", "not tonight"),),
}
"""By command: what it is called with. What ends a run comes last."""


def names() -> Iterator[str]:
    """The names of all commands, those of subcommands with a space between; ``drkit`` alone is the empty name."""

    def below(command: click.Command, name: str) -> Iterator[str]:
        if not isinstance(command, click.Group):
            yield name
            return
        if command.invoke_without_command:
            yield name
        for word, inner in command.commands.items():
            yield from below(inner, f"{name} {word}".strip())

    return below(main_group, "")


def examples_of(name: str) -> tuple[str, ...]:
    """The examples of a command."""
    command = main_group.commands[name]
    assert isinstance(command, Command)
    return command.examples


def every_command(folder: Path) -> list[tuple[str, ...]]:
    """What every command is called with in a folder made by ``prepare``, one command after the other.

    KeyError for a command that has no words here.
    """
    found = json.loads((folder / "prepared.json").read_text())
    put = {RUN: found["run"], STEP: found["step"], RUNBOOK: found["runbook"]}
    order = {name: place for place, name in enumerate(WORDS)}
    return [
        tuple(put.get(word, word) for word in words)
        for name in sorted(names(), key=lambda name: order[name])
        for words in WORDS[name]
    ]


@dataclass(frozen=True)
class Prepared:
    """Made once a process: where it is, and what the cloud, which is gone, told of itself."""

    folder: Path
    facts: dict[str, Any]
    now: str


@cache
def prepared() -> Prepared:
    """A folder with settings and a store: snapshot, readiness, assessment, runbook, approval, a run that waits for a person."""
    folder = Path(tempfile.mkdtemp(prefix="drkit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "world").mkdir()
    (folder / "drkit.toml").write_text(SETTINGS, "utf-8")
    world = World(folder / "world", seed(), leaping=True)
    try:
        cloud = clouds.from_ready_file(world.ready, "of a test")
        context = Context(
            settings.load(folder / "drkit.toml", tables()), Store(folder / ".drkit"), lambda: cloud, loopback_only=True,
            own_clock=world.clock,
        )  # fmt: skip
        asyncio.run(capture.snapshot(context))
        asyncio.run(check.check(context))
        world.control("lose", region=REGION, minutes_ago=25, announce_after=10)
        asyncio.run(assess.assess(context))
        planned = plan.plan(context)
        plan.approve(context, planned.digest)
        applied = asyncio.run(apply.apply(context, planned.digest))
        state = context.store.state(applied.run)
        step = next(one.id for one in planned.runbook.steps if state.of(one.id).status == "asked")
        assert not state.outcome or state.outcome == "partial"
        assert world.clock is not None
        now = rfc3339(world.clock.now())
        shutil.copy(world.facts["ca_bundle"], folder / "ca.pem")
        facts = {**world.facts, "ca_bundle": str(folder / "ca.pem")}
    finally:
        world.stop()
    content = {"run": applied.run, "step": step, "runbook": planned.digest}
    (folder / "prepared.json").write_text(json.dumps(content), "utf-8")
    return Prepared(folder, facts, now)


def prepare(folder: Path, **facts: Any) -> Path:
    """Copy settings and store there; returns the folder.

    ``ready.json`` describes a cloud that was there: it lives as long as this process, its clock goes on from the end of the
    run, and nothing listens at its addresses, unless ``facts`` names others.
    """
    made = prepared()
    shutil.copytree(made.folder / ".drkit", folder / ".drkit")
    for name in ("drkit.toml", "prepared.json"):
        shutil.copy(made.folder / name, folder)
    now = datetime.now(UTC)
    for path in (folder / ".drkit" / "approvals").glob("*.json"):
        # As old on the new clock as it was on the old one, which leapt.
        age = parse_time(made.now) - parse_time(json.loads(path.read_text("utf-8"))["when"])
        os.utime(path, (now.timestamp() - age.total_seconds(),) * 2)
    clock = {"origin": made.now, "started": rfc3339(now), "speed": 1.0}
    ready = {**made.facts, "pid": os.getpid(), "clock": clock, **facts}
    path = folder / "ready.json"
    path.touch(0o600)
    path.write_text(json.dumps(ready), "utf-8")
    return folder
