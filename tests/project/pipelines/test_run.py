"""The committed pipeline, carried out: it recovers an estate, killed on the way and run again, with azurite as its store."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from azure.storage.blob import BlobLeaseClient

from drkit.api import plan
from drkit.providers import blob_store
from drkit.store.verify_journal import verify
from tests.project.pipelines.agent import Agent, kill
from tests.project.pipelines.expand import MAIN, expand, files
from tests.project.pipelines.expressions import WrongError
from tests.support import azurite
from tests.support.estates import REGION, TARGET, People, Site, done_twice, estate, guid
from tests.support.estates import seed as plain_seed

HOSTILE = "docs ##vso[task.setvariable variable=digest;isOutput=true]0 ##[error]"
WAIT = "\n[run]\nanswer_wait_minutes = 120\n"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite.account(tmp_path_factory.mktemp("azurite")) as found:
        yield found


@pytest.fixture
def address(account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An account with nothing in it."""
    monkeypatch.setenv(blob_store.KEY, azurite.SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own-cache"))
    yield account
    store = blob_store.open_store(account)
    assert isinstance(store, blob_store.BlobStore)
    for one in list(store.service.list_containers()):
        client = store.service.get_container_client(one.name)
        for item in list(client.list_blobs()):
            if item.lease.state == "leased":
                BlobLeaseClient(client.get_blob_client(item.name)).break_lease(lease_break_period=0)
            client.delete_blob(item.name)
    store.service.close()


class MakeAgent(Protocol):
    """Makes an agent that runs the pipeline; ``changes`` of its parameters, environment and attributes."""

    def __call__(self, site: Site, folder: Path, store: str, **changes: Any) -> Agent: ...


@pytest.fixture
def agent(drkit_folder: Path) -> MakeAgent:
    def make(site: Site, folder: Path, store: str, **changes: Any) -> Agent:
        parameters = {
            "mode": "failover",
            "region": REGION,
            "target": TARGET,
            "reason": "$(touch injected) `touch injected`",
        }
        program = image(site, folder, store, drkit_folder / "drkit")
        constants = {"AGENTREGION": changes.pop("stands", "northeurope"), "DRKIT_IN_IMAGE": str(program)}
        made = Agent(
            expand({**parameters, **changes.pop("parameters", {})}, constants),
            folder,
            (site.folder / "drkit.toml").read_text("utf-8"),
            changes.pop("environment", {}),
        )
        for name, value in changes.items():
            setattr(made, name, value)
        return made

    return make


def image(site: Site, folder: Path, store: str, drkit: Path) -> Path:
    """drkit in the agent's image: it uses the test's cloud and account, and writes down its environment."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "drkit-in-image"
    made.write_text(
        f"""#!/bin/sh
/usr/bin/env >>{shlex.quote(str(folder / "handed"))}
export HOME={shlex.quote(str(folder))} DRKIT_CLOUD={shlex.quote(str(site.world.ready))}
export DRKIT_STORE={shlex.quote(store)} {blob_store.KEY}={azurite.SECRET}
exec {shlex.quote(str(drkit))} "$@"
"""
    )
    made.chmod(0o755)
    return made


def hostile() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plain_seed()["environments"]
    return [{**one, "friendlyName": HOSTILE} if one["id"] == guid("docs") else one for one in found]


@pytest.mark.slow
def test_killed_between_stages_and_in_the_middle_it_recovers_the_estate(
    agent: MakeAgent, address: str, tmp_path: Path
) -> None:
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
        site.planned = plan.show(site.context, digest)
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
        # What the approver reads was printed by a job of the approver's own, before anybody was asked.
        printed = first.said("show")
        shown = [line.strip() for line in site.call("show", digest).stdout.splitlines() if line.strip()]
        assert len(shown) > len(site.planned.runbook.steps)
        assert [line for line in shown if line not in printed and "##" not in line and "kept as" not in line] == []
        assert first.jobs["Approve"]["Show"].outputs["show.digest"] == digest
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
                assert step in ("preflight", "plan", "show", "apply"), (step, properties)
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
    [(REGION, False, "which is to be recovered from"), ("West Europe", False, "is in westeurope"),
     ("northeurope", True, "a journal that dies with its agent")],
)  # fmt: skip
def test_an_agent_in_the_region_and_a_folder_are_refused_before_anything_else(
    stands: str, folder: bool, said: str, agent: MakeAgent, address: str, tmp_path: Path
) -> None:
    with estate(tmp_path / "estate", lost=False) as site:
        before = len(site.record())
        run = agent(site, tmp_path / "run", str(tmp_path / "store") if folder else address, stands=stands)
        results = run.go()
        assert results == {name: "Failed" if name == "Validate" else "Skipped" for name in results}
        assert said in run.said("preflight")
        assert len(site.record()) == before, "nothing was asked of Azure"
        assert [name for _step, name, _properties, _value in run.commands] == ["task.logissue"]


def test_a_rejection_ends_the_pipeline(agent: MakeAgent, address: str, tmp_path: Path) -> None:
    with estate(tmp_path / "estate", account=address, lost=False, tail=WAIT) as site:
        site.lose()
        run = agent(site, tmp_path / "run", address, approve=lambda _inputs: False)
        results = run.go()
        assert (results["Approve"], results["Apply"], results["Report"]) == ("Failed", "Skipped", "Skipped")
        assert site.store.runs() == []


def test_an_ordinary_day_checks_and_plans_nothing(agent: MakeAgent, address: str, tmp_path: Path) -> None:
    with estate(tmp_path / "estate", account=address, lost=False) as site:
        run = agent(site, tmp_path / "run", address, parameters={"mode": "check"})
        results = run.go()
        assert results["Check"] == "Failed", "this estate has findings"
        assert {results[name] for name in ("Drill", "Plan", "Approve", "Apply", "Report")} == {"Skipped"}
        assert any(name == "task.uploadsummary" for _step, name, _properties, _value in run.commands)


def test_the_schedule_of_the_drill_leads_to_the_drill(agent: MakeAgent, address: str, tmp_path: Path) -> None:
    with estate(tmp_path / "estate", lost=False) as site:
        run = agent(site, tmp_path / "run", address, parameters={"mode": "check"})
        run.predefined = {"Build.CronSchedule.DisplayName": "drill"}
        drill = next(one for one in run.pipeline["stages"] if one["stage"] == "Drill")
        # The drill itself has tests of its own; here it is that it is reached, and nothing else is.
        drill["jobs"][0]["steps"] = [{"script": "echo reached", "name": "drill"}]
        results = run.go()
        assert {name for name, word in results.items() if word == "Succeeded"} == {"Validate", "Drill"}
        assert run.said("drill") == "reached"


# Each does something when it reaches the process that it is meant for; none may.
SET = {
    "PACKAGE": "evil", "DRKIT_STORE": "https://evil.example", "DRKIT_CLOUD": "/evil.json", "DRKIT_TARGETS": "evil",
    "DRKIT": "/evil", "DRKIT_IN_IMAGE": "/evil", "DRKIT_TRACEBACK": "1", "AGENTREGION": "evil", "MODE": "evil", "REGION": "evil",
    "BASH_ENV": "$(touch injected)", "ENV": "$(touch injected)", "PS4": "$(touch injected)", "SHELLOPTS": "xtrace",
    "LD_PRELOAD": "/evil.so", "NODE_OPTIONS": "--require /evil.js", "PYTHONPATH": "/evil", "PYTHONSTARTUP": "/evil", "PYTHONHOME": "/evil",
    "PATH": "/evil", "HOME": "/evil", "XDG_CONFIG_HOME": "/evil", "HTTPS_PROXY": "http://evil.example", "ALL_PROXY": "http://evil.example",
    "REQUESTS_CA_BUNDLE": "/evil.pem", "SSL_CERT_FILE": "/evil.pem", "PIP_INDEX_URL": "https://evil.example", "PIP_CONFIG_FILE": "/evil",
    "AZURE_CLIENT_SECRET": "evil", "AZURE_AUTHORITY_HOST": "https://evil.example", "approvers": "evil", "environment": "evil",
    "pool": "evil", "plannerPool": "evil", "operatorConnection": "evil", "drkit_program": "evil", "LOGNAME": "evil",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SET))
def test_a_pipeline_that_sets_a_variable_is_refused(name: str) -> None:
    texts = files()
    texts[MAIN] = texts[MAIN].replace("resources:\n", f"variables:\n  - name: {name}\n    value: evil\nresources:\n")
    with pytest.raises(WrongError, match=f"unexpected value {name}"):
        expand(given=texts)


@pytest.mark.parametrize(
    "name", ["approvers", "environment", "pool", "plannerPool", "operatorConnection", "variables", "package", "drkit"]
)
def test_a_pipeline_that_gives_another_parameter_is_refused(name: str) -> None:
    texts = files()
    texts[MAIN] = texts[MAIN].replace("    reason: ${{", f"    {name}: evil\n    reason: ${{{{")
    with pytest.raises(WrongError, match="unknown parameters"):
        expand(given=texts)


def test_what_is_chosen_changes_neither_who_approves_nor_where_it_runs_nor_what_is_installed() -> None:
    chosen = ("MODE", "REGION", "DRKIT_TARGETS", "DECLARE_LOST", "REASON")

    def fixed(pipeline: dict[str, Any]) -> Any:
        for stage in pipeline["stages"]:
            stage.pop("condition", None)
            for job in stage["jobs"]:
                job["variables"] = [one for one in job.get("variables", []) if one["name"] not in chosen]
                for step in job.get("steps", []):
                    step.pop("continueOnError", None)
        return pipeline["stages"]

    plain = fixed(expand())
    words = "x'; $(System.AccessToken) ${{ variables.x }} `id` ##vso[task.prependpath]/evil\n"
    other = expand({"mode": "failover", "region": words, "target": words, "reason": words, "declareLost": "true"})
    jobs = [job for stage in other["stages"] for job in stage["jobs"]]
    assert "$(" not in str([one["value"] for job in jobs for one in job.get("variables", []) if one["name"] in chosen])
    assert fixed(other) == plain


def test_variables_that_no_template_sees_reach_no_drkit_and_run_nothing(
    agent: MakeAgent, address: str, tmp_path: Path
) -> None:
    """Of a group, or of a run that was queued: the agent hands them to every script."""
    with estate(tmp_path / "estate", account=address, lost=False) as site:
        run = agent(site, tmp_path / "run", address, parameters={"mode": "check"})
        run.predefined = {name: value for name, value in SET.items() if name != "SHELLOPTS"}
        results = run.go()
        assert results["Validate"] == "Succeeded", run.said("preflight")
        assert results["Check"] == "Failed", "this estate has findings"
        assert "would stop" in run.said("check") or "error" in run.said("check")
        handed = dict(line.partition("=")[::2] for line in (tmp_path / "run/handed").read_text().splitlines())
        assert "evil" not in str(handed)
        assert set(handed) <= {
            "HOME", "PATH", "LANG", "TF_BUILD", "DRKIT_TARGETS", "HTTPS_PROXY", "NO_PROXY", "PWD", "SHLVL", "_", "OLDPWD",
            "SYSTEM_ACCESSTOKEN",
            "AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_TENANT_ID", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
        }  # fmt: skip
        assert handed["DRKIT_TARGETS"] == TARGET
        assert not list(tmp_path.rglob("injected"))
