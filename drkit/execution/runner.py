"""Carries an approved runbook out: look, record the intent, act, wait, record the end; and obeys messages in between."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from drkit.execution import attribution, schedule
from drkit.execution.actors import Contained
from drkit.execution.ports import Inbox
from drkit.model.actions import Tables, action_of
from drkit.model.clock import Clock, StoppedError, parse_time
from drkit.model.operation import Operation, Request
from drkit.model.run import RunState, disbelieve
from drkit.model.runbook import Runbook, Step
from drkit.planning import handover
from drkit.products.base import (
    Actor,
    Observation,
    RegisteredElsewhereError,
    Result,
    StepContext,
    StepFailedError,
)
from drkit.store.journal import Journal
from drkit.store.records import ABOUT_STEPS, Message, Received, claimed_name, who

TICK = 1.0
CONTROLS = {"pause": "paused", "unpause": "unpaused", "abort": "aborted"}
SUBSCRIPTION = re.compile(r"/subscriptions/([^/\s]+)", re.IGNORECASE)
UNREAD_TRIES = 3
UNREAD_PAUSE = 10.0
# A step whose failure may pass is tried so often in one process; the pause before the next try doubles.
TRIES = 3
PAUSE = 15.0
# Requests of unknown fate are sent again so often, each time after looking whether the last one was carried out.
SENDINGS = 4
PASSING = (UnreachableError, ThrottledError, UnknownFateError, NoAuthorityError)
MOST_NAMED = 50
"""Messages that are ignored are journaled one by one up to this number; after that one of ten times as many."""
INTENT: ContextVar[tuple[Step | None, tuple[Request, ...]]] = ContextVar("drkit_intent", default=(None, ()))


def permitted() -> Sequence[Request]:
    """The writes that the intent of the step now running allows; asked by the pipeline's guard."""
    return INTENT.get()[1]


def acting() -> Step | None:
    """The step now running; asked by the pipeline's guard. None outside of any."""
    return INTENT.get()[0]


class InterruptibleClock:
    """A clock whose waits end at once, with StoppedError, when ``stop`` is called: nobody sits out a long Retry-After.

    Requests under way are not cut off; only what sleeps between them is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Wake whatever sleeps."""
        self._stopped.set()

    def stopped(self) -> bool:
        """Whether it was called."""
        return self._stopped.is_set()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds of the clock, never going back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of the clock; StoppedError when the run is to be left."""
        sleeper = asyncio.create_task(self._clock.sleep(seconds))
        waker = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
        if self.stopped():
            raise StoppedError


@dataclass(frozen=True)
class Event:
    """Something worth showing: which step, what happened (``begun, done, failed, asked, drifted, skipped, code, note``), in words."""

    kind: str
    step: Step | None
    text: str


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
        self.runbook, self.journal, self.store = runbook, journal, store
        self.products = {name: Contained(product) for name, product in products.items()}
        self.tables = tables
        self.context, self.show, self.stop = context, show, stop
        self.wait_minutes = wait_minutes
        self.hands = asyncio.Semaphore(context.settings.run.concurrency)
        self.hosts: dict[str, asyncio.Lock] = {}
        self.subscriptions: dict[str, asyncio.Semaphore] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.finishing: tuple[int, frozenset[str]] = (-1, frozenset())
        self.steps = {step.id: step for step in runbook.steps}
        self.ignored: set[str] = set()
        self.proofs = proofs_of(runbook)
        self.paused_at = 0.0
        self.leaving = asyncio.Event()
        """The run is left: an operation under way is looked at once more, unless it finishes a released host."""

    @property
    def state(self) -> RunState:
        """The run so far."""
        return self.journal.state

    async def _defer(self) -> None:
        """Journal what stays behind, once what proves it superfluous is done. Appended when it is missing, so also after a crash."""
        for one in self.runbook.leftovers:
            known = self.state.deferred
            if one.id.lower() in known or not all(proofs := [self._proof(final) for final in one.finals]):
                continue
            now = dict(self.state.of(proofs[-1]).data) if one.kind == "record" and proofs else {}
            # A service may keep the record, and it is no other one then.
            same = one.kind == "record" and str(now.get("id") or "").lower() == one.environment.lower()
            if not (same and str(now.get("plan") or "").lower() == one.plan.lower()):
                told = {key: now[key] for key in ("id", "name", "plan") if now.get(key)}
                await self.journal.append("deferred", data={"behind": msgspec.to_builtins(one), "now": told})

    def _proof(self, final: str) -> str:
        """The step done that proves an environment's end: its last one, or one before that when the last is left out; empty: none."""
        known = self.state.of(final)
        if known.status == "done":
            return final
        earlier = self.proofs.get(final, ()) if known.status == "skipped" or self.state.aborted else ()
        done = (name for name in reversed(earlier) if self.state.of(name).status == "done")
        return next((name for name in done if self.state.of(name).data.get("id")), "")

    async def run(self, *, resumed: bool = False) -> schedule.Ending:
        """Until everything is settled, waits for a person longer than allowed, or ``stop`` says so.

        ``resumed``: messages left for the run are obeyed first, then what failed or had drifted is looked at again.
        """
        disbelieve(self.state, self.runbook.asking)
        try:
            if resumed:
                await self._obey()
                for step in self.runbook.steps:
                    if schedule.reopenable(self.state.of(step.id)) and not self._held(step):
                        await self._reopen(step)
                await self._defer()
            await self._loop(patient=not resumed)
        except BaseException:
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
            raise
        return schedule.ending(self.runbook, self.state)

    def _held(self, step: Step) -> bool:
        """Whether a step that is not under way must not be begun now."""
        if self.stop():
            return True
        if self.state.aborted or self.state.paused or self.state.deadline:
            return step.id not in self._finishing()
        return False

    def _finishing(self) -> frozenset[str]:
        """The steps that finish what was begun for a released host: no pause, deadline or abort holds them."""
        count = self.state.count
        if self.finishing[0] != count:
            self.finishing = (count, schedule.tidying(self.runbook, self.state))
        return self.finishing[1]

    async def _loop(self, *, patient: bool) -> None:
        """``patient``: a pause is waited out for a while; a run that was paused before it was taken up is left so."""
        clock, run = self.context.clock, self.context.settings.run
        last = began = self.paused_at = clock.monotonic()
        self._start_open()
        while True:
            if await self._obey():
                last, patient = clock.monotonic(), True
            if run.run_minutes and not self.state.deadline and clock.monotonic() - began >= run.run_minutes * 60:
                reason = f"the {run.run_minutes:g} min of its holder are over"
                await self.journal.append("control", data={"what": "deadline", "reason": reason, "who": who()})
            over = self.state.aborted or self.state.deadline
            pause_ends = self.paused_at + max(self.wait_minutes, run.pause_minutes if patient else 0.0) * 60
            if over or (self.state.paused and clock.monotonic() >= pause_ends):
                self.leaving.set()
            elif self.leaving.is_set():
                self.leaving.clear()
                self._start_open()
            startable = [one for one in schedule.startable(self.runbook, self.state) if not self._held(one)]
            for step in startable:
                if step.id not in self.tasks:
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
            if self.stop():
                return
            asked = any(
                known.status == "asked" and (not over or name in self._finishing())
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
        """Take up what was begun before, and is in no task."""
        for step in self.runbook.steps:
            if self.state.of(step.id).status == "open" and step.id not in self.tasks:
                self._start(step)

    def _start(self, step: Step) -> None:
        self.tasks[step.id] = asyncio.create_task(self._step(step), name=step.id)

    async def _reopen(self, step: Step, by: Mapping[str, str] | None = None) -> None:
        """Take a step anew, and before it what it says must be taken anew."""
        for other in (*self.state.of(step.id).data.get("reopen", ()), step.id):
            if other != step.id and self.state.of(other).status == "pending":
                continue  # a process that died in the middle of this took it anew already
            said = by if by and other == step.id else {"who": by["who"] if by else who()}
            await self.journal.append("control", step=other, data={"what": "reopen", **said})

    # messages

    async def _obey(self) -> bool:
        """Obey what was left for the run, and ignore what is no message for it; True when something was obeyed."""
        obeyed = False
        for one in self.store.inbox(self.context.run, self.ignored):
            message, name = one.message, one.path.name
            if name in self.state.processed_messages:
                self.store.obeyed(one.path)
            elif message is None or (fault := one.fault or self._unfit(message)):
                await self._ignore(one, fault if message else one.fault)
            else:
                who = claimed_name(message.who, one.writer)
                await self._message(name, message.what, message.step, message.text, who)
                self.store.obeyed(one.path)
                obeyed = True
        return obeyed

    def _unfit(self, message: Message) -> str:
        """Why this run does not obey a message, in words; empty when it does."""
        if message.what not in ABOUT_STEPS:
            return ""
        step = self.steps.get(message.step)
        if step is None:
            return f"{message.what} names a step that this run does not have: {message.step}"
        status = self.state.of(step.id).status
        if message.what == "answer":
            # A person's word ends what a person was asked, and never what drkit itself must see.
            if step.effect != "ask":
                return f"{step.id} asks nothing of a person: it is of effect {step.effect}"
            fits = status in ("asked", "pending")
        else:
            fits = status not in ("done", "skipped") if message.what == "skip" else status in ("failed", "drifted")
        return "" if fits else f"{message.what} does not fit {step.id}, which is {status}"

    async def _ignore(self, one: Received, fault: str) -> None:
        """Journal and show that a message is ignored; of very many, the first ones and from time to time how many."""
        self.ignored.add(one.path.name)
        self.store.set_aside(one.path)
        number = len(self.ignored)
        if number > MOST_NAMED and number % (10 * MOST_NAMED):
            return
        message = one.message
        step = message.step if message and message.step in self.steps else ""
        who = claimed_name(message.who if message else "", one.writer)
        more = f" (the {number}th message that is ignored; not each is named)" if number > MOST_NAMED else ""
        reason = f"the message {one.path.name[:100]}: {fault}; from {who}{more}"
        data = {"what": "ignored", "message": message.what[:40] if message else "", "reason": reason, "number": number}
        await self.journal.append("control", step=step, data={**data, "who": who})
        self.show(Event("note", self.steps.get(step), f"ignored {reason}"))

    async def _message(self, name: str, what: str, step_id: str, text: str, who: str) -> None:
        said = {"who": who, "heard": name}
        if what == "answer":
            await self.journal.append("answered", step=step_id, data={"detail": text, **said})
            self._tell("done", step_id, f"answered by {who}: {text}")
            await self._defer()
        elif what == "skip":
            await self._skip(step_id, text, said)
        elif what == "retry":
            await self._reopen(self.runbook.step(step_id), said)
            self._tell("note", step_id, f"tried again for {who}")
        else:
            if what == "pause":
                self.paused_at = self.context.clock.monotonic()
            reason = f"{CONTROLS[what]} by {who}{f': {text}' if text else ''}"
            await self.journal.append("control", data={"what": what, "reason": reason, **said})
            self.show(Event("note", None, reason))
            await self._defer()

    async def _skip(self, step_id: str, text: str, said: Mapping[str, str]) -> None:
        """Leave a step out, and what would only have led to it; refused while the host it is about is in doubt."""
        step = self.runbook.step(step_id)
        left_out = [*schedule.idle_without(self.runbook, self.state, step_id), step_id]
        if not handover.refusal(self.runbook, self.state, step):
            # A release that has not left yet does not leave now. What it may have sent meanwhile is seen after that.
            await self._cancel(left_out)
        if why := handover.refusal(self.runbook, self.state, step):
            await self.journal.append(
                "control", step=step_id, data={"what": "ignored", "message": "skip", "reason": why, **said}
            )
            self._tell("note", step_id, f"not skipped: {why}")
            for name in left_out:
                if self.state.of(name).status == "open" and name not in self.tasks:
                    self._start(self.runbook.step(name))
            return
        # The step itself last: it is what says that the message was obeyed.
        for skipped in left_out:
            by = said if skipped == step_id else {"who": said["who"]}
            await self.journal.append("skipped", step=skipped, data={"detail": text, **by})
            self._tell("skipped", skipped, f"skipped by {said['who']}: {text}")
        await self._defer()

    async def _cancel(self, names: Sequence[str]) -> None:
        """End the tasks of these steps, wherever they are."""
        tasks = [task for name in names if (task := self.tasks.pop(name, None))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, kind: str, step_id: str, text: str) -> None:
        self.show(Event(kind, self.runbook.step(step_id), text))

    # one step

    async def _step(self, step: Step) -> None:
        if step.effect == "ask" and (not step.preconditions or self.state.of(step.id).status != "pending"):
            await self._ask(step)
            return
        lock = self.hosts.setdefault(step.host.lower(), asyncio.Lock()) if step.host else asyncio.Lock()
        with suppress(StoppedError):
            for left in reversed(range(TRIES)):
                async with lock, self._room(step), self.hands:
                    if self.state.of(step.id).status != "open" and self._held(step):
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
                        if not left or not _may_pass(error):
                            return
                        await self._reopen(step)
                    else:
                        return
                await self._rest(step, PAUSE * 2 ** (TRIES - 1 - left))

    def _room(self, step: Step) -> asyncio.Semaphore:
        """The places there are in a step's subscription."""
        found = SUBSCRIPTION.search(f"{step.target} {step.host} {step.plan}")
        key = found.group(1).lower() if found else ""
        return self.subscriptions.setdefault(key, asyncio.Semaphore(self.context.settings.run.subscription_concurrency))

    async def _ask(self, step: Step) -> None:
        if self.state.of(step.id).status == "pending":
            await self.journal.append("asked", step=step.id, attempt=1, data={"detail": step.title})
            self.show(Event("asked", step, step.title))

    async def _carry_out(self, step: Step) -> None:
        known = self.state.of(step.id)
        product = self.products[step.product]
        if known.status == "open" and known.operation is not None:
            context = replace(self.context, attempt=known.attempt)
            await self._wait(step, product, context, known.operation)
            return
        left = known.status == "open" or known.in_doubt
        attempt = known.attempt if left else known.attempt + 1
        context = replace(self.context, attempt=max(1, attempt))
        seen = observation = await self._look(step, product, context, left=left)
        drift = schedule.compare(step.preconditions, seen)
        if drift and left and not observation.done:
            # Its requests may have left before. What they did is not undone by stopping here, so it must be known.
            settled = await self._settle(step, product, context)
            if isinstance(settled, Operation):
                await self._under_way(step, product, context, settled)
                return
            observation = settled
        if observation.done:
            await self._done(step, attempt, Result(observation.done, {**observation.data, "found": True}))
            return
        if drift:
            detail = "; ".join(await self._with_names(step, context, seen))
            # A look at what it rests on says nothing of a registration that may have been begun.
            signals = sorted({one.signal for one in schedule.differing(step.preconditions, seen)})
            await self._drifted(step, attempt, detail, settled=not left or step.effect != "register", drift=signals)
            return
        if known.status != "open" and self._held(step):
            return
        if step.effect == "ask":
            await self._ask(step)
            return
        requests = await self._intend(step, product, context, attempt)
        token = INTENT.set((step, requests))
        try:
            if self._verifies(step):
                outcome = await product.verify(step, context)
            else:
                outcome = await self._act(step, product, context)
            if isinstance(outcome, Result):
                await self._done(step, attempt, outcome)
                return
            await self._record(step, attempt, outcome)
            await self._wait(step, product, context, outcome)
        finally:
            INTENT.reset(token)

    def _verifies(self, step: Step) -> bool:
        """Whether the step is carried out by asking the service; every other one is acted."""
        row = action_of(step, self.tables)
        return row is not None and row.verifies

    async def _intend(self, step: Step, product: Actor, context: StepContext, attempt: int) -> tuple[Request, ...]:
        """The writes of a step, journaled before the first of them leaves."""
        requests = product.requests(step, context)
        if self.state.of(step.id).status != "open":
            data = {"requests": [msgspec.to_builtins(one) for one in requests]}
            await self.journal.append("intent", step=step.id, attempt=attempt, data=data)
            self.show(Event("begun", step, step.title))
        return requests

    async def _under_way(self, step: Step, product: Actor, context: StepContext, operation: Operation) -> None:
        """What an earlier attempt sent is still being carried out: it is waited for, whatever changed meanwhile."""
        await self._intend(step, product, context, context.attempt)
        await self._record(step, context.attempt, operation)
        await self._wait(step, product, context, operation)

    async def _drifted(self, step: Step, attempt: int, detail: str, *, settled: bool = True, **data: Any) -> None:
        told = {"detail": detail, "settled": settled, **({"data": data} if data else {})}
        await self.journal.append("drifted", step=step.id, attempt=attempt, data=told)
        self.show(Event("drifted", step, detail))

    async def _drifted_off(self, step: Step, error: RegisteredElsewhereError) -> None:
        """Another registration is on the host: nothing is written over it, and who put it there is named where Azure tells."""
        host = step.host.lower()
        told = await attribution.named(self.context, [host]) if host.startswith("/subscriptions/") else {}
        by = f"; changed by {told[host]}" if told.get(host) else "; Azure does not tell by whom"
        await self._drifted(step, max(1, self.state.of(step.id).attempt), f"{error}{by}", another=error.another)

    async def _with_names(self, step: Step, context: StepContext, observation: Observation) -> list[str]:
        """What differs, in words, with who changed it as far as Azure tells."""
        asked = attribution.unnamed(schedule.differing(step.preconditions, observation), observation)
        told = await attribution.named(context, asked) if asked else {}
        return schedule.compare(step.preconditions, replace(observation, changed={**observation.changed, **told}))

    async def _look(self, step: Step, product: Actor, context: StepContext, *, left: bool) -> Observation:
        """Observe until every precondition could be read, a few times; what then cannot be read stops the step.

        ``left``: a request of this step may have left before.
        """
        for number in range(UNREAD_TRIES):
            try:
                observation = await product.observe(step, context)
            except PASSING as error:
                missing = [str(error)]
            else:
                missing = schedule.unread(step.preconditions, observation)
                # What differs stops the step, whatever else could not be read.
                if observation.done or not missing or schedule.compare(step.preconditions, observation):
                    return observation
            if number < UNREAD_TRIES - 1:
                await context.clock.sleep(UNREAD_PAUSE)
        so = "so what became of what was sent is not known" if left else "so nothing was done"
        raise StepFailedError(
            f"could not look at {', '.join(missing)}, {so}",
            where=step.id,
            code="NotObserved",
            again=True,
        )

    async def _settle(self, step: Step, product: Actor, context: StepContext) -> Observation | Operation:
        token = INTENT.set((step, product.requests(step, context)))
        try:
            return await product.settle(step, context)
        finally:
            INTENT.reset(token)

    async def _act(self, step: Step, product: Actor, context: StepContext) -> Operation | Result:
        """Act once. When nobody knows whether it was carried out, look before anything else; act again only if it was not."""
        for number in range(SENDINGS):
            try:
                return await product.act(step, context)
            except (UnknownFateError, ConflictError) as error:
                await context.clock.sleep(5.0 * 2**number)
                observation = await self._look(step, product, context, left=True)
                if observation.done:
                    return Result(
                        f"{observation.done} (found by looking after: {error.what})",
                        {**observation.data, "found": True},
                    )
                drift = schedule.compare(step.preconditions, observation)
                if drift or isinstance(error, ConflictError) or number == SENDINGS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _record(self, step: Step, attempt: int, operation: Operation) -> None:
        await self.journal.append(
            "operation", step=step.id, attempt=attempt, data={"operation": msgspec.to_builtins(operation)}
        )

    async def _wait(self, step: Step, product: Actor, context: StepContext, operation: Operation) -> None:
        token = INTENT.set((step, product.requests(step, context)))
        clock = context.clock
        # From now, not from when it began: a run may lie for hours before somebody resumes it.
        minutes = float(step.inputs.get("minutes", context.settings.run.step_minutes))
        deadline = clock.monotonic() + minutes * 60
        try:
            while not self.stop():
                # Azure's word on when to look again counts as long as the step's own limit allows.
                left = await self._rest(step, min(operation.retry_after, max(0.0, deadline - clock.monotonic())))
                verifying = self._verifies(step)
                try:
                    outcome = await (
                        product.verify(step, context) if verifying else product.poll(step, operation, context)
                    )
                except PASSING:
                    # A look that failed says nothing about what is looked at.
                    if clock.monotonic() >= deadline:
                        raise
                    if left:
                        self._leave(step)
                        return
                    continue
                if isinstance(outcome, Result):
                    await self._done(step, context.attempt, outcome)
                    return
                if (outcome.stage, outcome.url) != (operation.stage, operation.url):
                    await self._record(step, context.attempt, outcome)
                operation = outcome
                if clock.monotonic() >= deadline or (left and self._older_than(step, minutes)):
                    said = f"; {operation.stage}" if verifying else ""
                    raise StepFailedError(
                        f"not finished after {minutes:.0f} min{said}",
                        where=step.id,
                        code="Deadline",
                        settled=False,
                        remedy="look into it, then `drkit resume` looks again",
                    )
                if left:
                    self._leave(step)
                    return
        finally:
            INTENT.reset(token)

    async def _rest(self, step: Step, seconds: float) -> bool:
        """Sleep on the clock; True, at once, when this step is not waited for any longer because the run is left."""
        sleeper = asyncio.create_task(self.context.clock.sleep(seconds))
        waker = asyncio.create_task(self.leaving.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
            if self.leaving.is_set() and step.id not in self._finishing():
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
        self.show(Event("note", step, f"{step.title}: still under way; `drkit resume {self.context.run}` looks it up"))

    async def _done(self, step: Step, attempt: int, result: Result) -> None:
        await self.journal.append(
            "done", step=step.id, attempt=attempt, data={"detail": result.detail, "data": dict(result.data)}
        )
        self.show(Event("done", step, result.detail))
        await self._defer()

    async def _failed(self, step: Step, error: DrkitError) -> None:
        data: dict[str, Any] = {"detail": str(error), "code": getattr(error, "code", "") or type(error).__name__}
        data["again"] = _may_pass(error)
        known = self.state.of(step.id)
        begun = known.status == "open" or known.in_doubt
        data["settled"] = not begun or (isinstance(error, StepFailedError) and error.settled)
        if isinstance(error, StepFailedError) and error.reopen:
            data["data"] = {"reopen": list(error.reopen)}
        attempt = max(1, known.attempt)
        await self.journal.append("failed", step=step.id, attempt=attempt, data=data)
        self.show(Event("failed", step, str(error)))
        if isinstance(error, GuardError | RefusedError):
            self.show(Event("note", step, "the pipeline refused this request; nothing of it was sent"))


def _may_pass(error: DrkitError) -> bool:
    """Whether the same step may succeed a little later."""
    return error.again if isinstance(error, StepFailedError) else isinstance(error, PASSING)


def proofs_of(runbook: Runbook) -> dict[str, list[str]]:
    """Final step -> the verifications of its environment, in the runbook's order."""
    verifications: dict[str, list[str]] = {}
    for step in runbook.steps:
        if step.environment and step.effect == "verify":
            verifications.setdefault(step.environment, []).append(step.id)
    return {one.final: verifications.get(one.environment, []) for one in runbook.environments if one.final}
