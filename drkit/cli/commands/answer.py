"""``drkit answer``: tells a run what a person did."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import STEP


@command(
    examples=("drkit answer latest deploy-agent.d01cbc:by-hand", "drkit answer latest payments-dev.dcc508:ready ready"),
    words=STEP,
)
@click.argument("run")
@click.argument("step")
@click.argument("text", default="done")
def answer(common: Common, run: str, step: str, text: str) -> int:
    """Tell a run that a person has done a step, or is ready to sign in."""
    from drkit.api import control
    from drkit.cli.views import sentences

    answered = control.answer(common.context(), run, step, text)
    common.tell({"step": answered, "said": text}, lambda: sentences.sent(run, f"{answered}: {text}"))
    return 0
