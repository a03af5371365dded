"""Broken endpoints, and the errors for answers."""

from __future__ import annotations

import asyncio
import gzip
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError

from drkit.errors import (
    CloudError,
    CredentialError,
    ForbiddenError,
    NotFoundError,
    UnknownFateError,
    UnreachableError,
)
from drkit.model.cloud import Cloud
from drkit.providers.error_mapping import fate_of, from_exception
from drkit.providers.redact import Redactor
from drkit.providers.session import Session
from tests.support.https_server import (
    GLOBAL_HOST,
    SUB,
    Answer,
    FakeClock,
    Server,
    anything,
    certificates,
    cloud_of,
)

OK = Answer(json={"fine": True})
URL = f"/subscriptions/{SUB}/thing"


# Endpoints at fault


async def failure(cloud: Cloud, clock: FakeClock, url: str = URL, **options: Any) -> CloudError:
    async with Session(cloud, clock=clock, guard=anything, **options) as session:
        with session.budget(1, 5), pytest.raises(CloudError) as caught:
            await session.rest.request("GET", url, token="own-token-123")
    assert "own-token-123" not in str(caught.value)
    return caught.value


async def test_a_bad_certificate_is_named(server: Server, clock: FakeClock, tmp_path: Path) -> None:
    _, other_ca = certificates(tmp_path)
    error = await failure(cloud_of(server, ca_bundle=str(other_ca)), clock)
    assert isinstance(error, UnreachableError)
    assert "certificate is not trusted" in error.what
    assert "ca_bundle" in error.remedy
    async with Session(cloud_of(server, ca_bundle=str(other_ca)), clock=clock, guard=anything) as session:
        with pytest.raises(UnreachableError):
            await session.rest.request("PUT", URL, json={}, token="t" * 12)
        assert session.counters.retries == 0


async def test_a_ca_file_that_is_not_there_is_named(server: Server, clock: FakeClock) -> None:
    with pytest.raises(CredentialError, match="CA file") as caught:
        async with Session(cloud_of(server, ca_bundle="/nowhere/ca.pem"), clock=clock, guard=anything):
            pass
    assert caught.value.where == "/nowhere/ca.pem"


async def test_a_plain_http_endpoint_behind_https_is_named(clock: FakeClock, server: Server) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    error = await failure(
        cloud_of(server, services={"a.example": f"https://127.0.0.1:{port}"}), clock, "https://a.example/"
    )
    listener.close()
    await listener.wait_closed()
    assert isinstance(error, UnreachableError)
    assert "TLS handshake failed" in error.what


async def test_a_connection_that_is_never_accepted_is_named(server: Server, clock: FakeClock) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)  # accepts at TCP level, never speaks TLS
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        error = await failure(
            cloud_of(server, services={"a.example": url}), clock, "https://a.example/", connection_timeout=0.2
        )
    assert isinstance(error, UnreachableError)
    assert "within the time allowed" in error.what


def described(error: BaseException) -> str:
    mapped = from_exception(error, "GET", "https://a.example/x?sig=1", Redactor())
    assert isinstance(mapped, UnreachableError)
    assert mapped.where == "https://a.example/x"
    return mapped.what


def test_a_name_that_does_not_resolve_is_named() -> None:
    where: Any = SimpleNamespace(host="a.example", port=443, ssl=True, is_ssl=True)
    inner = aiohttp.ClientConnectorDNSError(where, socket.gaierror(-2, "Name or service not known"))
    error = ServiceRequestError(inner, error=inner)
    assert "does not resolve" in described(error)
    assert fate_of(error) == "not-sent"


def test_a_proxy_that_refuses_is_named() -> None:
    inner = aiohttp.ClientHttpProxyError(SimpleNamespace(real_url="x"), (), status=407)  # type: ignore[arg-type]
    error = ServiceResponseError(inner, error=inner)
    assert "proxy" in described(error)
    assert fate_of(error) == "not-sent"


def test_anything_else_is_named_by_its_kind() -> None:
    assert "ServiceResponseError: odd" in described(ServiceResponseError("odd"))
    assert fate_of(ServiceResponseError("odd")) == "unknown"


HTML = Answer(200, body=b"<!DOCTYPE html><html>sign in</html>", headers={"Content-Type": "text/html"})


async def test_html_instead_of_json_is_an_error(server: Server, session: Session) -> None:
    server.on("*", "/thing|resourcegroups", HTML)
    with pytest.raises(UnreachableError, match="HTML page"):
        await session.rest.request("GET", URL)
    with pytest.raises(UnreachableError, match="HTML page"):
        await session.resources.group(SUB, "g")
    with pytest.raises(UnreachableError, match="HTML page"):
        await session.rest.request("GET", f"https://{GLOBAL_HOST}/thing", anonymous=True)
    with pytest.raises(UnknownFateError, match="HTML page"):
        await session.rest.request("POST", URL, json={})
    assert len(server.calls("POST")) == 1


async def test_broken_json_is_an_error(server: Server, session: Session) -> None:
    server.on("GET", "/thing|resourcegroups", Answer(200, body=b'{"value": ['))
    with pytest.raises(UnreachableError, match="not JSON"):
        await session.rest.request("GET", URL)
    with pytest.raises(UnreachableError, match="not JSON"):
        await session.resources.groups(SUB)


async def test_json_of_absurd_depth_is_an_error(server: Server, session: Session) -> None:
    server.on("GET", "/thing", Answer(200, body=b"[" * 200_000), Answer(400, body=b"[" * 200_000))
    with pytest.raises(UnreachableError, match="not JSON"):
        await session.rest.request("GET", URL)
    with pytest.raises(CloudError):
        await session.rest.request("GET", URL)


async def test_compressed_answers_are_read_and_broken_ones_are_named(server: Server, session: Session) -> None:
    packed, headers = gzip.compress(b'{"fine": true}'), {"Content-Encoding": "gzip"}
    server.on("GET", "/thing", Answer(200, body=packed, headers=headers))
    assert (await session.rest.request("GET", URL)).body == {"fine": True}
    assert server.calls("GET")[0].headers["accept-encoding"] == "gzip, deflate"
    server.on("GET", "/thing", Answer(200, body=b"not packed", headers=headers))
    with session.budget(1, 5), pytest.raises(UnreachableError, match="cut off"):
        await session.rest.request("GET", URL)


async def test_json_of_another_shape_is_an_error(server: Server, session: Session) -> None:
    server.on("GET", "resourcegroups/g$", Answer(json=["not", "an", "object"]))
    with pytest.raises(UnreachableError):
        await session.resources.group(SUB, "g")


async def test_a_truncated_answer_is_named(server: Server, session: Session) -> None:
    server.on("GET", "resourcegroups", Answer(json={"value": []}, act="truncate"))
    with session.budget(1, 5), pytest.raises(UnreachableError, match="cut"):
        await session.resources.groups(SUB)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (404, {"error": {"code": "ResourceNotFound", "message": "m"}}, NotFoundError, "ResourceNotFound"),
        (404, {"error": {"code": "ResourceGroupNotFound", "message": "m"}}, NotFoundError, "ResourceGroupNotFound"),
        (404, {"error": {"code": "SubscriptionNotFound", "message": "m"}}, ForbiddenError, "SubscriptionNotFound"),
        (404, {"error": {"code": "InvalidResourceType", "message": "m"}}, CloudError, "InvalidResourceType"),
        (404, None, CloudError, ""),
        (404, "<html>", CloudError, ""),
        (403, {"error": {"code": "AuthorizationFailed", "message": "m"}}, ForbiddenError, "AuthorizationFailed"),
        (403, None, ForbiddenError, ""),
        (400, {"error": {"code": "InvalidTemplate", "message": "m"}}, CloudError, "InvalidTemplate"),
    ],
)
async def test_answers_become_errors(
    server: Server, session: Session, status: int, body: Any, kind: type[CloudError], code: str
) -> None:
    headers = {"x-ms-request-id": "req-1"}
    raw = Answer(status, body=body.encode(), headers=headers) if isinstance(body, str) else None
    server.on("GET", "virtualMachines/v$", raw or Answer(status, json=body, headers=headers))
    vm = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"
    with pytest.raises(CloudError) as caught:
        await session.compute.vm(vm)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (status, code, "req-1")
    assert caught.value.where.lower() == f"{server.url}{vm}".lower()


async def test_an_unregistered_provider_is_reported_never_registered(server: Server, session: Session) -> None:
    message = "The subscription is not registered to use namespace 'Microsoft.VSOnline'. See https://aka.ms/rps"
    server.on(
        "*", "/plans/p", Answer(409, json={"error": {"code": "MissingSubscriptionRegistration", "message": message}})
    )
    plan = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.VSOnline/plans/p"
    with pytest.raises(CloudError) as caught:
        await session.resources.put_resource(plan, "2020-05-26-preview", {"location": "eastus"})
    assert "az provider register --namespace Microsoft.VSOnline" in caught.value.remedy
    assert server.calls("POST") == []
