"""Plays a named story on a simulated Azure: snapshot, what happens minute by minute, and what ``assess`` says meanwhile.

One process holds the simulator and drkit, and both read one clock, which advances when something waits and at the story's
own steps. So half an hour takes a second, everything is said at the same moment each time, and all of it still passes
through real sockets.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from drkit.api import assess as assess_
from drkit.api import capture, explain
from drkit.api.context import Context
from drkit.drills.presenter import DrillPresenter
from drkit.errors import RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model.estate import Assessment, HostFinding
from drkit.model.ids import ArmId
from drkit.model.settings import parse
from drkit.planning.explain import Explanation
from drkit.products import scripts, tables
from drkit.simulator import Simulator
from drkit.simulator.core import clock as simulated
from drkit.simulator.samples.stories import STORIES, HostStory, StoryCall
from drkit.store.store import Store

ORIGIN = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
"""Minute 0 of every story."""
BEFORE = 5.0
"""Minutes before it at which the baseline is taken."""
PROBE_SECONDS = 60


@dataclass(frozen=True)
class StoryClock(simulated.SimulatedClock):
    """A clock that advances when something waits, for the simulator and for drkit at once."""

    passed: list[float] = field(default_factory=lambda: [0.0])

    def now(self) -> datetime:
        return self.origin + timedelta(seconds=self.passed[0])

    def monotonic(self) -> float:
        """Seconds since the clock began."""
        return self.passed[0]

    def wall(self, simulated_seconds: float) -> float:
        del simulated_seconds
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Two who wait at once wait together."""
        until = self.passed[0] + max(0.0, seconds)
        await asyncio.sleep(0)
        self.passed[0] = max(self.passed[0], until)

    @property
    def minute(self) -> float:
        """The minute of the story."""
        return (self.now() - ORIGIN).total_seconds() / 60

    def go(self, minute: float) -> None:
        """Go on to that minute of the story, never back."""
        ahead = (minute - self.minute) * 60
        self.passed[0] += max(0.0, ahead)


@dataclass
class StagedStory:
    """A story on its stage: the context to work in, and the steps not yet played."""

    story: HostStory
    context: Context
    clock: StoryClock
    http: aiohttp.ClientSession
    control: str
    left: list[StoryCall]

    async def play(self, minute: float) -> list[StoryCall]:
        """Let time pass up to that minute; returns the steps that were played."""
        played = []
        while self.left and self.left[0].minute <= minute:
            step = self.left.pop(0)
            self.clock.go(step.minute)
            late = max(0.0, self.clock.minute - step.minute)
            body = dict(step.body)
            if late and step.call in ("host", "lose", "announce", "restore"):
                body["minutes_ago"] = late
            await self._tell(step.call, body)
            played.append(step)
        self.clock.go(minute)
        return played

    async def _tell(self, call: str, body: dict[str, Any]) -> None:
        async with self.http.post(f"{self.control}/{call}", json=body) as answer:
            if answer.status != 200:
                raise RefusedError(f"the simulator refused {call}: {await answer.text()}", where=self.story.name)

    async def record(self) -> list[dict[str, Any]]:
        """Every request that the simulator was asked so far, as it recorded them."""
        async with self.http.get(f"{self.control}/record") as answer:
            requests: list[dict[str, Any]] = (await answer.json())["requests"]
        return requests

    async def assess(self) -> Assessment:
        """What drkit says now."""
        return (await assess_.assess(self.context))[0]

    def finding(self, assessed: Assessment) -> HostFinding:
        """What it says of the host that the story is about."""
        subject = ArmId(self.story.subject)
        return next(host for host in assessed.hosts if host.key == subject)


def named(name: str) -> HostStory:
    """The story of that name, or UsageError with the nearest names."""
    import difflib

    if name in STORIES:
        return STORIES[name]
    near = difflib.get_close_matches(name, STORIES, 3, 0.4)
    raise UsageError(
        f"there is no story {name!r}",
        where="--story",
        remedy=f"did you mean {' or '.join(map(repr, near))}?" if near else f"one of: {', '.join(STORIES)}",
    )


@asynccontextmanager
async def staged(story: HostStory, folder: Path, settings: str | None = None) -> AsyncIterator[StagedStory]:
    """A story on its stage, its baseline taken. ``settings``: the text of a drkit.toml (default: the story's own)."""
    clock = StoryClock(ORIGIN - timedelta(minutes=BEFORE), datetime.now(UTC), 1.0)
    seed = {**story.seed(), "origin": simulated.precise(clock.origin)}
    simulator = Simulator(seed, host_scripts=scripts().hashes(), folder=folder / "cloud")
    simulator.world.clock = clock
    await simulator.start()
    try:
        facts = simulator.ready
        cloud = clouds.from_ready(msgspec.convert(json.loads(json.dumps(facts)), clouds.ReadyFile), "the story's own")
        chosen = parse(settings_text(story) if settings is None else settings, "the story's settings", tables())
        context = Context(chosen, Store(folder / "store"), lambda: cloud, loopback_only=True, own_clock=clock)
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=facts["ca_bundle"]))
        async with aiohttp.ClientSession(connector=connector) as http:
            await capture.snapshot(context)
            yield StagedStory(story, context, clock, http, str(facts["control"]), list(story.timeline))
    finally:
        await simulator.stop()


def settings_text(story: HostStory) -> str:
    """The drkit.toml of a story: the run-command channel, and the host that nobody can probe."""
    lines = [f"[assess]\nprobe_timeout_seconds = {PROBE_SECONDS}", '[channels]\nazure_vm = "run-command"']
    for host in story.seed()["settings"]["host"]:
        keys = {"environment": "environment", "id": "host", "channel": "channel", "user": "user"}
        lines += ["[[host]]", *(f"{key} = {json.dumps(host[name])}" for key, name in keys.items())]
    return "\n".join([*lines, ""])


@dataclass(frozen=True)
class Played:
    """A story that was played: what happened, in words, and what drkit said of it at the end."""

    story: HostStory
    steps: Sequence[StoryCall]
    assessment: Assessment
    finding: HostFinding
    explanation: Explanation


def names() -> list[str]:
    """What ``drill --story`` can play."""
    return list(STORIES)


async def tell(
    name: str, say: Callable[[str], None], presenter: DrillPresenter, *, folder: str | None = None, columns: int = 80
) -> dict[str, Any]:
    """Play a story, say what happens and what drkit concludes; returns what ``drkit drill --story --json`` prints.

    The name ``list`` lists the names. ``folder``: where its files are kept (default: nowhere).
    """
    if name == "list":
        for story in STORIES.values():
            say(f"{story.name}: {story.why}")
        return {"stories": list(STORIES)}
    played = await play(name, Path(folder) if folder else None)
    story, explanation = played.story, played.explanation
    say(f"{story.name}: {story.why}")
    say("  00:00  drkit took its baseline, five minutes before")
    for step in story.timeline:
        say(f"  {int(step.minute) // 60:02}:{int(step.minute) % 60:02}  {step.tells}")
    say(
        f"  {int(story.ends) // 60:02}:{int(story.ends) % 60:02}  `drkit assess`, and `drkit explain {explanation.name}`:"
    )
    say("")
    for line in presenter.explanation(explanation, columns):
        say(line)
    as_told = verdict_of(played.finding) == verdict_of(story.verdict)
    if not as_told:
        say("")
        say(f"the story should end with {verdict_of(story.verdict)}, and ends with {verdict_of(played.finding)}")
    return {"story": story.name, "why": story.why, "as_told": as_told, "explanation": explanation}


def verdict_of(finding: HostFinding | Mapping[str, Any]) -> tuple[str, str, int, str, tuple[str, ...]]:
    """A verdict to compare: the note that it is provisional left out."""
    if not isinstance(finding, Mapping):
        finding = {name: getattr(finding, name) for name in ("outcome", "confidence", "rule", "reason", "notes")}
    notes = tuple(sorted(word for word in finding["notes"] if word not in ("", "provisional")))
    return finding["outcome"], finding["confidence"], finding["rule"], finding["reason"], notes


async def play(name: str, folder: Path | None = None) -> Played:
    """A story from its baseline to its end."""
    story = named(name)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="drkit-story-") as temporary:
            return await play(name, Path(temporary))
    async with staged(story, folder) as stage:
        steps = await stage.play(story.ends)
        assessed = await stage.assess()
        explanation = explain.explain(stage.context, story.subject)
        assert isinstance(explanation, Explanation)  # noqa: S101  a host's id means a host
        return Played(story, steps, assessed, stage.finding(assessed), explanation)
