"""What a cleanup and a failback may propose at all, whatever was left behind and whatever it looks like now."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.model.estate import Assessment, Deferred, Environment, Leftover, Zombie
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord, RunState, StepState
from drkit.model.runbook import Affected, Runbook
from drkit.planning import cleanup, failback, leftovers
from drkit.planning.leftovers import MovedEnvironment
from drkit.planning.runbook_builder import Provenance
from drkit.products import registry
from drkit.survey import returned_records
from tests.model.test_runbook import a_runbook, a_step
from tests.support.builders import (
    MARK,
    a_plan,
    a_snapshot,
    a_vm,
    an_assessment,
    hosted,
    managed,
    some_settings,
    state_of,
    verdict,
)

HOME = a_plan("home")
STAY = a_plan("stay", "eastus", "rg-eus", tags={"drkit-source": HOME.id})
BOX = a_vm("box")
OUTCOMES = ("no-failover", "re-register", "host-lost", "undetermined")
MADE_FROM = Provenance(snapshot_digest="s", assessment_digest="a", cloud=MARK, drkit_version="0", run="run-0001")


@dataclass(frozen=True)
class Case:
    """One environment that moved: what its old record and its new one look like now."""

    kind: str
    old: str
    new: str
    risk: str
    read: bool
    deferred: bool
    discard: bool
    outcome: str


cases = st.builds(
    Case,
    kind=st.sampled_from(("managed", "self-hosted")),
    old=st.sampled_from(("Available", "Unavailable", "Shutdown", "Failed", "-")),
    new=st.sampled_from(("Available", "Unavailable", "Shutdown", "-")),
    risk=st.sampled_from(("pushed", "unpushed", "unknown")),
    read=st.booleans(),
    deferred=st.booleans(),
    discard=st.booleans(),
    outcome=st.sampled_from(OUTCOMES),
)
STATES = st.sampled_from(("answering", "degraded", "lost", "unreachable", "unknown", "gone"))


def old_of(number: int, case: Case) -> Environment:
    name = f"e{number}"
    if case.kind == "managed":
        return managed(name, HOME, state=case.old, data_at_risk=case.risk)
    return hosted(name, HOME, BOX, state=case.old)


def new_of(number: int, case: Case) -> Environment:
    return msgspec.structs.replace(old_of(number, case), id=f"new-{number}", plan=STAY.id, state=case.new)


def items_of(given_cases: list[Case]) -> list[Deferred]:
    found = []
    for number, case in enumerate(given_cases):
        old = old_of(number, case)
        left = Leftover(
            id=old.id, product="codespaces", kind="record", name=old.name, plan=HOME.id, region=HOME.region,
            proof_steps=("f",), environment=old.id,
        )  # fmt: skip
        if case.deferred:
            found.append(Deferred(behind=left, run="run-0001", when="t", now=f"new-{number}", now_plan=STAY.id))
    return found


def assessed(given_cases: list[Case], state: str) -> Assessment:
    """An assessment of those, its zombies found by the code that finds them."""
    known = [(number, case) for number, case in enumerate(given_cases) if case.read]
    olds = {old_of(number, case).id: old_of(number, case) for number, case in known if case.old != "-"}
    news = {f"new-{number}": new_of(number, case) for number, case in known if case.new != "-"}
    found: list[Zombie] = []
    for one in items_of(given_cases):
        listed = {env.key: env for env in (*olds.values(), *news.values())}
        if given_cases[int(one.behind.name[1:])].read:
            found.append(returned_records._zombie(one, listed))
    outcome = given_cases[0].outcome if given_cases else "no-failover"
    return an_assessment(
        [state_of(HOME, state)],
        [verdict(BOX, outcome)],
        lost_regions=(),
        zombies=tuple(found),
        present=tuple(news.values()),
        present_plans=(STAY,),
    )


def cleaned(given_cases: list[Case], state: str) -> Runbook:
    items = items_of(given_cases)
    thrown = {
        old_of(number, case).id: "it may go"
        for number, case in enumerate(given_cases)
        if case.discard and case.deferred
    }
    return cleanup.cleanup_runbook(
        a_snapshot([HOME]), assessed(given_cases, state), some_settings(), registry(), MADE_FROM, deferred=items,
        made=(), recorded={one.behind.id.lower() for one in items}, discard=thrown,
    )  # fmt: skip


@given(st.lists(cases, max_size=5), STATES)
@settings(max_examples=200)
def test_a_cleanup_deletes_only_what_is_recorded_confirmed_idle_and_pushed(given_cases: list[Case], state: str) -> None:
    book = cleaned(given_cases, state)
    by_id = {old_of(number, case).id: case for number, case in enumerate(given_cases)}
    deleted = [step for step in book.steps if step.effect == "delete"]
    for step in deleted:
        case = by_id[step.target]
        assert case.deferred
        assert case.read
        assert state in ("answering", "degraded")
        assert case.new == "Available" or (case.kind == "managed" and case.new == "Shutdown")
        assert case.kind == "managed" or case.old != "Available"
        assert case.kind == "self-hosted" or case.risk == "pushed" or case.discard
        signals = {(one.subject, one.signal) for one in step.preconditions}
        assert {(HOME.id, "answers"), (step.target, "record")} <= signals
        assert any(signal == "stands" and subject.startswith("new-") for subject, signal in signals)
        assert case.kind == "managed" or (step.target, "idle") in signals
        assert case.kind == "self-hosted" or case.discard or (step.target, "pushed") in signals
    assert {step.effect for step in book.steps} <= {"delete", "verify"}
    # Whatever is not deleted is told of, with the reason.
    told = {one.subject for one in book.unchanged} | {step.target for step in deleted}
    assert told >= {one.behind.id for one in items_of(given_cases)}
    assert all(guard.passed for guard in book.guards)


@given(st.lists(cases, min_size=1, max_size=5), STATES)
@settings(max_examples=200)
def test_a_failback_deletes_only_recorded_records_of_hosts_and_releases_after_reaching(
    given_cases: list[Case], state: str
) -> None:
    items = items_of(given_cases)
    moved = [
        MovedEnvironment(
            environment=old_of(number, case).id, name=f"e{number}", plan=HOME.id, now=f"new-{number}", now_name=f"e{number}",
            now_plan=STAY.id, host=BOX.id if case.kind == "self-hosted" else "", proof_step="f",
        )
        for number, case in enumerate(given_cases)
    ]  # fmt: skip
    book = failback.failback_runbook(
        a_snapshot([HOME], [old_of(number, case) for number, case in enumerate(given_cases)], [BOX]),
        assessed(given_cases, state), some_settings(), registry(), MADE_FROM, moved=moved, back=(),
        origins={ArmId(old_of(number, case).id): old_of(number, case) for number, case in enumerate(given_cases)}, made=(),
        recorded={one.behind.id.lower() for one in items},
    )  # fmt: skip
    recorded = {one.behind.id for one in items}
    for step in book.steps:
        answering = (HOME.id, "answers") in {(one.subject, one.signal) for one in step.preconditions}
        if step.effect in ("create", "release", "register", "delete"):
            assert answering, step.id
        if step.effect == "delete":
            assert step.target in recorded
            assert given_cases[int(step.id.split(":")[1][1])].kind == "self-hosted"
        if step.effect == "release":
            needed = behind_it(book, step.id)
            assert any(one.endswith(":reach") for one in needed)
            assert any(one.endswith(":ready") for one in needed)
    assert all(guard.passed for guard in book.guards)
    # A record that is alive is the environment: nothing is created beside it.
    for number, case in enumerate(given_cases):
        alive = (
            case.kind == "managed"
            and case.deferred
            and case.read
            and case.old in ("Available", "Shutdown", "Unavailable")
        )
        made = [one for one in book.steps if one.action == "create" and one.environment == f"new-{number}"]
        assert not (alive and made)


def behind_it(book: Runbook, step: str) -> set[str]:
    """All that a step rests on."""
    needs = {one.id: one.needs for one in book.steps}
    found, stack = set[str](), [step]
    while stack:
        for need in needs[stack.pop()]:
            if need not in found:
                found.add(need)
                stack.append(need)
    return found


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("defer", "delete", "back"))), max_size=8))
def test_what_was_deleted_or_came_back_is_open_no_more(story: list[tuple[str, str]]) -> None:
    told: list[RunRecord] = []
    expected: set[tuple[str, str]] = set()
    for number, (name, what) in enumerate(story):
        run, state = f"run-{number:04d}", RunState(run=f"run-{number:04d}")
        book = a_runbook()
        if what == "defer":
            left = Leftover(
                id=name,
                product="p",
                kind="record",
                name=name,
                plan="/home",
                region="r",
                proof_steps=(),
                environment=name,
            )
            state.deferred[name] = Deferred(behind=left, run=run, when="t")
            expected.add((run, name))
        elif what == "delete":
            book = a_runbook(a_step("d", "delete", target=name), kind="cleanup")
            state.steps["d"] = StepState("done")
            expected = {one for one in expected if one[1] != name}
        else:
            affected = Affected(
                environment="x", name="x", plan="/stay", owner="", disposition="new-plan", reason="", data_at_risk="pushed",
                proof_step="f",
            )  # fmt: skip
            book = a_runbook(a_step("f", "verify"), kind="failback", environments=(affected,))
            state.steps["f"] = StepState("done", data={"id": name, "plan": "/home", "name": name})
            expected = {one for one in expected if one[1] != name}
        told.append(RunRecord(run, book, state))
    assert {(one.run, one.behind.id) for one in leftovers.open_items(told)} == expected
