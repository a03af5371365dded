"""The Azure DevOps status API, outside ARM. It is only shown: never a claim, and no answer is no evidence.

It replaces the status dashboard that Microsoft's guidance names.
https://learn.microsoft.com/rest/api/azure/devops/status/health/get
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import Reading
from drkit.model.settings import Settings

if TYPE_CHECKING:
    from drkit.providers.session import Session

DEVOPS = "https://status.dev.azure.com"
PATH = "/_apis/status/health"
API = "7.1-preview.1"
SOURCE = "Azure DevOps status"


async def read(azure: Session, settings: Settings, clock: Clock) -> list[Reading]:
    """The status as readings. In a simulator it is read only where settings name its address."""
    base = settings.assess.devops_status or ("" if azure.cloud.simulated else DEVOPS)
    if not base:
        return []
    now = rfc3339(clock.now())
    try:
        with azure.budget(attempts=1, seconds=10), reading_azure(base):
            answer = await azure.rest.request(
                "GET", f"{base.rstrip('/')}{PATH}", params={"api-version": API}, anonymous=True
            )
            return readings(answer.body, now)
    except CloudError as error:
        return [Reading("Azure DevOps", "status", "unknown", SOURCE, now, error.what)]


def readings(body: Any, now: str) -> list[Reading]:
    """The overall health in an answer, and a reading for each service and geography that is not healthy."""
    status = body.get("status") if isinstance(body, Mapping) else None
    whole = status.get("health") if isinstance(status, Mapping) else None
    if not isinstance(status, Mapping) or not isinstance(whole, str):
        return [Reading("Azure DevOps", "status", "unknown", SOURCE, now, "the answer holds no status")]
    message = status.get("message")
    statuses = [Reading("Azure DevOps", "status", whole, SOURCE, now, message if isinstance(message, str) else "")]
    services = body.get("services")
    for service in services if isinstance(services, list) else ():
        places = service.get("geographies") if isinstance(service, Mapping) else None
        for place in places if isinstance(places, list) else ():
            health = place.get("health") if isinstance(place, Mapping) else None
            if isinstance(health, str) and health.lower() not in ("healthy", "unknown"):
                subject = f"{service.get('id', '')} in {place.get('name') or place.get('id', '')}"
                statuses.append(Reading(subject, "status", health, SOURCE, now))
    return statuses
