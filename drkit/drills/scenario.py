"""The drill: loses a region of a simulated Azure and walks the whole way back, telling each command and what came of it.

It speaks to the simulator's control interface as the world does (disaster, people, somebody else), and to drkit as an
operator does. What it claims at the end is read from the simulator's record, not from drkit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from drkit.api import assess, capture, control, report
from drkit.api import plan as plan_
from drkit.api import status as status_
from drkit.api.context import Context
from drkit.drills.presenter import DrillPresenter
from drkit.errors import DrkitError, RefusedError
from drkit.execution import results
from drkit.model import files, suggest, words
from drkit.model.estate import Assessment, Snapshot
from drkit.model.ids import ArmId
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step
from drkit.model.text import duration, plural, safe
from drkit.planning import leftovers
from drkit.products import registry

MINUTES_AGO = 25
ANNOUNCED_AFTER = 12
TICK = 0.15
PROGRESS_SECONDS = 4.0
MOVED = "vm-orders-build"
MOVED_TO = "rg-hosts-uks"
WORST = ("failed", "partial", "succeeded-with-exceptions", "succeeded")
RUN_SECONDS = 600.0


class Control:
    """The simulator's control interface: what happens to the world, and what it recorded."""

    def __init__(self, facts: Mapping[str, Any], http: aiohttp.ClientSession) -> None:
        self.facts, self.http = facts, http

    async def get(self, name: str) -> Any:
        """A view: ``state``, ``record?since=n``, ``throttle``, ``people/OWNER``."""
        async with self.http.get(f"{self.facts['control']}/{name}") as answer:
            return await self._body(answer, name)

    async def post(self, name: str, body: Mapping[str, Any]) -> Any:
        """Something happens: ``lose``, ``host``, ``change`` …"""
        async with self.http.post(f"{self.facts['control']}/{name}", json=body) as answer:
            return await self._body(answer, name)

    async def _body(self, answer: aiohttp.ClientResponse, name: str) -> Any:
        body = await answer.json()
        if answer.status != 200:
            raise RefusedError(f"the simulator refused {name}: {body.get('error')}", where=self.facts["control"])
        return body


@dataclass
class Story:
    """What the drill knows of the estate besides what drkit captured: events before the outage, and whom to blame.

    ``settings``: lines of drkit.toml; ``secrets``: environment variables of the processes that apply.
    """

    stories: Sequence[Mapping[str, Any]] = ()
    targets: tuple[str, ...] = ()
    hosts: Sequence[Mapping[str, str]] = ()
    settings: Sequence[str] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    disturb: bool = False


@dataclass
class Drill:
    """One drill: where its files are, how it speaks, what it found so far."""

    context: Context
    control: Control
    folder: Path
    region: str
    story: Story
    say: Callable[[str], None]
    presenter: DrillPresenter
    verbose: bool
    columns: int
    told: set[tuple[str, str]] = field(default_factory=set)
    stood: frozenset[str] = frozenset()
    spawned: list[asyncio.subprocess.Process] = field(default_factory=list)
    home: Callable[[Drill, Sequence[str]], Awaitable[dict[str, Any]]] | None = None

    @property
    def concurrency(self) -> int:
        """Steps that its runs carry out at once."""
        return self.context.settings.run.concurrency

    def line(self, text: str = "", indent: int = 2) -> None:
        """A line in plain words, folded to the width."""
        words, row, pad = text.split(" "), "", " " * indent
        for word in words:
            if row and len(pad) + len(row) + 1 + len(word) > self.columns:
                self.say(pad + row)
                row = word
            else:
                row = f"{row} {word}" if row else word
        self.say((pad + row).rstrip())

    def command(self, text: str) -> None:
        """The command a person would type here."""
        self.say(f"$ drkit {text}")

    async def run(self) -> dict[str, Any]:
        """The whole way; returns what ``--json`` prints. Leaves no process behind, however it ends."""
        try:
            return await self._way()
        finally:
            for process in self.spawned:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    async def _way(self) -> dict[str, Any]:
        self.stood = frozenset(environment["id"] for environment in (await self.control.get("state"))["environments"])
        taken = await self._snapshot()
        await self._outage()
        assessed = await self._assess()
        planned = self._plan("plan")
        self.command(f"approve {planned.digest[:12]}")
        approval = plan_.approve(self.context, planned.digest)
        before = await self._writes()
        self.line(f"approved by {approval.who} (unauthenticated: a folder); writes to Azure so far: {before}")
        if self.story.disturb:
            await self._disturb(taken)
        first = await self._first_run(planned)
        runs = [first]
        runs.extend(await self._rest())
        result = await self._end(assessed, runs, before)
        return result if self.home is None else {**result, "returned": await self.home(self, runs)}

    # before and during

    async def _snapshot(self) -> Snapshot:
        self.command("snapshot")
        taken, _ = await capture.snapshot(self.context)
        kinds = Counter(environment.kind for environment in taken.environments)
        places = {host.region for host in taken.hosts if host.region}
        self.line(
            f"{plural(len(taken.plans), 'plan')}, {plural(len(taken.environments), 'environment')} "
            f"({kinds['managed']} managed, {kinds['self-hosted']} self-hosted), {plural(len(taken.hosts), 'host')} "
            f"in {plural(len(places), 'region')}, "
            f"{sum(host.baseline.guest is not None for host in taken.hosts)} identified from inside"
        )
        if not any(plan.region == self.region for plan in taken.plans):
            here = {plan.region for plan in taken.plans}
            known = f"regions with plans: {', '.join(sorted(here)) or 'none'}"
            raise RefusedError(
                f"no plan is in {self.region}", where="--lose", remedy=suggest.remedy(self.region, here, known)
            )
        return taken

    async def _outage(self) -> None:
        for story in self.story.stories:
            await self.control.post(str(story["call"]), story["body"])
        await self.control.post(
            "lose", {"region": self.region, "minutes_ago": MINUTES_AGO, "announce_after": ANNOUNCED_AFTER}
        )
        if self.story.stories:
            self.line("Then: " + "; ".join(str(story["tells"]).split(";")[0] for story in self.story.stories) + ".", 0)
        self.line(
            f"{self.region} is lost; {MINUTES_AGO} minutes later somebody looks (Microsoft spoke after {ANNOUNCED_AFTER}).",
            0,
        )

    async def _assess(self) -> Assessment:
        self.command("assess")
        assessed, _, _ = await assess.assess(self.context)
        lost = [plan for plan in assessed.plans if plan.state == "lost"]
        self.line(f"lost: {', '.join(plan.key.name for plan in lost) or 'nothing'}; {lost[0].reason if lost else ''}")
        if lost and lost[0].advice:
            self.line(f"advice: {lost[0].advice.advice}; {lost[0].advice.reason}")
        verdicts: dict[str, list[str]] = {}
        for finding in assessed.hosts:
            verdicts.setdefault(words.plain(finding.outcome, finding.reason), []).append(finding.key.name)
        rows = [
            (verdict, len(names), _some(names, self.columns - 44))
            for verdict, names in sorted(verdicts.items(), key=lambda item: item[0])
        ]
        headers = ("what happened to the hosts", "n", "which")
        for line in self.presenter.table(*headers, rows=rows, wide=2, columns=self.columns - 2):
            self.say(f"  {line}")
        return assessed

    def _plan(self, command: str, **options: Any) -> plan_.Planned:
        self.command(command)
        planned = plan_.plan(self.context, **options)
        book = planned.runbook
        if not options:
            for line in self.presenter.plans(book, self.columns - 2):
                self.say(f"  {line}")
        self.line(self.presenter.effects(book, self.concurrency))
        for note in book.notes:
            self.line(f"note: {note}")
        path = self._keep_runbook(planned)
        if not options:
            self.line(f"every step with its reason: {path.name}")
        return planned

    def told_of(self, planned: plan_.Planned) -> None:
        """A runbook in short, and its text beside the others."""
        self.line(self.presenter.effects(planned.runbook, self.concurrency))
        for untouched in planned.runbook.unchanged[:4]:
            self.line(f"left alone: {safe(untouched.name, 40)}: {safe(untouched.reason, 140)}", 4)
        self._keep_runbook(planned)

    def _keep_runbook(self, planned: plan_.Planned) -> Path:
        text = self.presenter.runbook(planned, self.concurrency, self.columns)
        return self._keep(f"runbook-{planned.digest[:12]}.txt", text)

    async def _writes(self) -> int:
        record = await self.control.get("record")
        return sum(request["kind"] == "write" for request in record["requests"])

    async def _disturb(self, taken: Snapshot) -> None:
        """Somebody moves a machine to another resource group after the approval."""
        host = next((host for host in taken.hosts if host.name == MOVED), None)
        group = next((host.id for host in taken.hosts if host.key.resource_group == MOVED_TO), "")
        if host is None or not group:
            return
        await self.control.post("host", {"id": host.id, "event": "move", "group": group.split("/providers/")[0]})
        self.line(f"Meanwhile somebody moves {MOVED} to another resource group.", 0)

    # applying

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {
            **os.environ,
            **self.story.secrets,
            "DRKIT_CLOUD": str(self.folder / "cloud.json"),
            "PYTHONWARNINGS": "ignore",
        }
        log = os.fdopen(files.open_own(self.folder / "runs.log", append=True), "ab")
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "drkit", *arguments,
                "--config", str(self.folder / "drkit.toml"), "--store", str(self.context.store.folder),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=str(self.folder),
            )  # fmt: skip
        finally:
            log.close()
        self.spawned.append(process)
        return process

    async def _first_run(self, planned: plan_.Planned) -> str:
        """Apply in a process of its own, kill it after an intent, resume."""
        digest = planned.digest[:12]
        self.command(f"apply {digest}")
        process = await self._spawn("apply", planned.digest, "--quiet")
        run, step = await self._until_intent(process, planned)
        if run and process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
            self.line(f"{run} is killed with SIGKILL, right after it recorded the intent of {step}")
        else:
            await process.wait()
            run = self._run_of(planned.digest)
        self.command(f"resume {run}")
        await self.attend("resume", run, planned.runbook)
        return run

    async def _until_intent(self, process: asyncio.subprocess.Process, planned: plan_.Planned) -> tuple[str, str]:
        """Wait until the run recorded the intent of the first environment to be created."""
        wanted = next((step.id for step in planned.runbook.steps if step.action == "create" and step.environment), "")
        mark = f'"kind":"intent","step":"{wanted}"'.encode()
        while process.returncode is None:
            run = self._run_of(planned.digest)
            if run and mark in self.context.store.journal_bytes(run):
                return run, wanted
            await asyncio.sleep(0.01)
        return "", ""

    def _run_of(self, digest: str) -> str:
        for run in reversed(self.context.store.runs()):
            try:
                if self.context.store.state(run).runbook == digest:
                    return run
            except DrkitError:
                continue
        return ""

    async def attend(self, verb: str, name: str, book: Runbook, begun: asyncio.Event | None = None) -> str:
        """Run ``drkit VERB NAME`` while people and operator do their part; again while it ends partial and they can.

        ``begun`` is set when the run has its name.
        """
        acted: set[str] = set()
        deadline = asyncio.get_running_loop().time() + RUN_SECONDS
        digest = plan_.show(self.context, name).digest if verb == "apply" else ""
        before = -1
        last_line = asyncio.get_running_loop().time()
        run = "" if verb == "apply" else name
        while True:
            process = await self._spawn(verb, run or name, "--wait", "30", "--quiet")
            while process.returncode is None:
                if asyncio.get_running_loop().time() > deadline:
                    process.kill()
                run = run or self._run_of(digest)
                if run:
                    if begun is not None:
                        begun.set()
                    await self._people(run, book, acted)
                    last_line = self._progress(run, book, last_line) if begun is None else last_line
                await asyncio.sleep(TICK)
            code = await process.wait()
            run = run or self._run_of(digest)
            if not run or code not in (0, 1, 3):
                log = files.read(self.folder / "runs.log", limit=files.LARGE).decode("utf-8", "replace").splitlines()
                raise RefusedError(f"`drkit {verb}` exited with {code}: {' '.join(log[-2:])}", where=str(self.folder))
            run_status = status_.status(self.context, run)
            if run_status.outcome != "partial" or len(acted) == before or asyncio.get_running_loop().time() > deadline:
                break
            verb, before = "resume", len(acted)
        self._tell_run(run_status)
        return run

    def _progress(self, run: str, book: Runbook, last_line: float) -> float:
        """A line every few seconds: how far the run is. Returns the time of the last line."""
        now = asyncio.get_running_loop().time()
        if now - last_line < PROGRESS_SECONDS:
            return last_line
        counts = Counter(self.context.store.state(run).of(step.id).status for step in book.steps)
        minutes = (now - last_line) * self.control.facts["clock"]["speed"] / 60
        self.line(
            f"{minutes:.0f} min later {run}: {counts['done']} of {len(book.steps)} steps done, {counts['open']} under way, "
            f"{counts['asked']} wait for a person"
        )
        return now

    async def _people(self, run: str, book: Runbook, acted: set[str]) -> None:
        """One round: people who are ready answer, steps by hand are done, and a step that nobody can do is skipped with a reason."""
        try:
            state = self.context.store.state(run)
        except DrkitError:
            return
        for step in book.steps:
            status = state.of(step.id).status
            if status == "drifted" and step.id not in acted:
                acted.add(step.id)
                control.skip(self.context, run, step.id, "re-planned: the machine has another ARM id now")
            elif status == "asked" and step.id not in acted:
                await self._asked(run, step, state, book, acted)

    async def _asked(self, run: str, step: Step, state: RunState, book: Runbook, acted: set[str]) -> None:
        if step.action == "by-hand":
            acted.add(step.id)
            await self._by_hand(step)
            control.answer(self.context, run, step.id, "done as the runbook says")
            return
        owner = str(step.inputs.get("owner", ""))
        person = await self.control.get(f"people/{owner}")
        if person["ready"]:
            acted.add(step.id)
            control.answer(self.context, run, step.id, "ready")
        elif person["ready_after"] is None and self._quiet(state, book, acted):
            acted.add(step.id)
            control.skip(self.context, run, step.id, f"{person['name'] or 'its owner'} cannot be reached tonight")

    def _quiet(self, state: RunState, book: Runbook, acted: set[str]) -> bool:
        """Whether nothing else is under way or answered."""
        return not any(
            state.of(step.id).status == "open" or (state.of(step.id).status == "asked" and step.id in acted)
            for step in book.steps
        )

    async def _by_hand(self, step: Step) -> None:
        """The person at the machine types the commands of the runbook."""
        known = {
            environment.id: environment for environment in plan_.composed(self.context, self._assessment()).environments
        }
        # What is on its way back is known by the id it had before it left.
        before = next(
            (environment_.environment for environment_ in self._moved if environment_.now == step.environment),
            step.environment,
        )
        environment_ = known[before]
        for call, body in registry()[step.product].rehearsal.by_hand(step, environment_):
            await self.control.post(call, body)

    @property
    def _moved(self) -> list[leftovers.MovedEnvironment]:
        return [
            environment
            for run in self.context.store.run_records()
            for environment in leftovers.moved(run.book, run.state)
        ]

    def _assessment(self) -> Assessment:
        newest = self.context.store.newest(Assessment)
        if newest is None:
            raise RefusedError("there is no assessment")
        return newest[0]

    def _tell_run(self, run_status: status_.RunStatus) -> None:
        book, state = run_status.runbook, run_status.state
        counts = Counter(state.of(step.id).status for step in book.steps)
        texts = [f"{number} {word}" for word, number in counts.items() if word != "pending"]
        self.line(f"{run_status.run} {run_status.outcome}: {', '.join(texts)}")
        for step in book.steps:
            known = state.of(step.id)
            if known.status == "skipped":
                handle = step.id.split(":")[1].rsplit(".", 1)[0]
                drift = next(
                    (
                        record
                        for record in self.context.store.records(run_status.run)
                        if record.step == step.id and record.kind == "drifted"
                    ),
                    None,
                )
                if drift:
                    self.line(f"stopped as drifted: {handle}: {drift.data['detail']}", 4)
                if (handle, known.detail) not in self.told:
                    self.line(f"skipped: {handle}: {safe(known.detail)}", 4)
                self.told.add((handle, known.detail))
            elif known.status in ("failed", "drifted"):
                self.line(f"{known.status}: {step.id}: {safe(known.detail, 160)}", 4)
        if self.verbose:
            for step in book.steps:
                self.say(
                    "    "
                    + self.presenter.event(state.of(step.id).status, step.id, state.of(step.id).detail or step.title)
                )

    async def _rest(self) -> list[str]:
        """Assess again; apply what is left, and the repair that the planner lists apart, side by side."""
        self.command("assess")
        await assess.assess(self.context)
        rest = self._plan("plan", kind="failover")
        repair = self._plan("plan --kind repair", kind="repair")
        jobs: list[asyncio.Task[str]] = []
        for planned in (repair, rest):
            if not planned.runbook.steps:
                continue
            plan_.approve(self.context, planned.digest)
            self.command(f"approve {planned.digest[:12]} && drkit apply {planned.digest[:12]}")
            begun = asyncio.Event()
            task = asyncio.create_task(self.attend("apply", planned.digest, planned.runbook, begun))
            task.add_done_callback(lambda _task, begun=begun: begun.set())  # type: ignore[misc]
            await begun.wait()
            jobs.append(task)
        return [await task for task in jobs]

    # the end

    async def _end(self, assessed: Assessment, runs: Sequence[str], before: int) -> dict[str, Any]:
        run_statuses = [status_.status(self.context, run) for run in runs]
        outcomes = _together([results.outcomes(run_status.runbook, run_status.state) for run_status in run_statuses])
        numbers = results.numbers(outcomes)
        since = next((run_status.since for run_status in run_statuses if run_status.since), "")
        seconds = results.recovery_seconds(outcomes, since)
        objective = self.context.settings.objectives.recovery_time_minutes * 60
        record = (await self.control.get("record"))["requests"]
        self._keep("requests.json", self.presenter.json(record))
        throttled = sum(request["status"] == 429 for request in record)
        kinds = Counter("read" if request["kind"] == "token" else request["kind"] for request in record)
        paths = self._reports(runs)
        outcome = min((run_status.outcome for run_status in run_statuses), key=WORST.index)
        self.say(f"{outcome}: {numbers['recovered']} of {numbers['total']} environments recovered (SIMULATED)")
        for word, title in (("needs_person", "need a person"), ("waiting", "waiting"), ("lost", "lost")):
            for reason, names in _by_reason(outcomes, word).items():
                self.line(f"{title}: {', '.join(names)}: {reason}")
        if seconds is not None:
            self.line(
                f"recovered in {duration(seconds)} of simulated time since the first sign; the objective is {duration(objective)}"
            )
        counted = await self._counted(record)
        self.line(
            f"calls: {kinds['read']} reads, {kinds['write']} writes, {kinds['probe']} probes; {throttled} throttled"
        )
        self.line(f"by the simulator's record: {before} writes before approval, {counted['lost']} to the lost region;")
        self.line(
            f"{counted['plans']} plans, {counted['managed']} environments made, {counted['hosts']} hosts registered, "
            f"{counted['moved']} extensions moved; {counted['twice']} twice"
        )
        self.say("  evidence (reports, runbooks, requests.json with every request, runs.log) in")
        self.say(f"  {self.folder}")
        return {
            "outcome": outcome,
            "lost_region": self.region,
            "target_regions": sorted(
                {region for run_status in run_statuses for region in run_status.runbook.target_regions.values()}
            ),
            "environments": numbers,
            "hosts": dict(sorted(Counter(host.outcome for host in assessed.hosts).items())),
            "rto_seconds": seconds,
            "objective_seconds": objective,
            "calls": {kind: kinds[kind] for kind in ("read", "write", "probe")},
            "throttled": throttled,
            "writes_before_approval": before,
            "run": runs[-1],
            "report": str(paths[-1]),
        }

    async def _counted(self, record: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """What was made, what was made twice, and what was written to the lost region, by the simulator's own record."""
        state = await self.control.get("state")
        types = tuple(f"/{kind.lower()}" for product in registry().values() for kind in product.plan_types)
        done = [request for request in record if request["status"] in (200, 201, 202)]
        plans = Counter(
            ArmId(request["path"])
            for request in done
            if request["method"] == "PUT" and request["path"].lower().rpartition("/")[0].endswith(types)
        )
        moved = Counter(
            (request["method"], ArmId(request["path"]))
            for request in done
            if request["kind"] == "write" and "/extensions/" in request["path"]
        )
        managed = Counter(
            (ArmId(environment["plan"]), environment["name"].lower())
            for environment in state["environments"]
            if "cloud" in environment["type"].lower() and environment["id"] not in self.stood
        )
        registered = Counter(
            (ArmId(host["id"]), item["event"])
            for host in state["hosts"]
            for item in host["history"]
            if str(item["event"]).startswith("registered ")
        )
        twice = [key for counts in (plans, managed, moved) for key, number in counts.items() if number > 1]
        hosts = Counter(host for host, _ in registered)
        groups = [group["id"].lower() for group in state["groups"] if group["location"] == self.region]
        lost = sum(
            request["kind"] == "write"
            and (f"{self.region}." in request["host"] or request["path"].lower().startswith(tuple(groups)))
            for request in record
        )
        return {
            "plans": len(plans),
            "managed": len(managed),
            "hosts": len(hosts),
            "moved": sum(method == "PUT" for method, _ in moved),
            "twice": len(twice) + sum(number > 1 for number in hosts.values()),
            "lost": lost,
        }

    def _keep(self, name: str, text: str) -> Path:
        """Write a file for people into the drill's folder; where it is."""
        path = self.folder / name
        files.write(path, f"{text.rstrip()}\n".encode(), mode=0o644, sync=False)
        return path

    def _reports(self, runs: Sequence[str]) -> list[Path]:
        paths = []
        for run in runs:
            texts = self.presenter.reports(report.report(self.context, run))
            paths.append([self._keep(f"report-{run}{ending}", text) for ending, text in texts.items()][-1])
        return paths


def _some(names: Sequence[str], room: int) -> str:
    """As many names as fit into the room, and how many more."""
    shown = list(names)
    while len(shown) > 1 and len(", ".join(shown)) + (4 if len(shown) < len(names) else 0) > room:
        shown.pop()
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" +{more}" if more else "")


def _by_reason(outcomes: Sequence[results.Outcome], ending: str) -> dict[str, list[str]]:
    """The names of that ending, by their reason; what to do about it is said once for each reason."""
    grouped: dict[str, tuple[str, list[str]]] = {}
    for outcome in outcomes:
        if outcome.ending == ending:
            reason = safe(outcome.detail, 130)
            grouped.setdefault(reason.partition(";")[0], (reason, []))[1].append(safe(outcome.name, 40))
    return dict(grouped.values())


def _together(parts: Sequence[Sequence[results.Outcome]]) -> list[results.Outcome]:
    """Each environment once: recovered in any run is recovered, else what the last run says."""
    by_environment: dict[str, results.Outcome] = {}
    for part in parts:
        for outcome in part:
            known = by_environment.get(outcome.environment)
            if known is None or known.ending != "recovered":
                by_environment[outcome.environment] = outcome
    return sorted(by_environment.values(), key=lambda outcome: outcome.name)
