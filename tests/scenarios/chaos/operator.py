"""A second operator beside a run, who says to it what they may; and whether drkit says at the end who serves each host."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import replace
from types import TracebackType
from typing import Self

from drkit.api import control, history, status
from drkit.api import plan as plan_
from drkit.errors import DrkitError
from drkit.planning import hosts_in_doubt, leftovers
from tests.support import round_trip as returning
from tests.support.estates import Site
from tests.support.patience import PATIENCE
from tests.support.run_process import Place

WORDS = ("pause", "unpause", "skip", "skip", "skip", "retry", "abort")


class Operator:
    """Says random things to the newest run, at random moments, until the end of its context.

    ``said`` counts what was taken; a refusal is an answer too, and counts as ``refused``.
    """

    def __init__(self, site: Site, story: random.Random) -> None:
        self.site, self.story = site, story
        self.said: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        left = self.story.randint(1, 5)
        while left and not self._over.wait(self.story.uniform(0.2, 2.5)):
            if self.site.run:
                self.say(self.story.choice(WORDS))
                left -= 1

    def say(self, word: str) -> None:
        """Say one thing to the newest run."""
        context, run = self.site.context, self.site.run
        try:
            if word == "pause":
                control.pause(context, run, "lunch")
            elif word == "unpause":
                control.unpause(context, run)
            elif word == "abort":
                control.abort(context, run, "enough")
            else:
                steps = status.status(context, run).runbook.steps
                step = self.story.choice(steps).id
                if word == "skip":
                    control.skip(context, run, step, "not tonight")
                else:
                    control.retry(context, run, step)
        except DrkitError:
            self.said["refused"] += 1
        else:
            self.said[word] += 1

    def rebase(self, place: Place) -> Place:
        """Assess, and have what is left planned anew and approved; the place where that is carried out."""
        try:
            returning.assess(self.site)
            planned = control.rebase(self.site.context, self.site.run)
            plan_.approve(self.site.context, planned.digest)
        except DrkitError:
            self.said["refused"] += 1
            return place
        self.said["rebase"] += 1
        self.site.planned = planned
        return replace(place, digest=planned.digest)


def unsaid(site: Site, serving: dict[str, list[str]], elsewhere: Site | None = None) -> list[str]:
    """Where drkit's word and the world differ. ``serving``: machine -> the plans that it serves, by the simulator's own state.

    ``elsewhere``: another store beside this one. Each of the two is judged by its own word; that a host serves nobody is for the one
    to say that took it off.
    """
    sites = [site] if elsewhere is None else [site, elsewhere]
    named = {doubt.host.lower() for each in sites for doubt, _ in history.in_doubt(each.context)}
    faults = [
        f"{machine}: serves nobody, and drkit does not say so"
        for machine, plans in serving.items()
        if not plans and machine.lower() not in named
    ]
    return [*faults, *(fault for each in sites for fault in _differing(each, serving))]


def _differing(site: Site, serving: dict[str, list[str]]) -> list[str]:
    """Where the word of one store and the world differ."""
    context = site.context
    doubts = {doubt.host.lower(): doubt for doubt, _ in history.in_doubt(context)}
    faults: list[str] = []
    for machine, plans in serving.items():
        doubt = doubts.get(machine.lower())
        if plans and doubt is not None and doubt.certain and doubt.words.endswith("registered nowhere"):
            faults.append(f"{machine}: serves {plans}, and drkit says that it is registered nowhere")
    last: dict[str, str] = {}
    for told in context.store.run_records():
        for moved in leftovers.moved(told.book, told.state):
            if moved.host:
                last[moved.host.lower()] = moved.now_plan
    for machine, plans in serving.items():
        said = last.get(machine.lower())
        if said and machine.lower() not in doubts and said.lower() not in [plan.lower() for plan in plans]:
            faults.append(f"{machine}: serves {plans}, and drkit says {said}")
    for standing in status.runs(context):
        if standing.outcome in status.DONE and any(host in doubts for host in _hosts(standing)):
            faults.append(f"{standing.run}: {standing.outcome} with a host in doubt")
    return faults


def _hosts(standing: status.RunStatus) -> set[str]:
    return {one.host.lower() for one in hosts_in_doubt.in_doubt(standing.runbook, standing.state)}
