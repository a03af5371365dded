"""A report as JUnit XML, for test views of pipelines: a suite a phase, a case a step; times and objective as properties.

The shape is the one that https://learn.microsoft.com/azure/devops/pipelines/tasks/reference/publish-test-results-v2 lists for JUnit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from drkit.cli.views.html.elements import LONGEST
from drkit.model.clock import parse_time
from drkit.model.ids import ArmId
from drkit.model.text import safe

PHASES = {
    "plans": ("create", "delete", "disable"),
    "hosts": ("register", "release"),
    "people": ("ask", "wait"),
    "proof": ("verify",),
}
FAILED = frozenset({"failed", "drifted"})
ENDED_BADLY = frozenset({"lost"})


def report(found: Mapping[str, Any]) -> str:
    """The file. Failed and drifted steps are failures; skipped ones, and what was not done, are skipped."""
    prefix = "SIMULATED " if found["simulated"] else ""
    root = Element("testsuites", {"name": safe(f"{prefix}{found['kind']} {found['run']}")})
    suites = [
        _suite(f"{prefix}{phase}", [step for step in found["steps"] if step["effect"] in effects], found)
        for phase, effects in PHASES.items()
    ]
    suites.append(_environments(f"{prefix}environments", found))
    for suite in suites:
        if len(suite):
            root.append(suite)
    _count(root, [case for suite in suites for case in suite.iter("testcase")])
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(name: str, steps: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Element:
    suite = Element("testsuite", {"name": safe(name), "timestamp": safe(found["started"])})
    for step in steps:
        case = _case(suite, step["title"], step["id"], _seconds(step))
        said = f"{step['detail']}{' (' + step['who'] + ')' if step['who'] else ''}"
        if step["status"] in FAILED:
            _said(case, "failure", said or step["status"], step["status"])
        elif step["status"] not in ("done", "said"):
            _said(case, "skipped", said or step["status"])
    _count(suite, list(suite))
    return suite


def _environments(name: str, found: Mapping[str, Any]) -> Element:
    suite = Element("testsuite", {"name": safe(name), "timestamp": safe(found["started"])})
    properties = SubElement(suite, "properties")
    facts = {
        "outcome": found["outcome"],
        "recovery_seconds": "" if found["rto_seconds"] is None else round(found["rto_seconds"]),
        "objective_seconds": round(found["objective_seconds"]),
        "objective": found["objective"],
        **{f"work_at_risk_{risk}": number for risk, number in found["work_at_risk"].items()},
        "runbook": found["runbook"],
        "journal_head": found["journal"]["head"],
    }
    for key, value in facts.items():
        SubElement(properties, "property", {"name": key, "value": safe(value)})
    for one in found["outcomes"]:
        case = _case(suite, f"{one['name']} of {ArmId(one['plan']).name}", one["environment"], 0.0)
        if one["ending"] in ENDED_BADLY:
            _said(case, "failure", one["detail"], one["ending"])
        elif one["ending"] != "recovered":
            _said(case, "skipped", f"{one['ending']}: {one['detail']}")
    _count(suite, list(suite.iter("testcase")))
    return suite


def _case(suite: Element, name: str, subject: str, seconds: float) -> Element:
    return SubElement(suite, "testcase", {"name": safe(name), "classname": safe(subject), "time": f"{seconds:.3f}"})


def _said(case: Element, tag: str, text: str, kind: str = "") -> None:
    made = SubElement(case, tag, {"message": safe(text), **({"type": kind} if kind else {})})
    made.text = safe(text, LONGEST)


def _seconds(step: Mapping[str, Any]) -> float:
    if not step["began"] or not step["ended"]:
        return 0.0
    return max(0.0, (parse_time(step["ended"]) - parse_time(step["began"])).total_seconds())


def _count(made: Element, cases: Sequence[Element]) -> None:
    made.set("tests", str(len(cases)))
    made.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    made.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    made.set("errors", "0")
    made.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
