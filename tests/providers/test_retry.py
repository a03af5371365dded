"""Which requests are sent again, counted at the server."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from drkit.errors import (
    CloudError,
    ConflictError,
    GuardError,
    ThrottledError,
    UnknownFateError,
    UnreachableError,
)
from drkit.providers.guard import Outgoing
from drkit.providers.retry import Budget, retry_after
from drkit.providers.session import Session
from tests.support.https_server import SUB, Answer, FakeClock, Seen, Server, cloud_of

URL = f"/subscriptions/{SUB}/thing"
LISTING = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.VSOnline/plans/p/readAllEnvironments"
OK = Answer(json={"fine": True})
NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_what_may_be_repeated_is_until_it_works(
    server: Server, session: Session, clock: FakeClock, method: str, status: int
) -> None:
    server.on(method, "/thing", Answer(status), Answer(status), Answer(200) if method == "HEAD" else OK)
    answer = await session.rest.request(method, URL)
    assert answer.status == 200
    assert len(server.calls(method)) == 3
    assert len(clock.slept) == 2
    assert 0.5 <= clock.slept[0] <= 1.0
    assert 1.0 <= clock.slept[1] <= 1.5


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 412, 413, 501])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_refusals_are_final(server: Server, session: Session, method: str, status: int) -> None:
    server.on(method, "/thing", Answer(status, headers={"Retry-After": "1"}))
    with pytest.raises(CloudError) as caught:
        await session.rest.request(method, URL)
    assert caught.value.status == status
    assert len(server.calls(method)) == 1


async def test_attempts_are_bounded(server: Server, session: Session) -> None:
    server.on("GET", "/thing", Answer(503, json={"error": {"code": "ServerBusy", "message": "later"}}))
    with pytest.raises(UnreachableError) as caught:
        await session.rest.request("GET", URL)
    assert len(server.calls("GET")) == 5
    assert (caught.value.status, caught.value.code) == (503, "ServerBusy")
    assert session.counters.retries == 4
    assert session.counters.calls["read"] == 5


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_post_answered_with_5xx_is_not_sent_again(
    server: Server, session: Session, method: str, status: int
) -> None:
    server.on(method, "/thing", Answer(status, headers={"Retry-After": "1"}, body=b"8"))
    with pytest.raises(UnknownFateError) as caught:
        await session.rest.request(method, URL, json={})
    assert len(server.calls(method)) == 1
    assert (caught.value.status, caught.value.code) == (status, "8")
    assert "may or may not" in caught.value.what


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("act", ["cut", "truncate"])
async def test_a_post_cut_after_sending_is_not_sent_again(
    server: Server, session: Session, method: str, act: str
) -> None:
    server.on(method, "/thing", Answer(act=act, json={}))
    with pytest.raises(UnknownFateError, match="cut"):
        await session.rest.request(method, URL, json={})
    assert len(server.calls(method)) == 1


async def test_a_post_cut_on_a_kept_connection_is_not_sent_again(server: Server, session: Session) -> None:
    server.on("GET", "/thing", OK)
    server.on("POST", "/thing", Answer(act="cut"))
    await session.rest.request("GET", URL)
    with pytest.raises(UnknownFateError):
        await session.rest.request("POST", URL, json={})
    assert len(server.calls("POST")) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_throttled_post_was_not_carried_out_and_is_repeated(
    server: Server, session: Session, clock: FakeClock, method: str
) -> None:
    server.on(method, "/thing", Answer(429, headers={"Retry-After": "4"}), OK)
    await session.rest.request(method, URL, json={})
    assert len(server.calls(method)) == 2
    assert clock.slept == [4]
    assert session.counters.throttled == 1
    assert session.counters.waited_seconds == 4


async def test_a_reading_post_is_repeated_like_a_read(server: Server, session: Session) -> None:
    server.on("POST", "/readAllEnvironments", Answer(503), Answer(act="cut"), OK)
    await session.rest.request("POST", LISTING)
    assert len(server.calls("POST")) == 3


@pytest.mark.parametrize("act", ["cut", "truncate"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_cut_is_repeated_where_it_does_no_harm(server: Server, session: Session, method: str, act: str) -> None:
    server.on(method, "/thing", Answer(act=act, json={}), OK)
    assert (await session.rest.request(method, URL)).body == {"fine": True}
    assert len(server.calls(method)) == 2


async def test_every_attempt_on_a_kept_connection_is_ours(server: Server, session: Session) -> None:
    server.on("GET", "/thing", OK, Answer(act="cut"))
    await session.rest.request("GET", URL)
    with pytest.raises(UnreachableError, match="cut"):
        await session.rest.request("GET", URL)
    assert len(server.calls("GET")) == 1 + 5
    assert session.counters.calls["read"] == 6


async def test_a_put_that_is_cut_to_the_end_has_an_unknown_fate(server: Server, session: Session) -> None:
    server.on("PUT", "/thing", Answer(act="cut"))
    with pytest.raises(UnknownFateError):
        await session.rest.request("PUT", URL, json={})
    assert len(server.calls("PUT")) == 5


async def test_a_put_cut_once_and_then_failing_has_an_unknown_fate(server: Server, session: Session) -> None:
    server.on("PUT", "/thing", Answer(act="cut"), Answer(503))
    with pytest.raises(UnknownFateError):
        await session.rest.request("PUT", URL, json={})


@pytest.mark.parametrize("status", [409, 412])
async def test_a_put_cut_and_then_in_conflict_may_be_in_its_own_way(
    server: Server, session: Session, status: int
) -> None:
    server.on("PUT", "/thing", Answer(act="cut"), Answer(status))
    with pytest.raises(UnknownFateError, match="conflicted"):
        await session.rest.request("PUT", URL, json={})
    assert len(server.calls("PUT")) == 2


async def test_a_cancelled_request_is_cancelled_and_leaves_the_session_usable(server: Server, session: Session) -> None:
    arrived = asyncio.Event()

    def hang(_seen: Seen) -> Answer:
        arrived.set()
        return Answer(act="hang")

    server.on("GET", "/thing", hang)
    server.on("GET", "/other", OK)
    waiting = asyncio.create_task(session.rest.request("GET", URL))
    await arrived.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(server.calls("GET", "/thing")) == 1
    assert (await session.rest.request("GET", f"/subscriptions/{SUB}/other")).status == 200


async def test_a_refused_connection_is_tried_again_for_any_method(server: Server, session: Session) -> None:
    await session.rest.request("GET", "/subscriptions", allow={404})  # a token is there
    await server.stop()
    with pytest.raises(UnreachableError, match="connection refused"):
        await session.rest.request("POST", URL, json={})
    assert session.counters.calls["write"] == 5


async def test_retry_after_is_respected(server: Server, session: Session, clock: FakeClock) -> None:
    date = format_datetime(datetime(2026, 11, 23, 7, 30, 30, tzinfo=UTC), usegmt=True)
    server.on(
        "GET",
        "/thing",
        Answer(429, headers={"Retry-After": "17"}),
        Answer(503, headers={"Retry-After": date}),
        Answer(429, headers={"x-ms-retry-after-ms": "2500"}),
        OK,
    )
    await session.rest.request("GET", URL)
    assert clock.slept == [17, 13, 2.5]


async def test_a_retry_after_beyond_the_budget_fails_at_once(
    server: Server, session: Session, clock: FakeClock
) -> None:
    server.on("GET", "/thing", Answer(429, headers={"Retry-After": "3600"}))
    with pytest.raises(ThrottledError, match="3600 s") as caught:
        await session.rest.request("GET", URL)
    assert len(server.calls("GET")) == 1
    assert clock.slept == []
    assert caught.value.status == 429


async def test_waits_add_up_to_no_more_than_the_budget(server: Server, session: Session, clock: FakeClock) -> None:
    server.on("PUT", "/thing", Answer(429, headers={"Retry-After": "50"}))
    with pytest.raises(ThrottledError):
        await session.rest.request("PUT", URL, json={})
    assert clock.slept == [50, 50]
    assert len(server.calls("PUT")) == 3


async def test_arms_own_429_closes_its_bucket_for_the_others_too(
    server: Server, session: Session, clock: FakeClock
) -> None:
    body = {"error": {"code": "SubscriptionRequestsThrottled", "message": "too many"}}
    server.on("GET", "/thing", Answer(429, json=body, headers={"Retry-After": "3600"}))
    server.on("GET", "/other", OK)
    with pytest.raises(ThrottledError):
        await session.rest.request("GET", URL)
    with pytest.raises(ThrottledError, match="not sent"):
        await session.rest.request("GET", f"/subscriptions/{SUB}/other")
    assert server.calls("GET", "other") == []
    await session.rest.request("GET", "/subscriptions/another/other")


async def test_a_providers_429_holds_only_its_own_request(server: Server, session: Session, clock: FakeClock) -> None:
    body = {"error": {"code": "OperationNotAllowed", "message": "compute is busy"}}
    server.on("GET", "/thing", Answer(429, json=body, headers={"Retry-After": "3600"}))
    server.on("GET", "/other", OK)
    with pytest.raises(ThrottledError):
        await session.rest.request("GET", URL)
    await session.rest.request("GET", f"/subscriptions/{SUB}/other")
    assert clock.at == 0


async def test_a_short_budget_applies_inside_its_block_only(server: Server, session: Session) -> None:
    server.on("GET", "/thing", Answer(503))
    with session.budget(1, 5), pytest.raises(UnreachableError):
        await session.rest.request("GET", URL)
    assert len(server.calls("GET")) == 1
    with pytest.raises(UnreachableError):
        await session.rest.request("GET", URL)
    assert len(server.calls("GET")) == 6


async def test_each_task_has_its_own_budget(server: Server, session: Session) -> None:
    server.on("GET", "/thing", Answer(503))
    server.on("GET", "/other", Answer(503))

    async def short() -> None:
        with session.budget(2, 60), pytest.raises(UnreachableError):
            await session.rest.request("GET", URL)

    async def usual() -> None:
        with pytest.raises(UnreachableError):
            await session.rest.request("GET", f"/subscriptions/{SUB}/other")

    await asyncio.gather(short(), usual())
    assert len(server.calls("GET", "thing")) == 2
    assert len(server.calls("GET", "other")) == 5


@pytest.mark.parametrize("act", ["hang", "drip"])
async def test_a_silent_or_dripping_host_ends_with_the_budget(server: Server, session: Session, act: str) -> None:
    server.on("GET", "/thing", Answer(act=act, json={}))
    await session.rest.request("GET", "/subscriptions", allow={404})
    began = time.monotonic()
    with session.budget(1, 0.4), pytest.raises(UnreachableError, match="did not answer"):
        await session.rest.request("GET", URL)
    assert time.monotonic() - began > 0.3


async def test_a_silent_host_leaves_the_fate_of_a_write_open(server: Server, session: Session) -> None:
    server.on("POST", "/thing", Answer(act="hang"))
    await session.rest.request("GET", "/subscriptions", allow={404})
    with session.budget(3, 0.3), pytest.raises(UnknownFateError):
        await session.rest.request("POST", URL, json={})
    assert len(server.calls("POST")) == 1


async def test_the_read_timeout_is_the_sessions(server: Server, clock: FakeClock) -> None:
    server.on("GET", "/thing", Answer(act="hang"))
    small = Budget(2, 60)
    async with Session(cloud_of(server), clock=clock, guard=lambda _o: None, read_timeout=0.2, budget=small) as session:
        with pytest.raises(UnreachableError, match="did not answer"):
            await session.rest.request("GET", URL)
    assert len(server.calls("GET")) == 2


async def test_polls_and_further_pages_are_retried_too(server: Server, session: Session) -> None:
    more = Answer(json={"value": [1], "nextLink": f"{server.url}/page2"})
    server.on("GET", "/thing", Answer(503), more)
    server.on("GET", "/page2", Answer(act="cut"), Answer(502), Answer(json={"value": [2]}))
    assert [item async for item in session.rest.pages(URL)] == [1, 2]
    assert len(server.calls("GET")) == 5


async def test_the_sdks_own_retries_are_off(server: Server, session: Session) -> None:
    server.on("GET", "resourcegroups/g$", Answer(503))
    with session.budget(1, 60), pytest.raises(UnreachableError):
        await session.resources.group(SUB, "g")
    assert len(server.calls("GET")) == 1


async def test_the_guard_is_asked_again_before_each_attempt(server: Server, clock: FakeClock) -> None:
    held = True

    def guard(outgoing: Outgoing) -> None:
        if outgoing.method == "PUT" and not held:
            raise GuardError("the lease is lost")

    class Losing(FakeClock):
        async def sleep(self, seconds: float) -> None:
            nonlocal held
            held = False
            await super().sleep(seconds)

    server.on("PUT", "/thing", Answer(503))
    async with Session(cloud_of(server), clock=Losing(), guard=guard) as session:
        with pytest.raises(GuardError, match="lease"):
            await session.rest.request("PUT", URL, json={})
    assert len(server.calls("PUT")) == 1


async def test_a_repeat_that_the_guard_refuses_leaves_the_fate_of_the_first_attempt_unknown(server: Server) -> None:
    def guard(outgoing: Outgoing) -> None:
        if outgoing.method == "PUT" and server.calls("PUT"):
            raise GuardError("not again")

    server.on("PUT", "/thing", Answer(act="cut"))
    async with Session(cloud_of(server), clock=FakeClock(), guard=guard) as session:
        with pytest.raises(UnknownFateError) as caught:
            await session.rest.request("PUT", URL, json={})
    assert isinstance(caught.value.__cause__, GuardError)
    assert len(server.calls("PUT")) == 1


async def test_a_conflict_is_not_retried_whatever_it_asks(server: Server, session: Session) -> None:
    server.on("PUT", "/thing", Answer(409, json={"error": {"code": "AnotherOperationInProgress"}}))
    with pytest.raises(ConflictError) as caught:
        await session.rest.request("PUT", URL, json={})
    assert caught.value.code == "AnotherOperationInProgress"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": " 12 "}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"x-ms-retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "500"}, 0.5),
        ({"retry-after": "Mon, 23 Nov 2026 07:31:00 GMT"}, 60.0),
        ({"retry-after": "Mon, 23 Nov 2026 07:31:00 -0000"}, 60.0),
        ({"retry-after": "Mon, 23 Nov 2026 07:29:00 GMT"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], expected: Any) -> None:
    assert retry_after(headers, NOW) == expected
