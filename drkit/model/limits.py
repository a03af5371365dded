"""How many requests Azure Resource Manager takes: token buckets per subscription, principal and region. Pure.

Sizes: learn.microsoft.com "Understand how Azure Resource Manager throttles requests" (request-limits-and-throttling).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

OperationKind = Literal["read", "write", "delete"]
LIMITS: Mapping[OperationKind, tuple[float, float]] = {
    "read": (250.0, 25.0),
    "write": (200.0, 10.0),
    "delete": (200.0, 10.0),
}
"""OperationKind -> tokens a full bucket holds, tokens it gains a second."""


def drain_seconds(requests: int, operation: OperationKind) -> float:
    """Seconds until so many requests have left, the bucket being full at the beginning."""
    capacity, rate = LIMITS[operation]
    return max(0.0, (requests - capacity) / rate)
