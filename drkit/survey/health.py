"""Resource Health and Service Health: what the platform says of each VM, and of regions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import read as reading
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Reading
from drkit.survey import activity_log
from drkit.survey.vm_annotations import moment, subject_of

if TYPE_CHECKING:
    from drkit.providers.session import Session

WINDOW = timedelta(days=3)


async def availability(
    azure: Session, subscriptions: Sequence[str], clock: Clock
) -> tuple[dict[str, Reading], list[str]]:
    """Per lower-cased resource id the availability state as a reading (detail: why, since when), and what could not be read."""
    found: dict[str, Reading] = {}
    unread: list[str] = []
    for subscription in subscriptions:
        try:
            with reading():
                rows = await azure.health.availability_by_subscription(subscription)
        except CloudError as error:
            unread.append(f"Resource Health of subscription {subscription}: {error.what}")
            continue
        now = rfc3339(clock.now())
        for row in rows:
            subject = subject_of(row.get("id"))
            properties = row.get("properties")
            if subject and isinstance(properties, dict):
                found[subject] = Reading(
                    subject, "availability", _state(properties), "Resource Health", now, _detail(properties)
                )
    return found, unread


async def current(azure: Session, machine: str, clock: Clock) -> tuple[Reading | None, str]:
    """The availability of one machine now, and why it could not be read (empty: it was, or there is none)."""
    found, why = await history(azure, machine, clock)
    return (found[0] if found else None), why


async def history(azure: Session, machine: str, clock: Clock) -> tuple[list[Reading], str]:
    """The availability of one machine, newest first, the current state before all; and why it could not be read.

    Earlier states are of signal ``availability-history`` and have their own times.
    """
    try:
        with reading(machine):
            rows = await azure.health.availability(machine)
    except CloudError as error:
        return [], f"Resource Health of {machine}: {error.what}"
    return readings_of(rows, machine, rfc3339(clock.now())), ""


def readings_of(rows: Sequence[Any], machine: str, now: str) -> list[Reading]:
    """The statuses of one resource. Those without properties, or an earlier one without a time, are left out."""
    found: list[Reading] = []
    for row in rows:
        properties = row.get("properties") if isinstance(row, dict) else None
        if not isinstance(properties, dict):
            continue
        detail = _detail(properties)
        if str(row.get("name", "")).lower() == "current":
            found.insert(0, Reading(machine, "availability", _state(properties), "Resource Health", now, detail))
        elif when := moment(properties.get("occuredTime") or properties.get("occurredTime")):
            state = _state(properties)
            found.append(Reading(machine, "availability-history", state, "Resource Health", when, detail))
    return found


def _state(properties: dict[str, Any]) -> str:
    state = properties.get("availabilityState")
    return state if isinstance(state, str) and state else "Unknown"


def _detail(properties: dict[str, Any]) -> str:
    """``context=… since=…``: who is behind it, and since when."""
    words = [properties.get("context"), properties.get("reasonType")]
    context = next((one for one in words if isinstance(one, str) and one), "")
    since = moment(properties.get("occuredTime") or properties.get("occurredTime"))
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
            with reading():
                for event in await azure.health.events(subscription, clock.now() - WINDOW):
                    found.setdefault(str(event.get("name") or len(found)), event)
        except CloudError as error:
            unread.append(f"Service Health of subscription {subscription}: {error.what}")
            for event in await _logged(azure, subscription, clock):
                found.setdefault(str(event["name"]), event)
    return list(found.values()), unread


async def _logged(azure: Session, subscription: str, clock: Clock) -> list[dict[str, Any]]:
    """What the activity log has of Service Health, when Service Health itself does not answer."""
    try:
        with reading():
            logged = await azure.monitor.activity(subscription, clock.now() - WINDOW, clock.now())
            return activity_log.service_events(logged)
    except CloudError:
        return []
