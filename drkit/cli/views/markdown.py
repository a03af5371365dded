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


def report(found: dict[str, Any]) -> str:
    """The report of a run."""
    numbers = found["environments"]
    title = "SIMULATED " if found["simulated"] else ""
    lines = [f"# {title}Report of {escape(found['run'])}: {escape(found['outcome'])}", ""]
    lines += [f"{escape(found['reason'])}. Runbook {code(found['runbook'])}, kind {found['kind']}.", ""]
    lines += _in_doubt(found)
    took, objective = measured(found)
    risk = found["work_at_risk"]
    facts: list[tuple[str, object]] = [
        ("affected environments", numbers["total"]),
        ("recovered", numbers["recovered"]),
        ("need a person", numbers["needs_person"]),
        ("waiting", numbers["waiting"]),
        ("lost", numbers["lost"]),
        ("started", found["started"]),
        ("ended", found["ended"]),
        ("approved by", f"{found['approved_by']} ({found['approved_how']})"),
        ("lost regions", ", ".join(found["lost_regions"]) or "none"),
        ("recovery took", f"{took}; {objective}"),
        ("unpushed work at risk", f"{sum(risk.values())} ({risk['unpushed']} known, {risk['unknown']} not known)"),
    ]
    if found["since"]:
        facts.insert(5, ("first sign of the outage", found["since"]))
    lines += table(("", ""), facts)
    lines += _decision(found) + _approval(found)
    lines += ["", "## Environments", ""]
    lines += table(
        ("environment", "is", "now called", "owner", "unpushed work", "verdict of its host", "detail"),
        [
            (
                one["name"],
                one["ending"],
                one["now"],
                one["owner"],
                one["data_at_risk"],
                words.verdict(one["verdict"]),
                one["detail"],
            )
            for one in found["outcomes"]
        ],
    )
    lines += _exceptions(found) + _events(found)
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
            [(one["name"] or ArmId(one["subject"]).name, one["reason"], one["remedy"]) for one in found["left_alone"]],
        )
    lines += _deferred(found) + _identities(found) + _evidence(found)
    return "\n".join(lines) + "\n"


def _in_doubt(found: dict[str, Any]) -> list[str]:
    """The hosts that nothing proves to be registered, and what to type: the first thing to be seen to."""
    doubts = found.get("in_doubt", ())
    if not doubts:
        return []
    said = [f"- {escape(one['detail'])} (host {code(one['host'])}): {escape(one['next'])}" for one in doubts]
    return ["## Hosts in doubt", "", *said, ""]


def _decision(found: dict[str, Any]) -> list[str]:
    told = found.get("decision") or {}
    if not told.get("known"):
        return []
    rows = []
    for one in told["plans"]:
        advice = one.get("advice") or {}
        minutes = f"move {advice['move_minutes']:.0f} min, wait {advice['wait_minutes']:.0f} min" if advice else ""
        rows.append(
            (ArmId(one["plan"]).name, words.plan_state(one["state"]), one["reason"], advice.get("advice", ""), minutes)
        )
    lines = ["", "## Decision", "", *table(("plan", "state", "why", "advice", "forecast"), rows)]
    said = [
        f"claim: {one['region']}, by {one['who']} ({one['kind']}) since {one['since']}: {one['text']}"
        for one in told["claims"]
    ]
    said += [
        f"claimed nothing: {one['region']}, {one['time']}: {one['text']} ({one['why_not']})"
        for one in told["statements"]
    ]
    assumed = dict.fromkeys(item for one in told["plans"] for item in (one.get("advice") or {}).get("assumed", ()))
    said += [f"assumed: {item}" for item in assumed]
    said += [f"not read: {item}" for item in told["unread"]]
    said += [f"note: {item}" for item in found["notes"]]
    return [*lines, "", *(f"- {escape(one)}" for one in dict.fromkeys(said))]


def _approval(found: dict[str, Any]) -> list[str]:
    if not found.get("approvals"):
        return []
    keys = ("who", "how", "note")
    rows = [
        (
            one.get("when") or one["time"],
            one.get("until", ""),
            *(one.get(key, "") for key in keys),
            one.get("separate", ""),
        )
        for one in found["approvals"]
    ]
    lines = ["", "## Approval", "", *table(("approved", "until", "by", "how", "note", "separate approver"), rows)]
    guards = [
        (one["name"], "passed" if one["passed"] else "forced", one["detail"], one["forced"]) for one in found["guards"]
    ]
    return [*lines, "", *table(("guard", "is", "what it saw", "forced because"), guards)]


def _exceptions(found: dict[str, Any]) -> list[str]:
    rows = [
        (one["title"], one["status"], one["detail"], one["who"], one["ended"])
        for one in found["steps"]
        if one["status"] in ("failed", "drifted", "skipped", "asked")
    ]
    if not rows:
        return []
    return ["", "## Exceptions", "", *table(("step", "is", "why", "whose word", "when"), rows)]


def _events(found: dict[str, Any]) -> list[str]:
    rows = [(one["time"], one["kind"], one["text"], one["who"], one["title"]) for one in found.get("events", ())]
    if not rows:
        return []
    title = ["", "## What people and processes did", ""]
    return [*title, *table(("time", "what", "in words", "who", "step"), rows)]


def _deferred(found: dict[str, Any]) -> list[str]:
    if not found.get("deferred"):
        return []
    rows = [
        (one["behind"]["name"], one["behind"]["kind"], one["behind"]["region"], one["behind"]["id"])
        for one in found["deferred"]
    ]
    title = ["", "## Left behind, for a cleanup", ""]
    return [*title, *table(("what", "kind", "region", "id"), rows)]


def _identities(found: dict[str, Any]) -> list[str]:
    if not found.get("identities"):
        return []
    rows = [
        (
            ArmId(one["plan"]).name,
            ArmId(one["now_plan"]).name,
            one["was"],
            one["now"],
            ("what it held could not be read; " if one["unread"] else "") + "; ".join(one["grants"]) or "nothing",
        )
        for one in found["identities"]
    ]
    return ["", "## Identities made again", "", *table(("of", "now of", "was", "is now", "to be typed by you"), rows)]


def _evidence(found: dict[str, Any]) -> list[str]:
    lines = ["", "## Evidence", ""]
    lines += [f"- journal: {found['journal']['records']} records, head {code(found['journal']['head'])}"]
    lines += [f"- taken over {found['resumed']} times"]
    cost = found.get("cost") or {}
    for key, value in (cost.get("calls") or {}).items():
        lines.append(f"- {escape(key)} calls: {value}")
    if cost:
        lines.append(f"- throttled {cost['throttled']} times, waited {duration(cost['waited_seconds'])}")
        lines.append(f"- {cost['processes']} processes, {cost['uncounted']} of them ended without leaving a count")
    if told := found.get("untouched"):
        aimed = len(told["aimed_there"])
        lines.append(f"- {told['announced']} writes announced, {aimed} of them to what is lost")
    if digests := found.get("digests"):
        lines += [f"- {kind} {code(digest)}" for kind, digest in digests.items()]
        lines += [f"- host script {escape(name)} {code(digest)}" for name, digest in found["scripts"].items()]
        lines += [f"- planned with drkit {escape(found['made_with'])} against {escape(found['made_against']['arm'])}"]
    lines += [f"- to check: {code('drkit verify ' + found['run'] + ' --head ' + found['journal']['head'])}"]
    return lines
