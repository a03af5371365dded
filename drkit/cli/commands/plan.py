"""The night itself, up to the approval: assess, explain, plan, show, approve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from drkit.cli.command import Common, command, finish, note, renamed, say, target_option, views
from drkit.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from drkit.api.context import Context


@command()
@click.option("--declare-lost", metavar="REGION", help="Declare a region lost, with your name; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why; kept as evidence.")
@click.option("--probe-output", metavar="DIR", help="A folder of what probes printed that people ran by hand.")
@click.option(
    "--verdict", "verdicts", metavar="WORD", multiple=True, help="Show only hosts of this verdict (or reason)."
)
@click.option("--plan", "only", metavar="NAME", help="Show only this plan and its hosts.")
def assess(
    common: Common,
    declare_lost: str | None,
    reason: str | None,
    probe_output: str | None,
    verdicts: tuple[str, ...],
    only: str | None,
) -> int:
    """Say how each plan is and what happened to each host. Reads only."""
    from drkit.api import assess as assess_
    from drkit.api import explain as explain_

    if reason and not declare_lost:
        raise UsageError("--reason goes with --declare-lost", remedy="drkit assess --declare-lost REGION --reason TEXT")
    explain_.check_words(verdicts)
    context = common.context()
    taken, path, code = finish(
        assess_.assess(context, declare_lost=declare_lost, reason=reason, probe_output=probe_output)
    )
    shown = explain_.filtered(taken, verdicts=verdicts, plan=only or "", context=context)
    common.tell(shown, lambda: views().assessment(shown, str(path)))
    return code


@command()
@click.argument("name")
def explain(common: Common, name: str) -> int:
    """Why a host's verdict, or a plan's state, is what it is, and what to do."""
    from drkit.api import explain as explain_
    from drkit.cli.views.explain import lines

    found = explain_.explain(common.context(), name)
    common.tell(found, lambda: lines(found, views().width()))
    return 0


@command()
@click.option(
    "--every", type=float, default=5.0, show_default=True, metavar="MINUTES", help="Between two looks, at the least."
)
@click.option(
    "--for", "for_minutes", type=float, default=0.0, metavar="MINUTES", help="How long (default: until a signal)."
)
@click.option(
    "--until", default="", metavar="WORD", help="Stop at this plan state or verdict, or when all is `settled`."
)
def watch(common: Common, every: float, for_minutes: float, until: str) -> int:
    """Assess again and again, and print what changed. Ends with 0, 1 (--until was not reached) or 5 (cannot tell)."""

    from drkit.api import watch as watch_

    told, code = finish(
        watch_.watched(
            common.context(), every_minutes=every, for_minutes=for_minutes, until=until,
            tell=(lambda text: None if common.quiet else note(text)) if common.json else say,
        )
    )  # fmt: skip
    if common.json:
        common.tell(told, list)
    return code


@command("probe-script")
@click.argument("system", type=click.Choice(["linux", "windows"]), default="linux")
def probe_script(common: Common, system: str) -> int:
    """Print the probe, to run by hand on a host that drkit cannot reach."""

    from drkit.api import probe_script as probe_script_

    found = probe_script_.probe_script(common.context().settings, system)
    if common.json:
        common.tell(found, list)
        return 0
    say(found.text, newline=False)
    if not common.quiet:
        note(f"in a file on the host, as an administrator: {found.command}")
        note("collect the outputs in a folder, each named for its host, then: drkit assess --probe-output FOLDER")
    return 0


@command()
@click.option(
    "--kind", type=click.Choice(["failover", "repair"]), help="Default: failover if a plan is lost, else repair."
)
@click.option("--graceful", is_flag=True, help="Move away from a region that still works; needs --from.")
@click.option("--from", "from_region", metavar="REGION", help="The region to move away from.")
@click.option("--snapshot", metavar="FILE", help="Recover from this snapshot.")
@click.option("--assessment", metavar="FILE", help="Plan on this assessment.")
@click.option("--force", metavar="GUARD", multiple=True, help="Write an exception to a guard into the runbook.")
@click.option("--reason", metavar="TEXT", help="Why the guard is forced.")
@click.option("--out", metavar="FILE", help="Write the runbook here too.")
@click.option("--rebase", metavar="RUN", help="What a run left undone, anew, for an approval of its own.")
@renamed(
    "--reuse-open",
    "--or-open",
    "or_open",
    is_flag=True,
    help="If a run of this kind is open, take its runbook instead of a new one.",
)
@click.option("--summary", metavar="FILE", help="Write the runbook as Markdown, for whoever approves.")
@click.option("--detailed-exitcode", is_flag=True, help="Leave with 2 when there is something to do.")
def plan(
    common: Common,
    kind: Any,
    graceful: bool,
    from_region: str | None,
    snapshot: str | None,
    assessment: str | None,
    force: tuple[str, ...],
    reason: str | None,
    out: str | None,
    rebase: str | None,
    or_open: bool,
    summary: str | None,
    detailed_exitcode: bool,
) -> int:
    """Write the runbook. Pure: the same snapshot and assessment give the same bytes."""
    from drkit.api import ci, control
    from drkit.api import plan as plan_

    if graceful != bool(from_region):
        raise UsageError("--graceful and --from REGION go together")
    if force and not (reason or "").strip():
        raise UsageError("--force needs --reason TEXT: the approver reads it")
    forced = dict.fromkeys(force, reason or "")
    if or_open and rebase:
        raise UsageError("--reuse-open and --rebase do not go together", remedy="leave one out")
    context = common.context()
    going = ci.open_like(context, kind=kind or "failover", graceful_from=from_region or "") if or_open else None
    if going:
        planned = going[1]
        if out:
            plan_.write_out(out, planned.content)
    elif rebase:
        if kind or graceful or snapshot or assessment:
            raise UsageError(
                "--rebase takes kind, region, snapshot and assessment from the run and the store",
                remedy="leave them out",
            )
        planned = control.rebase(context, rebase, force=forced, out=out)
    else:
        planned = plan_.plan(
            context,
            kind=kind,
            graceful_from=from_region or "",
            snapshot=snapshot,
            assessment=assessment,
            force=forced,
            out=out,
        )
    tell_planned(common, context, planned, summary, going[0] if going else "")
    return 2 if detailed_exitcode and planned.runbook.steps else 0


def tell_planned(common: Common, context: Context, planned: Any, summary: str | None, run: str = "") -> None:
    """Tell of a runbook; ``run``: the open run that it is of."""
    value = {"runbook": planned.runbook, "digest": planned.digest, "path": planned.path, "warnings": planned.warnings}
    if run:
        value["run"] = run
        note(f"{run} is open: this is its runbook, and `drkit resume {run}` goes on with it")
    if summary:
        from drkit.api import plan as plan_
        from drkit.cli.views import azure_pipelines

        text = azure_pipelines.runbook_summary(planned.runbook, planned.digest, planned.told, run, planned.warnings)
        plan_.write_out(summary, text.encode())
        common.pipe(lambda view: [view.summary(summary)])
    common.tell(value, lambda: planned_parts(context, planned))
    common.pipe(lambda view: view.planned(planned.runbook, planned.digest, run, planned.warnings))


def planned_parts(context: Context, planned: Any) -> list[Any]:
    """A runbook in short, with the forecast that these settings give."""
    parts: list[Any] = views().planned(
        planned.runbook,
        planned.digest,
        str(planned.path),
        planned.warnings,
        concurrency=context.settings.run.concurrency,
    )
    return parts


@command()
@click.argument("runbook", default="latest")
def show(common: Common, runbook: str) -> int:
    """Show a runbook whole: every step, its reason, what was left alone."""
    from drkit.api import plan as plan_

    context = common.context()
    shown = plan_.show(context, runbook)
    open_ones = plan_.candidate_lines(context, shown.runbook)
    value = {
        "runbook": shown.runbook, "digest": shown.digest, "path": shown.path, "steps": shown.told,
        "warnings": shown.warnings, "candidates": open_ones,
    }  # fmt: skip
    common.tell(
        value,
        lambda: views().show(
            shown.runbook,
            shown.digest,
            str(shown.path),
            shown.told,
            shown.warnings,
            open_ones,
            concurrency=context.settings.run.concurrency,
        ),
    )
    return 0


@command()
@click.argument("runbook", default="")
@click.option("--hours", type=float, default=24.0, show_default=True, help="How long the approval holds.")
@click.option("--note", default="", help="A word for the record.")
@click.option("--digest", metavar="SHA256", help="Refuse unless the bytes have this digest.")
@target_option()
def approve(common: Common, runbook: str, hours: float, note: str, digest: str | None, targets: tuple[str, ...]) -> int:
    """Approve a runbook's exact bytes, by digest or file; shows what is approved, and asks at a terminal."""
    from drkit.api import ci
    from drkit.api import plan as plan_

    context = common.context()
    shown = plan_.named(context, runbook)
    if digest is not None:
        shown = ci.pinned(context, runbook, digest)
    if not common.json and not common.quiet:
        open_ones = plan_.candidate_lines(context, shown.runbook)
        parts = views().show(
            shown.runbook,
            shown.digest,
            str(shown.path),
            shown.told,
            shown.warnings,
            open_ones,
            concurrency=context.settings.run.concurrency,
        )
        say(views().render(*parts[:-1]))
    plan_.approvable(context, shown, targets, f"drkit approve {shown.digest[:12]}")
    if not common.json and sys.stdin.isatty() and not _agreed():
        raise RefusedError("was not approved", where=f"runbook {shown.digest[:12]}", remedy="nothing was written")
    # By digest from here on, so that the bytes that were shown are the bytes that are approved.
    context.store.keep_runbook(shown.content)
    approval = plan_.approve(context, shown.digest, hours=hours, note=note, targets=targets)
    common.tell(
        approval,
        lambda: [
            f"approved {approval.digest[:12]} by {approval.who} until {approval.until} ({context.store.approvals_worth})",
            f"next: `drkit apply {approval.digest[:12]}`",
        ],
    )
    return 0


def _agreed() -> bool:
    return (
        str(click.prompt("Type `yes` to approve it; Enter leaves", default="", show_default=False, err=True)) == "yes"
    )
