"""The report's page in a real browser: real content, nothing that sticks out, nothing from elsewhere; and its other formats."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drkit import api, estate, letters, reporting, runbook
from drkit.cloud import public
from drkit.runbook import Runbook
from drkit.settings import Settings
from drkit.store import Store
from drkit.views import html, junit, markdown
from tests import chromium
from tests.builders import (
    LOST,
    OTHER,
    TARGET,
    a_claim,
    a_plan,
    a_snapshot,
    a_vm,
    an_assessment,
    facts,
    hosted,
    make,
    managed,
    state_of,
    verdict,
)

WIDTHS = (360, 1440)
BAD = "<img src=x onerror=alert(1)>&amp;\"'`]]>--><script>x</script>\x1b[31m\u202e " + "wide" * 40
START = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


class Paced:
    """A clock that goes on by some seconds whenever it is read."""

    def __init__(self, seconds: float) -> None:
        self.at, self.by = START, timedelta(seconds=seconds)

    def now(self) -> datetime:
        self.at += self.by
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


Told = Callable[[Any, Runbook], Any]


def a_run(folder: Path, name: str, environments: int, hosts: int, told: Told, seconds: float = 1.0) -> api.Desk:
    """A store with a runbook for one lost plan, and a run of it whose journal ``told`` writes."""
    plan = a_plan(name)
    machines = [a_vm(f"{name}-vm-{number}") for number in range(hosts)]
    kept = [managed(f"{name}-{number}", plan, owner=f"person-{number % 7}") for number in range(environments)]
    kept += [hosted(host.name, plan, host, owner="") for host in machines]
    store = Store(folder)
    assessed = an_assessment(
        [state_of(plan, "lost", failing_since="2026-03-01T08:00:00Z")],
        [verdict(host) for host in machines],
        [facts(cores_left=100_000)],
        claims=(a_claim(),),
        unread=(f"something of {name}",),
    )
    store.keep(assessed)
    content = estate.digest(max((folder / "state/assessments").iterdir()).read_bytes())
    book = make(a_snapshot([plan], kept, machines), assessed)
    book = msgspec.structs.replace(book, of_assessment=content)
    encoded = runbook.encode(book)
    store.keep_runbook(encoded)
    clock = Paced(seconds)

    async def write() -> None:
        async with store.open_journal(store.new_run(), clock) as journal:
            journal.take_over()
            await journal.append(
                "started",
                data={"runbook": runbook.digest(encoded), "holder": "ada@bastion", "since": "2026-03-01T08:00:00Z"},
            )
            await journal.append("approved", data={"who": name, "how": "unauthenticated", "note": "read"})
            await told(journal, book)

    asyncio.run(write())
    return api.Desk(Settings(), store, public, own_clock=clock)


async def smoothly(journal: Any, book: Runbook) -> None:
    """Every step is done."""
    for step in book.steps:
        requests = (
            [{"method": "PUT", "target": f"https://management.azure.com{step.target}"}]
            if step.effect == "create"
            else []
        )
        await journal.append("intent", step=step.id, attempt=1, data={"requests": requests})
        await journal.append(
            "done", step=step.id, attempt=1, data={"detail": "it is there", "data": {"name": step.target[-12:]}}
        )
    await ended(journal, "succeeded")


async def ended(journal: Any, outcome: str) -> None:
    cost = {"calls": {"read": 40, "write": 7}, "throttled": 2, "retries": 1, "waited_seconds": 12.5}
    await journal.append("ended", data={"outcome": outcome, "reason": "said so", "evidence": cost})


async def badly(journal: Any, book: Runbook) -> None:
    """Everything that can happen to a step happens to some, in words that are not meant well."""
    for number, step in enumerate(book.steps):
        how = ("done", "failed", "skipped", "drifted", "asked", "open", "answered")[number % 7]
        if how in ("done", "failed", "open"):
            await journal.append("intent", step=step.id, attempt=1, data={"requests": []})
        if how in ("drifted", "skipped", "failed"):
            await journal.append(
                how, step=step.id, attempt=1, data={"detail": BAD, "who": BAD, "code": "Bad", "again": False}
            )
        elif how == "asked":
            await journal.append("asked", step=step.id, data={"detail": BAD})
        elif how in ("done", "answered"):
            await journal.append(how, step=step.id, attempt=1, data={"detail": BAD, "who": "ada"})
    await journal.append("control", data={"what": "pause", "reason": BAD, "who": BAD})
    await ended(journal, "partial")
    await journal.append("taken-over", data={"holder": BAD, "who": "bob"})
    await journal.append("repaired", data={"torn_bytes": 17})
    await journal.append("control", data={"what": "abort", "reason": BAD, "who": BAD})
    await ended(journal, "failed")


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, api.Desk]:
    folder = tmp_path_factory.mktemp("reports")
    return {
        "every exception": a_run(folder / "bad", f"p{BAD}".replace("/", ""), 9, 4, badly),
        "two thousand steps": a_run(folder / "many", "many", 300, 280, smoothly, seconds=2.0),
        "the drill": a_run(folder / "small", "orders", 5, 3, smoothly, seconds=20.0),
    }


@pytest.fixture(scope="module")
def pages(
    desks: dict[str, api.Desk], require: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int, bool], chromium.Page]:
    executable = require("chromium")
    folder = tmp_path_factory.mktemp("pages")
    wanted: list[tuple[str, int, bool]] = [(name, width, False) for name in desks for width in WIDTHS]
    wanted.append(("the drill", 1440, True))
    for name, desk in desks.items():
        (folder / f"{name}.html").write_text(html.report(reporting.report(desk)), "utf-8")
    seen = chromium.look(
        executable,
        [(folder / f"{name}.html", width, dark, width == 1440 and not dark) for name, width, dark in wanted],
    )
    return dict(zip(wanted, seen, strict=True))


NAMES = ("every exception", "two thousand steps", "the drill")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_sticks_out_and_the_content_is_there(
    name: str, width: int, pages: dict[tuple[str, int, bool], chromium.Page], desks: dict[str, api.Desk]
) -> None:
    page, found = pages[name, width, False], reporting.report(desks[name])
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


def test_the_run_of_two_thousand_steps_has_them(desks: dict[str, api.Desk]) -> None:
    assert len(reporting.report(desks["two thousand steps"])["steps"]) >= 2000


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_on_pages(name: str, pages: dict[tuple[str, int, bool], chromium.Page]) -> None:
    pdf = pages[name, 1440, False].pdf
    assert pdf.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) < 300


def test_it_is_dark_where_that_is_wanted(pages: dict[tuple[str, int, bool], chromium.Page]) -> None:
    def light(colour: str) -> float:
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3

    day, night = pages["the drill", 1440, False].found, pages["the drill", 1440, True].found
    assert light(day["ink"]) < 80 < 200 < light(day["paper"])
    assert light(night["paper"]) < 80 < 200 < light(night["ink"])


def test_every_exception_is_told_with_its_reason_and_whose_word(
    pages: dict[tuple[str, int, bool], chromium.Page], desks: dict[str, api.Desk]
) -> None:
    page, found = pages["every exception", 1440, False], reporting.report(desks["every exception"])
    bad = [step for step in found["steps"] if step["status"] in ("failed", "skipped", "drifted", "asked")]
    assert {step["status"] for step in bad} == {"failed", "skipped", "drifted", "asked"}
    assert page.found["text"].count("<img src=x onerror=alert(1)>") >= len(bad)
    assert next(one["text"] for one in found["events"] if one["kind"] == "control").startswith("pause: ")
    assert found["cost"] == {
        "calls": {"read": 80, "write": 14}, "throttled": 4, "retries": 2, "waited_seconds": 25.0, "processes": 2, "uncounted": 0,
    }  # fmt: skip


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
    from drkit import evidence, results
    from drkit.journal import RunState, StepState

    assessed = an_assessment([state_of(plan, "lost")], [], [facts()], claims=(a_claim(),))
    state = RunState(run="run-0001", started="2026-03-01T08:00:00Z")
    for step in book.steps:
        state.steps[step.id] = StepState(
            "failed", 1, "detail", "code", "2026-03-01T08:00:00Z", "2026-03-01T08:01:00Z", who="who"
        )
    found = results.report(
        "run-0001", book, "d" * 64, state, outcome="partial", reason="reason", since="", objective_minutes=240
    )  # fmt: skip
    return {**found, "since": "", **evidence.gather(book, [], assessed)}


def with_text(value: Any, bad: str) -> Any:
    """The same report with that text wherever a free text is."""
    fixed = {"kind", "status", "effect", "began", "ended", "started", "time", "assessed", "failing_since", "since", "taken", "when",
             "outcome", "ending", "state", "drkit", "until", "at"}  # fmt: skip
    if isinstance(value, dict):
        return {key: item if key in fixed else with_text(item, bad) for key, item in value.items()}
    if isinstance(value, list):
        return [with_text(item, bad) for item in value]
    return bad if isinstance(value, str) else value


@given(st.text(max_size=60) | st.sampled_from([BAD, "</td></table><h1>x", "]]>", "|a|\n# b", "a\x00b", "\ud800"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
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


def test_junit_counts_what_it_holds(desks: dict[str, api.Desk]) -> None:
    found = reporting.report(desks["every exception"])
    root = ET.fromstring(junit.report(found))
    cases = list(root.iter("testcase"))
    assert int(root.attrib["tests"]) == len(cases) == len(found["steps"]) + len(found["outcomes"])
    assert int(root.attrib["failures"]) == len(list(root.iter("failure"))) > 0
    assert {one.attrib["name"] for one in root.iter("property")} >= {
        "recovery_seconds",
        "objective_seconds",
        "journal_head",
    }


# owners


def test_each_owner_hears_of_their_own_and_of_nothing_else(desks: dict[str, api.Desk]) -> None:
    run, told, simulated = reporting.owners(desks["the drill"])
    assert not simulated
    by_owner = {letter.owner: letter for letter in told}
    assert told[-1].owner == letters.NOBODY
    assert {one.environment for one in by_owner["person-0"].environments} == {"orders-0"}
    moved = by_owner["person-0"].environments[0]
    assert (moved.ending, moved.address["region"]) == ("recovered", TARGET)
    assert "pushed" in moved.missing
    machine = by_owner[""].environments[0]
    assert "disks are what they were" in machine.missing
    text = letters.text(told, run)
    assert all(one.environment in text for letter in told for one in letter.environments)
    assert "no owner is known" in text
    assert LOST not in {one.address.get("region") for letter in told for one in letter.environments}
    assert OTHER not in {one.address.get("region") for letter in told for one in letter.environments}


def test_an_owner_whose_environment_did_not_move_hears_what_to_do(desks: dict[str, api.Desk]) -> None:
    _, told, _ = reporting.owners(desks["every exception"])
    endings = {one.ending for letter in told for one in letter.environments}
    assert endings - {"recovered"}
    assert all(one.do for letter in told for one in letter.environments)


def test_nothing_was_aimed_at_what_is_lost_and_what_would_be_is_named(tmp_path: Path) -> None:
    async def astray(journal: Any, book: Runbook) -> None:
        source = next(iter(book.source_plans))
        aimed = [{"method": "DELETE", "target": f"https://management.azure.com{source.upper()}"}]
        await journal.append("intent", step=book.steps[0].id, attempt=1, data={"requests": aimed})

    found = reporting.report(a_run(tmp_path, "astray", 1, 0, astray))
    assert len(found["untouched"]["aimed_there"]) == 1
    assert found["cost"]["uncounted"] == 1
