"""The drill, as somebody types it: what it prints, what it found, and that the same seed tells the same story."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from drkit import products
from drkit.api import plan as plan_
from drkit.api.context import desk
from drkit.drills.simulate import seed_of
from drkit.model import runbook, summary
from drkit.model.estate import Assessment, Snapshot
from drkit.model.runbook import Runbook
from drkit.simulator import sample_seed
from drkit.simulator.core.routing import routes
from drkit.store.store import Store
from tests.drills import asked_routes
from tests.project import pages
from tests.support import chromium, forked, permissions
from tests.support import command_line as cli_support
from tests.support.patience import PATIENCE

KEYS = {
    "outcome", "lost_region", "target_regions", "environments", "hosts", "rto_seconds", "objective_seconds", "calls",
    "throttled", "writes_before_approval", "run", "report",
}  # fmt: skip
VERDICTS = {
    "vm-orders-build": "transparent",
    "vm-payments-dev": "transparent-with-interruption",
    "vm-mobile-ci": "no-failover",
    "vm-search-weu": "region-lost",
    "vm-registry-weu": "region-lost",
    "vm-bastion-weu": "region-lost",
    "vm-legacy-erp": "host-lost",
    "vm-genome-lab": "re-register",
    "vm-climate-sim": "re-register",
    "vm-billing-batch": "re-register",
    "vm-thesis-box": "undetermined stopped",
    "rack-4-node-2": "undetermined no-witness",
    "lab-microscope-7": "no-failover",
    "vm-deploy-agent": "no-failover",
}
WRITTEN = ("write", "delete")
ARM = "https://management.azure.com"
WIDTHS = (360, 768, 900, 1440)


def drill(folder: Path, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": str(columns), "DRKIT_CLOUD": "/nowhere/cloud.json"}
    return forked.run(["drill", "--store", str(folder), *arguments], cwd=Path.cwd(), env=environment)


def found_in(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("drill")
    return folder, found_in(drill(folder, "--json"))


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The same drill once more, as people see it."""
    folder = tmp_path_factory.mktemp("printed")
    return folder, drill(folder, columns=pages.COLUMNS)


def assessments(folder: Path) -> list[Assessment]:
    paths = sorted((folder / "store" / "state" / "assessments").glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Assessment) for path in paths]


def runbooks(folder: Path) -> dict[str, Runbook]:
    store = Store(folder / "store")
    return {run: store.runbook(store.state(run).runbook)[0] for run in store.runs()}


def test_the_json_has_the_promised_keys_and_its_counts_add_up(sample: tuple[Path, dict[str, Any]]) -> None:
    _, found = sample
    assert set(found) == KEYS
    numbers = found["environments"]
    assert numbers["total"] == sum(numbers[word] for word in ("recovered", "needs_person", "waiting", "lost"))
    assert found["outcome"] == "succeeded-with-exceptions"
    assert found["lost_region"] == "westeurope"
    assert found["writes_before_approval"] == 0
    assert 0 < found["rto_seconds"] < found["objective_seconds"]
    assert set(found["calls"]) == {"read", "write", "probe"}
    assert found["run"] == "run-0003"
    assert Path(found["report"]).is_file()


def test_nothing_recoverable_is_unrecovered(sample: tuple[Path, dict[str, Any]]) -> None:
    _, found = sample
    assert found["environments"] == {"total": 30, "recovered": 23, "needs_person": 3, "waiting": 0, "lost": 4}


def test_every_host_has_the_verdict_its_story_deserves(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, found = sample
    first = assessments(folder)[0]
    told = {one.host.rsplit("/", 1)[-1]: f"{one.outcome} {one.reason}".strip() for one in first.hosts}
    assert {name: told[name] for name in VERDICTS} == VERDICTS
    assert all(word == "no-failover" for name, word in told.items() if name not in VERDICTS)
    assert sum(found["hosts"].values()) == len(first.hosts)


def test_each_thing_is_made_once_by_the_runs_of_the_drill(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = sample
    done: dict[str, int] = {}
    store = Store(folder / "store")
    for run in store.runs():
        for record in store.records(run):
            if record.kind == "done" and record.step.endswith((":create", ":create-plan", ":register")):
                done[record.step] = done.get(record.step, 0) + 1
    assert done
    assert set(done.values()) == {1}


def test_the_first_run_was_killed_and_taken_over(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = sample
    kinds = [record.kind for record in Store(folder / "store").records("run-0001")]
    assert "taken-over" in kinds
    assert kinds.count("ended") == 1


def test_what_somebody_else_changed_was_stopped_and_planned_again(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = sample
    drifted = [record for record in Store(folder / "store").records("run-0001") if record.kind == "drifted"]
    assert len(drifted) == 1
    assert "orders-build" in drifted[0].step
    assert any("orders-build" in step.id for step in runbooks(folder)["run-0003"].steps)


def test_the_runbooks_are_canonical(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = sample
    for path in (folder / "store" / "state" / "runbooks").glob("*.json"):
        content = path.read_bytes()
        assert runbook.encode(runbook.decode(content, str(path))) == content
        assert runbook.digest(content) == path.stem


def story(folder: Path) -> Mapping[str, Any]:
    """What must be equal between two drills of one seed: ids, verdicts, steps with order and reasons, outcomes."""
    first, *_ = assessments(folder)
    return {
        "verdicts": [(one.host, one.outcome, one.reason, one.rule) for one in first.hosts],
        "plans": [(one.plan, one.state) for one in first.plans],
        "steps": {
            run: [(step.id, step.reason, step.needs, step.wave) for step in book.steps]
            for run, book in runbooks(folder).items()
        },
        "outcomes": {run: Store(folder / "store").state(run).outcome for run in runbooks(folder)},
    }


def test_two_drills_with_one_seed_have_the_same_results(
    sample: tuple[Path, dict[str, Any]], printed: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    assert story(printed[0]) == story(sample[0])
    for run in runbooks(sample[0]):
        told = [json.loads((folder / f"report-{run}.json").read_text("utf-8")) for folder in (printed[0], sample[0])]
        same = ("outcome", "environments", "lost_regions")
        assert {key: told[0][key] for key in same} == {key: told[1][key] for key in same}


def fits(folder: Path, answer: subprocess.CompletedProcess[str], columns: int) -> None:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = answer.stdout.splitlines()
    # How often progress is told depends on the machine.
    assert len([line for line in lines if " min later " not in line]) <= 74
    folder_lines = [line for line in lines if str(folder) in line]
    assert all(len(line) <= columns for line in lines if line not in folder_lines)
    assert "SIMULATED" in answer.stdout
    assert "$ drkit snapshot" in lines
    assert not answer.stderr


def test_what_it_prints_fits_and_is_the_picture_of_the_readme(
    printed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, answer = printed
    fits(folder, answer, pages.COLUMNS)
    shown = pages.told(pages.PICTURE.read_text("utf-8"))
    assert pages.steady(answer.stdout) == pages.steady(shown), "draw the README's picture anew with scripts/pages"


def test_a_region_without_plans_is_refused_with_the_regions_that_have_some(tmp_path: Path) -> None:
    answer = drill(tmp_path, "--lose", "uksouth")
    assert answer.returncode == 4
    assert "eastus" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unknown_region_is_refused(tmp_path: Path) -> None:
    answer = drill(tmp_path, "--lose", "atlantis")
    assert answer.returncode in (4, 64)
    assert "Traceback" not in answer.stderr


def still_there(folder: Path) -> list[str]:
    """The command lines of processes that work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode("utf-8", "replace").replace("\0", " ")
            if str(folder) in words:
                found.append(words)
    return found


def begun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "drkit", "drill", "--store", str(folder), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked up in /proc")
def test_a_drill_that_is_stopped_leaves_nothing_running(tmp_path: Path) -> None:
    process = begun(tmp_path)
    assert process.stdout
    while not process.stdout.readline().startswith("$ drkit resume"):
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, "Traceback" in err) == (143, False), err
    assert still_there(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked up in /proc")
def test_a_drill_that_is_killed_leaves_no_simulator_running(tmp_path: Path) -> None:
    process = begun(tmp_path)
    assert process.stdout
    while not process.stdout.readline().startswith("$ drkit assess"):
        assert process.poll() is None
    assert any(" simulate " in one for one in still_there(tmp_path))
    process.kill()
    process.communicate(timeout=PATIENCE)
    until = time.monotonic() + PATIENCE
    while still_there(tmp_path):
        assert time.monotonic() < until, still_there(tmp_path)
        time.sleep(0.05)
    assert not (tmp_path / "cloud.json").exists(), "it ended tidily"


def test_a_drill_that_keeps_the_simulator_prints_its_result_first(tmp_path: Path) -> None:
    process = begun(tmp_path, "--keep", "--json", "--lose", "southeastasia")
    assert process.stdout
    told = ""
    while not told.endswith("\n}\n"):
        line = process.stdout.readline()
        assert line, process.communicate()
        told += line
    assert set(json.loads(told)) == KEYS
    assert (tmp_path / "cloud.json").exists()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "")
    assert "az login" in err
    assert not (tmp_path / "cloud.json").exists()


def test_its_folder_may_be_a_relative_path_and_a_wide_terminal_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = drill(Path("here"), "--lose", "southeastasia", columns=140)
    fits(tmp_path, answer, 140)
    assert list((tmp_path / "here" / "store" / "journal").glob("run-*.jsonl"))


@pytest.mark.parametrize("speed", ["0", "nan", "61"])
def test_a_speed_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, speed: str) -> None:
    answer = drill(tmp_path / "drill", "--speed", speed)
    assert answer.returncode == 64
    assert "--speed" in answer.stderr
    assert not (tmp_path / "drill").exists()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = drill(tmp_path / "file")
    assert answer.returncode == 64
    assert f"{tmp_path / 'file'}: cannot be made a folder" in answer.stderr.replace("\n", " ")


def test_a_captured_estate_is_drilled_with_its_own_ids_there_and_back(
    sample: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = sample
    estate = folder / "store" / "state" / "snapshots" / "000001.json"
    told = drill(tmp_path, "--estate", str(estate), "--lose", "East US", "--with-failback")
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads((tmp_path / "report-run-0001.json").read_text("utf-8"))
    assert found["lost_regions"] == ["eastus"]
    assert found["outcome"].startswith("succeeded")
    assert found["environments"]["waiting"] == 0
    made = [record for record in Store(tmp_path / "store").records(found["run"]) if record.kind == "done"]
    created = sum(record.step.endswith(":create") and record.step.startswith("codespaces:") for record in made)
    assert f"{created} environments made" in " ".join(told.stdout.split())
    taken = msgspec.json.decode(estate.read_bytes(), type=Snapshot)
    again = msgspec.json.decode((tmp_path / "store/state/snapshots/000001.json").read_bytes(), type=Snapshot)
    assert {plan.id for plan in again.plans} == {plan.id for plan in taken.plans}
    assert {one.id for one in again.environments} == {one.id for one in taken.environments}
    # The region came back: everybody went home, and nothing that was made for the outage is left.
    said = " ".join(told.stdout.split())
    assert "$ drkit failback run-0001" in said
    assert "$ drkit cleanup run-0002" in said
    assert said.endswith("0 hosts answer to two plans, 0 plans made for the outage left")


def test_a_snapshot_becomes_a_seed_that_keeps_identities() -> None:
    seed = seed_of(msgspec.json.decode(_minimal(), type=Snapshot))
    assert seed["drkit"] == sample_seed(1)["drkit"]
    host = seed["hosts"][0]
    assert host["machine_id"] == "0123456789abcdef0123456789abcdef"
    assert seed["environments"][0]["planId"] == seed["resources"][0]["id"]
    assert seed["people"][0]["owner"] == "t_o"


def _minimal() -> bytes:
    subscription = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
    plan = f"{subscription}/providers/Microsoft.VSOnline/plans/p"
    vm = f"{subscription}/providers/Microsoft.Compute/virtualMachines/vm"
    return json.dumps(
        {
            "drkit": "snapshot/1",
            "made_against": {"arm": "https://x", "tenant": "t"},
            "taken": "2026-11-23T08:00:00Z",
            "plans": [
                {
                    "id": plan, "product": "codespaces", "name": "p", "region": "westeurope",
                    "subscription": "11111111-1111-1111-1111-111111111111", "resource_group": "rg",
                }
            ],
            "environments": [
                {
                    "id": "e1", "product": "codespaces", "plan": plan, "name": "one", "kind": "self-hosted", "owner": "t_o",
                    "host": {"host": vm, "source": "probe", "user": "dev"},
                }
            ],
            "hosts": [
                {
                    "id": vm, "kind": "azure-vm", "name": "vm", "region": "northeurope",
                    "baseline": {"guest": {"machine_id": "0123456789abcdef0123456789abcdef"}},
                }
            ],
        }
    ).encode()  # fmt: skip


def test_the_reports_of_a_drill_are_pages_that_fit_and_say_what_the_json_says(
    sample: tuple[Path, dict[str, Any]], require: Callable[[str], str]
) -> None:
    folder, _ = sample
    runs = sorted(runbooks(folder))
    seen = chromium.look(
        require("chromium"),
        [(folder / f"report-{run}.html", width, False, False) for run in runs for width in WIDTHS],
    )
    for page, run in zip(seen, [run for run in runs for _ in WIDTHS], strict=True):
        told = json.loads((folder / f"report-{run}.json").read_text("utf-8"))
        numbers = told["environments"]
        assert (page.found["out"], page.complaints) == ([], [])
        assert page.found["scroll"] <= page.found["wide"]
        assert "SIMULATED" in page.found["text"]
        assert f"{numbers['recovered']} of {numbers['total']}" in page.found["text"]
        assert all(one["name"] in page.found["text"] for one in told["outcomes"])
        assert told["journal"]["head"] in page.found["text"]
        assert page.found["scripts"] == 0
        assert all(url.startswith("file:") for url in page.requests)
        assert (told["untouched"]["announced"] > 0, told["untouched"]["aimed_there"]) == (True, [])
        cases = ET.parse(folder / f"report-{run}.xml").getroot().iter("testcase")
        assert len(list(cases)) == len(told["steps"]) + len(told["outcomes"])


def test_every_action_of_a_drill_is_granted_by_a_role(sample: tuple[Path, dict[str, Any]]) -> None:
    record = json.loads((sample[0] / "requests.json").read_text("utf-8"))
    assert len(permissions.used(record)) > 20
    assert permissions.missing(record) == []


def test_show_announces_every_write_of_the_drill(sample: tuple[Path, dict[str, Any]]) -> None:
    """Somebody who did not plan the runbooks reads them: what the simulator saw written is among what they were told."""
    folder, _ = sample
    context = desk(config=str(folder / "drkit.toml"), store=str(folder / "store"))
    announced: set[tuple[str, str]] = set()
    for state in [context.store.state(run) for run in context.store.runs()]:
        shown = plan_.show(context, state.runbook)
        # By a runbook of the simulator ARM is at a port; its record has the host that is served there.
        arm = shown.runbook.cloud.arm.rstrip("/")
        for step in shown.described_steps:
            announced |= {(one.method, one.target.replace(arm, ARM).lower()) for one in step.requests}
    record = json.loads((folder / "requests.json").read_text("utf-8"))
    written = {
        (one["method"], f"https://{one['host']}{one['path']}".lower()) for one in record if one["kind"] in WRITTEN
    }
    assert len(written) > 20
    assert written <= announced, written - announced
    assert {method for method, _ in written} == {"PUT", "POST", "DELETE"}


def test_show_prints_every_id_and_a_changed_input(sample: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = sample
    book = max(runbooks(folder).values(), key=lambda one: len(one.steps))
    options = ("--store", str(folder / "store"), "--config", str(folder / "drkit.toml"))

    def shown(book: Runbook) -> str:
        path = folder / "shown.json"
        path.write_bytes(runbook.encode(book))
        done = cli_support.drkit("show", str(path), *options, cwd=folder, COLUMNS="80")
        assert done.code == 0, done.err
        return done.out

    text = shown(book)
    lines = {line.strip() for line in text.splitlines()}
    for step in book.steps:
        for value in (step.target, step.host, step.plan, step.environment):
            assert any(value in line for line in lines), value
    own = desk(config=str(folder / "drkit.toml"), store=str(folder / "store")).settings
    for one in summary.described(book, products.actions(), own):
        assert {f"sends {sent.method} {sent.target}" for sent in one.requests} <= lines, one.id
    step = next(one for one in book.steps if one.action == "create" and one.inputs.get("body", {}).get("seed"))
    other = json.loads(json.dumps(step.inputs))
    other["body"]["seed"]["moniker"] = "https://attacker.example/other"
    changed = [msgspec.structs.replace(one, inputs=other) if one is step else one for one in book.steps]
    found = shown(msgspec.structs.replace(book, steps=tuple(changed)))
    assert "https://attacker.example/other" in found
    assert "https://attacker.example/other" not in text


def test_every_route_of_the_simulator_is_asked_for(sample: tuple[Path, dict[str, Any]]) -> None:
    record: list[dict[str, Any]] = json.loads((sample[0] / "requests.json").read_text("utf-8"))
    asked = {(one["method"], one["route"]) for one in record if one["route"]} | asked_routes.AZ
    text = asked_routes.source()
    idle = [
        f"{route.method} {route.pattern}"
        for route in routes()
        if (route.method, route.pattern) not in asked and not asked_routes.named_in(text, route)
    ]
    assert idle == []
