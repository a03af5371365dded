"""What a session costs: calls by kind, bytes, throttled calls, seconds waited."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal

CallKind = Literal["read", "write", "probe", "token"]
_SUBSCRIPTION = re.compile(r"^https?://[^/]+/subscriptions/([^/?#]+)", re.IGNORECASE)


def subscription_of(url: str) -> str:
    """The subscription that an ARM URL names, in lower case; empty for any other URL."""
    match = _SUBSCRIPTION.match(url)
    return match.group(1).lower() if match else ""


class Counters:
    """The counts of one session. Each attempt that reaches the transport is one call."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter({"read": 0, "write": 0, "probe": 0, "token": 0})
        self.by_subscription: Counter[str] = Counter()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.throttled = 0
        self.retries = 0
        self.waited_seconds = 0.0

    def call(self, kind: CallKind, url: str, sent: int) -> None:
        """Count a request of ``sent`` bytes that goes to the transport."""
        self.calls[kind] += 1
        self.sent_bytes += sent
        if subscription := subscription_of(url):
            self.by_subscription[subscription] += 1

    def answer(self, status: int, received: int) -> None:
        """Count an answer that was read to its end; ``received``: bytes of its body."""
        self.received_bytes += received
        if status == 429:
            self.throttled += 1

    def waited(self, seconds: float) -> None:
        """Count seconds of the session's clock that throttle or retry waited."""
        self.waited_seconds += seconds

    def snapshot(self) -> dict[str, Any]:
        """The counts as plain values, for evidence: ``{calls{read,write,probe,token}, throttled, waited_seconds, ...}``."""
        return {
            "calls": dict(self.calls),
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
            "throttled": self.throttled,
            "retries": self.retries,
            "waited_seconds": round(self.waited_seconds, 3),
            "by_subscription": dict(self.by_subscription),
        }
