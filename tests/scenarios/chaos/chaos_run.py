"""One chaos run: a seeded story of faults and deaths, carried out, and judged by what the simulator recorded and what exists."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from drkit.api import history
from tests.scenarios.chaos.grounds import GROUNDS, Ground
from tests.scenarios.chaos.operator import Operator, unsaid
from tests.scenarios.chaos.second_store import KEPT_OUT, Elsewhere
from tests.support.estates import REGION, SUBSCRIPTION, TARGET, Json, Site
from tests.support.kill_points import place_of
from tests.support.run_process import DEATHS, KILLED, Life, Lives

MOST_LIVES = 12
SECONDS = 120.0


@dataclass
class Fate:
    """How a chaos run ended: drkit's outcome, and what the judge found.

    ``blows``: the faults of its story; ``struck``: how often each of them did strike, by the simulator's own count.
    """

    number: int
    blows: tuple[str, ...]
    outcome: str = "stuck"
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    deaths: int = 0
    struck: dict[str, int] = field(default_factory=dict)
    ground: str = "codespaces"
    unsaid: list[str] = field(default_factory=list)
    """Where drkit's word at the end and the world differ."""
    operator: dict[str, int] | None = None
    """What a second operator said, and how often; None without one."""
    elsewhere: dict[str, int] | None = None
    """What came of another store's run beside this one; None without one."""
    why: str = ""
    """Of a story that is stuck: where."""
    paused: bool = False
    """Whether the second operator's pause was the last word, and nobody took it back."""

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, an end that drkit may have; the full one unless the story stands in its way for good."""
        said = self.operator or {}
        hindered = any(name in FOR_GOOD for name in self.blows) or bool(said.get("abort") or said.get("rebase"))
        ends = {"succeeded", "succeeded-with-exceptions"} | ({"partial", "failed"} if hindered else set())
        ends |= {"partial"} if self.paused else set()
        return not self.lost and not self.twice and not self.unsaid and self.outcome in ends


@dataclass
class StoryUnderWay:
    """What a blow may use. ``rules``: the simulator's rules by the blow that made them; ``struck``: what they did so far."""

    site: Site
    random: random.Random
    ground: Ground
    blow: str = ""
    rules: dict[str, list[int]] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)
    quiet: threading.Event = field(default_factory=threading.Event)

    def fault(self, **rule: Any) -> None:
        made = self.site.world.control("fault", **rule)
        self.rules.setdefault(self.blow, []).append(made["id"])

    def few(self, most: int = 6) -> int:
        return self.random.randint(1, most)

    def request(self, besides: str = "") -> Json:
        """A method, and one of its first requests, that a run on this ground does make."""
        method = self.random.choice([name for name in self.ground.requests if name != besides])
        return {"method": method, "nth": self.few(self.ground.requests[method])}

    def later(self, least: float, most: float, name: str, **body: Any) -> None:
        """A call of the control interface that many real seconds from now; none once the night is over."""
        blow = self.blow

        def strike() -> None:
            if not self.quiet.is_set():
                self.site.world.control(name, **body)
                self.struck[blow] = self.struck.get(blow, 0) + 1

        threading.Timer(self.random.uniform(least, most), strike).start()

    def over(self) -> None:
        """Nothing strikes any more, by itself."""
        self.quiet.set()

    def count(self) -> None:
        """Read how often the rules struck, before they are taken back."""
        by_rule = {one["id"]: int(one["struck"]) for one in self.site.world.view("faults")["faults"]}
        for blow, rules in self.rules.items():
            known = [by_rule.pop(rule) for rule in rules if rule in by_rule]
            self.struck[blow] = self.struck.get(blow, 0) + sum(known)
            self.rules[blow] = []


def _throttled(night: StoryUnderWay) -> None:
    night.fault(status=429, code="TooManyRequests", retry_after=night.few(10), nth=night.few(20), times=night.few(25))


def _server_errors(night: StoryUnderWay) -> None:
    night.fault(status=night.random.choice((500, 502, 503, 504)), times=night.few(6), **night.request())


def _cut_before(night: StoryUnderWay) -> None:
    night.fault(drop="before", times=night.few(3), **night.request())


def _cut_after(night: StoryUnderWay) -> None:
    night.fault(drop="after", times=night.few(2), **night.request(besides="GET"))


def _truncated(night: StoryUnderWay) -> None:
    night.fault(truncate=True, times=night.few(3), **night.request())


def _html(night: StoryUnderWay) -> None:
    night.fault(html=True, status=502, times=night.few(3), **night.request())


def _slow(night: StoryUnderWay) -> None:
    night.fault(delay=night.few(25), nth=night.few(5), times=night.few(20))


def _operation_fails(night: StoryUnderWay) -> None:
    method, url = night.ground.operations
    night.fault(
        method=method, url=url, nth=night.few(3), times=1, lro="fail", code="InternalServerError", message="try again"
    )


def _operation_never_ends(night: StoryUnderWay) -> None:
    method, url = night.ground.operations
    night.fault(method=method, url=url, nth=night.few(3), times=1, lro="never")


def _stale_lists(night: StoryUnderWay) -> None:
    night.fault(method="GET", url=night.ground.lists, stale=night.random.choice(night.ground.stale), times=0)


def _tokens_expire(night: StoryUnderWay) -> None:
    night.site.world.control("token", expire=True)
    night.later(0.5, 3, "token", expire=True)


def _region_returns(night: StoryUnderWay) -> None:
    night.later(0.5, 6, "restore", region=REGION)


def _region_goes(night: StoryUnderWay) -> None:
    night.later(0.5, 4, "lose", region=REGION)


def _target_fills(night: StoryUnderWay) -> None:
    kind, limit = night.random.choice(("plans", "environments")), night.random.randint(0, 3)
    night.site.world.control("quota", subscription=SUBSCRIPTION, region=TARGET, kind=kind, limit=limit)


def _never_mended(night: StoryUnderWay) -> None:
    method, url = night.ground.needed
    night.fault(method=method, url=url, status=500, times=0)


BLOWS: dict[str, Callable[[StoryUnderWay], None]] = {
    "429 storm": _throttled,
    "5xx": _server_errors,
    "cut before": _cut_before,
    "cut after": _cut_after,
    "truncated": _truncated,
    "html": _html,
    "slow": _slow,
    "operation fails": _operation_fails,
    "operation never ends": _operation_never_ends,
    "stale lists": _stale_lists,
    "tokens expire": _tokens_expire,
    "region returns": _region_returns,
    "region goes": _region_goes,
    "target fills": _target_fills,
    "never mended": _never_mended,
}
KINDS = ("codespaces", "codespaces", "hybrid workers", "codespaces back", "workers back")
OVER = frozenset({"codespaces", "hybrid workers"})
"""The grounds on which another store has something to plan: nothing is lost on the way back."""
SHARE_ELSEWHERE = 0.6
VAIN = frozenset({"target fills", "never mended", "region goes"})
"""Where these strike, what a host is registered with takes nobody for a while, and its registration may be begun in vain."""
SPEED = 60.0
"""Simulated seconds in a real one."""
FOR_GOOD = frozenset({"operation never ends", "operation fails", "region returns", "target fills", "never mended"})


def one(number: int, seed: int, folder: Path, lives: Lives, *, operator: bool = False) -> Fate:
    """Tell one story of a seed to its end, and judge it; with a second ``operator`` beside it, who has a seed of their own."""
    story = random.Random(f"{seed}/{number}")
    ground = GROUNDS[story.choice(KINDS)]
    known = sorted(set(BLOWS) - ground.never)
    blows = tuple(story.sample(known, story.choice((1, 1, 2, 2, 3))))
    minutes = story.choice((0.0, 0.0, 0.0, -7.0, 4.0))
    fate = Fate(number, blows, ground=ground.name)
    try:
        with ground.site(folder) as site:
            night = StoryUnderWay(site, story, ground)
            for name in blows:
                night.blow = name
                BLOWS[name](night)
            second = Operator(site, random.Random(f"{seed}/{number}/operator")) if operator else None
            beside = _elsewhere(night, blows, lives, f"{seed}/{number}", folder) if operator else None
            try:
                with ground.people(site), second or nullcontext(), beside or nullcontext():
                    _lived(fate, night, minutes, lives, second, beside)
                    if beside is not None:
                        night.count()
                        site.world.control("unfault")
                        beside.see_through()
            finally:
                night.over()
            night.count()
            fate.struck = night.struck | told(site, blows) | ({"clock off": 1} if minutes else {})
            vain = bool(VAIN & set(blows))
            fate.twice = ground.twice(site, vain)
            fate.lost = ground.lost(site, vain)
            fate.unsaid = unsaid(site, ground.serving(site), beside.site if beside is not None else None)
            if beside is not None:
                fate.elsewhere = dict(beside.said)
                fate.unsaid += beside.faults
            if second is not None:
                fate.operator = dict(second.said)
                fate.paused = bool(site.run and site.state.paused)
                # Nobody is lost of whom drkit says that they are; and who was skipped, or left by an abort, is not back.
                contexts = [site.context, *([beside.site.context] if beside is not None else [])]
                named = {doubt.host.lower() for context in contexts for doubt, _ in history.in_doubt(context)}
                fate.lost = [
                    one
                    for one in fate.lost
                    if one.partition(": ")[0].lower() not in named and not one.endswith("is not back")
                ]
    except AssertionError as error:
        fate.outcome = "stuck"
        fate.twice = [*fate.twice, *str(error).splitlines()[:1]]
    return fate


def _elsewhere(night: StoryUnderWay, blows: tuple[str, ...], lives: Lives, seed: str, folder: Path) -> Elsewhere | None:
    """Another store beside the site, in some of the stories in which something is lost."""
    story = random.Random(f"{seed}/elsewhere")
    ground = night.ground
    if ground.name not in OVER or story.random() >= SHARE_ELSEWHERE:
        return None
    behind = max(ground.stale) / SPEED if "stale lists" in blows else 0.0
    place = folder.with_name(f"{folder.name}-elsewhere")
    endless = "operation never ends" in blows
    return Elsewhere(night.site, ground, lives, story, place, behind=behind, endless=endless)


@cache
def _lives() -> Lives:
    return Lives()


def alone(number: int, seed: int, *, operator: bool = False, keep: Path | None = None) -> Fate:
    """One story, in a folder of its own that is removed after it unless ``keep`` has it; for a process that tells many."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"story-{number}-", dir=keep))
        return one(number, seed, folder / "run", _lives(), operator=operator)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        return one(number, seed, Path(name) / "run", _lives(), operator=operator)


def told(site: Site, blows: tuple[str, ...]) -> dict[str, int]:
    """How often those blows did strike that are no rules, by the simulator's record."""
    record: list[Json] = site.record()
    found = {
        "tokens expire": sum(one["status"] == 401 for one in record),
        "target fills": sum(
            (one["status"] or 0) in (400, 403, 409) and one["method"] in ("PUT", "POST") for one in record
        ),
        "stale lists": sum(bool(one.get("behind")) for one in record),
    }
    return {name: number for name, number in found.items() if name in blows}


def _lived(
    fate: Fate,
    night: StoryUnderWay,
    minutes: float,
    lives: Lives,
    second: Operator | None = None,
    beside: Elsewhere | None = None,
) -> None:
    site, story = night.site, night.random
    place, deadly = night.ground.place(place_of(site)), story.randint(0, 4)
    calm = 0
    for number in range(MOST_LIVES):
        life = Life(minutes=minutes)
        if number < deadly:
            life = Life(story.randint(1, 30), story.choice(DEATHS), minutes)
        code = lives.one(place, life, seconds=SECONDS)
        if code is None:
            fate.outcome, fate.why = "stuck", f"process {number + 1} did not end within {SECONDS:.0f} s"
            return
        fate.deaths += code == KILLED
        if code == KILLED or not site.run:
            continue
        fate.outcome = site.state.outcome or "stuck"
        fate.why = "" if site.state.outcome else f"process {number + 1} left with {code} and the run without an end"
        if code == KEPT_OUT and beside is not None and not site.state.outcome:
            # It saw the other store's run, and says what to do: make sure that it is over, then resume.
            beside.said["kept us out"] += 1
            beside.see_through()
            continue
        # A run command that does not end holds its host for as long as Azure lets it; somebody comes back after that.
        if fate.outcome != "partial" or calm == (5 if "operation never ends" in fate.blows else 2):
            return
        # What passes has passed; a person resumes, and once more.
        calm += 1
        night.count()
        if second is not None:
            second.say("unpause")
            if second.story.random() < 0.3:
                place = second.rebase(place)
        if "never mended" not in fate.blows:
            site.world.control("unfault")
        if "region goes" in fate.blows:
            site.world.control("restore", region=REGION)
