"""No answer can make drkit wait or read without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from drkit.errors import CredentialError, ThrottledError, UnreachableError
from drkit.model.estate import Host
from drkit.model.settings import Settings
from drkit.products import reading_posts, scripts
from drkit.providers import auth, blocking, transport
from drkit.providers.pages import EMPTY, MOST, Pages
from drkit.providers.redact import Redactor
from drkit.providers.retry import retry_after
from drkit.providers.session import Session
from drkit.survey import probe
from tests.support.https_server import SUB, Answer, FakeClock, Seen, Server, cloud_of, reading
from tests.support.patience import PATIENCE

GRAPH = "/providers/Microsoft.ResourceGraph/resources$"
VM = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
MACHINE = Host(id=VM, kind="azure-vm", name="vm", region="westeurope", os="linux", channel="run-command")


@pytest.fixture
async def prober(server: Server, clock: FakeClock) -> AsyncIterator[Session]:
    async with Session(
        cloud_of(server), clock=clock, guard=reading(*scripts().reading()), reads=reading_posts()
    ) as opened:
        yield opened


@pytest.mark.parametrize("asked", ["1000000000", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_probe_ends_with_its_own_limit(server: Server, prober: Session, clock: FakeClock, asked: str) -> None:
    running = {"Retry-After": asked, "Location": f"{server.url}/operations/1?api-version=1"}
    server.on("POST", "/runCommand$", Answer(202, headers=running))
    server.on("GET", "/operations/1", Answer(202, headers=running))
    results = await probe.run(prober, [MACHINE], {}, Settings(), clock)
    assert results[MACHINE.key].state == "down"
    assert clock.at <= Settings().assess.probe_timeout_seconds + probe.POLL_SECONDS


@pytest.mark.parametrize("resets", ["99999:00:00", "9" * 30 + ":00:00", "9" * 5000 + ":00:00"])
async def test_a_wait_for_resource_graphs_quota_is_limited_by_the_budget(
    server: Server, reader: Session, clock: FakeClock, resets: str
) -> None:
    headers = {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": resets}
    server.on("POST", GRAPH, Answer(json={"data": []}, headers=headers))
    await reader.graph.query("resources", [SUB])
    if resets.startswith("99999:"):
        with pytest.raises(ThrottledError, match="quota"):
            await reader.graph.query("resources", [SUB])
    else:
        await reader.graph.query("resources", [SUB])
    assert clock.at <= 120


def _always(page: Callable[[int], Any]) -> Callable[[Seen], Answer]:
    numbers = count()
    return lambda _seen: Answer(json=page(next(numbers)))


@pytest.mark.parametrize("rows", [[{"id": "1"}], []], ids=["the-same-rows", "no-rows"])
async def test_an_endless_chain_of_skip_tokens_is_given_up(server: Server, reader: Session, rows: list[Any]) -> None:
    server.on("POST", GRAPH, _always(lambda number: {"data": rows, "$skipToken": f"t{number}"}))
    with pytest.raises(UnreachableError, match=r"repeat|empty"):
        await asyncio.wait_for(reader.graph.query("resources", [SUB]), PATIENCE)
    assert len(server.calls("POST", GRAPH)) <= EMPTY + 1


@pytest.mark.parametrize("rows", [[{"id": "1"}], []], ids=["the-same-items", "no-items"])
async def test_an_endless_chain_of_next_links_is_given_up(server: Server, reader: Session, rows: list[Any]) -> None:
    link = f"{server.url}/subscriptions/{SUB}/things?page="
    server.on("GET", "/things$", _always(lambda number: {"value": rows, "nextLink": f"{link}{number}"}))
    with pytest.raises(UnreachableError, match=r"repeat|empty"):
        _ = [item async for item in reader.rest.pages(f"/subscriptions/{SUB}/things")]
    assert len(server.calls("GET", "/things$")) <= EMPTY + 1


async def test_an_endless_list_of_machines_is_given_up(server: Server, reader: Session) -> None:
    path = f"/subscriptions/{SUB}/providers/Microsoft.Compute/virtualMachines"
    link = f"{server.url}{path}?page="
    server.on(
        "GET", "/virtualMachines$", _always(lambda number: {"value": [{"id": "1"}], "nextLink": f"{link}{number}"})
    )
    with pytest.raises(UnreachableError, match="repeat"):
        await reader.compute.vms(SUB)


def test_endless_pages_that_all_differ_are_given_up() -> None:
    pages = Pages("/list")
    for number in range(MOST - 1):
        pages.turn([number], str(number))
    with pytest.raises(UnreachableError, match=f"{MOST}"):
        pages.turn([MOST], str(MOST))


def test_a_page_may_be_empty_now_and_then() -> None:
    pages = Pages("/list")
    for number in range(EMPTY * 3):
        pages.turn([number] if number % 2 else [], str(number))


@pytest.mark.parametrize(
    "value", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 99 Foo 2026", "nan", "-1", "1e999", "١"]
)
def test_an_unreadable_retry_after_is_ignored(value: str) -> None:
    assert retry_after({"retry-after": value}, datetime(2026, 11, 23, tzinfo=UTC)) in (None, 1.0)


async def test_a_credential_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def get_token(self, *_scopes: str, **_options: Any) -> None:
            await asyncio.Event().wait()

        async def close(self) -> None:
            return None

    monkeypatch.setattr(auth, "TOKEN_TIMEOUT", 0.05)
    tokens = auth.ArmTokens("auto", "https://login.example", "scope", Silent, Redactor([]))
    with pytest.raises(CredentialError, match="within"):
        await tokens.get()


@pytest.mark.parametrize("given", [7, None, "", "a\nb", ["x"]])
async def test_an_answer_without_a_usable_token_is_an_error(given: Any) -> None:
    class Odd:
        async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            return AccessToken(given, 10**10)

        async def close(self) -> None:
            return None

    with pytest.raises(CredentialError, match="no token"):
        await auth.ArmTokens("auto", "https://login.example", "scope", Odd, Redactor([])).get()


@pytest.mark.parametrize("status", [429, 503])
async def test_an_authority_that_asks_to_wait_for_years_is_given_up(
    server: Server, reader: Session, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(transport, "LONGEST_NAP", 0.01)
    server.on("POST", "/oauth2/v2.0/token$", Answer(status, json={"error": "x"}, headers={"Retry-After": "1000000000"}))
    with pytest.raises(CredentialError, match="no token"):
        await asyncio.wait_for(reader.rest.request("GET", f"/subscriptions/{SUB}"), PATIENCE)


def test_a_blocking_client_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    blocking.BlockingTransport().sleep(1e9)
    assert slept == [transport.LONGEST_NAP]
