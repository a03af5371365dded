"""The guided path for people: short, in the order in which it is needed, without the next command, which the path itself is."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drkit.api.check import Checked
from drkit.api.guided_failover import STAGES, Waiting
from drkit.api.plan import Planned
from drkit.cli.views import terminal
from drkit.model.estate import Assessment, Snapshot
from drkit.model.text import exact, plural, safe

MOST = 12


def stage(number: int, title: str) -> list[Any]:
    """The head of a stage."""
    return ["", f"[{number}/{len(STAGES)}] {title}"]


def shown(result: Any, *, whole: bool = False, concurrency: int) -> list[Any]:
    """A result of the guided failover, as its own command shows it."""
    if isinstance(result, Snapshot):
        parts = terminal.snapshot(result, "the store")
    elif isinstance(result, Checked):
        parts = _checked(result)
    elif isinstance(result, Assessment):
        parts = terminal.assessment(result, "the store")
    elif isinstance(result, Planned):
        where = str(result.path)
        parts = (
            terminal.show(
                result.runbook, result.digest, where, result.described_steps, result.warnings, concurrency=concurrency
            )
            if whole
            else terminal.planned(result.runbook, result.digest, where, concurrency=concurrency)
        )
        parts[:0] = [] if whole else [f"look: {safe(text)}" for text in result.warnings]
    elif isinstance(result, list):
        parts = _waiting(result)
    else:
        parts = terminal.report(result)
    return [part for part in parts if not (isinstance(part, str) and part.startswith(("next: ", "kept as ")))]


def _checked(checked: Checked) -> list[Any]:
    """The errors; `drkit check` shows everything."""
    counts = Counter(finding.severity for finding in checked.readiness.findings)
    errors = [finding for finding in checked.readiness.findings if finding.severity == "error"]
    rows = [(finding.rule, f"{finding.what}; {finding.remedy}") for finding in errors[:MOST]]
    numbers = (
        f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {counts['unknown']} not known"
    )
    parts: list[Any] = [f"{numbers}; `drkit check` shows all of them. None of them stops you here."]
    return [*parts, *([terminal.table("rule", "what, and what to do", rows=rows, ratios={1: 1})] if rows else [])]


def _waiting(waiting: list[Waiting]) -> list[Any]:
    """Steps that wait for people, each with its number, its owner, and what to type where."""
    parts: list[Any] = [f"{plural(len(waiting), 'step')} for people:"]
    for item in waiting:
        owner = safe(item.step.inputs.get("owner", ""), 80)
        parts.append(f"{item.number:>3}  {safe(item.step.title, 160)}{f' ({owner})' if owner else ''}")
        if item.step.inputs.get("commands"):
            parts.append(f"     on {safe(item.step.inputs.get('host') or 'the machine', 80)}, see first:")
            parts.extend(f"    {exact(line)}" for line in item.step.inputs.get("see_first", ()))
            parts.append("     then:")
            parts.extend(f"    {exact(line)}" for line in item.step.inputs["commands"])
    return parts
