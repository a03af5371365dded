"""Every field of every answer that drkit reads, made odd: one failed reading, never the end of the command, and what is kept is good.

The routes, and what their bodies hold, are the simulator's own: what drkit asked it for in one undisturbed round.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from drkit.api import assess, capture, check
from drkit.errors import CloudError
from drkit.model.estate import Assessment, Snapshot
from drkit.simulator.core.state import Json
from drkit.simulator.core.wire import Answer
from tests.scenarios.fuzz.values import Place, changed, places
from tests.support import workers
from tests.support.estates import REGION, Site, World

KINDS: tuple[Any, ...] = (
    None,
    7,
    "x",
    [],
    {"a": 1},
    [7, None],
    True,
    "w" * 2000,
    "\ud800\u202e",
    10**30,
    "evil.example/x?",
    "9999-99-99",
)
MISSING = "left out"
TOGETHER = 12
"""Fields of as many different routes that are odd at once."""
WHOLE = ("/subscriptions", "openid", "oauth2", "tenants")
"""Without these nothing is known at all: the command may end, in drkit's words."""


class Oddities:
    """What a simulator's answers hold, and what is made of them now: route -> (place, value)."""

    def __init__(self, world: World) -> None:
        self.world, self.now = world, dict[str, tuple[Place, Any]]()
        self.fields: dict[str, set[Place]] = defaultdict(set)
        self.sent = world.simulator._send
        world.simulator._send = self.send  # type: ignore[method-assign]

    async def send(
        self, request: web.BaseRequest, fault: Json, answer: Answer, headers: dict[str, str]
    ) -> web.StreamResponse:
        route = f"{request.method} {self.world.simulator.world.record[-1]['route']}"
        if answer.body is None or answer.status >= 300:
            return await self.sent(request, fault, answer, headers)
        for place in places(answer.body):
            if all(part == 0 for part in place if isinstance(part, int)):
                self.fields[route].add(place)
        if route not in self.now:
            return await self.sent(request, fault, answer, headers)
        place, value = self.now[route]
        try:
            body = changed(answer.body, place, lambda _: value, leave_out=value == MISSING)
        except (LookupError, TypeError):
            return await self.sent(request, fault, answer, headers)
        return web.Response(
            status=answer.status,
            body=json.dumps(body).encode(),
            headers={**headers, "Content-Type": "application/json"},
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    world = World(tmp_path, workers.content(), leaping=True)
    try:
        (tmp_path / "drkit.toml").write_text('targets = ["eastus"]\n[channels]\nazure_vm = "run-command"\n')
        yield Site(world, tmp_path)
    finally:
        world.stop()


def rounds(fields: Mapping[str, set[Place]]) -> Iterator[dict[str, tuple[Place, Any]]]:
    """Every field once or more, each time with another kind of oddity; several routes at once."""
    random = Random(1)
    kinds = (*KINDS, MISSING)
    waiting = {route: sorted(some, key=repr) for route, some in sorted(fields.items())}
    number = 0
    while any(waiting.values()):
        chosen = random.sample(
            [route for route, some in waiting.items() if some], k=min(TOGETHER, sum(map(bool, waiting.values())))
        )
        told = {}
        for route in chosen:
            number += 1
            told[route] = (waiting[route].pop(), kinds[number % len(kinds)])
        yield told


def test_every_field_made_odd_costs_its_reading_only(site: Site) -> None:
    oddities = Oddities(site.world)
    asyncio.run(capture.snapshot(site.context))
    site.world.control("lose", region=REGION, minutes_ago=25, announce_after=10)
    asyncio.run(assess.assess(site.context))
    asyncio.run(check.check(site.context))
    assert len(oddities.fields) > 25
    faults, number = [], 0
    for number, told in enumerate(rounds(dict(oddities.fields))):
        oddities.now = told
        ends = any(word in route for route in told for word in WHOLE)
        work = (capture.snapshot, assess.assess, check.check)[number % 3]
        try:
            asyncio.run(work(site.context))
        except CloudError as error:
            if not ends:
                faults.append((number, told, str(error)))
        except Exception as error:
            faults.append((number, told, f"{type(error).__name__}: {error}"))
    assert not faults, "\n".join(f"{number}: {error}\n  {told}" for number, told, error in faults)[:20_000]
    assert number > 20
    assert site.store.newest(Snapshot)
    assert site.store.newest(Assessment)
    for path in site.store.folder.rglob("*.json"):
        json.loads(path.read_text("utf-8"))
