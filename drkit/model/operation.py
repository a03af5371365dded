"""Requests that a run announces, and long-running operations, as pure values that every layer uses."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Style = Literal["azure-async-operation", "location", "none"]


class Request(msgspec.Struct, frozen=True):
    """One write that an intent announces: HTTP method and the public URL without its query, compared without case."""

    method: str
    target: str

    def covers(self, method: str, url: str) -> bool:
        """Whether a request of that method and URL is this one."""
        return self.method == method.upper() and self.target.rstrip("/").lower() == bare(url).lower()


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A long-running operation that can be polled, by this process or another.

    ``url``: the polling URL (it may be signed, so it is kept in the journal and never shown); ``style``: how to read it; ``stage``: the
    product's own word for what it waits for; ``retry_after``: seconds until the next poll; ``since``: when this stage began
    (RFC 3339).
    """

    method: str = ""
    url: str = ""
    style: Style = "none"
    stage: str = ""
    retry_after: float = 5.0
    since: str = ""


class PollResult(msgspec.Struct, frozen=True):
    """The result of one poll: ``running``, ``succeeded`` with the final body, or ``failed`` with Azure's code and message."""

    state: Literal["running", "succeeded", "failed"]
    retry_after: float = 5.0
    body: Any = None
    code: str = ""
    message: str = ""


def bare(url: str) -> str:
    """The URL without query and without a final slash."""
    return url.split("?", 1)[0].rstrip("/")
