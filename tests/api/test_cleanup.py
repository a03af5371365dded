"""A cleanup deletes by id what its run left behind, where it is confirmed elsewhere at that very moment, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from drkit.api import apply
from drkit.api import cleanup as cleanup_
from drkit.api import plan as plan_
from drkit.errors import RefusedError, UsageError
from drkit.model import runbook
from tests.support import round_trip as way
from tests.support import workers
from tests.support.command_line import drkit
from tests.support.estates import BY_HAND, HOSTED, MANAGED, NEXT, REGION, TARGET, Site, estate, guid, plan_id

SECRET = json.dumps({"Proxy_URL": workers.SECRET})
NAMES = {*MANAGED, *HOSTED, BY_HAND}


def deletions(site: Site) -> list[str]:
    """What the simulator was asked to delete, and did."""
    return [str(one["path"]) for one in site.record() if one["method"] == "DELETE" and one["status"] in (200, 202, 204)]


def under(site: Site, plan: str) -> set[str]:
    return {one["name"] for one in site.environments() if one["plan"].lower() == plan.lower()}


@pytest.fixture
def protected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", SECRET)


def test_old_records_go_by_id_and_nothing_else(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False, leaping=True) as site:
        assert site.planned
        assert way.carry_out(site, site.planned).outcome == "succeeded"
        way.restore(site)
        # Somebody else made an environment there since, and one record has unpushed work.
        site.world.control("change", id=guid("docs"), patch={"unpushed": True})
        way.assess(site)
        planned = cleanup_.cleanup(site.context, "latest")
        book = planned.runbook
        assert (book.kind, book.source_run) == ("cleanup", "run-0001")
        assert {step.target for step in book.steps if step.effect == "delete"} == {
            guid(name) for name in NAMES - {"docs"}
        }
        kept = [one for one in book.unchanged if one.name == "docs"]
        assert "not pushed" in kept[0].reason
        assert "--discard docs" in kept[0].remedy
        before = {one["id"]: one for one in site.environments() if one["plan"].lower() != plan_id().lower()}
        assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
        assert under(site, plan_id()) == {"docs"}
        after = {one["id"]: one for one in site.environments() if one["plan"].lower() != plan_id().lower()}
        assert after == before
        assert sorted(deletions(site)) == sorted(f"/api/v1/environments/{guid(name)}" for name in NAMES - {"docs"})
        # Its owner says that it may go.
        way.assess(site)
        again = cleanup_.cleanup(site.context, "run-0001", discard={"docs": "it was tried out only"})
        assert [step.target for step in again.runbook.steps if step.effect == "delete"] == [guid("docs")]
        assert way.carry_out(site, again).outcome == "succeeded"
        assert under(site, plan_id()) == set()
        way.assess(site)
        with pytest.raises(RefusedError, match="nothing to do"):
            cleanup_.cleanup(site.context, "run-0001")


def test_a_region_that_goes_again_is_not_written_to(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False, leaping=True) as site:
        assert site.planned
        assert way.carry_out(site, site.planned).outcome == "succeeded"
        way.restore(site)
        way.assess(site)
        planned = cleanup_.cleanup(site.context, "latest")
        site.lose()
        count = len(site.record())
        applied = way.carry_out(site, planned)
        assert applied.outcome == "partial"
        assert {one for _, one, _ in way.unfinished(site)} == {"drifted"}
        assert [
            one for one in site.record()[count:] if one["kind"] in ("write", "delete") and one["method"] != "POST"
        ] == []
        assert deletions(site) == []
        way.restore(site)
        assert way.go_on(site, applied.run).outcome == "succeeded"
        assert under(site, plan_id()) == set()


def test_what_answers_here_or_not_there_is_not_deleted(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False, leaping=True) as site:
        assert site.planned
        assert way.carry_out(site, site.planned).outcome == "succeeded"
        now = {one.behind.name: one.now for one in site.state.deferred.values()}
        way.restore(site)
        way.assess(site)
        planned = cleanup_.cleanup(site.context, "latest")
        # After the approval: one is gone there, and to one record here a machine answers again.
        site.world.control("change", id=now["api"], delete=True)
        site.world.control("change", id=guid("build"), patch={"hosted": False, "state": "Available"})
        applied = way.carry_out(site, planned)
        assert applied.outcome == "partial"
        gone = {guid(name) for name in NAMES} - {one["id"] for one in site.environments()}
        assert gone == {guid(name) for name in NAMES - {"api", "build"}}
        found = {one.name: one for one in way.assess(site).zombies}
        assert not found["api"].confirmed
        assert found["build"].two_plans


def test_workers_records_go_by_rest_and_the_machines_keep_their_extensions(tmp_path: Path, protected: None) -> None:
    with workers.site(tmp_path, leaping=True) as site:
        workers.lost(site)
        assert workers.apply(site).outcome == "succeeded"
        way.restore(site)
        way.assess(site)
        planned = cleanup_.cleanup(site.context, "latest")
        before = way.estate_of(site)
        assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
        after = way.estate_of(site)
        assert after["extensions"] == before["extensions"]
        gone = {one[3] for one in before["workers"] if one[0] == workers.OLD}
        gone -= {one[3] for one in after["workers"] if one[0] == workers.OLD}
        assert gone == {workers.WEB, workers.CUPBOARD}
        assert all("/hybridRunbookWorkers/" in path for path in deletions(site)[-2:])
        assert workers.reported(site)[workers.WEB] == [workers.REPLICA]


def test_a_cleanup_refuses_in_clear_words(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False, leaping=True) as site:
        assert site.planned
        assert way.carry_out(site, site.planned).outcome == "succeeded"
        with pytest.raises(RefusedError, match="older than the end of run-0001"):
            cleanup_.cleanup(site.context, "run-0001")
        way.assess(site)
        with pytest.raises(RefusedError, match="has not returned: it is lost"):
            cleanup_.cleanup(site.context, "run-0001")
        way.restore(site)
        way.assess(site)
        with pytest.raises(UsageError, match="no record"):
            cleanup_.cleanup(site.context, "run-0001", discard={"nobody": "because"})
        with pytest.raises(UsageError, match="needs a reason"):
            cleanup_.cleanup(site.context, "run-0001", discard={"docs": " "})
        with pytest.raises(UsageError, match="there is no run"):
            cleanup_.cleanup(site.context, "run-0009")
        planned = cleanup_.cleanup(site.context, "run-0001")
        assert way.carry_out(site, planned).outcome == "succeeded"
        way.assess(site)
        with pytest.raises(RefusedError, match="is a cleanup itself"):
            cleanup_.cleanup(site.context, "run-0002")


def test_an_edited_cleanup_that_deletes_more_is_refused(tmp_path: Path) -> None:
    with estate(tmp_path, lost_writes_count=False, leaping=True) as site:
        assert site.planned
        assert way.carry_out(site, site.planned).outcome == "succeeded"
        way.restore(site)
        way.assess(site)
        book = cleanup_.cleanup(site.context, "run-0001").runbook
        step = next(one for one in book.steps if one.effect == "delete")
        held = [
            msgspec.structs.replace(one, subject=guid("billing")) if one.subject == step.target else one
            for one in step.preconditions
        ]
        other = msgspec.structs.replace(
            step, id="codespaces:more:delete", target=guid("billing"), preconditions=tuple(held)
        )
        content = runbook.encode(msgspec.structs.replace(book, steps=(*book.steps, other)))
        site.store.keep_runbook(content)
        with pytest.raises(RefusedError, match="no-deletion"):
            asyncio.run(apply.apply(site.context, runbook.digest(content), yes=True))
        assert deletions(site) == []


def test_an_unfinished_run_is_not_cleaned_up_after(tmp_path: Path) -> None:
    with estate(tmp_path, leaping=True) as site:
        assert site.planned
        plan_.approve(site.context, site.planned.digest)
        assert asyncio.run(apply.apply(site.context, site.planned.digest, wait_minutes=0)).outcome == "partial"
        with pytest.raises(RefusedError, match="is unfinished"):
            cleanup_.cleanup(site.context, "run-0001")


def test_the_command_says_what_it_needs(tmp_path: Path) -> None:
    said = drkit("cleanup", "run-0001", "--discard", "docs", cwd=tmp_path)
    assert said.code == 64
    assert "--reason" in said.err
    assert (REGION, TARGET, NEXT) == ("westeurope", "eastus", "westus2")
