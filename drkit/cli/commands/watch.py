"""``drkit watch``: assesses repeatedly."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, finish, note, say


@command(examples=("drkit watch --every 5 --for 120 --until settled",))
@click.option(
    "--every",
    type=float,
    default=5.0,
    show_default=True,
    metavar="MINUTES",
    help="At least this long between two assessments.",
)
@click.option(
    "--for", "for_minutes", type=float, default=0.0, metavar="MINUTES", help="Stop after this time (default: a signal)."
)
@click.option(
    "--until", default="", metavar="WORD", help="Stop at this plan state or verdict, or when all is `settled`."
)
def watch(common: Common, every: float, for_minutes: float, until: str) -> int:
    """Assess repeatedly, and print what changed. Exits with 0, 1 (--until was not reached) or 5 (nothing could be read)."""
    from drkit.api import watch as api

    updates, code = finish(
        api.watched(
            common.context(), every_minutes=every, for_minutes=for_minutes, until=until,
            tell=(lambda text: None if common.quiet else note(text)) if common.json else say,
        )
    )  # fmt: skip
    if common.json:
        common.tell(updates, list)
    return code
