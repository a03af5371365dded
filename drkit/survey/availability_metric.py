"""``VmAvailabilityMetric``: how long a machine was down. A point without a value is unknown, and unknown is not zero.

The metric says nothing about identity. A machine that was stopped from outside has no values at all.
https://learn.microsoft.com/azure/virtual-machines/monitor-vm-reference
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock
from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

SOURCE = "availability metric"
SIGNAL = "downtime"


@dataclass(frozen=True)
class Downtime:
    """Minutes in which a machine was down (value below 1), and minutes without a value.

    ``measured``: minutes with a value; ``first`` and ``last``: when it was first and last seen down (RFC 3339, or empty).
    """

    down: int = 0
    unknown: int = 0
    measured: int = 0
    first: str = ""
    last: str = ""


async def read(azure: Session, machine: str, since: datetime, clock: Clock) -> tuple[Reading | None, str]:
    """The downtime of a machine after ``since`` as a reading in seconds, and why it could not be read (empty: it was)."""
    try:
        with reading_azure(machine):
            downtime = counted(await azure.monitor.availability(machine, since, clock.now()))
    except CloudError as error:
        return None, f"availability metric of {machine}: {error.what}"
    if downtime is None:
        return None, f"availability metric of {machine}: the answer holds no points"
    if not downtime.down:
        return None, ""
    detail = f"from={downtime.first} to={downtime.last} unmeasured={downtime.unknown}min"
    return Reading(ArmId(machine).folded, SIGNAL, downtime.down * 60, SOURCE, downtime.last, detail), ""


def counted(body: Any) -> Downtime | None:
    """The sum over the points of a metric's answer; None where it has no points that can be read."""
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
    points: list[tuple[str, float | None]] = []
    for metric in _list(body, "value"):
        for series in _list(metric, "timeseries"):
            for point in _list(series, "data"):
                when = moment(point.get("timeStamp") or point.get("timestamp"))
                if when:
                    numbers = [point.get(name) for name in ("minimum", "average")]
                    values = [
                        number for number in numbers if isinstance(number, int | float) and not isinstance(number, bool)
                    ]
                    points.append((when, float(min(values)) if values else None))
    return sorted(points, key=lambda point: point[0])


def _list(value: Any, key: str) -> list[Mapping[str, Any]]:
    inner = value.get(key) if isinstance(value, Mapping) else None
    return [item for item in inner if isinstance(item, Mapping)] if isinstance(inner, list) else []
