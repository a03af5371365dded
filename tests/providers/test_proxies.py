"""Proxies come from the environment, and nothing else does: no netrc, and no proxy for this machine and its link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drkit.errors import CloudError, DrkitError, UsageError
from drkit.model.cloud import Cloud
from drkit.providers import transport
from drkit.providers.blocking import BlockingTransport
from drkit.providers.proxies import proxy_of
from drkit.providers.session import Session
from tests.support.https_server import REGION_HOST, SUB, Answer, FakeClock, Server, anything, cloud_of

OK = Answer(json={"fine": True})


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder whose .netrc has a password for every host."""
    path = tmp_path / ".netrc"
    path.write_text("default login me password NETRC-PASSWORD\n")
    path.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
async def test_no_password_of_netrc_is_sent_with_a_request(server: Server) -> None:
    """With a cloud that is not simulated: a simulator is reached past everything anyway."""
    server.on("GET", "/", OK)
    cloud: Cloud = cloud_of(server, simulated=False)
    async with Session(cloud, clock=FakeClock(), guard=anything) as session:
        await session.rest.request("GET", f"/subscriptions/{SUB}")
        await session.rest.request("GET", f"{server.url}/health", anonymous=True)
    assert [call.headers.get("authorization", "").partition(" ")[0] for call in server.calls()] == ["Bearer", ""]
    assert not [call for call in server.seen if "basic" in call.headers.get("authorization", "").lower()]


@pytest.mark.usefixtures("netrc")
async def test_the_stores_client_reads_no_netrc_either(server: Server) -> None:
    from azure.core.rest import HttpRequest

    server.on("GET", "/", Answer(json={}, headers={"Set-Cookie": "a=b"}))
    with BlockingTransport(str(server.ca)) as sending:
        for _ in range(2):
            await asyncio.to_thread(sending.send, HttpRequest("GET", f"{server.url}/x"))
    assert len(server.seen) == 2
    assert not [call for call in server.seen if {"authorization", "cookie"} & call.headers.keys()]
    assert server.seen[0].headers["accept-encoding"] == "identity"


@asynccontextmanager
async def a_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that notes the head of each request and refuses it."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}", heads
    finally:
        listening.close()
        await listening.wait_closed()


async def test_a_proxy_of_the_environment_is_used_with_its_password_and_nothing_else_of_ours(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.core.exceptions import AzureError
    from azure.core.rest import HttpRequest

    async with a_proxy() as (address, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pw@{address}")
        async with Session(cloud_of(server, simulated=False), clock=FakeClock(), guard=anything) as session:
            with pytest.raises(CloudError, match="the proxy refused to connect"):
                await session.rest.request("GET", f"https://{REGION_HOST}.example/x", anonymous=True)
        with BlockingTransport() as sending, pytest.raises(AzureError):
            await asyncio.to_thread(sending.send, HttpRequest("GET", "https://contoso1.blob.core.windows.net/x"))
    assert list(dict.fromkeys(" ".join(head.split()[:2]) for head in heads)) == [
        f"CONNECT {REGION_HOST}.example:443", "CONNECT contoso1.blob.core.windows.net:443",
    ]  # fmt: skip
    assert all("Proxy-Authorization: Basic bWU6cHc=" in head for head in heads)
    assert not [head for head in heads if "Bearer" in head]


@pytest.mark.parametrize(
    ("proxies", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, "https://management.azure.com/x", "http://p:3128"),
        ({"https_proxy": "p:3128"}, "https://management.azure.com/x", "http://p:3128"),
        ({"ALL_PROXY": "http://p"}, "https://management.azure.com/x", "http://p"),
        ({"HTTP_PROXY": "http://p"}, "https://management.azure.com/x", ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "azure.com"}, "https://management.azure.com/x", ""),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, "https://management.azure.com/x", ""),
        ({"HTTPS_PROXY": " "}, "https://management.azure.com/x", ""),
        ({"ALL_PROXY": "http://p", "HTTP_PROXY": "http://p"}, "http://169.254.169.254/metadata/identity", ""),
        ({"ALL_PROXY": "http://p"}, "https://127.0.0.1:7443/x", ""),
        ({"ALL_PROXY": "http://p"}, "https://localhost:7443/x", ""),
        ({"ALL_PROXY": "http://p"}, "https://[::1]:7443/x", ""),
    ],
)
def test_the_proxy_is_the_one_for_that_address(
    proxies: dict[str, str], url: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


FAULTY = [
    "socks5://p:1080",
    "http://",
    "http://p:99999",
    "http://p:port",
    "http://[::1",
    "http://me:s3cret@p :1",
    "ftp://me:s3cret@p",
]


@pytest.mark.parametrize("value", FAULTY)
async def test_a_proxy_that_cannot_be_used_is_one_clear_message(
    server: Server, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    errors: list[DrkitError] = []
    with pytest.raises(UsageError, match="the proxy cannot be used") as refused:
        async with Session(cloud_of(server, simulated=False), clock=FakeClock(), guard=anything):
            pass
    errors.append(refused.value)
    with pytest.raises(UsageError, match="the proxy cannot be used") as refused:
        BlockingTransport()
    errors.append(refused.value)
    for error in errors:
        assert (error.where, error.exit_code) == ("HTTPS_PROXY", 64)
        assert "http://HOST:PORT" in error.remedy
        assert "s3cret" not in str(error)


async def test_a_simulated_cloud_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://nowhere")
    client: Any = transport.open_client(transport.tls_context(""), direct=True)
    assert client.trust_env is False
    await client.close()
