"""The way there and back in this process: what exists before and after, and people who take part meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from drkit.api import apply, capture, plan
from drkit.api import assess as assess_
from drkit.execution.events import Event
from drkit.model.estate import Assessment
from drkit.simulator.codespaces.environments import bearers, state_of
from drkit.simulator.hybrid_worker.model import reporting
from tests.support.estates import REGION, People, Site

Json = dict[str, Any]
Heard = Callable[[Event], None]


def ignored(_event: Event) -> None:
    """Nothing is done about it."""


class Judged(dict[str, Any]):
    """Environments, or workers, of the world: notes each one that is deleted while nothing elsewhere replaces it."""

    def __init__(self, world: Any, held: dict[str, Any], faults: list[str]) -> None:
        super().__init__(held)
        self.world, self.faults = world, faults

    def __delitem__(self, key: str) -> None:
        one = self[key]
        alive = bearers(self.world)
        others = [
            other
            for other in self.values()
            if (other.name, other.owner) == (one.name, one.owner)
            and other.plan != one.plan
            and state_of(other, alive) in ("Available", "Shutdown")
        ]
        if not others:
            self.faults.append(f"{one.name} under {one.plan} was deleted, and stood nowhere else")
        if one.unpushed:
            self.faults.append(f"{one.name} under {one.plan} was deleted with unpushed work")
        super().__delitem__(key)


class JudgedWorkers(Judged):
    """The workers of one account's group."""

    def pop(self, key: str, *default: Any) -> Any:
        one = self.get(key)
        if one is not None and not any(
            worker.machine.lower() == one.machine.lower() and worker is not one for worker, _ in reporting(self.world)
        ):
            self.faults.append(f"{one.machine} was deleted, and reported nowhere else")
        return super().pop(key, *default)


def judge(site: Site, faults: list[str]) -> None:
    """From now on ``faults`` hears of every record that is deleted without standing elsewhere."""
    world = site.world.simulator.world
    if not isinstance(world.environments, Judged):
        world.environments = Judged(world, world.environments, faults)
    for account in world.accounts.values():
        for group in account.groups.values():
            if not isinstance(group.workers, JudgedWorkers):
                group.workers = JudgedWorkers(world, group.workers, faults)


def restore(site: Site) -> None:
    """The region returns."""
    site.world.control("restore", region=REGION)


def lose(site: Site) -> None:
    """The region is lost, and Microsoft said so some minutes ago."""
    site.lose()


def assess(site: Site) -> Assessment:
    return asyncio.run(assess_.assess(site.context))[0]


def snapshot(site: Site) -> None:
    asyncio.run(capture.snapshot(site.context))


def carry_out(site: Site, planned: plan.Planned, on_event: Heard = ignored) -> apply.Applied:
    """Approve and apply it here, while people do their part."""
    site.planned = planned
    plan.approve(site.context, planned.digest)
    with People(site):
        return asyncio.run(apply.apply(site.context, planned.digest, wait_minutes=30, on_event=on_event))


def go_on(site: Site, run: str, on_event: Heard = ignored) -> apply.Applied:
    """Resume it here, while people do their part."""
    site.planned = plan.show(site.context, site.store.state(run).runbook)
    with People(site):
        return asyncio.run(apply.resume(site.context, run, wait_minutes=30, on_event=on_event))


def losing(site: Site, action: str) -> Heard:
    """The region goes again as soon as the first step of that action is done."""
    gone: list[bool] = []

    def hear(event: Event) -> None:
        if event.kind == "done" and event.step is not None and event.step.action == action and not gone:
            gone.append(True)
            site.lose()

    return hear


def failover(site: Site) -> apply.Applied:
    """Assess, plan, carry out."""
    assess(site)
    return carry_out(site, plan.plan(site.context))


def unfinished(site: Site) -> list[tuple[str, str, str]]:
    """What of the newest run is not done, for a message."""
    return [(step, one.status, one.detail) for step, one in site.state.steps.items() if one.status != "done"]


def estate_of(site: Site, also: Callable[[Json], Json] = lambda _state: {}) -> Json:
    """What exists in the world: all that a round trip must not change. Ids that a service gives to a new object are left out."""
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
    """Hosts that answer to more than one plan of a kind now, by the simulator's own word."""
    state = site.world.view("state")
    found: dict[str, set[str]] = {}
    for one in state["environments"]:
        if one["type"] == "staticEnvironment" and one["state"] == "Available":
            for host in one["hosts"]:
                found.setdefault(f"environments {host}", set()).add(one["plan"])
    for account in state["automation"]:
        for one in account["workers"]:
            if one["reports"]:
                found.setdefault(f"workers {one['machine']}", set()).add(account["id"])
    return [f"{host}: {sorted(plans)}" for host, plans in found.items() if len(plans) > 1]
