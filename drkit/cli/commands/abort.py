"""``drkit abort``: ends a run for good."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN, reason_option


@command(examples=("drkit abort latest --reason 'the region is back'",), words=RUN)
@click.argument("run")
@reason_option(required=True)
def abort(common: Common, run: str, reason: str) -> int:
    """End a run for good. What was begun for a host is finished; nothing else starts."""
    from drkit.api import control
    from drkit.cli.views import sentences

    name = control.abort(common.context(), run, reason)
    common.tell({"run": name, "reason": reason}, lambda: sentences.sent(name, f"abort: {reason}"))
    return 0
