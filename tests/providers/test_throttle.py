"""A bucket keeps ARM's limits for any order of events, and waiters are served in order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.errors import ThrottledError
from drkit.model.arm_limits import LIMITS
from drkit.providers.counters import Counters
from drkit.providers.throttle import Bucket, BucketKey, Throttle
from tests.support.https_server import FakeClock
from tests.support.patience import PATIENCE

CAPACITY, RATE = 5.0, 2.0
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 10)),
        st.tuples(st.just("take"), st.just(0.0)),
        st.tuples(st.just("correct"), st.floats(-5, 20)),
        st.tuples(st.just("close"), st.floats(0.001, 5)),
    ),
    max_size=120,
)


@given(steps)
def test_no_window_ever_holds_more_than_capacity_plus_refill(plan: list[tuple[str, float]]) -> None:
    bucket, now, taken = Bucket(CAPACITY, RATE, 0.0), 0.0, []
    for what, value in plan:
        if what == "pass":
            now += value
        elif what == "take":
            before = bucket.tokens(now)
            if bucket.take(now):
                taken.append(now)
                assert bucket.tokens(now) == pytest.approx(before - 1)
            else:
                assert bucket.tokens(now) == before
        elif what == "correct":
            before = bucket.tokens(now)
            bucket.correct(value, now)
            assert bucket.tokens(now) <= before
        else:
            bucket.close(value, now)
            assert not bucket.take(now)
        assert -1e-6 <= bucket.tokens(now) <= CAPACITY
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= CAPACITY + RATE * (taken[last] - taken[first]) + 1e-6


@given(steps)
def test_after_the_wait_it_names_a_token_is_there(plan: list[tuple[str, float]]) -> None:
    bucket, now = Bucket(CAPACITY, RATE, 0.0), 0.0
    for what, value in plan:
        now += value if what == "pass" else 0
        if what == "take":
            bucket.take(now)
        if what == "correct":
            bucket.correct(value, now)
        if what == "close":
            bucket.close(value, now)
    wait = bucket.wait(now)
    assert (wait == 0) == bucket.take(now)
    if wait:
        assert bucket.take(now + wait + 1e-6)


@pytest.mark.parametrize(("capacity", "rate"), [(0, 1), (5, 0)])
def test_a_bucket_that_never_gives_is_refused(capacity: float, rate: float) -> None:
    with pytest.raises(ValueError, match="refills"):
        Bucket(capacity, rate, 0.0)


def key(subscription: str = "s", principal: str = "p", operation: str = "write") -> BucketKey:
    return BucketKey(subscription, principal, "", operation)  # type: ignore[arg-type]


async def test_a_burst_is_sent_at_once_and_the_rest_at_the_refill_rate(clock: FakeClock) -> None:
    counters = Counters()
    throttle = Throttle(clock, counters)
    for _ in range(200):
        await throttle.take(key())
    assert clock.at == 0
    for _ in range(20):
        await throttle.take(key())
    assert clock.at == pytest.approx(2.0, abs=0.01)
    assert counters.waited_seconds == pytest.approx(2.0, abs=0.01)
    await throttle.take(key(principal="other"))
    await throttle.take(key(subscription="other"))
    await throttle.take(key(operation="delete"))
    assert clock.at == pytest.approx(2.0, abs=0.01)


async def test_many_waiters_wait_together_and_in_order(clock: FakeClock) -> None:
    throttle, order = Throttle(clock, Counters(), {**LIMITS, "read": (1.0, 1.0)}), []

    async def wait(number: int) -> None:
        await throttle.take(key(operation="read"))
        order.append((number, round(clock.at)))

    await asyncio.gather(*(wait(number) for number in range(5)))
    assert order == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


async def test_a_waiter_that_is_cancelled_takes_nothing_and_blocks_nobody(clock: FakeClock) -> None:
    class Stuck(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    stuck = Stuck()
    throttle = Throttle(stuck, Counters(), {**LIMITS, "read": (1.0, 1.0)})
    await throttle.take(key(operation="read"))
    waiter = asyncio.create_task(throttle.take(key(operation="read")))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    stuck.at = 1.5
    await asyncio.wait_for(throttle.take(key(operation="read")), PATIENCE)


async def test_the_server_corrects_downwards_only(clock: FakeClock) -> None:
    throttle = Throttle(clock, Counters())
    throttle.learn(key(), {"x-ms-ratelimit-remaining-subscription-writes": "1"})
    throttle.learn(key(), {"x-ms-ratelimit-remaining-subscription-writes": "11999"})
    throttle.learn(key(), {"x-ms-ratelimit-remaining-subscription-writes": "many"})
    throttle.learn(key(), {})
    await throttle.take(key())
    assert clock.at == 0
    await throttle.take(key())
    assert clock.at == pytest.approx(0.1, abs=0.01)
    throttle.learn(key(subscription="", operation="read"), {"x-ms-ratelimit-remaining-tenant-reads": "0"})
    await throttle.take(key(subscription="", operation="read"))
    assert clock.at == pytest.approx(0.14, abs=0.01)


async def test_a_pause_azure_asked_for_holds_all_of_that_kind(clock: FakeClock) -> None:
    throttle = Throttle(clock, Counters())
    throttle.learn(key(), {}, pause=7)
    await throttle.take(key(operation="read"))
    assert clock.at == 0
    await throttle.take(key(), patience=10)
    assert clock.at == 7


async def test_a_pause_beyond_patience_fails_at_once(clock: FakeClock) -> None:
    throttle = Throttle(clock, Counters())
    throttle.learn(key(), {}, pause=3600)
    with pytest.raises(ThrottledError, match="3600 s") as caught:
        await throttle.take(key(), patience=120)
    assert caught.value.where == "/subscriptions/s"
    assert clock.at == 0
