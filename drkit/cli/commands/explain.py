"""``drkit explain``: the reasons of one verdict."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, views


@command(
    examples=("drkit explain vm-orders-build", "drkit explain vso-plan-westeurope --json"),
    words="NAME is a host's, a plan's or an environment's name, or an ARM id.",
)
@click.argument("name")
def explain(common: Common, name: str) -> int:
    """Explain the verdict on a host or the state of a plan, and say what to do."""
    from drkit.api import explain as api
    from drkit.cli.views.explain import lines

    explanation = api.explain(common.context(), name)
    common.tell(explanation, lambda: lines(explanation, views().width()))
    return 0
