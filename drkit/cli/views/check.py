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


def lines(checked: Checked, concurrency: int) -> list[Any]:
    """Findings, what is in order, and what changed since the last check."""
    readiness = checked.readiness
    parts: list[Any] = [_title(readiness)]
    rows = [
        (finding.severity, finding.rule, f"{finding.what}{_owner(finding)}; {finding.remedy}")
        for finding in readiness.findings[:MOST_SHOWN]
    ]
    if rows:
        parts.append(terminal.table("", "rule", "what, and what to do", rows=rows, ratios={2: 1}))
    if len(readiness.findings) > MOST_SHOWN:
        parts.append(
            f"and {len(readiness.findings) - MOST_SHOWN} more, none more severe; --json and --summary have them all"
        )
    parts.extend(f"in order: {RULES[rule]}" for rule, word in readiness.rules.items() if word == "ok" and rule in RULES)
    parts.extend(_forecasts(readiness))
    parts.extend(_changes(readiness))
    if checked.runbook is not None:
        parts += ["", *_assumed(checked, concurrency)]
    if checked.path:
        parts.append(f"kept as {checked.path}")
    parts.extend(f"kept as {path}" for path in checked.written)
    return [*parts, f"next: {_next(checked)}"]


def _owner(finding: Finding) -> str:
    return f" [owner {finding.owner}]" if finding.owner and finding.owner not in finding.remedy else ""


def _title(readiness: Readiness) -> str:
    counts = Counter(finding.severity for finding in readiness.findings)
    regions = ", ".join(readiness.protected) or "none"
    numbers = (
        f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {counts['unknown']} not known"
    )
    number = f" {readiness.generation}" if readiness.generation else ""
    return f"{terminal.mark(readiness.cloud.simulated)}check{number}, {clock(readiness.taken)}: {numbers}; protected: {regions}"


def _forecasts(readiness: Readiness) -> list[str]:
    return [
        (
            f"if {safe(forecast.region)} is lost: {plural(forecast.steps, 'step')} for {plural(forecast.environments, 'environment')}, "
            f"about {duration(forecast.seconds)} with deciding; objective {duration(forecast.objective_seconds)}"
        )
        for forecast in readiness.forecasts
    ]


def _changes(readiness: Readiness) -> list[str]:
    compared = readiness.compared
    if compared is None:
        return []
    named = {finding.id: finding for finding in readiness.findings}
    changes = [
        f"compared with check {compared.generation}, {clock(compared.taken)}: {len(compared.worse)} worse, {len(compared.better)} better, "
        f"{compared.unchanged} unchanged"
        + (f", {len(compared.hidden)} that cannot be read now" if compared.hidden else "")
    ]
    changes += [f"worse: {_short(named[key])}" for key in compared.worse[:MOST_HIDDEN] if key in named]
    changes += [f"better: {_plain(key, named)}" for key in compared.better[:MOST_HIDDEN]]
    return changes + [f"not read now: {_plain(key, named)}" for key in compared.hidden[:MOST_HIDDEN]]


def _short(finding: Finding) -> str:
    return f"{finding.severity}: {safe(finding.rule)}: {safe(finding.what, 160)}"


def _plain(key: str, named: dict[str, Finding]) -> str:
    if key in named:
        return _short(named[key])
    rule, _, subject = key.partition("|")
    return f"{safe(rule)}: {safe(ArmId(subject.split('|')[0]).name, 120)}"


def _assumed(checked: Checked, concurrency: int) -> list[Any]:
    book = checked.runbook
    if book is None:
        return []
    return [
        (
            f"ASSUMED: {', '.join(safe(region) for region in book.lost_regions)} is lost; "
            f"runbook {checked.digest[:12]} can be neither approved nor applied"
        ),
        terminal.plan_table(book) if book.environments else "no environment is affected",
        terminal.effects_line(book, concurrency),
        *(f"note: {safe(note)}" for note in book.notes),
    ]


def _next(checked: Checked) -> str:
    if checked.exit_code == 5:
        return "Azure did not answer; `drkit check` again"
    if checked.readiness.errors:
        return "fix the errors, then `drkit check` again"
    return "run it on a timer, and `drkit drill` regularly"


def summary(checked: Checked) -> str:
    """The same as Markdown."""
    readiness = checked.readiness
    text = [f"# {_title(readiness)}", ""]
    rows = [
        (finding.severity, finding.rule, finding.what, finding.remedy, finding.owner, _evidence(finding))
        for finding in readiness.findings
    ]
    if rows:
        text += markdown.table(("severity", "rule", "what", "what to do", "owner", "evidence"), rows)
    else:
        text += ["There are no findings."]
    text += ["", "## In order", ""]
    text += [f"- {RULES[rule]}" for rule, word in readiness.rules.items() if word == "ok" and rule in RULES]
    if forecasts := _forecasts(readiness):
        text += ["", "## Forecast", "", *(f"- {markdown.escape(line)}" for line in forecasts)]
    if changes := _changes(readiness):
        text += ["", "## Since last time", "", *(f"- {markdown.escape(line)}" for line in changes)]
    return "\n".join(text) + "\n"


def _evidence(finding: Finding) -> str:
    return "; ".join(f"{read.source} at {read.time}" for read in finding.evidence[:3])
