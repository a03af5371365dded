"""A report as Markdown, every foreign text defused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from drkit.views.text import duration, last, safe

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>|~])")


def escape(text: object) -> str:
    """Text that Markdown, and HTML in it, takes as it is."""
    return _ACTIVE.sub(r"\\\1", safe(text))


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    lines = [f"| {' | '.join(headers)} |", f"| {' | '.join('---' for _ in headers)} |"]
    lines.extend(f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows)
    return lines


def report(found: dict[str, Any]) -> str:
    """The report of a run."""
    numbers = found["environments"]
    title = "SIMULATED " if found["simulated"] else ""
    lines = [f"# {title}Report of {found['run']}: {found['outcome']}", ""]
    lines += [f"{escape(found['reason'])}. Runbook `{found['runbook']}`, kind {found['kind']}.", ""]
    facts = [
        ("affected environments", numbers["total"]),
        ("recovered", numbers["recovered"]),
        ("need a person", numbers["needs_person"]),
        ("waiting", numbers["waiting"]),
        ("lost", numbers["lost"]),
        ("started", found["started"]),
        ("ended", found["ended"]),
        ("approved by", f"{found['approved_by']} ({found['approved_how']})"),
        ("lost regions", ", ".join(found["lost_regions"]) or "none"),
        ("objective", duration(found["objective_seconds"])),
    ]
    if found["rto_seconds"] is not None:
        facts.insert(9, ("recovery took", duration(found["rto_seconds"])))
    lines += table(("", ""), facts)
    lines += ["", "## Environments", ""]
    lines += table(
        ("environment", "is", "now called", "owner", "unpushed work", "verdict of its host", "detail"),
        [
            (one["name"], one["ending"], one["now"], one["owner"], one["data_at_risk"], one["verdict"], one["detail"])
            for one in found["outcomes"]
        ],
    )
    lines += ["", "## Steps", ""]
    lines += table(
        ("step", "effect", "is", "began", "ended", "detail"),
        [
            (one["title"], one["effect"], one["status"], one["began"], one["ended"], one["detail"])
            for one in found["steps"]
        ],
    )
    if found["left_alone"]:
        lines += ["", "## Considered and left alone", ""]
        lines += table(
            ("what", "why", "remedy"),
            [(one["name"] or last(one["subject"]), one["reason"], one["remedy"]) for one in found["left_alone"]],
        )
    lines += ["", "## Evidence", ""]
    lines += [f"- journal: {found['journal']['records']} records, head `{found['journal']['head']}`"]
    lines += [f"- taken over {found['resumed']} times"]
    for key, value in (found["evidence"].get("calls") or {}).items():
        lines.append(f"- {escape(key)} calls by the last process: {value}")
    return "\n".join(lines) + "\n"
