"""Whether to wait for a lost plan or to move it. Pure: the advice names every number that it assumes."""

from __future__ import annotations

from datetime import datetime

from drkit.model.clock import parse_time
from drkit.model.estate import Advice, PlanState

MINUTES_PER_PLAN = 2.0
MINUTES_PER_MANAGED = 2.0
MINUTES_PER_SELF_HOSTED = 12.0
CONCURRENCY = 8


def move_minutes(plans: int, managed: int, self_hosted: int, sign_in_minutes: float) -> float:
    """The forecast of a move in minutes before there is a runbook: plans one after the other, environments eight at a time."""
    waves = MINUTES_PER_MANAGED * (1 + managed / CONCURRENCY) if managed else 0.0
    hosts = (
        (MINUTES_PER_SELF_HOSTED + sign_in_minutes / 3) * max(1.0, self_hosted / CONCURRENCY) if self_hosted else 0.0
    )
    return plans * MINUTES_PER_PLAN + max(waves, hosts)


def wait_or_move(
    state: PlanState,
    *,
    failing_since: str,
    now: datetime,
    expected_outage_minutes: float,
    decision_minutes: float,
    forecast_minutes: float,
    objective_minutes: float,
) -> Advice:
    """Compare the expected wait still to come with the forecast of the move (deciding included), in minutes."""
    if state != "lost":
        words = {
            "answering": "the plan answers: there is nothing to move",
            "degraded": "the plan's service answers: see what is wrong with it before moving anything",
            "gone": "the plan was deleted, not lost: restore it, or plan by hand",
        }
        text = words.get(
            state,
            "not lost by drkit's rules: look again in 5 minutes, or declare it with `drkit assess --declare-lost REGION --reason TEXT`",
        )
        return Advice("nothing" if state == "answering" else "wait", 0.0, forecast_minutes, text)
    elapsed = 0.0
    if failing_since:
        elapsed = max(0.0, (now - parse_time(failing_since)).total_seconds() / 60)
    # Past the expectation nothing is known but that it lasts: as long again is the usual guess.
    remaining = expected_outage_minutes - elapsed if elapsed < expected_outage_minutes else elapsed
    move = decision_minutes + forecast_minutes
    assumed = (
        (
            f"an outage of this kind lasts {expected_outage_minutes:.0f} min in all ([advice] expected_outage_minutes); "
            f"{elapsed:.0f} min have passed{', so as long again is assumed' if elapsed >= expected_outage_minutes else ''}"
        ),
        f"deciding and approving takes {decision_minutes:.0f} min, people sign in within the time set for it",
    )
    late = elapsed + move > objective_minutes
    objective = f"; the objective of {objective_minutes:.0f} min {'is already out of reach' if late else 'can be met by moving'}"
    if move < remaining or elapsed + remaining > objective_minutes >= elapsed + move:
        reason = f"moving takes about {move:.0f} min, waiting about {remaining:.0f} min{objective}"
        return Advice("move", remaining, move, reason, assumed)
    reason = f"waiting takes about {remaining:.0f} min, moving about {move:.0f} min{objective}"
    return Advice("wait", remaining, move, reason, assumed)
