"""Site Recovery's links from a machine to what a failover, or a test failover, made of it; through Resource Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import read as reading

if TYPE_CHECKING:
    from drkit.providers.session import Session

ITEMS = """recoveryservicesresources
| where type =~ 'microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems'
| project id, properties"""


@dataclass(frozen=True)
class Link:
    """Lower-cased ids: the source, the VM after a completed failover, the copy of a test failover; and the state."""

    source: str
    recovered: str = ""
    tested: str = ""
    state: str = ""


async def read(azure: Session, subscriptions: Sequence[str]) -> tuple[dict[str, Link], list[str]]:
    """Per lower-cased id of a replicated VM its link, and what could not be read."""
    if not subscriptions:
        return {}, []
    try:
        with reading():
            rows = await azure.graph.query(ITEMS, subscriptions)
            return {link.source: link for row in rows if (link := of_row(row)) is not None}, []
    except CloudError as error:
        return {}, [f"Resource Graph, Site Recovery: {error.what}"]


def of_row(row: Any) -> Link | None:
    """A protected item of kind A2A; None for any other. A failover counts when it is completed, not while it runs."""
    properties = row.get("properties") if isinstance(row, Mapping) else None
    details = properties.get("providerSpecificDetails") if isinstance(properties, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(details, Mapping):
        return None
    if str(details.get("instanceType", "")).lower() != "a2a":
        return None
    source, recovered, tested = (
        found.lower().rstrip("/") if isinstance(found := details.get(name), str) else ""
        for name in ("fabricObjectId", "recoveryFabricObjectId", "testFailoverRecoveryFabricObjectId")
    )
    if not source:
        return None
    state = properties.get("protectionState")
    return Link(source, recovered, tested, state if isinstance(state, str) else "")
