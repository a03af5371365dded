"""What counts as drift, and what could not be read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drkit.execution.drift import compare, unread
from drkit.model.estate import Reading
from drkit.model.runbook import Precondition
from drkit.products.base import Observation


def seen(*readings: tuple[str, str, Any]) -> Observation:
    return Observation(
        readings=tuple(Reading(who, what, value, "test", "2026-03-01T08:00:00Z") for who, what, value in readings)
    )


WANTED = (Precondition("/Plans/Dev", "answers", "no", "service"), Precondition("/vm/box", "instance_id", "AB-1", "ARM"))


def test_what_holds_is_no_drift_in_whatever_case_azure_writes_it() -> None:
    look = seen(("/plans/DEV", "answers", "NO"), ("/VM/box", "instance_id", "ab-1"))
    assert compare(WANTED, look) == []
    assert unread(WANTED, look) == []


def test_what_differs_is_drift_and_says_of_whom_what_and_what_was_planned_on() -> None:
    (said,) = compare(WANTED, seen(("/plans/dev", "answers", "yes"), ("/vm/box", "instance_id", "AB-1")))
    assert said == "answers of Dev is 'yes', not 'no'"


def test_what_was_not_read_or_is_unknown_is_no_drift_but_has_to_be_looked_at_again() -> None:
    for look in (seen(), seen(("/plans/dev", "answers", "unknown"), ("/vm/box", "boot", "x"))):
        assert compare(WANTED, look) == []
        assert unread(WANTED, look) == ["answers of Dev", "instance_id of box"]


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.sampled_from(["unknown", "yes", "YES"])
)


@given(values, values)
def test_a_precondition_holds_drifted_or_was_not_read_and_only_one_of_them(expected: Any, found: Any) -> None:
    wanted = (Precondition("/x", "s", expected, "test"),)
    look = seen(("/X", "s", found))
    drift, missing = compare(wanted, look), unread(wanted, look)
    assert not (drift and missing)
    assert bool(missing) == (found == "unknown")
    if isinstance(expected, str) and isinstance(found, str):
        assert bool(drift) == (not missing and expected.lower() != found.lower())
    elif not missing:
        assert bool(drift) == (expected != found)
