"""The sections of a report's page, each from the report's plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from drkit.cli.views.html import timeline
from drkit.cli.views.html.elements import Part, el, table
from drkit.model import words
from drkit.model.clock import parse_time
from drkit.model.ids import ArmId
from drkit.model.text import duration, plural

GOOD = {"succeeded", "done", "recovered", "answering", "passed"}
BAD = {"failed", "lost", "forced"}
WAITING = {"partial", "succeeded-with-exceptions", "waiting", "drifted", "skipped", "unreachable", "degraded"}
ENDINGS = {"recovered": "recovered", "needs_person": "needs a person", "waiting": "waiting", "lost": "lost"}
LINKED = {"rebases": "takes over from", "of_run": "belongs to"}
EXCEPTIONS = ("failed", "drifted", "skipped", "asked")


def word(word: str, label: str = "") -> Element:
    kind = "good" if word in GOOD else "bad" if word in BAD else "wait" if word in WAITING else "calm"
    return el("span", label or word, class_=f"word {kind}")


def _section(name: str, title: str, *parts: Part) -> Element:
    return el("section", el("h2", title), *parts, id=name)


def _facts(*pairs: tuple[str, Part]) -> Element:
    return el("dl", *(part for term, value in pairs for part in (el("dt", term), el("dd", value))), class_="facts")


def _code(text: object) -> Element:
    return el("code", str(text))


def when(time: str) -> str:
    """A time in UTC, without what nobody reads; what is no time is shown as it is."""
    try:
        return f"{parse_time(time):%Y-%m-%d %H:%M:%S}" if time else ""
    except ValueError:
        return time


def _short(time: str, after: str) -> str:
    """A time as it is said after another one: without its day where that is the same."""
    said, before = when(time), when(after)
    return said[11:] if said[:10] == before[:10] else said


def _in_doubt(run_report: Mapping[str, Any]) -> Element | None:
    """The hosts that nothing proves to be registered, and what to type: the most urgent part."""
    rows = [
        (el("span", doubt["name"], el("small", f" {ArmId(doubt['host']).name}")), doubt["detail"], doubt["next"])
        for doubt in run_report.get("in_doubt", ())
    ]
    if not rows:
        return None
    return _section("doubt", "Hosts in doubt", table("", ("host", "what is known", "next"), rows))


def _decision(run_report: Mapping[str, Any]) -> Element:
    decision = run_report["decision"]
    if not decision["known"]:
        return _section("decision", "Decision", el("p", "The assessment behind it is not in this store any more."))
    rows, assumed = [], dict[str, None]()
    for plan in decision["plans"]:
        advice = plan.get("advice") or {}
        minutes = f"move {advice['move_minutes']:.0f} min, wait {advice['wait_minutes']:.0f} min" if advice else ""
        assumed.update(dict.fromkeys(advice.get("assumed", ())))
        rows.append(
            (
                ArmId(plan["plan"]).name,
                word(plan["state"], words.plan_state(plan["state"])),
                plan["reason"],
                when(plan["failing_since"]),
                word(advice["advice"]) if advice else "",
                minutes,
            )
        )
    parts: list[Part] = [
        el(
            "p",
            f"Assessed {when(decision['assessed'])} UTC. Hosts: "
            + (", ".join(f"{number} {words.verdict(name)}" for name, number in decision["verdicts"].items()) or "none")
            + ".",
        ),
        table(
            "Plans: what was found, and what it was worth",
            ("plan", "state", "why", "failing since", "advice", "forecast"),
            rows,
            (3,),
        ),
    ]
    if decision["claims"]:
        parts.append(
            table(
                "Claims: who says that a region is lost",
                ("region", "by", "since", "what was said"),
                [
                    (claim["region"], f"{claim['who']} ({claim['kind']})", when(claim["since"]), claim["text"])
                    for claim in decision["claims"]
                ],
                (2,),
            )
        )
    if decision["statements"]:
        # One event is decision once a subscription, in the same words.
        statements = list(
            dict.fromkeys(
                (statement["region"], statement["text"], statement["why_not"], when(statement["time"]))
                for statement in decision["statements"]
            )
        )
        headers = ("region", "what was said", "why it is no claim", "time")
        parts.append(table("Statements that claimed nothing", headers, statements, (3,)))
    parts += _list("Assumed", list(assumed)) + _list("Not read", decision["unread"])
    parts += _list("Notes of the runbook", run_report["notes"])
    return _section("decision", "Decision", *parts)


def _list(title: str, items: Sequence[object]) -> list[Part]:
    return [el("h3", title), el("ul", *(el("li", str(item)) for item in items))] if items else []


def _approvals(run_report: Mapping[str, Any]) -> Element:
    rows = [
        (
            when(approval.get("when") or approval["time"]),
            approval.get("who", ""),
            approval.get("how", ""),
            when(approval.get("until", "")),
            approval.get("separate") or "not asked for",
            approval.get("note", ""),
        )
        for approval in run_report["approvals"]
    ]
    approved = table("", ("approved", "by", "how", "until", "separate approver", "note"), rows, (0, 3))
    guards = [
        (guard["name"], word("passed" if guard["passed"] else "forced"), guard["detail"], guard.get("forced", ""))
        for guard in run_report["guards"]
    ]
    return _section(
        "approval",
        "Approval",
        approved if rows else el("p", "None was journaled."),
        table("Guards of the runbook", ("guard", "is", "what it saw", "forced because"), guards) if guards else None,
    )


def _environments(run_report: Mapping[str, Any]) -> Element:
    rows = [
        (
            el("span", outcome["name"], el("small", f" {ArmId(outcome['plan']).name}")),
            word(outcome["ending"], ENDINGS.get(outcome["ending"], "")),
            outcome["now"],
            el("span", outcome["data_at_risk"], el("small", "at risk") if outcome["work_at_risk"] else None),
            words.verdict(outcome["verdict"]),
            el("span", when(outcome["at"]), el("small", after) if after else None) if outcome["at"] else None,
            el("span", outcome["detail"], el("small", f" owner {outcome['owner']}") if outcome["owner"] else None),
        )
        for outcome in run_report["outcomes"]
        for after in ["" if outcome["recovery_seconds"] is None else f"after {duration(outcome['recovery_seconds'])}"]
    ]
    headers = ("environment", "is", "now called", "work", "its host", "recovered at", "detail")
    shown = table("", headers, rows, (5,)) if rows else el("p", "None.")
    return _section("environments", "Environments", shown)


def _timeline(run_report: Mapping[str, Any]) -> Element:
    drawn = timeline.pieces(run_report)
    if not drawn:
        return _section("timeline", "Timeline", el("p", "Nothing was begun."))
    box = el("div", *drawn, class_="scroll", tabindex="0", role="group", aria_label="Timeline; scrolls")
    return _section("timeline", "Timeline", timeline.legend(run_report), box)


def _exceptions(run_report: Mapping[str, Any]) -> Element | None:
    rows = [
        (step["title"], word(step["status"]), step["detail"], step["who"], when(step["ended"]), _code(step["id"]))
        for step in run_report["steps"]
        if step["status"] in EXCEPTIONS
    ]
    if not rows:
        return None
    headers = ("step", "is", "why", "whose word", "when", "id")
    return _section("exceptions", "Exceptions", table("", headers, rows, (4,)))


def _events(run_report: Mapping[str, Any]) -> Element:
    rows = [
        (when(event["time"]), event["kind"], event["text"], event["who"], event["title"])
        for event in run_report["events"]
    ]
    headers = ("time", "what", "in words", "who", "step")
    return _section("events", "What people and processes did", table("", headers, rows, (0,)))


def _untouched(run_report: Mapping[str, Any]) -> Element:
    untouched_ = run_report["untouched"]
    aimed = len(untouched_["aimed_there"])
    regions = ", ".join(untouched_["regions"])
    sentence = f"{plural(untouched_['announced'], 'write')} announced" + (
        f", {aimed} of them to what is lost ({regions})." if regions else "."
    )
    how = (
        "Every write is journaled before it is sent, and what was not journaled is not sent. "
        "A write to what is lost is refused before it leaves."
    )
    parts: list[Part] = [el("p", sentence), el("p", how, class_="soft") if regions else None]
    if aimed:
        parts += _list("Aimed there", untouched_["aimed_there"])
    if run_report.get("deferred"):
        rows = [
            (
                record["behind"]["name"],
                record["behind"]["kind"],
                ArmId(record["behind"]["plan"]).name,
                record["behind"]["region"],
                record.get("now_name") or record.get("now", ""),
                when(record["when"]),
                _code(record["behind"]["id"]),
            )
            for record in run_report["deferred"]
        ]
        headers = ("what", "kind", "plan", "region", "answers now as", "since", "id")
        parts.append(table("Left behind, for a cleanup", headers, rows, (5,)))
    if run_report["left_alone"]:
        alone = [
            (untouched["name"] or ArmId(untouched["subject"]).name, untouched["reason"], untouched["remedy"])
            for untouched in run_report["left_alone"]
        ]
        parts.append(table("Considered and left alone", ("what", "why", "what would change it"), alone))
    return _section("untouched", "What was not touched", *parts)


def _grants(identity: Mapping[str, Any]) -> Element:
    commands = el("ul", *(el("li", _code(command)) for command in identity["grants"]))
    return el(
        "div",
        "what it held could not be read" if identity["unread"] else None,
        commands if identity["grants"] else "nothing",
    )


def _identities(run_report: Mapping[str, Any]) -> Element | None:
    if not run_report.get("identities"):
        return None
    rows = [
        (
            ArmId(identity["plan"]).name,
            ArmId(identity["now_plan"]).name,
            _code(identity["was"]),
            _code(identity["now"]),
            _grants(identity),
        )
        for identity in run_report["identities"]
    ]
    return _section(
        "identities",
        "Identities made again",
        el("p", "The new identity needs the grants of the old identity. drkit grants nothing."),
        table("", ("of", "now of", "was", "is now", "to be typed by you"), rows),
    )


def _cost(run_report: Mapping[str, Any]) -> Element:
    cost = run_report["cost"]
    calls = ", ".join(f"{number} {kind}" for kind, number in cost["calls"].items()) or "none counted"
    uncounted = f", {cost['uncounted']} of them ended without leaving a count" if cost["uncounted"] else ""
    return _section(
        "cost",
        "Calls and waits",
        _facts(
            ("calls to Azure", calls),
            ("throttled (429)", cost["throttled"]),
            ("repeated", cost["retries"]),
            ("waited", duration(cost["waited_seconds"])),
            ("sent, received", f"{cost['sent_bytes']:,} and {cost['received_bytes']:,} bytes"),
            ("processes", f"{cost['processes']}{uncounted}"),
        ),
    )


def _steps(run_report: Mapping[str, Any]) -> Element:
    rows = [
        (
            step["title"],
            step["effect"],
            step["wave"] or "",
            word(step["status"]),
            when(step["began"]),
            _short(step["ended"], step["began"] or run_report["started"]),
            step["attempts"],
            step["detail"],
        )
        for step in run_report["steps"]
    ]
    headers = ("step, in the runbook's words", "effect", "wave", "is", "began", "ended", "tries", "detail")
    return _section(
        "steps", "Steps", table("", headers, rows, (4, 5)) if rows else el("p", "None: the advice was to wait.")
    )


def _deeds(run_report: Mapping[str, Any]) -> Element | None:
    """Each step by what it does: described by its action, target and inputs, not by its title."""
    rows = [
        (
            _code(step["id"]),
            f"{step['effect']}: {step['product']} {step['action']} of {step['target']}",
            "; ".join(f"{request['method']} {request['target']}" for request in step["requests"]) or "no write",
            "; ".join(f"{name} = {value}" for name, value in step["inputs"].items()),
        )
        for step in run_report["steps"]
        if "requests" in step
    ]
    if not rows:
        return None
    return _section("deeds", "What each step may do", table("", ("step", "does", "may send", "inputs"), rows))


def _record(run_report: Mapping[str, Any]) -> Element:
    journal = run_report["journal"]
    return _section(
        "record",
        "The record",
        _facts(
            ("journal", plural(journal["records"], "record")),
            ("head", _code(journal["head"])),
            ("runbook", _code(run_report["runbook"])),
            ("snapshot", _code(run_report["digests"]["snapshot"])),
            ("assessment", _code(run_report["digests"]["assessment"])),
            ("cloud", run_report["made_against"]["arm"]),
            ("planned with", f"drkit {run_report['made_with']}"),
            *((title, run_report["linked"][key]) for key, title in LINKED.items() if run_report["linked"][key]),
            *((f"host script {name}", _code(digest)) for name, digest in run_report["scripts"].items()),
        ),
        el(
            "p",
            "Each record is chained to the one before by its hash. ",
            _code(f"drkit verify {run_report['run']} --head {journal['head']}"),
            " computes the chain again and says whether this head is in it. The chain is not signed: keep the head somewhere else.",
        ),
    )


SECTIONS = (
    _in_doubt,
    _decision,
    _approvals,
    _environments,
    _timeline,
    _exceptions,
    _events,
    _untouched,
    _identities,
    _cost,
    _steps,
    _deeds,
    _record,
)
