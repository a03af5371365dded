"""What leaves for Azure, and what comes back from something that takes long. Pure values, used by every layer."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Style = Literal["azure-async-operation", "location", "none"]


class Request(msgspec.Struct, frozen=True):
    """One write an intent announces: HTTP method and the public URL without its query (compared without case)."""

    method: str
    target: str

    def covers(self, method: str, url: str) -> bool:
        """Whether a request of that method and URL is this one."""
        return self.method == method.upper() and self.target.rstrip("/").lower() == bare(url).lower()


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A long-running call that can be polled, now or by another process.

    ``url`` is the polling URL (it may be signed: kept in the journal, shown nowhere), ``style`` how to read it,
    ``stage`` the product's own word for what is being waited for, ``retry_after`` seconds until the next look,
    ``since`` when this stage began (RFC 3339).
    """

    method: str = ""
    url: str = ""
    style: Style = "none"
    stage: str = ""
    retry_after: float = 5.0
    since: str = ""


class PollResult(msgspec.Struct, frozen=True):
    """What one poll found: ``running``, ``succeeded`` with the final body, or ``failed`` with Azure's code and message."""

    state: Literal["running", "succeeded", "failed"]
    retry_after: float = 5.0
    body: Any = None
    code: str = ""
    message: str = ""


def bare(url: str) -> str:
    """The URL without query and without a final slash."""
    return url.split("?", 1)[0].rstrip("/")
