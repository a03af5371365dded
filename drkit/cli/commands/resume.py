"""``drkit resume``: continues a run."""

from __future__ import annotations

from functools import cache

import click

from drkit.cli.command import Common, command, finish
from drkit.cli.options import RUN, wait_option


@command(examples=("drkit resume", "drkit resume run-0001 --wait 30"), words=RUN)
@click.argument("run", default="latest")
@wait_option()
def resume(common: Common, run: str, wait_minutes: float | None) -> int:
    """Continue a run, whatever stopped it."""
    from drkit.api import apply as api
    from drkit.api import status
    from drkit.cli.run_output import listener, progress_teller, tell_applied

    context = common.context()
    on_event = listener(
        common,
        cache(lambda: len(status.status(context, run).runbook.steps)),
        progress_teller(context, lambda: run),
    )
    applied = finish(api.resume(context, run, wait_minutes=wait_minutes, on_event=on_event))
    return tell_applied(common, context, applied)
