"""How many requests Azure Resource Manager accepts: token buckets for each subscription, principal and region. Pure.

https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
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
"""Kind of operation -> tokens in a full bucket, tokens that it gains in a second."""


def drain_seconds(requests: int, operation: OperationKind) -> float:
    """Seconds until that many requests are sent, from a full bucket."""
    capacity, rate = LIMITS[operation]
    return max(0.0, (requests - capacity) / rate)
