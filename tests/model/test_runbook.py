"""A runbook's bytes, its digest, and what is no runbook."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.errors import FileError, UsageError
from drkit.model import runbook as book
from drkit.model.runbook import Affected, Estimate, Precondition, Runbook, Step
from tests.support.builders import MARK, a_plan, a_vm, hosted, managed, one_lost

PLAN = a_plan(tags={"ä": "ö", "b": "<x>"})
HOST = a_vm("box")
MADE = one_lost(managed("api", PLAN), hosted("web", PLAN, HOST), plan=PLAN, hosts=[HOST])
BYTES = book.encode(MADE)


def a_step(name: str = "p:x:create", effect: str = "create", **more: Any) -> Step:
    fields: dict[str, Any] = {
        "id": name,
        "product": "p",
        "action": "create",
        "target": "/x",
        "title": "create x",
        "reason": "because",
        "effect": effect,
        "estimate": Estimate(1, 1.0),
    }
    return Step(**(fields | more))


def a_runbook(*steps: Step, **more: Any) -> Runbook:
    fields: dict[str, Any] = {
        "kind": "failover",
        "cloud": MARK,
        "drkit_version": "0",
        "of_assessment": "",
        "snapshot_digest": "",
    }
    return Runbook(steps=steps, **(fields | more))


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_the_bytes_are_canonical_and_begin_with_the_marker() -> None:
    assert BYTES.startswith(b'{"drkit":"runbook/2",')
    told = json.loads(BYTES)
    assert json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" == BYTES
    assert book.decode(BYTES, "x") == MADE


def test_the_digest_is_the_sha256_of_the_very_bytes_and_not_inside() -> None:
    assert book.digest(BYTES) == hashlib.sha256(BYTES).hexdigest()
    assert book.digest(BYTES).encode() not in BYTES
    assert "created" not in json.loads(BYTES)


def refused(content: bytes) -> str:
    with pytest.raises(FileError) as error:
        book.decode(content, "my.runbook")
    assert error.value.exit_code == 64
    assert error.value.where == "my.runbook"
    assert "drkit plan" in error.value.remedy
    return error.value.what


@settings(max_examples=200)
@given(st.integers(0, len(BYTES)), st.sampled_from([b" ", b"\n", b"\t", b"\r\n", b"\xef\xbb\xbf", b"\x00", b"x", b","]))
def test_a_byte_put_in_anywhere_is_refused_or_another_runbook_that_is_canonical_too(place: int, more: bytes) -> None:
    changed = BYTES[:place] + more + BYTES[place:]
    try:
        other = book.decode(changed, "x")
    except FileError:
        return
    assert other != MADE
    assert book.encode(other) == changed
    assert book.digest(changed) != book.digest(BYTES)


@settings(max_examples=200)
@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_a_byte_changed_anywhere_is_refused_or_another_runbook(place: int, by: int) -> None:
    changed = BYTES[:place] + bytes([BYTES[place] ^ by]) + BYTES[place + 1 :]
    try:
        other = book.decode(changed, "x")
    except FileError:
        return
    assert other != MADE
    assert book.encode(other) == changed


@settings(max_examples=100)
@given(st.integers(0, len(BYTES) - 1))
def test_a_truncated_runbook_is_refused(length: int) -> None:
    assert refused(BYTES[:length])


def test_space_between_keys_and_another_order_of_keys_are_refused() -> None:
    told = json.loads(BYTES)
    upside_down = dict(reversed(list(told.items())))
    for content in (
        BYTES.replace(b'","', b'", "', 1),
        BYTES + b"\n",
        BYTES[:-1],
        b" " + BYTES,
        json.dumps(told, indent=1).encode() + b"\n",
        json.dumps(upside_down, separators=(",", ":"), ensure_ascii=False).encode() + b"\n",
        BYTES.replace("ä".encode(), b"\\u00e4"),
        BYTES.replace(b'"calls":2', b'"calls":2,"calls":2', 1),
    ):
        assert content != BYTES
        assert "canonical" in refused(content)


def test_a_runbook_of_a_drkit_that_knew_fewer_fields_is_read_as_it_was_approved() -> None:
    told = json.loads(BYTES)
    del told["scripts"]
    for step in told["steps"]:
        del step["wave"]
    older = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    found = book.decode(older, "x")
    assert ([step.id for step in found.steps], found.scripts) == ([step.id for step in MADE.steps], {})
    told["steps"][0]["estimate"]["seconds"] = int(told["steps"][0]["estimate"]["seconds"])
    assert "canonical" in refused(
        json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    )


OTHERS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty"),
    ("blank", b" \n", "is empty"),
    ("no JSON", b"once upon a time", "is not JSON"),
    ("not UTF-8", BYTES.replace(b"api", b"\xff\xfe\xfd", 1), "is not JSON"),
    ("a list", b"[]", "is not a runbook"),
    ("null", b"null", "is not a runbook"),
    ("no marker", b"{}", "is not a runbook"),
    ("a snapshot", b'{"drkit":"snapshot/1"}', "snapshot/1"),
    ("newer", BYTES.replace(b"runbook/2", b"runbook/3", 1), "newer drkit"),
    ("an odd marker", b'{"drkit":{"a":1}}', "is not a runbook"),
    ("a key that is not known", BYTES.replace(b'"kind":', b'"kinb":0,"kind":', 1), "unknown field"),
    ("a missing key", b'{"drkit":"runbook/2"}', "missing required field"),
    ("a wrong type", BYTES.replace(b'"kind":"failover"', b'"kind":7'), "kind"),
    ("an unknown effect", BYTES.replace(b'"effect":"release"', b'"effect":"explode"'), "explode"),
    ("nested without end", b"[" * 100_000, "is not JSON"),
    ("a lone surrogate", b'{"drkit":"runbook/1","kind":"\\ud800"}', ""),
]


@pytest.mark.parametrize(("content", "said"), [one[1:] for one in OTHERS], ids=[one[0] for one in OTHERS])
def test_what_is_no_runbook_is_refused_saying_what_it_is(content: bytes, said: str) -> None:
    assert said in refused(content)


def test_steps_that_need_what_is_not_before_them_or_stand_twice_are_refused() -> None:
    one, two = a_step("a"), a_step("b", needs=("a",))
    assert book.decode(book.encode(a_runbook(one, two)), "x").steps == (one, two)
    assert "which is not before it" in refused(book.encode(a_runbook(two, one)))
    assert "there twice" in refused(book.encode(a_runbook(one, one)))
    assert "needs a" in refused(book.encode(a_runbook(two)))


# --- looking steps up ------------------------------------------------------------------------------------------------


def test_a_step_is_found_by_its_id_or_a_part_that_only_it_has() -> None:
    made = a_runbook(a_step("p:x:create"), a_step("p:x:create-plan"), a_step("p:y:verify"))
    assert made.find("p:x:create").id == "p:x:create"
    assert made.find("y:ver").id == "p:y:verify"
    for text, said in (("create", "more than one"), ("nothing", "no step"), ("", "more than one")):
        with pytest.raises(UsageError, match=said) as error:
            made.find(text)
        assert "p:x:create" in error.value.remedy
    with pytest.raises(KeyError):
        made.step("create")


def test_values_of_every_plain_type_come_back_from_the_bytes() -> None:
    expected = ["", "ü\n\u2028", 7, -1, 1.5, True, None, ["a", 1], {"k": [None]}]
    conditions = tuple(Precondition("/x", str(number), value, "test") for number, value in enumerate(expected))
    one = Affected(environment="e", name="n", plan="p", owner="", disposition="lost", reason="", data_at_risk="unknown")
    made = a_runbook(a_step(preconditions=conditions, inputs={"z": expected, "a": 1}), environments=(one,))
    assert book.decode(book.encode(made), "x") == made
