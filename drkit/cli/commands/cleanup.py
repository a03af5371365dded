"""``drkit cleanup``: writes the runbook that deletes what a run left behind."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN, out_option
from drkit.errors import UsageError


@command(
    examples=("drkit cleanup run-0001", "drkit cleanup run-0001 --discard orders-returns --reason 'abandoned'"),
    words=RUN,
)
@click.argument("run", default="latest")
@click.option(
    "--discard", metavar="NAME", multiple=True, help="Unpushed work of this environment may be lost; needs --reason."
)
@click.option("--reason", metavar="TEXT", help="Why it may be lost; the approver reads it.")
@out_option()
def cleanup(common: Common, run: str, discard: tuple[str, ...], reason: str | None, out: str | None) -> int:
    """Write the runbook that deletes, by id, what a run left behind and what is confirmed elsewhere."""
    from drkit.api import cleanup as cleanup_
    from drkit.cli.commands.plan import planned_parts

    if bool(discard) != bool((reason or "").strip()):
        raise UsageError("--discard and --reason TEXT go together: the approver reads why the work may be lost")
    context = common.context()
    planned = cleanup_.cleanup(context, run, discard=dict.fromkeys(discard, reason or ""), out=out)
    common.tell(planned, lambda: planned_parts(context, planned))
    return 0
