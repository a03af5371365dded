"""``drkit report``: what a run did, in six formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drkit.cli.command import Common, command, renamed, say, views
from drkit.cli.options import RUN
from drkit.errors import UsageError

FORMATS = {"text": ".txt", "json": ".json", "markdown": ".md", "junit": ".xml", "html": ".html"}


@command(examples=("drkit report --out report.html", "drkit report run-0001 --owners"), words=RUN)
@click.argument("run", default="latest")
@click.option("--format", "form", type=click.Choice(tuple(FORMATS)), help="Default: the ending of --out, else text.")
@click.option("--markdown", is_flag=True, hidden=True, help="The same as --format markdown.")
@click.option("--owners", is_flag=True, help="Print a notice to each owner, in plain words (text or JSON).")
@click.option(
    "--out", metavar="FILE", help="Write to this file, in the format of its ending: .html, .xml, .md, .json, .txt."
)
@renamed("--runbook", "--of", "digest", metavar="SHA256", help="Report the newest run of the runbook with this digest.")
def report(
    common: Common, run: str, form: str | None, markdown: bool, owners: bool, out: str | None, digest: str | None
) -> int:
    """Report what a run did and what happened to each environment. --out report.html writes evidence."""
    from drkit.api import ci, plan
    from drkit.api import report as api
    from drkit.cli.views import json, notice_layout

    wanted = _wanted(form, out, json=common.json, markdown=markdown, owners=owners)
    if digest is not None:
        run = ci.run_of(common.context(), ci.exact(digest))
    if owners:
        name, notices, simulated = api.owners(common.context(), run)
        value: dict[str, Any] = json.owner_notices(name, notices, simulated=simulated)
        text = notice_layout.text(notices, name, simulated=simulated)
    else:
        value = api.report(common.context(), run)
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
    """The format that was asked for, in any of the ways to do so. UsageError if two of them differ, or for notices in another format."""
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
        raise UsageError(f"notices to owners are text or JSON, not {wanted}", remedy="--format text")
    return wanted


def _rendered(run_report: dict[str, Any], wanted: str) -> str:
    if wanted == "html":
        from drkit.cli.views import html

        return html.report(run_report)
    if wanted == "junit":
        from drkit.cli.views import junit

        return junit.report(run_report)
    from drkit.cli.views import markdown

    return markdown.report(run_report)
