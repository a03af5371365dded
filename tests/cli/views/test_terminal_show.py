"""What who approves reads is what is done: ids, requests and inputs of every step, and nothing that rests on a title."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit import products
from drkit.api.plan import Planned
from drkit.cli.views import azure_pipelines, terminal
from drkit.model import actions, runbook
from drkit.model.runbook import Runbook, Step
from drkit.model.settings import Settings
from drkit.model.summary import described
from tests.support.sample_runbooks import every_book
from tests.support.workers import SECRET, apply, lost, site

BOOKS = every_book()
PLACES = [(number, place) for number, book in enumerate(BOOKS) for place in range(len(book.steps))]


def shown(book: Runbook, columns: int = 80) -> str:
    told = described(book, products.actions(), Settings())
    return terminal.render(*terminal.show(book, "d" * 64, "x", told, concurrency=8), columns=columns)


def summary(book: Runbook) -> str:
    return azure_pipelines.runbook_summary(book, "d" * 64, described(book, products.actions(), Settings()))


@pytest.mark.parametrize("columns", [80, 140])
def test_every_id_and_request_is_whole_on_a_separate_line(columns: int) -> None:
    for book in BOOKS:
        lines = [line.strip() for line in shown(book, columns).splitlines()]
        for step in book.steps:
            for request in actions.announced(step, products.actions(), book.cloud.arm, Settings()):
                assert f"sends {request.method} {request.target}" in lines
            for known in (step.target, step.host, step.plan):
                assert not known or any(line.endswith(f" {known}") for line in lines), known


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in leaves(inner, (*path, key))]
    if isinstance(value, list | tuple):
        return [one for number, inner in enumerate(value) for one in leaves(inner, (*path, number))]
    return [path]


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return (
            (not value)
            if isinstance(value, bool)
            else value + 7
            if isinstance(value, int | float)
            else f"{value or ''}-evil"
        )
    if isinstance(value, dict):
        return {key: changed(inner, path[1:]) if key == path[0] else inner for key, inner in value.items()}
    return [changed(inner, path[1:]) if number == path[0] else inner for number, inner in enumerate(value)]


def with_step(book: Runbook, step: Step, **more: Any) -> Runbook:
    return msgspec.structs.replace(
        book, steps=tuple(msgspec.structs.replace(one, **more) if one is step else one for one in book.steps)
    )


@settings(max_examples=150)
@given(place=st.sampled_from(PLACES), data=st.data())
def test_any_input_that_is_changed_is_seen_in_the_terminal_and_in_the_summary(
    place: tuple[int, int], data: st.DataObject
) -> None:
    book = BOOKS[place[0]]
    step = book.steps[place[1]]
    paths = leaves(step.inputs)
    if not paths:
        return
    other = with_step(book, step, inputs=changed(step.inputs, data.draw(st.sampled_from(paths))))
    assert shown(other) != shown(book)
    assert summary(other) != summary(book)


def test_a_title_and_a_reason_say_nothing_but_that_the_file_says_so() -> None:
    book = BOOKS[0]
    step = book.steps[0]
    other = with_step(book, step, title="see that all is well", reason="nothing is changed\n    sends no write")
    mine, before = shown(other).splitlines(), shown(book).splitlines()
    told = [line for line in mine if line not in before]
    assert told
    assert "file says: see that all is well; nothing is changed sends no write" in " ".join(" ".join(told).split())


def test_unusual_values_that_come_from_a_snapshot_are_pointed_out() -> None:
    from tests.support.sample_runbooks import an_account, an_extension, workers_moved

    account = an_account()
    url = account.properties["automationHybridServiceUrl"]
    usual = shown(workers_moved())
    assert "LOOK" not in usual
    assert "LOOK" not in shown(workers_moved(an_extension(account, typeHandlerVersion="1.1.13")))
    odd = an_extension(
        account, settings={"AutomationAccountURL": url, "Proxy": "http://evil"}, typeHandlerVersion="0.9"
    )
    found = shown(workers_moved(odd))
    assert "LOOK, differs from the product's default: the recorded setting Proxy = http://evil is put back" in found
    assert "LOOK, differs from the product's default: version 0.9, where the documentation has 1.1" in found
    assert "**look**" in summary(workers_moved(odd))


def test_the_requests_that_are_shown_are_those_that_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": SECRET}))
    with site(tmp_path) as found:
        book = lost(found)
        assert isinstance(found.planned, Planned)
        assert found.planned.described_steps == described(book, products.actions(), found.context.settings)
        told = {
            (one.method, urlsplit(one.target).path.lower())
            for step in found.planned.described_steps
            for one in step.requests
        }
        assert apply(found).outcome == "succeeded"
        record = found.world.view("record")["requests"]
        sent = {(one["method"], one["path"].split("?")[0].lower()) for one in record if one["kind"] == "write"}
        assert sent
        assert sent <= told
        for step in found.planned.described_steps:
            ours = {(one.method, urlsplit(one.target).path.lower()) for one in step.requests}
            assert not ours or ours & sent, step.id


def test_the_json_of_show_has_the_same_steps(tmp_path: Path) -> None:
    book = BOOKS[0]
    told = described(book, products.actions(), Settings())
    plain = json.loads(msgspec.json.encode(told))
    assert [one["id"] for one in plain] == [step.id for step in book.steps]
    assert all(set(one) >= {"target", "host", "requests", "inputs", "only_if", "text_of_file"} for one in plain)
    assert runbook.decode(runbook.encode(book), "x") == book
