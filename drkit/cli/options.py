"""Options and arguments that several commands share, and what their names mean in a help text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from drkit.cli.command import renamed

RUN = "RUN is a run's name, such as run-0001, or `latest`."
STEP = f"{RUN} STEP is a step's id, or any part of it that no other step has; `drkit status RUN` lists them."
RUNBOOK = "RUNBOOK is a file, a digest or its beginning, or `latest`."


def target_option(
    words: str = "The full id of a plan that takes over, if only a tag names it.",
) -> Callable[[Any], Any]:
    """``--target ID``, which may be repeated, of the commands that approve."""
    return click.option("--target", "targets", multiple=True, metavar="ID", help=words)


def subscription_option() -> Callable[[Any], Any]:
    """``--subscription ID``, which may be repeated."""
    return click.option(
        "--subscription", "subscriptions", metavar="ID", multiple=True, help="Only this subscription; may be repeated."
    )


def declare_options() -> Callable[[Any], Any]:
    """``--declare-lost REGION`` and its ``--reason``."""

    def add(function: Any) -> Any:
        function = click.option("--reason", metavar="TEXT", help="Why; kept as evidence.")(function)
        return click.option(
            "--declare-lost", metavar="REGION", help="Declare a region lost, in your name; needs --reason."
        )(function)

    return add


def reason_option(*, required: bool = False) -> Callable[[Any], Any]:
    """``--reason`` of what is said to a run."""
    if required:
        return click.option("--reason", required=True, metavar="TEXT", help="Why; the journal keeps it.")
    return click.option("--reason", default="", metavar="TEXT", help="Why; the journal keeps it.")


def wait_option(words: str = "Minutes to wait for people when nothing else is left.") -> Callable[[Any], Any]:
    """``--wait MINUTES``."""
    return click.option("--wait", "wait_minutes", type=float, help=words)


def digest_option() -> Callable[[Any], Any]:
    """``--digest SHA256``."""
    return click.option("--digest", metavar="SHA256", help="Refuse unless the bytes have this digest.")


def out_option() -> Callable[[Any], Any]:
    """``--out FILE`` of the commands that write a runbook."""
    return click.option("--out", metavar="FILE", help="Also write the runbook to this file.")


def summary_option() -> Callable[[Any], Any]:
    """``--summary FILE`` of the commands that write a runbook."""
    return click.option("--summary", metavar="FILE", help="Write the runbook as Markdown, for the approver.")


def reuse_option(words: str) -> Callable[[Any], Any]:
    """``--reuse-open``."""
    return renamed("--reuse-open", "--or-open", "reuse_open", is_flag=True, help=words)
