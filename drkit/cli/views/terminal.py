"""Results for people: tables that fit 80 columns and use what a wider terminal gives."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drkit.cli.views.sentences import measured
from drkit.model import words
from drkit.model.estate import Assessment, Snapshot
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook
from drkit.model.summary import Described, effects, forecast_seconds
from drkit.model.text import clock, duration, exact, plural, safe
from drkit.planning import leftovers

if TYPE_CHECKING:
    from drkit.store.verify_journal import Verified

COLOURS = {
    "lost": "bold red", "host-lost": "red", "region-lost": "red", "re-register": "yellow", "undetermined": "magenta",
    "answering": "green", "no-failover": "green", "transparent": "green", "transparent-with-interruption": "green",
    "unreachable": "yellow", "degraded": "yellow", "done": "green", "failed": "red", "drifted": "yellow",
    "skipped": "yellow", "asked": "cyan", "recovered": "green", "needs_person": "cyan", "waiting": "yellow",
}  # fmt: skip
SIMULATED = "SIMULATED"
NARROW = 36
NEXT_IF_ASSUMED = "next: in a real outage, `drkit assess` and `drkit plan` write a runbook for the real state"
COPIED = ("kept as ", "next: ", "    ")


def width() -> int:
    """Columns to use: the terminal's, 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def render(*parts: Any, columns: int | None = None, colour: bool = False) -> str:
    """Text and tables as lines."""
    out = StringIO()
    plain = not colour or bool(os.environ.get("NO_COLOR"))
    console = Console(
        file=out,
        width=columns or width(),
        no_color=plain,
        force_terminal=not plain,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for part in parts:
        # What is to be copied keeps its line, however long.
        copied = isinstance(part, str) and part.startswith(COPIED)
        console.print(exact(part) if isinstance(part, str) else part, soft_wrap=copied)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def table(*headers: str, rows: Sequence[Sequence[object]], ratios: dict[int, int] | None = None) -> Table:
    """A plain table; a cell whose text is a known state is coloured. ``ratios``: columns that share the room left."""
    grid = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        expand=bool(ratios),
        header_style="bold",
        padding=(0, 1, 0, 0),
    )
    for number, header in enumerate(headers):
        ratio = (ratios or {}).get(number)
        # A name of any length must not squeeze the column that explains it.
        widest = NARROW if ratios and ratio is None else None
        grid.add_column(header, overflow="fold", ratio=ratio, max_width=widest)
    for row in rows:
        grid.add_row(
            *(Text(safe(cell), style=COLOURS.get(str(cell).split(" ")[0].removesuffix(":"), "")) for cell in row)
        )
    return grid


def mark(simulated: bool) -> str:
    """The mark in front of everything that comes from a simulator."""
    return f"{SIMULATED} " if simulated else ""


def snapshot(taken: Snapshot, path: str) -> list[Any]:
    """What a capture read and what it could not."""
    kinds = Counter(environment.kind for environment in taken.environments)
    failed = [capture for capture in taken.captures if capture.state != "complete"]
    identified = sum(host.baseline.guest is not None for host in taken.hosts)
    lines: list[Any] = [
        (
            f"{mark(taken.cloud.simulated)}snapshot {taken.generation}: {plural(len(taken.plans), 'plan')}, "
            f"{plural(len(taken.environments), 'environment')} ({kinds['managed']} managed, {kinds['self-hosted']} self-hosted), "
            f"{plural(len(taken.hosts), 'host')} ({identified} identified from inside)"
        )
    ]
    unlinked = [
        environment
        for environment in taken.environments
        if environment.kind == "self-hosted" and environment.host is None
    ]
    if unlinked:
        names = ", ".join(safe(environment.name) for environment in unlinked[:5])
        lines.append(f"no host known for {len(unlinked)}: {names}; a [[host]] entry in drkit.toml names it")
    lines.extend(f"{capture.state}: {safe(capture.key.name)}: {safe(capture.detail, 160)}" for capture in failed[:8])
    if len(failed) > 8:
        lines.append(f"and {len(failed) - 8} more that could not be read completely")
    lines.extend(f"look: {safe(flag)}" for flag in taken.flags)
    lines.extend(f"not seen {safe(text, 220)}" for text in taken.unseen)
    lines.append(f"kept as {path}")
    return [*lines, "next: `drkit assess` reports the current state"]


def assessment(taken: Assessment, path: str) -> list[Any]:
    """Plans, hosts, claims, advice."""
    parts: list[Any] = [f"{mark(taken.cloud.simulated)}assessment {taken.generation}, {clock(taken.taken)}"]
    plans = [
        (
            plan.key.name,
            words.plan_state(plan.state),
            plan.advice.advice if plan.advice and plan.state == "lost" else "",
            plan.reason,
        )
        for plan in taken.plans
    ]
    parts.append(table("plan", "state", "advice", "why", rows=plans, ratios={3: 1}))
    for plan in taken.plans:
        if plan.state == "lost" and plan.advice:
            parts.append(f"advice for {safe(plan.key.name)}: {plan.advice.advice}. {safe(plan.advice.reason)}")
            parts.extend(f"  assumed: {item}" for item in plan.advice.assumed[:1])
            break
    hosts = [
        (
            host.key.name,
            words.verdict(host.outcome, host.reason),
            host.confidence,
            host.rule,
            ", ".join(host.notes),
        )
        for host in sorted(taken.hosts, key=lambda host: (host.outcome == "no-failover", host.outcome, host.host))
    ]
    if hosts:
        parts.append(table("host", "verdict", "confidence", "row", "notes", rows=hosts, ratios={1: 3, 4: 2}))
    for claim in taken.claims:
        parts.append(
            f"claim: {safe(claim.region)}, by {safe(claim.who)} since {clock(claim.since)}: {safe(claim.text, 120)}"
        )
    for statement in taken.statements[:5]:
        parts.append(f"not a claim: {safe(statement.region)}: {safe(statement.text, 90)} ({safe(statement.why_not)})")
    alive = [record for record in taken.zombies if record.state == "alive"]
    if alive:
        rows = [(record.name, ArmId(record.plan).name, record.reason, record.run) for record in alive]
        parts.append(table("left behind", "plan", "is", "by", rows=rows, ratios={2: 1}))
    parts.extend(f"registration: {safe(registration.words)}" for registration in taken.carried[:20])
    if len(taken.carried) > 20:
        parts.append(f"registration: {len(taken.carried) - 20} more; `--json` lists them")
    parts.extend(_beside(taken))
    parts.extend(f"not read: {safe(text, 160)}" for text in taken.unread[:6])
    parts.append(f"kept as {path}")
    lost = [plan for plan in taken.plans if plan.state == "lost"]
    doubtful = [plan for plan in taken.plans if plan.state in ("unreachable", "unknown")]
    if lost:
        parts.append("next: `drkit plan` writes the runbook")
    elif alive and (way := leftovers.way_on(alive)):
        parts.append(f"next: {way}")
    elif taken.carried:
        parts.append("next: `drkit plan --kind repair` registers again what carries no registration")
    elif doubtful or (taken.unread and not taken.plans):
        parts.append("next: assess again in 5 minutes, or `drkit assess --declare-lost REGION --reason TEXT`")
    else:
        parts.append("next: nothing is lost; `drkit plan` shows whether a host needs repair")
    return parts


def _beside(taken: Assessment) -> list[str]:
    """What other sources say about the outage: shown to the person who waits, and never taken for a claim."""
    lines = [
        f"also read, not a claim: {safe(witness.source)}: {safe(witness.subject)} {safe(witness.value)} "
        f"{safe(witness.detail, 90)}".rstrip()
        for witness in taken.witnesses
        if witness.signal == "status"
    ]
    silent = sorted(
        {witness.subject for witness in taken.witnesses if witness.signal == "service" and witness.value != "yes"}
    )
    if silent:
        lines.insert(
            0, f"also read, not a claim: the environment service does not answer in {', '.join(map(safe, silent))}"
        )
    return lines


def plan_table(book: Runbook) -> Table:
    """One row a source plan: where it goes, and what becomes of its environments."""
    rows = []
    plans = list(dict.fromkeys([*book.source_plans, *(environment.plan for environment in book.environments)]))
    for plan in plans:
        mine = [environment for environment in book.environments if environment.plan == plan]
        if not mine and book.source_run:
            continue  # the plan that is gone back to
        counts = Counter(_group(affected.disposition, affected.proof_step, book) for affected in mine)
        rows.append(
            (
                ArmId(plan).name,
                book.target_regions.get(plan, "stays" if plan not in book.source_plans else "none"),
                counts["created again"],
                counts["registered again"],
                counts["by hand"],
                counts["in place already"],
                counts["lost"],
                counts["waits"],
            )
        )
    return table("plan", "to", "new", "again", "by hand", "in place", "lost", "waits", rows=rows)


def _group(disposition: str, final: str, book: Runbook) -> str:
    if disposition in ("already", "offered"):
        return "in place already"
    if disposition == "lost":
        return "lost"
    if not final:
        return "waits"
    handle = final.rsplit(":", 1)[0]
    actions = {step.action for step in book.steps if step.id.startswith(f"{handle}:")}
    if actions == {"verify"}:
        return "in place already"
    return "by hand" if "by-hand" in actions else "created again" if "create" in actions else "registered again"


def effects_line(book: Runbook, concurrency: int) -> str:
    """``82 steps: 14 create, 7 register …``, and the forecast for so many steps at once (``[run] concurrency``)."""
    counts = ", ".join(f"{number} {effect}" for effect, number in effects(book.steps).items())
    forecast = duration(forecast_seconds(book.steps, concurrency))
    calls = sum(step.estimate.calls for step in book.steps)
    return f"{plural(len(book.steps), 'step')}: {counts or 'nothing to do'}; about {forecast} and {calls} calls"


def planned(book: Runbook, digest: str, path: str, warnings: Sequence[str] = (), *, concurrency: int) -> list[Any]:
    """The runbook in short. ``concurrency``: steps that a run carries out at once, for the forecast."""
    parts: list[Any] = [f"look: {safe(text)}" for text in warnings]
    lost = safe(", ".join(book.lost_regions)) or "no region"
    about = f"of {book.source_run}" if book.source_run else f"lost: {lost}"
    parts.append(f"{mark(book.cloud.simulated)}{book.kind} runbook {digest[:12]}; {about}")
    if book.assumed:
        parts.append("ASSUMED: nobody observed this loss; the runbook can be neither approved nor applied")
    if book.environments:
        parts.append(plan_table(book))
    parts.append(effects_line(book, concurrency))
    parts.extend(f"note: {safe(note)}" for note in book.notes)
    parts.extend(
        f"forced: {safe(guard.name)}: {safe(guard.detail)}; because {safe(guard.forced)}"
        for guard in book.guards
        if guard.forced
    )
    parts.append(
        f"{plural(len(book.unchanged), 'thing')} considered and left alone; `drkit show` lists them with reasons"
    )
    parts.append(f"kept as {path}")
    if book.assumed:
        return [*parts, NEXT_IF_ASSUMED]
    if book.steps:
        return [
            *parts,
            f"next: `drkit show {digest[:12]}`, then `drkit approve {digest[:12]}` and `drkit apply {digest[:12]}`",
        ]
    return [*parts, "next: nothing to apply"]


def show(
    book: Runbook,
    digest: str,
    path: str,
    steps: Sequence[Described],
    warnings: Sequence[str] = (),
    candidates: Sequence[str] = (),
    *,
    concurrency: int,
) -> list[Any]:
    """The whole runbook: each step with its ids, requests and inputs, what is left alone, the guards.

    ``warnings``: sentences that say why it could not be applied here. ``candidates``: sentences about plans that would take over and that
    only a tag names.
    """
    parts: list[Any] = planned(book, digest, path, warnings, concurrency=concurrency)[:-1]
    parts.extend(_bound(book))
    parts.extend(f"    LOOK: {exact(text.replace('DIGEST', digest[:12]))}" for text in candidates)
    parts.extend(_steps(book, steps))
    finals = [
        (environment.name, environment.disposition, environment.reason, environment.data_at_risk)
        for environment in book.environments
        if not environment.proof_step
    ]
    if finals:
        parts.append(table("environment", "is", "why", "work", rows=finals, ratios={2: 1}))
    if book.unchanged:
        rows_left = [
            (untouched.name, f"{untouched.reason}{f'; {untouched.remedy}' if untouched.remedy else ''}")
            for untouched in book.unchanged
        ]
        parts.append(table("left alone", "why", rows=rows_left, ratios={1: 1}))
    rows_guards = [
        (guard.name, "passed" if guard.passed else f"forced: {guard.forced}", guard.detail) for guard in book.guards
    ]
    parts.append(table("guard", "result", "detail", rows=rows_guards, ratios={2: 1}))
    for name, sha in book.scripts.items():
        parts.append(f"host script {name}: sha256 {sha[:16]}")
    parts.append(f"digest {digest}")
    if book.assumed:
        return [*parts, NEXT_IF_ASSUMED]
    return [*parts, f"next: `drkit approve {digest[:12]}`, then `drkit apply {digest[:12]}`"]


def _bound(book: Runbook) -> list[Any]:
    """Which plan takes over from which and why, and the settings that change what the steps do."""
    parts: list[Any] = []
    for plan, target in book.target_plans.items():
        parts.append(f"{safe(ArmId(plan).name)} -> {safe(ArmId(target.plan).name)}: {safe(target.why)}")
        parts.extend(f"    {exact(plan_id)}" for plan_id in (plan, target.plan))
    if book.settings:
        parts.append("approved with the runbook; a run stops if drkit.toml differs:")
        parts.extend(f"    {exact(f'{key} = {value}')}" for key, value in book.settings.items())
    elif book.steps and book.drkit == "runbook/1":
        parts.append("An older drkit wrote it, without settings: those in drkit.toml at the time of the run apply.")
    return parts


def _steps(book: Runbook, steps: Sequence[Described]) -> list[Any]:
    """Every step, those of one environment together: ids, requests and inputs whole, on lines of their own."""
    if not steps:
        return []
    names = {environment.environment: environment for environment in book.environments}
    groups: dict[str, list[Described]] = {}
    for step in steps:
        groups.setdefault(step.environment or f"{step.product} {step.plan}", []).append(step)
    parts: list[Any] = [
        "",
        "Steps, described by action, target and inputs. `file says` is text of the file, on which nothing depends.",
    ]
    for mine in groups.values():
        known = names.get(mine[0].environment)
        if mine[0].environment:
            title = f"{safe(mine[0].product)}: {safe(known.name if known else ArmId(mine[0].environment).name)}"
        elif mine[0].plan:
            title = f"{safe(mine[0].product)}: plan {safe(ArmId(mine[0].plan).name)}"
        else:
            title = "resource groups"
        parts.extend(["", Text(title, style="bold")])
        shared = _shared(mine)
        ids = {"environment": mine[0].environment, "plan": mine[0].plan, "host": mine[0].host}
        words = {"environment": "environment", "plan": "of plan", "host": "on host"}
        parts.extend(f"    {words[name]} {exact(value)}" for name, value in ids.items() if value)
        if shared:
            parts.append("  inputs of its steps, where a step has them:")
            parts.extend(f"    {exact(f'{name} = {value}')}" for name, value in shared.items())
        for step in mine:
            parts.extend(_step(step, ids, shared))
    return [*parts, ""]


def _shared(mine: Sequence[Described]) -> dict[str, str]:
    """Inputs that more than one of these steps has, and all of those alike."""
    values: dict[str, list[str]] = {}
    for step in mine:
        for name, value in step.inputs.items():
            values.setdefault(name, []).append(value)
    return {name: same[0] for name, same in values.items() if len(same) > 1 and len(set(same)) == 1}


def _step(step: Described, ids: Mapping[str, str], shared: Mapping[str, str]) -> list[Any]:
    after = f", after {' '.join(map(str, step.after))}" if step.after else ""
    wave = f", wave {step.wave}" if step.wave else ""
    parts: list[Any] = [
        Text(f"  {step.number}  {step.effect}: {safe(step.product)} {safe(step.action)}{wave}{after}", style="bold")
    ]
    if step.target not in ids.values():
        parts.append(f"    target {exact(step.target)}")
    others = {"host": step.host, "plan": step.plan}
    parts.extend(f"    {name} {exact(value)}" for name, value in others.items() if value and value != ids[name])
    parts.extend(f"    sends {request.method} {exact(request.target)}" for request in step.requests)
    if not step.requests:
        parts.append("    a person does it; sends nothing" if step.effect == "ask" else "    sends no write")
    parts.extend(f"    LOOK, differs from the product's default: {exact(text)}" for text in step.unusual)
    parts.extend(f"    {exact(f'{name} = {value}')}" for name, value in step.inputs.items() if name not in shared)
    parts.extend(f"    only if {exact(text)}" for text in step.only_if)
    if step.commands:
        parts.append("  by hand: see first")
        parts.extend(f"    {exact(line)}" for line in step.see_first)
        parts.append("  then type")
        parts.extend(f"    {exact(line)}" for line in step.commands)
    words = Text(f"file says: {safe(step.text_of_file)}", overflow="fold", style="dim")
    return [*parts, Padding(words, (0, 0, 0, 4))]


SIGNS = {
    "begun": "…", "done": "ok", "failed": "FAILED", "asked": "ASKED", "drifted": "DRIFTED", "skipped": "skipped",
    "code": "SIGN IN", "note": "note",
}  # fmt: skip


def event(kind: str, step_id: str, text: str) -> str:
    """One line of progress."""
    return f"{SIGNS.get(kind, kind):>8}  {safe(step_id, 60)}  {safe(text, 220)}"


def verified(journal: Verified, head: str | None) -> list[Any]:
    """What the verification of a journal found. ``head``: the one that was kept elsewhere."""
    parts: list[Any] = [f"{journal.run}: the chain holds: {journal.count} records", f"head {journal.head}"]
    if head:
        parts.append(f"{journal.since} records were added since that head")
    if journal.torn:
        parts.append(f"{journal.torn} bytes of an unfinished record follow; `drkit resume {journal.run}` drops them")
    return parts


def report(run_report: dict[str, Any]) -> list[Any]:
    """The report of a run for people."""
    numbers = run_report["environments"]
    parts: list[Any] = [
        f"{mark(run_report['simulated'])}{run_report['run']}: {run_report['outcome']} ({safe(run_report['reason'])})",
        (
            f"environments: {numbers['total']} affected, {numbers['recovered']} recovered, {numbers['needs_person']} need a person, "
            f"{numbers['waiting']} waiting, {numbers['lost']} lost"
        ),
    ]
    took, objective = measured(run_report)
    if run_report["rto_seconds"] is not None:
        parts.append(f"recovery took {took} since the first sign; {objective}")
    parts.extend(
        f"in doubt: {safe(doubt['detail'])}: {safe(doubt['next'])}" for doubt in run_report.get("in_doubt", ())
    )
    rows = [
        (outcome["name"], outcome["ending"], outcome["data_at_risk"], outcome["detail"])
        for outcome in run_report["outcomes"]
    ]
    if rows:
        parts.append(table("environment", "is", "work", "detail", rows=rows, ratios={3: 1}))
    exceptions = [step for step in run_report["steps"] if step["status"] in ("failed", "skipped", "drifted", "asked")]
    if exceptions:
        rows_exceptions = [
            (step["id"], step["status"], f"{step['detail']}{' — ' + step['who'] if step['who'] else ''}")
            for step in exceptions
        ]
        parts.append(table("exception", "is", "detail", rows=rows_exceptions, ratios={0: 1, 2: 1}))
    cost = run_report.get("cost") or {}
    if cost.get("calls"):
        calls = ", ".join(f"{number} {kind}" for kind, number in cost["calls"].items())
        parts.append(f"calls: {calls}; {cost['throttled']} throttled, {duration(cost['waited_seconds'])} waited")
    for identity in run_report.get("identities", ()):
        grants = plural(len(identity["grants"]), "grant")
        parts.append(
            f"identity of {safe(ArmId(identity['plan']).name)}: {safe(identity['was'])} -> {safe(identity['now'] or 'none')}; "
            f"you have to make {grants}:"
        )
        parts.extend(f"    {exact(command)}" for command in identity["grants"])
    if run_report.get("deferred"):
        ways = "failback" if run_report["kind"] == "failover" else "cleanup"
        what = plural(len(run_report["deferred"]), "record")
        parts.append(
            f"{what} left behind: when the region is back, `drkit assess`, then `drkit {ways} {run_report['run']}`"
            + (f" or `drkit cleanup {run_report['run']}`" if ways == "failback" else "")
        )
    parts.append(f"journal: {run_report['journal']['records']} records, head {run_report['journal']['head']}")
    return parts
