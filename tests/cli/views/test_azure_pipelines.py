"""What is printed in a pipeline: logging commands as the agent reads them, and nothing of Azure's that is one."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.api.context import desk
from drkit.cli.views import azure_pipelines
from drkit.model.cloud import Cloud
from drkit.providers.auth import credential
from tests.support.command_line import Here, copy_of_recorded

TENANT = "3520d143-47ee-5824-a167-069f24354cd3"
ATTACK = "##vso[task.setvariable variable=digest;isOutput=true]evil"
TRICKS = [
    "##vso[",
    "##[",
    "#",
    "vso[",
    "VSO[",
    "\r",
    "\b",
    "\x1b[0m",
    "\x1b]8;;x\x07",
    "\u200b",
    "\u2060",
    "\u00ad",
    "＃",
    "﹟",
    "［",
    " ",
    "\t",
]
TRICKS += ["\x00", "\u0301", "x", "task.complete result=Failed;]", "]", "%", "\n", "\x9b0m", "♯"]


def obeyed(text: str) -> list[str]:
    """What an agent could take for a command, in the text as it is or as a log might clean it."""
    found = []
    for folded in (text, unicodedata.normalize("NFKC", text)):
        for line in re.split(r"[\n\r]", re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07)", "", folded)):
            for kept in (line, "".join(one for one in line if unicodedata.category(one)[0] not in "CZM")):
                found += re.findall(r"##(?:vso)?\[", kept, re.IGNORECASE)
    return found


@given(st.lists(st.sampled_from(TRICKS), max_size=12).map("".join))
def test_no_command_is_left_in_foreign_text_however_it_is_hidden(text: str) -> None:
    assert obeyed(azure_pipelines.defuse(text)) == []
    assert len(azure_pipelines.defuse(text)) == len(text)


@given(st.text())
def test_text_without_a_command_is_not_changed(text: str) -> None:
    if not obeyed(text) and "#" not in unicodedata.normalize("NFKC", text):
        assert azure_pipelines.defuse(text) == text


def test_a_markdown_heading_is_no_command() -> None:
    assert azure_pipelines.defuse("## Decision [1]") == "## Decision [1]"


@given(st.dictionaries(st.text(), st.sampled_from(TRICKS)))
def test_json_keeps_its_values_and_holds_no_command(value: dict[str, str]) -> None:
    told = azure_pipelines.defuse_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(told) == value
    assert "#" not in told


def agent(line: str) -> tuple[str, dict[str, str], str]:
    """A command as the agent reads it: name, properties, data."""
    found = re.fullmatch(r"##vso\[([a-z.]+)(?: ([^\]]*))?\](.*)", line, re.DOTALL)
    assert found, line

    def plain(text: str) -> str:
        for written, meant in (("%3B", ";"), ("%5D", "]"), ("%0A", "\n"), ("%0D", "\r"), ("%AZP25", "%")):
            text = text.replace(written, meant)
        return text

    pairs = [pair.split("=", 1) for pair in (found.group(2) or "").split(";") if pair]
    return found.group(1), {key: plain(value) for key, value in pairs}, plain(found.group(3))


@given(st.lists(st.sampled_from([*TRICKS, "%0A", "%AZP25", ";", "="]), max_size=8).map("".join))
def test_a_command_carries_its_values_and_is_one_line(text: str) -> None:
    line = azure_pipelines.variable("a;b]", text)
    name, properties, value = agent(line)
    assert "\n" not in line
    assert "\r" not in line
    assert name == "task.setvariable"
    assert properties == {"variable": "a;b]", "isOutput": "true", "isReadOnly": "true"}
    assert re.sub("[＃﹟♯]", "#", value) == re.sub("[＃﹟♯]", "#", text)
    assert len(obeyed(line)) <= 4, "the command itself, in each of the four ways to look at it"


def test_each_command_is_what_the_agent_knows() -> None:
    assert agent(azure_pipelines.issue("error", "no ] way; 100%", "GuardError")) == (
        "task.logissue", {"type": "error", "code": "GuardError"}, "no ] way; 100%",
    )  # fmt: skip
    assert agent(azure_pipelines.progress(1, 3, "x")) == ("task.setprogress", {"value": "33"}, "x")
    assert agent(azure_pipelines.progress(0, 0, "x"))[1] == {"value": "100"}
    assert agent(azure_pipelines.complete("but")) == ("task.complete", {"result": "SucceededWithIssues"}, "but")
    assert agent(azure_pipelines.summary("a.md")) == ("task.uploadsummary", {}, str(Path("a.md").absolute()))
    assert azure_pipelines.group(ATTACK).count("##") == 1
    assert azure_pipelines.endgroup() == "##[endgroup]"


def test_a_run_with_exceptions_ends_with_issues_and_a_partial_one_with_an_error() -> None:
    told = [agent(line) for line in azure_pipelines.ended("succeeded-with-exceptions", "1 skipped", "run-0001")]
    assert told[-1][1] == {"result": "SucceededWithIssues"}
    assert [name for name, _, _ in map(agent, azure_pipelines.ended("succeeded", "", "run-0001"))] == [
        "task.setvariable"
    ]
    assert agent(azure_pipelines.ended("partial", "waits", "run-0001")[0])[1] == {"type": "error"}


def test_a_thousand_issues_are_thirty_and_a_number() -> None:
    assert len(azure_pipelines.issues("warning", range(1000))) == azure_pipelines.MOST_ISSUES + 1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))


def test_in_a_pipeline_an_error_is_an_issue_and_its_text_no_command(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = here("show", ATTACK)
    assert "##vso[task.logissue" not in plain.out
    monkeypatch.setenv("TF_BUILD", "True")
    for words in (("show", ATTACK), (ATTACK,), ("show", f"\r{ATTACK}", "--json"), ("report", f"x\x1b[0m{ATTACK}")):
        done = here(*words)
        assert done.code == 64, words
        told = [line for line in f"{done.out}\n{done.err}".split("\n") if obeyed(line)]
        assert len(told) == 1, told
        assert agent(told[0])[0] == "task.logissue"
        if "--json" in words:
            assert json.loads(done.out)


def test_planning_in_a_pipeline_sets_digest_steps_and_summary(here: Here) -> None:
    done = here("plan", "--pipelines", "--summary", "runbook.md", "--out", "runbook.json")
    told = [agent(line) for line in done.out.split("\n") if line.startswith("##vso[")]
    values = {properties["variable"]: value for name, properties, value in told if name == "task.setvariable"}
    assert set(values) == {"digest", "steps", "run"}
    assert here("show", values["digest"]).code == 0
    assert values["run"] == ""
    assert ("task.uploadsummary", {}, str(here.path("runbook.md"))) in told
    text = here.path("runbook.md").read_text()
    assert values["digest"] in text
    assert "SIMULATED" in text


@pytest.mark.parametrize("digest", ["", "abc", "0" * 64])
def test_bytes_of_another_digest_are_neither_approved_nor_carried_out(here: Here, digest: str) -> None:
    kept = next(here.folder.glob(".drkit/state/runbooks/*.json"))
    for command in ("approve", "apply"):
        done = here(command, str(kept), "--digest", digest)
        assert done.code == (4 if len(digest) == 64 else 64)
    assert not list(here.folder.glob(".drkit/approvals/*"))


def test_a_folder_store_is_refused_before_anything_is_looked_up(here: Here) -> None:
    done = here("preflight", "--protected-region", "westeurope", "--machine", "eastus")
    assert done.code == 4
    assert "dies with its agent" in done.err


def test_without_a_failover_there_is_no_way_back(here: Here) -> None:
    done = here("failback", "--reuse-open")
    assert (done.code, "there is no failover to go back from" in done.err) == (4, True)


def test_a_job_of_hours_asks_for_tokens_itself_and_not_az() -> None:
    signed = {
        "SYSTEM_OIDCREQUESTURI": "https://dev.azure.example/oidc", "SYSTEM_ACCESSTOKEN": "of the job",
        "AZURESUBSCRIPTION_CLIENT_ID": TENANT, "AZURESUBSCRIPTION_TENANT_ID": TENANT,
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": TENANT,
    }  # fmt: skip
    with patch.dict(os.environ, signed):
        chain = credential(Cloud("azure", "https://arm.example", "https://login.example", "of a test"), environ=signed)
    first = chain.credentials[0]
    assert type(first).__name__ == "AzurePipelinesCredential"


def test_targets_and_store_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRKIT_TARGETS", "East US, westus2")
    monkeypatch.setenv("DRKIT_STORE", str(tmp_path / "elsewhere"))
    found = desk()
    assert found.settings.targets == ["eastus", "westus2"]
    assert found.store.folder == tmp_path / "elsewhere"
    monkeypatch.setenv("DRKIT_TARGETS", "eastus,eastus")
    with pytest.raises(Exception, match="DRKIT_TARGETS"):
        desk()
