"""Resource Graph, through ``rest``: all rows of a query, within Resource Graph's own quota.

A user may send 15 queries in 5 seconds; the headers of each answer say how many are left.
https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drkit.errors import ThrottledError, UnreachableError
from drkit.providers.pages import Pages

if TYPE_CHECKING:
    from drkit.providers.session import Session

URL = "/providers/Microsoft.ResourceGraph/resources"
API = "2022-10-01"
QUERIES, SECONDS = 15, 5.0
PAGE = 1000
TOGETHER = 1000
"""Subscriptions that one query may name."""
_RESET = re.compile(r"\s*([0-9]{1,9}):([0-9]{2}):([0-9]{2})")


class Graph:
    """``session.graph``. Methods raise the errors of ``drkit.errors``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent: deque[float] = deque()
        self._not_before = 0.0

    async def query(self, text: str, subscriptions: Sequence[str]) -> list[dict[str, Any]]:
        """Every row of a query over these subscriptions. A query must project ``id``, or it cannot be paged.

        UnreachableError for an answer that is not a table, or that does not end.
        """
        all_rows: list[dict[str, Any]] = []
        for start in range(0, len(subscriptions), TOGETHER):
            await self._part(text, list(subscriptions[start : start + TOGETHER]), all_rows)
        return all_rows

    async def _part(self, text: str, subscriptions: list[str], all_rows: list[dict[str, Any]]) -> None:
        token, pages = "", Pages(URL)
        while True:
            options: dict[str, Any] = {"resultFormat": "objectArray", "$top": PAGE}
            if token:
                options["$skipToken"] = token
            await self._turn()
            answer = await self._session.rest.request(
                "POST",
                URL,
                params={"api-version": API},
                json={"subscriptions": subscriptions, "query": text, "options": options},
            )
            self._learn(answer.headers)
            page = rows(answer.body)
            all_rows.extend(page)
            token = pages.turn(page, str(answer.body.get("$skipToken") or ""))
            if not token:
                return

    async def _turn(self) -> None:
        """Wait until the quota allows another query. ThrottledError when that takes longer than a request may take."""
        clock, patience = self._session.clock, self._session.patience
        while True:
            now = clock.monotonic()
            while self._sent and now - self._sent[0] >= SECONDS:
                self._sent.popleft()
            wait = self._not_before - now
            if wait > patience:
                raise ThrottledError(
                    f"not sent: Resource Graph's quota is used up for another {wait:.0f} s",
                    where=URL,
                    remedy="wait that long, then repeat the command",
                    status=429,
                )
            if len(self._sent) >= QUERIES:
                wait = max(wait, SECONDS - (now - self._sent[0]))
            if wait <= 0:
                self._sent.append(now)
                return
            await clock.sleep(wait + 0.01)

    def _learn(self, headers: Mapping[str, str]) -> None:
        """Correct the quota by an answer's headers: queries of other programs of the same user count too."""
        if headers.get("x-ms-user-quota-remaining", "") != "0":
            return
        match = _RESET.match(headers.get("x-ms-user-quota-resets-after", ""))
        seconds = (
            sum(int(part) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 5
        )
        self._not_before = self._session.clock.monotonic() + seconds


def rows(body: Any) -> list[dict[str, Any]]:
    """The rows of an answer, in either of its formats. UnreachableError for an answer that is not a table."""
    data = body.get("data") if isinstance(body, Mapping) else None
    if isinstance(data, list):
        return [row for row in data if isinstance(row, dict)]
    if isinstance(data, Mapping) and isinstance(data.get("columns"), list) and isinstance(data.get("rows"), list):
        names = [str(column.get("name", "")) if isinstance(column, Mapping) else "" for column in data["columns"]]
        return [dict(zip(names, row, strict=False)) for row in data["rows"] if isinstance(row, list)]
    raise UnreachableError("the answer is not a table", where=URL, remedy="repeat the command")
