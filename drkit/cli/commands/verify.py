"""``drkit verify``: verifies the journal of a run."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN


@command(examples=("drkit verify run-0001",), words=RUN)
@click.argument("run", default="latest")
@click.option("--head", metavar="HASH", help="A head that was kept elsewhere, and must be in the chain.")
def verify(common: Common, run: str, head: str | None) -> int:
    """Verify the hash chain of a run's journal. Repairs nothing."""
    from drkit.api import control
    from drkit.cli.views import terminal

    verified = control.verify(common.context(), run, head)
    common.tell(verified, lambda: terminal.verified(verified, head))
    return 0
