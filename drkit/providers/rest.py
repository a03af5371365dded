"""Requests that no SDK client covers, through the same pipeline: ARM paths, a product's service, polls, pages."""

from __future__ import annotations

import json as json_codec
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import msgspec
from azure.core.rest import HttpRequest

from drkit.errors import GuardError, NotFoundError, UnreachableError, UnreadableError
from drkit.model.operation import Operation, PollResult, bare
from drkit.providers import long_running
from drkit.providers.auth import ANONYMOUS, OWN_TOKEN
from drkit.providers.error_mapping import from_answer
from drkit.providers.pages import Pages
from drkit.providers.policies import ALLOWED, PLAIN
from drkit.providers.retry import lowered, retry_after

if TYPE_CHECKING:
    from drkit.providers.session import Session

MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETHROWN = frozenset({401, 403, 404, 408, 429})


@dataclass(frozen=True)
class Response:
    """An answer: status, headers (names in lower case), and the body as JSON (None: empty; text where the caller allows it)."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Rest:
    """``session.rest``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        anonymous: bool = False,
        trusted_hosts: Collection[str] = (),
        allow: Collection[int] = (),
        plain: bool = False,
    ) -> Response:
        """Send one request, follow its redirects, and return the answer.

        ``url`` is public, or begins with ``/`` and is ARM's. ``token``: a product's own bearer token instead of ARM's;
        ``anonymous``: no token. A 307 or 308 repeats method and body; other redirects are followed for reads only. A redirect
        is followed over HTTPS to the first host or to one of ``trusted_hosts`` (host names); any other one raises
        UnreachableError. ``allow``: statuses of 400 and above that are returned and not raised. A plain-text body of a
        product's service is text; with ``plain`` every body that is not JSON is text.

        GuardError before anything is sent, UnknownFateError for a write that may or may not have been carried out, or
        another CloudError.
        """
        method = method.upper()
        target = with_query(self._session.absolute(url), params)
        if token:
            self._session.redact.add(token)
        hosts = {urlsplit(target).netloc.lower()} | {host.lower() for host in trusted_hosts}
        redirects = 0
        while True:
            request = HttpRequest(method, target, headers=dict(headers or {}), json=json)
            answer = await self._send(
                request, token=token, anonymous=anonymous, plain=plain, allow={*allow, *_REDIRECTS}
            )
            if answer.status not in _REDIRECTS:
                return answer
            redirects += 1
            target = self._redirected(method, target, answer, hosts, redirects)

    def _redirected(self, method: str, url: str, answer: Response, hosts: Collection[str], count: int) -> str:
        """The URL of a redirect. UnreachableError for one that may not be followed."""
        to = self._session.routes.publish(joined(url, answer.headers.get("location", "")))
        parts = urlsplit(to)
        why = ""
        if not answer.headers.get("location"):
            why = "without saying where to"
        elif count > MOST_REDIRECTS:
            why = f"more than {MOST_REDIRECTS} times"
        elif parts.scheme != "https" or parts.username:
            why = "to an address that is not plain https"
        elif answer.status not in (307, 308) and method not in ("GET", "HEAD"):
            why = f"with {answer.status}, which does not keep a {method}"
        elif parts.netloc.lower() not in hosts:
            why = f"to {parts.hostname}, which is not a host of that service"
        if why:
            raise UnreachableError(
                f"{method} was redirected {why}; not followed",
                where=bare(url),
                remedy="check the service's address and its list of hosts",
                status=answer.status,
            )
        return to

    async def _send(
        self, request: HttpRequest, *, token: str | None, anonymous: bool, plain: bool, allow: Collection[int]
    ) -> Response:
        options = {OWN_TOKEN: token, ANONYMOUS: anonymous, PLAIN: plain, ALLOWED: allow}
        answer = (await self._session.send(request, **options)).http_response
        return Response(answer.status_code, lowered(answer.headers), decoded(answer.content))

    async def pages(
        self, url: str, params: Mapping[str, str] | None = None, *, key: str = "value", **options: Any
    ) -> AsyncIterator[Any]:
        """Each item of a paged list, following ``nextLink`` (or ``@odata.nextLink``).

        Raises UnreachableError when a page is not a list, leads to one already seen, or the list does not end; with a product's
        token (or none) also when it leads to a host that is neither the first page's nor one of ``trusted_hosts``.
        ``options`` as of ``request``.
        """
        target: str = with_query(self._session.absolute(url), params)
        pages = Pages(bare(target), target)
        hosts = _pinned(target, options)
        while target:
            if hosts is not None and not _within(target, hosts):
                raise UnreachableError(
                    f"the list leads to {urlsplit(target).hostname}, which is not a host of that service; not followed",
                    where=bare(url),
                    remedy="check the service's address and its list of hosts",
                )
            body = (await self.request("GET", target, **options)).body
            items = body.get(key) if isinstance(body, dict) else None
            if not isinstance(body, dict) or not isinstance(items, list):
                raise UnreachableError("the answer is not a list", where=bare(target), remedy="repeat the command")
            for item in items:
                yield item
            following = body.get("nextLink") or body.get("@odata.nextLink") or ""
            target = pages.turn(
                items, self._session.routes.publish(joined(target, str(following))) if following else ""
            )

    async def start(self, method: str, url: str, json: Any = None, **options: Any) -> Operation | Any:
        """Send a write: the Operation that it started, or the body of an answer that completed it (None: empty)."""
        answer = await self.request(method, url, json=json, **options)
        target = with_query(self._session.absolute(url), options.get("params"))
        return self.begun(method.upper(), target, answer.status, answer.headers, answer.body) or answer.body

    def begun(self, method: str, url: str, status: int, headers: Mapping[str, str], body: Any) -> Operation | None:
        """The operation that a 2xx answer started; None when the answer completed it."""
        now = self._session.clock.now()
        operation = long_running.started(method, url, status, headers, body, retry_after(headers, now), now)
        if operation is None:
            return None
        return msgspec.structs.replace(operation, url=self._session.routes.publish(joined(url, operation.url)))

    async def poll(self, operation: Operation, **options: Any) -> PollResult:
        """Poll an operation once, whichever process started it. ``options``: those of ``request``.

        The operation's own failure is a PollResult of state ``failed`` with Azure's code. An error means that the poll failed
        (UnreachableError, 401, 403, a 404 of the operation itself). With a product's ``token``: GuardError unless the URL is on
        one of ``trusted_hosts``, because the URL comes from an answer or a file.
        """
        hosts = _pinned("", options)
        if hosts is not None and not _within(operation.url, hosts):
            raise GuardError(
                f"GET was not sent: the service's token may not be sent to {urlsplit(operation.url).hostname}",
                where=bare(operation.url),
                remedy="an address in an answer led elsewhere; check the service's address and its list of hosts",
            )
        # A 4xx of Location may be the operation's own failure; one that concerns the poll is raised below.
        allowed = range(400, 500) if operation.style == "location" else (404,) if operation.style == "none" else ()
        answer = await self.request("GET", operation.url, allow=allowed, **options)
        wait = retry_after(answer.headers, self._session.clock.now())
        if operation.style == "azure-async-operation":
            progress = long_running.status_document(answer.body, wait)
        elif operation.style == "location":
            if answer.status in _RETHROWN:
                raise self._error(operation, answer, bool(options.get("token")))
            progress = long_running.location(answer.status, answer.body, wait)
        else:
            if answer.status == 404:
                error = self._error(operation, answer, bool(options.get("token")))
                if not isinstance(error, NotFoundError):
                    raise error
            progress = long_running.resource(operation.method, answer.status, answer.body, wait)
        if progress.state == "failed":
            return msgspec.structs.replace(progress, message=self._session.redact(progress.message))
        return progress

    def _error(self, operation: Operation, answer: Response, own_token: bool) -> Exception:
        raw = json_codec.dumps(answer.body).encode() if answer.body is not None else b""
        redact = self._session.redact
        return from_answer("GET", operation.url, answer.status, answer.headers, raw, redact, own_token=own_token)


def _pinned(first: str, options: Mapping[str, Any]) -> frozenset[str] | None:
    """The hosts to which a product's token, or a request without a token, may go; None for ARM's token, which has its own rule."""
    if not options.get("token") and not options.get("anonymous"):
        return None
    hosts = {urlsplit(first).netloc.lower()} if first else set()
    return frozenset(hosts | {host.lower() for host in options.get("trusted_hosts", ())})


def _within(url: str, hosts: Collection[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.netloc.lower() in hosts


def decoded(content: bytes) -> Any:
    """The JSON in a body, None for an empty body, else the text."""
    if not content:
        return None
    try:
        return json_codec.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def joined(base: str, address: str) -> str:
    """A URL in an answer, resolved against the URL of the request. UnreadableError for a text that is no URL."""
    try:
        whole = urljoin(base, address)
        parts = urlsplit(whole)
        # A host or port that cannot be parsed is detected here and not where it is used.
        _ = parts.hostname, parts.port
    except ValueError as error:
        raise UnreadableError(
            f"the answer leads to {address[:200]!r}, which is not a URL: {error}",
            where=bare(base),
            remedy="repeat the command; something other than Azure may have answered",
        ) from error
    return whole


def with_query(url: str, params: Mapping[str, str] | None) -> str:
    """The URL with the parameters added, each percent-encoded."""
    if not params:
        return url
    query = "&".join(f"{quote(name, safe='$-_.~')}={quote(str(value), safe='-_.~')}" for name, value in params.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"
