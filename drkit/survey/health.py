"""Resource Health and Service Health: what the platform says of each VM, and of regions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drkit.clock import Clock, parse_time, rfc3339
from drkit.errors import CloudError
from drkit.estate import Reading

if TYPE_CHECKING:
    from drkit.providers.session import Session

MARK = "/providers/microsoft.resourcehealth/"
WINDOW = timedelta(days=3)


async def availability(
    azure: Session, subscriptions: Sequence[str], clock: Clock
) -> tuple[dict[str, Reading], list[str]]:
    """Per lower-cased resource id the availability state as a reading (detail: why, since when), and what could not be read."""
    found: dict[str, Reading] = {}
    unread: list[str] = []
    for subscription in subscriptions:
        try:
            rows = await azure.health.availability_by_subscription(subscription)
        except CloudError as error:
            unread.append(f"Resource Health of subscription {subscription}: {error.what}")
            continue
        now = rfc3339(clock.now())
        for row in rows:
            subject = str(row.get("id", "")).lower().split(MARK)[0]
            properties = row.get("properties")
            if subject and isinstance(properties, dict):
                found[subject] = Reading(
                    subject, "availability", _state(properties), "Resource Health", now, _detail(properties)
                )
    return found, unread


def _state(properties: dict[str, Any]) -> str:
    return str(properties.get("availabilityState") or "Unknown")


def _detail(properties: dict[str, Any]) -> str:
    """``context=… since=…``: who is behind it, and since when."""
    context = str(properties.get("context") or properties.get("reasonType") or "")
    since = str(properties.get("occuredTime") or properties.get("occurredTime") or "")
    return f"context={context.replace(' ', '-')} since={since}"


def by_customer(reading: Reading) -> bool:
    """Whether the state was caused on purpose (context "Customer Initiated", reason "User Initiated", the guest itself)."""
    context = reading.detail.lower()
    return any(word in context for word in ("customer", "user-initiated", "userinitiated", "context=vm-"))


def since(reading: Reading) -> str:
    """Since when the state holds (RFC 3339), empty when it was not said."""
    text = reading.detail.rpartition("since=")[2]
    try:
        parse_time(text)
    except ValueError:
        return ""
    return text


async def events(azure: Session, subscriptions: Sequence[str], clock: Clock) -> tuple[list[dict[str, Any]], list[str]]:
    """Service Health events of the last days, over all subscriptions, and what could not be read."""
    found: dict[str, dict[str, Any]] = {}
    unread: list[str] = []
    for subscription in subscriptions:
        try:
            for event in await azure.health.events(subscription, clock.now() - WINDOW):
                found.setdefault(str(event.get("name") or len(found)), event)
        except CloudError as error:
            unread.append(f"Service Health of subscription {subscription}: {error.what}")
    return list(found.values()), unread
