"""The guided path for people: short, in the order in which it is needed, without the next command, which the path itself is."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drkit.api.check import Checked
from drkit.api.failover import STAGES, Waiting
from drkit.api.plan import Planned
from drkit.cli.views import terminal
from drkit.model.estate import Assessment, Snapshot
from drkit.model.text import exact, plural, safe

MOST = 12


def stage(number: int, title: str) -> list[Any]:
    """The head of a stage."""
    return ["", f"[{number}/{len(STAGES)}] {title}"]


def shown(found: Any, *, whole: bool = False, concurrency: int) -> list[Any]:
    """Whatever the path has found, as its own command shows it."""
    if isinstance(found, Snapshot):
        parts = terminal.snapshot(found, "the store")
    elif isinstance(found, Checked):
        parts = _checked(found)
    elif isinstance(found, Assessment):
        parts = terminal.assessment(found, "the store")
    elif isinstance(found, Planned):
        where = str(found.path)
        parts = (
            terminal.show(
                found.runbook, found.digest, where, found.described_steps, found.warnings, concurrency=concurrency
            )
            if whole
            else terminal.planned(found.runbook, found.digest, where, concurrency=concurrency)
        )
        parts[:0] = [] if whole else [f"look: {safe(text)}" for text in found.warnings]
    elif isinstance(found, list):
        parts = _waiting(found)
    else:
        parts = terminal.report(found)
    return [part for part in parts if not (isinstance(part, str) and part.startswith(("next: ", "kept as ")))]


def _checked(found: Checked) -> list[Any]:
    """What is gravest; `drkit check` tells all of it."""
    counts = Counter(one.severity for one in found.readiness.findings)
    errors = [one for one in found.readiness.findings if one.severity == "error"]
    rows = [(one.rule, f"{one.what}; {one.remedy}") for one in errors[:MOST]]
    numbers = (
        f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {counts['unknown']} not known"
    )
    parts: list[Any] = [f"{numbers}; `drkit check` shows all of them. None of it stops you here."]
    return [*parts, *([terminal.table("rule", "what, and what to do", rows=rows, ratios={1: 1})] if rows else [])]


def _waiting(found: list[Waiting]) -> list[Any]:
    """Steps that wait for people, each with its number, its owner, and what is to be typed where."""
    parts: list[Any] = [f"{plural(len(found), 'step')} for people:"]
    for one in found:
        owner = safe(one.step.inputs.get("owner", ""), 80)
        parts.append(f"{one.number:>3}  {safe(one.step.title, 160)}{f' ({owner})' if owner else ''}")
        if one.step.inputs.get("commands"):
            parts.append(f"     on {safe(one.step.inputs.get('host') or 'the machine', 80)}, see first:")
            parts.extend(f"    {exact(line)}" for line in one.step.inputs.get("see_first", ()))
            parts.append("     then:")
            parts.extend(f"    {exact(line)}" for line in one.step.inputs["commands"])
    return parts
