"""azure-mgmt-monitor: the activity log and the availability metric, as the JSON that was on the wire.

https://learn.microsoft.com/rest/api/monitor/activity-logs/list: ``filter`` must hold a time range and may hold one more
condition of four; nothing else is allowed. Claims and authorization are personal data, and are dropped here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure.mgmt.monitor.aio import MonitorManagementClient

from drkit.errors import DrkitError, UnreachableError
from drkit.providers.resources import subscription_in
from drkit.providers.sdk_clients import SubscriptionClients, as_json

if TYPE_CHECKING:
    from drkit.providers.session import Session

METRIC = "VmAvailabilityMetric"
PERSONAL = ("claims", "authorization")


class Monitor:
    """``session.monitor``. Methods raise the errors of ``drkit.errors``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients = SubscriptionClients(session, MonitorManagementClient)

    async def activity(
        self, subscription: str, since: datetime, until: datetime, *, resource: str = "", group: str = ""
    ) -> list[dict[str, Any]]:
        """Events of the activity log, newest first: of one resource, of one group, or of the whole subscription.

        Only the whole subscription has Service Health's events. UnreachableError for a page that is not a list, or that repeats.
        """
        text = f"eventTimestamp ge '{_time(since)}' and eventTimestamp le '{_time(until)}'"
        if resource:
            text += f" and resourceUri eq '{resource.replace(chr(39), chr(39) * 2)}'"
        elif group:
            text += f" and resourceGroupName eq '{group.replace(chr(39), chr(39) * 2)}'"
        answers: list[Any] = []
        where = resource or f"/subscriptions/{subscription}"
        pages = self._clients.of(subscription).activity_logs.list(text, raw_response_hook=answers.append).by_page()
        try:
            await self._session.sdk(anext(pages, None), where)
        except DrkitError:
            # The SDK's models are stricter than Azure: an answer that they cannot read may still be JSON.
            if not answers or answers[-1].http_response.status_code != 200:
                raise
        page = _page(answers[-1], where)
        events = _impersonal(page["value"])
        if following := str(page.get("nextLink") or ""):
            events += _impersonal([event async for event in self._session.rest.pages(following)])
        return events

    async def availability(self, vm_id: str, since: datetime, until: datetime) -> Any:
        """The body of a VM's availability metric by minutes (Metrics - List)."""
        call: Any = self._clients.of(subscription_in(vm_id)).metrics.list(
            vm_id,
            timespan=f"{_time(since)}/{_time(until)}",
            interval="PT1M",
            metricnames=METRIC,
            aggregation="Average,Minimum,Maximum",
            cls=as_json,
        )
        return await self._session.sdk(call, vm_id)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _page(answer: Any, where: str) -> dict[str, Any]:
    try:
        page = answer.http_response.json()
    except ValueError as error:
        raise UnreachableError("the answer is not JSON", where=where) from error
    if not isinstance(page, dict) or not isinstance(page.get("value"), list):
        raise UnreachableError("the answer is not a list", where=where, remedy="repeat the command")
    return page


def _impersonal(events: list[Any]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in event.items() if key not in PERSONAL}
        for event in events
        if isinstance(event, dict)
    ]
