"""``drkit plan``: writes a runbook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from drkit.cli.command import Common, command, note, views
from drkit.cli.options import out_option, reuse_option, summary_option
from drkit.errors import UsageError

if TYPE_CHECKING:
    from drkit.api.context import Context
    from drkit.api.plan import Planned


@command(examples=("drkit plan --out runbook.json", "drkit plan --kind repair", "drkit plan --rebase latest"))
@click.option(
    "--kind", type=click.Choice(["failover", "repair"]), help="Default: failover if a plan is lost, else repair."
)
@click.option("--graceful", is_flag=True, help="Move away from a region that still works; needs --from.")
@click.option("--from", "from_region", metavar="REGION", help="The region to move away from.")
@click.option("--snapshot", metavar="FILE", help="Recover from this snapshot.")
@click.option("--assessment", metavar="FILE", help="Plan for this assessment.")
@click.option("--force", metavar="GUARD", multiple=True, help="Write an exception to a guard into the runbook.")
@click.option("--reason", metavar="TEXT", help="Why the guard is forced.")
@out_option()
@click.option("--rebase", metavar="RUN", help="Write a new runbook for what a run left undone.")
@reuse_option("If a run of this kind is open, use its runbook instead of a new one.")
@summary_option()
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there is something to do.")
def plan(
    common: Common, kind: Any, graceful: bool, from_region: str | None, snapshot: str | None, assessment: str | None,
    force: tuple[str, ...], reason: str | None, out: str | None, rebase: str | None, reuse_open: bool, summary: str | None,
    detailed_exitcode: bool,
) -> int:  # fmt: skip
    """Write a runbook. The same snapshot and assessment give the same bytes."""
    from drkit.api import plan as api

    if graceful != bool(from_region):
        raise UsageError("--graceful and --from REGION go together")
    if force and not (reason or "").strip():
        raise UsageError("--force needs --reason TEXT: the approver reads it")
    forced = dict.fromkeys(force, reason or "")
    if reuse_open and rebase:
        raise UsageError("--reuse-open and --rebase do not go together", remedy="leave one out")
    context = common.context()
    open_run = None
    if reuse_open:
        from drkit.api import ci

        open_run = ci.open_like(context, kind=kind or "failover", graceful_from=from_region or "")
    if open_run:
        planned = open_run[1]
        if out:
            api.write_out(out, planned.content)
    elif rebase:
        from drkit.api import control

        if kind or graceful or snapshot or assessment:
            raise UsageError(
                "--rebase takes kind, region, snapshot and assessment from the run and the store",
                remedy="leave them out",
            )
        planned = control.rebase(context, rebase, force=forced, out=out)
    else:
        planned = api.plan(
            context,
            kind=kind,
            graceful_from=from_region or "",
            snapshot=snapshot,
            assessment=assessment,
            force=forced,
            out=out,
        )
    tell_planned(common, context, planned, summary, open_run[0] if open_run else "")
    return 2 if detailed_exitcode and planned.runbook.steps else 0


def tell_planned(common: Common, context: Context, planned: Planned, summary: str | None, run: str = "") -> None:
    """Print a runbook in short. ``summary``: the file for its Markdown. ``run``: the open run that it belongs to."""
    from drkit.cli.views import json

    if run:
        note(f"{run} is open: this is its runbook, and `drkit resume {run}` continues it")
    if summary:
        from drkit.api import plan
        from drkit.cli.views import azure_pipelines

        text = azure_pipelines.runbook_summary(
            planned.runbook, planned.digest, planned.described_steps, run, planned.warnings
        )
        plan.write_out(summary, text.encode())
        common.pipe(lambda view: [view.summary(summary)])
    common.tell(lambda: json.planned(planned, run), lambda: planned_parts(context, planned))
    common.pipe(lambda view: view.planned(planned.runbook, planned.digest, run, planned.warnings))


def planned_parts(context: Context, planned: Planned) -> list[Any]:
    """A runbook in short."""
    parts: list[Any] = views().planned(
        planned.runbook,
        planned.digest,
        str(planned.path),
        planned.warnings,
        concurrency=context.settings.run.concurrency,
    )
    return parts
