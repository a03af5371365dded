"""The way there and back in this process: what exists before and after, and people who take part meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from drkit import api
from drkit.estate import Assessment
from tests.estates import REGION, People, Site

Json = dict[str, Any]


def restore(site: Site) -> None:
    """The region returns."""
    site.world.control("restore", region=REGION)


def lose(site: Site) -> None:
    """The region is lost, and Microsoft said so some minutes ago."""
    site.lose()


def assess(site: Site) -> Assessment:
    return asyncio.run(api.assess(site.desk))[0]


def snapshot(site: Site) -> None:
    asyncio.run(api.snapshot(site.desk))


def carry_out(site: Site, planned: api.Planned) -> api.Applied:
    """Approve and apply it here, while people do their part."""
    site.planned = planned
    api.approve(site.desk, planned.digest)
    with People(site):
        return asyncio.run(api.apply(site.desk, planned.digest, wait_minutes=30))


def go_on(site: Site, run: str) -> api.Applied:
    """Resume it here, while people do their part."""
    with People(site):
        return asyncio.run(api.resume(site.desk, run, wait_minutes=30))


def failover(site: Site) -> api.Applied:
    """Assess, plan, carry out."""
    assess(site)
    return carry_out(site, api.plan(site.desk))


def unfinished(site: Site) -> list[tuple[str, str, str]]:
    """What of the newest run is not done, for a message."""
    return [(step, one.status, one.detail) for step, one in site.state.steps.items() if one.status != "done"]


def estate_of(site: Site, also: Callable[[Json], Json] = lambda _state: {}) -> Json:
    """What exists in the world: all that a round trip must leave as it was. Ids that a service gives anew are left out."""
    state = site.world.view("state")
    names = {one["id"]: (one["name"], one["plan"].rsplit("/", 1)[-1]) for one in state["environments"]}
    return {
        "groups": sorted((one["name"], one["location"]) for one in state["groups"]),
        "resources": sorted((one["id"].lower(), one["location"]) for one in state["resources"]),
        "environments": sorted(
            (one["name"], one["type"], one["plan"].lower(), one["owner"], one["state"], tuple(one["hosts"]))
            for one in state["environments"]
        ),
        "registrations": sorted(
            (one["id"], tuple(names.get(held["id"], held["id"]) for held in one["registrations"]))
            for one in state["hosts"]
        ),
        "workers": sorted(
            (account["id"], account["url"], one["group"], one["machine"], one["reports"])
            for account in state["automation"]
            for one in account["workers"]
        ),
        "worker_groups": sorted((account["id"], *sorted(account["groups"])) for account in state["automation"]),
        "extensions": sorted(
            (host.id, one.name, one.publisher, one.type, str(one.settings), str(one.protected), one.state)
            for host in site.world.simulator.world.hosts.values()
            for one in host.extensions.values()
        ),
    } | also(state)


def answering_twice(site: Site) -> list[str]:
    """Hosts that answer to more than one plan now, by the simulator's own word."""
    state = site.world.view("state")
    found: dict[str, set[str]] = {}
    for one in state["environments"]:
        if one["type"] == "staticEnvironment" and one["state"] == "Available":
            for host in one["hosts"]:
                found.setdefault(host, set()).add(one["plan"])
    for account in state["automation"]:
        for one in account["workers"]:
            if one["reports"]:
                found.setdefault(one["machine"], set()).add(account["id"])
    return [f"{host}: {sorted(plans)}" for host, plans in found.items() if len(plans) > 1]
