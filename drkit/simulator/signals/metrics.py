"""Microsoft.Insights metrics: a VM's ``VmAvailabilityMetric``, a point a minute.

https://learn.microsoft.com/azure/virtual-machines/monitor-vm-reference and
https://learn.microsoft.com/rest/api/monitor/metrics/list: 1 is up, 0 is down, and a point that nobody measured has no
value at all.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from drkit.simulator.arm import resource_manager
from drkit.simulator.arm.compute import VM
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, Resource, World
from drkit.simulator.core.wire import Answer, ArmError
from drkit.simulator.signals.activity_log import EPOCH

NAME = "VmAvailabilityMetric"
SPAN, GRAIN = timedelta(hours=1), timedelta(minutes=1)
KEPT = timedelta(days=93)
GRAINS = {"PT1M": 1, "PT5M": 5, "PT15M": 15, "PT30M": 30, "PT1H": 60, "PT6H": 360, "PT12H": 720, "P1D": 1440}
AGGREGATIONS = ("average", "minimum", "maximum")
TEXT = "Measure of Availability of Virtual machines over time."


def value(world: World, vm: Resource, minute: datetime) -> float | None:
    """The metric in the minute that begins then; None where it was not measured, or is not known yet."""
    if minute + GRAIN > world.now() - world.lag("metrics", vm.id.lower()) or minute + GRAIN <= (vm.created or EPOCH):
        return None
    notes = world.notes.get(vm.id.lower(), [])
    held = [n for n in notes if n.down and n.at < minute + GRAIN and (n.until is None or n.until > minute)]
    if not held:
        host = world.hosts[vm.id.lower()]
        return 1.0 if host.running or any(note.down for note in notes) else None
    values = [note.value for note in held]
    return None if None in values else min(number for number in values if number is not None)


def points(world: World, vm: Resource, since: datetime, until: datetime, minutes: int, wanted: list[str]) -> list[Json]:
    series = []
    start = since.replace(second=0, microsecond=0)
    while start < until:
        measured = [value(world, vm, start + GRAIN * n) for n in range(minutes)]
        known = [number for number in measured if number is not None]
        point: Json = {"timeStamp": start.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if known:
            said = (sum(known) / len(known), min(known), max(known))
            point |= {name: number for name, number in zip(AGGREGATIONS, said, strict=True) if name in wanted}
        series.append(point)
        start += GRAIN * minutes
    return series


def metrics(call: Call) -> Answer:
    """The metric of one VM over ``timespan`` (default: the last hour) by ``interval`` (a minute)."""
    vm = resource_manager.find(call, call.raw_path.lower().rpartition("/providers/microsoft.insights")[0])
    if not vm.is_a(VM):
        raise ArmError(400, "BadRequest", f"The simulator has metrics of {VM} only.")
    names = [name for name in call.query.get("metricnames", NAME).split(",") if name]
    for name in names:
        if name.lower() != NAME.lower():
            text = (
                "Failed to find metric configuration for provider: Microsoft.Compute, resource Type: virtualMachines, "
            )
            raise ArmError(400, "BadRequest", f"{text}metric: {name}, Valid metrics: {NAME}")
    grain = call.query.get("interval", "PT1M")
    if grain.upper() not in GRAINS:
        raise ArmError(400, "BadRequest", f"Invalid time grain '{grain}'. Valid: {','.join(GRAINS)}")
    wanted = [name.strip().lower() for name in call.query.get("aggregation", "average").split(",")]
    since, until = _span(call)
    data = points(call.world, vm, since, until, GRAINS[grain.upper()], wanted)
    body: Json = {
        "cost": 0,
        "timespan": f"{since:%Y-%m-%dT%H:%M:%SZ}/{until:%Y-%m-%dT%H:%M:%SZ}",
        "interval": grain.upper(),
        "value": [
            {
                "id": f"{vm.id}/providers/Microsoft.Insights/metrics/{NAME}",
                "type": "Microsoft.Insights/metrics",
                "name": {"value": NAME, "localizedValue": "VM Availability Metric (Preview)"},
                "displayDescription": TEXT,
                "unit": "Count",
                "timeseries": [{"metadatavalues": [], "data": data}],
                "errorCode": "Success",
            }
        ],
        "namespace": VM,
        "resourceregion": vm.location,
    }
    return Answer(body=body)


def _span(call: Call) -> tuple[datetime, datetime]:
    now = call.world.now()
    text = unquote(call.query.get("timespan", ""))  # the command line of Azure encodes it twice
    if not text:
        return now - SPAN, now
    try:
        since, until = (datetime.fromisoformat(part) for part in text.split("/"))
    except ValueError as error:
        raise ArmError(400, "BadRequest", f"The timespan '{text}' is invalid.") from error
    since, until = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (since, until))
    if until < since or since < now - KEPT:
        raise ArmError(400, "BadRequest", f"The timespan '{text}' is empty, or begins more than 93 days ago.")
    return since, until


ROUTES = [
    Route(
        "GET",
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/{resource*}/providers/Microsoft.Insights/metrics",
        metrics,
        "Microsoft.Insights/metrics/read",
    )
]
