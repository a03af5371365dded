"""The intent under which a step's requests leave; the pipeline's guard asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from drkit.model.operation import Request
from drkit.model.runbook import Step

_INTENT: ContextVar[tuple[Step | None, tuple[Request, ...]]] = ContextVar("drkit_intent", default=(None, ()))


@contextmanager
def intending(step: Step, requests: tuple[Request, ...]) -> Iterator[None]:
    """Within it the step is the one that acts, and these are the writes it may make."""
    token = _INTENT.set((step, requests))
    try:
        yield
    finally:
        _INTENT.reset(token)


def permitted() -> Sequence[Request]:
    """The writes that the intent of the acting step allows."""
    return _INTENT.get()[1]


def acting() -> Step | None:
    """The acting step. None outside of any."""
    return _INTENT.get()[0]
