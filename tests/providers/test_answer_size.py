"""Every answer is read up to a limit, compressed or not."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from typing import Any

import pytest

from drkit.errors import NoAuthorityError, UnknownFateError, UnreachableError
from drkit.providers import answer_size
from drkit.providers.blocking import BlockingTransport
from drkit.providers.session import Session
from tests.support.https_server import REGION_HOST, SUB, Answer, Server

URL = f"/subscriptions/{SUB}/thing"
LIMIT = 100_000


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_size, "MOST", LIMIT)


def deflated(content: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(content) + packing.flush()


def answers(size: int) -> dict[str, Answer]:
    content = b'{"value": "' + b" " * size + b'"}'
    return {
        "plain": Answer(body=content, headers={"Content-Type": "application/json"}),
        "gzip": Answer(
            body=gzip.compress(content), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"}
        ),
        "deflate": Answer(
            body=deflated(content), headers={"Content-Encoding": "deflate", "Content-Type": "application/json"}
        ),
        "GZIP": Answer(
            body=gzip.compress(content), headers={"Content-Encoding": " GZip ", "Content-Type": "application/json"}
        ),
        "an error": Answer(400, body=gzip.compress(content), headers={"Content-Encoding": "gzip"}),
    }


@pytest.mark.parametrize("how", list(answers(0)))
async def test_an_answer_that_is_too_long_is_not_read(server: Server, session: Session, how: str) -> None:
    server.on("GET", "/", answers(LIMIT * 10)[how])
    for url, options in (
        (URL, {}),
        (f"https://{REGION_HOST}/x", {"token": "t"}),
        (f"https://{REGION_HOST}/x", {"anonymous": True}),
    ):
        asked: Any = options
        with pytest.raises(UnreachableError, match="the answer is longer than 100000 bytes"):
            await session.rest.request("GET", url, **asked)
    assert len(server.calls("GET", "/")) == 3, "to ask again makes it no shorter"


@pytest.mark.parametrize("how", ["plain", "gzip", "deflate"])
async def test_an_answer_within_the_limit_is_read(server: Server, session: Session, how: str) -> None:
    server.on("GET", "/", answers(LIMIT - 100)[how])
    assert (await session.rest.request("GET", URL)).body == {"value": " " * (LIMIT - 100)}


async def test_an_answer_that_is_too_long_leaves_a_write_with_an_unknown_fate(server: Server, session: Session) -> None:
    server.on("POST", "/thing", answers(LIMIT * 10)["gzip"])
    with pytest.raises(UnknownFateError, match="longer than"):
        await session.rest.request("POST", URL, json={})


@pytest.mark.parametrize("how", ["plain", "gzip"])
async def test_an_authority_that_answers_too_much_gives_no_token(server: Server, session: Session, how: str) -> None:
    server.on("POST", "oauth2/v2.0/token$", answers(LIMIT * 10)[how])
    with pytest.raises(NoAuthorityError, match="longer than"):
        await session.rest.request("GET", URL)


@pytest.mark.parametrize(
    ("how", "error"),
    [("plain", answer_size.TooLongError), ("gzip", answer_size.PackedError), ("an error", answer_size.PackedError)],
)
async def test_the_blocking_client_has_the_same_limit(server: Server, how: str, error: type[Exception]) -> None:
    """The store and the credential it signs in with. It asks for plain answers, so that a packed one is none."""
    from azure.core.rest import HttpRequest

    server.on("GET", "/", answers(LIMIT * 10)[how])
    with BlockingTransport(str(server.ca)) as sending:

        def ask(*, stream: bool) -> bytes:
            answer = sending.send(HttpRequest("GET", f"{server.url}/x"), stream=stream)
            return b"".join(answer.iter_raw()) if stream else bytes(answer.read())

        for stream in (False, True):
            with pytest.raises(error):
                await asyncio.to_thread(ask, stream=stream)
        server.on("GET", "/", answers(10)["plain"])
        for stream in (False, True):
            assert await asyncio.to_thread(ask, stream=stream) == answers(10)["plain"].body


def test_a_compression_bomb_is_unpacked_in_small_parts() -> None:
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    bomb = b"".join(packing.compress(bytes(2**20)) for _ in range(300)) + packing.flush()
    assert len(bomb) < 400_000
    tracemalloc.start()
    try:
        with pytest.raises(answer_size.TooLongError, match="when it is unpacked"):
            answer_size.check_unpacked(bomb, "gzip", 128 * 2**20)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
