"""Who changed what a step rested on: the activity log, asked when a drift was seen. Best effort, and some minutes behind.

Of many objects ARM keeps nobody's name (machine extensions, Automation accounts); what was asked of Resource Manager, by whom and
when, is in the log of their subscription: https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.ids import ArmId
from drkit.model.runbook import Precondition
from drkit.products.base import Observation, StepContext

BACK = timedelta(hours=24)
SECONDS = 15.0
CHANGES = ("/write", "/delete", "/action")
READING = ("/runcommand/action", "/read")
STATES = frozenset({"answers"})
"""Signals of a service, which nobody changes."""


def unnamed(conditions: Iterable[Precondition], observation: Observation) -> list[str]:
    """The ARM ids among what differs of which nothing says who changed them."""
    subjects = dict.fromkeys(ArmId(condition.subject) for condition in conditions if condition.signal not in STATES)
    return [subject for subject in subjects if _in_a_group(subject) and not observation.changed.get(subject)]


async def named(context: StepContext, subjects: Iterable[str]) -> dict[str, str]:
    """Id -> who changed it or what is below it last, when and how; empty where the log does not tell."""
    changes: dict[str, str] = {}
    now = context.clock.now()
    for subject in subjects:
        subscription, group = ArmId(subject).subscription, ArmId(subject).resource_group
        try:
            with context.azure.budget(attempts=1, seconds=SECONDS), reading_azure(subject):
                events = await context.azure.monitor.activity(subscription, now - BACK, now, group=group)
                said = (change_of(event, subject) for event in events)
                changes[ArmId(subject)] = next((change for change in said if change), "")
        except CloudError:
            changes[ArmId(subject)] = ""
    return changes


def change_of(event: Mapping[str, Any], subject: str) -> str:
    """The event in words, when it is a change of the subject or of what is below it that was not refused; else empty."""
    at, operation = ArmId(_text(event.get("resourceId"))), _text(event.get("operationName"))
    who, when = _text(event.get("caller")), _text(event.get("eventTimestamp"))
    if not who or not at.within(subject) or _text(event.get("status")).lower() == "failed":
        return ""
    if not operation.lower().endswith(CHANGES) or operation.lower().endswith(READING):
        return ""
    return f"{who}{f' at {when}' if when else ''}, by {operation}"


def _in_a_group(subject: str) -> bool:
    return subject.startswith("/subscriptions/") and bool(ArmId(subject).resource_group)


def _text(value: Any) -> str:
    """A member that is ``{value, localizedValue}`` in one body and plain text in another."""
    if isinstance(value, Mapping):
        value = value.get("value")
    return value if isinstance(value, str) else ""
