"""What the wrappers of the SDK's clients share: one client for each subscription, and answers as plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from drkit.providers.session import Session

C = TypeVar("C")


class SubscriptionClients(Generic[C]):
    """The clients of one kind in a session. ``make`` takes ``subscription_id`` and the session's pipeline."""

    def __init__(self, session: Session, make: Callable[..., C]) -> None:
        self._session = session
        self._make = make
        self._clients: dict[str, C] = {}

    def of(self, subscription: str) -> C:
        """The client of a subscription, made at its first use."""
        if subscription not in self._clients:
            self._clients[subscription] = self._make(subscription_id=subscription, **self._session.client_arguments())
        return self._clients[subscription]


def as_json(response: Any, _model: Any, _headers: Any) -> Any:
    """The body as it was on the wire: what SDK methods take as ``cls`` instead of building a model."""
    return response.http_response.json()
