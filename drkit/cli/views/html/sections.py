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


def word(word: str, said: str = "") -> Element:
    kind = "good" if word in GOOD else "bad" if word in BAD else "wait" if word in WAITING else "calm"
    return el("span", said or word, class_=f"word {kind}")


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


def _in_doubt(found: Mapping[str, Any]) -> Element | None:
    """The hosts that nothing proves to be registered, and what to type: the first thing to be seen to."""
    rows = [
        (el("span", one["name"], el("small", f" {ArmId(one['host']).name}")), one["detail"], one["next"])
        for one in found.get("in_doubt", ())
    ]
    if not rows:
        return None
    return _section("doubt", "Hosts in doubt", table("", ("host", "what is known", "next"), rows))


def _decision(found: Mapping[str, Any]) -> Element:
    told = found["decision"]
    if not told["known"]:
        return _section("decision", "Decision", el("p", "The assessment behind it is not in this store any more."))
    rows, assumed = [], dict[str, None]()
    for one in told["plans"]:
        advice = one.get("advice") or {}
        minutes = f"move {advice['move_minutes']:.0f} min, wait {advice['wait_minutes']:.0f} min" if advice else ""
        assumed.update(dict.fromkeys(advice.get("assumed", ())))
        rows.append(
            (
                ArmId(one["plan"]).name,
                word(one["state"], words.plan_state(one["state"])),
                one["reason"],
                when(one["failing_since"]),
                word(advice["advice"]) if advice else "",
                minutes,
            )
        )
    parts: list[Part] = [
        el(
            "p",
            f"Assessed {when(told['assessed'])} UTC. Hosts: "
            + (", ".join(f"{number} {words.verdict(name)}" for name, number in told["verdicts"].items()) or "none")
            + ".",
        ),
        table(
            "Plans: what was found, and what it was worth",
            ("plan", "state", "why", "failing since", "advice", "forecast"),
            rows,
            (3,),
        ),
    ]
    if told["claims"]:
        parts.append(
            table(
                "Claims: who says that a region is lost",
                ("region", "by", "since", "what was said"),
                [
                    (one["region"], f"{one['who']} ({one['kind']})", when(one["since"]), one["text"])
                    for one in told["claims"]
                ],
                (2,),
            )
        )
    if told["statements"]:
        # One event is told once a subscription, in the same words.
        said = list(
            dict.fromkeys((one["region"], one["text"], one["why_not"], when(one["time"])) for one in told["statements"])
        )
        headers = ("region", "what was said", "why it is no claim", "time")
        parts.append(table("Statements that claimed nothing", headers, said, (3,)))
    parts += _list("Assumed", list(assumed)) + _list("Not read", told["unread"])
    parts += _list("Notes of the runbook", found["notes"])
    return _section("decision", "Decision", *parts)


def _list(title: str, items: Sequence[object]) -> list[Part]:
    return [el("h3", title), el("ul", *(el("li", str(one)) for one in items))] if items else []


def _approvals(found: Mapping[str, Any]) -> Element:
    rows = [
        (
            when(one.get("when") or one["time"]),
            one.get("who", ""),
            one.get("how", ""),
            when(one.get("until", "")),
            one.get("separate") or "not asked for",
            one.get("note", ""),
        )
        for one in found["approvals"]
    ]
    approved = table("", ("approved", "by", "how", "until", "separate approver", "note"), rows, (0, 3))
    guards = [
        (one["name"], word("passed" if one["passed"] else "forced"), one["detail"], one.get("forced", ""))
        for one in found["guards"]
    ]
    return _section(
        "approval",
        "Approval",
        approved if rows else el("p", "None was journaled."),
        table("Guards of the runbook", ("guard", "is", "what it saw", "forced because"), guards) if guards else None,
    )


def _environments(found: Mapping[str, Any]) -> Element:
    rows = [
        (
            el("span", one["name"], el("small", f" {ArmId(one['plan']).name}")),
            word(one["ending"], ENDINGS.get(one["ending"], "")),
            one["now"],
            el("span", one["data_at_risk"], el("small", "at risk") if one["work_at_risk"] else None),
            words.verdict(one["verdict"]),
            el("span", when(one["at"]), el("small", after) if after else None) if one["at"] else None,
            el("span", one["detail"], el("small", f" owner {one['owner']}") if one["owner"] else None),
        )
        for one in found["outcomes"]
        for after in ["" if one["recovery_seconds"] is None else f"after {duration(one['recovery_seconds'])}"]
    ]
    headers = ("environment", "is", "now called", "work", "its host", "recovered at", "detail")
    shown = table("", headers, rows, (5,)) if rows else el("p", "None.")
    return _section("environments", "Environments", shown)


def _timeline(found: Mapping[str, Any]) -> Element:
    drawn = timeline.pieces(found)
    if not drawn:
        return _section("timeline", "Timeline", el("p", "Nothing was begun."))
    box = el("div", *drawn, class_="scroll", tabindex="0", role="group", aria_label="Timeline; scrolls")
    return _section("timeline", "Timeline", timeline.legend(found), box)


def _exceptions(found: Mapping[str, Any]) -> Element | None:
    rows = [
        (step["title"], word(step["status"]), step["detail"], step["who"], when(step["ended"]), _code(step["id"]))
        for step in found["steps"]
        if step["status"] in EXCEPTIONS
    ]
    if not rows:
        return None
    headers = ("step", "is", "why", "whose word", "when", "id")
    return _section("exceptions", "Exceptions", table("", headers, rows, (4,)))


def _events(found: Mapping[str, Any]) -> Element:
    rows = [(when(one["time"]), one["kind"], one["text"], one["who"], one["title"]) for one in found["events"]]
    headers = ("time", "what", "in words", "who", "step")
    return _section("events", "What people and processes did", table("", headers, rows, (0,)))


def _untouched(found: Mapping[str, Any]) -> Element:
    told = found["untouched"]
    aimed = len(told["aimed_there"])
    regions = ", ".join(told["regions"])
    sentence = f"{plural(told['announced'], 'write')} announced" + (
        f", {aimed} of them to what is lost ({regions})." if regions else "."
    )
    how = (
        "Every write is journaled before it is sent, and what was not journaled is not sent. "
        "A write to what is lost is refused before it leaves."
    )
    parts: list[Part] = [el("p", sentence), el("p", how, class_="soft") if regions else None]
    if aimed:
        parts += _list("Aimed there", told["aimed_there"])
    if found.get("deferred"):
        rows = [
            (
                one["behind"]["name"],
                one["behind"]["kind"],
                ArmId(one["behind"]["plan"]).name,
                one["behind"]["region"],
                one.get("now_name") or one.get("now", ""),
                when(one["when"]),
                _code(one["behind"]["id"]),
            )
            for one in found["deferred"]
        ]
        headers = ("what", "kind", "plan", "region", "answers now as", "since", "id")
        parts.append(table("Left behind, for a cleanup", headers, rows, (5,)))
    if found["left_alone"]:
        alone = [
            (one["name"] or ArmId(one["subject"]).name, one["reason"], one["remedy"]) for one in found["left_alone"]
        ]
        parts.append(table("Considered and left alone", ("what", "why", "what would change it"), alone))
    return _section("untouched", "What was not touched", *parts)


def _grants(one: Mapping[str, Any]) -> Element:
    commands = el("ul", *(el("li", _code(command)) for command in one["grants"]))
    return el(
        "div", "what it held could not be read" if one["unread"] else None, commands if one["grants"] else "nothing"
    )


def _identities(found: Mapping[str, Any]) -> Element | None:
    if not found.get("identities"):
        return None
    rows = [
        (
            ArmId(one["plan"]).name,
            ArmId(one["now_plan"]).name,
            _code(one["was"]),
            _code(one["now"]),
            _grants(one),
        )
        for one in found["identities"]
    ]
    return _section(
        "identities",
        "Identities made again",
        el("p", "What the old identity was granted, the new one needs anew. drkit grants nothing."),
        table("", ("of", "now of", "was", "is now", "to be typed by you"), rows),
    )


def _cost(found: Mapping[str, Any]) -> Element:
    told = found["cost"]
    calls = ", ".join(f"{number} {kind}" for kind, number in told["calls"].items()) or "none counted"
    uncounted = f", {told['uncounted']} of them ended without leaving a count" if told["uncounted"] else ""
    return _section(
        "cost",
        "Calls and waits",
        _facts(
            ("calls to Azure", calls),
            ("throttled (429)", told["throttled"]),
            ("repeated", told["retries"]),
            ("waited", duration(told["waited_seconds"])),
            ("sent, received", f"{told['sent_bytes']:,} and {told['received_bytes']:,} bytes"),
            ("processes", f"{told['processes']}{uncounted}"),
        ),
    )


def _steps(found: Mapping[str, Any]) -> Element:
    rows = [
        (
            step["title"],
            step["effect"],
            step["wave"] or "",
            word(step["status"]),
            when(step["began"]),
            _short(step["ended"], step["began"] or found["started"]),
            step["attempts"],
            step["detail"],
        )
        for step in found["steps"]
    ]
    headers = ("step, in the runbook's words", "effect", "wave", "is", "began", "ended", "tries", "detail")
    return _section(
        "steps", "Steps", table("", headers, rows, (4, 5)) if rows else el("p", "None: the advice was to wait.")
    )


def _deeds(found: Mapping[str, Any]) -> Element | None:
    """Each step by what it does: told from its action, target and inputs, and not from its title."""
    rows = [
        (
            _code(step["id"]),
            f"{step['effect']}: {step['product']} {step['action']} of {step['target']}",
            "; ".join(f"{one['method']} {one['target']}" for one in step["requests"]) or "no write",
            "; ".join(f"{name} = {value}" for name, value in step["inputs"].items()),
        )
        for step in found["steps"]
        if "requests" in step
    ]
    if not rows:
        return None
    return _section("deeds", "What each step may do", table("", ("step", "does", "may send", "inputs"), rows))


def _record(found: Mapping[str, Any]) -> Element:
    journal = found["journal"]
    return _section(
        "record",
        "The record",
        _facts(
            ("journal", plural(journal["records"], "record")),
            ("head", _code(journal["head"])),
            ("runbook", _code(found["runbook"])),
            ("snapshot", _code(found["digests"]["snapshot"])),
            ("assessment", _code(found["digests"]["assessment"])),
            ("cloud", found["made_against"]["arm"]),
            ("planned with", f"drkit {found['made_with']}"),
            *((title, found["linked"][key]) for key, title in LINKED.items() if found["linked"][key]),
            *((f"host script {name}", _code(digest)) for name, digest in found["scripts"].items()),
        ),
        el(
            "p",
            "Each record is chained to the one before by its hash. ",
            _code(f"drkit verify {found['run']} --head {journal['head']}"),
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
