"""The guard before any socket, counts, the mapping to loopback."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from drkit.errors import (
    GuardError,
    UnreachableError,
)
from drkit.model.cloud import public
from drkit.providers.guard import Outgoing
from drkit.providers.session import Session
from drkit.providers.transport import Routes, require_loopback
from tests.support.https_server import (
    GLOBAL_HOST,
    REGION_HOST,
    SUB,
    Answer,
    FakeClock,
    Server,
    anything,
    cloud_of,
)

OK = Answer(json={"fine": True})
URL = f"/subscriptions/{SUB}/thing"


# Guard and counts


async def test_a_refused_request_opens_no_socket_and_requests_no_token(server: Server, reader: Session) -> None:
    with pytest.raises(GuardError, match="only reads") as caught:
        await reader.resources.create_group(SUB, "g", "eastus", {})
    assert caught.value.where == f"{server.url}/subscriptions/{SUB}/resourcegroups/g"
    assert "PUT" in caught.value.what
    with pytest.raises(GuardError):
        await reader.rest.request("DELETE", f"https://{GLOBAL_HOST}/api/v1/environments/1", token="t" * 12)
    assert server.seen == []
    assert reader.counters.snapshot()["calls"] == {"read": 0, "write": 0, "probe": 0, "token": 0}


async def test_the_guard_sees_public_urls(server: Server, clock: FakeClock) -> None:
    seen: list[Outgoing] = []
    server.on("POST", "/weu/api/v1/environments", Answer(201, json={}))
    async with Session(cloud_of(server), clock=clock, guard=seen.append) as session:
        await session.rest.request("POST", f"https://{REGION_HOST}/api/v1/environments", json={"a": 1}, token="t" * 12)
    assert {(request.method, request.url, request.purpose) for request in seen} == {
        ("POST", f"https://{REGION_HOST}/api/v1/environments", "write")
    }
    assert json.loads(seen[0].body or b"") == {"a": 1}


async def test_calls_are_counted_by_kind(server: Server, session: Session) -> None:
    server.on("*", "/thing", OK)
    for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
        await session.rest.request(method, URL, json={} if method != "GET" else None)
    counts = session.counters.snapshot()
    assert counts["calls"] == {"read": 2, "write": 3, "probe": 0, "token": 1}
    assert counts["by_subscription"] == {SUB: 5}
    assert counts["sent_bytes"] == 2 * 4
    assert counts["received_bytes"] == 4 * len('{"fine": true}')


# Mapping and loopback


def test_routes_there_and_back() -> None:
    routes = Routes(
        {"Online.example": "https://127.0.0.1:1/", "weu.online.example": "https://127.0.0.1:1/weu"},
        "https://127.0.0.1:2",
    )
    assert routes.translate("https://ONLINE.example/a?b=1") == "https://127.0.0.1:1/a?b=1"
    assert routes.translate("https://online.example") == "https://127.0.0.1:1/"
    assert routes.translate("https://weu.online.example/health") == "https://127.0.0.1:1/weu/health"
    assert routes.translate("https://other.example/a") == "https://other.example/a"
    assert routes.translate("http://online.example/a") == "http://online.example/a"
    assert routes.publish("https://127.0.0.1:1/weu/health") == "https://weu.online.example/health"
    assert routes.publish("https://127.0.0.1:1/weurope") == "https://online.example/weurope"
    assert routes.publish("https://127.0.0.1:2/op") == "https://127.0.0.1:2/op"
    assert routes.publish("https://127.0.0.1:11/x") == "https://127.0.0.1:11/x"


async def test_a_public_host_is_answered_by_its_stand_in_and_named_in_errors(server: Server, session: Session) -> None:
    server.on("GET", "^/weu/api/v1/locations$", Answer(json={"current": "WestEurope"}))
    answer = await session.rest.request("GET", f"https://{REGION_HOST}/api/v1/locations", anonymous=True)
    assert answer.body == {"current": "WestEurope"}
    assert "authorization" not in server.seen[-1].headers
    server.on("GET", "^/weu/gone", Answer(500))
    with session.budget(1, 5), pytest.raises(UnreachableError) as caught:
        await session.rest.request("GET", f"https://{REGION_HOST}/gone?planId=x", anonymous=True)
    assert caught.value.where == f"https://{REGION_HOST}/gone"
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "example.org", "169.254.169.254", "127.0.0.1.example.org", "[::2]", "0.0.0.0"]
)
def test_what_is_not_loopback(host: str) -> None:
    with pytest.raises(GuardError, match="only loopback"):
        require_loopback(f"https://{host}/x?secret=1", f"https://{host}/x?secret=1")


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.9.9.9", "[::1]:8", "localhost", "LOCALHOST:1"])
def test_what_is_loopback(host: str) -> None:
    require_loopback(f"https://{host}/x", "")


@pytest.mark.parametrize("simulated", [True, False])
async def test_loopback_only_stops_requests_that_lead_elsewhere(
    server: Server, clock: FakeClock, simulated: bool
) -> None:
    cloud = cloud_of(server, simulated=simulated)
    async with Session(cloud, clock=clock, guard=anything, loopback_only=not simulated) as session:
        with pytest.raises(GuardError, match="only loopback") as caught:
            await session.rest.request("GET", "https://eastus.online.visualstudio.com/health?x=1", anonymous=True)
    assert caught.value.where == "https://eastus.online.visualstudio.com/health"
    assert session.counters.retries == 0


async def test_loopback_only_holds_for_token_requests_too(server: Server, clock: FakeClock) -> None:
    cloud = cloud_of(server, authority="https://login.microsoftonline.com")
    async with Session(cloud, clock=clock, guard=anything, loopback_only=True) as session:
        with pytest.raises(GuardError, match="only loopback") as caught:
            await session.rest.request("GET", "/subscriptions")
    assert "login.microsoftonline.com" in caught.value.where
    assert server.seen == []


def test_loopback_only_refuses_credentials_that_could_reach_further(clock: FakeClock) -> None:
    with pytest.raises(GuardError, match="auto"):
        Session(public(), clock=clock, guard=anything, loopback_only=True)


async def test_proxies_are_not_used_for_a_simulated_cloud(
    server: Server, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.on("GET", "/thing", OK)
    async with Session(cloud_of(server), clock=clock, guard=anything) as session:
        assert (await session.rest.request("GET", URL)).status == 200


def test_importing_the_session_loads_no_management_client() -> None:
    code = "import sys; import drkit.providers.session; print([m for m in sys.modules if m.startswith('azure.mgmt')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def test_a_session_outside_its_block_is_an_error(clock: FakeClock) -> None:
    session = Session(public(), clock=clock, guard=anything)
    with pytest.raises(RuntimeError, match="async with"):
        session.client_arguments()


def test_the_machines_trust_is_used_without_a_ca_file() -> None:
    from drkit.providers.transport import tls_context

    assert tls_context("").verify_mode is ssl.CERT_REQUIRED
