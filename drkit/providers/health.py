"""Resource Health and Service Health, through ``rest``. Items are the JSON that was on the wire.

https://learn.microsoft.com/rest/api/resourcehealth
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drkit.providers.session import Session

AVAILABILITY_API = "2025-05-01"
EVENTS_API = "2025-05-01"


class Health:
    """``session.health``. Methods raise the errors of ``drkit.errors``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def availability(self, resource_id: str) -> list[dict[str, Any]]:
        """A resource's availability statuses, newest first (Availability Statuses - List)."""
        path = f"{resource_id.rstrip('/')}/providers/Microsoft.ResourceHealth/availabilityStatuses"
        return await self._all(path, {"api-version": AVAILABILITY_API})

    async def availability_by_subscription(self, subscription: str) -> list[dict[str, Any]]:
        """The current availability of every resource that has one (List By Subscription Id). A missing row is no evidence."""
        path = f"/subscriptions/{subscription}/providers/Microsoft.ResourceHealth/availabilityStatuses"
        return await self._all(path, {"api-version": AVAILABILITY_API})

    async def events(self, subscription: str, since: datetime) -> list[dict[str, Any]]:
        """Service Health events that were active at ``since`` or later (Events - List By Subscription Id)."""
        path = f"/subscriptions/{subscription}/providers/Microsoft.ResourceHealth/events"
        day = since.astimezone(UTC)
        start = f"{day.month}/{day.day}/{day.year}"
        return await self._all(path, {"api-version": EVENTS_API, "queryStartTime": start})

    async def emerging_issues(self) -> Any:
        """The body of the public status page, which concerns no tenant in particular (Emerging Issues - Get)."""
        path = "/providers/Microsoft.ResourceHealth/emergingIssues/default"
        return (await self._session.rest.request("GET", path, params={"api-version": EVENTS_API})).body

    async def _all(self, path: str, params: dict[str, str]) -> list[dict[str, Any]]:
        return [item async for item in self._session.rest.pages(path, params) if isinstance(item, dict)]
