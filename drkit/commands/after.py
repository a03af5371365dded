"""What is left of a run: its report, its record."""

from __future__ import annotations

import click

from drkit.commands.base import Common, command, say, views


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
