"""How far a run is, and how much machine time is left: a range, from what was forecast and what was measured. Pure.

The time of people is never in it: nobody can forecast that.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from drkit.model.clock import parse_time
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step
from drkit.model.summary import forecast_seconds

MEASURED = 3
"""Steps that must have been measured before the forecast is corrected by them."""
SLOWEST, QUICKEST = 8.0, 0.1
PEOPLE = frozenset({"ask", "wait"})


class Progress(msgspec.Struct, frozen=True):
    """Counts of steps, and the machine time left in seconds, at least and at most; None where nothing is known yet."""

    total: int
    done: int
    under_way: int
    asked: int
    behind: int
    """Steps that rest on somebody's answer."""
    stopped: int
    """Failed or drifted, or resting on what is."""
    least: float | None
    most: float | None


def estimate(book: Runbook, state: RunState, concurrency: int) -> Progress:
    """How far the run is. What waits for people, or rests on what failed, is counted apart and takes no time here."""
    status = {step.id: state.of(step.id).status for step in book.steps}
    held: dict[str, str] = {}
    for step in book.steps:
        own = status[step.id]
        inherited = [held[need] for need in step.needs if need in held]
        if own in ("asked", "failed", "drifted"):
            held[step.id] = "asked" if own == "asked" else "stopped"
        elif own not in ("done", "skipped") and inherited:
            held[step.id] = "stopped" if "stopped" in inherited else "asked"
    unfinished = [step for step in book.steps if status[step.id] in ("pending", "open") and step.id not in held]
    machine = [step for step in unfinished if step.effect not in PEOPLE]
    least, most = _range(machine, book, state, concurrency)
    return Progress(
        total=len(book.steps),
        done=sum(word in ("done", "skipped") for word in status.values()),
        under_way=sum(word == "open" for word in status.values()),
        asked=sum(word == "asked" for word in status.values()),
        behind=sum(word == "asked" and status[step] != "asked" for step, word in held.items()),
        stopped=sum(word == "stopped" for word in held.values()),
        least=least,
        most=most,
    )


def _range(
    steps: Sequence[Step], book: Runbook, state: RunState, concurrency: int
) -> tuple[float | None, float | None]:
    if not steps:
        return 0.0, 0.0
    forecast = forecast_seconds(steps, concurrency)
    ratios = [ratio for step in book.steps if (ratio := _ratio(step, state)) is not None]
    if len(ratios) < MEASURED:
        return None, None
    usual, slow = median(ratios), max(ratios)
    low = forecast * min(1.0, usual)
    return low, max(low, forecast * max(1.0, (usual + slow) / 2))


def _ratio(step: Step, state: RunState) -> float | None:
    """How long a step took, as a multiple of its forecast; None for what was not measured, or was somebody's time."""
    known = state.of(step.id)
    if (
        known.status != "done"
        or step.effect in PEOPLE
        or not known.began
        or not known.ended
        or not step.estimate.seconds
    ):
        return None
    took = (parse_time(known.ended) - parse_time(known.began)).total_seconds()
    # A person who signs in while a step runs is not the machine's doing either.
    return min(max(took / step.estimate.seconds, QUICKEST), SLOWEST) if step.effect != "register" else None
