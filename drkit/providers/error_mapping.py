"""What went wrong, as one of drkit's errors: from an answer, or from an exception of the SDK or of aiohttp. Pure.

Codes that mean "gone" are the two that ARM's front end gives (reference: Azure Resource Manager common errors);
any other 404 says nothing about the object.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from azure.core.exceptions import AzureError, HttpResponseError, IncompleteReadError

from drkit.errors import (
    CloudError,
    ConflictError,
    CredentialError,
    DrkitError,
    ForbiddenError,
    NotFoundError,
    ThrottledError,
    UnknownFateError,
    UnreachableError,
)
from drkit.model.operation import bare
from drkit.providers.bodies import PackedError, TooLongError
from drkit.providers.redact import Redactor

GONE_CODES = frozenset({"resourcenotfound", "resourcegroupnotfound"})
NO_ACCESS_CODES = frozenset({"subscriptionnotfound", "authorizationfailed", "linkedauthorizationfailed"})
_LONGEST_MESSAGE = 600
_LONGEST_CODE = 120
_NAMESPACE = re.compile(r"namespace '([^']+)'")
NETWORK_ERRORS: tuple[type[Exception], ...] = (AzureError, aiohttp.ClientError, TimeoutError, OSError)
# What the SDK raises when an answer is not shaped as it expects: most often a ValueError.
ODD_SHAPE: tuple[type[Exception], ...] = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
SDK_ERRORS: tuple[type[Exception], ...] = (*NETWORK_ERRORS, *ODD_SHAPE)
Fate = Literal["not-sent", "unknown"]


@dataclass(frozen=True)
class Fault:
    """What an error body says: Azure's code and message (each may be empty)."""

    code: str = ""
    message: str = ""


def read_fault(body: bytes) -> Fault:
    """An error body: ARM's ``{"error": {code, message}}``, a bare ``{code, message}``, problem details, or a number.

    The environment service answers some refusals with a bare message code (an integer, or a list of them): its code.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Fault(message="the answer is an HTML page" if looks_like_html(body) else "")
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool):
        return Fault()
    if isinstance(value, int | str):
        return Fault(code=str(value))
    if not isinstance(value, dict):
        return Fault()
    inner = value.get("error", value)
    if isinstance(inner, str):
        return Fault(inner, str(value.get("error_description") or value.get("message") or ""))
    if not isinstance(inner, dict):
        return Fault()
    code = inner.get("code") if inner.get("code") is not None else inner.get("title")
    message = inner.get("message") or inner.get("detail") or ""
    return Fault(str(code or ""), str(message))


def looks_like_html(body: bytes) -> bool:
    """Whether the text is a page rather than data."""
    return body.lstrip()[:1] == b"<"


def request_id(headers: Mapping[str, str]) -> str:
    """Azure's own id of the request (header names in lower case)."""
    for name in ("x-ms-request-id", "vssaas-request-id", "x-ms-correlation-request-id"):
        if headers.get(name):
            return headers[name]
    return ""


def from_answer(
    method: str,
    url: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    redact: Redactor,
    *,
    own_token: bool = False,
) -> CloudError:
    """The error an answer of 300 or above stands for. ``own_token``: a product's token was sent, not ARM's."""
    fault = read_fault(body)
    message = redact(fault.message, _LONGEST_MESSAGE, words=True)
    code = redact(fault.code, _LONGEST_CODE)
    said = ": ".join(part for part in (code, message) if part) or "no reason given"
    kind, verb, remedy = _kind(status, fault.code.lower(), own_token)
    if fault.code.lower() == "missingsubscriptionregistration":
        found = _NAMESPACE.search(fault.message)
        remedy = f"register it once: az provider register --namespace {found.group(1) if found else 'NAMESPACE'}"
    return kind(
        f"{method} {verb} ({status}): {said}",
        where=bare(url),
        remedy=remedy,
        status=status,
        code=code,
        request_id=request_id(headers),
    )


def _kind(status: int, code: str, own_token: bool) -> tuple[type[CloudError], str, str]:
    if code in NO_ACCESS_CODES or status == 403:
        remedy = "ask for a role that allows it there, then repeat the command"
        if code == "subscriptionnotfound":
            remedy = "check the id with `az account list`; the identity may have no role in that subscription"
        return ForbiddenError, "is not allowed", remedy
    if status == 401:
        if own_token:
            return ForbiddenError, "was refused: the service does not accept the token", "repeat the command"
        return CredentialError, "was refused: Azure does not accept the token", "check the tenant, then sign in again"
    if status == 404 and code in GONE_CODES:
        return NotFoundError, "found nothing", ""
    if status in (409, 412):
        return ConflictError, "conflicts with what is there", ""
    if status == 429:
        return ThrottledError, "was throttled for longer than the retry budget", "wait a few minutes, then repeat"
    if status == 408 or status >= 500:
        return UnreachableError, "failed at the service", "look at the service's status, then repeat the command"
    if status < 400:
        return UnreachableError, "was answered with a redirect that is not followed", "check the endpoint's address"
    return CloudError, "was refused", ""


def not_json(
    method: str, url: str, status: int, headers: Mapping[str, str], body: bytes, *, fate_known: bool = True
) -> CloudError:
    """A success whose body is not what Azure would send. For a write that must not be repeated its fate is unknown."""
    what = "an HTML page" if looks_like_html(body) else "something that is not JSON"
    kind = UnreachableError if fate_known else UnknownFateError
    return kind(
        f"{method} was answered with {what} ({status}), so something else than Azure may have answered",
        where=bare(url),
        remedy="check the endpoint's address, proxies and sign-in pages of the network",
        status=status,
        request_id=request_id(headers),
    )


def chain(error: BaseException) -> list[BaseException]:
    """The exception and what it was made of, outermost first."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        inner: Any = getattr(current, "inner_exception", None)
        current = inner if isinstance(inner, BaseException) and inner not in seen else current.__cause__
    return seen


def fate_of(error: BaseException) -> Fate:
    """``not-sent`` when the connection never came about; ``unknown`` for everything else."""
    before = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ClientHttpProxyError,
    )
    return "not-sent" if any(isinstance(part, before) for part in chain(error)) else "unknown"


def hopeless(error: BaseException) -> bool:
    """Whether trying again cannot help: a certificate does not become good by asking twice, nor an answer shorter."""
    bad = (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError, TooLongError, PackedError)
    return any(isinstance(part, bad) for part in chain(error))


def from_exception(error: BaseException, method: str, url: str, redact: Redactor) -> DrkitError:
    """The error that stands for an exception of the SDK, of aiohttp, or of a body that could not be read."""
    parts = chain(error)
    for part in parts:
        if isinstance(part, DrkitError):
            return part
    what, remedy = _describe(parts, redact)
    return UnreachableError(f"{method} got no usable answer: {what}", where=bare(url), remedy=remedy)


def _describe(parts: list[BaseException], redact: Redactor) -> tuple[str, str]:
    network = "check the address and the network, then repeat"

    def has(*kinds: type[BaseException]) -> BaseException | None:
        return next((part for part in parts if isinstance(part, kinds)), None)

    if found := has(aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError):
        cause = has(ssl.SSLCertVerificationError) or found
        reason = getattr(cause, "verify_message", "") or str(cause)
        return (
            f"its certificate is not trusted ({redact(reason, _LONGEST_MESSAGE)})",
            "name the CA with ca_bundle, or check the address",
        )
    if found := has(TooLongError, PackedError):
        return str(found), "check the endpoint's address and proxies: this is none of Azure's answers"
    if has(aiohttp.ClientConnectorSSLError, ssl.SSLError):
        return "the TLS handshake failed", network
    if has(aiohttp.ClientHttpProxyError):
        return "the proxy refused to connect", "check HTTPS_PROXY and NO_PROXY"
    if has(aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve", network
    if has(aiohttp.ConnectionTimeoutError):
        return "no connection within the time allowed", network
    if has(ConnectionRefusedError):
        return "connection refused", network
    if found := has(aiohttp.ClientConnectorError):
        return f"no connection ({redact(str(getattr(found, 'os_error', found)), _LONGEST_MESSAGE)})", network
    if has(asyncio.TimeoutError, aiohttp.ServerTimeoutError):
        return "it accepted the request and did not answer within the time allowed", network
    if has(IncompleteReadError, aiohttp.ClientPayloadError):
        return "the answer was cut off", network
    if has(aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError, OSError):
        return "the connection was cut before an answer came", network
    if found := has(HttpResponseError, *ODD_SHAPE):
        said = redact(str(found).strip().partition("\n")[0], _LONGEST_MESSAGE)
        return f"the answer could not be read ({said})", network
    first = parts[0]
    return redact(f"{type(first).__name__}: {first}", _LONGEST_MESSAGE, words=True), network
