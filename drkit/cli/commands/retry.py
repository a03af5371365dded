"""``drkit retry``: tries a step of a run again."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import STEP


@command(examples=("drkit retry latest orders-build.213a3c:reach",), words=STEP)
@click.argument("run")
@click.argument("step")
def retry(common: Common, run: str, step: str) -> int:
    """Try a failed or drifted step again. The run observes its target again first."""
    from drkit.api import control
    from drkit.cli.views import sentences

    retried = control.retry(common.context(), run, step)
    common.tell({"step": retried}, lambda: sentences.sent(run, f"retry {retried}"))
    return 0
