"""Which of the simulator's routes are asked for by name: in drkit's source, in bicep/, or by a listed az command."""

from __future__ import annotations

import re
from pathlib import Path

from drkit.simulator.core.routing import Route

DRKIT = Path(__file__).parents[2] / "drkit"
# What `az` 2.91 requests to sign in, to list subscriptions and locations, and to follow an operation; from the simulator's record.
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


def source() -> str:
    """Everything of drkit but the simulator, and the Bicep whose deployment the simulator takes."""
    paths = [path for path in DRKIT.rglob("*.py") if "simulator" not in path.parts]
    paths += (DRKIT.parent / "bicep").rglob("*.bicep")
    return "\n".join(path.read_text("utf-8") for path in paths).lower()


def named_in(text: str, route: Route) -> bool:
    """Whether drkit's source holds the last fixed part of the route, so that somebody can ask for it."""
    fixed = [part for part in route.pattern.split("/") if part and not part.startswith("{")]
    return bool(fixed) and NAMED.fullmatch(fixed[-1]) is not None and fixed[-1].lower() in text
