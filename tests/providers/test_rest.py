"""Redirects, pages, long-running operations of both styles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from drkit.errors import CloudError, ConflictError, ForbiddenError, GuardError, NotFoundError, UnreachableError
from drkit.model.operation import Operation, PollResult
from drkit.providers import long_running
from drkit.providers.rest import with_query
from drkit.providers.session import Session
from tests.support.https_server import GLOBAL_HOST, REGION_HOST, SUB, Answer, FakeClock, Server, cloud_of, reading

URL = f"/subscriptions/{SUB}/thing"
THERE = f"https://{REGION_HOST}/api/v1/environments"
TOKEN = "plan-access-token-1"


def redirect(status: int = 307, to: str = THERE) -> Answer:
    return Answer(status, headers={"Location": to})


# Requests


async def test_a_request_and_its_answer(server: Server, session: Session) -> None:
    server.on("PUT", "/thing", Answer(201, json={"a": 1}, headers={"X-Served-By": "me"}))
    answer = await session.rest.request(
        "put", URL, params={"api-version": "2020-06-16"}, json={"b": 2}, headers={"If-Match": "*"}
    )
    assert (answer.status, answer.headers["x-served-by"], answer.body) == (201, "me", {"a": 1})
    seen = server.calls("PUT")[0]
    assert seen.query == {"api-version": "2020-06-16"}
    assert seen.headers["if-match"] == "*"
    assert seen.headers["user-agent"].startswith("drkit/")
    assert seen.headers["x-ms-client-request-id"]


async def test_parameters_arrive_as_they_were(server: Server, session: Session) -> None:
    server.on("GET", "/weu/api", Answer(json=[]))
    odd = {"planId": "/subscriptions/s/a b&c=d+e%2F#", "name": "ä=1"}
    await session.rest.request("GET", f"https://{REGION_HOST}/api?x=1", params=odd, token=TOKEN)
    assert server.calls("GET")[0].query == {"x": "1", **odd}


def test_a_query_is_added_to_what_is_there() -> None:
    assert with_query("https://a/b", None) == "https://a/b"
    assert with_query("https://a/b?c=1", {"$filter": "x eq 'y'"}) == "https://a/b?c=1&$filter=x%20eq%20%27y%27"


async def test_allowed_statuses_come_back(server: Server, session: Session) -> None:
    server.on("GET", "/weu/health", Answer(404, json={"title": "no"}))
    answer = await session.rest.request("GET", f"https://{REGION_HOST}/health", anonymous=True, allow={404})
    assert (answer.status, answer.body) == (404, {"title": "no"})


async def test_a_health_page_may_be_plain_text(server: Server, session: Session) -> None:
    server.on("GET", "/weu/health", Answer(200, body=b"Healthy", headers={"Content-Type": "text/plain"}))
    answer = await session.rest.request("GET", f"https://{REGION_HOST}/health", anonymous=True)
    assert answer.body == "Healthy"
    server.on("GET", "/weu/health", Answer(200, body=b"<p>Healthy", headers={"Content-Type": "text/html"}))
    with pytest.raises(UnreachableError):
        await session.rest.request("GET", f"https://{REGION_HOST}/health", anonymous=True)
    answer = await session.rest.request("GET", f"https://{REGION_HOST}/health", anonymous=True, plain=True)
    assert answer.body == "<p>Healthy"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (409, b"2", ConflictError, "2"),
        (403, b"[1]", ForbiddenError, "1"),
        (400, b'"EnvironmentNameAlreadyExists"', CloudError, "EnvironmentNameAlreadyExists"),
        (400, b'{"type":"x","title":"Bad","status":400,"detail":"why"}', CloudError, "Bad"),
        (400, b'{"code":12,"message":"why"}', CloudError, "12"),
        (400, b'{"error":"invalid","error_description":"why"}', CloudError, "invalid"),
        (400, b"{}", CloudError, ""),
        (400, b"true", CloudError, ""),
        (400, b"[]", CloudError, ""),
        (400, b"\xff\xfe", CloudError, ""),
    ],
)
async def test_refusals_of_a_service_in_all_their_shapes(
    server: Server, session: Session, status: int, body: bytes, kind: type[CloudError], code: str
) -> None:
    server.on("POST", "/weu/api", Answer(status, body=body))
    with pytest.raises(kind) as caught:
        await session.rest.request("POST", THERE, json={}, token=TOKEN)
    assert (caught.value.status, caught.value.code) == (status, code)


# Redirects


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_redirect_keeps_method_body_and_token_for_a_trusted_host(
    server: Server, session: Session, method: str, status: int
) -> None:
    server.on("*", "^/global/", redirect(status))
    server.on("*", "^/weu/", Answer(200, json={"id": "e"}))
    url = f"https://{GLOBAL_HOST}/api/v1/environments"
    body = None if method == "GET" else {"friendlyName": "x"}
    answer = await session.rest.request(method, url, json=body, token=TOKEN, trusted_hosts=[REGION_HOST.upper()])
    assert answer.body == {"id": "e"}
    first, second = server.seen
    assert (second.method, second.body, second.token) == (method, first.body, TOKEN)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("https://westus2.online.visualstudio.com/api", "not a host of that service"),
        (f"https://{REGION_HOST}:8443/api", "not a host of that service"),
        (f"https://{REGION_HOST}.evil.example/api", "not a host of that service"),
        (f"http://{REGION_HOST}/api", "not plain https"),
        (f"https://user@{REGION_HOST}/api", "not plain https"),
        ("ftp://x/api", "not plain https"),
        ("", "without saying where to"),
    ],
)
async def test_a_token_is_sent_nowhere_else(server: Server, session: Session, to: str, why: str) -> None:
    server.on("*", "^/global/", redirect(307, to))
    with pytest.raises(UnreachableError, match=why) as caught:
        await session.rest.request(
            "GET", f"https://{GLOBAL_HOST}/api?planId=p", token=TOKEN, trusted_hosts=[REGION_HOST]
        )
    assert len(server.seen) == 1
    assert caught.value.where == f"https://{GLOBAL_HOST}/api"
    assert TOKEN not in str(caught.value)


async def test_arms_token_follows_no_redirect_elsewhere(server: Server, session: Session) -> None:
    server.on("GET", "/thing", redirect())
    with pytest.raises(UnreachableError, match="not a host of that service"):
        await session.rest.request("GET", URL)


async def test_a_read_without_a_token_follows_a_redirect(server: Server, session: Session) -> None:
    server.on("GET", "^/global/", redirect(302))
    server.on("GET", "^/weu/", Answer(json=[]))
    answer = await session.rest.request(
        "GET", f"https://{GLOBAL_HOST}/api", anonymous=True, trusted_hosts=[REGION_HOST]
    )
    assert answer.body == []


async def test_a_request_without_a_token_follows_no_redirect_elsewhere(server: Server, session: Session) -> None:
    server.on("GET", "^/global/", redirect(302))
    with pytest.raises(UnreachableError, match="not a host of that service"):
        await session.rest.request("GET", f"https://{GLOBAL_HOST}/api", anonymous=True)
    assert len(server.seen) == 1


@pytest.mark.parametrize("link", ["https://[", "https://x:99999/a", "https://x:port/a", "https://[::1", "//[/"])
async def test_an_invalid_url_in_an_answer_is_an_error(server: Server, session: Session, link: str) -> None:
    server.on("GET", "/thing$", Answer(json={"value": [], "nextLink": link}))
    with pytest.raises(UnreachableError, match="not a URL"):
        _ = [item async for item in session.rest.pages(URL)]
    server.on("GET", "/thing$", redirect(307, link))
    with pytest.raises(UnreachableError, match="not a URL"):
        await session.rest.request("GET", URL)
    server.on("PUT", "/thing$", Answer(202, headers={"Location": link}))
    with pytest.raises(UnreachableError, match="not a URL"):
        await session.rest.start("PUT", URL, json={})


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_write_follows_only_redirects_that_keep_it(server: Server, session: Session, status: int) -> None:
    server.on("POST", "^/global/", redirect(status))
    with pytest.raises(UnreachableError, match="does not keep a POST"):
        await session.rest.request(
            "POST", f"https://{GLOBAL_HOST}/api", json={}, token=TOKEN, trusted_hosts=[REGION_HOST]
        )
    assert len(server.seen) == 1


async def test_a_circle_of_redirects_ends(server: Server, session: Session) -> None:
    server.on("GET", "^/global/", redirect(307, f"https://{GLOBAL_HOST}/api"))
    with pytest.raises(UnreachableError, match="more than 5 times"):
        await session.rest.request("GET", f"https://{GLOBAL_HOST}/api", token=TOKEN)
    assert len(server.seen) == 6


async def test_a_redirect_to_a_stand_ins_own_address_is_read_as_public(server: Server, session: Session) -> None:
    server.on("GET", "^/global/", redirect(307, f"{server.url}/weu/api"))
    server.on("GET", "^/weu/", Answer(json=[]))
    await session.rest.request("GET", f"https://{GLOBAL_HOST}/api", token=TOKEN, trusted_hosts=[REGION_HOST])
    assert server.seen[-1].path == "/weu/api"


async def test_the_guard_sees_where_a_redirect_leads(server: Server, clock: FakeClock) -> None:
    seen: list[str] = []
    server.on("POST", "^/global/", redirect())
    server.on("POST", "^/weu/", Answer(201, json={}))
    async with Session(cloud_of(server), clock=clock, guard=lambda outgoing: seen.append(outgoing.url)) as session:
        url = f"https://{GLOBAL_HOST}/api/v1/environments"
        await session.rest.request("POST", url, json={}, token=TOKEN, trusted_hosts=[REGION_HOST])
    assert set(seen) == {url, THERE}


# Pages


async def test_pages_are_followed_to_the_end(server: Server, session: Session) -> None:
    server.on("GET", "/thing", Answer(json={"value": [1, 2], "nextLink": f"{server.url}/p2?$skiptoken=a%2Bb"}))
    server.on("GET", "/p2", Answer(json={"value": [], "nextLink": "/p3"}))
    server.on("GET", "/p3", Answer(json={"value": [3], "nextLink": None}))
    assert [item async for item in session.rest.pages(URL, {"api-version": "1"})] == [1, 2, 3]
    assert server.calls("GET", "/p2")[0].query == {"$skiptoken": "a+b"}


async def test_a_next_link_that_repeats_ends_the_list(server: Server, session: Session) -> None:
    server.on("GET", "/thing", Answer(json={"value": [1], "nextLink": f"{server.url}/p2"}))
    server.on("GET", "/p2", Answer(json={"value": [2], "nextLink": f"{server.url}/p2"}))
    got: list[Any] = []

    async def read() -> None:
        async for item in session.rest.pages(URL):
            got.append(item)

    with pytest.raises(UnreachableError, match="circle"):
        await read()
    assert got == [1, 2]


@pytest.mark.parametrize("body", [[], {"items": []}, {"value": {}}, None])
async def test_an_answer_that_is_not_a_list_is_an_error(server: Server, session: Session, body: Any) -> None:
    server.on("GET", "/thing", Answer(json=body))
    with pytest.raises(UnreachableError, match="not a list"):
        [item async for item in session.rest.pages(URL)]


# Long-running operations


def operation(
    server: Server, style: Any = "azure-async-operation", method: str = "PUT", path: str = "/op"
) -> Operation:
    return Operation(method=method, url=f"{server.url}{path}?sig=sEcReT1", style=style)


async def test_azure_async_operation_from_start_to_end(server: Server, session: Session) -> None:
    headers = {"Azure-AsyncOperation": f"{server.url}/op?sig=1", "Location": f"{server.url}/l", "Retry-After": "9"}
    server.on("PUT", "/thing", Answer(201, json={"properties": {"provisioningState": "Accepted"}}, headers=headers))
    begun = await session.rest.start("PUT", URL, {"location": "eastus"}, params={"api-version": "1"})
    assert begun == Operation(
        method="PUT",
        url=f"{server.url}/op?sig=1",
        style="azure-async-operation",
        retry_after=9,
        since="2026-11-23T07:30:00Z",
    )
    server.on(
        "GET",
        "/op",
        Answer(202, json={"status": "Running"}, headers={"Retry-After": "3"}),
        Answer(200, json={"status": "Updating"}),
        Answer(200, json={"status": "Succeeded", "properties": {"output": {"x": 1}}}),
    )
    polls = [await session.rest.poll(begun) for _ in range(3)]
    assert [poll.state for poll in polls] == ["running", "running", "succeeded"]
    assert [poll.retry_after for poll in polls[:2]] == [3, 5]
    assert polls[2].body == {"x": 1}


async def test_location_from_start_to_end(server: Server, session: Session) -> None:
    server.on("DELETE", "/thing", Answer(202, headers={"Location": "/l?sig=1"}))
    begun = await session.rest.start("DELETE", URL)
    assert (begun.style, begun.url) == ("location", f"{server.url}/l?sig=1")
    server.on("GET", "/l$", Answer(202, headers={"Retry-After": "2"}), Answer(204))
    assert (await session.rest.poll(begun)) == PollResult("running", retry_after=2)
    assert (await session.rest.poll(begun)).state == "succeeded"


async def test_an_operation_is_resumed_by_another_session(server: Server, clock: FakeClock) -> None:
    server.on("PUT", "/thing", Answer(202, headers={"Azure-AsyncOperation": f"{server.url}/op"}))
    async with Session(cloud_of(server), clock=clock, guard=lambda _o: None) as first:
        begun = await first.rest.start("PUT", URL, {})
    stored = msgspec.json.decode(msgspec.json.encode(begun), type=Operation)
    server.on("GET", "/op", Answer(json={"status": "InProgress"}), Answer(json={"status": "Succeeded"}))
    async with Session(cloud_of(server), clock=clock, guard=reading()) as second:
        assert (await second.rest.poll(stored)).state == "running"
        assert (await second.rest.poll(stored)).state == "succeeded"
    assert len(server.calls("PUT")) == 1


async def test_an_answer_that_ends_it_is_the_body(server: Server, session: Session) -> None:
    server.on("PUT", "/thing", Answer(200, json={"id": "x", "properties": {}}))
    server.on("DELETE", "/thing", Answer(204))
    assert await session.rest.start("PUT", URL, {}) == {"id": "x", "properties": {}}
    assert await session.rest.start("DELETE", URL) is None


async def test_a_failed_operation_is_a_result_and_not_an_error(server: Server, session: Session) -> None:
    failed = {"status": "Failed", "error": {"code": "SkuNotAvailable", "message": "no; Bearer abcdefghijk"}}
    server.on("GET", "/op", Answer(200, json=failed), Answer(200, json={"status": "Canceled"}))
    progress = await session.rest.poll(operation(server))
    assert (progress.state, progress.code) == ("failed", "SkuNotAvailable")
    assert "abcdefghijk" not in progress.message
    assert (await session.rest.poll(operation(server))).code == "Canceled"
    server.on("GET", "/l$", Answer(409, json={"error": {"code": "Conflict", "message": "busy"}}))
    progress = await session.rest.poll(operation(server, "location", path="/l"))
    assert (progress.state, progress.code, progress.message) == ("failed", "Conflict", "busy")


@pytest.mark.parametrize("style", ["azure-async-operation", "location"])
@pytest.mark.parametrize(("status", "kind"), [(403, ForbiddenError), (404, NotFoundError), (500, UnreachableError)])
async def test_a_failed_poll_says_nothing_about_the_operation(
    server: Server, session: Session, style: str, status: int, kind: type[CloudError]
) -> None:
    server.on("GET", "/op", Answer(status, json={"error": {"code": "ResourceNotFound", "message": "m"}}))
    with session.budget(1, 5), pytest.raises(kind) as caught:
        await session.rest.poll(operation(server, style))
    assert "sEcReT1" not in str(caught.value)


async def test_a_delete_without_operation_headers_is_polled_at_the_resource(server: Server, session: Session) -> None:
    server.on("DELETE", "/thing", Answer(202))
    begun = await session.rest.start("DELETE", URL, params={"api-version": "1"})
    assert (begun.style, begun.url) == ("none", f"{server.url}{URL}?api-version=1")
    gone = Answer(404, json={"error": {"code": "ResourceNotFound"}})
    server.on("GET", "/thing", Answer(json={"id": "x"}), gone)
    assert (await session.rest.poll(begun)).state == "running"
    assert (await session.rest.poll(begun)).state == "succeeded"
    server.on("GET", "/thing", Answer(404))
    with pytest.raises(CloudError):
        await session.rest.poll(begun)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("Creating", "running"), ("Succeeded", "succeeded"), ("Failed", "failed"), ("", "succeeded")],
)
async def test_a_put_without_operation_headers_is_polled_at_the_resource(
    server: Server, session: Session, state: str, expected: str
) -> None:
    server.on("PUT", "/thing", Answer(201, json={"properties": {"provisioningState": "Creating"}}))
    begun = await session.rest.start("PUT", URL, {}, params={"api-version": "1"})
    assert (begun.style, begun.method) == ("none", "PUT")
    server.on("GET", "/thing", Answer(json={"properties": {"provisioningState": state}}))
    assert (await session.rest.poll(begun)).state == expected


async def test_a_services_operation_is_polled_with_its_own_token(server: Server, session: Session) -> None:
    server.on("GET", "^/weu/op", Answer(200, json={"status": "Succeeded"}))
    begun = Operation(method="POST", url=f"https://{REGION_HOST}/op", style="azure-async-operation")
    assert (await session.rest.poll(begun, token=TOKEN, trusted_hosts=[REGION_HOST])).state == "succeeded"
    assert server.seen[-1].token == TOKEN


HEADERS = {"azure-asyncoperation": "https://a/op", "location": "https://a/l"}


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "style", "url"),
    [
        ("PUT", 201, HEADERS, {}, "azure-async-operation", "https://a/op"),
        ("PUT", 200, HEADERS, {}, "azure-async-operation", "https://a/op"),
        ("DELETE", 202, HEADERS, None, "azure-async-operation", "https://a/op"),
        ("POST", 202, HEADERS, None, "location", "https://a/l"),
        ("POST", 202, {"azure-asyncoperation": "https://a/op"}, None, "azure-async-operation", "https://a/op"),
        ("PUT", 202, {"location": "https://a/l"}, None, "location", "https://a/l"),
        ("PUT", 201, {"location": "https://a/l"}, {}, "location", "https://a/l"),
        ("POST", 201, {"location": "https://a/l"}, {"id": 1}, None, ""),
        ("PUT", 200, {"location": "https://a/l"}, {}, None, ""),
        ("PUT", 200, {}, {"properties": {"provisioningState": "Succeeded"}}, None, ""),
        ("PUT", 200, {}, {"properties": {"provisioningState": "Updating"}}, "none", "https://a/r"),
        ("PUT", 200, {}, {"properties": None}, None, ""),
        ("DELETE", 204, {}, None, None, ""),
    ],
)
def test_what_an_answer_starts(
    method: str, status: int, headers: dict[str, str], body: Any, style: str | None, url: str
) -> None:
    begun = long_running.started(method, "https://a/r", status, headers, body, None, FakeClock().now())
    assert (begun.style, begun.url) == (style, url) if begun else style is None


@pytest.mark.parametrize("body", [None, [], "x", {}, {"status": None}, {"status": "Sideways"}])
def test_a_status_document_that_says_nothing_is_still_running(body: Any) -> None:
    assert long_running.status_document(body, None).state == "running"


def test_a_location_that_leads_to_an_unfinished_resource_is_still_running() -> None:
    assert long_running.location(200, {"properties": {"provisioningState": "Creating"}}, 3) == PollResult(
        "running", retry_after=3
    )
    assert long_running.location(200, {"properties": {"provisioningState": "Succeeded"}}, 3).state == "succeeded"
    assert long_running.location(400, None, None).code == "HTTP 400"


# A product's token stays with the hosts it was issued for

FOREIGN = "foreign.example"


@pytest.fixture
async def wide(server: Server, clock: FakeClock) -> AsyncIterator[Session]:
    """A session that reaches a foreign host, too."""
    services = {
        GLOBAL_HOST: f"{server.url}/global", REGION_HOST: f"{server.url}/weu", FOREIGN: f"{server.url}/foreign",
    }  # fmt: skip
    async with Session(cloud_of(server, services=services), clock=clock, guard=reading()) as session:
        yield session


NEXT = [
    f"https://{FOREIGN}/more",
    f"http://{REGION_HOST}/more",
    f"https://{REGION_HOST}:8443/more",
    f"https://x@{REGION_HOST}/more",
]


@pytest.mark.parametrize("link", ["nextLink", "@odata.nextLink"])
@pytest.mark.parametrize("to", NEXT)
@pytest.mark.parametrize("anonymous", [False, True], ids=["its token", "none"])
async def test_a_page_elsewhere_is_not_followed(
    server: Server, wide: Session, link: str, to: str, anonymous: bool
) -> None:
    server.on("GET", "/weu/list", Answer(json={"value": [1], link: to}))
    options: dict[str, Any] = {"anonymous": True} if anonymous else {"token": TOKEN}
    got = []
    pages = wide.rest.pages(f"https://{REGION_HOST}/list", trusted_hosts=[GLOBAL_HOST], **options)
    got.append(await anext(pages))
    with pytest.raises(UnreachableError, match="not a host of that service"):
        await anext(pages)
    assert got == [1]
    assert [call.path for call in server.calls()] == ["/weu/list"]


async def test_a_page_of_a_named_host_is_followed(server: Server, wide: Session) -> None:
    server.on("GET", "/weu/list", Answer(json={"value": [1], "nextLink": f"https://{GLOBAL_HOST}/more"}))
    server.on("GET", "/global/more", Answer(json={"value": [2]}))
    pages = wide.rest.pages(f"https://{REGION_HOST}/list", token=TOKEN, trusted_hosts=[GLOBAL_HOST])
    assert [item async for item in pages] == [1, 2]
    assert {call.token for call in server.calls()} == {TOKEN}


@pytest.mark.parametrize("style", ["azure-async-operation", "location", "none"])
@pytest.mark.parametrize("to", [*NEXT, f"https://{REGION_HOST}/operation"])
async def test_an_operation_is_polled_with_a_products_token_at_hosts_that_the_caller_names(
    server: Server, wide: Session, style: Any, to: str
) -> None:
    """Its address came from an answer, or from a journal: it names no host by itself."""
    with pytest.raises(GuardError, match="token may not be sent to"):
        await wide.rest.poll(Operation(method="PUT", url=to, style=style), token=TOKEN, trusted_hosts=[GLOBAL_HOST])
    assert server.seen == []


async def test_an_operation_of_a_named_host_is_polled(server: Server, wide: Session) -> None:
    server.on("GET", "/weu/operation", Answer(json={"status": "Succeeded"}))
    operation = Operation(method="PUT", url=f"https://{REGION_HOST}/operation", style="azure-async-operation")
    assert (await wide.rest.poll(operation, token=TOKEN, trusted_hosts=[REGION_HOST])).state == "succeeded"
    assert [call.token for call in server.calls()] == [TOKEN]


async def test_a_token_goes_over_https_only(server: Server, wide: Session) -> None:
    with pytest.raises(GuardError, match="plain https"):
        await wide.rest.request("GET", f"http://{REGION_HOST}/x", token=TOKEN)
    assert server.seen == []
