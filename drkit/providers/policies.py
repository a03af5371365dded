"""The first and the last policy of the pipeline: guard, throttle and errors before the retry, guard and count after it."""

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
from drkit.model.answers import cleaned
from drkit.model.arm_limits import OperationKind
from drkit.model.clock import Clock
from drkit.model.log import FIELDS
from drkit.model.operation import bare
from drkit.providers.auth import ANONYMOUS, OWN_TOKEN, AuthPolicy
from drkit.providers.counters import Counters, subscription_of
from drkit.providers.error_mapping import NETWORK_ERRORS, from_answer, from_exception, not_json, read_error_body
from drkit.providers.guard import Guard, Outgoing, ReadingPosts, RequestKind, check_shape, classify
from drkit.providers.redact import Redactor
from drkit.providers.retry import KIND, SENT, Budget, current_budget, lowered, repeatable, retry_after
from drkit.providers.throttle import BucketKey, Throttle

log = logging.getLogger("drkit.providers")

ALLOWED = "drkit_allowed"
PLAIN = "drkit_plain"
ODD = "drkit_odd"
REQUEST_ID = "x-ms-client-request-id"
_THROTTLE_CODES = frozenset({"subscriptionrequeststhrottled", "tenantrequeststhrottled", "toomanyrequests"})
_SECRET_VALUES = re.compile(rb'"(?:accessToken|access_token|sessionToken|relaySasToken)"\s*:\s*"([^"\\]{8,})"')


@dataclass
class PipelineState:
    """What the policies of one session share. ``reads``: the POSTs that change nothing, and so may be sent again."""

    arm: str
    principal: str
    guard: Guard
    clock: Clock
    counters: Counters
    redact: Redactor
    throttle: Throttle
    budget: Budget
    reads: ReadingPosts

    def outgoing(self, http: Any) -> Outgoing:
        """A request as the guard sees it. GuardError for a body that cannot be inspected, or an ambiguous URL."""
        method, url, body = http.method.upper(), http.url, http.content or None
        if isinstance(body, str):
            body = body.encode()
        if body is not None and not isinstance(body, bytes):
            raise GuardError(f"{method} was not sent: its body cannot be inspected", where=bare(url))
        leaving = Outgoing(method, url, body, classify(method, url, body, self.reads))
        check_shape(leaving)
        return leaving


class GuardPolicy(AsyncHTTPPolicy[Any, Any]):
    """Guard, token and throttle before a request; drkit's errors for its answer."""

    def __init__(self, state: PipelineState, auth: AuthPolicy) -> None:
        super().__init__()
        self._state = state
        self._auth = auth
        arm = urlsplit(state.arm)
        self._arm = (arm.hostname, arm.port)

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """The answer, if its status is 2xx or allowed; otherwise one of drkit's errors is raised."""
        http, options, context = request.http_request, request.context.options, request.context
        for name in (ANONYMOUS, OWN_TOKEN, ALLOWED, PLAIN):
            context[name] = options.pop(name, None)
        # Bodies are read inside the retry, where a cut connection can be repeated; the SDK streams an operation's first answer.
        streamed = options.pop("stream", False)
        leaving = self._state.outgoing(http)
        context[KIND] = leaving.purpose
        self._state.guard(leaving)
        try:
            await self._auth.prepare(request)
            await self.throttle(request)
            response = await self.next.send(request)
        except NETWORK_ERRORS as error:
            raise from_exception(error, http.method, http.url, self._state.redact) from error
        if streamed and not response.http_response.content:
            response.http_response.read = _nothing
        self._judge(request, response)
        return response

    def _judge(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        http, answer, redact = request.http_request, response.http_response, self._state.redact
        status, body, headers = answer.status_code, answer.content, lowered(answer.headers)
        for secret in _SECRET_VALUES.findall(body):
            redact.add(secret.decode("utf-8", "replace"))
        if status >= 300:
            if status not in (request.context[ALLOWED] or ()):
                own_token = bool(request.context[OWN_TOKEN])
                raise from_answer(http.method, http.url, status, headers, body, redact, own_token=own_token)
        elif body and request.context[ODD] and not request.context[PLAIN] and not self._plain_text(request, headers):
            done = repeatable(http.method, request.context[KIND])
            raise not_json(http.method, http.url, status, headers, body, fate_known=done)

    def _plain_text(self, request: PipelineRequest[Any], headers: Mapping[str, str]) -> bool:
        """Whether plain text is allowed: the health page of a product's service is a word of plain text; ARM's answers are not."""
        elsewhere = bool(request.context[OWN_TOKEN] or request.context[ANONYMOUS])
        return elsewhere and headers.get("content-type", "").lower().startswith("text/plain")

    def _key(self, request: PipelineRequest[Any]) -> BucketKey | None:
        """The bucket of a request to ARM; None for requests to other services."""
        url = request.http_request.url
        parts = urlsplit(url)
        if (parts.hostname, parts.port) != self._arm:
            return None
        kind: RequestKind = request.context[KIND]
        method = request.http_request.method
        operation: OperationKind = (
            "delete" if kind == "delete" else "write" if kind == "write" or method == "POST" else "read"
        )
        return BucketKey(subscription_of(url), self._state.principal, "", operation)

    async def throttle(self, request: PipelineRequest[Any]) -> None:
        """Wait until the request's bucket allows it."""
        if key := self._key(request):
            await self._state.throttle.take(key, current_budget(self._state.budget).seconds)

    def learn(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Count an answer, and correct the request's bucket by its headers."""
        answer = response.http_response
        self._state.counters.answer(answer.status_code, len(answer.content))
        key = self._key(request)
        if key is None:
            return
        headers = lowered(answer.headers)
        pause = None
        # A resource provider's own 429 concerns that provider only; ARM's 429 closes the bucket.
        if answer.status_code == 429 and read_error_body(answer.content).code.lower() in _THROTTLE_CODES:
            pause = retry_after(headers, self._state.clock.now())
        self._state.throttle.learn(key, headers, pause)


class SendPolicy(AsyncHTTPPolicy[Any, Any]):
    """The last policy: the guard again, because throttle, retry and token took time; then the count."""

    def __init__(self, state: PipelineState) -> None:
        super().__init__()
        self._state = state

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send the request to the transport, and log it."""
        http = request.http_request
        leaving = self._state.outgoing(http)
        self._state.guard(leaving)
        kind = "write" if leaving.purpose == "delete" else leaving.purpose
        self._state.counters.call(kind, http.url, len(leaving.body or b""))
        request.context[SENT] = True
        began = time.monotonic()
        fields = {
            "method": http.method,
            "url": self._state.redact(bare(http.url)),
            "client_request": http.headers.get(REQUEST_ID),
        }
        try:
            response = await self.next.send(request)
        except Exception as error:
            fields |= {"error": type(error).__name__, "seconds": round(time.monotonic() - began, 3)}
            log.info("request", extra={FIELDS: fields})
            raise
        answer = response.http_response
        request.context[ODD] = not _clean(answer)
        fields |= {"status": answer.status_code, "seconds": round(time.monotonic() - began, 3)}
        log.info("request", extra={FIELDS: fields | {"request": answer.headers.get("x-ms-request-id")}})
        return response


def _clean(answer: Any) -> bool:
    """Whether the body is JSON or empty. What a file cannot hold is removed from it, for all who read it afterwards."""
    body = answer.content
    if not body:
        return True
    try:
        fit = cleaned(body)
    except (ValueError, RecursionError):
        return False
    if fit is not body:
        # azure-core has no public way to replace a received body.
        answer._content, answer._text, answer._json = fit, None, None  # noqa: SLF001
    return True


async def _nothing() -> bytes:
    # azure-core takes an empty body for an unread one, and would fail when it reads it again.
    return b""
