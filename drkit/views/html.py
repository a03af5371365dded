"""A report as one HTML file: no script, nothing from elsewhere, readable in light and dark, on a phone and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any
from xml.etree.ElementTree import Element

from drkit.clock import parse_time
from drkit.views.html_sections import SECTIONS, when, word
from drkit.views.markup import el, html
from drkit.views.text import duration, plural


def report(found: Mapping[str, Any]) -> str:
    """The page."""
    style = resources.files("drkit.views").joinpath("report.css").read_text("utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = f"{found['kind'].capitalize()} {found['run']}: {found['outcome']}"
    sheet = Element("style")
    sheet.text = style
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=f"default-src 'none'; style-src 'sha256-{allowed}'"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", ("SIMULATED " if found["simulated"] else "") + title),
        sheet,
    )
    sections = [part for make in SECTIONS for part in [make(found)] if part is not None]
    links = [el("a", section[0].text, href=f"#{section.get('id')}") for section in sections]
    main = el("main", _top(found), el("nav", *links, aria_label="Sections"), *sections)
    return html(el("html", head, el("body", main), lang="en"))


def _local(time: str) -> str:
    moment = parse_time(time).astimezone()
    return f"{moment:%H:%M} {moment.tzname()} where this was written" if moment.utcoffset() else ""


def _top(found: Mapping[str, Any]) -> Element:
    numbers = found["environments"]
    regions = ", ".join(found["lost_regions"])
    targets = ", ".join(sorted(set(found["target_regions"].values())))
    sentence = f"{numbers['recovered']} of {plural(numbers['total'], 'environment')} recovered"
    sentence += f" from the loss of {regions}" if regions else ""
    sentence += f", in {targets}" if targets else ""
    top = el("header")
    if found["simulated"]:
        top.append(el("p", "SIMULATED: an exercise on an embedded Azure. Nothing real was moved.", class_="simulated"))
    top.append(el("p", f"drkit report of a {found['kind']}", class_="soft"))
    top.append(el("h1", f"{found['run']}: ", word(found["outcome"])))
    top.append(el("p", f"{sentence}. {found['reason']}.", class_="lead"))
    took = found["rto_seconds"]
    objective = duration(found["objective_seconds"])
    unfinished = numbers["waiting"] or found["outcome"] == "partial"
    met = "" if took is None else ", met" if took <= found["objective_seconds"] else ", missed"
    met = ", so far" if unfinished and met == ", met" else met
    cells = [
        ("recovered", f"{numbers['recovered']} of {numbers['total']}", ""),
        (
            "recovery time",
            "unknown" if took is None else duration(took),
            f"objective {objective}{met}",
        ),
        ("need a person", numbers["needs_person"], ""),
        ("waiting", numbers["waiting"], ""),
        ("lost", numbers["lost"], ""),
        ("steps done", f"{sum(step['status'] == 'done' for step in found['steps'])} of {len(found['steps'])}", ""),
    ]
    boxes = [
        el("div", el("dt", name), el("dd", value, el("small", more) if more else None)) for name, value, more in cells
    ]
    top.append(el("dl", *boxes, class_="numbers"))
    local = _local(found["started"]) if found["started"] else ""
    over = f"ended {when(found['ended'])} UTC" if found["ended"] else "not ended"
    span = f"Begun {when(found['started'])} UTC{f' ({local})' if local else ''}"
    top.append(
        el(
            "p",
            f"{span}, {over}. All times are in UTC.",
            class_="soft",
        )
    )
    return top
