"""What is left of a run: its report, its record."""

from __future__ import annotations

import click

from drkit.commands.base import Common, command, say, views
from drkit.errors import UsageError


@command()
@click.argument("run", default="latest")
@click.option("--markdown", is_flag=True, help="As Markdown.")
@click.option("--out", metavar="FILE", help="Write it here.")
def report(common: Common, run: str, markdown: bool, out: str | None) -> int:
    """What a run did, and what became of each environment."""
    from drkit import api
    from drkit.views import json
    from drkit.views import markdown as marked

    found = api.report(common.desk(), run)
    if out:
        text = f"{json.encode(found)}\n" if common.json else marked.report(found)
        api.write_out(out, text.encode())
        common.tell({"run": found["run"], "path": out}, lambda: [f"kept as {out}"])
        return 0
    if markdown and not common.json:
        say(marked.report(found))
        return 0
    common.tell(found, lambda: views().report(found))
    return 0


@command()
@click.argument("run", default="latest")
@click.option("--head", default="", metavar="HASH", help="A head kept elsewhere, which must be in the chain.")
def verify(common: Common, run: str, head: str) -> int:
    """Compute the hash chain of a run's journal again. Repairs nothing."""
    from drkit import control

    found = control.verify(common.desk(), run, head)
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
@click.argument("run", default="latest")
@click.option(
    "--discard", metavar="NAME", multiple=True, help="Unpushed work of this environment may go; needs --reason."
)
@click.option("--reason", metavar="TEXT", help="Why it may go; the approver reads it.")
@click.option("--out", metavar="FILE", help="Write the runbook here too.")
def cleanup(common: Common, run: str, discard: tuple[str, ...], reason: str | None, out: str | None) -> int:
    """Write the runbook that deletes what a run left behind, by id, where it is confirmed elsewhere."""
    from drkit import returning

    if bool(discard) != bool((reason or "").strip()):
        raise UsageError("--discard and --reason TEXT go together: the approver reads why the work may go")
    planned = returning.cleanup(common.desk(), run, discard=dict.fromkeys(discard, reason or ""), out=out)
    common.tell(planned, lambda: views().planned(planned.runbook, planned.digest, str(planned.path), planned.warnings))
    return 0
