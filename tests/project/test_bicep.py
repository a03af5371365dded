"""bicep/ under the real compiler: no diagnostic, canonical form, what a deployment would do, and that doing it twice changes nothing."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.resource.resources import ResourceManagementClient

from drkit.model import roles
from tests.benchmarks import bicep_age
from tests.project import bicep_compiler
from tests.project.bicep_compiler import copied, parameters, snapshot
from tests.support.estates import SUBSCRIPTION, World, seed
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
SETS = ("main", "full")
UNKNOWN = re.compile(r"\[.*\]$", re.DOTALL)
SCOPE = re.compile(r"guid\('([^']+)'")
"""A grant to an identity made in the same deployment is named by its scope first."""


@pytest.fixture(scope="session")
def compiler() -> str:
    found = bicep_compiler.found()
    if found is None:
        pytest.skip("the Bicep compiler is neither on the PATH nor in ../shared/tools")
    return found


def complaints(compiler: str, path: Path) -> list[str]:
    """Every diagnostic of any level."""
    done = bicep_compiler.run(compiler, "build", path, "--stdout", "--diagnostics-format", "sarif")
    found = json.loads(done.stderr[done.stderr.index("{") :]) if "{" in done.stderr else {"runs": []}
    return [f"{one['ruleId']}: {one['message']['text']}" for run in found["runs"] for one in run["results"]]


def test_there_is_no_diagnostic_of_any_level(compiler: str) -> None:
    assert complaints(compiler, ROOT / "bicep/main.bicep") == []
    assert bicep_compiler.run(compiler, "build-params", ROOT / "bicep/main.bicepparam", "--stdout").returncode == 0


def test_one_diagnostic_is_suppressed_and_says_why() -> None:
    found = [
        (lines[number - 1], line)
        for path in (ROOT / "bicep").rglob("*.bicep")
        for lines in [path.read_text("utf-8").splitlines()]
        for number, line in enumerate(lines)
        if "#disable" in line
    ]
    assert [line for _, line in found] == ["#disable-next-line BCP081"]
    assert found[0][0].startswith("// The service and its resource type have retired")


def test_every_file_is_in_canonical_form(compiler: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    done = bicep_compiler.run(compiler, "format", "--pattern", "./**/*.bicep*", cwd=folder)
    assert done.returncode == 0, done.stderr
    for path in (*folder.rglob("*.bicep"), *folder.rglob("*.bicepparam")):
        assert path.read_text("utf-8") == (ROOT / path.relative_to(folder)).read_text("utf-8"), path


def test_every_parameter_is_described_as_in_azure_verified_modules() -> None:
    for path in (ROOT / "bicep").rglob("*.bicep"):
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines):
            if not line.startswith("param "):
                continue
            above = number - 1
            while lines[above].startswith("@") and not lines[above].startswith("@description"):
                above -= 1
            assert re.match(r"@description\('(Required|Optional|Conditional)\. ", lines[above]), f"{path}: {line}"


@pytest.mark.parametrize("name", SETS)
def test_a_deployment_would_do_what_was_reviewed(name: str, compiler: str, tmp_path: Path) -> None:
    path = parameters(copied(tmp_path), name)
    shutil.copy(ROOT / f"tests/bicep/{name}.snapshot.json", path.with_suffix("").with_suffix(".snapshot.json"))
    done = snapshot(compiler, path, "--mode", "validate")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_in_a_protected_region_and_no_output_is_secret(name: str) -> None:
    told = json.loads((ROOT / f"tests/bicep/{name}.snapshot.json").read_text("utf-8"))
    protected = {"main": {"westeurope"}, "full": {"westeurope", "eastus"}}[name]
    assert {one.get("location") for one in told["predictedResources"]} & protected == set()
    assert not re.search("listKeys|secret|password|connectionString", json.dumps(told["outputs"]), re.IGNORECASE)
    account = next(one for one in told["predictedResources"] if one["type"] == "Microsoft.Storage/storageAccounts")
    assert account["sku"]["name"] == "Standard_GZRS"
    assert account["properties"]["allowSharedKeyAccess"] is False
    kept = next(one for one in told["predictedResources"] if one["type"].endswith("/immutabilityPolicies"))
    assert "/containers/journal/" in kept["id"]
    assert kept["properties"]["allowProtectedAppendWrites"] is True
    ready = [one for one in told["predictedResources"] if (one.get("tags") or {}).get("drkit-target") == "true"]
    assert {one["location"] for one in ready if one["type"].endswith("/resourceGroups")} == (
        {"uksouth"} if name == "main" else {"southeastasia", "westus2"}
    )


def predicted(name: str, suffix: str) -> list[dict[str, Any]]:
    told = json.loads((ROOT / f"tests/bicep/{name}.snapshot.json").read_text("utf-8"))
    return [one for one in told["predictedResources"] if one["type"].lower().endswith(suffix.lower())]


@pytest.mark.parametrize("name", SETS)
def test_every_container_of_the_store_is_made_and_every_access_to_it_is_logged(name: str) -> None:
    containers = {one["id"].rsplit("/", 1)[-1] for one in predicted(name, "/containers")}
    assert containers == {"state", "inbox", "journal", "approvals"}
    assert containers == {one.container for role in roles.load().values() for one in role.data_actions}
    (settings,) = predicted(name, "/diagnosticSettings")
    logged = {one["category"] for one in settings["properties"]["logs"] if one["enabled"]}
    assert logged == {"StorageRead", "StorageWrite", "StorageDelete"}


def definitions(name: str) -> dict[str, str]:
    """Id of each role definition of drkit's -> its name as people read it."""
    return {
        one["name"]: one["properties"]["roleName"].rpartition(" (")[0] for one in predicted(name, "/roleDefinitions")
    }


@pytest.mark.parametrize(("name", "run_command"), [("main", False), ("full", True)])
def test_what_is_root_on_a_host_is_granted_where_hosts_are_and_nowhere_else(name: str, run_command: bool) -> None:
    known = definitions(name)
    assert ("drkit operator by run command" in known.values()) == run_command
    root = {"drkit operator on hosts", "drkit operator by run command", "drkit prober"}
    where: dict[str, set[str]] = {}
    for one in predicted(name, "/roleAssignments"):
        definition = known.get(one["properties"]["roleDefinitionId"].rsplit("/", 1)[-1], "")
        text = one["id"] if not UNKNOWN.match(one["id"]) else SCOPE.search(one["id"])[1]  # type: ignore[index]
        where.setdefault(definition, set()).add(
            text.partition("/providers/Microsoft.Authorization")[0].rsplit("/", 1)[-1]
        )
    for definition in root:
        assert where.get(definition, set()) <= {"rg-hosts"}, definition
    if run_command:
        assert where["drkit operator on hosts"] == where["drkit operator by run command"] == {"rg-hosts"}
        assert where["drkit operator"] == {"drkit-target-sea", "drkit-target-wus2", "rg-plans"}
        assert where["drkit responder: inbox"] == {"inbox"}


def test_a_planner_may_write_declarations_and_no_messages() -> None:
    known = definitions("full")
    told = [
        (known.get(one["properties"]["roleDefinitionId"].rsplit("/", 1)[-1]), one["properties"].get("condition"))
        for one in predicted("full", "/roleAssignments")
    ]
    conditions = {condition for definition, condition in told if definition == "drkit planner: inbox"}
    (condition,) = conditions
    assert "StringStartsWith 'declarations/'" in condition
    for action in ("write", "add/action"):
        assert f"blobs/{action}'" in condition
    assert {condition for definition, condition in told if definition != "drkit planner: inbox"} == {None}


# three deliberate mistakes


def spoil(path: Path, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")


def test_a_property_that_does_not_exist_is_caught(compiler: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    spoil(folder / "bicep/modules/store.bicep", "allowSharedKeyAccess", "allowSharedKeyAcess")
    assert any("allowSharedKeyAcess" in one for one in complaints(compiler, folder / "bicep/main.bicep"))


def test_a_missing_description_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(tmp_path)
    spoil(folder / "bicep/main.bicep", "@description('Optional. Email addresses to notify of an outage.')\n", "")
    monkeypatch.setattr("tests.project.test_bicep.ROOT", folder)
    with pytest.raises(AssertionError, match="alertEmails"):
        test_every_parameter_is_described_as_in_azure_verified_modules()


@pytest.mark.parametrize("region", ["westeurope", "West Europe"])
def test_a_store_in_the_protected_region_is_caught(region: str, compiler: str, tmp_path: Path) -> None:
    path = parameters(copied(tmp_path), "main")
    spoil(path, "param location = 'northeurope'", f"param location = '{region}'")
    done = snapshot(compiler, path)
    assert done.returncode == 1
    assert "must not be in a protected region" in done.stderr + done.stdout


def test_a_target_that_is_protected_is_caught(compiler: str, tmp_path: Path) -> None:
    path = parameters(copied(tmp_path), "main")
    spoil(path, "region: 'uksouth'", "region: 'westeurope'")
    done = snapshot(compiler, path)
    assert done.returncode == 1
    assert "a target must not be a protected region" in done.stderr + done.stdout


def test_the_age_of_api_versions_is_measured_from_any_folder(compiler: str) -> None:
    # How old they are is for scripts/bench to say; here only that the compiler reads everything, and says nothing else.
    assert all(bicep_age.RULE in line for line in bicep_age.old(compiler))


# deployed twice


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    content = seed()
    for name in ("rg-hosts", "rg-plans"):
        group = {"id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}", "location": "northeurope"}
        content["groups"].append(group)
    running = World(tmp_path, content)
    yield running
    running.stop()


def known(value: Any) -> Any:
    """The same with what Azure gives only while deploying (an identity's principal) replaced by something as stable."""
    if isinstance(value, dict):
        return {key: known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [known(item) for item in value]
    if isinstance(value, str):
        value = value.replace(bicep_compiler.SUBSCRIPTION, SUBSCRIPTION)
        if UNKNOWN.match(value):
            scope, stable = SCOPE.search(value), str(uuid.uuid5(uuid.NAMESPACE_URL, value))
            return f"{scope[1]}/providers/Microsoft.Authorization/roleAssignments/{stable}" if scope else stable
    return value


def deploy(world: World, name: str, without: str = "") -> None:
    """PUT everything that the snapshot predicts, in its order, with the genuine client; ``without``: but what has this in its id."""
    facts = world.facts
    who = ClientSecretCredential(
        facts["tenant"], facts["client_id"], facts["client_secret"], authority=facts["authority"],
        disable_instance_discovery=True, connection_verify=facts["ca_bundle"],
    )  # fmt: skip
    scopes = [f"{facts['arm']}/.default"]
    told = json.loads((ROOT / f"tests/bicep/{name}.snapshot.json").read_text("utf-8"))
    with ResourceManagementClient(
        who, SUBSCRIPTION, base_url=facts["arm"], credential_scopes=scopes, connection_verify=facts["ca_bundle"]
    ) as client:  # fmt: skip
        for one in known(told["predictedResources"]):
            if without and without in one["id"]:
                continue
            body = {
                key: one[key] for key in ("location", "tags", "properties", "sku", "kind", "identity") if key in one
            }
            if one["type"] == "Microsoft.Resources/resourceGroups":
                client.resource_groups.create_or_update(one["id"].rsplit("/", 1)[-1], body)
            else:
                version = one["apiVersion"]
                client.resources.begin_create_or_update_by_id(one["id"], body, api_version=version, polling=False)


@pytest.mark.parametrize("name", SETS)
def test_deploying_twice_changes_nothing(name: str, world: World) -> None:
    def there() -> Any:
        state = world.view("state")
        return {key: sorted(map(json.dumps, state[key])) for key in ("groups", "resources", "roles", "automation")}

    def settled() -> Any:
        deadline = time.monotonic() + PATIENCE
        while any(
            '"provisioningState": "Succeeded"' not in one for one in there()["resources"] if "provisioningState" in one
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return there()

    before = there()
    deploy(world, name)
    once = settled()
    deploy(world, name)
    assert settled() == once
    assert len(once["resources"]) > len(before["resources"]) + 8
    statuses = [one["status"] for one in world.view("record")["requests"] if one["method"] == "PUT"]
    assert set(statuses) <= {200, 201}


def test_deploying_to_an_account_of_an_earlier_version_adds_the_new_container_and_keeps_the_rest(world: World) -> None:
    def containers() -> dict[str, Any]:
        found = {one["id"]: one for one in world.view("state")["resources"] if "/containers/" in one["id"]}
        return {key: value for key, value in found.items() if "/immutabilityPolicies/" not in key}

    deploy(world, "main", without="/containers/inbox")
    before = containers()
    assert len(before) == 3
    deploy(world, "main")
    after = containers()
    assert {key.rsplit("/", 1)[-1] for key in after.keys() - before.keys()} == {"inbox"}
    assert {key: after[key]["properties"] for key in before} == {key: one["properties"] for key, one in before.items()}
