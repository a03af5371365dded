"""What ``apply`` and ``resume`` print while a run is under way, and at its end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from drkit.cli.command import Common, note, views
from drkit.errors import DrkitError
from drkit.model import log

if TYPE_CHECKING:
    from drkit.api.context import Context

PROGRESS_SECONDS = 20.0
"""Between two lines that say how far a run is."""


def progress_teller(context: Context, run: Callable[[], str]) -> Callable[[], None]:
    """Prints how far the run is, at most every ``PROGRESS_SECONDS``. An error in it never ends a run."""
    last = time.monotonic()

    def tell() -> None:
        nonlocal last
        if time.monotonic() - last < PROGRESS_SECONDS:
            return
        last = time.monotonic()
        with contextlib.suppress(DrkitError):
            from drkit.api import status
            from drkit.cli.views import sentences
            from drkit.execution import progress

            run_status = status.status(context, run())
            estimate = progress.estimate(run_status.runbook, run_status.state, context.settings.run.concurrency)
            note(f"  {sentences.progress(estimate)}")

    return tell


def listener(
    common: Common, total: Callable[[], int] = lambda: 0, tell_progress: Callable[[], None] = lambda: None
) -> Callable[[Any], None]:
    """Prints and logs each event of a run. ``total``: how many steps it has."""
    ended: set[str] = set()

    def on_event(event: Any) -> None:
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

    return on_event


def tell_applied(common: Common, context: Context, applied: Any) -> int:
    """Print how a run ended; returns the exit code."""
    from drkit.api import status as api
    from drkit.cli.views import json, status

    run_status = api.status(context, applied.run)
    common.tell(lambda: json.applied(applied), lambda: status.of(run_status))
    common.pipe(lambda view: view.ended(applied.outcome, applied.reason, applied.run))
    return int(applied.exit_code)
