"""``drkit approve``: approves the exact bytes of a runbook."""

from __future__ import annotations

import sys

import click

from drkit.cli.command import Common, command, say, views
from drkit.cli.options import digest_option, target_option
from drkit.errors import RefusedError


@command(
    examples=("drkit approve runbook.json --note 'read by two'",),
    words="RUNBOOK is a digest, at least its first 8 digits, or a file.",
)
@click.argument("runbook", default="")
@click.option("--hours", type=float, default=24.0, show_default=True, help="How long the approval is valid.")
@click.option("--note", default="", help="A note for the record.")
@digest_option()
@target_option()
def approve(common: Common, runbook: str, hours: float, note: str, digest: str | None, targets: tuple[str, ...]) -> int:
    """Approve the exact bytes of a runbook, by digest or file. Shows the runbook, and asks at a terminal."""
    from drkit.api import ci
    from drkit.api import plan as api
    from drkit.cli.commands.show import shown_parts

    context = common.context()
    planned = api.named(context, runbook)
    if digest is not None:
        planned = ci.pinned(context, runbook, digest)
    if not common.json and not common.quiet:
        candidates = api.candidate_lines(context, planned.runbook)
        say(views().render(*shown_parts(context, planned, candidates)[:-1]))
    api.approvable(context, planned, targets, f"drkit approve {planned.digest[:12]}")
    if not common.json and sys.stdin.isatty() and not _agreed():
        raise RefusedError("was not approved", where=f"runbook {planned.digest[:12]}", remedy="nothing was written")
    # By digest from here on, so that the bytes that were shown are the bytes that are approved.
    context.store.keep_runbook(planned.content)
    approval = api.approve(context, planned.digest, hours=hours, note=note, targets=targets)
    common.tell(
        approval,
        lambda: [
            f"approved {approval.digest[:12]} by {approval.who} until {approval.until} ({context.store.approvals_worth})",
            f"next: `drkit apply {approval.digest[:12]}`",
        ],
    )
    return 0


def _agreed() -> bool:
    question = "Type `yes` to approve it; press Enter to leave"
    return str(click.prompt(question, default="", show_default=False, err=True)) == "yes"
