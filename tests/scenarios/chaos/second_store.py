"""Another store beside a run: a folder of its own with a runbook for the same lost plans, which is carried out as well."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from drkit.api import control, status
from drkit.errors import DrkitError
from drkit.planning import hosts_in_doubt
from tests.scenarios.chaos.grounds import Ground
from tests.support.estates import Site, spilt, wait_for
from tests.support.kill_points import place_of
from tests.support.run_process import DEATHS, KILLED, Life, Lives

KEPT_OUT = 4
"""The exit code of a run that saw the other store's."""
MOST_LIVES = 4
SECONDS = 120.0


class Elsewhere:
    """Plans and approves in a store of its own, and carries that out before the site's run or beside it, for a while or to its end.

    ``said`` counts what came of it: who was ``kept out`` by what the other one had left in the target, and who ``went on``. ``behind``:
    real seconds that lists may be behind; nobody begins within them, as two that begin in the same moment see nothing of each other.
    ``endless``: in this story an operation may never end.
    """

    def __init__(
        self,
        site: Site,
        ground: Ground,
        lives: Lives,
        story: random.Random,
        folder: Path,
        *,
        behind: float = 0.0,
        endless: bool = False,
    ) -> None:
        self.ours, self.ground, self.lives, self.story = site, ground, lives, story
        self.behind, self.endless = behind, endless
        self.before = story.random() < 0.5
        self.site = replace(site, folder=folder, planned=None, account=None, processes=[], faults=[])
        self.said: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beside, daemon=True)
        self._people = ExitStack()

    def __enter__(self) -> Self:
        self.site.folder.mkdir(parents=True)
        shutil.copy(self.ours.folder / "drkit.toml", self.site.folder)
        # Each store captured the estate before its region was lost.
        for kept in self.ours.store.snapshots():
            self.site.store.keep(kept)
        self.site.plan()
        self._people.enter_context(self.ground.people(self.site))
        if self.before:
            self._live(self._some_life(), "went first")
            self._over.wait(self.behind)
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if not self.before:
            self._thread.join(SECONDS)
        self._people.close()

    def _some_life(self) -> Life:
        return Life(self.story.choice((0, self.story.randint(2, 30))), self.story.choice(DEATHS))

    def _live(self, life: Life, word: str) -> int | None:
        place = self.ground.place(place_of(self.site))
        code = self.lives.one(place, life, seconds=SECONDS)
        self.said[{KEPT_OUT: "kept out", None: "stuck", KILLED: "killed"}.get(code, word)] += 1
        return code

    def _beside(self) -> None:
        """Begin once the site's run has left something that can be seen."""
        try:
            wait_for(lambda: self._over.is_set() or self._left_something(), seconds=2 * SECONDS, every=0.1)
        except AssertionError:
            return
        if not self._over.wait(self.behind):
            self._live(self._some_life(), "went on")

    def _left_something(self) -> bool:
        try:
            state = self.ours.state if self.ours.run else None
        except (DrkitError, ValueError):
            return False
        return state is not None and any(
            state.of(step.id).status == "done" and step.action in ("create-plan", "add")
            for step in self.ours.book.steps
        )

    def _ended(self) -> bool:
        return not self.site.run or status.closed(self.site.book, self.site.state)

    def _waits_for_azure(self) -> bool:
        """Whether the run was aborted and only an operation that Azure has not ended keeps it open, as drkit says itself.

        Of a registration that does not end drkit says that nobody knows whether the host is registered.
        """
        state = self.site.state
        said = status.status(self.site.context, self.site.run).reason
        begun = [
            doubt for doubt in hosts_in_doubt.in_doubt(self.site.book, state) if doubt.begun and not doubt.registered
        ]
        return bool(state.aborted) and (
            (bool(state.under_way) and "still under way" in said)
            or (self.endless and bool(begun) and all(doubt.words in said for doubt in begun))
        )

    def see_through(self) -> None:
        """Somebody makes sure that the run of this store is over: it is aborted, or goes on to its end."""
        if not self.before:
            self._thread.join(SECONDS)
        for number in range(MOST_LIVES):
            run = self.site.run
            if self._ended():
                return
            if number == MOST_LIVES - 1 or self.story.random() < 0.5:
                try:
                    control.abort(self.site.context, run, "the other store's run moves it")
                    self.said["aborted"] += 1
                except DrkitError:
                    self.said["refused"] += 1
            self._live(Life(), "seen through")

    @property
    def faults(self) -> list[str]:
        """A run of this store that could not be brought to an end, and secrets in its files."""
        return [
            *([] if self._ended() or self._waits_for_azure() else [f"elsewhere: {self.site.run} does not end"]),
            *spilt(self.site),
        ]
