"""Azure Site Recovery's links from a machine to the VM of a failover or of a test failover; read through Resource Graph.

https://learn.microsoft.com/azure/site-recovery/azure-to-azure-architecture
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.ids import ArmId

if TYPE_CHECKING:
    from drkit.providers.session import Session

ITEMS = """recoveryservicesresources
| where type =~ 'microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems'
| project id, properties"""


@dataclass(frozen=True)
class Link:
    """A replicated VM: ids of the source, the VM after a completed failover and the copy of a test failover (empty:
    there is none), and the protection state.
    """

    source: ArmId
    recovered: ArmId
    tested: ArmId
    state: str


async def read(azure: Session, subscriptions: Sequence[str]) -> tuple[dict[ArmId, Link], list[str]]:
    """The link of each replicated VM, by its id, and what could not be read."""
    if not subscriptions:
        return {}, []
    try:
        with reading_azure():
            rows = await azure.graph.query(ITEMS, subscriptions)
            return {link.source: link for row in rows if (link := of_row(row)) is not None}, []
    except CloudError as error:
        return {}, [f"Resource Graph, Site Recovery: {error.what}"]


def of_row(row: Any) -> Link | None:
    """A protected item of kind A2A as a link; None for any other row. A failover counts once it is complete, not while it runs."""
    properties = row.get("properties") if isinstance(row, Mapping) else None
    details = properties.get("providerSpecificDetails") if isinstance(properties, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(details, Mapping):
        return None
    if str(details.get("instanceType", "")).lower() != "a2a":
        return None
    source, recovered, tested = (
        ArmId(ArmId(arm_id).folded if isinstance(arm_id := details.get(name), str) else "")
        for name in ("fabricObjectId", "recoveryFabricObjectId", "testFailoverRecoveryFabricObjectId")
    )
    if not source:
        return None
    state = properties.get("protectionState")
    return Link(source, recovered, tested, state if isinstance(state, str) else "")
