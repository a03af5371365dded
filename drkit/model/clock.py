"""One clock for everything that waits or is dated: the real one, or that of a simulated Azure.

Socket timeouts, TLS, token lifetimes, leases and file locks use real time.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

MAX_SPEED = 60.0


class StoppedError(Exception):
    """A wait was cut short because the run is to be left; the step stays as its journal has it."""


class Clock(Protocol):
    """What drkit asks of time."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of this clock, never going back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def from_wall(self, moment: datetime) -> datetime:
        """That moment itself."""
        return moment

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


@dataclass(frozen=True)
class SimulatedClock:
    """origin + speed x (wall - started): the same moment in every process that reads the same ready file."""

    origin: datetime
    started: datetime
    speed: float

    def __post_init__(self) -> None:
        if not 0 < self.speed <= MAX_SPEED:
            raise ValueError(f"speed {self.speed} is not above 0 and at most {MAX_SPEED:g}")

    def now(self) -> datetime:
        return self.from_wall(datetime.now(UTC))

    def from_wall(self, moment: datetime) -> datetime:
        """The simulated moment at that one of the machine's clock."""
        return self.origin + timedelta(seconds=self.speed * (moment - self.started).total_seconds())

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)


def from_wall(clock: Clock, moment: datetime) -> datetime:
    """A moment of the machine's own clock (a file's time, a service's date) on that clock.

    A clock that does not say how it is made of the machine's own is taken to have gone on as that one did.
    """
    convert = getattr(clock, "from_wall", None)
    found: datetime = convert(moment) if convert else clock.now() - (datetime.now(UTC) - moment)
    return found


def rfc3339(moment: datetime) -> str:
    """``2026-11-23T07:30:00Z``: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as a datetime in UTC; ValueError otherwise, and for one that UTC's calendar does not reach."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text[:100]!r} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text[:100]!r} is out of the calendar") from error


def time_faults(place: str, text: str) -> list[str]:
    """What is wrong with a time at that place; empty for an RFC 3339 time."""
    try:
        parse_time(text)
    except (ValueError, OverflowError) as error:
        return [f"{place}: {error}"]
    return []
