"""One chaos run: a seeded story of faults and deaths, carried out, and judged by what the simulator recorded and what exists."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.every_record import place_of
from tests.chaos.life import DEATHS, KILLED, Life, Lives
from tests.estates import (
    BY_HAND,
    HOSTED,
    MANAGED,
    REGION,
    SUBSCRIPTION,
    TARGET,
    Json,
    People,
    Site,
    done_twice,
    estate,
    guid,
)

MOST_LIVES = 12
SECONDS = 120.0
CONTROL = r"^(?!.*/control/)"


@dataclass
class Fate:
    """How a chaos run ended: drkit's outcome, and what the judge found. ``blows``: the faults of its story."""

    number: int
    blows: tuple[str, ...]
    outcome: str = "stuck"
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    deaths: int = 0

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, an end that drkit may have; the full one unless the story stands in its way for good."""
        hindered = any(name in FOR_GOOD for name in self.blows)
        ends = {"succeeded", "succeeded-with-exceptions"} | ({"partial", "failed"} if hindered else set())
        return not self.lost and not self.twice and self.outcome in ends


@dataclass(frozen=True)
class Night:
    """What a blow may use."""

    site: Site
    random: random.Random

    def fault(self, **rule: Any) -> None:
        self.site.world.control("fault", **rule)

    def few(self, most: int = 6) -> int:
        return self.random.randint(1, most)


def _throttled(night: Night) -> None:
    night.fault(status=429, code="TooManyRequests", retry_after=night.few(10), nth=night.few(20), times=night.few(25))


def _server_errors(night: Night) -> None:
    status = night.random.choice((500, 502, 503, 504))
    night.fault(status=status, method=night.random.choice(("GET", "POST", "PUT")), nth=night.few(8), times=night.few(6))


def _cut_before(night: Night) -> None:
    night.fault(drop="before", method=night.random.choice(("GET", "POST", "PUT")), nth=night.few(8), times=night.few(3))


def _cut_after(night: Night) -> None:
    night.fault(drop="after", method=night.random.choice(("POST", "PUT")), nth=night.few(6), times=night.few(2))


def _truncated(night: Night) -> None:
    night.fault(truncate=True, method=night.random.choice(("GET", "POST", "PUT")), nth=night.few(8), times=night.few(3))


def _html(night: Night) -> None:
    night.fault(
        html=True, status=502, method=night.random.choice(("GET", "POST")), nth=night.few(8), times=night.few(3)
    )


def _slow(night: Night) -> None:
    night.fault(delay=night.few(25), nth=night.few(5), times=night.few(20))


def _operation_fails(night: Night) -> None:
    night.fault(method="PUT", url="/plans/", lro="fail", code="InternalServerError", message="try again", times=1)


def _operation_never_ends(night: Night) -> None:
    night.fault(method="PUT", url="/plans/", lro="never", times=1)


def _tokens_expire(night: Night) -> None:
    night.site.world.control("token", expire=True)
    threading.Timer(night.random.uniform(0.5, 3), lambda: _quietly(night, "token", expire=True)).start()


def _region_returns(night: Night) -> None:
    threading.Timer(night.random.uniform(0.5, 6), lambda: _quietly(night, "restore", region=REGION)).start()


def _target_fills(night: Night) -> None:
    kind, limit = night.random.choice(("plans", "environments")), night.random.randint(0, 3)
    night.site.world.control("quota", subscription=SUBSCRIPTION, region=TARGET, kind=kind, limit=limit)


def _never_mended(night: Night) -> None:
    night.fault(method="POST", url="/api/v1/environments", status=500, times=0)


def _quietly(night: Night, name: str, **body: Any) -> None:
    try:
        night.site.world.control(name, **body)
    except Exception as error:
        print(f"{name}: {error}")


BLOWS: dict[str, Callable[[Night], None]] = {
    "429 storm": _throttled,
    "5xx": _server_errors,
    "cut before": _cut_before,
    "cut after": _cut_after,
    "truncated": _truncated,
    "html": _html,
    "slow": _slow,
    "operation fails": _operation_fails,
    "operation never ends": _operation_never_ends,
    "tokens expire": _tokens_expire,
    "region returns": _region_returns,
    "target fills": _target_fills,
    "never mended": _never_mended,
}
FOR_GOOD = frozenset({"operation never ends", "operation fails", "region returns", "target fills", "never mended"})


def one(number: int, seed: int, folder: Path, lives: Lives) -> Fate:
    """Tell one story of a seed to its end, and judge it."""
    story = random.Random(f"{seed}/{number}")
    blows = tuple(story.sample(sorted(BLOWS), story.choice((1, 1, 2, 2, 3))))
    fate = Fate(number, blows)
    minutes = story.choice((0.0, 0.0, 0.0, -7.0, 4.0))
    try:
        with estate(folder) as site:
            night = Night(site, story)
            for name in blows:
                BLOWS[name](night)
            with People(site):
                _lived(fate, site, story, minutes, lives)
            fate.twice = [one for one in done_twice(site) if not (in_vain(fate) and " started " in one)]
            fate.lost = [one for one in lost(site) if not (in_vain(fate) and one.startswith(f"{BY_HAND}: registered"))]
    except AssertionError as error:
        fate.outcome = "stuck"
        fate.twice = [*fate.twice, *str(error).splitlines()[:1]]
    return fate


def in_vain(fate: Fate) -> bool:
    """Whether the target takes nobody: then a host is tried in vain more than once, and who went to a machine went in vain."""
    return bool({"target fills", "never mended"} & set(fate.blows))


def _lived(fate: Fate, site: Site, story: random.Random, minutes: float, lives: Lives) -> None:
    place, deadly = place_of(site), story.randint(0, 4)
    calm = 0
    for number in range(MOST_LIVES):
        life = Life(minutes=minutes)
        if number < deadly:
            life = Life(story.randint(1, 30), story.choice(DEATHS), minutes)
        code = lives.one(place, life, seconds=SECONDS)
        if code is None:
            fate.outcome = "stuck"
            return
        fate.deaths += code == KILLED
        if code == KILLED or not site.run:
            continue
        fate.outcome = site.state.outcome or "stuck"
        if fate.outcome != "partial" or calm == 2:
            return
        # What passes has passed; a person resumes, and once more.
        calm += 1
        if "never mended" not in fate.blows:
            site.world.control("unfault")


def lost(site: Site) -> list[str]:
    """Environments that exist nowhere any more, and hosts registered with nothing."""
    state: Json = site.world.view("state")
    there = {(one["owner"], one["name"].split(" ")[0]) for one in state["environments"]}
    ids = {one["id"] for one in state["environments"]}
    faults = []
    for name in (*MANAGED, *HOSTED, BY_HAND):
        if guid(name) not in ids and not any(name in known for _, known in there):
            faults.append(f"{name}: exists nowhere")
    for host in state["hosts"]:
        if not host["registrations"]:
            faults.append(f"{host['id']}: registered with nothing")
    return faults
