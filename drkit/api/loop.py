"""Running a coroutine to its end in code that is not async. Refused inside a running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from drkit.errors import UsageError

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of drkit to its end, in a new event loop. UsageError inside a running loop."""
    try:
        refuse_inside(getattr(work, "__name__", "run"))
    except UsageError:
        work.close()
        raise
    return asyncio.run(work)


def refuse_inside(name: str) -> None:
    """UsageError, with the name of the blocking function, when an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"drkit.blocking.{name} was called inside a running event loop, which it would stop",
        remedy=f"await drkit.{name} there",
    )
