"""The public names of drkit for code that is not async: the same names and arguments; each runs to its end before it returns.

The names come from the list in ``drkit/__init__.py``. Inside a running event loop they refuse (UsageError): await the names of
``drkit`` itself there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import drkit
from drkit import _PLACE
from drkit.api.loop import refuse_inside, run

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(function(*args, **kwargs))

    return call


def _each(function: Callable[P, AsyncIterator[T]]) -> Callable[P, Iterator[T]]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        refuse_inside(function.__name__)
        return _drawn(function(*args, **kwargs))

    return call


def _drawn(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an async iterator, one by one, in one event loop that lives as long as the caller asks for more."""
    end = object()

    async def following() -> Any:
        return await anext(items, end)

    async def close() -> None:
        await items.aclose()  # type: ignore[attr-defined]  # async generators, all of them

    with asyncio.Runner() as runner:
        try:
            while (item := runner.run(following())) is not end:
                yield item
        finally:
            runner.run(close())


__all__ = list(_PLACE)

if TYPE_CHECKING:
    from drkit import Applied as Applied
    from drkit import Checked as Checked
    from drkit import Context as Context
    from drkit import Planned as Planned
    from drkit import PreflightResult as PreflightResult
    from drkit import ProbeScript as ProbeScript
    from drkit import RunStatus as RunStatus
    from drkit import WatchUpdate as WatchUpdate
    from drkit import abort as abort
    from drkit import answer as answer
    from drkit import approve as approve
    from drkit import cleanup as cleanup
    from drkit import codes as codes
    from drkit import desk as desk
    from drkit import explain as explain
    from drkit import failback as failback
    from drkit import failover as failover
    from drkit import open_runs as open_runs
    from drkit import overview as overview
    from drkit import owners as owners
    from drkit import pause as pause
    from drkit import plan as plan
    from drkit import probe_script as probe_script
    from drkit import rebase as rebase
    from drkit import report as report
    from drkit import retry as retry
    from drkit import runs as runs
    from drkit import schema as schema
    from drkit import show as show
    from drkit import skip as skip
    from drkit import status as status
    from drkit import unpause as unpause
    from drkit import verify as verify

    apply = _blocking(drkit.apply)
    assess = _blocking(drkit.assess)
    carry_out = _blocking(drkit.carry_out)
    check = _blocking(drkit.check)
    drill = _blocking(drkit.drill)
    happen = _blocking(drkit.happen)
    init = _blocking(drkit.init)
    preflight = _blocking(drkit.preflight)
    resume = _blocking(drkit.resume)
    simulate = _blocking(drkit.simulate)
    snapshot = _blocking(drkit.snapshot)
    watch = _each(drkit.watch)

else:  # so that a name that does not exist is an error to a type checker

    def __getattr__(name: str) -> Any:
        """A public name of drkit, wrapped when it is async; kept, so that it is the same object at the next look."""
        if name not in __all__:
            raise AttributeError(f"module 'drkit.blocking' has no attribute {name!r}")
        value = getattr(drkit, name)
        if inspect.iscoroutinefunction(value):
            value = _blocking(value)
        elif inspect.isasyncgenfunction(value):
            value = _each(value)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
