"""An explanation for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from drkit.model import words
from drkit.model.estate import Reading
from drkit.model.text import clock, safe
from drkit.planning.explain import Explanation, PlanExplanation


def lines(explanation: Explanation | PlanExplanation, columns: int = 80) -> list[str]:
    """An explanation as lines of at most so many columns."""
    return _host(explanation, columns) if isinstance(explanation, Explanation) else _plan(explanation, columns)


def _host(explanation: Explanation, columns: int) -> list[str]:
    verdict = words.verdict(explanation.outcome, explanation.reason)
    out = [
        f"{'SIMULATED ' if explanation.simulated else ''}{safe(explanation.name)}: {verdict}; confidence {explanation.confidence}",
        *_item(f"{explanation.meaning[0].upper()}{explanation.meaning[1:]}.", columns, 2),
        *_item(f"Do now: {explanation.to_do}", columns, 2),
    ]
    out += _section("Its registration", tuple(safe(registration) for registration in explanation.registration), columns)
    out += _section("Also true", explanation.notes, columns)
    out += _section("What people will notice", explanation.noticed, columns)
    out += _section("What is known", explanation.signals, columns)
    out += _section("What is not known", explanation.unknown, columns)
    out += ["", f"Row {explanation.row} of the table decided:"]
    out += _item(explanation.row_text, columns, 2)
    if explanation.otherwise:
        out += ["", "What would have changed the verdict:"]
        for change in explanation.otherwise:
            when = "; or ".join(change.when)
            out += _item(f"{change.verdict} (row {change.row}), if {when}", columns, 2)
    return out + _evidence(explanation.evidence, explanation.assessed, columns)


def _plan(explanation: PlanExplanation, columns: int) -> list[str]:
    since = f", failing since {explanation.failing_since}" if explanation.failing_since else ""
    out = [
        (
            f"{'SIMULATED ' if explanation.simulated else ''}{safe(explanation.name)} in {explanation.region}: "
            f"{words.plan_state(explanation.state)}{since}"
        ),
        *_item(f"{explanation.reason[:1].upper()}{explanation.reason[1:]}.", columns, 2),
        *_item(f"Do now: {explanation.to_do}", columns, 2),
    ]
    if explanation.advice:
        out += _item(f"Advice: {safe(explanation.advice)}", columns, 2)
    out += _section(
        "Claims",
        tuple(safe(claim) for claim in explanation.claims) or ("nobody claims that its region is lost",),
        columns,
    )
    out += _section("Also read, but not a claim", tuple(safe(witness) for witness in explanation.witnesses), columns)
    out += _section("Its hosts", tuple(safe(host) for host in explanation.hosts), columns)
    out += _section("What would have changed the state", explanation.otherwise, columns)
    return out + _evidence(explanation.evidence, explanation.assessed, columns)


def _section(title: str, items: Sequence[str], columns: int) -> list[str]:
    if not items:
        return []
    return ["", f"{title}:", *(line for item in items for line in _item(item, columns, 2))]


def _item(text: str, columns: int, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(40, columns),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _evidence(readings: Sequence[Reading], assessed: str, columns: int) -> list[str]:
    out = ["", f"Evidence, times in UTC (assessed {clock(assessed, short=True)}):"]
    if not readings:
        out.append("  nothing was read")
    for reading in readings:
        detail = f" ({safe(_detail(reading), 160)})" if _detail(reading) else ""
        out += _item(
            f"{reading.time[5:16].replace('T', ' ')}  {_what(reading)}{detail}, by {safe(reading.source)}", columns, 2
        )
    return out


NAMES = {
    "arm": "vmId",
    "availability": "availability",
    "availability-history": "availability was",
    "annotation": "annotation",
    "operation": "operation",
    "health-event": "health event",
    "downtime": "seconds down",
    "arc-status": "agent",
    "region": "region",
    "os-disk": "OS disk",
    "registration": "registration: the service says",
    "claim": "claim",
    "impacted": "named by the event",
}


def _what(reading: Reading) -> str:
    name = NAMES.get(reading.signal, reading.signal)
    if isinstance(reading.value, dict):
        inside = ", ".join(f"{key} {_short(value)}" for key, value in reading.value.items() if value)
        return f"{name} up: {safe(inside, 200)}"
    return f"{name} {safe(reading.value, 200)}"


def _detail(reading: Reading) -> str:
    """The detail of a value, without its empty parts."""
    text = reading.detail
    for word in ("context= ", "since= "):
        text = text.replace(word, "")
    return text.removesuffix("since=").strip()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:8]}…"
