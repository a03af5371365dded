"""``drkit pause``: pauses a run."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN, reason_option


@command(examples=("drkit pause latest --reason 'hand over to the day shift'",), words=RUN)
@click.argument("run", default="latest")
@reason_option()
def pause(common: Common, run: str, reason: str) -> int:
    """Pause a run: no new steps start, and steps under way are finished."""
    from drkit.api import control
    from drkit.cli.views import sentences

    name = control.pause(common.context(), run, reason)
    common.tell({"run": name}, lambda: [*sentences.sent(name, "pause"), f"next: `drkit unpause {name}`"])
    return 0
