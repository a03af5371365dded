"""How many requests Azure Resource Manager takes: token buckets per subscription, principal and region. Pure.

Sizes: learn.microsoft.com "Understand how Azure Resource Manager throttles requests" (request-limits-and-throttling).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Operation = Literal["read", "write", "delete"]
LIMITS: Mapping[Operation, tuple[float, float]] = {
    "read": (250.0, 25.0),
    "write": (200.0, 10.0),
    "delete": (200.0, 10.0),
}
"""Operation -> tokens a full bucket holds, tokens it gains a second."""


def drain_seconds(requests: int, operation: Operation) -> float:
    """Seconds until so many requests have left, the bucket being full at the beginning."""
    capacity, rate = LIMITS[operation]
    return max(0.0, (requests - capacity) / rate)
