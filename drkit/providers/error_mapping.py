"""Maps an answer, or an exception of the SDK or of aiohttp, to one of drkit's errors. Pure.

Only the two codes of ARM's front end mean "gone"; any other 404 says nothing about the object.
https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
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
from drkit.providers.answer_size import PackedError, TooLongError
from drkit.providers.redact import Redactor

GONE_CODES = frozenset({"resourcenotfound", "resourcegroupnotfound"})
NO_ACCESS_CODES = frozenset({"subscriptionnotfound", "authorizationfailed", "linkedauthorizationfailed"})
_LONGEST_MESSAGE = 600
_LONGEST_CODE = 120
_NAMESPACE = re.compile(r"namespace '([^']+)'")
NETWORK_ERRORS: tuple[type[Exception], ...] = (AzureError, aiohttp.ClientError, TimeoutError, OSError)
# What the SDK raises when an answer does not have the shape that it expects: most often a ValueError.
ODD_SHAPE: tuple[type[Exception], ...] = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
SDK_ERRORS: tuple[type[Exception], ...] = (*NETWORK_ERRORS, *ODD_SHAPE)
Fate = Literal["not-sent", "unknown"]


@dataclass(frozen=True)
class ErrorBody:
    """Azure's code and message in the body of an error; each may be empty."""

    code: str = ""
    message: str = ""


def read_error_body(body: bytes) -> ErrorBody:
    """The code and message of an error's body, in any of its forms.

    ARM's ``{"error": {code, message}}``, a bare ``{code, message}``, problem details, or a number: the environment service
    answers some refusals with only a message code (an integer, or a list of integers).
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorBody(message="the answer is an HTML page" if looks_like_html(body) else "")
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool):
        return ErrorBody()
    if isinstance(value, int | str):
        return ErrorBody(code=str(value))
    if not isinstance(value, dict):
        return ErrorBody()
    inner = value.get("error", value)
    if isinstance(inner, str):
        return ErrorBody(inner, str(value.get("error_description") or value.get("message") or ""))
    if not isinstance(inner, dict):
        return ErrorBody()
    code = inner.get("code") if inner.get("code") is not None else inner.get("title")
    message = inner.get("message") or inner.get("detail") or ""
    return ErrorBody(str(code or ""), str(message))


def looks_like_html(body: bytes) -> bool:
    """Whether a body looks like a page and not like data."""
    return body.lstrip()[:1] == b"<"


def request_id(headers: Mapping[str, str]) -> str:
    """Azure's own id of the request, empty for none. Header names are in lower case."""
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
    """The error for an answer with a status of 300 or above. ``own_token``: a product's token was sent instead of ARM's."""
    error_body = read_error_body(body)
    message = redact(error_body.message, _LONGEST_MESSAGE, words=True)
    code = redact(error_body.code, _LONGEST_CODE)
    reason = ": ".join(part for part in (code, message) if part) or "no reason given"
    kind, verb, remedy = _kind(status, error_body.code.lower(), own_token)
    if error_body.code.lower() == "missingsubscriptionregistration":
        namespace = _NAMESPACE.search(error_body.message)
        remedy = (
            f"register it once: az provider register --namespace {namespace.group(1) if namespace else 'NAMESPACE'}"
        )
    return kind(
        f"{method} {verb} ({status}): {reason}",
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
    """The error for a success whose body Azure would not send. ``fate_known``: false for a write that must not be repeated."""
    what = "an HTML page" if looks_like_html(body) else "something that is not JSON"
    kind = UnreachableError if fate_known else UnknownFateError
    return kind(
        f"{method} was answered with {what} ({status}), so something other than Azure may have answered",
        where=bare(url),
        remedy="check the endpoint's address, proxies and sign-in pages of the network",
        status=status,
        request_id=request_id(headers),
    )


def chain(error: BaseException) -> list[BaseException]:
    """The exception and its causes, outermost first."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        inner: Any = getattr(current, "inner_exception", None)
        current = inner if isinstance(inner, BaseException) and inner not in seen else current.__cause__
    return seen


def fate_of(error: BaseException) -> Fate:
    """``not-sent`` when no connection was made; ``unknown`` for everything else."""
    before = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ClientHttpProxyError,
    )
    return "not-sent" if any(isinstance(part, before) for part in chain(error)) else "unknown"


def hopeless(error: BaseException) -> bool:
    """Whether a repeat cannot help: an untrusted certificate stays untrusted, and an answer that is too long stays so."""
    permanent = (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError, TooLongError, PackedError)
    return any(isinstance(part, permanent) for part in chain(error))


def from_exception(error: BaseException, method: str, url: str, redact: Redactor) -> DrkitError:
    """The error for an exception of the SDK or of aiohttp, or for a body that could not be read."""
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

    if error := has(aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError):
        cause = has(ssl.SSLCertVerificationError) or error
        reason = getattr(cause, "verify_message", "") or str(cause)
        return (
            f"its certificate is not trusted ({redact(reason, _LONGEST_MESSAGE)})",
            "name the CA with ca_bundle, or check the address",
        )
    if error := has(TooLongError, PackedError):
        return str(error), "check the endpoint's address and proxies: this is not an answer of Azure's"
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
    if error := has(aiohttp.ClientConnectorError):
        return f"no connection ({redact(str(getattr(error, 'os_error', error)), _LONGEST_MESSAGE)})", network
    if has(asyncio.TimeoutError, aiohttp.ServerTimeoutError):
        return "it accepted the request and did not answer within the time allowed", network
    if has(IncompleteReadError, aiohttp.ClientPayloadError):
        return "the answer was cut off", network
    if has(aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError, OSError):
        return "the connection was cut before an answer came", network
    if error := has(HttpResponseError, *ODD_SHAPE):
        detail = redact(str(error).strip().partition("\n")[0], _LONGEST_MESSAGE)
        return f"the answer could not be read ({detail})", network
    first = parts[0]
    return redact(f"{type(first).__name__}: {first}", _LONGEST_MESSAGE, words=True), network
