"""A small HTTPS server that answers as told, with a CA of its own, and a clock that does not wait."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import json
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drkit.model.cloud import Cloud
from drkit.products import reading_posts
from drkit.providers.guard import Guard, Outgoing, ReadingPosts, reading_guard

SUB = "11111111-1111-1111-1111-111111111111"
TENANT = "00000000-0000-0000-0000-00000000bbbb"
CLIENT = "22222222-2222-2222-2222-222222222222"
SECRET = "s3cret~value-of-the-app"
GLOBAL_HOST = "online.visualstudio.com"
REGION_HOST = "westeurope.online.visualstudio.com"


@dataclass
class Answer:
    """What the server does with one request."""

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    act: str = ""  # "cut", "hang", "truncate", "drip"


Script = Answer | Callable[["Seen"], Answer]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class Server:
    """Answers by (method, path pattern); the last answer of a script is repeated."""

    def __init__(self, context: ssl.SSLContext, ca: Path) -> None:
        self._context = context
        self.ca = ca
        self.seen: list[Seen] = []
        self.tokens_given = 0
        self.token_expires_in = 3600
        self._rules: list[tuple[str, re.Pattern[str], list[Script]]] = []
        self._runner: web.AppRunner | None = None
        self.port = 0
        self._release = asyncio.Event()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, *answers: Script) -> None:
        self._rules.insert(0, (method, re.compile(path, re.IGNORECASE), list(answers) or [Answer()]))

    def calls(self, method: str = "", path: str = "") -> list[Seen]:
        return [s for s in self.seen if method in ("", s.method) and re.search(path, s.path) and "oauth2" not in s.path]

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.on("GET", r"openid-configuration$", self._openid)
        self.on("POST", rf"^/{TENANT}/oauth2/v2.0/token$", self._token)

    async def stop(self) -> None:
        self._release.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def _openid(self, _seen: Seen) -> Answer:
        root = f"{self.url}/{TENANT}"
        return Answer(
            json={
                "issuer": f"{root}/v2.0",
                "token_endpoint": f"{root}/oauth2/v2.0/token",
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            }
        )

    def _token(self, _seen: Seen) -> Answer:
        self.tokens_given += 1
        parts = [{"alg": "none"}, {"oid": "o", "n": self.tokens_given, "exp": int(time.time()) + self.token_expires_in}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        token = ".".join([*encoded, "c2lnbmF0dXJl"])
        body = {"access_token": token, "expires_in": self.token_expires_in, "token_type": "Bearer"}
        return Answer(json=body)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.host,
            request.path,
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        self.seen.append(seen)
        answer = self._answer(seen)
        if answer.act == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if answer.act == "hang":
            await self._release.wait()
            return web.Response()
        body = answer.body if answer.body is not None else b""
        headers = dict(answer.headers)
        if answer.json is not None:
            body = json.dumps(answer.json).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        if answer.act in ("truncate", "drip"):
            response = web.StreamResponse(
                status=answer.status, headers={**headers, "Content-Length": str(len(body) + 50)}
            )
            await response.prepare(request)
            await response.write(body)
            while answer.act == "drip" and not self._release.is_set():
                await response.write(b" ")
                await asyncio.sleep(0.02)
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(status=answer.status, body=body, headers=headers)

    def _answer(self, seen: Seen) -> Answer:
        for method, pattern, script in self._rules:
            if method in ("*", seen.method) and pattern.search(seen.path):
                current = script.pop(0) if len(script) > 1 else script[0]
                return current(seen) if callable(current) else current
        return Answer(404, json={"error": {"code": "ResourceNotFound", "message": "no such thing"}})


@dataclass
class FakeClock:
    """Time that passes only when something sleeps."""

    at: float = 0.0
    slept: list[float] = field(default_factory=list)
    start: dt.datetime = dt.datetime(2026, 11, 23, 7, 30, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        return self.start + dt.timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += max(0.0, seconds)
        await asyncio.sleep(0)


def certificates(folder: Path) -> tuple[ssl.SSLContext, Path]:
    def make(name: str, issuer: Any, signer: Any, key: Any, ca: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if not ca:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = make("test ca", None, ca_key, ca_key, True)
    leaf = make("test leaf", ca.subject, ca_key, leaf_key, False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "leaf.pem").write_bytes(
        leaf.public_bytes(pem)
        + leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context, folder / "ca.pem"


def cloud_of(server: Server, **changes: Any) -> Cloud:
    """A cloud that is that server: ARM, authority, and both service hosts (the regional one under a path)."""
    values: dict[str, Any] = {
        "name": "test",
        "arm": server.url,
        "authority": server.url,
        "why": "a test",
        "tenant": TENANT,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "ca_bundle": str(server.ca),
        "services": {GLOBAL_HOST: f"{server.url}/global", REGION_HOST: f"{server.url}/weu"},
        "simulated": True,
        **changes,
    }
    return Cloud(**values)


def anything(_outgoing: Outgoing) -> None:
    """A guard that lets all pass."""


def reading(*probes: str) -> Guard:
    return reading_guard(ReadingPosts(reading_posts().actions, frozenset(probes)))
