"""A run killed at every record it writes: each process dies at its first record, every third one before it, or in its middle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.support.estates import People, Site, done_twice, found_end
from tests.support.patience import PATIENCE
from tests.support.run_process import KILLED, Life, Lives, Place

MOST_PROCESSES = 4000


@dataclass
class Killed:
    """What became of a run that was killed all the way: deaths, last exit code, what was done twice, what exists in the end."""

    deaths: int = 0
    exit_code: int | None = None
    twice: list[str] = field(default_factory=list)
    end: Any = None
    kinds: set[str] = field(default_factory=set)


def place_of(site: Site) -> Place:
    """Where processes of a site work."""
    assert site.planned is not None
    return Place(str(site.world.ready), str(site.folder), site.store_name, site.planned.digest)


def killed_at_every_record(
    site: Site,
    lives: Lives,
    *,
    every: int = 1,
    between: Callable[[], None] = lambda: None,
    place: Place | None = None,
    people: Callable[[Site], AbstractContextManager[Any]] = People,
    seconds: float = PATIENCE,
) -> Killed:
    """Carry out the approved runbook with processes of which each dies at its ``every``-th record, until one lives to the end."""
    found = Killed()
    place = place or place_of(site)
    with people(site):
        for number in range(MOST_PROCESSES):
            death = ("after", "before", "after", "torn", "after", "after")[number % 6]
            # Who dies before its first record gets nowhere: the next one dies after it.
            code = lives.one(place, Life(every, death), seconds=seconds)  # type: ignore[arg-type]
            if code != KILLED:
                found.exit_code = code
                break
            found.deaths += 1
            between()
            if records := site.journal():
                found.kinds.add(str(records[-1]["kind"]))
    found.twice = done_twice(site)
    found.end = found_end(site)
    return found
