"""One clock for all waits and times: the real one, or that of a simulated Azure.

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
    """A wait was cut short because the process leaves the run; the step stays as the journal has it."""


class Clock(Protocol):
    """What drkit needs of a clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of this clock; they never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of this clock."""
        ...


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def from_wall(self, moment: datetime) -> datetime:
        """The same moment."""
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
        """The simulated time at that time of the machine's clock."""
        return self.origin + timedelta(seconds=self.speed * (moment - self.started).total_seconds())

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)


def from_wall(clock: Clock, moment: datetime) -> datetime:
    """A time of the machine's own clock (a file's time, a service's date) as a time of ``clock``.

    A clock without ``from_wall`` is assumed to run at the speed of the machine's clock.
    """
    convert = getattr(clock, "from_wall", None)
    converted: datetime = convert(moment) if convert else clock.now() - (datetime.now(UTC) - moment)
    return converted


def rfc3339(moment: datetime) -> str:
    """``2026-11-23T07:30:00Z``: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as a datetime in UTC. ValueError for any other text, and for a time outside the calendar of UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text[:100]!r} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text[:100]!r} is outside the calendar") from error


def time_faults(place: str, text: str) -> list[str]:
    """What is wrong with a time at that place; empty for an RFC 3339 time."""
    try:
        parse_time(text)
    except (ValueError, OverflowError) as error:
        return [f"{place}: {error}"]
    return []
