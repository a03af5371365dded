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


def report(run_report: Mapping[str, Any]) -> str:
    """The page."""
    style = resources.files("drkit.cli.views.html").joinpath("report.css").read_text("utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = f"{run_report['kind'].capitalize()} {run_report['run']}: {run_report['outcome']}"
    sheet = Element("style")
    sheet.text = style
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=f"{POLICY} 'sha256-{allowed}'"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", ("SIMULATED " if run_report["simulated"] else "") + title),
        sheet,
    )
    sections = [part for make in SECTIONS for part in [make(run_report)] if part is not None]
    links = [el("a", section[0].text, href=f"#{section.get('id')}") for section in sections]
    main = el("main", _top(run_report), el("nav", *links, aria_label="Sections"), *sections)
    return html(el("html", head, el("body", main, class_="exercise" if run_report["simulated"] else "real"), lang="en"))


def _local(time: str) -> str:
    moment = parse_time(time).astimezone()
    return f"{moment:%H:%M} {moment.tzname()} where this was written" if moment.utcoffset() else ""


def _top(run_report: Mapping[str, Any]) -> Element:
    numbers = run_report["environments"]
    regions = ", ".join(run_report["lost_regions"])
    targets = ", ".join(sorted(set(run_report["target_regions"].values())))
    done = f"{sum(step['status'] in ('done', 'said') for step in run_report['steps'])} of {len(run_report['steps'])}"
    sentence = f"{numbers['recovered']} of {plural(numbers['total'], 'environment')} recovered"
    sentence = sentence if numbers["total"] else f"{done} steps done"
    sentence += f" from the loss of {regions}" if regions else ""
    sentence += f", in {targets}" if targets else ""
    top = el("header")
    if run_report["simulated"]:
        top.append(el("p", "SIMULATED: an exercise on a simulated Azure. Nothing real was moved.", class_="simulated"))
    top.append(el("p", f"drkit report of a {run_report['kind']}", class_="soft"))
    top.append(el("h1", f"{run_report['run']}: ", word(run_report["outcome"])))
    reason = str(run_report["reason"])
    top.append(el("p", f"{sentence}. {reason[:1].upper()}{reason[1:]}.", class_="lead"))
    took, objective = measured(run_report)
    risk = run_report["work_at_risk"]
    cells: list[tuple[str, Part, str]] = [
        ("recovered", f"{numbers['recovered']} of {numbers['total']}", ""),
        *([("recovery time", took, objective)] if run_report["since"] or run_report["kind"] == "failover" else []),
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
    local = _local(run_report["started"]) if run_report["started"] else ""
    first = f"First sign of the outage {when(run_report['since'])} UTC. " if run_report["since"] else ""
    over = f"ended {when(run_report['ended'])} UTC" if run_report["ended"] else "not ended"
    span = (
        f"{first}Begun {when(run_report['started'])} UTC{f' ({local})' if local else ''}, {over}. All times are in UTC."
    )
    top.append(el("p", span, class_="soft"))
    return top
