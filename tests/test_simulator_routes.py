"""The simulator serves nothing that nobody asks for: each route is asked by the drill, by a listed az command, or by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from drkit.simulator.routing import Route, routes
from tests.test_drill import drill, found_in

DRKIT = Path(__file__).parent.parent / "drkit"
# What `az` 2.91 asks for in the commands that docs/embedded-azure.md lists, read off the simulator's record.
AZ = {
    ("GET", "/metadata/endpoints"),
    ("GET", "/{tenant}/v2.0/.well-known/openid-configuration"),
    ("POST", "/{tenant}/oauth2/v2.0/token"),
    ("GET", "/subscriptions"),
    ("GET", "/subscriptions/{subscription}"),
    ("GET", "/subscriptions/{subscription}/locations"),
    ("GET", "/tenants"),
    ("GET", "/subscriptions/{subscription}/operationresults/{operation}"),
}
NAMED = re.compile(r"[A-Za-z0-9.]{4,}")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("routes")
    found_in(drill(folder, "--json"))
    record: list[dict[str, Any]] = json.loads((folder / "requests.json").read_text("utf-8"))
    return {(one["method"], one["route"]) for one in record if one["route"]}


def source() -> str:
    """Everything of drkit but the simulator, and the Bicep whose deployment the simulator takes."""
    paths = [path for path in DRKIT.rglob("*.py") if "simulator" not in path.parts]
    paths += (DRKIT.parent / "bicep").rglob("*.bicep")
    return "\n".join(path.read_text("utf-8") for path in paths).lower()


def named_in(text: str, route: Route) -> bool:
    """Whether drkit's source holds the last fixed part of the route, so that somebody can ask for it."""
    fixed = [part for part in route.pattern.split("/") if part and not part.startswith("{")]
    return bool(fixed) and NAMED.fullmatch(fixed[-1]) is not None and fixed[-1].lower() in text


def test_every_route_is_asked_for(asked: set[tuple[str, str]]) -> None:
    text = source()
    idle = [
        f"{route.method} {route.pattern}"
        for route in routes()
        if (route.method, route.pattern) not in asked | AZ and not named_in(text, route)
    ]
    assert idle == []
