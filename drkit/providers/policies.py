"""The first and the last step of the pipeline: guard, throttle and errors outside; guard again and count inside."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from drkit.errors import GuardError
from drkit.model import host_scripts
from drkit.model.answers import cleaned
from drkit.model.clock import Clock
from drkit.model.limits import Operation
from drkit.model.log import FIELDS
from drkit.model.operation import bare
from drkit.providers.auth import ANONYMOUS, OWN_TOKEN, AuthPolicy
from drkit.providers.counters import Counters, subscription_of
from drkit.providers.error_mapping import NETWORK_ERRORS, from_answer, from_exception, not_json, read_fault
from drkit.providers.guard import Guard, Kind, Outgoing, check_shape, classify, is_run_command
from drkit.providers.redact import Redactor
from drkit.providers.retry import KIND, SENT, Budget, current_budget, lowered, repeatable, retry_after
from drkit.providers.throttle import Key, Throttle

log = logging.getLogger("drkit.providers")

ALLOWED = "drkit_allowed"
PLAIN = "drkit_plain"
ODD = "drkit_odd"
REQUEST_ID = "x-ms-client-request-id"
_THROTTLE_CODES = frozenset({"subscriptionrequeststhrottled", "tenantrequeststhrottled", "toomanyrequests"})
_SECRET_VALUES = re.compile(rb'"(?:accessToken|access_token|sessionToken|relaySasToken)"\s*:\s*"([^"\\]{8,})"')


@dataclass
class Watch:
    """What the steps share: who looks at requests, and what is counted and kept out of texts."""

    arm: str
    principal: str
    guard: Guard
    clock: Clock
    counters: Counters
    redact: Redactor
    throttle: Throttle
    budget: Budget
    probes: frozenset[str] | None = None

    def outgoing(self, http: Any) -> Outgoing:
        """A request as the guard sees it. GuardError for a body that cannot be looked at."""
        method, url, body = http.method.upper(), http.url, http.content or None
        if isinstance(body, str):
            body = body.encode()
        if body is not None and not isinstance(body, bytes):
            raise GuardError(f"{method} was not sent: its body cannot be looked at", where=bare(url))
        if method == "POST" and self.probes is None and is_run_command(url):
            self.probes = host_scripts.reading()
        leaving = Outgoing(method, url, body, classify(method, url, body, self.probes or frozenset()))
        check_shape(leaving)
        return leaving


class GuardPolicy(AsyncHTTPPolicy[Any, Any]):
    """Guard, token, throttle; on the way back, errors in drkit's words."""

    def __init__(self, watch: Watch, auth: AuthPolicy) -> None:
        super().__init__()
        self._watch = watch
        self._auth = auth
        arm = urlsplit(watch.arm)
        self._arm = (arm.hostname, arm.port)

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """The answer, if it is one of 2xx or allowed; else one of drkit's errors."""
        http, options, context = request.http_request, request.context.options, request.context
        for name in (ANONYMOUS, OWN_TOKEN, ALLOWED, PLAIN):
            context[name] = options.pop(name, None)
        # Bodies are read inside the retry, where a cut can be repeated; the SDK streams first answers of operations.
        streamed = options.pop("stream", False)
        leaving = self._watch.outgoing(http)
        context[KIND] = leaving.purpose
        self._watch.guard(leaving)
        try:
            await self._auth.prepare(request)
            await self.throttle(request)
            response = await self.next.send(request)
        except NETWORK_ERRORS as error:
            raise from_exception(error, http.method, http.url, self._watch.redact) from error
        if streamed and not response.http_response.content:
            response.http_response.read = _nothing
        self._judge(request, response)
        return response

    def _judge(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        http, answer, redact = request.http_request, response.http_response, self._watch.redact
        status, body, headers = answer.status_code, answer.content, lowered(answer.headers)
        for secret in _SECRET_VALUES.findall(body):
            redact.add(secret.decode("utf-8", "replace"))
        if status >= 300:
            if status not in (request.context[ALLOWED] or ()):
                own = bool(request.context[OWN_TOKEN])
                raise from_answer(http.method, http.url, status, headers, body, redact, own_token=own)
        elif body and request.context[ODD] and not request.context[PLAIN] and not self._plain_text(request, headers):
            done = repeatable(http.method, request.context[KIND])
            raise not_json(http.method, http.url, status, headers, body, fate_known=done)

    def _plain_text(self, request: PipelineRequest[Any], headers: Mapping[str, str]) -> bool:
        """A health page of a product's service is a word of plain text; ARM never answers so."""
        elsewhere = bool(request.context[OWN_TOKEN] or request.context[ANONYMOUS])
        return elsewhere and headers.get("content-type", "").lower().startswith("text/plain")

    def _key(self, request: PipelineRequest[Any]) -> Key | None:
        """ARM's bucket of a request; None for requests to other services."""
        url = request.http_request.url
        parts = urlsplit(url)
        if (parts.hostname, parts.port) != self._arm:
            return None
        kind: Kind = request.context[KIND]
        method = request.http_request.method
        operation: Operation = (
            "delete" if kind == "delete" else "write" if kind == "write" or method == "POST" else "read"
        )
        return Key(subscription_of(url), self._watch.principal, "", operation)

    async def throttle(self, request: PipelineRequest[Any]) -> None:
        """Wait for this request's turn."""
        if key := self._key(request):
            await self._watch.throttle.take(key, current_budget(self._watch.budget).seconds)

    def learn(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Count an answer, and correct the bucket by it."""
        answer = response.http_response
        self._watch.counters.answer(answer.status_code, len(answer.content))
        key = self._key(request)
        if key is None:
            return
        headers = lowered(answer.headers)
        pause = None
        # A resource provider's own 429 is about that provider; ARM's closes the bucket.
        if answer.status_code == 429 and read_fault(answer.content).code.lower() in _THROTTLE_CODES:
            pause = retry_after(headers, self._watch.clock.now())
        self._watch.throttle.learn(key, headers, pause)


class SendPolicy(AsyncHTTPPolicy[Any, Any]):
    """Just before the transport: the guard once more, since throttle, waits and tokens took time; then count."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Hand the request to the transport."""
        http = request.http_request
        leaving = self._watch.outgoing(http)
        self._watch.guard(leaving)
        kind = "write" if leaving.purpose == "delete" else leaving.purpose
        self._watch.counters.call(kind, http.url, len(leaving.body or b""))
        request.context[SENT] = True
        began = time.monotonic()
        told = {
            "method": http.method,
            "url": self._watch.redact(bare(http.url)),
            "client_request": http.headers.get(REQUEST_ID),
        }
        try:
            response = await self.next.send(request)
        except Exception as error:
            told |= {"error": type(error).__name__, "seconds": round(time.monotonic() - began, 3)}
            log.info("request", extra={FIELDS: told})
            raise
        answer = response.http_response
        request.context[ODD] = not _clean(answer)
        told |= {"status": answer.status_code, "seconds": round(time.monotonic() - began, 3)}
        log.info("request", extra={FIELDS: told | {"request": answer.headers.get("x-ms-request-id")}})
        return response


def _clean(answer: Any) -> bool:
    """Whether the body is JSON (or empty). What a file could not hold is taken out of it, for whoever reads it afterwards."""
    body = answer.content
    if not body:
        return True
    try:
        fit = cleaned(body)
    except (ValueError, RecursionError):
        return False
    if fit is not body:
        # azure-core has no way to say so: a body is what was received.
        answer._content, answer._text, answer._json = fit, None, None  # noqa: SLF001
    return True


async def _nothing() -> bytes:
    # azure-core takes an empty body for one not read yet, and would fail on reading it a second time.
    return b""
