"""The public names of drkit for code that is not async: the same names and arguments, each running to its end before it returns.

Inside a running event loop they refuse (UsageError): there the names of ``drkit`` itself are awaited.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from drkit.api import apply as apply_
from drkit.api import assess as assess_
from drkit.api import check as check_
from drkit.api import ci
from drkit.api import explain as explain_
from drkit.api.apply import Applied, answer, skip
from drkit.api.assess import ProbeScript, probe_script
from drkit.api.check import Checked
from drkit.api.ci import Fit, open_runs
from drkit.api.context import Desk, desk
from drkit.api.control import abort, pause, rebase, retry, unpause, verify
from drkit.api.explain import Look, explain
from drkit.api.failback import cleanup, failback
from drkit.api.failover import failover
from drkit.api.loop import refuse_inside, run
from drkit.api.plan import Planned, approve, plan, show
from drkit.api.report import owners, report
from drkit.api.schema import schema
from drkit.api.status import Standing, codes, overview, runs, status

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
    """What an async iterator gives, one by one, in one loop that lives as long as somebody asks for more."""
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


apply = _blocking(apply_.apply)
assess = _blocking(assess_.assess)
carry_out = _blocking(ci.carry_out)
check = _blocking(check_.check)
init = _blocking(assess_.init)
preflight = _blocking(ci.preflight)
resume = _blocking(apply_.resume)
snapshot = _blocking(assess_.snapshot)
watch = _each(explain_.watch)

if TYPE_CHECKING:
    from drkit.drills import simulate as simulate_

    drill = _blocking(simulate_.drill)
    happen = _blocking(simulate_.happen)
    simulate = _blocking(simulate_.simulate)

else:

    def __getattr__(name: str) -> Any:
        """What needs the embedded Azure, which is loaded only then."""
        if name not in ("drill", "happen", "simulate"):
            raise AttributeError(f"module 'drkit.blocking' has no attribute {name!r}")
        return _blocking(getattr(import_module("drkit.drills.simulate"), name))


__all__ = [
    "Applied", "Checked", "Desk", "Fit", "Look", "Planned", "ProbeScript", "Standing",
    "abort", "answer", "apply", "approve", "assess", "carry_out", "check", "cleanup", "codes", "desk", "drill", "explain",
    "failback", "failover", "happen", "init", "open_runs", "overview", "owners", "pause", "plan", "preflight", "probe_script",
    "rebase", "report", "resume", "retry", "runs", "schema",
    "show", "simulate", "skip", "snapshot", "status", "unpause", "verify", "watch",
]  # fmt: skip
