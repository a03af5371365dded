"""How far a run is: honest for every state it can be in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from drkit.cli.views import sentences
from drkit.execution.progress import estimate
from drkit.model.clock import rfc3339
from drkit.model.run import RunState, StepState, StepStatus
from drkit.model.runbook import Estimate, Runbook, Step
from tests.model.test_runbook import a_runbook, a_step

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
STATUSES: tuple[StepStatus, ...] = get_args(StepStatus)


def chain(length: int, *, asks: bool = False) -> Runbook:
    """Steps of ten seconds, each behind the one before; the second asks a person."""
    steps: list[Step] = []
    for number in range(length):
        needs = (f"s{number - 1}",) if number else ()
        effect = "ask" if asks and number == 1 else "create"
        steps.append(a_step(f"s{number}", effect, needs=needs, estimate=Estimate(1, 10.0)))
    return a_runbook(*steps)


def took(seconds: float) -> StepState:
    return StepState("done", 1, began=rfc3339(BEGAN), ended=rfc3339(BEGAN + timedelta(seconds=seconds)))


def at(book: Runbook, **known: StepState) -> RunState:
    return RunState(run="run-0001", steps=dict(known))


def test_nothing_is_known_before_something_was_measured() -> None:
    found = estimate(chain(5), RunState(), 4)
    assert (found.done, found.total, found.least, found.most) == (0, 5, None, None)
    assert "not known yet" in sentences.progress(found)


def test_what_was_measured_widens_the_range_and_never_narrows_it_to_a_promise() -> None:
    slow = estimate(chain(6), at(chain(6), s0=took(10), s1=took(10), s2=took(40)), 4)
    assert slow.least == 30
    assert slow.most is not None
    assert slow.most > 60
    quick = estimate(chain(6), at(chain(6), s0=took(5), s1=took(5), s2=took(5)), 4)
    assert (quick.least, quick.most) == (15, 30)


def test_what_waits_for_people_is_counted_and_takes_no_time() -> None:
    book = chain(5, asks=True)
    found = estimate(book, at(book, s0=took(10), s1=StepState("asked")), 4)
    assert (found.done, found.asked, found.behind, found.least, found.most) == (1, 1, 3, 0.0, 0.0)
    assert sentences.progress(found) == "1 of 5 steps done; 1 wait for people, 3 more rest on that"


def test_what_rests_on_a_failure_is_stopped() -> None:
    book = chain(4)
    assert estimate(book, at(book, s0=StepState("failed")), 4).stopped == 4


@given(st.lists(st.sampled_from(STATUSES), min_size=1, max_size=12), st.floats(0, 1e5), st.integers(1, 8))
def test_counts_add_up_and_time_is_never_nothing_while_machine_work_is_open(
    statuses: list[StepStatus], seconds: float, hands: int
) -> None:
    book = chain(len(statuses))
    known = {
        f"s{number}": took(seconds) if word == "done" else StepState(word, 1, began=rfc3339(BEGAN))
        for number, word in enumerate(statuses)
    }
    found = estimate(book, RunState(steps=known), hands)
    assert found.total == len(statuses)
    assert found.done + found.stopped + found.asked + found.behind <= found.total
    if found.least is None or found.most is None:
        assert found.least is found.most
    else:
        assert 0 <= found.least <= found.most
        left = found.total - found.done - found.stopped - found.asked - found.behind
        assert (found.most > 0) == (left > 0)
    assert "\n" not in sentences.progress(found)
