"""A small estate on a simulator of its own, the commands as processes of their own, and the people who take part.

One lost plan with six environments (three managed, two on machines with a channel, one on a machine a person must go
to), and a plan in a healthy region with an environment that nobody may touch.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import threading
import time
import uuid
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import requests

from drkit.api import assess, capture, control
from drkit.api import plan as plan_
from drkit.api.context import Context
from drkit.errors import DrkitError, RefusedError
from drkit.model import cloud as clouds
from drkit.model import settings
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step
from drkit.products import scripts, tables
from drkit.simulator import Simulator
from drkit.simulator.core import clock as simulated
from drkit.store.store import Store
from tests.support import forked
from tests.support.patience import PATIENCE

Json = dict[str, Any]
SPACE = uuid.UUID("0d1f6c9a-4b6e-4a55-9a37-5e6c1b7a2f10")
REGION, TARGET, NEXT = "westeurope", "eastus", "westus2"
SUBSCRIPTION = str(uuid.uuid5(SPACE, "subscription"))
TENANT = str(uuid.uuid5(SPACE, "tenant"))
PLAN = "plan-weu"
MANAGED = ("api", "shop", "docs")
HOSTED = ("build", "bench")
BY_HAND = "rack"
OLD_REGISTRATION = "/home/dev/.vsonline/environment.json"


def guid(name: str) -> str:
    return str(uuid.uuid5(SPACE, name))


def owner(name: str) -> str:
    """Who owns an environment: everyone has one."""
    return f"{TENANT}_{guid(f'person {name}')}"


def group(name: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"


def plan_id(name: str = PLAN, place: str = "dev-weu") -> str:
    return f"{group(place)}/providers/Microsoft.VSOnline/plans/{name}"


def vm(name: str) -> str:
    return f"{group('hosts-neu')}/providers/Microsoft.Compute/virtualMachines/vm-{name}"


def host_id(name: str) -> str:
    return BY_HAND if name == BY_HAND else vm(name)


def seed(
    behaviour: Mapping[str, Mapping[str, str]] | None = None,
    people: Mapping[str, Mapping[str, float | None]] | None = None,
    hosts: Mapping[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> Json:
    """The estate as a simulator's seed. By environment: ``behaviour`` and other facts of its host, times of its owner."""
    quick = {"ready_after": 0, "signs_in_after": 5}
    hosted = (*HOSTED, BY_HAND)
    return {
        "drkit": "simulator-seed/1",
        "seed": 11,
        "tenant": {"id": TENANT, "domain": "contoso.example"},
        "registration_path": "~/.vsonline/environment.json",
        "subscriptions": [{"id": SUBSCRIPTION, "name": "Contoso"}],
        "groups": [
            {"id": group("dev-weu"), "location": REGION},
            {"id": group("dev-eus"), "location": TARGET},
            {"id": group("hosts-neu"), "location": "northeurope"},
        ],
        "resources": [
            {"id": plan_id(), "location": REGION, "properties": {"userId": owner("api")}},
            {"id": plan_id("plan-eus", "dev-eus"), "location": TARGET, "properties": {}},
        ],
        "hosts": [
            {
                "id": host_id(name),
                "kind": "physical" if name == BY_HAND else "azure-vm",
                "hostname": f"vm-{name}",
                "location": "" if name == BY_HAND else "northeurope",
                "physical_host": None if name == BY_HAND else "DUB21PrdApp11",
                "accounts": {"dev": {"home": "/home/dev", "person": owner(name)}},
                "folders": [f"/home/dev/{name}"],
                "registrations": [{"id": guid(name), "user": "dev", "path": OLD_REGISTRATION}],
                "behaviour": dict((behaviour or {}).get(name, {"stop_while_lost": "succeed"})),
                **(hosts or {}).get(name, {}),
            }
            for name in hosted
        ],
        "environments": [
            *({**_environment(name), **_managed(name)} for name in MANAGED),
            *(
                {**_environment(name), "type": "staticEnvironment", "recentFolders": [f"/home/dev/{name}"]}
                for name in hosted
            ),
            {**_environment("billing"), **_managed("billing"), "planId": plan_id("plan-eus", "dev-eus")},
        ],
        "people": [
            {"owner": owner(name), "name": name, **quick, **(people or {}).get(name, {})}
            for name in (*MANAGED, *hosted, "billing")
        ],
        **more,
    }


def _environment(name: str) -> Json:
    return {
        "id": guid(name),
        "friendlyName": name,
        "planId": plan_id(),
        "ownerId": owner(name),
        "state": "Available",
        "created": "2026-11-02T09:00:00Z",
        "lastUsed": "2026-11-20T09:00:00Z",
    }


def _managed(name: str) -> Json:
    return {
        "type": "cloudEnvironment",
        "seed": {"type": "git", "moniker": f"https://github.com/contoso/{name}"},
        "skuName": "basicLinux",
        "autoShutdownDelayMinutes": 30,
        "hasUnpushedGitChanges": False,
    }


SETTINGS = f"""
targets = ["{TARGET}", "{NEXT}"]

[channels]
azure_vm = "run-command"

[[host]]
environment = "{guid(BY_HAND)}"
id = "{BY_HAND}"
channel = "manual"
user = "dev"
workspace = "/home/dev/{BY_HAND}"
"""


@dataclass(frozen=True)
class Leaping(simulated.SimulatedClock):
    """A clock of this process alone, for the simulator and drkit: it runs, and each wait makes it leap ahead."""

    leapt: list[float] = field(default_factory=lambda: [0.0])
    leaps: list[tuple[datetime, float]] = field(default_factory=list)

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.leapt[0])

    def from_wall(self, moment: datetime) -> datetime:
        """What this clock showed at a moment of the machine's."""
        place = bisect(self.leaps, (moment, math.inf))
        ran = self.speed * (moment - self.started).total_seconds()
        return self.origin + timedelta(seconds=ran + (self.leaps[place - 1][1] if place else 0.0))

    def monotonic(self) -> float:
        """Seconds of this clock, never going back."""
        return time.monotonic() * self.speed + self.leapt[0]

    async def sleep(self, seconds: float) -> None:
        """Two who wait at once wait together. It takes a moment, in which other threads have their turn."""
        until = self.monotonic() + max(0.0, seconds)
        await asyncio.sleep(min(max(0.0, seconds) / self.speed, 0.01))
        self.leapt[0] += max(0.0, until - self.monotonic())
        self.leaps.append((datetime.now(UTC), self.leapt[0]))


class World:
    """A simulator in a thread of this process, with its control interface."""

    def __init__(self, folder: Path, content: Json, *, speed: float = 60.0, leaping: bool = False) -> None:
        self.simulator = Simulator(content, host_scripts=scripts().hashes(), speed=speed, folder=folder)
        self.clock: Leaping | None = None
        if leaping:
            known = self.simulator.world.clock
            self.clock = self.simulator.world.clock = Leaping(known.origin, known.started, known.speed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.simulator.start(), self._loop).result(PATIENCE)
        self.facts = self.simulator.ready
        self.ready = folder / "ready.json"
        self.ready.write_text(json.dumps(self.facts), "utf-8")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_details: object) -> None:
        self.stop()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.simulator.stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def walk(self) -> None:
        """The clock leaps no more, so that processes of their own can read the same time."""
        known = self.simulator.world.clock
        self.clock, self.simulator.world.clock = (
            None,
            simulated.SimulatedClock(known.now(), datetime.now(UTC), known.speed),
        )
        self.facts = self.simulator.ready
        self.ready.write_text(json.dumps(self.facts), "utf-8")

    def control(self, name: str, /, **body: Any) -> Any:
        """POST to the control interface; AssertionError for a refusal."""
        return self._answer(requests.post(f"{self.facts['control']}/{name}", json=body, **self._options()))

    def view(self, name: str) -> Any:
        return self._answer(requests.get(f"{self.facts['control']}/{name}", **self._options()))

    def _options(self) -> Json:
        return {"timeout": PATIENCE, "verify": self.facts["ca_bundle"], "proxies": {"https": ""}}

    def _answer(self, answer: requests.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    def codes(self, *hosts: str) -> set[str]:
        """Every sign-in code that these hosts (default: all) have shown so far."""
        found = set()
        for host in [one for one in self.simulator.world.hosts.values() if not hosts or one.id in hosts]:
            for job in host.jobs():
                for moment in range(int(job.started), int(self.simulator.world.now().timestamp()) + 1, 60):
                    code = job.code(float(moment))
                    if code:
                        found.add(code)
        return found


@dataclass
class Site:
    """Where drkit works: a world, a folder with settings and store, and what was planned.

    ``begun``: how many requests there were before what is judged; ``earlier``: how often each host was registered, and its
    registration started, before that; ``faults``: what was deleted that stood nowhere else, where somebody listens.
    """

    world: World
    folder: Path
    planned: plan_.Planned | None = None
    account: str | None = None
    account_store: Store | None = None
    processes: list[forked.Command] = field(default_factory=list)
    begun: int = 0
    earlier: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        if self.account is None:
            return Store(self.folder / "store")
        if self.account_store is None:
            from drkit.providers import blob_store

            self.account_store = blob_store.open_store(self.account, seconds=15)
        return self.account_store

    @property
    def store_name(self) -> str:
        return self.account or str(self.folder / "store")

    @property
    def context(self) -> Context:
        cloud = clouds.from_ready_file(self.world.ready, "of a test")
        return Context(
            settings.load(self.folder / "drkit.toml", tables()), self.store, lambda: cloud, loopback_only=True,
            own_clock=self.world.clock,
        )  # fmt: skip

    @property
    def book(self) -> Runbook:
        assert self.planned is not None
        return self.planned.runbook

    def lose(self) -> None:
        """The region is lost, and Microsoft said so."""
        self.world.control("lose", region=REGION, minutes_ago=25, announce_after=10)

    def plan(self) -> plan_.Planned:
        """Assess, plan and approve."""
        asyncio.run(assess.assess(self.context))
        self.planned = plan_.plan(self.context)
        plan_.approve(self.context, self.planned.digest)
        return self.planned

    def words(self, *arguments: str) -> list[str]:
        """A command's words, its settings and store named."""
        return [*arguments, "--config", str(self.folder / "drkit.toml"), "--store", self.store_name]

    def start(self, *arguments: str) -> forked.Command:
        """A command as a process of its own, its output in out.log."""
        with (self.folder / "out.log").open("ab") as log:
            process = forked.Command(
                self.words(*arguments), cwd=Path.cwd(), env=self.environment(), output=log.fileno()
            )
        self.processes.append(process)
        return process

    def end(self) -> None:
        """End the commands that are still at work."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        done = forked.run(self.words(*arguments), cwd=Path.cwd(), env=self.environment())
        with (self.folder / "out.log").open("a") as log:
            log.write(done.stdout + done.stderr)
        return done

    def environment(self) -> dict[str, str]:
        """The variables a command runs with."""
        return {**os.environ, "DRKIT_CLOUD": str(self.world.ready)}

    def apply(self, *arguments: str) -> int:
        """``apply`` to its end, while people do their part; its exit code."""
        assert self.planned is not None
        return self.finish(self.start("apply", self.planned.digest, *arguments))

    def resume(self, *arguments: str) -> int:
        return self.finish(self.start("resume", "latest", *arguments))

    def finish(self, process: forked.Command) -> int:
        return process.wait(PATIENCE)

    # what came of it

    @property
    def run(self) -> str:
        """The newest run; empty before it began."""
        runs = self.store.runs()
        return runs[-1] if runs and self.journal() else ""

    def journal(self) -> list[Json]:
        """The records of the newest run, a torn line left out."""
        runs = self.store.runs()
        if not runs:
            return []
        content = self.store.journal_bytes(runs[-1])
        return [json.loads(line) for line in content.split(b"\n")[:-1]]

    @property
    def state(self) -> RunState:
        return self.store.state(self.run)

    def status(self, environment: str, action: str) -> str:
        return self.state.of(self.step(environment, action)).status

    def detail(self, environment: str, action: str) -> str:
        return self.state.of(self.step(environment, action)).detail

    def step(self, environment: str, action: str) -> str:
        """The id of the step of an environment, or of the plan."""
        wanted = guid(environment) if environment else ""
        found = [step.id for step in self.book.steps if step.action == action and step.environment == wanted]
        assert len(found) == 1, found
        return found[0]

    def kinds(self, environment: str, action: str) -> list[str]:
        """The kinds of record of a step, in order; a reopening by its word."""
        step = self.step(environment, action)
        return [
            str(one["data"].get("what")) if one["kind"] == "control" else str(one["kind"])
            for one in self.journal()
            if one["step"] == step
        ]

    def record(self) -> list[Json]:
        found: list[Json] = self.world.view("record")["requests"]
        return found

    def scripts(self, name: str, script: str) -> list[Json]:
        """Run commands of a script on the host of an environment that arrived and were carried out."""
        wanted = host_id(name).lower()
        return [
            one
            for one in self.record()
            if one["script"] == script and str(one["subject"]).lower() == wanted and one["status"] == 202
        ]

    def environments(self) -> list[Json]:
        found: list[Json] = self.world.view("state")["environments"]
        return found

    def begin(self) -> None:
        """What happened so far is not judged."""
        self.begun, self.earlier = len(self.record()), by_host(self.world.view("state"))

    def under(self, place: str) -> dict[str, Json]:
        """Name -> environment, of all plans made in a region for the lost one."""
        state = self.world.view("state")
        plans = {
            one["id"].lower()
            for one in state["resources"]
            if one["location"] == place and (one.get("tags") or {}).get("drkit-source", "").lower() == plan_id().lower()
        }
        found = [one for one in state["environments"] if one["plan"].lower() in plans]
        return {one["name"]: one for one in found}

    def host(self, name: str) -> Json:
        return next(one for one in self.world.view("state")["hosts"] if one["id"].lower() == host_id(name).lower())

    def starts(self, name: str) -> int:
        """How many ``codespaces start`` ran on a host."""
        return len(self.host(name)["jobs"])

    def everything(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of the store, and all that the commands printed."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name != "drkit.toml":
                yield path, path.read_bytes()


def found_end(site: Site) -> Json:
    """What exists in the world after a run, with all that tells one world from another left out."""
    state = site.world.view("state")
    made = [one for one in state["resources"] if (one.get("tags") or {}).get("drkit-source")]
    return {
        "plans": sorted((one["name"], one["location"], one["tags"]["drkit-step"]) for one in made),
        "groups": sorted((one["name"], one["location"]) for one in state["groups"]),
        "environments": sorted(
            (one["name"], one["type"], one["plan"].lower(), one["owner"], one["state"], tuple(one["hosts"]))
            for one in state["environments"]
        ),
        "registrations": sorted(
            (one["id"], tuple(name_of(state, held["id"]) for held in one["registrations"])) for one in state["hosts"]
        ),
    }


def name_of(state: Json, environment: str) -> str:
    found = next((one for one in state["environments"] if one["id"] == environment), None)
    return f"{found['name']} under {found['plan'].rsplit('/', 1)[-1]}" if found else environment


def by_host(state: Json) -> Counter[tuple[str, str]]:
    """How often each host was registered, and its registration started."""
    return Counter(
        {
            (host["id"], word): number
            for host in state["hosts"]
            for word, number in (
                ("registered", sum(str(one["event"]).startswith("registered ") for one in host["history"])),
                ("started", len(host["jobs"])),
            )
        }
    )


def done_twice(site: Site, again: Mapping[str, int] | None = None) -> list[str]:
    """What the world's own record and state say was done more than once, or where it must not be.

    ``again``: by lower-cased path of a plan or id of a host, how often more it may be put, or its registration started.
    """
    again = again or {}
    record, state = site.record()[site.begun :], site.world.view("state")
    faults: list[str] = []
    puts = Counter(
        one["path"].lower()
        for one in record
        if one["method"] == "PUT" and "/plans/" in one["path"] and one["status"] == 200
    )
    faults += [f"{path}: put {number} times" for path, number in puts.items() if number > 1 + again.get(path, 0)]
    made = Counter(
        one["subject"]
        for one in record
        if one["method"] == "POST" and one["path"].endswith("/api/v1/environments") and one["status"] == 201
    )
    names = Counter((one["plan"].lower(), one["owner"]) for one in state["environments"])
    faults += [f"{key}: made {number} times" for key, number in (*made.items(), *names.items()) if number > 1]
    for (host, word), number in (by_host(state) - site.earlier).items():
        if number > 1 + (again.get(host.lower(), 0) if word == "started" else 0):
            faults.append(f"{host}: {word} {number} times")
    return faults if site.begun else faults + lost_writes(record)


def lost_writes(record: Sequence[Json]) -> list[str]:
    """Writes that went to the lost region, or to the plan that is lost."""
    return [
        f"{one['method']} {one['host']}{one['path']}"
        for one in record
        if one["kind"] in ("write", "delete")
        and (one["host"].startswith(f"{REGION}.") or plan_id().lower() in one["path"].lower())
    ]


class Crowd(threading.Thread):
    """Everybody who takes part in a run of a site: each step that waits for a person is given to ``_asked`` until it is answered."""

    pace = 0.05

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.over = threading.Event()
        self.said: set[str] = set()
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(self.pace):
                self._round()
        except BaseException as error:
            self.fault = error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self.over.set()
        self.join(PATIENCE)
        assert self.fault is None, self.fault

    def _round(self) -> None:
        try:
            run = self.site.run
            state = self.site.store.state(run) if run else None
        except (DrkitError, ValueError):
            return
        if state is None or state.outcome:
            return
        for step in self.site.book.steps:
            if state.of(step.id).status != "asked":
                self.said.discard(step.id)  # asked anew, it is answered anew
            elif step.id not in self.said and not self.over.is_set():
                self._asked(run, step)

    def _asked(self, run: str, step: Step) -> None:
        """Say something, or not yet."""
        raise NotImplementedError

    def answer(self, run: str, step: Step) -> None:
        """Say that it is done; a run that somebody aborted meanwhile takes no answer."""
        self.said.add(step.id)
        try:
            control.answer(self.site.context, run, step.id, "ready")
        except RefusedError:
            if not self.site.store.state(run).outcome:
                raise

    def ready(self, step: Step) -> bool:
        """Whether the step's owner is."""
        return bool(self.site.world.view(f"people/{step.inputs['owner']}")["ready"])


class People(Crowd):
    """The people of an estate: ready when the simulator says so, at the machine with the commands of the runbook.

    ``unheard``: environments whose owner does not answer, and machines nobody goes to.
    """

    def __init__(self, site: Site, *, unheard: Sequence[str] = ()) -> None:
        super().__init__(site)
        self.unheard = unheard

    def _asked(self, run: str, step: Step) -> None:
        name = next(one.name for one in self.site.book.environments if one.environment == step.environment)
        if name in self.unheard:
            return
        if step.action == "by-hand":
            self._by_hand(name, str(step.inputs["plan"]))
        elif not self.ready(step):
            return
        self.answer(run, step)

    def _by_hand(self, name: str, plan: str) -> None:
        jobs = self.site.host(name)["jobs"]
        if jobs and jobs[-1]["plan"].lower() == plan.lower() and jobs[-1]["rc"] is None:
            return  # typed already
        control = self.site.world.control
        control("host", id=host_id(name), event="codespaces-stop", force=True)
        control(
            "host", id=host_id(name), event="codespaces-start", user="dev", plan=plan, name=name,
            workspace=f"/home/dev/{name}",
        )  # fmt: skip


def wait_for(what: Callable[[], Any], *, seconds: float = PATIENCE, every: float = 0.02) -> Any:
    """Until ``what`` gives something true; AssertionError when it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(every)
    return found


def kill_when(
    process: forked.Command,
    journal: Callable[[], Path | None],
    seen: Callable[[bytes], bool],
    pause: float = 0.0,
) -> bool:
    """SIGKILL as soon as the journal's bytes are such (and a pause in real seconds); False when the process ended before."""
    size = -1
    while process.poll() is None:
        path = journal()
        now = path.stat().st_size if path else -1
        if path and now != size:
            size = now
            if seen(path.read_bytes()):
                time.sleep(pause)
                process.send_signal(signal.SIGKILL)
                return process.wait() == -signal.SIGKILL
        time.sleep(0.0005)
    return False


@contextmanager
def estate(
    folder: Path,
    *,
    tail: str = "",
    lost: bool = True,
    account: str | None = None,
    lost_writes_count: bool = True,
    leaping: bool = False,
    **changes: Any,
) -> Iterator[Site]:
    """A site on a world of its own: captured, its region lost, planned and approved. Afterwards it is looked over.

    Whatever a test did there: nothing was written to what is lost (unless ``lost_writes_count`` is False: it returns meanwhile),
    and no secret is in a file or in what was printed.
    """
    for name in ("world", "site"):
        (folder / name).mkdir(parents=True)
    world = World(folder / "world", seed(**changes), leaping=leaping)
    site = Site(world, folder / "site", account=account)
    try:
        (site.folder / "drkit.toml").write_text(SETTINGS + tail, "utf-8")
        asyncio.run(capture.snapshot(site.context))
        if lost:
            site.lose()
            site.plan()
        yield site
        assert not lost_writes_count or lost_writes(site.record()) == []
        assert spilt(site) == []
    finally:
        site.end()
        world.stop()


def secrets_of(site: Site) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The world's secrets with what they are: client secrets and tokens; signatures of polling URLs; sign-in codes."""
    world = site.world.simulator.world
    secrets = {one.secret: "client secret" for one in world.principals.values()}
    secrets |= dict.fromkeys(world.tokens, "token") | dict.fromkeys(world.service_tokens, "plan token")
    signatures = dict.fromkeys((one.signature for one in world.operations.values()), "signature of a polling URL")
    return secrets, signatures, dict.fromkeys(site.world.codes(), "sign-in code")


def spilt(site: Site) -> list[str]:
    """Secrets of the world found where none may be: client secrets, tokens, sign-in codes; signatures but in journals."""
    secrets, signatures, codes = secrets_of(site)
    found = []
    for path, content in site.everything():
        wanted = dict(secrets)
        if path.suffix != ".jsonl":
            wanted |= signatures
        if path.name != "out.log":  # a code is shown to who runs the step, and kept nowhere
            wanted |= codes
        found += [f"{path.name}: {what}" for text, what in wanted.items() if text and text.encode() in content]
    return found
