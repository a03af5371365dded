"""What differs, just before a step acts, from what was planned on. Pure: preconditions and an observation in, words out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drkit.model.ids import ArmId
from drkit.model.runbook import Precondition
from drkit.products.base import Observation

UNKNOWN_VALUE = "unknown"


def compare(preconditions: Sequence[Precondition], observation: Observation) -> list[str]:
    """What differs from what was planned on, in words; an empty list if every precondition holds.

    A precondition without a reading, or whose reading is unknown, is not drift: the caller looks again.
    """
    read = _values(observation)
    drift = []
    for condition in differing(preconditions, observation):
        value = read[ArmId(condition.subject), condition.signal]
        changed = observation.changed.get(ArmId(condition.subject))
        by = "" if changed is None else f"; changed by {changed}" if changed else "; Azure does not tell by whom"
        subject = ArmId(condition.subject).name
        drift.append(f"{condition.signal} of {subject} is {value!r}, not {condition.expected!r}{by}")
    return drift


def differing(preconditions: Sequence[Precondition], observation: Observation) -> list[Precondition]:
    """The preconditions that were read, and are not what was planned on."""
    read = _values(observation)
    return [
        condition
        for condition in preconditions
        if (value := read.get((ArmId(condition.subject), condition.signal), UNKNOWN_VALUE)) != UNKNOWN_VALUE
        and _plain(value) != _plain(condition.expected)
    ]


def unread(preconditions: Sequence[Precondition], observation: Observation) -> list[str]:
    """The preconditions that could not be read, in words."""
    known = {(reading.key, reading.signal) for reading in observation.readings if reading.value != UNKNOWN_VALUE}
    return [
        f"{condition.signal} of {ArmId(condition.subject).name}"
        for condition in preconditions
        if (ArmId(condition.subject), condition.signal) not in known
    ]


def _values(observation: Observation) -> dict[tuple[ArmId, str], Any]:
    return {(reading.key, reading.signal): reading.value for reading in observation.readings}


def _plain(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
