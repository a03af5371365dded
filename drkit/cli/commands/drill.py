"""``drkit drill``: loses a region of the simulated Azure, and recovers from it."""

from __future__ import annotations

from typing import Any

import click

from drkit.cli.command import Common, command, finish, note, renamed, say, views


@command(examples=("drkit drill --with-failback", "drkit drill --story list"))
@click.option("--estate", metavar="FILE", help="A snapshot of your own to lose and recover (default: the sample).")
@click.option("--lose", metavar="REGION", default="westeurope", show_default=True, help="The region to lose.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same number gives the same story.")
@click.option(
    "--speed", type=float, default=60.0, show_default=True, help="Simulated seconds per real second, at most 60."
)
@click.option("--keep", is_flag=True, help="Leave the simulated Azure running afterwards, until a signal.")
@click.option("-v", "--verbose", is_flag=True, help="Print every step of every run.")
@renamed(
    "--with-failback",
    "--return",
    "with_failback",
    is_flag=True,
    help="Then restore the region, fail back to it, and clean up.",
)
@click.option(
    "--story", metavar="NAME", help="Instead, play a named story of one host, and explain its end (`list` lists them)."
)
def drill(
    common: Common, estate: str | None, lose: str, seed: int, speed: float, keep: bool, verbose: bool, with_failback: bool,
    story: str | None,
) -> int:  # fmt: skip
    """Lose a region of the simulated Azure, and recover from it. Reaches only the loopback network."""
    from drkit.cli import drill as drill_
    from drkit.cli.views import json
    from drkit.cli.views.drill import TerminalDrillPresenter

    silent = common.json or common.quiet
    show = (lambda _line: None) if silent else say
    if story is not None:
        from drkit.drills import stories

        story_result = finish(
            stories.tell(story, show, TerminalDrillPresenter(), folder=common.store, columns=views().width())
        )
        if common.json:
            say(json.encode(story_result))
        return 0 if story_result.get("as_told", True) else 1

    def kept(result: dict[str, Any], lines: list[str]) -> None:
        if common.json:
            say(json.encode(result))
        for line in lines:
            (note if common.json else say)(line)

    result = finish(
        drill_.drill(
            estate=estate, lose=lose, seed=seed, speed=speed, keep=keep, folder=common.store, say=show, kept=kept,
            verbose=verbose, returning=with_failback,
        )
    )  # fmt: skip
    if common.json and not keep:
        say(json.encode(result))
    return 0 if str(result["outcome"]).startswith("succeeded") else 3 if result["outcome"] == "partial" else 1
