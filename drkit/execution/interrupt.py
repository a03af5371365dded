"""A clock that a signal interrupts, so that a person who asked the process to leave does not wait for its sleeps."""

from __future__ import annotations

import asyncio
from datetime import datetime

from drkit.model.clock import Clock, StoppedError


class InterruptibleClock:
    """A clock whose waits end at once, with StoppedError, when ``stop`` is called, so that nobody waits for a long Retry-After.

    Requests under way are not cut off; only what sleeps between them is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End every wait."""
        self._stopped.set()

    def stopped(self) -> bool:
        """Whether it was called."""
        return self._stopped.is_set()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds of the clock, never going back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of the clock; StoppedError when the run is to be left."""
        sleeper = asyncio.create_task(self._clock.sleep(seconds))
        waker = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
        if self.stopped():
            raise StoppedError
