"""A run: carried out, gone on with, watched, spoken to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from drkit.cli.command import Common, command, finish, note, renamed, target_option, views
from drkit.errors import DrkitError
from drkit.model import log

if TYPE_CHECKING:
    from drkit.api.context import Context
    from drkit.api.status import RunStatus


EVERY = 20.0
"""Seconds between two lines about how far a run is."""


def _progress(context: Context, run: Callable[[], str]) -> Callable[[], None]:
    """Says how far the run is, at most every so often. Never a reason for a run to end."""
    last = time.monotonic()

    def tell() -> None:
        nonlocal last
        if time.monotonic() - last < EVERY:
            return
        last = time.monotonic()
        with contextlib.suppress(DrkitError):
            from drkit.api import status as status_
            from drkit.cli.views import sentences
            from drkit.execution import progress

            standing = status_.status(context, run())
            note(
                f"  {sentences.progress(progress.estimate(standing.runbook, standing.state, context.settings.run.concurrency))}"
            )

    return tell


def _listener(
    common: Common, total: Callable[[], int] = lambda: 0, tell_progress: Callable[[], None] = lambda: None
) -> Callable[[Any], None]:
    ended: set[str] = set()

    def heard(event: Any) -> None:
        # A sign-in code is shown on the terminal, and written nowhere.
        text = event.text if event.kind != "code" else ""
        log.say(f"step {event.kind}" if event.step else event.kind, step=event.step.id if event.step else "", text=text)
        if not common.quiet:
            note(views().event(event.kind, event.step.id if event.step else "", event.text))
            tell_progress()
        if common.pipelines and event.step is not None:
            if event.kind in ("done", "skipped"):
                ended.add(event.step.id)
                common.pipe(lambda view: [view.progress(len(ended), total(), event.step.title)])
            elif event.kind in ("failed", "drifted", "asked"):
                common.pipe(lambda view: [view.issue("warning", f"{event.kind}: {event.step.title}: {event.text}")])

    return heard


def _stands(standing: RunStatus) -> list[Any]:
    made: list[Any] = views().status(
        standing.runbook, standing.state, standing.outcome, standing.reason, standing.held, standing.replaced
    )
    return made


def _applied(common: Common, context: Context, applied: Any) -> int:
    from drkit.api import status as status_

    standing = status_.status(context, applied.run)
    common.tell(
        {"run": applied.run, "outcome": applied.outcome, "reason": applied.reason, "exit_code": applied.exit_code},
        lambda: _stands(standing),
    )
    common.pipe(lambda view: view.ended(applied.outcome, applied.reason, applied.run))
    return int(applied.exit_code)


@command()
@click.argument("runbook", default="latest")
@click.option("--yes", is_flag=True, help="Approve it yourself; the journal says so.")
@click.option("--wait", "wait_minutes", type=float, help="Minutes to wait for people when nothing else is left.")
@click.option("--digest", metavar="SHA256", help="Refuse unless the bytes have this digest.")
@renamed(
    "--resume-existing",
    "--or-resume",
    "or_resume",
    is_flag=True,
    help="If there is a run of the same bytes, resume it.",
)
@target_option("With --yes: the whole id of what takes over, where only a tag speaks for it.")
def apply(
    common: Common, runbook: str, yes: bool, wait_minutes: float | None, digest: str | None, or_resume: bool,
    targets: tuple[str, ...],
) -> int:  # fmt: skip
    """Carry out an approved runbook."""
    from drkit.api import ci, plan

    context = common.context()
    listener = _listener(
        common,
        cache(lambda: len(plan.show(context, runbook).runbook.steps)),
        _progress(context, lambda: context.store.runs()[-1]),
    )
    applied = finish(
        ci.carry_out(
            context, runbook, digest=digest, or_resume=or_resume, yes=yes, targets=targets, wait_minutes=wait_minutes, on_event=listener,
            say=note,
        )
    )  # fmt: skip
    return _applied(common, context, applied)


@command()
@click.argument("run", default="latest")
@click.option("--wait", "wait_minutes", type=float, help="Minutes to wait for people when nothing else is left.")
def resume(common: Common, run: str, wait_minutes: float | None) -> int:
    """Go on with a run, whatever ended it."""
    from drkit.api import apply as apply_
    from drkit.api import status as status_

    context = common.context()
    listener = _listener(
        common, cache(lambda: len(status_.status(context, run).runbook.steps)), _progress(context, lambda: run)
    )
    applied = finish(apply_.resume(context, run, wait_minutes=wait_minutes, on_event=listener))
    return _applied(common, context, applied)


@command()
@click.argument("run")
@click.argument("step")
@click.argument("text", default="done")
def answer(common: Common, run: str, step: str, text: str) -> int:
    """Tell a run that what a step asks of a person is done, or that the person is ready."""
    from drkit.api import control

    found = control.answer(common.context(), run, step, text)
    common.tell({"step": found, "said": text}, lambda: [f"said to {run}: {found}: {text}", _taken_up(run)])
    return 0


def _taken_up(run: str) -> str:
    return f"a process that holds the run takes it up; if none does, `drkit resume {run}`"


@command()
@click.argument("run")
@click.argument("step")
@click.option("--reason", required=True, metavar="TEXT", help="Why; the journal keeps it.")
def skip(common: Common, run: str, step: str, reason: str) -> int:
    """Leave a step out, with a reason."""
    from drkit.api import control

    found = control.skip(common.context(), run, step, reason)
    common.tell({"step": found, "reason": reason}, lambda: [f"said to {run}: skip {found}: {reason}", _taken_up(run)])
    return 0


@command()
@click.argument("run")
@click.argument("step")
def retry(common: Common, run: str, step: str) -> int:
    """Try a failed or drifted step again; it is looked at anew first."""
    from drkit.api import control

    found = control.retry(common.context(), run, step)
    common.tell({"step": found}, lambda: [f"said to {run}: retry {found}", _taken_up(run)])
    return 0


@command()
@click.argument("run", default="latest")
@click.option("--reason", default="", metavar="TEXT", help="Why; the journal keeps it.")
def pause(common: Common, run: str, reason: str) -> int:
    """Begin nothing new; what is under way is finished."""
    from drkit.api import control

    name = control.pause(common.context(), run, reason)
    common.tell({"run": name}, lambda: [f"said to {name}: pause", _taken_up(name), f"next: `drkit unpause {name}`"])
    return 0


@command()
@click.argument("run", default="latest")
def unpause(common: Common, run: str) -> int:
    """Go on after a pause."""
    from drkit.api import control

    name = control.unpause(common.context(), run)
    common.tell({"run": name}, lambda: [f"said to {name}: unpause", _taken_up(name)])
    return 0


@command()
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Why; the journal keeps it.")
def abort(common: Common, run: str, reason: str) -> int:
    """End a run for good: what was begun for a host is finished, nothing else is begun."""
    from drkit.api import control

    name = control.abort(common.context(), run, reason)
    common.tell({"run": name, "reason": reason}, lambda: [f"said to {name}: abort: {reason}", _taken_up(name)])
    return 0


@command()
@click.argument("run", required=False)
@click.option("--show-code", is_flag=True, help="Sign-in codes, on the machine that runs it only.")
@click.option("--open", "only_open", is_flag=True, help="Without a run: only those that can be gone on with.")
def status(common: Common, run: str | None, show_code: bool, only_open: bool) -> int:
    """Where a run stands; without one, the list of runs."""
    from drkit.api import ci
    from drkit.api import status as status_
    from drkit.cli.views import sentences
    from drkit.execution import progress
    from drkit.model.text import clock
    from drkit.planning import handover

    context = common.context()
    if show_code:
        found = status_.codes(context, run or "latest")
        common.tell({"codes": found}, lambda: views().codes(found))
        return 0
    if run is None:
        listed = ci.open_runs(context) if only_open else status_.runs(context)
        rows = [
            (
                one.run,
                one.runbook.kind,
                "under way" if one.held else one.outcome,
                clock(one.state.started),
                one.reason,
            )
            for one in listed
        ]
        value = [
            {
                "run": one.run,
                "kind": one.runbook.kind,
                "outcome": one.outcome,
                "held": one.held,
                "started": one.state.started,
                "runbook": one.digest,
            }
            for one in listed
        ]
        common.tell(
            {"runs": value},
            lambda: (
                [views().table("run", "kind", "outcome", "started", "why", rows=rows, ratios={4: 1})]
                if rows
                else ["no run is open" if only_open else "no runs yet"]
            ),
        )
        return 0
    standing = status_.status(context, run)
    value_one = {
        "run": standing.run,
        "outcome": standing.outcome,
        "reason": standing.reason,
        "held": standing.held,
        "replaced": standing.replaced,
        "runbook": standing.digest,
        "in_doubt": [
            doubt.words
            for doubts in (handover.in_doubt, handover.by_hand)
            for doubt in doubts(standing.runbook, standing.state)
        ],
        "steps": {step.id: standing.state.of(step.id).status for step in standing.runbook.steps},
    }
    far = progress.estimate(standing.runbook, standing.state, context.settings.run.concurrency)
    common.tell(
        {**value_one, "progress": far},
        lambda: [
            sentences.progress(far),
            *_stands(standing),
        ],
    )
    return 0
