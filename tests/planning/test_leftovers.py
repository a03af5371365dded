"""What a run leaves behind: journaled when its proof is there, found again when the region returns, never repaired back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.api import apply, report
from drkit.api import plan as plan_
from drkit.model.estate import Capture, Deferred, Environment, Leftover, Plan
from drkit.model.run import RunRecord, RunState, StepState
from drkit.planning import leftovers
from drkit.products.base import Captured
from drkit.survey import returned_records
from tests.model.test_runbook import a_runbook, a_step
from tests.support import round_trip as returning
from tests.support import workers
from tests.support.builders import a_plan, a_vm, hosted, managed, one_lost
from tests.support.estates import BY_HAND, HOSTED, MANAGED, estate, plan_id

SECRET = json.dumps({"Proxy_URL": workers.SECRET})


def test_every_record_left_in_the_lost_plan_is_deferred_and_found_when_it_returns(tmp_path: Path) -> None:
    with estate(tmp_path, leaping=True) as site:
        assert site.planned
        assert returning.carry_out(site, site.planned).outcome == "succeeded", returning.unfinished(site)
        names = {*MANAGED, *HOSTED, BY_HAND}
        told = site.state.deferred
        assert {one.behind.name for one in told.values()} == names
        assert {one.behind.plan for one in told.values()} == {plan_id()}
        assert all(one.now and one.now_plan.endswith("plan-weu-eastus") for one in told.values())
        assert returning.assess(site).zombies == ()
        returning.restore(site)
        found = {one.name: one for one in returning.assess(site).zombies}
        # What `codespaces stop` managed to take back is not there any more; drkit need not know that.
        assert {name for name, one in found.items() if one.state == "alive"} == names
        assert all(one.confirmed and not one.two_plans for one in found.values())
        # Hosts that moved look changed from their old plan; that is nothing to repair.
        book = plan_.plan(site.context).runbook
        assert (book.kind, book.steps) == ("repair", ())
        assert any("failback" in one.remedy for one in book.unchanged)
        assert report.report(site.context)["deferred"]


def test_workers_left_in_the_lost_account_are_deferred_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", SECRET)
    with workers.site(tmp_path, leaping=True) as site:
        workers.lost(site)
        assert workers.apply(site).outcome == "succeeded"
        told = {one.behind.host for one in site.state.deferred.values()}
        assert told == {workers.WEB, workers.CUPBOARD}
        assert all(
            f"{workers.OLD}/hybridRunbookWorkerGroups/linux" in one.behind.id for one in site.state.deferred.values()
        )
        returning.restore(site)
        found = [one for one in returning.assess(site).zombies if one.run]
        assert {one.host for one in found if one.confirmed} == {workers.WEB, workers.CUPBOARD}


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_death_kept_from_the_journal_is_deferred_on_resume(tmp_path: Path, kept: bool) -> None:
    with workers.site(tmp_path, leaping=True) as site, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRKIT_TEST_PROTECTED", SECRET)
        workers.lost(site)
        assert workers.apply(site).outcome == "succeeded"
        path = site.store.journal_path(site.run)
        lines = path.read_bytes().splitlines(keepends=True)
        last = max(number for number, line in enumerate(lines) if json.loads(line)["kind"] == "deferred")
        path.write_bytes(b"".join(lines[: last + kept]))
        assert asyncio.run(apply.resume(site.context)).outcome == "succeeded"
        kinds = [json.loads(line)["kind"] for line in path.read_bytes().splitlines()]
        assert kinds.count("deferred") == 2


def test_a_runbook_says_what_it_leaves_behind() -> None:
    plan, box = a_plan(), a_vm("box")
    book = one_lost(managed("api", plan), hosted("build", plan, box), plan=plan, hosts=[box])
    assert {(one.name, one.host) for one in book.leftovers} == {("api", ""), ("build", box.id)}
    assert {one.proof_steps for one in book.leftovers} == {(one.proof_step,) for one in book.environments}


OLD, NEW = a_plan("old"), a_plan("new", "eastus", "rg-eus")
WORDS = ("Available", "Unavailable", "Shutdown", "Failed", "")


@given(
    st.sampled_from(("managed", "self-hosted")), st.sampled_from(WORDS), st.sampled_from((*WORDS, None)), st.booleans()
)
def test_only_what_answers_elsewhere_and_not_here_is_confirmed(
    kind: str, old: str, new: str | None, read: bool
) -> None:
    def make(plan: Plan, **more: str) -> Environment:
        return managed("api", plan, **more) if kind == "managed" else hosted("api", plan, None, **more)

    was = make(OLD, state=old)
    now = [make(NEW, state=new, id="new")] if new is not None else []
    captures = tuple(Capture(plan.id, "s", "complete" if read else "failed", "t") for plan in (OLD, NEW))
    captured = Captured((OLD, NEW), (was, *now), captures)
    left = Leftover(
        id=was.id, product="codespaces", kind="record", name="api", plan=OLD.id, region="westeurope",
        proof_steps=("f",), environment=was.id,
    )  # fmt: skip
    book = a_runbook(a_step("f", "verify"), leftovers=(left,))
    state = RunState(run="run-0001", steps={"f": StepState("done")})
    state.deferred[was.id.lower()] = Deferred(behind=left, run="run-0001", when="t", now="new", now_plan=NEW.id)
    items = leftovers.open_items([RunRecord("run-0001", book, state)])
    found = [one for one in returned_records.find(captured, items) if one.run]
    assert bool(found) == read
    for one in found:
        usable = bool(now) and returned_records.usable(now[0])
        answers = kind == "self-hosted" and old == "Available"
        assert one.confirmed == (usable and not answers)
        assert one.two_plans == (usable and answers)
