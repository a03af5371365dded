"""ARM's token buckets, counted on our side too, so that a 429 is the exception and not the rule.

https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from drkit.errors import ThrottledError
from drkit.model.arm_limits import LIMITS, OperationKind
from drkit.model.clock import Clock
from drkit.providers.counters import Counters

_REMAINING = "x-ms-ratelimit-remaining-{scope}-{operation}s"


class Bucket:
    """One token bucket. Pure: every method takes the time (seconds, never going back)."""

    def __init__(self, capacity: float, rate: float, now: float) -> None:
        if capacity < 1 or rate <= 0:
            raise ValueError("a bucket holds at least one token and refills")
        self.capacity = capacity
        self.rate = rate
        self._tokens = capacity
        self._at = now
        self._closed_until = now

    def tokens(self, now: float) -> float:
        """How many requests could be sent at once now (never more than the capacity)."""
        if now > self._at:
            self._tokens = min(self.capacity, self._tokens + (now - self._at) * self.rate)
            self._at = now
        return self._tokens

    def wait(self, now: float) -> float:
        """Seconds until one request may be sent; 0 when it may be sent now."""
        missing = 1.0 - self.tokens(now)
        # Slightly more than the exact time, so that rounding never leaves a waiter short of its token.
        refill = missing / self.rate + 1e-9 if missing > 0 else 0.0
        return max(refill, self._closed_until - now, 0.0)

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        if self.wait(now) > 0:
            return False
        self._tokens -= 1.0
        return True

    def correct(self, remaining: float, now: float) -> None:
        """Lower the tokens to the number that the server reports; a higher number is ignored."""
        self._tokens = min(self.tokens(now), max(0.0, remaining))

    def close(self, seconds: float, now: float) -> None:
        """The server refused: nothing is sent for ``seconds``, because an earlier request would restart its wait."""
        self._closed_until = max(self._closed_until, now + seconds)


@dataclass(frozen=True)
class BucketKey:
    """What ARM counts requests by. ``region`` is empty where the caller does not know which region of ARM serves it."""

    subscription: str
    principal: str
    region: str
    operation: OperationKind


class Throttle:
    """The buckets of one session. Waiters of a bucket are served in the order in which they came."""

    def __init__(
        self, clock: Clock, counters: Counters, limits: Mapping[OperationKind, tuple[float, float]] = LIMITS
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._limits = limits
        self._buckets: dict[BucketKey, tuple[Bucket, asyncio.Lock]] = {}

    def _of(self, key: BucketKey) -> tuple[Bucket, asyncio.Lock]:
        if key not in self._buckets:
            capacity, rate = self._limits[key.operation]
            self._buckets[key] = (Bucket(capacity, rate, self._clock.monotonic()), asyncio.Lock())
        return self._buckets[key]

    async def take(self, key: BucketKey, patience: float = float("inf")) -> None:
        """Return when one more request of that bucket may be sent.

        ThrottledError when Azure has asked for a pause of more than ``patience`` seconds.
        """
        bucket, turn = self._of(key)
        async with turn:
            waited = 0.0
            while not bucket.take(self._clock.monotonic()):
                pause = bucket.wait(self._clock.monotonic())
                if waited + pause > patience:
                    raise ThrottledError(
                        f"not sent: Azure throttles {key.operation}s here for another {pause:.0f} s",
                        where=f"/subscriptions/{key.subscription}" if key.subscription else "",
                        remedy="wait that long, then repeat the command",
                        status=429,
                    )
                if pause > 0:
                    await self._clock.sleep(pause)
                    self._counters.waited(pause)
                    waited += pause

    def learn(self, key: BucketKey, headers: Mapping[str, str], pause: float | None = None) -> None:
        """Correct the bucket by the headers of an answer (names in lower case).

        ``pause``: seconds of Retry-After, where the answer refused because there were no tokens.
        """
        bucket, _ = self._of(key)
        now = self._clock.monotonic()
        name = _REMAINING.format(scope="subscription" if key.subscription else "tenant", operation=key.operation)
        # A missing header, or one that is no number, corrects nothing.
        with contextlib.suppress(KeyError, ValueError):
            bucket.correct(float(headers[name]), now)
        if pause is not None:
            bucket.close(pause, now)
