"""One step of a run: look, record the intent, act once, wait, record the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from drkit.errors import (
    ConflictError,
    DrkitError,
    GuardError,
    LockedError,
    NoAuthorityError,
    PartialError,
    RefusedError,
    ThrottledError,
    UnknownFateError,
    UnreachableError,
)
from drkit.execution import drift, drift_author
from drkit.execution.actors import Contained
from drkit.execution.events import Event
from drkit.execution.intent import intending
from drkit.execution.open_run import OpenRun
from drkit.model.actions import Tables, action_of
from drkit.model.clock import StoppedError, parse_time
from drkit.model.ids import ArmId
from drkit.model.operation import Operation, Request
from drkit.model.run import RunState
from drkit.model.runbook import Step
from drkit.products.base import Actor, Observation, RegisteredElsewhereError, Result, StepContext, StepFailedError

SUBSCRIPTION = re.compile(r"/subscriptions/([^/\s]+)", re.IGNORECASE)
UNREAD_TRIES = 3
UNREAD_PAUSE = 10.0
# A step whose failure may pass is tried so often in one process; the pause before the next try doubles.
TRIES = 3
PAUSE = 15.0
# Requests of unknown fate are sent again so often, each time after looking whether the last one was carried out.
SENDINGS = 4
PASSING = (UnreachableError, ThrottledError, UnknownFateError, NoAuthorityError)


class StepRunner:
    """Carries out the steps of a run, each in a task of its own: one at a time on a host, and only so many at once."""

    def __init__(self, open_run: OpenRun, products: Mapping[str, Actor], tables: Tables) -> None:
        self.open_run, self.tables, self.context = open_run, tables, open_run.context
        self.products = {name: Contained(product) for name, product in products.items()}
        self.hands = asyncio.Semaphore(self.context.settings.run.concurrency)
        self.hosts: dict[ArmId, asyncio.Lock] = {}
        self.subscriptions: dict[str, asyncio.Semaphore] = {}

    @property
    def state(self) -> RunState:
        """The run so far."""
        return self.open_run.state

    async def run(self, step: Step) -> None:
        """Carry out a step, and try it again where its failure may pass. LockedError when the run is no longer held here."""
        if step.effect == "ask" and (not step.preconditions or self.state.of(step.id).status != "pending"):
            await self._ask(step)
            return
        lock = self.hosts.setdefault(ArmId(step.host), asyncio.Lock()) if step.host else asyncio.Lock()
        with suppress(StoppedError):
            for tries_left in reversed(range(TRIES)):
                async with lock, self._room(step), self.hands:
                    if self.state.of(step.id).status != "open" and self.open_run.held(step):
                        return
                    try:
                        await self._carry_out(step)
                    except (LockedError, PartialError):
                        raise
                    except RegisteredElsewhereError as error:
                        await self._drifted_off(step, error)
                        return
                    except DrkitError as error:
                        await self._failed(step, error)
                        if not tries_left or not _may_pass(error):
                            return
                        await self.open_run.reopen(step)
                    else:
                        return
                await self._rest(step, PAUSE * 2 ** (TRIES - 1 - tries_left))

    def _room(self, step: Step) -> asyncio.Semaphore:
        """The places there are in a step's subscription."""
        match = SUBSCRIPTION.search(f"{step.target} {step.host} {step.plan}")
        key = match.group(1).lower() if match else ""
        return self.subscriptions.setdefault(key, asyncio.Semaphore(self.context.settings.run.subscription_concurrency))

    async def _ask(self, step: Step) -> None:
        if self.state.of(step.id).status == "pending":
            await self.open_run.journal.append("asked", step=step.id, attempt=1, data={"detail": step.title})
            self.open_run.show(Event("asked", step, step.title))

    async def _carry_out(self, step: Step) -> None:
        known = self.state.of(step.id)
        product = self.products[step.product]
        if known.status == "open" and known.operation is not None:
            context = replace(self.context, attempt=known.attempt)
            await self._wait(step, product, context, known.operation)
            return
        maybe_sent = known.status == "open" or known.in_doubt
        attempt = known.attempt if maybe_sent else known.attempt + 1
        context = replace(self.context, attempt=max(1, attempt))
        seen = observation = await self._look(step, product, context, maybe_sent=maybe_sent)
        differs = drift.compare(step.preconditions, seen)
        if differs and maybe_sent and not observation.done:
            # Its requests may have left before. What they did is not undone by stopping here, so it must be known.
            settled = await self._settle(step, product, context)
            if isinstance(settled, Operation):
                await self._under_way(step, product, context, settled)
                return
            observation = settled
        if observation.done:
            await self._done(step, attempt, Result(observation.done, {**observation.data, "found": True}))
            return
        if differs:
            detail = "; ".join(await self._with_names(step, context, seen))
            # A look at what it rests on says nothing of a registration that may have been begun.
            signals = sorted({condition.signal for condition in drift.differing(step.preconditions, seen)})
            await self._drifted(
                step, attempt, detail, settled=not maybe_sent or step.effect != "register", drift=signals
            )
            return
        if known.status != "open" and self.open_run.held(step):
            return
        if step.effect == "ask":
            await self._ask(step)
            return
        requests = await self._intend(step, product, context, attempt)
        with intending(step, requests):
            if self._verifies(step):
                outcome = await product.verify(step, context)
            else:
                outcome = await self._act(step, product, context)
            if isinstance(outcome, Result):
                await self._done(step, attempt, outcome)
                return
            await self._record(step, attempt, outcome)
            await self._wait(step, product, context, outcome)

    def _verifies(self, step: Step) -> bool:
        """Whether the step is carried out by asking the service; every other one is acted."""
        row = action_of(step, self.tables)
        return row is not None and row.verifies

    async def _intend(self, step: Step, product: Actor, context: StepContext, attempt: int) -> tuple[Request, ...]:
        """The writes of a step, journaled before the first of them leaves."""
        requests = product.requests(step, context)
        if self.state.of(step.id).status != "open":
            data = {"requests": [msgspec.to_builtins(request) for request in requests]}
            await self.open_run.journal.append("intent", step=step.id, attempt=attempt, data=data)
            self.open_run.show(Event("begun", step, step.title))
        return requests

    async def _under_way(self, step: Step, product: Actor, context: StepContext, operation: Operation) -> None:
        """What an earlier attempt sent is still being carried out: it is waited for, whatever changed meanwhile."""
        await self._intend(step, product, context, context.attempt)
        await self._record(step, context.attempt, operation)
        await self._wait(step, product, context, operation)

    async def _drifted(self, step: Step, attempt: int, detail: str, *, settled: bool = True, **data: Any) -> None:
        recorded = {"detail": detail, "settled": settled, **({"data": data} if data else {})}
        await self.open_run.journal.append("drifted", step=step.id, attempt=attempt, data=recorded)
        self.open_run.show(Event("drifted", step, detail))

    async def _drifted_off(self, step: Step, error: RegisteredElsewhereError) -> None:
        """Another registration is on the host: nothing is written over it, and who put it there is named where Azure tells."""
        host = ArmId(step.host)
        changes = await drift_author.named(self.context, [host]) if host.subscription else {}
        by = f"; changed by {changes[host]}" if changes.get(host) else "; Azure does not tell by whom"
        await self._drifted(step, max(1, self.state.of(step.id).attempt), f"{error}{by}", another=error.another)

    async def _with_names(self, step: Step, context: StepContext, observation: Observation) -> list[str]:
        """What differs, in words, with who changed it as far as Azure tells."""
        asked = drift_author.unnamed(drift.differing(step.preconditions, observation), observation)
        changes = await drift_author.named(context, asked) if asked else {}
        return drift.compare(step.preconditions, replace(observation, changed={**observation.changed, **changes}))

    async def _look(self, step: Step, product: Actor, context: StepContext, *, maybe_sent: bool) -> Observation:
        """Observe until every precondition could be read, a few times; what then cannot be read stops the step.

        ``maybe_sent``: a request of this step may have left before.
        """
        for number in range(UNREAD_TRIES):
            try:
                observation = await product.observe(step, context)
            except PASSING as error:
                missing = [str(error)]
            else:
                missing = drift.unread(step.preconditions, observation)
                # What differs stops the step, whatever else could not be read.
                if observation.done or not missing or drift.compare(step.preconditions, observation):
                    return observation
            if number < UNREAD_TRIES - 1:
                await context.clock.sleep(UNREAD_PAUSE)
        so = "so what became of what was sent is not known" if maybe_sent else "so nothing was done"
        raise StepFailedError(
            f"could not look at {', '.join(missing)}, {so}",
            where=step.id,
            code="NotObserved",
            again=True,
        )

    async def _settle(self, step: Step, product: Actor, context: StepContext) -> Observation | Operation:
        with intending(step, product.requests(step, context)):
            return await product.settle(step, context)

    async def _act(self, step: Step, product: Actor, context: StepContext) -> Operation | Result:
        """Act once. When nobody knows whether it was carried out, look before anything else; act again only if it was not."""
        for number in range(SENDINGS):
            try:
                return await product.act(step, context)
            except (UnknownFateError, ConflictError) as error:
                await context.clock.sleep(5.0 * 2**number)
                observation = await self._look(step, product, context, maybe_sent=True)
                if observation.done:
                    return Result(
                        f"{observation.done} (found by looking after: {error.what})",
                        {**observation.data, "found": True},
                    )
                differs = drift.compare(step.preconditions, observation)
                if differs or isinstance(error, ConflictError) or number == SENDINGS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _record(self, step: Step, attempt: int, operation: Operation) -> None:
        await self.open_run.journal.append(
            "operation", step=step.id, attempt=attempt, data={"operation": msgspec.to_builtins(operation)}
        )

    async def _wait(self, step: Step, product: Actor, context: StepContext, operation: Operation) -> None:
        """Wait for an operation until its end, the limit of its step, or until the run is left."""
        clock, verifying = context.clock, self._verifies(step)
        # From now, not from when it began: a run may be idle for hours before somebody resumes it.
        minutes = float(step.inputs.get("minutes", context.settings.run.step_minutes))
        deadline = clock.monotonic() + minutes * 60
        with intending(step, product.requests(step, context)):
            while not self.open_run.stop():
                # Azure's word on when to look again counts as long as the step's own limit allows.
                pause = min(operation.retry_after, max(0.0, deadline - clock.monotonic()))
                leaving = await self._rest(step, pause)
                try:
                    outcome = await (
                        product.verify(step, context) if verifying else product.poll(step, operation, context)
                    )
                except PASSING:
                    # A look that failed says nothing about what is looked at.
                    if clock.monotonic() >= deadline:
                        raise
                    if leaving:
                        self._leave(step)
                        return
                    continue
                if isinstance(outcome, Result):
                    await self._done(step, context.attempt, outcome)
                    return
                if (outcome.stage, outcome.url) != (operation.stage, operation.url):
                    await self._record(step, context.attempt, outcome)
                operation = outcome
                if clock.monotonic() >= deadline or (leaving and self._older_than(step, minutes)):
                    said = f"; {operation.stage}" if verifying else ""
                    raise StepFailedError(
                        f"not finished after {minutes:.0f} min{said}",
                        where=step.id,
                        code="Deadline",
                        settled=False,
                        remedy="look into it, then `drkit resume` looks again",
                    )
                if leaving:
                    self._leave(step)
                    return

    async def _rest(self, step: Step, seconds: float) -> bool:
        """Sleep on the clock; True, at once, when this step is not waited for any longer because the run is left."""
        sleeper = asyncio.create_task(self.context.clock.sleep(seconds))
        waker = asyncio.create_task(self.open_run.leaving.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
            if self.open_run.leaving.is_set() and step.id not in self.open_run.finishing():
                return True
            await sleeper
            return False
        finally:
            sleeper.cancel()
            waker.cancel()

    def _older_than(self, step: Step, minutes: float) -> bool:
        """Whether the last attempt at a step began longer ago than its limit: a run that is left does not wait for it any more."""
        began = self.state.of(step.id).began
        return bool(began) and self.context.clock.now() - parse_time(began) >= timedelta(minutes=minutes)

    def _leave(self, step: Step) -> None:
        """Say that an operation is in flight: its record is in the journal, and resume looks it up."""
        self.open_run.show(
            Event("note", step, f"{step.title}: still under way; `drkit resume {self.context.run}` looks it up")
        )

    async def _done(self, step: Step, attempt: int, result: Result) -> None:
        await self.open_run.journal.append(
            "done", step=step.id, attempt=attempt, data={"detail": result.detail, "data": dict(result.data)}
        )
        self.open_run.show(Event("done", step, result.detail))
        await self.open_run.defer()

    async def _failed(self, step: Step, error: DrkitError) -> None:
        data: dict[str, Any] = {"detail": str(error), "code": getattr(error, "code", "") or type(error).__name__}
        data["again"] = _may_pass(error)
        known = self.state.of(step.id)
        begun = known.status == "open" or known.in_doubt
        data["settled"] = not begun or (isinstance(error, StepFailedError) and error.settled)
        if isinstance(error, StepFailedError) and error.reopen:
            data["data"] = {"reopen": list(error.reopen)}
        attempt = max(1, known.attempt)
        await self.open_run.journal.append("failed", step=step.id, attempt=attempt, data=data)
        self.open_run.show(Event("failed", step, str(error)))
        if isinstance(error, GuardError | RefusedError):
            self.open_run.show(Event("note", step, "the pipeline refused this request; nothing of it was sent"))


def _may_pass(error: DrkitError) -> bool:
    """Whether the same step may succeed a little later."""
    return error.again if isinstance(error, StepFailedError) else isinstance(error, PASSING)
