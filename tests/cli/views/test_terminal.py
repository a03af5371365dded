"""Views: whatever names hold is shown harmlessly, and what is shown can be read at 80 and at 140 columns."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from drkit.cli.views import json as json_view
from drkit.cli.views import markdown, status, terminal
from drkit.errors import CloudError, UsageError
from drkit.execution import results
from drkit.model import runbook, text
from drkit.model.estate import Assessment, Snapshot
from drkit.model.run import RunState, StepState
from drkit.model.runbook import Runbook
from drkit.model.settings import Settings
from drkit.model.summary import Described, described
from drkit.products import actions
from drkit.store.store import load
from tests.support.command_line import recorded, runbook_of

HOSTILE = {
    "ANSI": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "C1": "\x9b31m and \x85 and \x9d0;x\x9c",
    "newlines": "a\nb\r\nc\u2028d\x0be",
    "table": "| x | y |\n| --- | --- |",
    "markup": "[bold]x[/bold][link=https://evil.example]y[/link]",
    "HTML": "<script>alert(1)</script><img src=x onerror=y>&amp;",
    "Markdown": "# h *b* `c` [l](javascript:x) ![i](x) ~~s~~ \\| _u_",
    "long": "x" * 100_000,
    "long words": "word " * 20_000,
    "direction": "\u202egnp.exe\u2066\u200b\ufeff",
    "wide": "日本語" * 40,
    "NUL": "a\0b",
    "empty": "",
}
SHOWN = (
    "name",
    "title",
    "reason",
    "detail",
    "owner",
    "data_at_risk",
    "state",
    "text",
    "who",
    "remedy",
    "branch",
    "repository",
    "forced",
)


@cache
def estate() -> tuple[Snapshot, Assessment, Runbook]:
    folder = recorded()
    content = runbook_of(folder).read_bytes()
    return (
        load(folder / ".drkit/state/snapshots/000001.json", Snapshot),
        load(folder / ".drkit/state/assessments/000001.json", Assessment),
        runbook.decode(content, "it"),
    )


def spoiled(value: Any, bad: str) -> Any:
    """The same value with that text for every name, title, reason, … in it."""

    def walk(one: Any) -> Any:
        if isinstance(one, dict):
            return {
                key: bad if key in SHOWN and isinstance(item, str) and not closed(key, item) else walk(item)
                for key, item in one.items()
            }
        return [walk(item) for item in one] if isinstance(one, list | tuple) else one

    return msgspec.convert(walk(msgspec.to_builtins(value)), type(value))


def closed(key: str, item: str) -> bool:
    """Words of a fixed list, which no name can change."""
    return key in ("data_at_risk", "state") and item in (
        "pushed", "unpushed", "unknown", "complete", "partial", "failed", "answering", "degraded", "unreachable", "lost", "gone",
    )  # fmt: skip


def state_of(book: Runbook, bad: str) -> RunState:
    """A run with steps in every state."""
    words: tuple[Any, ...] = ("done", "failed", "skipped", "drifted", "asked", "pending", "open")
    steps = {
        step.id: StepState(
            status=words[number % len(words)],
            detail=bad,
            who=bad,
            began="2026-11-23T08:00:00Z",
            ended="2026-11-23T08:01:00Z",
        )
        for number, step in enumerate(book.steps)
    }
    return RunState(
        run="run-0001",
        runbook="d",
        started="2026-11-23T08:00:00Z",
        approved_by=bad,
        approved_how=bad,
        holder=bad,
        steps=steps,
    )


def reported(bad: str) -> dict[str, Any]:
    book = spoiled(estate()[2], bad)
    return results.report(
        "run-0001",
        book,
        "d" * 64,
        state_of(book, bad),
        outcome="partial",
        reason=bad,
        since="",
        objective_minutes=240.0,
    )


def harmless(shown: str) -> None:
    bad = {
        letter for letter in shown if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp", "Cs") and letter != "\n"
    }
    assert not bad


def told(book: Runbook) -> tuple[Described, ...]:
    return described(book, actions(), Settings())


def everything(bad: str) -> dict[str, list[Any]]:
    snapshot, assessment, book = (spoiled(one, bad) for one in estate())
    state = state_of(book, bad)
    return {
        "snapshot": terminal.snapshot(msgspec.structs.replace(snapshot, flags=(bad,)), ".drkit/x.json"),
        "assessment": terminal.assessment(assessment, ".drkit/x.json"),
        "planned": terminal.planned(book, "d" * 64, ".drkit/x.json", [bad], concurrency=8),
        "show": terminal.show(book, "d" * 64, ".drkit/x.json", told(book), concurrency=8),
        "status": status.parts(book, state, "partial", bad),
        "report": terminal.report(reported(bad)),
        "codes": status.codes([{"step": bad, "url": bad, "code": bad, "warning": ""}]),
    }


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("columns", [80, 140])
def test_terminal_views_defuse_names_and_keep_to_the_width(bad: str, columns: int) -> None:
    for view, parts in everything(bad).items():
        shown = terminal.render(*parts, columns=columns)
        harmless(shown)
        # What is approved is shown whole, however long somebody made a name.
        assert len(shown) < (20_000_000 if view == "show" else 1_000_000), view
        for line in shown.splitlines():
            assert cell_len(line) <= columns or line.startswith(terminal.COPIED), (view, line)


def test_the_same_views_with_good_names_say_what_is_there() -> None:
    snapshot, assessment, book = estate()
    shown = terminal.render(*terminal.show(book, "d" * 64, "x", told(book), concurrency=8), columns=80)
    for step in told(book):
        assert f"  {step.number}  {step.effect}: {step.product} {step.action}" in shown
        assert all(f"    sends {one.method} {one.target}" in shown.splitlines() for one in step.requests)
    assert terminal.render(*terminal.snapshot(snapshot, "x")).startswith("SIMULATED snapshot 1: 9 plans")
    assert "plan-platform-weu" in terminal.render(*terminal.assessment(assessment, "x"), columns=80)


def test_an_assessment_that_could_read_nothing_does_not_say_that_nothing_is_lost() -> None:
    _, assessment, _ = estate()
    blind = msgspec.structs.replace(assessment, plans=(), hosts=(), claims=(), unread=("ARM does not answer",))
    shown = terminal.render(*terminal.assessment(blind, "x"), columns=80)
    assert "nothing is lost" not in shown
    assert "assess again" in shown


def test_a_run_held_once_is_said_so() -> None:
    book = estate()[2]
    assert "held once" in terminal.render(*status.parts(book, RunState(), "partial", ""), columns=80)


def test_a_markup_name_is_shown_letter_by_letter() -> None:
    assert "[bold]x[/bold]" in terminal.render(terminal.table("a", rows=[(HOSTILE["markup"],)]), columns=140)
    assert "[bold]x[/bold]" in terminal.render(f"name {HOSTILE['markup']}", columns=140)
    assert terminal.event("done", "a", "b\x1b[2Jc\nd").count("\n") == 0


def test_a_command_to_copy_is_neither_cut_nor_wrapped_nor_tidied() -> None:
    book = estate()[2]
    command = "codespaces start -n 'two  blanks' -w " + "/a" * 400
    step = next(step for step in book.steps if step.effect == "ask" and step.inputs.get("commands"))
    changed = msgspec.structs.replace(step, needs=(), inputs={**step.inputs, "commands": [command]})
    book = msgspec.structs.replace(book, steps=(changed,))
    state = RunState(run="run-0001", steps={step.id: StepState(status="asked")})
    for parts in (
        terminal.show(book, "d" * 64, "x", told(book), concurrency=8),
        status.parts(book, state, "partial", "r"),
    ):
        assert f"    {command}" in terminal.render(*parts, columns=80).splitlines()


def test_a_command_with_control_characters_shows_that_it_has_some() -> None:
    assert text.exact("a\x1b[2Jb\nc\u202e") == "a\ufffd[2Jb\ufffdc\ufffd"


def test_paths_and_next_steps_keep_their_line() -> None:
    path = "/very" * 40 + "/long.json"
    shown = terminal.render(*terminal.planned(estate()[2], "d" * 64, path, concurrency=8), columns=80).splitlines()
    assert f"kept as {path}" in shown
    assert shown[-1].endswith(f"`drkit apply {'d' * 12}`")


def test_colours_come_only_when_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    made = terminal.table("state", rows=[("lost",)])
    assert "\x1b[" in terminal.render(made, columns=80, colour=True)
    assert "\x1b[" not in terminal.render(made, columns=80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in terminal.render(made, columns=80, colour=True)


# Markdown


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=list(HOSTILE))
def test_a_markdown_report_holds_nothing_active(bad: str) -> None:
    shown = markdown.report(reported(bad))
    good = markdown.report(reported("good"))
    harmless(shown)
    assert len(shown.splitlines()) == len(good.splitlines())
    for line, like in zip(shown.splitlines(), good.splitlines(), strict=True):
        bare = re.sub(r"\\.", "", line)
        assert bare.count("|") == re.sub(r"\\.", "", like).count("|")
        assert not re.search(r"[<>\[\]*]", bare), line
    assert len(shown) < 500_000


# JSON


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=list(HOSTILE))
def test_json_keeps_every_name_and_no_control_character(bad: str) -> None:
    shown = json_view.encode({"name": bad, "codes": [{"url": bad}]})
    harmless(shown)
    assert json.loads(shown)["name"] == bad


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_survives_json_and_harms_no_terminal(any_text: str) -> None:
    shown = json_view.encode({"name": any_text})
    harmless(shown)
    assert json.loads(shown)["name"] == any_text
    harmless(terminal.render(any_text, columns=80))
    harmless(markdown.escape(any_text))


def test_an_error_is_an_object_with_what_a_program_needs() -> None:
    problem = CloudError("no", where="here", remedy="wait", status=503, code="Busy", request_id="r-1")
    assert json_view.error(problem) == {
        "error": {
            "kind": "CloudError", "what": "no", "where": "here", "remedy": "wait", "exit_code": 1, "status": 503, "code": "Busy",
            "request_id": "r-1",
        }
    }  # fmt: skip
    assert json_view.error(UsageError("x"))["error"]["exit_code"] == 64


# small words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7200, "2 h"), (11100, "3 h 05 min")],
)
def test_durations_are_said_in_words(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 500))
def test_safe_text_is_one_short_line(any_text: str, most: int) -> None:
    shown = text.safe(any_text, most)
    harmless(shown)
    assert "\n" not in shown
    assert len(shown) <= most
