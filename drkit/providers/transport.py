"""The last step before the socket: maps public URLs to a simulator's ports, and enforces loopback-only.

Everything above this module uses public URLs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from azure.core.exceptions import IncompleteReadError
from azure.core.pipeline.transport import AioHttpTransport

from drkit.errors import CredentialError, FileError, GuardError
from drkit.model import files
from drkit.model.operation import bare
from drkit.providers.answer_size import BoundedResponse
from drkit.providers.counters import Counters
from drkit.providers.proxies import check_proxies, proxy_of

LONGEST_NAP = 10.0
"""Real seconds between a credential's attempts; there are three."""


class Routes:
    """Maps public hosts to the URLs of a simulator, and back.

    ``services``: public host, or ``*.`` and what follows a host's first dot -> URL. The way back uses entries without ``*``. A URL of
    any other host stays unchanged.
    """

    def __init__(self, services: Mapping[str, str], arm: str = "") -> None:
        self._to = {host.lower(): target.rstrip("/") for host, target in services.items()}
        back = {
            target: host for host, target in self._to.items() if target != arm.rstrip("/") and not host.startswith("*.")
        }
        self._back = dict(sorted(back.items(), key=lambda pair: len(pair[0]), reverse=True))

    def translate(self, url: str) -> str:
        """The URL to which a request for a public URL is sent."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        target = self._to.get(host) or self._to.get("*." + host.partition(".")[2])
        if target is None or parts.scheme != "https":
            return url
        return target + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def publish(self, url: str) -> str:
        """The public URL for a URL in a simulator's answer."""
        for target, host in self._back.items():
            if url == target or url.startswith((f"{target}/", f"{target}?")):
                return f"https://{host}{url[len(target) :]}"
        return url


def encoded(path: str) -> str:
    """A path, with or without query, percent-encoded; what is encoded already stays unchanged."""
    head, mark, query = path.partition("?")
    return quote(head, safe="/%:@!$&'()*+,;=-._~") + mark + query


def require_loopback(url: str, shown: str) -> None:
    """GuardError unless the URL is on 127.0.0.0/8, ::1 or localhost. ``shown``: the public URL, for the error."""
    host = urlsplit(url).hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host.lower() == "localhost"
    if not loopback:
        raise GuardError(
            "was not sent: only loopback addresses may be reached here",
            where=bare(shown),
            remedy="nothing left this machine; a rehearsal talks to its own simulator only",
        )


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """The TLS context of the machine's trusted CAs, or of one CA file. CredentialError for a file that cannot be used."""
    if not ca_bundle:
        return ssl.create_default_context()
    try:
        check_certificates(ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"the CA file cannot be used: {error}", where=ca_bundle, remedy="name a PEM file as ca_bundle"
        ) from error


def check_certificates(path: str) -> None:
    """CredentialError unless a file of trusted certificates belongs to this user or root, and nobody else may write it.

    A person who may write it can choose to whom tokens are sent.
    """
    try:
        files.check(path, own=True)
    except FileError as error:
        raise CredentialError(
            f"the CA file cannot be used: {error.what}", where=path, remedy="name a PEM file of your own as ca_bundle"
        ) from error


def open_client(context: ssl.SSLContext, *, direct: bool) -> aiohttp.ClientSession:
    """A new pool of connections. ``direct``: no proxy will be used; else UsageError for a proxy that cannot be used."""
    if not direct:
        check_proxies()
    client = aiohttp.ClientSession(
        # A limit for each host, none for all: requests that hang in a dead region must not block those to other hosts.
        connector=aiohttp.TCPConnector(ssl=context, limit=0, limit_per_host=32),
        # What azure-core can unpack, whichever other packages are installed.
        headers={"Accept-Encoding": "gzip, deflate"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        response_class=BoundedResponse,
        trust_env=False,  # it would read ~/.netrc too; the transport names the proxy
    )
    if hasattr(client, "_retry_connection"):
        # aiohttp silently repeats an idempotent request when a kept-alive connection was closed meanwhile.
        client._retry_connection = False  # noqa: SLF001  (no public switch; the one retry layer is ours)
    return client


class Transport(AioHttpTransport):  # type: ignore[misc]  # azure-core loads it lazily, so mypy sees Any
    """The SDK's aiohttp transport over a shared pool, with the mapping and the loopback check just before a request is sent.

    ``counters``: only for a credential's transport, whose requests do not pass through our pipeline and are counted here.
    """

    def __init__(
        self,
        client: aiohttp.ClientSession,
        routes: Routes,
        *,
        loopback_only: bool,
        connection_timeout: float,
        read_timeout: float,
        counters: Counters | None = None,
    ) -> None:
        super().__init__(
            session=client, session_owner=False, connection_timeout=connection_timeout, read_timeout=read_timeout
        )
        self._routes = routes
        self._loopback_only = loopback_only
        self._counters = counters

    async def sleep(self, duration: float) -> None:
        """Wait before a credential's library asks again: at most ``LONGEST_NAP``, however long the authority asks to wait."""
        await asyncio.sleep(min(duration, LONGEST_NAP))

    async def send(self, request: Any, *, stream: bool = False, **config: Any) -> Any:
        """Send a request to the URL that its public URL maps to; the request keeps the public one."""
        shown = request.url
        target = self._routes.translate(shown)
        if self._loopback_only:
            require_loopback(target, shown)
        if self._counters is not None:
            self._counters.call("token", shown, 0)
        request.url = target
        try:
            config.pop("proxies", None)  # proxies come from the environment only, and not for a simulator
            if not self._loopback_only and (proxy := proxy_of(target)):
                config["proxy"] = proxy
            return await super().send(request, stream=stream, **config)
        except zlib.error as error:
            raise IncompleteReadError("the compressed answer is broken", error=error) from error
        finally:
            request.url = shown
