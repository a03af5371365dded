"""A report as one HTML file: no script, nothing from elsewhere, readable in light and dark, on a phone and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any
from xml.etree.ElementTree import Element

from drkit.cli.views.html.elements import Part, el, html
from drkit.cli.views.html.sections import SECTIONS, when, word
from drkit.cli.views.sentences import measured
from drkit.model.clock import parse_time
from drkit.model.text import plural

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src"


def report(found: Mapping[str, Any]) -> str:
    """The page."""
    style = resources.files("drkit.cli.views.html").joinpath("report.css").read_text("utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = f"{found['kind'].capitalize()} {found['run']}: {found['outcome']}"
    sheet = Element("style")
    sheet.text = style
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=f"{POLICY} 'sha256-{allowed}'"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", ("SIMULATED " if found["simulated"] else "") + title),
        sheet,
    )
    sections = [part for make in SECTIONS for part in [make(found)] if part is not None]
    links = [el("a", section[0].text, href=f"#{section.get('id')}") for section in sections]
    main = el("main", _top(found), el("nav", *links, aria_label="Sections"), *sections)
    return html(el("html", head, el("body", main, class_="exercise" if found["simulated"] else "real"), lang="en"))


def _local(time: str) -> str:
    moment = parse_time(time).astimezone()
    return f"{moment:%H:%M} {moment.tzname()} where this was written" if moment.utcoffset() else ""


def _top(found: Mapping[str, Any]) -> Element:
    numbers = found["environments"]
    regions = ", ".join(found["lost_regions"])
    targets = ", ".join(sorted(set(found["target_regions"].values())))
    done = f"{sum(step['status'] in ('done', 'said') for step in found['steps'])} of {len(found['steps'])}"
    sentence = f"{numbers['recovered']} of {plural(numbers['total'], 'environment')} recovered"
    sentence = sentence if numbers["total"] else f"{done} steps done"
    sentence += f" from the loss of {regions}" if regions else ""
    sentence += f", in {targets}" if targets else ""
    top = el("header")
    if found["simulated"]:
        top.append(el("p", "SIMULATED: an exercise on an embedded Azure. Nothing real was moved.", class_="simulated"))
    top.append(el("p", f"drkit report of a {found['kind']}", class_="soft"))
    top.append(el("h1", f"{found['run']}: ", word(found["outcome"])))
    reason = str(found["reason"])
    top.append(el("p", f"{sentence}. {reason[:1].upper()}{reason[1:]}.", class_="lead"))
    took, objective = measured(found)
    risk = found["work_at_risk"]
    cells: list[tuple[str, Part, str]] = [
        ("recovered", f"{numbers['recovered']} of {numbers['total']}", ""),
        *([("recovery time", took, objective)] if found["since"] or found["kind"] == "failover" else []),
        ("unpushed work at risk", sum(risk.values()), f"{risk['unpushed']} known, {risk['unknown']} not known"),
        ("need a person", numbers["needs_person"], ""),
        ("waiting", numbers["waiting"], ""),
        ("lost", numbers["lost"], ""),
    ]
    cells = [*(cells if numbers["total"] else ()), ("steps done", done, "")]
    boxes = [
        el("div", el("dt", name), el("dd", value, el("small", more) if more else None)) for name, value, more in cells
    ]
    top.append(el("dl", *boxes, class_="numbers"))
    local = _local(found["started"]) if found["started"] else ""
    first = f"First sign of the outage {when(found['since'])} UTC. " if found["since"] else ""
    over = f"ended {when(found['ended'])} UTC" if found["ended"] else "not ended"
    span = f"{first}Begun {when(found['started'])} UTC{f' ({local})' if local else ''}, {over}. All times are in UTC."
    top.append(el("p", span, class_="soft"))
    return top
