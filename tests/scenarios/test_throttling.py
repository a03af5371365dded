"""What passes ends no run for good: a storm of 429 over the one step that everything rests on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from drkit.api import apply
from tests.support.estates import People, estate


def test_a_storm_of_429_over_the_plan_is_weathered(tmp_path: Path) -> None:
    with estate(tmp_path, leaping=True) as site, People(site):
        assert site.planned is not None
        storm = {"method": "PUT", "url": "/plans/", "status": 429, "code": "TooManyRequests", "retry_after": 4}
        site.world.control("fault", **storm, times=9)
        found = asyncio.run(apply.apply(site.context, site.planned.digest, wait_minutes=30))
        assert found.outcome == "succeeded", found
