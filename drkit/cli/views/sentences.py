"""Sentences that several views print: how far a run is, and how long a recovery took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drkit.model.text import duration, plural

if TYPE_CHECKING:
    from drkit.execution.progress import Progress


def measured(report: Mapping[str, Any]) -> tuple[str, str]:
    """A report's recovery time, and whether it meets the objective."""
    took, numbers = report["rto_seconds"], report["environments"]
    away = numbers["total"] - numbers["recovered"]
    back = f"in time so far, {away} not back" if took is not None else "nothing is back yet"
    against_objective = {"met": "met", "missed": "missed", "open": back, "unknown": "not measured"}[report["objective"]]
    return (
        "unknown" if took is None else duration(took)
    ), f"objective {duration(report['objective_seconds'])}: {against_objective}"


def progress(at: Progress) -> str:
    """One line: how far, what waits, and the machine time left, as honestly as it is known."""
    parts = [f"{at.done} of {plural(at.total, 'step')} done"]
    if at.under_way:
        parts.append(f"{at.under_way} under way")
    if at.asked:
        parts.append(f"{at.asked} wait for people" + (f", {at.behind} more rest on that" if at.behind else ""))
    if at.stopped:
        parts.append(f"{at.stopped} stopped")
    if at.least is None or at.most is None:
        parts.append("how long the rest takes is not known yet")
    elif at.most > 0:
        low, high = duration(at.least), duration(at.most)
        parts.append(f"about {low if low == high else f'{low} to {high}'} of machine time left")
    return "; ".join(parts)


def sent(run: str, message: str) -> list[str]:
    """A message that a run gets, and who reads it."""
    return [
        f"sent to {run}: {message}",
        f"the process that holds the run reads it; if no process does, `drkit resume {run}`",
    ]
