"""The only retry layer: tenacity, inside one policy of the pipeline.

It sees every request: first calls, polls and further pages. It sends again:

- a read (the reading POSTs too), a PUT and a DELETE: after 408, 429, 500, 502, 503, 504 and 529, and after a connection that
  failed or was cut;
- any other POST, and a PATCH: after 429, and when no connection was made. When the connection is cut after the request was sent,
  or the answer is a 5xx, the request may or may not have been carried out: UnknownFateError, at once.

Retry-After is obeyed if it fits the budget. The budget counts seconds waited on the session's clock and seconds spent on sockets
in real time.
https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncRetryPolicy
from tenacity import AsyncRetrying, RetryCallState
from tenacity.wait import wait_exponential_jitter

from drkit.errors import CloudError, DrkitError, GuardError, ThrottledError, UnknownFateError
from drkit.model.answers import text_of
from drkit.model.clock import Clock
from drkit.model.operation import bare
from drkit.providers.counters import Counters
from drkit.providers.error_mapping import NETWORK_ERRORS, fate_of, from_answer, from_exception, hopeless
from drkit.providers.guard import RequestKind
from drkit.providers.redact import Redactor

# When the guard refuses a repeat, the attempt before it was sent all the same.
_FAILURES: tuple[type[Exception], ...] = (*NETWORK_ERRORS, CloudError, GuardError)
RETRIED = frozenset({408, 429, 500, 502, 503, 504, 529})
_BACKOFF = wait_exponential_jitter(multiplier=0.5, max=20.0, jitter=0.5)


@dataclass(frozen=True)
class Budget:
    """How often a request is sent at most, and how many seconds all attempts and waits may take together."""

    attempts: int = 5
    seconds: float = 120.0


DEFAULT_BUDGET = Budget()
_current: ContextVar[Budget | None] = ContextVar("drkit_retry_budget", default=None)


@contextmanager
def limited(budget: Budget) -> Iterator[None]:
    """Requests of this task inside the block have this budget instead of the session's."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the server asks to wait (in seconds, as an HTTP date, or in x-ms-retry-after-ms); None when it does not.

    0, and a date in the past, count as no value.
    """
    for name, scale in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value) / scale
        except ValueError:
            try:
                moment = parsedate_to_datetime(value)
                moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                seconds = (moment - now).total_seconds()
            except (ValueError, OverflowError):
                continue
        if 0 < seconds < float("inf"):
            return seconds
    return None


def may_repeat(method: str, kind: RequestKind, status: int) -> bool:
    """Whether the same request may be sent again after an answer of that status."""
    if repeatable(method, kind):
        return status in RETRIED
    return status == 429


def repeatable(method: str, kind: RequestKind) -> bool:
    """Whether a request that is sent twice does no more than one that is sent once."""
    return kind == "read" or method in ("PUT", "DELETE")


@dataclass
class _Sending:
    """One request and its attempts so far.

    ``spent``: seconds of the budget; ``sent``: the last attempt left this machine; ``cut``: an attempt was cut after it was sent.
    """

    method: str
    url: str
    kind: RequestKind
    budget: Budget
    spent: float = 0.0
    sent: bool = False
    cut: bool = False
    asked_wait: float | None = None


KIND = "drkit_kind"
SENT = "drkit_sent"
_TRIED = "drkit_tried"


class TenacityRetryPolicy(AsyncRetryPolicy[Any, Any]):
    """Repeats what may be repeated, within a budget; everything else becomes one of drkit's errors.

    ``before_repeat(request)`` is awaited before each further attempt, and ``learn(request, response)`` is called after each answer:
    both are the throttle's. ``read_timeout`` and ``connection_timeout`` are the session's, shortened to the rest of the budget.
    The last policy before the transport sets ``SENT`` in the request's context.
    """

    def __init__(
        self,
        clock: Clock,
        counters: Counters,
        redactor: Redactor,
        before_repeat: Callable[[PipelineRequest[Any]], Awaitable[None]],
        learn: Callable[[PipelineRequest[Any], PipelineResponse[Any, Any]], None],
        *,
        budget: Budget = DEFAULT_BUDGET,
        connection_timeout: float = 5.0,
        read_timeout: float = 30.0,
    ) -> None:
        super().__init__(retry_total=0)
        self._clock = clock
        self._counters = counters
        self._redact = redactor
        self._before_repeat = before_repeat
        self._learn = learn
        self._budget = budget
        self._connection_timeout = connection_timeout
        self._read_timeout = read_timeout

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """The last answer. Raises ThrottledError, UnreachableError, UnknownFateError, CredentialError or GuardError."""
        self.configure_retries(request.context.options)  # removes its options, so that none reaches the transport
        http = request.http_request
        sending = _Sending(http.method, http.url, request.context[KIND], current_budget(self._budget))

        def repeat(state: RetryCallState) -> bool:
            return self._wants_repeat(sending, state)

        def stop(state: RetryCallState) -> bool:
            over = sending.spent + state.upcoming_sleep > sending.budget.seconds
            return over or state.attempt_number >= sending.budget.attempts

        def wait(state: RetryCallState) -> float:
            return sending.asked_wait if sending.asked_wait is not None else _BACKOFF(state)

        async def sleep(seconds: float) -> None:
            await self._clock.sleep(seconds)
            sending.spent += seconds
            self._counters.waited(seconds)

        def give_up(state: RetryCallState) -> Any:
            return self._give_up(sending, state)

        retrying = AsyncRetrying(sleep=sleep, retry=repeat, stop=stop, wait=wait, retry_error_callback=give_up)
        try:
            response: PipelineResponse[Any, Any] = await retrying(self._attempt, request, sending)
        except _FAILURES as error:
            if sending.cut and sending.kind != "read" and not isinstance(error, UnknownFateError):
                what = from_exception(error, sending.method, sending.url, self._redact).what
                raise self._unknown(sending, what) from error
            raise
        return response

    async def _attempt(self, request: PipelineRequest[Any], sending: _Sending) -> PipelineResponse[Any, Any]:
        if _TRIED in request.context:
            self._counters.retries += 1
            await self._before_repeat(request)
        request.context[_TRIED] = True
        seconds_left = max(sending.budget.seconds - sending.spent, 0.05)
        options = request.context.options
        options["connection_timeout"] = min(self._connection_timeout, seconds_left)
        options["read_timeout"] = min(self._read_timeout, seconds_left)
        request.context.pop(SENT, None)
        began = time.monotonic()
        try:
            # The timeouts above limit each read; this one limits an answer that arrives drop by drop.
            async with asyncio.timeout(seconds_left):
                response = await self.next.send(request)
        finally:
            sending.spent += time.monotonic() - began
            sending.sent = bool(request.context.get(SENT))
        self._learn(request, response)
        return response

    def _wants_repeat(self, sending: _Sending, state: RetryCallState) -> bool:
        sending.asked_wait = None
        outcome = state.outcome
        assert outcome is not None  # noqa: S101  (tenacity asks after an attempt)
        error = outcome.exception()
        if error is not None:
            if isinstance(error, DrkitError) or not isinstance(error, NETWORK_ERRORS):
                return False
            unsent = not sending.sent or fate_of(error) == "not-sent"
            sending.cut = sending.cut or not unsent
            if hopeless(error):
                return False
            return unsent or repeatable(sending.method, sending.kind)
        answer = outcome.result().http_response
        headers = lowered(answer.headers)
        if not may_repeat(sending.method, sending.kind, answer.status_code):
            if answer.status_code >= 500 or answer.status_code == 408:
                self._refuse_unknown(sending, answer)
            if sending.cut and sending.kind != "read" and answer.status_code in (409, 412):
                # The conflict may be with our own first attempt.
                raise self._unknown(sending, f"{sending.method} was cut off, then conflicted ({answer.status_code})")
            return False
        sending.asked_wait = retry_after(headers, self._clock.now())
        return True

    def _refuse_unknown(self, sending: _Sending, answer: Any) -> None:
        if repeatable(sending.method, sending.kind):
            return
        headers = lowered(answer.headers)
        error = from_answer(sending.method, sending.url, answer.status_code, headers, answer.content, self._redact)
        raise UnknownFateError(
            f"{error.what}; it may or may not have been carried out",
            where=error.where,
            remedy="drkit looks before it does anything else",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        )

    def _give_up(self, sending: _Sending, state: RetryCallState) -> Any:
        outcome = state.outcome
        assert outcome is not None  # noqa: S101
        error = outcome.exception()
        if error is not None:
            raise error
        answer = outcome.result().http_response
        if answer.status_code == 429:
            raise self._throttled(sending, state, answer)
        if sending.cut and sending.kind != "read":
            raise self._unknown(sending, f"{sending.method} was cut off, then answered with {answer.status_code}")
        return outcome.result()

    def _throttled(self, sending: _Sending, state: RetryCallState, answer: Any) -> ThrottledError:
        headers = lowered(answer.headers)
        error = from_answer(sending.method, sending.url, 429, headers, answer.content, self._redact)
        asked = "" if sending.asked_wait is None else f"; Azure asks to wait {sending.asked_wait:.0f} s"
        return ThrottledError(
            f"{error.what} ({state.attempt_number} of {sending.budget.attempts} attempts{asked})",
            where=error.where,
            remedy="wait that long, then repeat the command" if asked else error.remedy,
            status=429,
            code=error.code,
            request_id=error.request_id,
        )

    def _unknown(self, sending: _Sending, what: str) -> UnknownFateError:
        return UnknownFateError(
            f"{what}; it may or may not have been carried out",
            where=bare(sending.url),
            remedy="drkit looks before it does anything else",
        )


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with names in lower case, and with values that a file can hold."""
    return {name.lower(): text_of(value) for name, value in headers.items()}


def current_budget(default: Budget) -> Budget:
    """The budget of the enclosing ``limited`` block, else ``default``."""
    return _current.get() or default
