"""``drkit apply``: applies an approved runbook."""

from __future__ import annotations

from functools import cache

import click

from drkit.cli.command import Common, command, finish, note, renamed
from drkit.cli.options import RUNBOOK, digest_option, target_option, wait_option


@command(examples=("drkit apply latest", "drkit apply latest --resume-existing --wait 30"), words=RUNBOOK)
@click.argument("runbook", default="latest")
@click.option("--yes", is_flag=True, help="Approve it yourself; the journal says so.")
@wait_option()
@digest_option()
@renamed(
    "--resume-existing",
    "--or-resume",
    "resume_existing",
    is_flag=True,
    help="If there is a run of the same bytes, resume it.",
)
@target_option("With --yes: the full id of a plan that takes over, if only a tag names it.")
def apply(
    common: Common, runbook: str, yes: bool, wait_minutes: float | None, digest: str | None, resume_existing: bool,
    targets: tuple[str, ...],
) -> int:  # fmt: skip
    """Apply an approved runbook."""
    from drkit.api import ci, plan
    from drkit.cli.run_output import listener, progress_teller, tell_applied

    context = common.context()
    on_event = listener(
        common,
        cache(lambda: len(plan.show(context, runbook).runbook.steps)),
        progress_teller(context, lambda: context.store.runs()[-1]),
    )
    applied = finish(
        ci.carry_out(
            context, runbook, digest=digest, or_resume=resume_existing, yes=yes, targets=targets, wait_minutes=wait_minutes,
            on_event=on_event, say=note,
        )
    )  # fmt: skip
    return tell_applied(common, context, applied)
