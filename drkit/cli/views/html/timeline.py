"""The timeline of a run as SVG: a row an environment (or plan), a bar a step; in pieces that fit a printed page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from drkit.cli.views.html.elements import el
from drkit.model.clock import parse_time
from drkit.model.ids import ArmId
from drkit.model.text import cells, duration, safe

WIDTH, LABEL, ROW, HEAD, PIECE = 960, 200, 18, 24, 60
STEPS_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880, 10080, 43200)
STRIPED = frozenset({"release", "delete", "disable"})
EFFECTS = {
    "create": "created again (full)",
    "register": "registered (full)",
    "release": "released (striped)",
    "verify": "verified (outline)",
    "ask": "waited for a person (dashed)",
    "delete": "deleted (striped)",
    "disable": "switched off (striped)",
    "wait": "waited (grey)",
}
LINES = {"taken": "taken over by another process (dashed)", "control": "paused, resumed or aborted (dotted)"}


def pieces(run_report: Mapping[str, Any]) -> list[Element]:
    """The chart of a report, a piece for every sixty rows; none when nothing began."""
    shown = [step for step in run_report["steps"] if _from(step)]
    if not shown:
        return []
    start = min(parse_time(_from(step)) for step in shown)
    ends = [parse_time(step["ended"] or step["began"]) for step in shown]
    ends += [parse_time(event["time"]) for event in run_report.get("events", ())]
    end = max(*ends, start + timedelta(minutes=1))
    rows = _rows(shown, run_report)
    marks = [(parse_time(event["time"]), event) for event in run_report.get("events", ()) if _mark(event)]
    scale = _Scale(start, end)
    return [_piece(rows[at : at + PIECE], scale, marks, at, len(rows)) for at in range(0, len(rows), PIECE)]


def _from(step: Mapping[str, Any]) -> str:
    """When a step began; what was left before it began is shown where it was left."""
    return str(step["began"] or step["ended"])


def _mark(event: Mapping[str, Any]) -> str:
    """The kind of line across the whole picture that an event is, or nothing."""
    if event["kind"] == "taken-over":
        return "taken"
    return "control" if event["kind"] == "control" and not event["step"] else ""


def legend(run_report: Mapping[str, Any]) -> Element:
    """What the bars mean, for the effects that occur."""
    used = {step["effect"] for step in run_report["steps"]}
    items = [el("li", el("svg", *_bar(2, 2, 24, 10, effect), viewBox="0 0 28 14", aria_hidden="true"), words)
             for effect, words in EFFECTS.items() if effect in used]  # fmt: skip
    cross = el("svg", el("path", d="M10 3l8 8m0-8l-8 8", class_="cross"), viewBox="0 0 28 14", aria_hidden="true")
    items.append(el("li", cross, "failed, drifted or skipped"))
    marks = {_mark(event) for event in run_report.get("events", ())}
    for kind, words in LINES.items():
        if kind in marks:
            line = el("line", x1=14, x2=14, y1=0, y2=14, class_=kind)
            items.append(el("li", el("svg", line, viewBox="0 0 28 14", aria_hidden="true"), words))
    return el("ul", *items, class_="legend")


class _Scale:
    """Time to x."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start, self.end, self.span = start, end, (end - start).total_seconds()

    def x(self, moment: datetime) -> float:
        """Where a moment is, in the picture's units."""
        share = (moment - self.start).total_seconds() / self.span
        return round(LABEL + min(max(share, 0.0), 1.0) * (WIDTH - LABEL - 12), 1)

    def said(self, moment: datetime) -> str:
        """A tick in words: with its day where the picture spans more than one."""
        return f"{moment:%H:%M}" if self.start.date() == self.end.date() else f"{moment.day} {moment:%b %H:%M}"

    def ticks(self) -> list[datetime]:
        """At most eight round moments."""
        minutes = next((length for length in STEPS_MINUTES if self.span / 60 / length <= 8), STEPS_MINUTES[-1])
        step = minutes * 60
        first = -int(-self.start.timestamp() // step) * step
        return [
            datetime.fromtimestamp(second, self.start.tzinfo)
            for second in range(first, int(self.start.timestamp() + self.span) + 1, step)
        ][:60]


def _rows(
    shown: Sequence[Mapping[str, Any]], run_report: Mapping[str, Any]
) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Label and steps of each row, in the order in which they began."""
    names = {outcome["environment"]: outcome["name"] for outcome in run_report["outcomes"]}
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for step in sorted(shown, key=lambda step_: parse_time(_from(step_))):
        environment = step.get("environment", "")
        key = ("environment", environment) if environment else ("plan", step.get("plan", "") or step["target"])
        rows.setdefault(key, []).append(step)
    return [
        (names.get(name) or steps[0]["title"] if kind == "environment" else ArmId(name).name, steps)
        for (kind, name), steps in rows.items()
    ]


def _piece(
    rows: Sequence[tuple[str, list[Mapping[str, Any]]]],
    scale: _Scale,
    marks: Sequence[tuple[datetime, Mapping[str, Any]]],
    at: int,
    of: int,
) -> Element:
    height = HEAD + len(rows) * ROW + 6
    words = "Each row is an environment or a plan, each bar a step from its beginning to its end. The table of steps says the same."
    piece = el(
        "svg",
        el("title", f"Timeline, rows {at + 1} to {at + len(rows)} of {of}"),
        el("desc", words),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
    )
    for tick in scale.ticks():
        x = scale.x(tick)
        piece.append(el("line", x1=x, x2=x, y1=HEAD - 6, y2=height - 4, class_="grid"))
        piece.append(el("text", scale.said(tick), x=x, y=12, text_anchor="middle", class_="axis"))
    for moment, event in marks:
        x = scale.x(moment)
        line = el("line", x1=x, x2=x, y1=HEAD - 6, y2=height - 4, class_=_mark(event))
        piece.append(el("g", el("title", f"{event['text']}, {moment:%H:%M:%S} UTC"), line))
    for number, (label, steps) in enumerate(rows):
        y = HEAD + number * ROW
        piece.append(el("text", el("title", label), cells(safe(label), 28), x=6, y=y + 12))
        for step in steps:
            piece.append(_step(step, scale, y))
    return piece


def _step(step: Mapping[str, Any], scale: _Scale, y: int) -> Element:
    begin = parse_time(_from(step))
    x = scale.x(begin)
    title = f"{step['title']}: {step['status']}, "
    bar: list[Element] = []
    width = 0.0
    if step["began"]:
        end = parse_time(step["ended"]) if step["ended"] else scale.end
        width = max(3.0, scale.x(end) - x)
        bar = _bar(x, y + 3, width, 11, step["effect"])
        title += f"from {begin:%H:%M:%S} UTC, {duration((end - begin).total_seconds())}"
        title += "" if step["ended"] else ", not ended"
    else:
        title += f"at {begin:%H:%M:%S} UTC, not begun"
    bad = step["status"] in ("failed", "drifted", "skipped")
    cross = el("path", d=f"M{round(x + width - 4, 1)} {y + 4}l8 8m0-8l-8 8", class_="cross") if bad else None
    return el("g", el("title", title), *bar, cross)


def _bar(x: float, y: float, width: float, height: float, effect: str) -> list[Element]:
    bar = el("rect", x=x, y=y, width=round(width, 1), height=height, rx=2, class_=effect)
    stripes = "".join(f"M{round(x + at, 1)} {y + height}l6 -{height}" for at in range(2, max(2, int(width) - 6), 7))
    return [bar, el("path", d=stripes, class_="stripe")] if effect in STRIPED and stripes else [bar]
