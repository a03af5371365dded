"""``drkit skip``: skips a step of a run."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import STEP, reason_option


@command(examples=("drkit skip latest mobile-ci.927d3b:ready --reason 'owner on leave'",), words=STEP)
@click.argument("run")
@click.argument("step")
@reason_option(required=True)
def skip(common: Common, run: str, step: str, reason: str) -> int:
    """Skip a step, and give the reason."""
    from drkit.api import control
    from drkit.cli.views import sentences

    skipped = control.skip(common.context(), run, step, reason)
    common.tell({"step": skipped, "reason": reason}, lambda: sentences.sent(run, f"skip {skipped}: {reason}"))
    return 0
