"""``drkit unpause``: continues a paused run."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN


@command(examples=("drkit unpause latest",), words=RUN)
@click.argument("run", default="latest")
def unpause(common: Common, run: str) -> int:
    """Continue a paused run."""
    from drkit.api import control
    from drkit.cli.views import sentences

    name = control.unpause(common.context(), run)
    common.tell({"run": name}, lambda: sentences.sent(name, "unpause"))
    return 0
