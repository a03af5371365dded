"""``VmAvailabilityMetric``: how long a machine was down. A point without a value is unknown, and unknown is not zero.

https://learn.microsoft.com/azure/virtual-machines/monitor-vm-reference. It says nothing of identity, and nothing of a
machine that was stopped from outside: that is no value at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import read as reading
from drkit.model.clock import Clock
from drkit.model.estate import Reading
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

SOURCE = "availability metric"
SIGNAL = "downtime"


@dataclass(frozen=True)
class Downtime:
    """Minutes in which it was seen down (below 1), in which nobody measured, and when the first and last of those was."""

    down: int = 0
    unknown: int = 0
    measured: int = 0
    first: str = ""
    last: str = ""


async def read(azure: Session, machine: str, since: datetime, clock: Clock) -> tuple[Reading | None, str]:
    """The downtime of a machine since then as a reading of seconds, and why it could not be read (empty: it was)."""
    try:
        with reading(machine):
            found = counted(await azure.monitor.availability(machine, since, clock.now()))
    except CloudError as error:
        return None, f"availability metric of {machine}: {error.what}"
    if found is None:
        return None, f"availability metric of {machine}: the answer holds no points"
    if not found.down:
        return None, ""
    detail = f"from={found.first} to={found.last} unmeasured={found.unknown}min"
    return Reading(machine.lower(), SIGNAL, found.down * 60, SOURCE, found.last, detail), ""


def counted(body: Any) -> Downtime | None:
    """The points of a metric's answer; None where it has none that can be read."""
    down, unknown, measured = 0, 0, 0
    first = last = ""
    points = list(_points(body))
    if not points:
        return None
    for when, value in points:
        if value is None:
            unknown += 1
        elif value < 1:
            down += 1
            first, last = first or when, when
        else:
            measured += 1
    return Downtime(down, unknown, measured + down, first, last)


def _points(body: Any) -> list[tuple[str, float | None]]:
    found: list[tuple[str, float | None]] = []
    for metric in _list(body, "value"):
        for series in _list(metric, "timeseries"):
            for point in _list(series, "data"):
                when = moment(point.get("timeStamp") or point.get("timestamp"))
                if when:
                    numbers = [point.get(name) for name in ("minimum", "average")]
                    kept = [one for one in numbers if isinstance(one, int | float) and not isinstance(one, bool)]
                    found.append((when, float(min(kept)) if kept else None))
    return sorted(found, key=lambda one: one[0])


def _list(value: Any, key: str) -> list[Mapping[str, Any]]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return [one for one in inner if isinstance(one, Mapping)] if isinstance(inner, list) else []
