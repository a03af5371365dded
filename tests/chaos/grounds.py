"""The two estates that chaos is told on, and how each is judged: by the simulator's record and by what exists, never by a journal."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests import workers
from tests.chaos.life import Place
from tests.estates import BY_HAND, HOSTED, MANAGED, Json, People, Site, done_twice, estate, guid


@dataclass(frozen=True)
class Ground:
    """An estate of chaos.

    ``operations``: the requests that begin long-running operations; ``lists``: the lists it is read from; ``needed``: the
    request without which nothing comes back; ``never``: blows that cannot strike here. ``twice`` and ``lost`` are told
    how often each blow struck, and whether the target takes nobody.
    """

    name: str
    site: Callable[[Path], AbstractContextManager[Site]]
    people: Callable[[Site], AbstractContextManager[Any]]
    operations: tuple[str, str]
    lists: str
    needed: tuple[str, str]
    twice: Callable[[Site, Mapping[str, int], bool], list[str]]
    lost: Callable[[Site, bool], list[str]]
    never: frozenset[str] = frozenset()
    variables: tuple[tuple[str, str], ...] = ()

    def place(self, place: Place) -> Place:
        """Where its processes work."""
        return replace(place, variables=self.variables)


def answers_lost(struck: Mapping[str, int]) -> int:
    """How often something was carried out, and its answer did not arrive: a PUT says the whole of what is to be, and may be repeated."""
    return sum(struck.get(name, 0) for name in ("cut after", "truncated", "html"))


def environments_twice(site: Site, struck: Mapping[str, int], vain: bool) -> list[str]:
    """What was made, put or registered twice; a host that is tried in vain, or whose registration failed, is tried more than once."""
    failed = struck.get("operation fails", 0) + struck.get("operation never ends", 0)
    found = []
    for one in done_twice(site):
        put = re.search(r": put (\d+) times$", one)
        started = re.search(r": started (\d+) times$", one)
        if put and int(put[1]) <= 1 + answers_lost(struck):
            continue
        if started and (vain or int(started[1]) <= 1 + failed):
            continue
        found.append(one)
    return found


def environments_lost(site: Site, vain: bool) -> list[str]:
    """Environments that exist nowhere any more, and hosts registered with nothing. Who went to a machine went in vain."""
    state: Json = site.world.view("state")
    there = {one["name"].split(" ")[0] for one in state["environments"]}
    ids = {one["id"] for one in state["environments"]}
    faults = []
    for name in (*MANAGED, *HOSTED, BY_HAND):
        if guid(name) not in ids and not any(name in known for known in there):
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


def workers_twice(site: Site, struck: Mapping[str, int], _vain: bool) -> list[str]:
    """What was asked for twice of an account or a machine, and machines that two accounts hear from.

    An installation that failed, as the story had it fail, is asked for once more.
    """
    accepted = Counter(
        (one["method"], one["path"].lower())
        for one in site.record()
        if one["kind"] in ("write", "delete") and one["status"] in (200, 201, 202)
    )
    again = struck.get("operation fails", 0) + struck.get("operation never ends", 0)
    faults = [
        f"{method} {path}: {number} times"
        for (method, path), number in accepted.items()
        if number > 1 + (again + answers_lost(struck) if method == "PUT" else 0)
    ]
    heard = workers.reported(site)
    faults += [f"{machine}: heard by {len(by)} accounts" for machine, by in heard.items() if len(by) > 1]
    faults += [f"{one}: carries {found}" for one in MOVED if len(found := workers.carried(site, one)) > 1]
    return faults


MOVED = (workers.WEB, workers.CUPBOARD)


def workers_lost(site: Site, _vain: bool) -> list[str]:
    """Machines that carry no account any more, and workers that stand in no account's list."""
    state: Json = site.world.view("state")
    known = {one["machine"].lower() for account in state["automation"] for one in account["workers"]}
    return [f"{one}: carries no account" for one in MOVED if not workers.carried(site, one)] + [
        f"{one}: is no account's worker" for one in MOVED if one.lower() not in known
    ]


GROUNDS = {
    one.name: one
    for one in (
        Ground(
            "codespaces",
            estate,
            People,
            operations=("POST", "/runCommand"),
            lists=r"/environments\?|/resources\?|/resourceGroups\?|/plans\?",
            needed=("POST", "/api/v1/environments"),
            twice=environments_twice,
            lost=environments_lost,
        ),
        Ground(
            "hybrid workers",
            _workers,
            lambda _site: nullcontext(),
            operations=("PUT", "/extensions/"),
            lists=r"/hybridRunbookWorkers\?|/hybridRunbookWorkerGroups\?|/resources\?|/resourceGroups\?",
            needed=("PUT", "/hybridRunbookWorkers/"),
            twice=workers_twice,
            lost=workers_lost,
            never=frozenset({"target fills"}),
            variables=(("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": workers.SECRET})),),
        ),
    )
}
