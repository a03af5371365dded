"""``drkit simulate``: serves the simulated Azure, or makes something happen in one that is served."""

from __future__ import annotations

from typing import Any

import click

from drkit.cli.command import Common, command, finish, renamed, say
from drkit.errors import UsageError


@command(
    examples=(
        "drkit simulate --ready cloud.json",
        "drkit simulate --cloud cloud.json --lose westeurope --minutes-ago 25",
    )
)
@click.option("--estate", metavar="FILE", help="A simulator seed, or a snapshot of your own.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the ARM endpoint (default: any free one)."
)
@click.option(
    "--speed", type=float, default=1.0, show_default=True, help="Simulated seconds per real second, at most 60."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which sample estate.")
@click.option("--ready", metavar="FILE", help="Once it serves, write here what a program needs to use it.")
@click.option(
    "--lose", metavar="REGION", help="Serve nothing: make the running simulator (--cloud, DRKIT_CLOUD) lose a region."
)
@click.option("--minutes-ago", type=click.FloatRange(0, 1440), default=0.0, help="Since when the region is lost.")
@click.option("--restore", metavar="REGION", help="Serve nothing: bring the region back in the running simulator.")
@renamed(
    "--exit-with-parent", "--leash", "exit_with_parent", is_flag=True, hidden=True, help="End when standard input ends."
)
def simulate(
    common: Common, estate: str | None, port: int, speed: float, seed: int, ready: str | None, exit_with_parent: bool,
    lose: str | None, minutes_ago: float, restore: str | None,
) -> int:  # fmt: skip
    """Serve the simulated Azure on the loopback network until a signal stops it."""
    from drkit.cli.views import json
    from drkit.drills import simulate as drills

    if lose or restore:
        if lose and restore:
            raise UsageError("--lose and --restore do not go together", remedy="one after the other")
        answer = finish(
            drills.happen(common.context().cloud, lose=lose or "", restore=restore or "", minutes_ago=minutes_ago)
        )
        state = (
            f"{answer['region']} is back" if restore else f"{answer['region']} is lost since {answer.get('since', '')}"
        )
        common.tell(answer, lambda: [state, "next: `drkit assess`"])
        return 0

    def serving(facts: dict[str, Any]) -> None:
        if common.json:
            say(json.encode(facts))
            return
        for line in drills.exports(facts, ready):
            say(line)

    return finish(
        drills.simulate(
            estate=estate, port=port, speed=speed, seed=seed, ready=ready, leash=exit_with_parent, serving=serving
        )
    )
