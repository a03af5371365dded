"""An explanation for people."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from drkit.model import words
from drkit.model.estate import Reading
from drkit.model.text import clock, safe
from drkit.planning.explain import Explanation, PlanExplanation


def lines(found: Explanation | PlanExplanation, columns: int = 80) -> list[str]:
    """An explanation as lines of at most so many columns."""
    return _host(found, columns) if isinstance(found, Explanation) else _plan(found, columns)


def _host(found: Explanation, columns: int) -> list[str]:
    verdict = words.verdict(found.outcome, found.reason)
    out = [
        f"{'SIMULATED ' if found.simulated else ''}{safe(found.name)}: {verdict}; confidence {found.confidence}",
        *_item(f"{found.meaning[0].upper()}{found.meaning[1:]}.", columns, 2),
        *_item(f"Do now: {found.to_do}", columns, 2),
    ]
    out += _section("Its registration", tuple(safe(one) for one in found.registration), columns)
    out += _section("Also true", found.notes, columns)
    out += _section("What people will notice", found.noticed, columns)
    out += _section("What is known", found.signals, columns)
    out += _section("What is not", found.unknown, columns)
    out += ["", f"Row {found.row} of the table decided:"]
    out += _item(found.row_text, columns, 2)
    if found.otherwise:
        out += ["", "It would have been otherwise:"]
        for one in found.otherwise:
            when = "; or ".join(one.when)
            out += _item(f"{one.verdict} (row {one.row}), if {when}", columns, 2)
    return out + _evidence(found.evidence, found.assessed, columns)


def _plan(found: PlanExplanation, columns: int) -> list[str]:
    since = f", failing since {found.failing_since}" if found.failing_since else ""
    out = [
        f"{'SIMULATED ' if found.simulated else ''}{safe(found.name)} in {found.region}: {words.plan_state(found.state)}{since}",
        *_item(f"{found.reason[:1].upper()}{found.reason[1:]}.", columns, 2),
        *_item(f"Do now: {found.to_do}", columns, 2),
    ]
    if found.advice:
        out += _item(f"Advice: {safe(found.advice)}", columns, 2)
    out += _section(
        "Claims", tuple(safe(one) for one in found.claims) or ("nobody claims that its region is lost",), columns
    )
    out += _section("Shown beside, and never a claim", tuple(safe(one) for one in found.witnesses), columns)
    out += _section("Its hosts", tuple(safe(one) for one in found.hosts), columns)
    out += _section("It would have been otherwise", found.otherwise, columns)
    return out + _evidence(found.evidence, found.assessed, columns)


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
        out.append("  nothing was read of it")
    for one in readings:
        detail = f" ({safe(_detail(one), 160)})" if _detail(one) else ""
        out += _item(f"{one.time[5:16].replace('T', ' ')}  {_what(one)}{detail}, by {safe(one.source)}", columns, 2)
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


def _what(one: Reading) -> str:
    name = NAMES.get(one.signal, one.signal)
    if isinstance(one.value, dict):
        inside = ", ".join(f"{key} {_short(value)}" for key, value in one.value.items() if value)
        return f"{name} up: {safe(inside, 200)}"
    return f"{name} {safe(one.value, 200)}"


def _detail(one: Reading) -> str:
    """What stands beside a value, without the empty parts."""
    text = one.detail
    for word in ("context= ", "since= "):
        text = text.replace(word, "")
    return text.removesuffix("since=").strip()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:8]}…"
