"""What ``check`` found, for people: in the terminal, and as Markdown for a pipeline's summary."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drkit.api.check import Checked
from drkit.cli.views import markdown, terminal
from drkit.model.ids import ArmId
from drkit.model.readiness import Finding, Readiness
from drkit.model.text import clock, duration, plural, safe
from drkit.planning.readiness import RULES

MOST_HIDDEN = 8
MOST_SHOWN = 60


def lines(found: Checked, concurrency: int) -> list[Any]:
    """Findings, what changed since last time, and what was found in order."""
    told = found.readiness
    parts: list[Any] = [_title(told)]
    rows = [(one.severity, one.rule, f"{one.what}{_owner(one)}; {one.remedy}") for one in told.findings[:MOST_SHOWN]]
    if rows:
        parts.append(terminal.table("", "rule", "what, and what to do", rows=rows, ratios={2: 1}))
    if len(told.findings) > MOST_SHOWN:
        parts.append(f"and {len(told.findings) - MOST_SHOWN} more, none graver; --json and --summary have them all")
    parts.extend(f"in order: {RULES[rule]}" for rule, word in told.rules.items() if word == "ok" and rule in RULES)
    parts.extend(_forecasts(told))
    parts.extend(_changes(told))
    if found.runbook is not None:
        parts += ["", *_assumed(found, concurrency)]
    if found.path:
        parts.append(f"kept as {found.path}")
    parts.extend(f"kept as {path}" for path in found.written)
    return [*parts, f"next: {_next(found)}"]


def _owner(one: Finding) -> str:
    return f" [owner {one.owner}]" if one.owner and one.owner not in one.remedy else ""


def _title(told: Readiness) -> str:
    counts = Counter(one.severity for one in told.findings)
    regions = ", ".join(told.protected) or "none"
    numbers = (
        f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {counts['unknown']} not known"
    )
    number = f" {told.generation}" if told.generation else ""
    return f"{terminal.mark(told.cloud.simulated)}check{number}, {clock(told.taken)}: {numbers}; protected: {regions}"


def _forecasts(told: Readiness) -> list[str]:
    return [
        (
            f"if {safe(one.region)} is lost: {plural(one.steps, 'step')} for {plural(one.environments, 'environment')}, about "
            f"{duration(one.seconds)} with deciding; objective {duration(one.objective_seconds)}"
        )
        for one in told.forecasts
    ]


def _changes(told: Readiness) -> list[str]:
    compared = told.compared
    if compared is None:
        return []
    named = {one.id: one for one in told.findings}
    said = [
        f"against check {compared.generation}, {clock(compared.taken)}: {len(compared.worse)} worse, {len(compared.better)} better, "
        f"{compared.unchanged} unchanged"
        + (f", {len(compared.hidden)} that cannot be seen now" if compared.hidden else "")
    ]
    said += [f"worse: {_short(named[key])}" for key in compared.worse[:MOST_HIDDEN] if key in named]
    said += [f"better: {_plain(key, named)}" for key in compared.better[:MOST_HIDDEN]]
    return said + [f"not seen now: {_plain(key, named)}" for key in compared.hidden[:MOST_HIDDEN]]


def _short(one: Finding) -> str:
    return f"{one.severity}: {safe(one.rule)}: {safe(one.what, 160)}"


def _plain(key: str, named: dict[str, Finding]) -> str:
    if key in named:
        return _short(named[key])
    rule, _, subject = key.partition("|")
    return f"{safe(rule)}: {safe(ArmId(subject.split('|')[0]).name, 120)}"


def _assumed(found: Checked, concurrency: int) -> list[Any]:
    book = found.runbook
    if book is None:
        return []
    return [
        f"ASSUMED: {', '.join(safe(one) for one in book.lost_regions)} is lost; nobody may approve or apply runbook {found.digest[:12]}",
        terminal.plan_table(book) if book.environments else "no environment is affected",
        terminal.effects_line(book, concurrency),
        *(f"note: {safe(note)}" for note in book.notes),
    ]


def _next(found: Checked) -> str:
    if found.exit_code == 5:
        return "nothing could be told: Azure did not answer; `drkit check` again"
    if found.readiness.errors:
        return "mend what is an error, then `drkit check` again"
    return "run it by a timer, and `drkit drill` now and then"


def summary(found: Checked) -> str:
    """The same as Markdown."""
    told = found.readiness
    text = [f"# {_title(told)}", ""]
    rows = [(one.severity, one.rule, one.what, one.remedy, one.owner, _evidence(one)) for one in told.findings]
    if rows:
        text += markdown.table(("severity", "rule", "what", "what to do", "owner", "evidence"), rows)
    else:
        text += ["Nothing was found."]
    text += ["", "## In order", ""]
    text += [f"- {RULES[rule]}" for rule, word in told.rules.items() if word == "ok" and rule in RULES]
    if forecasts := _forecasts(told):
        text += ["", "## Forecast", "", *(f"- {markdown.escape(line)}" for line in forecasts)]
    if changes := _changes(told):
        text += ["", "## Since last time", "", *(f"- {markdown.escape(line)}" for line in changes)]
    return "\n".join(text) + "\n"


def _evidence(one: Finding) -> str:
    return "; ".join(f"{read.source} at {read.time}" for read in one.evidence[:3])
