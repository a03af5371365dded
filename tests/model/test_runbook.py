"""A runbook's bytes, its digest, its guards, and what is no runbook."""

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


# --- guards ----------------------------------------------------------------------------------------------------------

WRITING = ("create", "register", "release", "disable")


def verdicts(steps: list[Step], **given: Any) -> dict[str, bool]:
    asked: dict[str, Any] = {"kind": "failover", "source_plans": ["/P"], "lost_regions": ["westeurope"]}
    return {one.name: one.passed for one in book.check(steps=steps, **(asked | given))}


@pytest.mark.parametrize("effect", WRITING)
def test_a_failover_touches_only_what_belongs_to_its_source_plans(effect: str) -> None:
    assert verdicts([a_step(effect=effect, plan="/p")])["only-source-plans"]
    assert not verdicts([a_step(effect=effect, plan="/other")])["only-source-plans"]
    assert verdicts([a_step(effect=effect, plan="/other")], kind="repair")["only-source-plans"]


@pytest.mark.parametrize("kind", ["failover", "repair", "failback", "cleanup"])
def test_deletion_is_for_cleanup_and_failback_of_what_the_linked_run_made(kind: str) -> None:
    step = a_step(effect="delete", target="/X")
    assert verdicts([step], kind=kind, source_plans=[], recorded=["/x"])["no-deletion"] is (
        kind in ("failback", "cleanup")
    )
    assert not verdicts([step], kind=kind, recorded=["/y"])["no-deletion"]


@pytest.mark.parametrize("effect", [*WRITING, "delete", "verify", "ask", "wait"])
def test_low_confidence_and_the_lost_region_stop_writes_and_nothing_else(effect: str) -> None:
    writes = effect in book.WRITES
    assert verdicts([a_step(effect=effect, confidence="low")])["confident-verdicts"] is not writes
    assert verdicts([a_step(effect=effect, confidence="medium")])["confident-verdicts"]
    assert verdicts([a_step(effect=effect, region="westeurope")])["no-write-to-lost-region"] is not writes
    assert verdicts([a_step(effect=effect, region="eastus")])["no-write-to-lost-region"]


def test_a_forced_guard_is_written_down_with_its_reason_and_still_as_not_passed() -> None:
    steps = [a_step(confidence="low")]
    results = book.check(
        kind="repair",
        steps=steps,
        source_plans=[],
        lost_regions=[],
        forced={"confident-verdicts": "seen", "no-deletion": "x"},
    )
    forced = {one.name: (one.passed, one.forced) for one in results}
    assert forced["confident-verdicts"] == (False, "seen")
    assert forced["no-deletion"] == (True, "")
    kept = book.decode(book.encode(a_runbook(*steps, guards=results)), "x")
    assert kept.guards == results
    assert "p:x:create" in next(one.detail for one in kept.guards if one.forced)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_effects_are_counted_in_order_without_the_absent_ones() -> None:
    steps = [a_step("1", "verify"), a_step("2", "create"), a_step("3", "verify")]
    assert list(book.effects(steps).items()) == [("create", 1), ("verify", 2)]


durations = st.lists(st.tuples(st.floats(0, 1000), st.sampled_from(["create", "ask", "verify", "wait"])), max_size=12)


@given(durations, st.integers(1, 5), st.data())
def test_the_forecast_lies_between_the_longest_chain_and_one_after_the_other(
    lengths: list[tuple[float, str]], hands: int, data: st.DataObject
) -> None:
    steps: list[Step] = []
    chain: dict[str, float] = {}
    for number, (seconds, effect) in enumerate(lengths):
        needs = data.draw(st.sets(st.sampled_from([one.id for one in steps]), max_size=2)) if steps else set()
        steps.append(a_step(str(number), effect, needs=tuple(sorted(needs)), estimate=Estimate(1, seconds)))
        chain[str(number)] = seconds + max((chain[need] for need in needs), default=0.0)
    forecast = book.forecast_seconds(steps, hands)
    assert max(chain.values(), default=0.0) <= forecast + 1e-6
    assert forecast <= sum(seconds for seconds, _ in lengths) + 1e-6


def test_many_hands_make_the_forecast_short() -> None:
    steps = [a_step(str(number), estimate=Estimate(1, 60.0)) for number in range(8)]
    assert [book.forecast_seconds(steps, hands) for hands in (1, 2, 8, 100)] == [480, 240, 60, 60]
    assert book.forecast_seconds([], 4) == 0


def test_values_of_every_plain_type_come_back_from_the_bytes() -> None:
    expected = ["", "ü\n\u2028", 7, -1, 1.5, True, None, ["a", 1], {"k": [None]}]
    conditions = tuple(Precondition("/x", str(number), value, "test") for number, value in enumerate(expected))
    one = Affected(environment="e", name="n", plan="p", owner="", disposition="lost", reason="", data_at_risk="unknown")
    made = a_runbook(a_step(preconditions=conditions, inputs={"z": expected, "a": 1}), environments=(one,))
    assert book.decode(book.encode(made), "x") == made


PLAN_THERE = "/subscriptions/0/resourceGroups/gr (a)/providers/Microsoft.VSOnline/plans/Plan-WEU"


@pytest.mark.parametrize(
    "url",
    [
        "https://westeurope.online.visualstudio.com/api/v1/environments",
        "https://WestEurope.online.visualstudio.com",
        f"https://management.azure.com{PLAN_THERE}?api-version=2020-05-26-preview",
        f"https://management.azure.com{PLAN_THERE.upper()}/writeDelegates?a=b",
        "https://management.azure.com/subscriptions/0/resourceGroups/gr%20%28a%29/providers/Microsoft.VSOnline/plans/plan-weu/",
        "https://management.azure.com/subscriptions/0/resourcegroups/gr%20(a)/providers/Microsoft.VSOnline/plans%2Fplan-weu",
    ],
)
def test_what_goes_to_the_lost_plan_or_region_is_known_however_it_is_spelt(url: str) -> None:
    assert book.aims_at_lost(a_runbook(source_plans={PLAN_THERE: "westeurope"}, lost_regions=("westeurope",)), url)


@pytest.mark.parametrize(
    "url",
    [
        "https://eastus.online.visualstudio.com/api/v1/environments",
        "https://westeurope2.online.visualstudio.com/api/v1/environments",
        f"https://management.azure.com{PLAN_THERE}-2/writeDelegates",
        f"https://management.azure.com/x?next={PLAN_THERE}",
        "https://management.azure.com/x?next=https://westeurope.online.visualstudio.com",
    ],
)
def test_what_only_looks_like_the_lost_plan_or_region_is_not(url: str) -> None:
    assert not book.aims_at_lost(a_runbook(source_plans={PLAN_THERE: "westeurope"}, lost_regions=("westeurope",)), url)


def test_where_nothing_is_lost_nothing_aims_there() -> None:
    assert not book.aims_at_lost(
        a_runbook(source_plans={PLAN_THERE: "westeurope"}, lost_regions=()), f"https://management.azure.com{PLAN_THERE}"
    )
