"""A report as Markdown, every foreign text defused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from drkit.cli.views.sentences import measured
from drkit.model import words
from drkit.model.ids import ArmId
from drkit.model.text import duration, safe

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>|~])")


def escape(text: object) -> str:
    """Text that Markdown, and HTML in it, takes as it is."""
    return _ACTIVE.sub(r"\\\1", safe(text))


def code(text: object) -> str:
    """A span of code, which only a backtick could end."""
    return f"`{safe(text).replace('`', '')}`"


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    lines = [f"| {' | '.join(headers)} |", f"| {' | '.join('---' for _ in headers)} |"]
    lines.extend(f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows)
    return lines


def report(run_report: dict[str, Any]) -> str:
    """The report of a run."""
    numbers = run_report["environments"]
    title = "SIMULATED " if run_report["simulated"] else ""
    lines = [f"# {title}Report of {escape(run_report['run'])}: {escape(run_report['outcome'])}", ""]
    lines += [f"{escape(run_report['reason'])}. Runbook {code(run_report['runbook'])}, kind {run_report['kind']}.", ""]
    lines += _in_doubt(run_report)
    took, objective = measured(run_report)
    risk = run_report["work_at_risk"]
    facts: list[tuple[str, object]] = [
        ("affected environments", numbers["total"]),
        ("recovered", numbers["recovered"]),
        ("need a person", numbers["needs_person"]),
        ("waiting", numbers["waiting"]),
        ("lost", numbers["lost"]),
        ("started", run_report["started"]),
        ("ended", run_report["ended"]),
        ("approved by", f"{run_report['approved_by']} ({run_report['approved_how']})"),
        ("lost regions", ", ".join(run_report["lost_regions"]) or "none"),
        ("recovery took", f"{took}; {objective}"),
        ("unpushed work at risk", f"{sum(risk.values())} ({risk['unpushed']} known, {risk['unknown']} not known)"),
    ]
    if run_report["since"]:
        facts.insert(5, ("first sign of the outage", run_report["since"]))
    lines += table(("", ""), facts)
    lines += _decision(run_report) + _approval(run_report)
    lines += ["", "## Environments", ""]
    lines += table(
        ("environment", "is", "now called", "owner", "unpushed work", "verdict of its host", "detail"),
        [
            (
                outcome["name"],
                outcome["ending"],
                outcome["now"],
                outcome["owner"],
                outcome["data_at_risk"],
                words.verdict(outcome["verdict"]),
                outcome["detail"],
            )
            for outcome in run_report["outcomes"]
        ],
    )
    lines += _exceptions(run_report) + _events(run_report)
    lines += ["", "## Steps", ""]
    lines += table(
        ("step", "effect", "is", "began", "ended", "detail"),
        [
            (step["title"], step["effect"], step["status"], step["began"], step["ended"], step["detail"])
            for step in run_report["steps"]
        ],
    )
    if run_report["left_alone"]:
        lines += ["", "## Considered and left alone", ""]
        lines += table(
            ("what", "why", "remedy"),
            [
                (untouched["name"] or ArmId(untouched["subject"]).name, untouched["reason"], untouched["remedy"])
                for untouched in run_report["left_alone"]
            ],
        )
    lines += _deferred(run_report) + _identities(run_report) + _evidence(run_report)
    return "\n".join(lines) + "\n"


def _in_doubt(run_report: dict[str, Any]) -> list[str]:
    """The hosts that nothing proves to be registered, and what to type: the first thing to be seen to."""
    doubts = run_report.get("in_doubt", ())
    if not doubts:
        return []
    said = [f"- {escape(doubt['detail'])} (host {code(doubt['host'])}): {escape(doubt['next'])}" for doubt in doubts]
    return ["## Hosts in doubt", "", *said, ""]


def _decision(run_report: dict[str, Any]) -> list[str]:
    decision = run_report.get("decision") or {}
    if not decision.get("known"):
        return []
    rows = []
    for plan in decision["plans"]:
        advice = plan.get("advice") or {}
        minutes = f"move {advice['move_minutes']:.0f} min, wait {advice['wait_minutes']:.0f} min" if advice else ""
        rows.append(
            (
                ArmId(plan["plan"]).name,
                words.plan_state(plan["state"]),
                plan["reason"],
                advice.get("advice", ""),
                minutes,
            )
        )
    lines = ["", "## Decision", "", *table(("plan", "state", "why", "advice", "forecast"), rows)]
    items = [
        f"claim: {claim['region']}, by {claim['who']} ({claim['kind']}) since {claim['since']}: {claim['text']}"
        for claim in decision["claims"]
    ]
    items += [
        f"claimed nothing: {statement['region']}, {statement['time']}: {statement['text']} ({statement['why_not']})"
        for statement in decision["statements"]
    ]
    assumed = dict.fromkeys(
        item for plan in decision["plans"] for item in (plan.get("advice") or {}).get("assumed", ())
    )
    items += [f"assumed: {item}" for item in assumed]
    items += [f"not read: {item}" for item in decision["unread"]]
    items += [f"note: {item}" for item in run_report["notes"]]
    return [*lines, "", *(f"- {escape(item)}" for item in dict.fromkeys(items))]


def _approval(run_report: dict[str, Any]) -> list[str]:
    if not run_report.get("approvals"):
        return []
    keys = ("who", "how", "note")
    rows = [
        (
            approval.get("when") or approval["time"],
            approval.get("until", ""),
            *(approval.get(key, "") for key in keys),
            approval.get("separate", ""),
        )
        for approval in run_report["approvals"]
    ]
    lines = ["", "## Approval", "", *table(("approved", "until", "by", "how", "note", "separate approver"), rows)]
    guards = [
        (guard["name"], "passed" if guard["passed"] else "forced", guard["detail"], guard["forced"])
        for guard in run_report["guards"]
    ]
    return [*lines, "", *table(("guard", "is", "what it saw", "forced because"), guards)]


def _exceptions(run_report: dict[str, Any]) -> list[str]:
    rows = [
        (step["title"], step["status"], step["detail"], step["who"], step["ended"])
        for step in run_report["steps"]
        if step["status"] in ("failed", "drifted", "skipped", "asked")
    ]
    if not rows:
        return []
    return ["", "## Exceptions", "", *table(("step", "is", "why", "whose word", "when"), rows)]


def _events(run_report: dict[str, Any]) -> list[str]:
    rows = [
        (event["time"], event["kind"], event["text"], event["who"], event["title"])
        for event in run_report.get("events", ())
    ]
    if not rows:
        return []
    title = ["", "## What people and processes did", ""]
    return [*title, *table(("time", "what", "in words", "who", "step"), rows)]


def _deferred(run_report: dict[str, Any]) -> list[str]:
    if not run_report.get("deferred"):
        return []
    rows = [
        (record["behind"]["name"], record["behind"]["kind"], record["behind"]["region"], record["behind"]["id"])
        for record in run_report["deferred"]
    ]
    title = ["", "## Left behind, for a cleanup", ""]
    return [*title, *table(("what", "kind", "region", "id"), rows)]


def _identities(run_report: dict[str, Any]) -> list[str]:
    if not run_report.get("identities"):
        return []
    rows = [
        (
            ArmId(identity["plan"]).name,
            ArmId(identity["now_plan"]).name,
            identity["was"],
            identity["now"],
            ("what it held could not be read; " if identity["unread"] else "") + "; ".join(identity["grants"])
            or "nothing",
        )
        for identity in run_report["identities"]
    ]
    return ["", "## Identities made again", "", *table(("of", "now of", "was", "is now", "to be typed by you"), rows)]


def _evidence(run_report: dict[str, Any]) -> list[str]:
    lines = ["", "## Evidence", ""]
    lines += [f"- journal: {run_report['journal']['records']} records, head {code(run_report['journal']['head'])}"]
    lines += [f"- taken over {run_report['resumed']} times"]
    cost = run_report.get("cost") or {}
    for key, value in (cost.get("calls") or {}).items():
        lines.append(f"- {escape(key)} calls: {value}")
    if cost:
        lines.append(f"- throttled {cost['throttled']} times, waited {duration(cost['waited_seconds'])}")
        lines.append(f"- {cost['processes']} processes, {cost['uncounted']} of them ended without leaving a count")
    if untouched := run_report.get("untouched"):
        aimed = len(untouched["aimed_there"])
        lines.append(f"- {untouched['announced']} writes announced, {aimed} of them to what is lost")
    if digests := run_report.get("digests"):
        lines += [f"- {kind} {code(digest)}" for kind, digest in digests.items()]
        lines += [f"- host script {escape(name)} {code(digest)}" for name, digest in run_report["scripts"].items()]
        lines += [
            f"- planned with drkit {escape(run_report['made_with'])} against {escape(run_report['made_against']['arm'])}"
        ]
    lines += [f"- to check: {code('drkit verify ' + run_report['run'] + ' --head ' + run_report['journal']['head'])}"]
    return lines
