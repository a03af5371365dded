"""Which actions a simulator's record shows, and which of them no role of drkit's grants."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from drkit.model import roles
from drkit.simulator.core.routing import routes
from drkit.simulator.core.wire import parse_id

AGENT = "drkit/"


@cache
def actions() -> dict[tuple[str, str], str]:
    """Method and route pattern -> action."""
    return {(one.method, one.pattern): one.action for one in routes()}


def used(record: Iterable[dict[str, Any]]) -> set[str]:
    """Every action that drkit's own requests in a record need, in lower case."""
    found = set()
    for one in record:
        action = actions().get((one["method"], one["route"] or ""), "")
        if not action or not str(one.get("agent", "")).startswith(AGENT) or one["status"] in (401, 403):
            continue
        if "{type}" in action:
            parsed = parse_id(one["path"])
            action = action.replace("{type}", parsed.type if parsed else "")
        found.add(action.lower())
    return found


def missing(record: Iterable[dict[str, Any]]) -> list[str]:
    """Those of them that no role grants."""
    granted = {one.action.lower() for role in roles.load().values() for one in role.actions}
    return sorted(used(record) - granted)
