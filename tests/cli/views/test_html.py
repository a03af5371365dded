"""The report's page in a real browser: real content, nothing that sticks out, nothing from elsewhere; and its other formats."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.api import report
from drkit.api.context import Context
from drkit.cli.views import html, junit, markdown, terminal
from drkit.cli.views.html import timeline
from drkit.cli.views.html.elements import table
from drkit.model import runbook
from drkit.model.estate import Deferred, Leftover
from drkit.model.runbook import Runbook
from tests.support import chromium
from tests.support.builders import (
    a_claim,
    a_plan,
    a_snapshot,
    an_assessment,
    facts,
    make,
    managed,
    state_of,
)
from tests.support.finished_runs import BAD, a_run, three

pytestmark = pytest.mark.slow

WIDTHS = (360, 1440)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Context]:
    return three(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def pages(
    contexts: dict[str, Context], require: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int, bool], chromium.Page]:
    wanted: list[tuple[str, int, bool]] = [(name, width, False) for name in contexts for width in WIDTHS]
    wanted.append(("a smooth run", 1440, True))

    def seen() -> list[chromium.Page]:
        folder = tmp_path_factory.mktemp("pages")
        for name, context in contexts.items():
            (folder / f"{name}.html").write_text(html.report(report.report(context)), "utf-8")
        return chromium.look(
            require("chromium"),
            [(folder / f"{name}.html", width, dark, width == 1440 and not dark) for name, width, dark in wanted],
        )

    return dict(zip(wanted, once(tmp_path_factory, seen), strict=True))


def once(factory: pytest.TempPathFactory, look: Callable[[], list[chromium.Page]]) -> list[chromium.Page]:
    """What one of the test processes saw, for all of them: the runs are the same in each, to the last byte."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return look()
    kept = factory.getbasetemp().parent / "report-pages"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(look()))
    seen: list[chromium.Page] = pickle.loads(kept.read_bytes())
    return seen


NAMES = ("every exception", "two thousand steps", "a smooth run")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_sticks_out_and_the_content_is_there(
    name: str, width: int, pages: dict[tuple[str, int, bool], chromium.Page], contexts: dict[str, Context]
) -> None:
    page, found = pages[name, width, False], report.report(contexts[name])
    assert width - 20 <= page.found["wide"] <= width
    assert page.found["scroll"] <= page.found["wide"]
    assert page.found["out"] == []
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("file:")] == []
    assert page.found["scripts"] == 0
    text = page.found["text"]
    numbers = found["environments"]
    assert f"{numbers['recovered']} of {numbers['total']}" in text
    assert found["journal"]["head"] in text
    assert found["runbook"] in text
    begun = sum(bool(step["began"]) for step in found["steps"])
    assert page.found["bars"] == begun
    assert page.found["rows"] >= len(found["steps"]) + len(found["outcomes"])
    assert {"Decision", "Environments", "Timeline", "Steps", "The record"} <= set(page.found["titles"])


def test_the_run_of_two_thousand_steps_has_them(contexts: dict[str, Context]) -> None:
    assert len(report.report(contexts["two thousand steps"])["steps"]) >= 2000


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_on_pages(name: str, pages: dict[tuple[str, int, bool], chromium.Page]) -> None:
    pdf = pages[name, 1440, False].pdf
    assert pdf.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) < 800


def test_it_is_dark_where_that_is_wanted(pages: dict[tuple[str, int, bool], chromium.Page]) -> None:
    def light(colour: str) -> float:
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3

    day, night = pages["a smooth run", 1440, False].found, pages["a smooth run", 1440, True].found
    assert light(day["ink"]) < 80 < 200 < light(day["paper"])
    assert light(night["paper"]) < 80 < 200 < light(night["ink"])


def test_every_exception_is_reported_with_its_reason_and_who_said_it(
    pages: dict[tuple[str, int, bool], chromium.Page], contexts: dict[str, Context]
) -> None:
    page, found = pages["every exception", 1440, False], report.report(contexts["every exception"])
    bad = [step for step in found["steps"] if step["status"] in ("failed", "skipped", "drifted", "asked")]
    assert {step["status"] for step in bad} == {"failed", "skipped", "drifted", "asked"}
    assert page.found["text"].count("<img src=x onerror=alert(1)>") >= len(bad)
    assert next(one["text"] for one in found["events"] if one["kind"] == "control").startswith("pause: ")
    assert found["cost"] == {
        "calls": {"read": 80, "write": 14}, "throttled": 4, "retries": 2, "waited_seconds": 25.0, "sent_bytes": 200,
        "received_bytes": 4000, "processes": 2, "uncounted": 0,
    }  # fmt: skip


# colours


def schemes() -> list[dict[str, tuple[float, ...]]]:
    """The colours of each scheme (light, dark, paper), as linear light."""
    sheet = resources.files("drkit.cli.views.html").joinpath("report.css").read_text("utf-8")
    return [
        {
            name: tuple(linear(digits * 2 if len(digits) == 1 else digits) for digits in split(code))
            for name, code in re.findall(r"--([\w-]+): #(\w+);", block)
        }
        for block in re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    ]


def split(code: str) -> list[str]:
    size = len(code) // 3
    return [code[at : at + size] for at in range(0, len(code), size)]


def linear(digits: str) -> float:
    share = int(digits, 16) / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """As WCAG 2 has it."""
    lights = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_text_and_bars_stand_out_in_every_scheme() -> None:
    found = schemes()
    assert len(found) == 3
    for colours in found:
        for under in ("paper", "wash"):
            for name in ("ink", "soft", "link", "good", "bad", "wait", "calm"):
                assert contrast(colours[name], colours[under]) >= 4.5, (name, under)
            for name in ("create", "register", "release", "verify", "ask", "delete", "wait-bar"):
                assert contrast(colours[name], colours[under]) >= 3, (name, under)


# any text, in every format


class Seen(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or (name in ("src", "href") and not str(value).startswith("#")):
                self.loads.append(name)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@cache
def plain() -> dict[str, Any]:
    plan = a_plan("one")
    book = make(
        a_snapshot([plan], [managed("api", plan)]),
        an_assessment([state_of(plan, "lost")], [], [facts()], claims=(a_claim(),)),
    )
    from drkit.execution import report_evidence, results
    from drkit.model.run import RunState, StepState

    assessed = an_assessment([state_of(plan, "lost")], [], [facts()], claims=(a_claim(),))
    state = RunState(run="run-0001", started="2026-03-01T08:00:00Z")
    for step in book.steps:
        state.steps[step.id] = StepState(
            "failed", 1, "detail", "code", "2026-03-01T08:00:00Z", "2026-03-01T08:01:00Z", who="who"
        )
    found = results.report(
        "run-0001", book, "d" * 64, state, outcome="partial", reason="reason", since="", objective_minutes=240
    )  # fmt: skip
    behind = Leftover(id="i", product="p", kind="record", name="n", plan="/p", region="r", proof_steps=("f",))
    more = {
        "deferred": [
            Deferred(behind=behind, run="run-0001", when="2026-03-01T08:00:00Z", now="now", now_name="n", now_plan="/q")
        ],
        "identities": [results.IdentityChange("/p", "was", "/q", "now", ("az one", "az two"), True)],
        "left_alone": [runbook.LeftAlone("/s", "name", "reason", "remedy")],
        "in_doubt": [dict.fromkeys(("environment", "name", "host", "plan", "detail", "next"), "/x")],
        "notes": ["note"],
        "scripts": {"name": "digest"},
    }
    return {**found, **report_evidence.gather(book, [], assessed), **msgspec.to_builtins(more)}


def with_text(value: Any, bad: str) -> Any:
    """The same report with that text wherever a free text is."""
    fixed = {"kind", "status", "effect", "began", "ended", "started", "time", "assessed", "failing_since", "since", "taken", "when",
             "outcome", "ending", "state", "drkit", "until", "at", "objective"}  # fmt: skip
    if isinstance(value, dict):
        return {key: item if key in fixed else with_text(item, bad) for key, item in value.items()}
    if isinstance(value, list):
        return [with_text(item, bad) for item in value]
    return bad if isinstance(value, str) else value


@given(
    st.text(min_size=1, max_size=60)
    | st.sampled_from([BAD, "</td></table><h1>x", "]]>", "|a|\n# b", "a\x00b", "\ud800"])
)
@settings(max_examples=60)
def test_no_text_breaks_out_of_any_format(bad: str) -> None:
    good, spoiled = Seen(), Seen()
    good.feed(html.report(with_text(plain(), "x")))
    page = html.report(with_text(plain(), bad))
    spoiled.feed(page)
    assert [tag for tag in spoiled.tags if tag != "small"] == [tag for tag in good.tags if tag != "small"]
    assert spoiled.loads == []
    root = ET.fromstring(junit.report(with_text(plain(), bad)))
    assert root.tag == "testsuites"
    assert len(list(root.iter("testcase"))) == len(plain()["steps"]) + len(plain()["outcomes"])
    lines = markdown.report(with_text(plain(), bad)).splitlines()
    assert len(lines) == len(markdown.report(with_text(plain(), "x")).splitlines())
    for shown in (page, "\n".join(lines)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_junit_counts_what_it_holds(contexts: dict[str, Context]) -> None:
    found = report.report(contexts["every exception"])
    root = ET.fromstring(junit.report(found))
    cases = list(root.iter("testcase"))
    assert int(root.attrib["tests"]) == len(cases) == len(found["steps"]) + len(found["outcomes"])
    assert int(root.attrib["failures"]) == len(list(root.iter("failure"))) > 0
    assert {one.attrib["name"] for one in root.iter("property")} >= {
        "recovery_seconds",
        "objective_seconds",
        "journal_head",
    }


# what is claimed


@pytest.mark.parametrize(("name", "said"), [("a smooth run", "met"), ("every exception", "in time so far, 9 not back")])
def test_the_objective_is_met_only_when_all_are_back(name: str, said: str, contexts: dict[str, Context]) -> None:
    found = report.report(contexts[name])
    for shown in (html.report(found), markdown.report(found), terminal.render(*terminal.report(found), columns=200)):
        assert f"objective 4 h: {said}" in shown
        assert ("objective 4 h: met" in shown) == (said == "met")


def test_what_was_left_before_it_began_is_in_the_timeline(contexts: dict[str, Context]) -> None:
    found = report.report(contexts["every exception"])
    never = [step for step in found["steps"] if not step["began"] and step["status"] in ("skipped", "drifted")]
    drawn = [title for piece in timeline.pieces(found) for title in piece.iter("title")]
    assert sum("not begun" in str(title.text) for title in drawn) == len(never) > 0


def test_what_is_not_ended_reaches_the_end_of_the_timeline(contexts: dict[str, Context]) -> None:
    found = report.report(contexts["every exception"])
    (piece,) = timeline.pieces(found)
    asked = [bar for bar in piece.iter("rect") if bar.get("class") == "ask" and float(bar.get("width", "0")) > 100]
    assert asked
    assert {float(bar.get("x", "0")) + float(bar.get("width", "0")) for bar in asked} == {timeline.WIDTH - 12.0}


def test_takeovers_and_controls_cross_the_timeline_and_stand_in_its_legend(contexts: dict[str, Context]) -> None:
    found = report.report(contexts["every exception"])
    (piece,) = timeline.pieces(found)
    kinds = [line.get("class") for line in piece.iter("line")]
    assert (kinds.count("taken"), kinds.count("control")) == (1, 2)
    assert {line.get("class") for line in timeline.legend(found).iter("line")} == {"taken", "control"}
    smooth = timeline.legend(report.report(contexts["a smooth run"]))
    assert list(smooth.iter("line")) == []


def test_a_cleanup_counts_no_environments_and_calls_its_rows_by_what_was_done() -> None:
    found = {**plain(), "kind": "cleanup", "outcomes": [], "since": ""}
    found["environments"] = {**found["environments"], "total": 0}
    shown = html.report(found)
    assert "0 of 0" not in shown
    assert "recovery time" not in shown
    labels = [str(text.text) for piece in timeline.pieces(found) for text in piece.iter("title")]
    assert any(label.startswith("create api again") for label in labels)


def test_local_time_is_shown_beside_utc_if_it_differs(
    contexts: dict[str, Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = report.report(contexts["a smooth run"])
    try:
        for zone, said in (("XYZ-5:30", "(14:00 XYZ where this was written)"), ("UTC0", "")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            shown = html.report(found)
            assert "Begun 2026-03-01 08:30:20 UTC" in shown
            assert said in shown
            assert ("where this was written" in shown) == bool(said)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_invalid_time_is_shown_unchanged() -> None:
    found = with_text(plain(), "x")
    spoiled = {
        **found,
        "decision": {**found["decision"], "claims": [{**found["decision"]["claims"][0], "since": "soon <b>"}]},
    }
    assert "soon &lt;b&gt;" in html.report(spoiled)


def test_long_tables_stand_in_a_box_and_short_words_stay_whole() -> None:
    def made(rows: int, word: str) -> tuple[str, list[str | None]]:
        found = table("t", ("a", "b"), [(word, "plain words") for _ in range(rows)])
        return found.tag, [cell.get("class") for cell in found.iter("td")][:2]

    assert made(60, "unauthenticated") == ("table", [None, None])
    assert made(61, "x" * 16) == ("div", ["long", None])


def test_a_simulated_report_says_so_on_every_page_and_in_every_format(contexts: dict[str, Context]) -> None:
    found = {**report.report(contexts["a smooth run"]), "simulated": True}
    assert html.report(found).count("SIMULATED") >= 3
    assert 'class="exercise"' in html.report(found)
    assert all("SIMULATED" in one.attrib["name"] for one in ET.fromstring(junit.report(found)).iter("testsuite"))
    assert markdown.report(found).startswith("# SIMULATED")
    assert terminal.render(*terminal.report(found)).startswith("SIMULATED")


def test_markdown_says_what_the_page_says(contexts: dict[str, Context]) -> None:
    shown = markdown.report(report.report(contexts["every exception"]))
    for title in (
        "Decision",
        "Approval",
        "Environments",
        "Exceptions",
        "What people and processes did",
        "Steps",
        "Evidence",
    ):
        assert f"\n## {title}\n" in shown
    assert "claim: westeurope, by Microsoft" in shown
    assert "drkit verify run-0001 --head" in shown


def test_a_host_in_doubt_is_shown_near_the_top_with_the_command_to_type() -> None:
    doubt = {
        "environment": "e",
        "name": "web-01",
        "host": "/subscriptions/s/vm-web",
        "plan": "/plans/auto-we",
        "detail": "web-01 was taken off auto-we and is registered nowhere",
        "next": "`drkit resume run-0001` goes on with it",
    }
    assert 'id="doubt"' not in html.report({**plain(), "in_doubt": []})
    assert "Hosts in doubt" not in markdown.report({**plain(), "in_doubt": []})
    found = {**plain(), "in_doubt": [doubt]}
    page = html.report(found)
    assert 'href="#doubt"' in page
    section = page[page.index('id="doubt"') : page.index('id="decision"')]
    told = markdown.report(found)
    top = told[told.index("## Hosts in doubt") : told.index("## Decision")]
    for words in ("web-01 was taken off auto-we and is registered nowhere", "vm-web", "drkit resume run-0001"):
        assert words in section
        assert words in top


def test_nothing_was_aimed_at_what_is_lost_and_what_would_be_is_named(tmp_path: Path) -> None:
    async def astray(journal: Any, book: Runbook) -> None:
        source = next(iter(book.source_plans))
        aimed = [{"method": "DELETE", "target": f"https://management.azure.com{source.upper()}"}]
        await journal.append("intent", step=book.steps[0].id, attempt=1, data={"requests": aimed})

    found = report.report(a_run(tmp_path, "astray", 1, 0, astray))
    assert len(found["untouched"]["aimed_there"]) == 1
    assert found["cost"]["uncounted"] == 1
