"""When moving is advised, and when waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.model.clock import rfc3339
from drkit.model.estate import Advice, PlanState
from drkit.planning.advice import move_minutes, wait_or_move

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def advised(state: PlanState = "lost", ago: float | None = 30, **more: float) -> Advice:
    numbers: dict[str, float] = {
        "expected_outage_minutes": 240,
        "decision_minutes": 15,
        "forecast_minutes": 45,
        "objective_minutes": 240,
    }
    since = "" if ago is None else rfc3339(NOW - timedelta(minutes=ago))
    return wait_or_move(state, failing_since=since, now=NOW, **(numbers | more))


def test_moving_is_advised_when_it_is_sooner_than_the_wait() -> None:
    advice = advised()
    assert (advice.advice, advice.wait_minutes, advice.move_minutes) == ("move", 210, 60)
    assert "60 min" in advice.reason
    assert "210 min" in advice.reason
    assert "can be met by moving" in advice.reason
    assert any("240 min" in one and "30 min have passed" in one for one in advice.assumed)
    assert any("15 min" in one for one in advice.assumed)


def test_waiting_is_advised_when_the_move_takes_longer() -> None:
    advice = advised(ago=200)
    assert (advice.advice, advice.wait_minutes, advice.move_minutes) == ("wait", 40, 60)
    assert "out of reach" in advice.reason


def test_an_outage_of_unknown_beginning_has_just_begun_and_one_from_the_future_too() -> None:
    assert advised(ago=None).wait_minutes == 240
    assert advised(ago=-30).wait_minutes == 240


@pytest.mark.parametrize("state", [state for state in get_args(PlanState) if state != "lost"])
def test_nothing_is_moved_that_is_not_lost(state: PlanState) -> None:
    advice = advised(state)
    assert advice.advice == ("nothing" if state == "answering" else "wait")
    assert advice.reason


minutes = st.floats(0, 10_000, allow_nan=False)


@given(minutes, minutes, minutes, minutes, minutes)
def test_moving_is_advised_exactly_when_it_is_sooner(
    ago: float, outage: float, decision: float, forecast: float, objective: float
) -> None:
    advice = advised(
        "lost",
        round(ago),
        expected_outage_minutes=outage,
        decision_minutes=decision,
        forecast_minutes=forecast,
        objective_minutes=objective,
    )
    passed = round(ago)
    assert advice.wait_minutes == pytest.approx(outage - passed if passed < outage else passed)
    assert advice.move_minutes == decision + forecast
    assert (advice.advice == "move") == (advice.move_minutes < advice.wait_minutes)


def test_the_forecast_grows_with_the_work_and_is_nothing_for_nothing() -> None:
    assert move_minutes(0, 0, 0, 30) == 0
    assert move_minutes(1, 0, 0, 30) < move_minutes(1, 1, 0, 30) < move_minutes(1, 40, 0, 30)
    assert move_minutes(1, 40, 0, 30) < move_minutes(1, 40, 8, 30) < move_minutes(1, 40, 80, 30)
    assert move_minutes(1, 0, 4, 30) < move_minutes(1, 0, 4, 60)
