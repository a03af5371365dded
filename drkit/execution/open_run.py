"""A run that this process holds: what has happened, what may be begun now, and what people are shown of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from drkit.execution import schedule
from drkit.execution.deferred import DeferredLeftovers
from drkit.execution.events import Event
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step
from drkit.products.base import StepContext
from drkit.store.journal import Journal
from drkit.store.records import who


class OpenRun:
    """``stop`` is asked between steps and polls: True means that the process wants to leave the run tidily."""

    def __init__(
        self,
        runbook: Runbook,
        journal: Journal,
        context: StepContext,
        show: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        self.runbook, self.journal, self.context = runbook, journal, context
        self.show, self.stop = show, stop
        self.steps = {step.id: step for step in runbook.steps}
        self.leaving = asyncio.Event()
        """The run is left: an operation under way is looked at once more, unless it finishes a released host."""
        self._deferred = DeferredLeftovers(runbook, journal)
        self._finishing: tuple[int, frozenset[str]] = (-1, frozenset())

    @property
    def state(self) -> RunState:
        """The run so far."""
        return self.journal.state

    def held(self, step: Step) -> bool:
        """Whether a step that is not under way must not be begun now."""
        if self.stop():
            return True
        if self.state.aborted or self.state.paused or self.state.deadline:
            return step.id not in self.finishing()
        return False

    def finishing(self) -> frozenset[str]:
        """The steps that finish what was begun for a released host: no pause, deadline or abort holds them."""
        count = self.state.count
        if self._finishing[0] != count:
            self._finishing = (count, schedule.tidying(self.runbook, self.state))
        return self._finishing[1]

    async def reopen(self, step: Step, by: Mapping[str, str] | None = None) -> None:
        """Let a step be tried again, and before it the steps that its failure says must be done again. ``by``: who said so."""
        for other in (*self.state.of(step.id).data.get("reopen", ()), step.id):
            if other != step.id and self.state.of(other).status == "pending":
                continue  # a process that died in the middle of this reopened it already
            said = by if by and other == step.id else {"who": by["who"] if by else who()}
            await self.journal.append("control", step=other, data={"what": "reopen", **said})

    async def defer(self) -> None:
        """Journal what stays behind, once the steps that prove it superfluous are done."""
        await self._deferred.record()

    def tell(self, kind: str, step: str, text: str) -> None:
        """Show something about a step."""
        self.show(Event(kind, self.runbook.step(step), text))
