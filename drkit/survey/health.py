"""Resource Health and Service Health: what Azure says about each VM and about regions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.survey import activity_log
from drkit.survey.vm_annotations import moment, subject_of

if TYPE_CHECKING:
    from drkit.providers.session import Session

WINDOW = timedelta(days=3)


async def availability(
    azure: Session, subscriptions: Sequence[str], clock: Clock
) -> tuple[dict[ArmId, Reading], list[str]]:
    """Per resource id its availability as a reading (detail: cause and time), and what could not be read."""
    states: dict[ArmId, Reading] = {}
    unread: list[str] = []
    for subscription in subscriptions:
        try:
            with reading_azure():
                rows = await azure.health.availability_by_subscription(subscription)
        except CloudError as error:
            unread.append(f"Resource Health of subscription {subscription}: {error.what}")
            continue
        now = rfc3339(clock.now())
        for row in rows:
            subject = subject_of(row.get("id"))
            properties = row.get("properties")
            if subject and isinstance(properties, dict):
                states[subject] = Reading(
                    subject.folded, "availability", _state(properties), "Resource Health", now, _detail(properties)
                )
    return states, unread


async def current(azure: Session, machine: str, clock: Clock) -> tuple[Reading | None, str]:
    """The availability of one machine now, and why it could not be read (empty: it was read, or Azure has none)."""
    states, why = await history(azure, machine, clock)
    return (states[0] if states else None), why


async def history(azure: Session, machine: str, clock: Clock) -> tuple[list[Reading], str]:
    """The availability of one machine, newest first and the current state before all others, and why it could not be read.

    An earlier state has the signal ``availability-history`` and its own time.
    """
    try:
        with reading_azure(machine):
            rows = await azure.health.availability(machine)
    except CloudError as error:
        return [], f"Resource Health of {machine}: {error.what}"
    return readings_of(rows, machine, rfc3339(clock.now())), ""


def readings_of(rows: Sequence[Any], machine: str, now: str) -> list[Reading]:
    """The statuses of one resource as readings. A status without properties, and an earlier one without a time, is left out."""
    readings: list[Reading] = []
    for row in rows:
        properties = row.get("properties") if isinstance(row, dict) else None
        if not isinstance(properties, dict):
            continue
        detail = _detail(properties)
        if str(row.get("name", "")).lower() == "current":
            readings.insert(0, Reading(machine, "availability", _state(properties), "Resource Health", now, detail))
        elif when := moment(properties.get("occuredTime") or properties.get("occurredTime")):
            state = _state(properties)
            readings.append(Reading(machine, "availability-history", state, "Resource Health", when, detail))
    return readings


def _state(properties: dict[str, Any]) -> str:
    state = properties.get("availabilityState")
    return state if isinstance(state, str) and state else "Unknown"


def _detail(properties: dict[str, Any]) -> str:
    """``context=… since=…``: who caused the state, and since when it holds."""
    words = [properties.get("context"), properties.get("reasonType")]
    context = next((word for word in words if isinstance(word, str) and word), "")
    since = moment(properties.get("occuredTime") or properties.get("occurredTime"))
    return f"context={context.replace(' ', '-')} since={since}"


def by_customer(reading: Reading) -> bool:
    """Whether a customer or the guest itself caused the state (context "Customer Initiated", reason "User Initiated", "vm-…")."""
    context = reading.detail.lower()
    return any(word in context for word in ("customer", "user-initiated", "userinitiated", "context=vm-"))


def since(reading: Reading) -> str:
    """Since when the state holds (RFC 3339); empty when the reading does not say."""
    text = reading.detail.rpartition("since=")[2]
    try:
        parse_time(text)
    except ValueError:
        return ""
    return text


async def events(azure: Session, subscriptions: Sequence[str], clock: Clock) -> tuple[list[dict[str, Any]], list[str]]:
    """The Service Health events of the last three days in these subscriptions, each once, and what could not be read."""
    by_name: dict[str, dict[str, Any]] = {}
    unread: list[str] = []
    for subscription in subscriptions:
        try:
            with reading_azure():
                for event in await azure.health.events(subscription, clock.now() - WINDOW):
                    by_name.setdefault(str(event.get("name") or len(by_name)), event)
        except CloudError as error:
            unread.append(f"Service Health of subscription {subscription}: {error.what}")
            for event in await _logged(azure, subscription, clock):
                by_name.setdefault(str(event["name"]), event)
    return list(by_name.values()), unread


async def _logged(azure: Session, subscription: str, clock: Clock) -> list[dict[str, Any]]:
    """Service Health's events from the activity log, for when Service Health itself does not answer."""
    try:
        with reading_azure():
            logged = await azure.monitor.activity(subscription, clock.now() - WINDOW, clock.now())
            return activity_log.service_events(logged)
    except CloudError:
        return []
