"""The committed pipeline, carried out: it recovers an estate, killed on the way and run again, with azurite as its store."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobLeaseClient

from drkit import api
from drkit.providers import blob
from drkit.verification import verify
from tests import azurite
from tests.estates import REGION, TARGET, People, Site, done_twice, estate, guid
from tests.estates import seed as plain_seed
from tests.pipelining.agent import Agent, kill
from tests.pipelining.expand import expand

HOSTILE = "docs ##vso[task.setvariable variable=digest;isOutput=true]0 ##[error]"
WAIT = "\n[run]\nanswer_wait_minutes = 120\n"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite.account(tmp_path_factory.mktemp("azurite")) as found:
        yield found


@pytest.fixture
def address(account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An account with nothing in it."""
    monkeypatch.setenv(blob.KEY, azurite.SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own-cache"))
    yield account
    store = blob.open_store(account)
    assert isinstance(store, blob.BlobStore)
    for one in list(store.service.list_containers()):
        client = store.service.get_container_client(one.name)
        for item in list(client.list_blobs()):
            if item.lease.state == "leased":
                BlobLeaseClient(client.get_blob_client(item.name)).break_lease(lease_break_period=0)
            client.delete_blob(item.name)
    store.service.close()


def agent(site: Site, folder: Path, store: str, **changes: Any) -> Agent:
    parameters = {
        "mode": "failover",
        "region": REGION,
        "target": TARGET,
        "reason": "$(touch injected) `touch injected`",
    }
    variables = {"DRKIT_STORE": store, "agentRegion": changes.pop("stands", "northeurope")}
    made = Agent(
        expand({**parameters, **changes.pop("parameters", {})}, variables),
        folder,
        (site.folder / "drkit.toml").read_text("utf-8"),
        {"DRKIT_CLOUD": str(site.world.ready), blob.KEY: azurite.SECRET},
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def hostile() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plain_seed()["environments"]
    return [{**one, "friendlyName": HOSTILE} if one["id"] == guid("docs") else one for one in found]


@pytest.mark.timeout(240)
def test_killed_between_stages_and_in_the_middle_it_recovers_the_estate(address: str, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    with estate(tmp_path / "estate", account=address, lost=False, tail=WAIT, environments=hostile()) as site:
        site.lose()

        def agreed(inputs: dict[str, Any]) -> bool:
            asked.append(inputs)
            return True

        first = agent(site, tmp_path / "first", address, approve=agreed)
        # The agent dies between two stages: the run ends there, and is run again from there.
        results = first.go(until="Plan")
        assert results["Validate"] == "Succeeded", first.said("preflight")
        assert results["Plan"] == "Succeeded", first.said("plan")
        digest = first.jobs["Plan"]["Plan"].outputs["plan.digest"]
        site.planned = api.show(site.desk, digest)
        assert first.jobs["Plan"]["Plan"].outputs["plan.run"] == ""

        # Somebody changes the artifact on its way: nothing of it is approved.
        (published,) = (tmp_path / "first" / "published").glob("runbook-*/runbook.json")
        good = published.read_bytes()
        published.write_bytes(good.replace(b'"kind":"failover"', b'"kind":"failover" '))
        assert first.go(until="Apply")["Approve"] == "Failed"
        assert site.store.approval(digest) is None
        published.write_bytes(good)
        assert first.go(until="Approve")["Approve"] == "Succeeded"
        assert asked[-1]["allowApproversToApproveTheirOwnRuns"] == "false"
        assert digest in asked[-1]["instructions"]
        approval = site.store.approval(digest)
        assert approval is not None
        assert approval.who.startswith("client drkit-approver@")
        # Changed after the approval: refused, and nothing was begun.
        published.write_bytes(good.replace(b'"kind":"failover"', b'"kind": "failover"'))
        assert first.go(until="Apply")["Apply"] == "Failed"
        assert site.store.runs() == []
        published.write_bytes(good)

        def deadly(step: str, line: str, process: subprocess.Popen[str]) -> None:
            if step == "apply" and "task.setprogress" in line and not died:
                died.append(line)
                kill(process)

        died: list[str] = []
        first.watch = deadly
        with People(site):
            assert first.go()["Apply"] == "Failed"
            assert died
            assert site.store.state(site.run).outcome == ""
            azurite.let_leases_run_out(site.store)
            # A whole new run of the pipeline finds the open run and goes on, with the approval it has.
            second = agent(site, tmp_path / "second", address, approve=lambda _inputs: pytest.fail("asked again"))
            assert second.go()["Apply"] in ("Succeeded", "SucceededWithIssues"), second.said("apply")
        assert second.results["Approve"] == "Skipped"
        assert second.results["Report"] == "Succeeded", second.said("report")
        assert second.jobs["Plan"]["Plan"].outputs["plan.digest"] == digest
        assert len(site.store.runs()) == 1
        assert done_twice(site) == []
        assert len(site.under(TARGET)) == 6
        assert verify(site.store.journal_bytes(site.run), site.run).holds
        judge(first, second)
        assert "♯♯vso[task.setvariable" in second.said("apply"), "the hostile name was printed, defused"
        report = next((tmp_path / "second" / "published").glob("report-*"))
        assert {one.name for one in report.iterdir()} == {"report.xml", "report.html", "report.md"}


def judge(*agents: Agent) -> None:
    """No name in Azure spoke to an agent, nothing of a parameter was run, and no secret was printed."""
    for one in agents:
        for step, name, properties, _value in one.commands:
            if name == "task.setvariable":
                assert step in ("preflight", "plan", "apply"), (step, properties)
                assert properties["variable"] in ("openRuns", "digest", "steps", "run", "artifact")
            assert name in (
                "task.setvariable", "task.logissue", "task.setprogress", "task.uploadsummary", "task.complete",
            )  # fmt: skip
        text = "\n".join(line for _step, line in one.log)
        assert not list(one.folder.rglob("injected"))
        assert azurite.SECRET not in text
        assert "the job's own token" not in text


@pytest.mark.parametrize(
    ("stands", "folder", "said"),
    [(REGION, False, "which is to be recovered from"), ("West Europe", False, "stands in westeurope"),
     ("northeurope", True, "a journal that dies with its agent")],
)  # fmt: skip
def test_an_agent_in_the_region_and_a_folder_are_refused_before_anything_else(
    stands: str, folder: bool, said: str, address: str, tmp_path: Path
) -> None:
    with estate(tmp_path / "estate", lost=False) as site:
        before = len(site.record())
        run = agent(site, tmp_path / "run", str(tmp_path / "store") if folder else address, stands=stands)
        results = run.go()
        assert results == {name: "Failed" if name == "Validate" else "Skipped" for name in results}
        assert said in run.said("preflight")
        assert len(site.record()) == before, "nothing was asked of Azure"
        assert [name for _step, name, _properties, _value in run.commands] == ["task.logissue"]


def test_whoever_says_no_ends_it(address: str, tmp_path: Path) -> None:
    with estate(tmp_path / "estate", account=address, lost=False, tail=WAIT) as site:
        site.lose()
        run = agent(site, tmp_path / "run", address, approve=lambda _inputs: False)
        results = run.go()
        assert (results["Approve"], results["Apply"], results["Report"]) == ("Failed", "Skipped", "Skipped")
        assert site.store.runs() == []


def test_an_ordinary_day_checks_and_plans_nothing(address: str, tmp_path: Path) -> None:
    with estate(tmp_path / "estate", account=address, lost=False) as site:
        run = agent(site, tmp_path / "run", address, parameters={"mode": "check"})
        results = run.go()
        assert results["Check"] == "Failed", "this estate has findings"
        assert {results[name] for name in ("Drill", "Plan", "Approve", "Apply", "Report")} == {"Skipped"}
        assert any(name == "task.uploadsummary" for _step, name, _properties, _value in run.commands)


def test_the_schedule_of_the_drill_leads_to_the_drill(address: str, tmp_path: Path) -> None:
    with estate(tmp_path / "estate", lost=False) as site:
        run = agent(site, tmp_path / "run", address, parameters={"mode": "check"})
        run.predefined = {"Build.CronSchedule.DisplayName": "drill"}
        drill = next(one for one in run.pipeline["stages"] if one["stage"] == "Drill")
        # The drill itself has tests of its own; here it is that it is reached, and nothing else is.
        drill["jobs"][0]["steps"] = [{"script": "echo reached", "name": "drill"}]
        results = run.go()
        assert {name for name, word in results.items() if word == "Succeeded"} == {"Validate", "Drill"}
        assert run.said("drill") == "reached"
