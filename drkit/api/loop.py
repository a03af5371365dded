"""Running a coroutine to its end from code that is not async, and refusing to where a loop runs already."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from drkit.errors import UsageError

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine of drkit's to its end, in a loop of its own. UsageError inside a running loop."""
    try:
        refuse_inside(getattr(work, "__name__", "run"))
    except UsageError:
        work.close()
        raise
    return asyncio.run(work)


def refuse_inside(name: str) -> None:
    """UsageError naming the blocking function that was called, when a loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"drkit.blocking.{name} was called inside a running event loop, which it would stop",
        remedy=f"await drkit.{name} there",
    )
