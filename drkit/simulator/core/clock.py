"""Simulated time: origin + speed x (wall - started), fixed when the simulator starts, at most 60 times real time.

Everything the simulated cloud does takes simulated seconds. Token lifetimes (``expires_in``) are real seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MAX_SPEED = 60.0


@dataclass(frozen=True)
class SimulatedClock:
    """``origin``: the simulated moment at which the clock began; ``started``: the real one."""

    origin: datetime
    started: datetime
    speed: float

    @classmethod
    def start(cls, origin: datetime | None, speed: float) -> SimulatedClock:
        """A clock that begins now, by default at the real time. ValueError for a speed out of bounds."""
        if not 0 < speed <= MAX_SPEED:
            raise ValueError(f"speed {speed:g} is not above 0 and at most {MAX_SPEED:g}")
        started = datetime.now(UTC)
        return cls(origin or started, started, speed)

    def now(self) -> datetime:
        """The simulated time, in UTC."""
        return self.origin + timedelta(seconds=self.speed * (time.time() - self.started.timestamp()))

    def wall(self, simulated_seconds: float) -> float:
        """How many real seconds that many simulated seconds take."""
        return simulated_seconds / self.speed

    def public(self) -> dict[str, object]:
        """What a program in another process needs to read the same time: times in RFC 3339 with microseconds, UTC."""
        return {"origin": precise(self.origin), "started": precise(self.started), "speed": self.speed}


def precise(moment: datetime) -> str:
    """``2026-11-23T07:30:00.123456Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stamp(moment: datetime) -> str:
    """``2026-11-23T07:30:00.1234560+00:00``: seven digits, as Compute and Resource Manager write times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0+00:00"
