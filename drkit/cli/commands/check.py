"""``drkit check``: finds what would stop a recovery."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, finish, renamed


@command(examples=("drkit check", "drkit check --if-lost westeurope --summary ready.md"))
@renamed(
    "--if-lost", "--lose", "if_lost", metavar="REGION", default="", help="Show the runbook for the loss of this region."
)
@click.option("--out", metavar="FOLDER", help="With --if-lost: write that runbook and its assessment to this folder.")
@click.option("--summary", metavar="FILE", help="Write the findings as Markdown.")
def check(common: Common, if_lost: str, out: str | None, summary: str | None) -> int:
    """Find what would stop a recovery, and what is worse than at the last check. Read-only."""
    from drkit.api import check as api
    from drkit.api import plan
    from drkit.cli.views import check as view
    from drkit.cli.views import json

    context = common.context()
    checked = finish(api.check(context, lose=if_lost, out=out))
    if summary:
        plan.write_out(summary, view.summary(checked).encode())
        common.pipe(lambda view: [view.summary(summary)])
    common.pipe(lambda view: view.findings(checked.readiness.findings))
    common.tell(lambda: json.checked(checked), lambda: view.lines(checked, context.settings.run.concurrency))
    return checked.exit_code
