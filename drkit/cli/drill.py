"""``drkit.drill``: the drill, with the looks that the command line gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drkit.cli.views.drill import TerminalDrillPresenter
from drkit.drills import simulate


async def drill(
    *,
    estate: str | None = None,
    lose: str = "westeurope",
    seed: int = 1,
    speed: float = 60.0,
    keep: bool = False,
    folder: str | None = None,
    say: Callable[[str], None] = print,
    kept: Callable[[dict[str, Any], list[str]], None] = lambda _found, _lines: None,
    verbose: bool = False,
    returning: bool = False,
) -> dict[str, Any]:
    """Lose a region on a simulated Azure and recover from it; returns what ``drkit drill --json`` prints.

    ``returning``: afterwards the region comes back, and drkit fails back to it. ``estate``: a snapshot or seed of your own.
    ``folder``: where the files of the drill go (default: a new temporary folder). ``keep`` leaves the simulator running until a
    signal; ``kept`` is called first, with the result and what to type. Everything that the drill starts reaches only loopback.
    """
    return await simulate.drill(
        TerminalDrillPresenter(), estate=estate, lose=lose, seed=seed, speed=speed, keep=keep, folder=folder, say=say, kept=kept,
        verbose=verbose, returning=returning,
    )  # fmt: skip
