"""How many steps a runbook has of each effect, and how long they take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drkit.model import summary
from drkit.model.runbook import Estimate, Step
from tests.model.test_runbook import a_step


def test_effects_are_counted_in_order_without_the_absent_ones() -> None:
    steps = [a_step("1", "verify"), a_step("2", "create"), a_step("3", "verify")]
    assert list(summary.effects(steps).items()) == [("create", 1), ("verify", 2)]


durations = st.lists(st.tuples(st.floats(0, 1000), st.sampled_from(["create", "ask", "verify", "wait"])), max_size=12)


@given(durations, st.integers(1, 5), st.data())
def test_the_forecast_is_between_the_longest_chain_and_the_sum_of_all_steps(
    lengths: list[tuple[float, str]], hands: int, data: st.DataObject
) -> None:
    steps: list[Step] = []
    chain: dict[str, float] = {}
    for number, (seconds, effect) in enumerate(lengths):
        needs = data.draw(st.sets(st.sampled_from([one.id for one in steps]), max_size=2)) if steps else set()
        steps.append(a_step(str(number), effect, needs=tuple(sorted(needs)), estimate=Estimate(1, seconds)))
        chain[str(number)] = seconds + max((chain[need] for need in needs), default=0.0)
    seconds_expected = summary.forecast_seconds(steps, hands)
    assert max(chain.values(), default=0.0) <= seconds_expected + 1e-6
    assert seconds_expected <= sum(seconds for seconds, _ in lengths) + 1e-6


def test_many_hands_make_the_forecast_short() -> None:
    steps = [a_step(str(number), estimate=Estimate(1, 60.0)) for number in range(8)]
    assert [summary.forecast_seconds(steps, hands) for hands in (1, 2, 8, 100)] == [480, 240, 60, 60]
    assert summary.forecast_seconds([], 4) == 0
