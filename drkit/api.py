"""One function a command: what ``import drkit`` gives. The command line only parses, calls these, and chooses a view."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from drkit import behind, estate, history, journal, linked, nearest, planner, runbook
from drkit import cloud as clouds
from drkit import settings as settings_
from drkit.clock import Clock, parse_time, rfc3339
from drkit.errors import CloudError, DrkitError, FileError, IntegrityError, LockedError, RefusedError, UsageError
from drkit.estate import Assessment, Capture, Claim, Snapshot, region_name
from drkit.journal import Record, RunState
from drkit.products import actors, registry, tables
from drkit.readiness import Readiness
from drkit.runbook import Kind, Runbook
from drkit.settings import Settings
from drkit.store import Approval, Declaration, Message, who, write
from drkit.version import __version__
from drkit.workplace import Desk, desk

if TYPE_CHECKING:
    from drkit.execution.runner import Event
    from drkit.providers.session import Session

GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
QUOTA = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed", "1", "8", "12"})
MOST_WAIT_MINUTES = 7 * 24 * 60.0
REFUSAL_AGE = timedelta(hours=24)
SCHEMAS: Mapping[str, Any] = {
    "readiness": Readiness,
    "snapshot": Snapshot,
    "assessment": Assessment,
    "runbook": Runbook,
    "settings": settings_.SettingsFile,
    "approval": Approval,
    "journal": Record,
}


# before and during: reading


async def snapshot(desk: Desk, *, subscriptions: Sequence[str] = ()) -> tuple[Snapshot, Path]:
    """Capture the estate as the next generation. When nothing answers, a failed capture is kept and CloudError raised.

    ``subscriptions``: ids to look at instead of those in settings; UsageError for what is no id.
    """
    from drkit.survey import snapshot as survey

    cloud, clock = desk.cloud, desk.clock
    settings = _narrowed(desk.settings, subscriptions)
    generations = generations_of(desk)
    previous = generations[-1] if generations else None
    try:
        async with reader(desk) as azure:
            taken = await survey.take(azure, registry(), settings, clock, mark=cloud.mark, previous=previous)
    except CloudError as error:
        now = rfc3339(clock.now())
        base = previous or Snapshot(made_against=cloud.mark, taken=now)
        failed = Capture(cloud.arm, "the cloud itself", "failed", now, str(error))
        desk.store.keep(msgspec.structs.replace(base, made_against=cloud.mark, taken=now, captures=(failed,)))
        raise
    path = desk.store.keep(taken)
    return msgspec.structs.replace(taken, generation=int(path.stem)), path


def _narrowed(settings: Settings, subscriptions: Sequence[str]) -> Settings:
    """The settings with these subscriptions instead of their own."""
    bad = [one for one in subscriptions if not re.fullmatch(GUID, one)]
    if bad:
        raise UsageError(
            f"{bad[0]!r} is not a subscription id", where="--subscription", remedy="`az account list` shows the ids"
        )
    wanted = list(dict.fromkeys(one.lower() for one in subscriptions))
    return msgspec.structs.replace(settings, subscriptions=wanted) if wanted else settings


async def init(desk: Desk, out: str, *, subscriptions: Sequence[str] = (), store: str = "") -> tuple[str, Path]:
    """Look what is registered where, and write a commented drkit.toml for it. Reads Azure only. ``store`` is written into it.

    RefusedError (4) when the file is there already.
    """
    from drkit import begin
    from drkit.survey import snapshot as survey

    path = Path(out)
    if os.path.lexists(path):
        raise RefusedError("is there already", where=out, remedy="choose another --out; nothing was written")
    settings = _narrowed(desk.settings, subscriptions)
    products = registry()
    async with reader(desk) as azure:
        taken = await survey.take(azure, products, settings, desk.clock, mark=desk.cloud.mark, previous=None)
    lines = {name: product.settings_lines(taken.plans, taken.environments) for name, product in products.items()}
    text = begin.text(taken, lines, store)
    settings_.parse(text, out, tables())
    write(path, text.encode())
    return text, path


async def assess(
    desk: Desk, *, declare_lost: str | None = None, reason: str | None = None, probe_output: str | None = None
) -> tuple[Assessment, Path, int]:
    """Say how everything is; returns the assessment, where it is kept, and 0, or 5 when nothing could be told.

    ``declare_lost`` with ``reason`` is kept as a declaration, with who said it. ``probe_output``: a folder with the outputs of
    probes run by hand; those that cannot be used are among what was not read. CredentialError when no token can be had.
    """
    from drkit.survey import assessment as survey
    from drkit.survey import by_hand

    cloud, clock = desk.cloud, desk.clock
    generations = generations_of(desk)
    if not generations:
        raise RefusedError(
            "there is no snapshot yet", where=str(desk.store.folder), remedy="`drkit snapshot` takes one"
        )
    if declare_lost:
        region = _known_region(declare_lost, generations[-1])
        if not (reason or "").strip():
            raise UsageError("a declaration needs a reason", remedy="add --reason TEXT: it is kept as evidence")
        desk.store.declare(Declaration(region=region, reason=str(reason), who=who(), when=rfc3339(clock.now())))
    declared = [
        Claim(one.region, "declaration", f"declared {one.when}", one.when, one.reason, one.who)
        for one in desk.store.declarations()
    ]
    outputs, faults = by_hand.read(Path(probe_output)) if probe_output else ([], [])
    earlier = desk.store.newest(Assessment)
    async with reader(desk) as azure:
        taken = await survey.take(
            azure,
            registry(),
            desk.settings,
            clock,
            mark=cloud.mark,
            generations=generations,
            earlier=earlier[0] if earlier else None,
            declared=declared,
            refusals=refusals_of(desk, clock),
            printed=outputs,
            deferred=behind.open_items(linked.told(desk)),
        )
    if faults:
        taken = msgspec.structs.replace(taken, unread=(*faults, *taken.unread))
    path = desk.store.keep(taken)
    return msgspec.structs.replace(taken, generation=int(path.stem)), path, 5 if _blind(taken) else 0


@dataclass(frozen=True)
class ProbeScript:
    """A probe to run by hand: its text, the SHA-256 of that, and what to type on the host once it is in a file there."""

    system: str
    text: str
    sha256: str
    command: str


def probe_script(settings: Settings, system: str) -> ProbeScript:
    """The probe of ``linux`` or ``windows``, asking for the registrations that these settings name."""
    from drkit import hostscripts
    from drkit.survey import probe
    from drkit.survey import snapshot as survey

    script = hostscripts.probe_for(system)
    asked = hostscripts.encode(probe.asked(survey.registration_paths(registry(), settings)))
    command = (
        f"powershell -NoProfile -ExecutionPolicy Bypass -File probe.ps1 {asked} > HOST.txt"
        if script.shell == "powershell"
        else f"sudo sh probe.sh {asked} > HOST.txt"
    )
    return ProbeScript(system, script.text, script.sha256, command)


def _blind(taken: Assessment) -> bool:
    """Whether nothing could be told: no plan's state is known, or ARM answered for none of them."""
    if not taken.plans:
        return bool(taken.unread) and all(one.outcome == "undetermined" for one in taken.hosts)
    arm = {reading.value for one in taken.plans for reading in one.readings if reading.signal == "arm"}
    return all(one.state == "unknown" for one in taken.plans) or arm == {"unreachable"}


def reader(desk: Desk) -> Session:
    """A session that can only read, and probe."""
    from drkit import hostscripts
    from drkit.providers.guard import reading_guard
    from drkit.providers.retry import Budget
    from drkit.providers.session import Session

    return Session(
        desk.cloud,
        clock=desk.clock,
        guard=reading_guard(frozenset(hostscripts.load(name).sha256 for name in hostscripts.PROBES.values())),
        loopback_only=desk.loopback_only,
        principal=desk.principal,
        budget=Budget(seconds=desk.settings.run.request_budget_seconds),
    )


def generations_of(desk: Desk) -> list[Snapshot]:
    """Every generation, oldest first. One that failed wholly at another address captured nothing, and stands in nobody's way."""
    ours = desk.cloud.mark
    generations = [one for one in desk.store.snapshots() if one.made_against == ours or one.plans or one.hosts]
    for one in generations:
        clouds.check_same(one.made_against, desk.cloud, f"snapshot {one.generation} in {desk.store.folder}")
    return generations


def _known_region(text: str, newest: Snapshot) -> str:
    region = region_name(text)
    names = {location.name for location in newest.locations} | {plan.region for plan in newest.plans}
    if names and region not in names:
        raise UsageError(
            f"there is no region {text!r}", remedy=nearest.remedy(text, names, f"one of: {', '.join(sorted(names))}")
        )
    return region


def refusals_of(desk: Desk, clock: Clock) -> dict[tuple[str, str], tuple[str, ...]]:
    """What target regions refused for want of room in the runs of the last day: (subscription, region) -> why."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for run in desk.store.runs():
        try:
            state = desk.store.state(run)
            book = desk.store.runbook(state.runbook)[0] if state.runbook else None
        except (FileError, RefusedError, IntegrityError):
            continue
        for step in book.steps if book else ():
            known = state.of(step.id)
            if (
                step.effect != "create"
                or known.status != "failed"
                or known.code.lower() not in QUOTA
                or not known.ended
            ):
                continue
            if clock.now() - parse_time(known.ended) < REFUSAL_AGE:
                key = (estate.id_part(str(step.inputs.get("plan", step.target)), "subscriptions").lower(), step.region)
                found[key] = (*found.get(key, ()), f"{run} was refused there: {known.detail}")
    return found


# planning


@dataclass(frozen=True)
class Planned:
    """A runbook, its exact bytes, their digest, and where they are kept."""

    runbook: Runbook
    content: bytes
    digest: str
    path: Path
    warnings: tuple[str, ...] = ()


def plan(
    desk: Desk,
    *,
    kind: Kind | None = None,
    graceful_from: str = "",
    snapshot: str | None = None,
    assessment: str | None = None,
    force: Mapping[str, str] | None = None,
    out: str | None = None,
    rebases: str = "",
    notes: tuple[str, ...] = (),
) -> Planned:
    """Write the runbook for what the newest assessment found. Loads no Azure SDK. ``rebases``: the run whose rest it is.

    RefusedError (4) when there is no assessment, no target region is left, a target is lost, or a guard refuses.
    """
    from drkit.store import load

    found = (
        desk.store.newest(Assessment) if assessment is None else (load(Path(assessment), Assessment), Path(assessment))
    )
    if found is None:
        raise RefusedError(
            "there is no assessment yet", where=str(desk.store.folder), remedy="`drkit assess` makes one"
        )
    assessed, path = found
    clouds.check_same(assessed.made_against, desk.cloud, str(path))
    if snapshot is None:
        base = composed(desk, assessed)
    else:
        base = load(Path(snapshot), Snapshot)
        clouds.check_same(base.made_against, desk.cloud, snapshot)
    base = behind.advanced(base, linked.told(desk))
    region = region_name(graceful_from)
    here = {plan.region for plan in base.plans}
    if region and region not in here:
        raise UsageError(
            f"no plan is in {graceful_from!r}",
            remedy=nearest.remedy(region, here, f"one of: {', '.join(sorted(here))}"),
        )
    book = planner.plan(
        base,
        assessed,
        desk.settings,
        registry(),
        of_snapshot=estate.digest(estate.encode(base)),
        of_assessment=estate.digest(path.read_bytes()),
        made_against=desk.cloud.mark,
        version=__version__,
        kind=kind,
        graceful_from=region,
        force=force,
    )
    if rebases:
        book = msgspec.structs.replace(book, rebases=rebases, notes=(*notes, *book.notes))
    content = runbook.encode(book)
    kept = desk.store.keep_runbook(content)
    if out:
        write_out(out, content)
    return Planned(
        book,
        content,
        runbook.digest(content),
        Path(out) if out else kept,
        (*_thin(assessed, base), *stale(desk, assessed), *_outlived(desk)),
    )


def write_out(name: str, content: bytes) -> None:
    """Write a file a person asked for; FileError when that cannot be."""
    write(Path(name), content)


def composed(desk: Desk, assessed: Assessment) -> Snapshot:
    """The snapshot to recover from: per plan, its newest complete capture from before it began to fail."""
    generations = generations_of(desk)
    if not generations:
        raise RefusedError(
            "there is no snapshot yet", where=str(desk.store.folder), remedy="`drkit snapshot` takes one"
        )
    regions = {plan.id.lower(): plan.region for plan in generations[-1].plans}
    cutoffs = {
        finding.plan.lower(): moment
        for finding in assessed.plans
        if (moment := history.cutoff(finding.failing_since, assessed.claims, regions.get(finding.plan.lower(), "")))
    }
    return history.compose(generations, cutoffs)


def _thin(assessed: Assessment, base: Snapshot) -> list[str]:
    """What a runbook made of these two must leave out, though nobody decided so."""
    if _blind(assessed):
        return [
            f"assessment {assessed.generation} could not tell how any plan is: `drkit assess` again, and plan on that"
        ]
    known = {plan.id.lower() for plan in base.plans}
    missing = [one.plan for one in assessed.plans if one.state == "lost" and one.plan.lower() not in known]
    return [f"{plan.rsplit('/', 1)[-1]} is lost, and this snapshot does not hold it: {plan}" for plan in missing]


def _outlived(desk: Desk) -> list[str]:
    newest = desk.store.newest(Snapshot)
    back = linked.since_snapshot(desk, newest[0]) if newest else ""
    return [f"{back}: `drkit snapshot` while all is well"] if back else []


def stale(desk: Desk, assessed: Assessment) -> list[str]:
    for run in desk.store.runs():
        try:
            ended = desk.store.state(run).ended
        except (FileError, IntegrityError) as error:
            return [f"it is not known whether a run ended after this assessment was made: {error}"]
        if ended and parse_time(ended) > parse_time(assessed.taken):
            return [f"{run} ended after this assessment was made: `drkit assess` again, and plan on that"]
    return []


def show(desk: Desk, name: str = "latest") -> Planned:
    """A runbook as it is kept, by path, digest or ``latest``."""
    book, content, path = desk.store.runbook(name)
    return Planned(book, content, runbook.digest(content), path)


# approving and applying


def approve(desk: Desk, name: str = "latest", *, hours: float = 24.0, note: str = "") -> Approval:
    """Approve a runbook's exact bytes. In a folder store that is unauthenticated: anyone who may write there may do it."""
    shown = show(desk, name)
    clouds.check_same(shown.runbook.made_against, desk.cloud, str(shown.path))
    _observed(shown)
    if not 0 < hours <= 24 * 31:
        raise UsageError(f"{hours} hours is not above 0 and at most a month", remedy="--hours 24")
    now = desk.clock.now()
    desk.store.keep_runbook(shown.content)
    approval = Approval(
        digest=shown.digest, who=who(), when=rfc3339(now), until=rfc3339(now + timedelta(hours=hours)), note=note
    )
    desk.store.approve(approval)
    return approval


@dataclass(frozen=True)
class Applied:
    """How a run stands after ``apply`` or ``resume``: its outcome, why, and the exit code that says so."""

    run: str
    outcome: str
    reason: str
    exit_code: int


DONE = ("succeeded", "succeeded-with-exceptions")
EXIT = {"succeeded": 0, "succeeded-with-exceptions": 0, "failed": 1, "partial": 3}


async def apply(
    desk: Desk,
    name: str = "latest",
    *,
    yes: bool = False,
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Carry out an approved runbook as a new run. RefusedError (4) when it is not approved, edited, or already carried out."""
    from drkit.execution import apply as execution

    shown = show(desk, name)
    book = shown.runbook
    clouds.check_same(book.made_against, desk.cloud, str(shown.path))
    _observed(shown)
    execution.check_guards(book, linked.recorded(desk, book))
    execution.check_scripts(book)
    clock = desk.clock
    approved = _approved(desk, shown, clock, yes=yes)
    job = _job(desk, book, shown.digest, wait_minutes, on_event)
    with desk.store.lock_runbook(shown.digest, rfc3339(clock.now())):
        _not_begun(desk, shown)
        linked.not_superseded(desk, book)
        desk.store.keep_runbook(shown.content)
        since = _outage_since(desk, book)
        run = desk.store.new_run()
        started = {"since": since, "version": __version__, "minimum_share": desk.settings.run.minimum_share}
        try:
            ending = await execution.begin(job, run, clock, started, approved)
        except LockedError:
            desk.store.drop_unbegun(run)
            raise
    return Applied(run, ending.outcome, ending.reason, EXIT[ending.outcome])


def _observed(shown: Planned) -> None:
    """RefusedError for a runbook of a loss that was only assumed."""
    if shown.runbook.assumed:
        raise RefusedError(
            "was planned on an assumption (`drkit check --lose`): nobody saw that region lost",
            where=str(shown.path),
            remedy="`drkit assess` and `drkit plan` make one of what is",
        )


def _not_begun(desk: Desk, shown: Planned) -> None:
    """RefusedError when a run of these bytes is there: who began it, when, and how it stands."""
    for other in desk.store.runs():
        state = desk.store.state(other)
        if state.runbook == shown.digest:
            done = state.outcome in DONE
            how = state.outcome or "it has not ended"
            raise RefusedError(
                f"this runbook {'was' if done else 'is being'} carried out as {other}, by {state.holder} since {state.started} ({how})",
                where=str(shown.path),
                remedy="`drkit assess` and `drkit plan` for what is left" if done else f"`drkit resume {other}`",
            )


async def resume(
    desk: Desk,
    run: str = "latest",
    *,
    wait_minutes: float | None = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Applied:
    """Go on with a run, whatever ended it. Failed and drifted steps are looked at again. Nothing is done twice."""
    from drkit.execution import apply as execution

    name = desk.store.journal_path(run).stem
    state = _begun(desk, name)
    if state.outcome in DONE:
        return Applied(name, state.outcome, "it had ended already", EXIT[state.outcome])
    _still_wanted(desk, name, state)
    shown = show(desk, state.runbook)
    linked.not_superseded(desk, shown.runbook, name)
    clouds.check_same(shown.runbook.made_against, desk.cloud, str(shown.path))
    execution.check_scripts(shown.runbook)
    job = _job(desk, shown.runbook, shown.digest, wait_minutes, on_event)
    ending = await execution.resume(job, name, desk.clock)
    return Applied(name, ending.outcome, ending.reason, EXIT[ending.outcome])


def _still_wanted(desk: Desk, name: str, state: RunState) -> None:
    """RefusedError for a run that was aborted, or whose rest another run has begun to carry out."""
    if state.stopped and state.outcome:
        raise RefusedError(
            f"{name} has ended: {state.stopped}",
            remedy=f"`drkit assess`, then `drkit plan --rebase {name}` for what is left",
        )
    runs = desk.store.runs()
    for other in runs[runs.index(name) + 1 :]:
        try:
            later = desk.store.state(other).runbook
            rebases = show(desk, later).runbook.rebases if later else ""
        except DrkitError:
            continue
        if rebases == name:
            raise RefusedError(f"the rest of {name} is carried out as {other}", remedy=f"`drkit resume {other}`")


def _job(desk: Desk, book: Runbook, digest: str, wait_minutes: float | None, on_event: Callable[[Event], None]) -> Any:
    from drkit.execution.apply import Job

    wait = desk.settings.run.answer_wait_minutes if wait_minutes is None else wait_minutes
    if not 0 <= wait <= MOST_WAIT_MINUTES:
        raise UsageError(f"{wait} minutes is not from 0 to a week", remedy="--wait 30")
    return Job(
        book,
        digest,
        desk.cloud,
        desk.settings,
        desk.store,
        actors(),
        on_event,
        wait,
        desk.loopback_only,
        desk.principal,
    )


def _approved(desk: Desk, shown: Planned, clock: Clock, *, yes: bool) -> dict[str, Any]:
    approval = desk.store.approval(shown.digest)
    separate = _separate(desk, shown, approval, yes=yes) if desk.settings.run.separate_approver else {}
    if approval is not None and parse_time(approval.until) > clock.now():
        how = "authenticated" if approval.authenticated else "unauthenticated: a folder store cannot say who wrote it"
        return {
            "who": approval.who,
            "how": how,
            "when": approval.when,
            "until": approval.until,
            "note": approval.note,
            **separate,
        }
    if yes:
        return {"who": who(), "how": "self-approved with --yes", "when": rfc3339(clock.now())}
    what = "is not approved" if approval is None else f"was approved until {approval.until} only"
    raise RefusedError(
        what, where=f"runbook {shown.digest[:12]}", remedy=f"`drkit show` it, then `drkit approve {shown.digest[:12]}`"
    )


def _separate(desk: Desk, shown: Planned, approval: Approval | None, *, yes: bool) -> dict[str, Any]:
    """That another approved than carries out, and whether the store's permissions prove it; RefusedError when it is not so."""
    asked = "[run] separate_approver asks for somebody else's approval"
    if yes and approval is None:
        raise RefusedError(f"{asked}, so --yes is refused", remedy=f"let another `drkit approve {shown.digest[:12]}`")
    if approval is not None and approval.who == who():
        raise RefusedError(
            f"{asked}, and {approval.who} carries it out as well",
            remedy=f"let another `drkit approve {shown.digest[:12]}`",
        )
    proved = desk.store.approved_by_another(shown.digest)
    by_name = "by name only: who carries this out may write approvals here too"
    return {"separate": "the store lets nobody approve who carries this out" if proved else by_name}


def _outage_since(desk: Desk, book: Runbook) -> str:
    """The first sign of the outage, as the assessment behind a runbook has it; empty when that is not in the store."""
    if book.of_run:
        return ""
    assessed = desk.store.of_digest(Assessment, book.of_assessment)
    if assessed is None:
        return ""
    moments = [
        history.cutoff(finding.failing_since, assessed.claims, book.source_plans[plan])
        for finding in assessed.plans
        for plan in book.source_plans
        if estate.same_id(plan, finding.plan)
    ]
    known = [moment for moment in moments if moment]
    return min(known, key=parse_time) if known else ""


# talking to a run


def answer(desk: Desk, run: str, step: str, text: str = "done") -> str:
    """Tell a run that a person did, or is ready for, what a step asks. Returns the step's id."""
    return _tell(desk, run, "answer", step, text)


def skip(desk: Desk, run: str, step: str, reason: str) -> str:
    """Leave a step out, with a reason that the journal keeps. Returns the step's id."""
    if not reason.strip():
        raise UsageError("skipping needs a reason", remedy="--reason TEXT: the journal keeps it")
    return _tell(desk, run, "skip", step, reason)


def _tell(desk: Desk, run: str, what: str, step: str, text: str) -> str:
    name = desk.store.journal_path(run).stem
    state = _begun(desk, name)
    found = show(desk, state.runbook).runbook.find(step)
    known = state.of(found.id)
    if known.status in ("done", "skipped"):
        raise RefusedError(f"{found.id} is {known.status} already", remedy=f"`drkit status {name}`")
    if state.outcome in DONE:
        raise RefusedError(f"{name} has ended: {state.outcome}", remedy=f"`drkit report {name}`")
    if what == "answer" and found.effect != "ask":
        raise RefusedError(f"{found.id} asks nothing", remedy=f"`drkit status {name}` lists what waits for a person")
    desk.store.send(name, Message(what=what, step=found.id, text=text, who=who(), when=rfc3339(desk.clock.now())))
    return found.id


# looking


@dataclass(frozen=True)
class Standing:
    """A run as its journal has it, with its runbook and what it amounts to now; ``held``: who carries it out at this moment."""

    run: str
    state: RunState
    runbook: Runbook
    digest: str
    outcome: str
    reason: str
    since: str
    records: tuple[Record, ...] = ()
    held: str = ""


def status(desk: Desk, run: str = "latest") -> Standing:
    """Where a run stands. Reads only; needs no cloud."""
    name = desk.store.journal_path(run).stem
    return _standing(desk, name, desk.store.records(name))


def _standing(desk: Desk, name: str, records: Sequence[Record]) -> Standing:
    from drkit.execution import schedule

    state = _begun(desk, name, records)
    shown = show(desk, state.runbook)
    ending = schedule.ending(shown.runbook, state)
    since = str(records[0].data.get("since", ""))
    held = "" if ending.outcome in DONE else desk.store.holder(name)
    return Standing(
        name, state, shown.runbook, shown.digest, ending.outcome, ending.reason, since, tuple(records), held
    )


def _begun(desk: Desk, run: str, records: Sequence[Record] | None = None) -> RunState:
    state = journal.fold(desk.store.records(run) if records is None else records)
    if not state.runbook:
        raise RefusedError(f"{run} never began", where=str(desk.store.folder), remedy="`drkit apply` again")
    return state


def runs(desk: Desk) -> list[Standing]:
    """Every run that began, oldest first. IntegrityError names the first whose journal is broken."""
    found = []
    for run in desk.store.runs():
        records = desk.store.records(run)
        if journal.fold(records).runbook:
            found.append(_standing(desk, run, records))
    return found


def codes(desk: Desk, run: str) -> list[dict[str, Any]]:
    """Sign-in codes that a run on this machine shows now. RefusedError names the machine that holds it."""
    from drkit.execution import codes as shown

    name = desk.store.journal_path(run).stem
    return shown.ask(shown.socket_path(desk.store.folder, name), name, desk.store.state(name).holder)


def overview(desk: Desk) -> list[str]:
    """What `drkit` alone says: cloud, age of the snapshot, open runs, the next command."""
    lines = [desk.cloud.announce(), f"store: {desk.store.folder}"]
    newest = desk.store.newest(Snapshot)
    if newest is None:
        return [
            *lines,
            "no snapshot yet",
            "next: `drkit snapshot`, or `drkit drill` to see the whole way on an embedded Azure",
        ]
    now = desk.clock.now()
    lines.append(f"snapshot {newest[0].generation} is {clouds.age_text(parse_time(newest[0].taken), now)} old")
    unfinished: list[Standing] = []
    for run in desk.store.runs():
        try:
            one = status(desk, run)
        except RefusedError:
            continue  # it never began
        except DrkitError as error:
            lines.append(f"cannot be read: {run}: {error}")
            continue
        if one.outcome == "partial":
            unfinished.append(one)
    lines.extend(
        f"under way: {one.run}, held by {one.held}" if one.held else f"open: {one.run} ({one.reason})"
        for one in unfinished
    )
    if unfinished:
        last = unfinished[-1]
        resume = "" if last.held else f", then `drkit resume {last.run}`"
        return [*lines, f"next: `drkit status {last.run}`{resume}"]
    assessed = desk.store.newest(Assessment)
    if assessed is None:
        return [*lines, "next: `drkit assess`"]
    lines.append(f"assessment {assessed[0].generation} is {clouds.age_text(parse_time(assessed[0].taken), now)} old")
    lost = any(finding.state == "lost" for finding in assessed[0].plans)
    if not lost and (way := behind.way_on(assessed[0].zombies)):
        return [*lines, f"next: {way}"]
    if back := linked.since_snapshot(desk, newest[0]):
        return [*lines, f"next: `drkit snapshot`, since {back}"]
    return [*lines, "next: `drkit plan`" if lost else "next: `drkit assess` when something looks wrong"]


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a file's kind."""
    if kind not in SCHEMAS:
        raise UsageError(f"there is no kind {kind!r}", remedy=f"one of: {', '.join(SCHEMAS)}")
    return msgspec.json.schema(SCHEMAS[kind])


__all__ = [
    "Applied", "Desk", "Planned", "Standing",
    "answer", "apply", "approve", "assess", "codes", "desk", "init", "plan", "resume", "runs", "schema", "show",
    "skip", "snapshot", "status",
]  # fmt: skip
