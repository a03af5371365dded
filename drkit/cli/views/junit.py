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


def report(run_report: Mapping[str, Any]) -> str:
    """The file. Failed and drifted steps are failures; skipped ones, and what was not done, are skipped."""
    prefix = "SIMULATED " if run_report["simulated"] else ""
    root = Element("testsuites", {"name": safe(f"{prefix}{run_report['kind']} {run_report['run']}")})
    suites = [
        _suite(f"{prefix}{phase}", [step for step in run_report["steps"] if step["effect"] in effects], run_report)
        for phase, effects in PHASES.items()
    ]
    suites.append(_environments(f"{prefix}environments", run_report))
    for suite in suites:
        if len(suite):
            root.append(suite)
    _count(root, [case for suite in suites for case in suite.iter("testcase")])
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(name: str, steps: Sequence[Mapping[str, Any]], run_report: Mapping[str, Any]) -> Element:
    suite = Element("testsuite", {"name": safe(name), "timestamp": safe(run_report["started"])})
    for step in steps:
        case = _case(suite, step["title"], step["id"], _seconds(step))
        said = f"{step['detail']}{' (' + step['who'] + ')' if step['who'] else ''}"
        if step["status"] in FAILED:
            _said(case, "failure", said or step["status"], step["status"])
        elif step["status"] not in ("done", "said"):
            _said(case, "skipped", said or step["status"])
    _count(suite, list(suite))
    return suite


def _environments(name: str, run_report: Mapping[str, Any]) -> Element:
    suite = Element("testsuite", {"name": safe(name), "timestamp": safe(run_report["started"])})
    properties = SubElement(suite, "properties")
    facts = {
        "outcome": run_report["outcome"],
        "recovery_seconds": "" if run_report["rto_seconds"] is None else round(run_report["rto_seconds"]),
        "objective_seconds": round(run_report["objective_seconds"]),
        "objective": run_report["objective"],
        **{f"work_at_risk_{risk}": number for risk, number in run_report["work_at_risk"].items()},
        "runbook": run_report["runbook"],
        "journal_head": run_report["journal"]["head"],
    }
    for key, value in facts.items():
        SubElement(properties, "property", {"name": key, "value": safe(value)})
    for outcome in run_report["outcomes"]:
        case = _case(suite, f"{outcome['name']} of {ArmId(outcome['plan']).name}", outcome["environment"], 0.0)
        if outcome["ending"] in ENDED_BADLY:
            _said(case, "failure", outcome["detail"], outcome["ending"])
        elif outcome["ending"] != "recovered":
            _said(case, "skipped", f"{outcome['ending']}: {outcome['detail']}")
    _count(suite, list(suite.iter("testcase")))
    return suite


def _case(suite: Element, name: str, subject: str, seconds: float) -> Element:
    return SubElement(suite, "testcase", {"name": safe(name), "classname": safe(subject), "time": f"{seconds:.3f}"})


def _said(case: Element, tag: str, text: str, kind: str = "") -> None:
    element = SubElement(case, tag, {"message": safe(text), **({"type": kind} if kind else {})})
    element.text = safe(text, LONGEST)


def _seconds(step: Mapping[str, Any]) -> float:
    if not step["began"] or not step["ended"]:
        return 0.0
    return max(0.0, (parse_time(step["ended"]) - parse_time(step["began"])).total_seconds())


def _count(suite: Element, cases: Sequence[Element]) -> None:
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.set("errors", "0")
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
