"""Resource Manager's token buckets: per subscription, principal, region and kind of operation.

Reads 250 and 25 a second, writes and deletes 200 and 10 a second, for subscriptions and tenants alike.
https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from drkit.simulator.core.state import Json
from drkit.simulator.core.wire import ArmError

LIMITS = {"reads": (250.0, 25.0), "writes": (200.0, 10.0), "deletes": (200.0, 10.0)}


def kind_of(method: str) -> str:
    return {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(method, "writes")


@dataclass
class TokenBucket:
    tokens: float
    at: datetime


@dataclass
class RateLimiter:
    """``limits``: kind -> (size of the bucket, tokens a simulated second)."""

    limits: dict[str, tuple[float, float]] = field(default_factory=lambda: dict(LIMITS))
    buckets: dict[tuple[str, str, str, str], TokenBucket] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)

    def take(self, now: datetime, subscription: str, principal: str, region: str, method: str) -> dict[str, str]:
        """Take one token and give the rate-limit header; 429 with ``Retry-After`` where there is none."""
        kind = kind_of(method)
        size, refill = self.limits[kind]
        key = (subscription.lower(), principal, region, kind)
        bucket = self.buckets.setdefault(key, TokenBucket(size, now))
        bucket.tokens = min(size, bucket.tokens + refill * (now - bucket.at).total_seconds())
        bucket.at = now
        scope = "subscription" if subscription else "tenant"
        if bucket.tokens < 1:
            self.refused[kind] += 1
            wait = max(1, math.ceil((1 - bucket.tokens) / refill))
            what = f"subscription '{subscription}'" if subscription else "the tenant"
            raise ArmError(
                429,
                "SubscriptionRequestsThrottled" if subscription else "TenantRequestsThrottled",
                f"Number of '{kind}' requests for {what} exceeded the limit. Please try again after '{wait}' seconds.",
                {"Retry-After": str(wait), f"x-ms-ratelimit-remaining-{scope}-{kind}": "0"},
            )
        bucket.tokens -= 1
        self.taken[kind] += 1
        return {f"x-ms-ratelimit-remaining-{scope}-{kind}": str(int(bucket.tokens))}

    def counts(self) -> Json:
        return {"throttled": sum(self.refused.values()), "refused": dict(self.refused), "taken": dict(self.taken)}
