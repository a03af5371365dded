"""``drkit assess``: the state of each plan, and what happened to each host."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, finish, views
from drkit.cli.options import declare_options
from drkit.errors import UsageError


@command(
    examples=(
        "drkit assess",
        "drkit assess --declare-lost westeurope --reason 'it is dark'",
        "drkit assess --verdict region-lost",
    )
)
@declare_options()
@click.option("--probe-output", metavar="DIR", help="A folder with the output of probes that people ran by hand.")
@click.option(
    "--verdict", "verdicts", metavar="WORD", multiple=True, help="Show only hosts with this verdict (or reason)."
)
@click.option("--plan", "only", metavar="NAME", help="Show only this plan and its hosts.")
def assess(
    common: Common, declare_lost: str | None, reason: str | None, probe_output: str | None, verdicts: tuple[str, ...],
    only: str | None,
) -> int:  # fmt: skip
    """Report the state of each plan and host. Read-only."""
    from drkit.api import assess as api
    from drkit.api import explain

    if reason and not declare_lost:
        raise UsageError("--reason goes with --declare-lost", remedy="drkit assess --declare-lost REGION --reason TEXT")
    explain.check_words(verdicts)
    context = common.context()
    assessment, path, code = finish(
        api.assess(context, declare_lost=declare_lost, reason=reason, probe_output=probe_output)
    )
    shown = explain.filtered(assessment, verdicts=verdicts, plan=only or "", context=context)
    common.tell(shown, lambda: views().assessment(shown, str(path)))
    return code
