"""``drkit failback``: writes the runbook that moves back what a failover moved."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN, out_option, reuse_option, summary_option


@command(examples=("drkit failback", "drkit failback run-0001 --out back.json"), words=RUN)
@click.argument("run", required=False)
@out_option()
@summary_option()
@reuse_option("If a failback is open, use its runbook instead of a new one.")
def failback(common: Common, run: str | None, out: str | None, summary: str | None, reuse_open: bool) -> int:
    """Write the runbook that moves back what a failover (default: the newest) moved, once the region answers again."""
    from drkit.api import ci
    from drkit.cli.commands.plan import tell_planned

    context = common.context()
    planned, open_run = ci.way_back(context, run, out=out, or_open=reuse_open)
    tell_planned(common, context, planned, summary, open_run)
    return 0
