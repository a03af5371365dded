"""The estates that chaos is told on, over and back, and their judges: the simulator's record and what exists, never a journal."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from drkit.api import failback as back
from drkit.api import plan
from tests.support import round_trip as returning
from tests.support import workers
from tests.support.estates import (
    BY_HAND,
    HOSTED,
    MANAGED,
    Json,
    People,
    Site,
    done_twice,
    estate,
    guid,
    host_id,
    plan_id,
)
from tests.support.run_process import Place

STARTED = re.compile(r": started \d+ times$")


@dataclass(frozen=True)
class Ground:
    """An estate of chaos.

    ``requests``: how many of each method a run makes, or the first eight; ``operations``: those that begin
    long-running operations; ``lists``: the lists it is read from; ``stale``: how many simulated seconds these may be
    behind, long enough to matter; ``needed``: the request without which nothing comes back; ``never``: blows that
    cannot strike here. ``twice`` and ``lost`` are told whether the target takes nobody.
    """

    name: str
    site: Callable[[Path], AbstractContextManager[Site]]
    people: Callable[[Site], AbstractContextManager[Any]]
    requests: Mapping[str, int]
    operations: tuple[str, str]
    lists: str
    stale: tuple[int, ...]
    needed: tuple[str, str]
    twice: Callable[[Site, bool], list[str]]
    lost: Callable[[Site, bool], list[str]]
    serving: Callable[[Site], dict[str, list[str]]]
    never: frozenset[str] = frozenset()
    variables: tuple[tuple[str, str], ...] = ()

    def place(self, place: Place) -> Place:
        """Where its processes work."""
        return replace(place, variables=self.variables)


def answer_lost(line: Json) -> bool:
    """Whether a request was carried out and its answer did not arrive whole."""
    fault = line["fault"] or {}
    return fault.get("drop") == "after" or bool(fault.get("truncate") or fault.get("html"))


def failed_later(site: Site, line: Json) -> bool:
    """Whether a request was accepted and what it began failed, or did not end, as the story had it or as the world went."""
    operation = site.world.simulator.world.operations.get(line["operation"] or "")
    return bool((line["fault"] or {}).get("lro")) or (operation is not None and operation.status == "Failed")


def environments_twice(site: Site, vain: bool) -> list[str]:
    """What was made, put or registered twice.

    A PUT says the whole of what is to be, and may be repeated when its own answer was lost; a registration that failed
    may be started once more on its host, and where the target takes nobody as often as a person asks for it.
    """
    again: Counter[str] = Counter()
    for line in site.record()[site.begun :]:
        if line["method"] == "PUT" and answer_lost(line):
            again[line["path"].lower()] += 1
        if line["method"] == "POST" and failed_later(site, line):
            again[str(line["subject"]).lower()] += 1
    found = done_twice(site, again)
    return [one for one in found if not (vain and STARTED.search(one))]


def environments_lost(site: Site, vain: bool) -> list[str]:
    """Environments that exist nowhere any more, and hosts registered with nothing. Who went to a machine went in vain."""
    state: Json = site.world.view("state")
    there = {one["name"].split(" ")[0] for one in state["environments"]}
    ids = {one["id"] for one in state["environments"]}
    faults = []
    for name in (*MANAGED, *HOSTED, BY_HAND):
        # Whoever is sent to a machine types `stop` first, which ends a registration for good once its region is back.
        in_vain = vain and name == BY_HAND
        if guid(name) not in ids and not any(name in known for known in there) and not in_vain:
            faults.append(f"{name}: exists nowhere")
    for host in state["hosts"]:
        if not host["registrations"] and not (vain and host["id"] == BY_HAND):
            faults.append(f"{host['id']}: registered with nothing")
    return faults


@contextmanager
def _workers(folder: Path) -> Any:
    folder.mkdir(parents=True)
    with workers.site(folder) as site:
        workers.lost(site)
        yield site


def workers_twice(site: Site, _vain: bool) -> list[str]:
    """What was asked for twice of an account or a machine, and machines that two accounts hear from.

    A PUT or DELETE is repeated when its own answer was lost, and what failed, as the story had it fail, once more.
    """
    asked: Counter[tuple[str, str]] = Counter()
    for line in site.record()[site.begun :]:
        if line["kind"] in ("write", "delete") and line["status"] in (200, 201, 202):
            pardoned = line["method"] in ("PUT", "DELETE") and (answer_lost(line) or failed_later(site, line))
            asked[line["method"], line["path"].lower()] += 0 if pardoned else 1
    faults = [f"{method} {path}: {number} times" for (method, path), number in asked.items() if number > 1]
    heard = workers.reported(site)
    faults += [f"{machine}: heard by {len(by)} accounts" for machine, by in heard.items() if len(by) > 1]
    faults += [f"{one}: carries {found}" for one in MOVED if len(found := workers.carried(site, one)) > 1]
    return faults


@contextmanager
def _codespaces_back(folder: Path) -> Any:
    with estate(folder, lost=False, lost_writes_count=False, leaping=True) as site:
        _gone_over(site)
        yield site
        assert site.faults == []


@contextmanager
def _workers_back(folder: Path) -> Any:
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, workers.site(folder, leaping=True) as site:
        patch.setenv(*PROTECTED)
        _gone_over(site)
        yield site
        assert site.faults == []


def _gone_over(site: Site) -> None:
    """Everybody was moved, the region returned, and the way back is planned and approved; only that is judged."""
    site.lose()
    assert returning.failover(site).outcome == "succeeded", returning.unfinished(site)
    returning.restore(site)
    returning.assess(site)
    returning.judge(site, site.faults)
    site.planned = back.failback(site.context, site.run)
    plan.approve(site.context, site.planned.digest)
    site.begin()
    site.world.walk()


def went_back(site: Site) -> bool:
    return site.state.outcome.startswith("succeeded")


def environments_not_home(site: Site, vain: bool) -> list[str]:
    """What is lost, and after a run that succeeded who is not where it was before the region was lost."""
    home = {one["name"]: one["state"] for one in site.environments() if one["plan"].lower() == plan_id().lower()}
    away = [name for name in (*MANAGED, *HOSTED, BY_HAND) if home.get(name) not in ("Available", "Shutdown")]
    return [
        *environments_lost(site, vain),
        *(f"{one}: answers twice" for one in returning.answering_twice(site)),
        *(f"{name}: is not back" for name in away if went_back(site)),
    ]


def workers_not_home(site: Site, vain: bool) -> list[str]:
    """What is lost, and after a run that succeeded who reports to another account than before the region was lost."""
    heard = workers.reported(site)
    return [
        *workers_lost(site, vain),
        *(f"{one}: is not back" for one in MOVED if went_back(site) and heard.get(one) != [workers.OLD]),
    ]


PROTECTED = ("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": workers.SECRET}))
MOVED = (workers.WEB, workers.CUPBOARD)


def workers_lost(site: Site, _vain: bool) -> list[str]:
    """Machines that carry no account any more, and workers that stand in no account's list."""
    state: Json = site.world.view("state")
    known = {one["machine"].lower() for account in state["automation"] for one in account["workers"]}
    return [f"{one}: carries no account" for one in MOVED if not workers.carried(site, one)] + [
        f"{one}: is no account's worker" for one in MOVED if one.lower() not in known
    ]


def environments_serving(site: Site) -> dict[str, list[str]]:
    """Machine -> the plans whose registration it carries, by the simulator's own state."""
    state: Json = site.world.view("state")
    plans = {one["id"]: one["plan"] for one in state["environments"]}
    carried = {one["id"].lower(): one["registrations"] for one in state["hosts"]}
    return {
        host_id(name): [plans.get(held["id"], held["id"]) for held in carried[host_id(name).lower()]] for name in HOSTED
    }


def workers_serving(site: Site) -> dict[str, list[str]]:
    """Machine -> the accounts that its extension names, by the simulator's own state."""
    return {machine: workers.carried(site, machine) for machine in MOVED}


CODESPACES = Ground(
    "codespaces",
    estate,
    People,
    requests={"GET": 8, "POST": 8, "PUT": 2},
    operations=("POST", "/runCommand"),
    lists=r"/environments\?|/resources\?|/resourceGroups\?|/plans\?",
    stale=(20, 60, 150),
    needed=("POST", "/api/v1/environments"),
    twice=environments_twice,
    lost=environments_lost,
    serving=environments_serving,
    never=frozenset({"region goes"}),
)
WORKERS = Ground(
    "hybrid workers",
    _workers,
    lambda _site: nullcontext(),
    requests={"GET": 8, "PUT": 5, "DELETE": 2},
    operations=("PUT", "/extensions/"),
    lists=r"/hybridRunbookWorkers\?|/hybridRunbookWorkerGroups\?|/resources\?|/resourceGroups\?",
    stale=(150, 300, 900),
    needed=("PUT", "/hybridRunbookWorkers/"),
    twice=workers_twice,
    lost=workers_lost,
    serving=workers_serving,
    never=frozenset({"target fills", "region goes"}),
    variables=(PROTECTED,),
)
CODESPACES_BACK = replace(
    CODESPACES,
    name="codespaces back",
    site=_codespaces_back,
    requests={"GET": 8, "POST": 8, "DELETE": 3},
    needed=("POST", "/runCommand"),
    lost=environments_not_home,
    never=frozenset({"target fills", "region returns"}),
)
WORKERS_BACK = replace(
    WORKERS,
    name="workers back",
    site=_workers_back,
    requests={"GET": 8, "PUT": 2, "DELETE": 2},
    needed=("DELETE", "/extensions/"),
    lost=workers_not_home,
    never=frozenset({"target fills", "region returns"}),
)
GROUNDS = {one.name: one for one in (CODESPACES, WORKERS, CODESPACES_BACK, WORKERS_BACK)}
