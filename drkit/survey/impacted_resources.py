"""The machines that Azure itself names in a Service Health event: the strongest link from an outage to a machine.

They are evidence and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.ids import ArmId

if TYPE_CHECKING:
    from drkit.providers.session import Session

QUERY = """servicehealthresources
| where type =~ 'microsoft.resourcehealth/events/impactedresources'
| project id, properties"""


async def read(azure: Session, subscriptions: Sequence[str]) -> tuple[dict[ArmId, str], list[str]]:
    """Id of each machine that an event names -> the event's tracking id, and what could not be read."""
    try:
        with reading_azure():
            rows = await azure.graph.query(QUERY, subscriptions)
            return dict(impact for row in rows if (impact := of_row(row)) is not None), []
    except CloudError as error:
        return {}, [f"Resource Graph, impacted resources: {error.what}"]


def of_row(row: Any) -> tuple[ArmId, str] | None:
    """(machine id, tracking id) of a row; None for a row that names no machine."""
    properties = row.get("properties") if isinstance(row, Mapping) else None
    target = properties.get("targetResourceId") if isinstance(properties, Mapping) else None
    arm_id = row.get("id") if isinstance(row, Mapping) else None
    if not isinstance(target, str) or not target or not isinstance(arm_id, str):
        return None
    event = arm_id.lower().partition("/events/")[2].partition("/")[0]
    return ArmId(target), event.upper()
