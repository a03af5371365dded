"""What is left of a run: its report, its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drkit.cli.command import Common, command, renamed, say, views
from drkit.cli.commands.plan import planned_parts, tell_planned
from drkit.errors import UsageError

FORMATS = {"text": ".txt", "json": ".json", "markdown": ".md", "junit": ".xml", "html": ".html"}


@command()
@click.argument("run", default="latest")
@click.option("--format", "form", type=click.Choice(tuple(FORMATS)), help="Default: as --out ends, else text.")
@click.option("--markdown", is_flag=True, hidden=True, help="The same as --format markdown.")
@click.option("--owners", is_flag=True, help="What each owner is to be told, in plain words (text or JSON).")
@click.option(
    "--out", metavar="FILE", help="Write it here, in the format of its ending: .html, .xml, .md, .json, .txt."
)
@renamed("--runbook", "--of", "digest", metavar="SHA256", help="Report the newest run of the runbook with this digest.")
def report(
    common: Common, run: str, form: str | None, markdown: bool, owners: bool, out: str | None, digest: str | None
) -> int:
    """What a run did, and what became of each environment; as evidence, with --out report.html."""
    from drkit.api import ci, plan
    from drkit.api import report as report_
    from drkit.cli.views import json, owner_notices

    wanted = _wanted(form, out, json=common.json, markdown=markdown, owners=owners)
    if digest is not None:
        run = ci.run_of(common.context(), ci.exact(digest))
    if owners:
        name, told, simulated = report_.owners(common.context(), run)
        value: dict[str, Any] = {"drkit": "letters/1", "run": name, "simulated": simulated, "letters": told}
        text = owner_notices.text(told, name, simulated=simulated)
    else:
        value = report_.report(common.context(), run)
        text = "" if wanted in ("text", "json") else _rendered(value, wanted)
    if wanted == "json":
        text = json.encode(value)
    elif not text:
        text = views().render(*views().report(value))
    if out:
        plan.write_out(out, f"{text.rstrip()}\n".encode())
        common.tell({"run": value["run"], "path": out, "format": wanted}, lambda: [f"kept as {out}"])
        if wanted == "markdown":
            common.pipe(lambda view: [view.summary(out)])
    elif wanted == "text" and not owners:
        common.tell(value, lambda: views().report(value))
    else:
        say(text.rstrip("\n"))
    return 0


def _wanted(form: str | None, out: str | None, *, json: bool, markdown: bool, owners: bool) -> str:
    """The format asked for, by whichever way; UsageError where two ways differ, or owners are to be told in XML."""
    asked = {word for word, given in (("markdown", markdown), (form or "", form), ("json", json and not out)) if given}
    if len(asked) > 1:
        raise UsageError(f"one format at a time, not {' and '.join(sorted(asked))}", remedy="--format FORMAT alone")
    by_name = {end: word for word, end in FORMATS.items()} | {".htm": "html"}
    ending = Path(out or "").suffix.lower()
    wanted = next(iter(asked), "") or by_name.get(ending, "")
    if not wanted and ending:
        raise UsageError(
            f"no format goes with {ending!r}", where="--out", remedy=f"--format, or an ending of {', '.join(by_name)}"
        )
    wanted = wanted or ("json" if json else "text" if owners or not out else "markdown")
    if owners and wanted not in ("text", "json"):
        raise UsageError(f"what owners are told is text or JSON, not {wanted}", remedy="--format text")
    return wanted


def _rendered(found: dict[str, Any], wanted: str) -> str:
    if wanted == "html":
        from drkit.cli.views import html

        return html.report(found)
    if wanted == "junit":
        from drkit.cli.views import junit

        return junit.report(found)
    from drkit.cli.views import markdown

    return markdown.report(found)


@command()
@click.argument("run", default="latest")
@click.option("--head", metavar="HASH", help="A head kept elsewhere, which must be in the chain.")
def verify(common: Common, run: str, head: str | None) -> int:
    """Compute the hash chain of a run's journal again. Repairs nothing."""
    from drkit.api import control

    found = control.verify(common.context(), run, head)
    torn = (
        [f"{found.torn} bytes of a record that was being written follow; `drkit resume {found.run}` drops them"]
        if found.torn
        else []
    )
    since = [f"{found.since} records were added since that head"] if head else []
    common.tell(
        found, lambda: [f"{found.run}: the chain holds: {found.count} records", f"head {found.head}", *since, *torn]
    )
    return 0


@command()
@click.argument("run", required=False)
@click.option("--out", metavar="FILE", help="Write the runbook here too.")
@click.option("--summary", metavar="FILE", help="Write the runbook as Markdown, for whoever approves.")
@renamed(
    "--reuse-open",
    "--or-open",
    "or_open",
    is_flag=True,
    help="If a way back is open, take its runbook instead of a new one.",
)
def failback(common: Common, run: str | None, out: str | None, summary: str | None, or_open: bool) -> int:
    """Write the runbook that brings what a failover (default: the newest) moved back to where it was, now that the region answers."""
    from drkit.api import ci

    context = common.context()
    planned, going = ci.way_back(context, run, out=out, or_open=or_open)
    tell_planned(common, context, planned, summary, going)
    return 0


@command()
@click.argument("run", default="latest")
@click.option(
    "--discard", metavar="NAME", multiple=True, help="Unpushed work of this environment may go; needs --reason."
)
@click.option("--reason", metavar="TEXT", help="Why it may go; the approver reads it.")
@click.option("--out", metavar="FILE", help="Write the runbook here too.")
def cleanup(common: Common, run: str, discard: tuple[str, ...], reason: str | None, out: str | None) -> int:
    """Write the runbook that deletes what a run left behind, by id, where it is confirmed elsewhere."""
    from drkit.api import failback as failback_

    if bool(discard) != bool((reason or "").strip()):
        raise UsageError("--discard and --reason TEXT go together: the approver reads why the work may go")
    context = common.context()
    planned = failback_.cleanup(context, run, discard=dict.fromkeys(discard, reason or ""), out=out)
    common.tell(planned, lambda: planned_parts(context, planned))
    return 0
