"""The state of runs, and what to do next. Reads only the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from drkit.api import history
from drkit.api.context import Context
from drkit.api.plan import show_of
from drkit.errors import DrkitError, RefusedError
from drkit.model import cloud as clouds
from drkit.model.clock import parse_time
from drkit.model.estate import Assessment, Snapshot
from drkit.model.run import Record, RunState, disbelieve, fold
from drkit.model.runbook import Runbook
from drkit.planning import hosts_in_doubt, leftovers

DONE = ("succeeded", "succeeded-with-exceptions")


@dataclass(frozen=True)
class RunStatus:
    """A run: its state by its journal, its runbook, and its outcome as of now.

    ``outcome``: as in ``Applied``; ``reason``: why, as a sentence; ``since``: when the outage was first seen (RFC 3339, or empty);
    ``records``: its journal; ``held``: the process that carries it out at this moment, or empty.
    """

    run: str
    state: RunState
    runbook: Runbook
    digest: str
    outcome: str
    reason: str
    since: str
    records: tuple[Record, ...] = ()
    held: str = ""
    replaced: str = ""
    """The run that carries out its rest, or empty."""

    @property
    def open(self) -> bool:
        """Whether ``resume`` can continue it: it has not ended for good, and was not replaced."""
        return self.outcome not in DONE and not self.replaced and not closed(self.runbook, self.state)


def status(context: Context, run: str = "latest") -> RunStatus:
    """The status of a run, by name or ``latest``. Needs no cloud.

    UsageError for an unknown run; RefusedError for one that never began; IntegrityError for a broken journal.
    """
    name = context.store.journal_path(run).stem
    run_status = _status_of(context, name)
    if run_status is None:
        raise _never_began(context, name)
    return _or_replaced(run_status, history.replaced(context.store.run_records()))


def _or_replaced(run_status: RunStatus, gone: Mapping[str, str]) -> RunStatus:
    """The status, with the run that replaced this one, if there is one."""
    other = gone.get(run_status.run, "")
    return replace(run_status, replaced=other, reason=f"its rest is carried out as {other}") if other else run_status


def _status_of(context: Context, name: str) -> RunStatus | None:
    """The status of a run, or None when it never began."""
    from drkit.execution import run_outcome

    records = context.store.records(name)
    state = fold(records)
    if not state.runbook:
        return None
    shown = show_of(context, state.runbook)
    disbelieve(state, shown.runbook.asking)
    ending = run_outcome.ending(shown.runbook, state)
    since = str(records[0].data.get("since", ""))
    held = "" if ending.outcome in DONE else context.store.holder(name)
    if held:
        ending = run_outcome.ending(shown.runbook, state, held=True)
    return RunStatus(
        name, state, shown.runbook, shown.digest, ending.outcome, ending.reason, since, tuple(records), held
    )


def closed(book: Runbook, state: RunState) -> bool:
    """Whether a run has ended for good: everything is done, or it was aborted, with nothing under way and no host in doubt."""
    given_up = state.outcome and state.aborted and not state.under_way
    return state.outcome in DONE or bool(given_up and not hosts_in_doubt.in_doubt(book, state))


def begun(context: Context, run: str) -> RunState:
    """The state of a run. RefusedError for a run that never began."""
    state = context.store.state(run)
    if not state.runbook:
        raise _never_began(context, run)
    return state


def _never_began(context: Context, run: str) -> RefusedError:
    return RefusedError(f"{run} never began", where=str(context.store.folder), remedy="`drkit apply` again")


def runs(context: Context) -> list[RunStatus]:
    """The status of every run that began, oldest first. IntegrityError names the first run whose journal is broken."""
    statuses = [run_status for run in context.store.runs() if (run_status := _status_of(context, run))]
    gone = {run_status.runbook.rebases: run_status.run for run_status in statuses if run_status.runbook.rebases}
    return [_or_replaced(run_status, gone) for run_status in statuses]


def codes(context: Context, run: str) -> list[dict[str, Any]]:
    """The sign-in codes that a run on this machine shows now. RefusedError names the holder when there are none here."""
    from drkit.execution import sign_in_codes as shown

    name = context.store.journal_path(run).stem
    return shown.ask(shown.socket_path(context.store.folder, name), name, context.store.state(name).holder)


def overview(context: Context) -> list[str]:
    """What `drkit` without a command prints, line by line: cloud, store, age of the snapshot, open runs, the next command."""
    lines = [context.cloud.announce(), f"store: {context.store.folder}"]
    newest = context.store.newest(Snapshot)
    if newest is None:
        return [
            *lines,
            "no snapshot yet",
            "next: `drkit snapshot`, or `drkit drill` to see the whole way on a simulated Azure",
        ]
    now = context.clock.now()
    lines.append(f"snapshot {newest[0].generation} is {clouds.age_text(parse_time(newest[0].taken), now)} old")
    unfinished: list[RunStatus] = []
    statuses: list[RunStatus] = []
    for run in context.store.runs():
        try:
            run_status = _status_of(context, run)
        except DrkitError as error:
            lines.append(f"cannot be read: {run}: {error}")
            continue
        if run_status:
            statuses.append(run_status)
    gone = {run_status.runbook.rebases: run_status.run for run_status in statuses if run_status.runbook.rebases}
    for run_status in statuses:
        doubt = hosts_in_doubt.in_doubt(run_status.runbook, run_status.state)
        if (
            run_status.run not in gone
            and run_status.outcome not in DONE
            and (run_status.outcome == "partial" or (doubt and run_status.open))
        ):
            unfinished.append(run_status)
    lines.extend(
        f"under way: {run_status.run}, held by {run_status.held}"
        if run_status.held
        else f"open: {run_status.run} ({run_status.reason})"
        for run_status in unfinished
    )
    if unfinished:
        last = unfinished[-1]
        resume = "" if last.held else f", then `drkit resume {last.run}`"
        return [*lines, f"next: `drkit status {last.run}`{resume}"]
    assessed = context.store.newest(Assessment)
    if assessed is None:
        return [*lines, "next: `drkit assess`"]
    lines.append(f"assessment {assessed[0].generation} is {clouds.age_text(parse_time(assessed[0].taken), now)} old")
    lost = any(finding.state == "lost" for finding in assessed[0].plans)
    if not lost and (way := leftovers.way_on(assessed[0].zombies)):
        return [*lines, f"next: {way}"]
    if back := leftovers.since_snapshot(context.store.run_records(), newest[0]):
        return [*lines, f"next: `drkit snapshot`, since {back}"]
    return [*lines, "next: `drkit plan`" if lost else "next: `drkit assess` when something looks wrong"]
