"""Opens a new run, or resumes one, and carries it out under its locks, its guard and its signals."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from drkit.errors import DrkitError, IntegrityError, RefusedError
from drkit.execution import other_stores, run_outcome
from drkit.execution.events import Event
from drkit.execution.intent import acting, permitted
from drkit.execution.interrupt import InterruptibleClock
from drkit.execution.ports import HeldJournal, RunStore
from drkit.execution.runner import Runner
from drkit.execution.sign_in_codes import Codes, socket_path
from drkit.model import actions, guards, sign_in
from drkit.model.actions import Tables
from drkit.model.clock import Clock, StoppedError, rfc3339
from drkit.model.cloud import Cloud, Principal
from drkit.model.host_scripts import Scripts
from drkit.model.ids import ArmId
from drkit.model.operation import Request
from drkit.model.runbook import Runbook
from drkit.model.settings import Settings
from drkit.products.base import Actor, StepContext
from drkit.providers.guard import Guard, ReadingPosts, writing_guard
from drkit.providers.retry import Budget
from drkit.providers.session import Session
from drkit.store.records import who

LEFT = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass(frozen=True)
class Job:
    """What a run needs besides its journal.

    ``tables``: of every product; ``scripts``: those that may run on hosts; ``reads``: the POSTs that change nothing; ``recorded``:
    ids that the linked run allows to delete.
    """

    runbook: Runbook
    digest: str
    cloud: Cloud
    settings: Settings
    store: RunStore
    products: Mapping[str, Actor]
    tables: Tables
    scripts: Scripts
    reads: ReadingPosts
    show: Callable[[Event], None]
    wait_minutes: float
    loopback_only: bool = False
    principal: Principal | None = None
    recorded: frozenset[str] = frozenset()


async def begin(
    job: Job, run: str, clock: Clock, started: Mapping[str, Any], approved: Mapping[str, Any]
) -> run_outcome.Ending:
    """Carry a runbook out as a new run. A signal is heard from before its first record on."""
    nap = InterruptibleClock(clock)
    with _signals(nap.stop), job.store.lock_plans(list(job.runbook.source_plans), run, rfc3339(clock.now())):
        async with job.store.open_journal(run, clock) as journal:
            journal.take_over()
            # Both in one write: a run that began is never without its approval.
            await asyncio.gather(
                journal.append(
                    "started",
                    data={**started, "runbook": job.digest, "holder": journal.holder, "salt": secrets.token_hex(16)},
                ),
                journal.append("approved", data=approved),
            )
            await _note_remarks(job, journal)
            return await _hold(job, journal, nap, resumed=False)


async def resume(job: Job, run: str, clock: Clock) -> run_outcome.Ending:
    """Continue a run that no process holds, however the last one ended."""
    nap = InterruptibleClock(clock)
    with _signals(nap.stop), job.store.lock_plans(list(job.runbook.source_plans), run, rfc3339(clock.now())):
        async with job.store.open_journal(run, clock) as journal:
            if journal.state.runbook and journal.state.runbook != job.digest:
                raise IntegrityError(f"the journal of {run} belongs to another runbook", where=str(journal.path))
            journal.take_over()
            if journal.repaired:
                await journal.append("repaired", data={"torn_bytes": len(journal.repaired)})
            await journal.append("taken-over", data={"holder": journal.holder, "who": who()})
            await _note_remarks(job, journal)
            return await _hold(job, journal, nap, resumed=True)


async def _note_remarks(job: Job, journal: HeldJournal) -> None:
    """Journal and show what was unusual when locks were taken."""
    for text in (*job.store.taken_remarks(), *journal.remarks):
        await journal.append("control", data={"what": "noted", "reason": text})
        job.show(Event("note", None, text))


async def _hold(job: Job, journal: HeldJournal, clock: InterruptibleClock, *, resumed: bool) -> run_outcome.Ending:
    def state_of(step: str) -> Mapping[str, Any]:
        return journal.state.of(step).data

    async with Codes(socket_path(job.store.folder, journal.run)) as codes:

        def show_code(step: str, code: str, url: str) -> None:
            judged = sign_in.judge(code, url, job.cloud.authority)
            if codes.show(step, judged):
                job.show(Event("code", job.runbook.step(step), judged.words))

        def show(event: Event) -> None:
            if event.step is not None and event.kind in ("done", "failed", "skipped"):
                codes.drop(event.step.id)
            job.show(event)

        session = Session(
            job.cloud,
            clock=clock,
            guard=guard_of(job, journal),
            reads=job.reads,
            loopback_only=job.loopback_only,
            principal=job.principal,
            budget=Budget(seconds=job.settings.run.request_budget_seconds),
        )
        async with session as azure:
            context = StepContext(
                run=journal.run,
                runbook=job.runbook,
                azure=azure,
                clock=clock,
                settings=job.settings,
                attempt=1,
                results=state_of,
                show_code=show_code,
                regions={ArmId(plan): region for plan, region in job.runbook.source_plans.items()},
                epoch=max(1, journal.state.token),
                salt=journal.state.salt,
                scripts=job.scripts,
            )
            runner = Runner(
                job.runbook, journal, job.store, job.products, job.tables, context,
                show=show, wait_minutes=job.wait_minutes, stop=clock.stopped,
            )  # fmt: skip
            # A process that died before this look leaves it to the next one.
            if not (journal.state.kept_out or any(known.intended for known in journal.state.steps.values())):
                with suppress(StoppedError):
                    await _look_elsewhere(job, journal, context)
            ending = await runner.run(resumed=resumed)
            data = {
                "outcome": ending.outcome,
                "reason": ending.reason,
                "count": journal.state.count,
                "head": journal.state.head,
                "evidence": azure.counters.snapshot(),
            }
            await journal.append("ended", data=data)
            return ending


async def _look_elsewhere(job: Job, journal: HeldJournal, context: StepContext) -> None:
    """RefusedError, once, when another store's run is seen. It is journaled, so that a person who looked at that run can resume."""
    try:
        await other_stores.refuse(
            context,
            _began(job.store, journal.run),
            lambda text: job.show(Event("note", None, text)),
            job.products,
        )
    except RefusedError as error:
        await journal.append("control", data={"what": "kept-out", "reason": str(error), "who": who()})
        raise


def _began(store: RunStore, this: str) -> Callable[[str, str], bool]:
    @cache
    def intended() -> frozenset[str]:
        """The steps that any other run of this store recorded its intent of."""
        steps: set[str] = set()
        for run in store.runs():
            if run != this:
                with suppress(DrkitError):
                    steps.update(name for name, known in store.state(run).steps.items() if known.intended)
        return frozenset(steps)

    def began(run: str, step: str) -> bool:
        if not run:
            return step in intended()
        try:
            return run in store.runs() and step in store.state(run).steps
        except DrkitError:
            return False

    return began


def guard_of(job: Job, journal: HeldJournal) -> Guard:
    """Writes only as the intent and the table say, only while the journal is held, never to what is lost; deletions of what is recorded."""
    arm = job.cloud.arm

    def allowed() -> Sequence[Request]:
        step = acting()
        if step is None:
            return ()
        known = actions.announced(step, job.tables, arm, job.settings)
        return [request for request in permitted() if any(row.covers(request.method, request.target) for row in known)]

    def deletes(url: str) -> bool:
        step = acting()
        return step is not None and guards.may_delete(step, job.runbook, url, arm, job.recorded)

    return writing_guard(allowed, journal.check, partial(guards.aims_at_lost, job.runbook), job.reads, deletes)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT or SIGTERM once: start nothing new. Twice: leave now."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def heard(number: signal.Signals) -> None:
        seen.append(number)
        stop()
        if len(seen) > 1:
            os._exit(LEFT[number])

    for number in LEFT:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in LEFT:
            loop.remove_signal_handler(number)


def check_scripts(book: Runbook, scripts: Scripts) -> None:
    """RefusedError when this drkit has a script that would run on hosts no longer, or not yet, as it was approved."""
    changed = [name for name, sha256 in book.scripts.items() if not _has(scripts, name, sha256)]
    if changed:
        raise RefusedError(
            f"host scripts differ from the approved ones: {', '.join(changed)}",
            remedy="this drkit is not the one that planned it: `drkit plan` again, and approve that",
        )


def _has(scripts: Scripts, name: str, sha256: str) -> bool:
    try:
        scripts.approved(name, sha256)
    except KeyError:
        return False
    return True


def check_guards(job: Job) -> None:
    """RefusedError when settings are not those approved, or a guard does not pass now and nobody forced it in the approved text."""
    book = job.runbook
    changed = actions.differences(book, job.tables, job.settings)
    if changed:
        raise RefusedError(
            f"drkit.toml differs from what was approved: {'; '.join(changed[:5])}",
            where=job.settings.path or "drkit.toml",
            remedy="set it back there, or `drkit plan` again, and approve that",
        )
    if bad := guards.failed_guards(book, job.tables, job.settings, job.recorded):
        raise RefusedError(
            "; ".join(f"guard {guard.name}: {guard.detail}" for guard in bad), remedy="`drkit plan` again"
        )
