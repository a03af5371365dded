"""Before and during: what is read from Azure and kept, as snapshots and assessments."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from drkit.api.context import Context
from drkit.errors import CloudError, FileError, IntegrityError, RefusedError, UsageError
from drkit.model import files, suggest
from drkit.model import settings as settings_
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Assessment, Capture, Claim, Snapshot, region_name
from drkit.model.ids import ArmId
from drkit.model.settings import Settings
from drkit.planning import leftovers
from drkit.products import registry, tables
from drkit.store.records import Declaration, who

if TYPE_CHECKING:
    from drkit.providers.session import Session

GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
REFUSAL_AGE = timedelta(hours=24)
QUOTA = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed", "1", "8", "12"})


async def snapshot(context: Context, *, subscriptions: Sequence[str] = ()) -> tuple[Snapshot, Path]:
    """Capture the estate as the next generation. When nothing answers, a failed capture is kept and CloudError raised.

    ``subscriptions``: ids to look at instead of those in settings; UsageError for what is no id.
    """
    from drkit.survey import capture as survey

    cloud, clock = context.cloud, context.clock
    settings = _narrowed(context.settings, subscriptions)
    generations = context.store.generations(cloud)
    previous = generations[-1] if generations else None
    try:
        async with reader(context) as azure:
            taken = await survey.take(azure, registry(), settings, clock, mark=cloud.mark, previous=previous)
    except CloudError as error:
        now = rfc3339(clock.now())
        base = previous or Snapshot(cloud=cloud.mark, taken=now)
        failed = Capture(cloud.arm, "the cloud itself", "failed", now, str(error))
        context.store.keep(msgspec.structs.replace(base, cloud=cloud.mark, taken=now, captures=(failed,)))
        raise
    path = context.store.keep(taken)
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


async def init(context: Context, out: str, *, subscriptions: Sequence[str] = (), store: str = "") -> tuple[str, Path]:
    """Look what is registered where, and write a commented drkit.toml for it. Reads Azure only. ``store`` is written into it.

    RefusedError (4) when the file is there already.
    """
    from drkit.api import init_template
    from drkit.survey import capture as survey

    path = Path(out)
    if os.path.lexists(path):
        raise RefusedError("is there already", where=out, remedy="choose another --out; nothing was written")
    settings = _narrowed(context.settings, subscriptions)
    products = registry()
    async with reader(context) as azure:
        taken = await survey.take(azure, products, settings, context.clock, mark=context.cloud.mark, previous=None)
    lines = {name: product.settings_lines(taken.plans, taken.environments) for name, product in products.items()}
    text = init_template.text(taken, lines, store)
    settings_.parse(text, out, tables())
    files.write_out(path, text.encode())
    return text, path


async def assess(
    context: Context, *, declare_lost: str | None = None, reason: str | None = None, probe_output: str | None = None
) -> tuple[Assessment, Path, int]:
    """Say how everything is; returns the assessment, where it is kept, and 0, or 5 when nothing could be told.

    ``declare_lost`` with ``reason`` is kept as a declaration, with who said it. ``probe_output``: a folder with the outputs of
    probes run by hand; those that cannot be used are among what was not read. CredentialError when no token can be had.
    """
    from drkit.survey import assess as survey
    from drkit.survey import probe_output as probe_output_

    cloud, clock = context.cloud, context.clock
    generations = context.store.generations(cloud, needed=True)
    if declare_lost:
        region = _known_region(declare_lost, generations[-1])
        if not (reason or "").strip():
            raise UsageError("a declaration needs a reason", remedy="add --reason TEXT: it is kept as evidence")
        context.store.declare(Declaration(region=region, reason=str(reason), who=who(), when=rfc3339(clock.now())))
    declared = [
        Claim(one.region, "declaration", f"declared {one.when}", one.when, one.reason, one.who)
        for one in context.store.declarations()
    ]
    outputs, faults = probe_output_.read(Path(probe_output)) if probe_output else ([], [])
    earlier = context.store.newest(Assessment)
    async with reader(context) as azure:
        taken = await survey.take(
            azure,
            registry(),
            context.settings,
            clock,
            mark=cloud.mark,
            generations=generations,
            earlier=earlier[0] if earlier else None,
            declared=declared,
            refusals=refusals_of(context, clock),
            printed=outputs,
            deferred=leftovers.open_items(context.store.run_records()),
        )
    if faults:
        taken = msgspec.structs.replace(taken, unread=(*faults, *taken.unread))
    path = context.store.keep(taken)
    return msgspec.structs.replace(taken, generation=int(path.stem)), path, 5 if taken.blind else 0


@dataclass(frozen=True)
class ProbeScript:
    """A probe to run by hand: its text, the SHA-256 of that, and what to type on the host once it is in a file there."""

    system: str
    text: str
    sha256: str
    command: str


def probe_script(settings: Settings, system: str) -> ProbeScript:
    """The probe of ``linux`` or ``windows``, asking for the registrations that these settings name."""
    from drkit.model import host_scripts
    from drkit.survey import capture as survey
    from drkit.survey import probe

    script = host_scripts.probe_for(system)
    asked = host_scripts.encode(probe.asked(survey.registration_paths(registry(), settings)))
    command = (
        f"powershell -NoProfile -ExecutionPolicy Bypass -File probe.ps1 {asked} > HOST.txt"
        if script.shell == "powershell"
        else f"sudo sh probe.sh {asked} > HOST.txt"
    )
    return ProbeScript(system, script.text, script.sha256, command)


def reader(context: Context) -> Session:
    """A session that can only read, and probe."""
    from drkit.model import host_scripts
    from drkit.providers.guard import reading_guard
    from drkit.providers.retry import Budget
    from drkit.providers.session import Session

    return Session(
        context.cloud,
        clock=context.clock,
        guard=reading_guard(frozenset(host_scripts.load(name).sha256 for name in host_scripts.PROBES.values())),
        loopback_only=context.loopback_only,
        principal=context.principal,
        budget=Budget(seconds=context.settings.run.request_budget_seconds),
    )


def _known_region(text: str, newest: Snapshot) -> str:
    region = region_name(text)
    names = {location.name for location in newest.locations} | {plan.region for plan in newest.plans}
    if names and region not in names:
        raise UsageError(
            f"there is no region {text!r}", remedy=suggest.remedy(text, names, f"one of: {', '.join(sorted(names))}")
        )
    return region


def refusals_of(context: Context, clock: Clock) -> dict[tuple[str, str], tuple[str, ...]]:
    """What target regions refused for want of room in the runs of the last day: (subscription, region) -> why."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for run in context.store.runs():
        try:
            state = context.store.state(run)
            book = context.store.runbook_of(state.runbook)[0] if state.runbook else None
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
                key = (ArmId(str(step.inputs.get("plan", step.target))).subscription.lower(), step.region)
                found[key] = (*found.get(key, ()), f"{run} was refused there: {known.detail}")
    return found
