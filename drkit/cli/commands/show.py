"""``drkit show``: a runbook with every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from drkit.cli.command import Common, command, views
from drkit.cli.options import RUNBOOK

if TYPE_CHECKING:
    from drkit.api.context import Context
    from drkit.api.plan import Planned


@command(examples=("drkit show", "drkit show runbook.json --json"), words=RUNBOOK)
@click.argument("runbook", default="latest")
def show(common: Common, runbook: str) -> int:
    """Show a whole runbook: every step with its reason, and what is left alone."""
    from drkit.api import plan as api
    from drkit.cli.views import json

    context = common.context()
    planned = api.show(context, runbook)
    candidates = api.candidate_lines(context, planned.runbook)
    common.tell(lambda: json.shown(planned, candidates), lambda: shown_parts(context, planned, candidates))
    return 0


def shown_parts(context: Context, planned: Planned, candidates: Sequence[str]) -> list[Any]:
    """A runbook with every step."""
    parts: list[Any] = views().show(
        planned.runbook, planned.digest, str(planned.path), planned.described_steps, planned.warnings, candidates,
        concurrency=context.settings.run.concurrency,
    )  # fmt: skip
    return parts
