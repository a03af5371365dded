"""Carries out an approved runbook in this process: starts steps, obeys messages in between, and knows when to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from drkit.execution import run_outcome, schedule
from drkit.execution.events import Event
from drkit.execution.messages import Messages
from drkit.execution.open_run import OpenRun
from drkit.execution.ports import Inbox
from drkit.execution.steps import StepRunner
from drkit.model.actions import Tables
from drkit.model.clock import StoppedError
from drkit.model.run import RunState, disbelieve
from drkit.model.runbook import Runbook, Step
from drkit.products.base import Actor, StepContext
from drkit.store.journal import Journal
from drkit.store.records import who

TICK = 1.0


class Runner:
    """One execution of a runbook in this process. ``stop`` is asked between steps and polls: True means leave tidily."""

    def __init__(
        self,
        runbook: Runbook,
        journal: Journal,
        store: Inbox,
        products: Mapping[str, Actor],
        tables: Tables,
        context: StepContext,
        *,
        show: Callable[[Event], None],
        wait_minutes: float,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.runbook, self.journal, self.context = runbook, journal, context
        self.wait_minutes = wait_minutes
        self.open_run = OpenRun(runbook, journal, context, show, stop)
        self.step_runner = StepRunner(self.open_run, products, tables)
        self.messages = Messages(self.open_run, store, lambda step: self._start(runbook.step(step)), self._cancel)
        self.tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def state(self) -> RunState:
        """The run so far."""
        return self.journal.state

    async def run(self, *, resumed: bool = False) -> run_outcome.Ending:
        """Until everything is settled, waits for a person longer than allowed, or ``stop`` says so.

        ``resumed``: messages left for the run are obeyed first, then what failed or had drifted is looked at again.
        """
        disbelieve(self.state, self.runbook.asking)
        try:
            if resumed:
                await self.messages.obey()
                for step in self.runbook.steps:
                    if schedule.reopenable(self.state.of(step.id)) and not self.open_run.held(step):
                        await self.open_run.reopen(step)
                await self.open_run.defer()
            await self._loop(patient=not resumed)
        except BaseException:
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
            raise
        return run_outcome.ending(self.runbook, self.state)

    async def _loop(self, *, patient: bool) -> None:
        """``patient``: the end of a pause is waited for; a run that was paused before this process took it up is left paused."""
        clock, run = self.context.clock, self.context.settings.run
        last = began = self.messages.paused_at = clock.monotonic()
        self._start_open()
        while True:
            if await self.messages.obey():
                last, patient = clock.monotonic(), True
            if run.run_minutes and not self.state.deadline and clock.monotonic() - began >= run.run_minutes * 60:
                reason = f"the {run.run_minutes:g} min of its holder are over"
                await self.journal.append("control", data={"what": "deadline", "reason": reason, "who": who()})
            over = self.state.aborted or self.state.deadline
            pause_ends = self.messages.paused_at + max(self.wait_minutes, run.pause_minutes if patient else 0.0) * 60
            if over or (self.state.paused and clock.monotonic() >= pause_ends):
                self.open_run.leaving.set()
            elif self.open_run.leaving.is_set():
                self.open_run.leaving.clear()
                self._start_open()
            startable = [step for step in schedule.startable(self.runbook, self.state) if not self.open_run.held(step)]
            for step in startable:
                self._start(step)
            if self.tasks:
                await asyncio.wait(self.tasks.values(), timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                for name, task in list(self.tasks.items()):
                    if task.done():
                        del self.tasks[name]
                        task.result()
                        if self.state.of(name).status != "open":
                            last = clock.monotonic()
                continue
            if self.open_run.stop():
                return
            asked = any(
                known.status == "asked" and (not over or name in self.open_run.finishing())
                for name, known in self.state.steps.items()
            )
            # A person is waited for since something was done last, the end of a pause since somebody said it.
            until = last + self.wait_minutes * 60 if asked else began
            if self.state.paused and not over:
                until = max(until, pause_ends)
            if clock.monotonic() >= until:
                return
            with suppress(StoppedError):
                await clock.sleep(TICK)

    def _start_open(self) -> None:
        """Take up the steps that an earlier process began."""
        for step in self.runbook.steps:
            if self.state.of(step.id).status == "open":
                self._start(step)

    def _start(self, step: Step) -> None:
        """Carry a step out in a task of its own, unless it has one."""
        if step.id not in self.tasks:
            self.tasks[step.id] = asyncio.create_task(self.step_runner.run(step), name=step.id)

    async def _cancel(self, steps: Sequence[str]) -> None:
        """End the tasks of these steps, wherever they are."""
        tasks = [task for step in steps if (task := self.tasks.pop(step, None))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
