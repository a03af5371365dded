"""The table of routes: which request goes to which handler, and which documented action it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from drkit.simulator.core.state import Caller, Json, World
from drkit.simulator.core.wire import Answer

ARM, AUTHORITY, CODESPACES, AUTOMATION = "arm", "authority", "codespaces", "automation"


@dataclass
class Call:
    """One request, as a handler sees it."""

    world: World
    method: str
    host: str
    """The public name of the host it was sent to, ``management.azure.com`` for one."""
    raw_path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any = None
    """The parsed JSON body; None without one."""
    form: dict[str, str] = field(default_factory=dict)
    base: str = ""
    """The loopback URL of the host it was sent to, without a path."""
    path: dict[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    bearer: str = ""
    action: str = ""
    note: Json = field(default_factory=dict)
    """What the handler adds to the request's line in the record: kind, script, subject, principal."""
    fault: Json = field(default_factory=dict)
    """The rule of ``faults`` that fits this request and that its handler must act out (``lro``)."""

    @property
    def link(self) -> str:
        """This request's own URL without its query."""
        return self.base + self.raw_path

    @property
    def principal(self) -> Caller:
        if self.caller is None:
            raise RuntimeError("a route without an ARM token asked for its principal")
        return self.caller


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """``pattern``: ``{x}`` catches one segment, ``{x*}`` one or more. ``action``: what RBAC checks, "" for nothing.

    ``kind`` is what the record says (read, write, probe, token); by default GET and HEAD read, all else writes.
    """

    method: str
    pattern: str
    handler: Handler
    action: str = ""
    plane: str = ARM
    kind: str = ""

    @property
    def effect(self) -> str:
        return self.kind or ("read" if self.method in ("GET", "HEAD") else "write")

    @cached_property
    def _parts(self) -> tuple[list[str], int | None]:
        """The pattern's segments, and which of them is the rest."""
        parts = self.pattern.strip("/").split("/")
        return parts, next((number for number, part in enumerate(parts) if part.endswith("*}")), None)

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """What the pattern catches in these segments, or None. Fixed segments are compared without case."""
        parts, rest = self._parts
        if rest is None and len(parts) != len(segments):
            return None
        caught: dict[str, str] = {}
        if rest is not None:
            tail = len(segments) - (len(parts) - rest - 1)
            if tail <= rest:
                return None
            caught[parts[rest][1:-2]] = "/".join(segments[rest:tail])
            parts, segments = parts[:rest] + parts[rest + 1 :], segments[:rest] + segments[tail:]
        if len(parts) != len(segments):
            return None
        for part, segment in zip(parts, segments, strict=True):
            if part.startswith("{"):
                caught[part[1:-1]] = segment
            elif part.lower() != segment.lower():
                return None
        return caught

    @property
    def rank(self) -> tuple[int, ...]:
        """Fixed segments before caught ones, those before the rest, and a longer rest before one that ends."""
        parts = self.pattern.strip("/").split("/")
        return (*(2 if part.endswith("*}") else 1 if part.startswith("{") else 0 for part in parts), 3)


class RouteTable:
    """Routes by plane and method, the more specific first."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = sorted(routes, key=lambda route: route.rank)

    def find(self, planes: tuple[str, ...], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of one of ``planes`` for a decoded path; runs of slashes count as one."""
        segments = [part for part in path.split("/") if part]
        for route in self.routes:
            if route.plane in planes and route.method == method:
                caught = route.match(segments)
                if caught is not None:
                    return route, caught
        return None


def routes() -> list[Route]:
    """Every route the simulator serves, apart from its own control interface."""
    from drkit.simulator.arm import (
        compute,
        deployments,
        extensions,
        governance,
        identity,
        permissions,
        resource_manager,
    )
    from drkit.simulator.codespaces import plans, service
    from drkit.simulator.core import operations
    from drkit.simulator.hybrid_worker import arm as hybrid_worker_arm
    from drkit.simulator.signals import activity_log, health, metrics, resource_graph, site_recovery

    modules = (
        identity,
        operations,
        permissions,
        resource_manager,
        compute,
        deployments,
        extensions,
        governance,
        health,
        activity_log,
        metrics,
        resource_graph,
        site_recovery,
        plans,
        service,
        hybrid_worker_arm,
    )
    return [route for module in modules for route in module.ROUTES]


def service_hosts() -> dict[str, str | None]:
    """Public host name -> its region (None: a global host)."""
    from drkit.simulator.codespaces import environments
    from drkit.simulator.hybrid_worker import model

    return environments.HOSTS | model.HOSTS


def plane_of(host: str) -> str:
    """The plane that a service host serves."""
    from drkit.simulator.hybrid_worker.model import HOSTS

    return AUTOMATION if host in HOSTS else CODESPACES
