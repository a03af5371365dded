"""The sample estate of the drill, both products, lost and planned, with the people who take part in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from drkit.api import capture, control
from drkit.api import plan as plan_
from drkit.drills import simulate
from drkit.model.estate import Assessment
from drkit.model.runbook import Step
from drkit.products import registry
from drkit.simulator import sample_seed
from drkit.simulator.samples.estate import sample_stories
from tests.support.estates import REGION, Crowd, Json, Site, World, by_host, found_end, lost_writes, name_of
from tests.support.kill_points import place_of
from tests.support.run_process import Place

SEED = 1
MINUTES_AGO, ANNOUNCED_AFTER = 25, 12


@contextmanager
def sample(folder: Path, account: str | None = None) -> Iterator[tuple[Site, Place]]:
    """A site on the sample estate, its region lost, planned and approved; and where its processes work."""
    for name in ("world", "site"):
        (folder / name).mkdir(parents=True)
    content = sample_seed(SEED)
    story = simulate._story(content, SEED, REGION, sample=True)
    world = World(folder / "world", content)
    site = Site(world, folder / "site", account=account)
    try:
        simulate._write_settings(site.folder / "drkit.toml", story)
        asyncio.run(capture.snapshot(site.context))
        for one in sample_stories(SEED):
            world.control(str(one["call"]), **one["body"])
        world.control("lose", region=REGION, minutes_ago=MINUTES_AGO, announce_after=ANNOUNCED_AFTER)
        site.plan()
        yield site, replace(place_of(site), variables=tuple(story.secrets.items()))
    finally:
        world.stop()


def end_of(site: Site) -> Json:
    """What exists after a run, the accounts that machines report to among it."""
    state = site.world.view("state")
    heard = sorted(
        (one["machine"].lower(), account["id"].lower())
        for account in state["automation"]
        for one in account["workers"]
        if one["reports"]
    )
    return {**found_end(site), "heard": heard}


def twice(site: Site) -> list[str]:
    """What was done more than once: plans, environments, registrations, and extensions put on or taken off."""
    state, record = site.world.view("state"), site.record()
    asked = Counter(
        (one["method"], one["path"].lower())
        for one in record
        if one["kind"] in ("write", "delete")
        and one["method"] in ("PUT", "DELETE")
        and one["status"] in (200, 201, 202)
    )
    made = Counter((one["plan"].lower(), one["name"].lower()) for one in state["environments"])
    faults = [f"{one}: {number} times" for found in (asked, made) for one, number in found.items() if number > 1]
    faults += [f"{host}: {word} {number} times" for (host, word), number in by_host(state).items() if number > 1]
    return faults + lost_writes(record)


class Everybody(Crowd):
    """Whoever is ready answers, whoever does something by hand does it, and who is not to be reached is left out with a reason."""

    pace = 0.1

    def _asked(self, run: str, step: Step) -> None:
        if step.action == "by-hand":
            self._by_hand(step)
        elif self.site.world.view(f"people/{step.inputs['owner']}")["ready_after"] is None:
            self.said.add(step.id)
            control.skip(self.site.context, run, step.id, "cannot be reached tonight")
            return
        elif not self.ready(step):
            return
        self.answer(run, step)

    def _by_hand(self, step: Step) -> None:
        state = self.site.world.view("state")
        host = next((one for one in state["hosts"] if one["id"].lower() == step.host.lower()), None)
        plan = str(step.inputs.get("plan", "")).rsplit("/", 1)[-1]
        if host and any(name_of(state, one["id"]).endswith(f" under {plan}") for one in host["registrations"]):
            return  # typed already
        kept = self.site.store.newest(Assessment)
        assert kept is not None
        one = next(one for one in plan_.composed(self.site.context, kept[0]).environments if one.id == step.environment)
        for call, body in registry()[step.product].rehearsal.by_hand(step, one):
            self.site.world.control(call, **body)
