"""Automation accounts, worker groups and workers, asked by the genuine SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError

from drkit.errors import FileError
from drkit.simulator.arm.catalog import AUTOMATION
from drkit.simulator.core.seed import build
from drkit.simulator.hybrid_worker.model import GLOBAL_MODULES, HOSTS
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import OTHER_SUB, Running, group_id, seed, vm_id
from tests.support.worker_estate import (
    CUPBOARD,
    GUIDS,
    NEW,
    WORKERS,
    account_id,
    automation,
    estate,
    join,
    url,
    vms,
    wait,
    workers,
)

Fresh = Callable[..., Running]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For tests that leave no trace."""
    running = Running(tmp_path_factory.mktemp("azure"), seed(**estate()))
    yield running
    running.stop()


@pytest.fixture
def azure(fresh: Fresh) -> Running:
    return fresh(**estate())


def refusal(error: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    """Status and code, wrapped in ``error`` by Resource Manager and bare from the provider."""
    response: Any = error.value.response
    body = response.json()
    return error.value.status_code, body.get("error", body)["code"]


# accounts


def test_an_account_names_its_own_regional_service(shared: Running) -> None:
    found = automation(shared).automation_account.get("DEV-WE", "AUTO-WE")
    assert found.location == "westeurope"
    assert found.automation_hybrid_service_url == url("auto-we")
    assert url("auto-we") == (
        f"https://{GUIDS['auto-we']}.jrds.we.azure-automation.net/automationAccounts/{GUIDS['auto-we']}"
    )
    assert (found.state, found.sku.name, found.identity.type) == ("Ok", "Basic", "SystemAssigned")
    assert found.identity.principal_id


def test_a_list_of_accounts_shows_their_times_only(shared: Running) -> None:
    client = automation(shared)
    every = {one.name: one for one in client.automation_account.list()}
    assert set(every) == set(GUIDS)
    assert {one.name for one in client.automation_account.list_by_resource_group("dev-eus")} == {"auto-eus", "auto-dr"}
    assert every["auto-dr"].tags == {"drkit-target": "true"}
    assert every["auto-we"].creation_time is not None
    assert every["auto-we"].automation_hybrid_service_url is None


def test_accounts_are_in_the_generic_list_and_their_workers_are_not(shared: Running) -> None:
    found = shared.resources().resources.list(filter="resourceType eq 'Microsoft.Automation/automationAccounts'")
    assert {one.name for one in found} == set(GUIDS)
    assert not [one for one in shared.resources().resources.list() if "ybridRunbook" in str(one.id)]


def test_an_account_is_made_kept_in_its_region_and_deleted(azure: Running) -> None:
    client = automation(azure).automation_account
    body: Any = {"location": "East US", "properties": {"sku": {"name": "Free"}}, "identity": {"type": "SystemAssigned"}}
    made = client.create_or_update("dev-eus", "auto-new", body)
    again = client.create_or_update("dev-eus", "auto-new", body)
    assert made.automation_hybrid_service_url == again.automation_hybrid_service_url
    assert (made.location, made.sku.name) == ("eastus", "Basic")
    with pytest.raises(HttpResponseError) as error:
        client.create_or_update("dev-eus", "auto-new", {"location": "westus2"})
    assert refusal(error) == (409, "InvalidResourceLocation")
    client.delete("dev-eus", "auto-new")
    client.delete("dev-eus", "auto-new")
    with pytest.raises(HttpResponseError) as error:
        client.get("dev-eus", "auto-new")
    assert refusal(error) == (404, "ResourceNotFound")
    reborn = client.create_or_update("dev-eus", "auto-new", body)
    assert reborn.automation_hybrid_service_url != made.automation_hybrid_service_url


def test_a_region_without_automation_is_refused(azure: Running) -> None:
    with pytest.raises(HttpResponseError) as error:
        automation(azure).automation_account.create_or_update("dev-eus", "x", {"location": "germanynorth"})
    assert refusal(error) == (400, "LocationNotAvailableForResourceType")


def test_an_unregistered_subscription_makes_no_account(fresh: Fresh) -> None:
    azure = fresh(groups=[{"id": group_id("labs", OTHER_SUB), "location": "eastus"}], hosts=[], resources=[])
    path = f"{group_id('labs', OTHER_SUB)}/providers/Microsoft.Automation/automationAccounts/x"
    url, query = azure.ready["arm"] + path, {"api-version": "2024-10-23"}
    body = {"location": "eastus"}  # the SDK would register the namespace by itself
    answer = azure.http.put(url, params=query, json=body, headers=azure.bearer(), timeout=PATIENCE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "MissingSubscriptionRegistration")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("runbook", {"Nightly"}),
        ("module", set(GLOBAL_MODULES)),
        ("connection", set()),
        ("credential", {"lab-runas"}),
        ("certificate", set()),
        ("variable", {"Secret"}),
        ("schedule", {"nightly"}),
        ("python2_package", set()),
        ("python3_package", {"paramiko"}),
    ],
)
def test_what_an_account_holds_is_listed(shared: Running, kind: str, names: set[str]) -> None:
    operations = getattr(automation(shared), kind)
    assert {one.name for one in operations.list_by_automation_account("dev-we", "auto-we")} == names
    replica = {one.name for one in operations.list_by_automation_account("dev-eus", "auto-dr")}
    assert replica == (names if kind == "module" else set())


def test_job_schedules_tie_a_runbook_to_a_schedule_and_a_worker_group(shared: Running) -> None:
    (found,) = automation(shared).job_schedule.list_by_automation_account("dev-we", "auto-we")
    assert (found.job_schedule_id, found.runbook.name, found.schedule.name) == (NEW, "Nightly", "nightly")
    assert found.run_on == "linux"


# groups and workers


def test_workers_name_their_machine_and_were_seen_just_now(shared: Running) -> None:
    found = workers(shared)
    assert {name: str(one.vm_resource_id) for name, one in found.items()} == {
        machine.rpartition("/")[2]: machine for machine in WORKERS
    }
    now = shared.simulator.world.now()
    for one in found.values():
        assert one.worker_type == "HybridV2"
        assert one.ip.startswith("10.")
        assert (now - one.last_seen_date_time).total_seconds() < 60
    client = automation(shared).hybrid_runbook_workers
    one = client.get("dev-we", "auto-we", "LINUX", WORKERS[CUPBOARD].upper())
    assert one.vm_resource_id == CUPBOARD


def test_groups_are_made_listed_and_deleted_when_empty(azure: Running) -> None:
    client = automation(azure).hybrid_runbook_worker_group
    assert [one.name for one in client.list_by_automation_account("dev-eus", "auto-eus")] == ["builds"]
    body: Any = {"name": "linux", "properties": {"credential": {"name": "lab-runas"}}}
    made = client.create("dev-eus", "auto-dr", "linux", body)
    assert (made.group_type, made.credential.name) == ("User", "lab-runas")
    join(azure, vm_id("plain"))
    with pytest.raises(HttpResponseError) as error:
        client.delete("dev-eus", "auto-dr", "linux")
    assert refusal(error) == (409, "Conflict")
    automation(azure).hybrid_runbook_workers.delete("dev-eus", "auto-dr", "linux", NEW)
    client.delete("dev-eus", "auto-dr", "linux")
    with pytest.raises(HttpResponseError) as error:
        client.get("dev-eus", "auto-dr", "linux")
    assert refusal(error) == (404, "NotFound")


def test_a_worker_is_added_once_and_never_seen_without_its_extension(azure: Running) -> None:
    made = join(azure, vm_id("plain"))
    assert (made.name, made.worker_name, made.last_seen_date_time, made.ip) == (NEW, "plain", None, None)
    assert join(azure, vm_id("plain")).registered_date_time == made.registered_date_time
    wait(azure, 600)
    assert workers(azure, "auto-dr")["plain"].last_seen_date_time is None
    with pytest.raises(HttpResponseError, match="An active hybrid runbook worker") as error:
        join(azure, vm_id("plain"), "bbbbbbbb-0000-4000-8000-000000000002")
    assert refusal(error) == (409, "Conflict")
    with pytest.raises(HttpResponseError) as error:
        join(azure, vm_id("nameless"), NEW)
    assert refusal(error) == (409, "Conflict")


@pytest.mark.parametrize(("machine", "guid"), [("/subscriptions/x", NEW), (vm_id("plain"), "not-a-guid")])
def test_a_worker_needs_a_machine_and_a_guid(azure: Running, machine: str, guid: str) -> None:
    with pytest.raises(HttpResponseError) as error:
        join(azure, machine, guid)
    assert refusal(error) == (400, "BadRequest")


def test_below_an_account_that_is_not_there_nothing_is_made(azure: Running) -> None:
    with pytest.raises(HttpResponseError) as error:
        automation(azure).hybrid_runbook_worker_group.create("dev-eus", "nobody", "linux", {})
    assert refusal(error) == (404, "ParentResourceNotFound")


def test_whether_a_machine_with_another_accounts_extension_is_taken_can_be_chosen(azure: Running) -> None:
    said = azure.control("automation", account=account_id("auto-dr"), machine_with_extension="refuse")
    assert said["refuses"] is True
    with pytest.raises(HttpResponseError, match="already registered to a different account") as error:
        join(azure, vm_id("web-01"))
    assert refusal(error) == (409, "Conflict")
    assert join(azure, vm_id("plain")).worker_name == "plain"
    azure.control("automation", account=account_id("auto-dr"), machine_with_extension="accept")
    assert join(azure, vm_id("web-01"), WORKERS[vm_id("web-01")]).worker_name == "web-01"


def test_deleting_a_worker_leaves_its_machine_alone(azure: Running) -> None:
    gone = WORKERS[vm_id("web-01")]
    client = automation(azure).hybrid_runbook_workers
    client.delete("dev-we", "auto-we", "linux", gone)
    client.delete("dev-we", "auto-we", "linux", gone)
    assert "web-01" not in workers(azure)
    assert [one.name for one in vms(azure).list("dev-ne", "web-01").value] == ["HybridWorkerExtension"]
    statuses = [one["status"] for one in azure.view("record")["requests"] if one["method"] == "DELETE"]
    assert statuses == [200, 204]


# reports, and a lost region


def test_a_machine_that_runs_reports_and_one_that_is_stopped_does_not(azure: Running) -> None:
    azure.control("host", id=vm_id("web-01"), event="stop")
    before = workers(azure)
    wait(azure, 600)
    after = workers(azure)
    assert after["web-01"].last_seen_date_time == before["web-01"].last_seen_date_time
    assert (after["stray"].last_seen_date_time - before["stray"].last_seen_date_time).total_seconds() >= 570
    azure.control("host", id=vm_id("web-01"), event="start")
    wait(azure, 60)
    assert workers(azure)["web-01"].last_seen_date_time > after["web-01"].last_seen_date_time


def test_nothing_reports_to_an_account_of_a_lost_region(azure: Running) -> None:
    loss = azure.control("lose", region="westeurope", minutes_ago=25)
    wait(azure, 600)
    seen = {name: one.last_seen_date_time for name, one in workers(azure).items()}
    assert {moment.strftime("%Y-%m-%dT%H:%M:%S") for moment in seen.values()} == {loss["since"][:19]}
    assert automation(azure).automation_account.get("dev-we", "auto-we").state == "Ok"
    azure.control("restore", region="westeurope")
    wait(azure, 60)
    back = workers(azure)
    assert all(back[name].last_seen_date_time > moment for name, moment in seen.items())


def test_writes_to_an_account_of_a_lost_region_fail(azure: Running) -> None:
    azure.control("lose", region="westeurope")
    client = automation(azure)
    writes: list[Callable[[], Any]] = [
        lambda: client.hybrid_runbook_worker_group.create("dev-we", "auto-we", "more", {}),
        lambda: client.hybrid_runbook_workers.delete("dev-we", "auto-we", "linux", WORKERS[CUPBOARD]),
        lambda: client.automation_account.delete("dev-we", "auto-we"),
        lambda: client.automation_account.create_or_update("dev-we", "beside", {"location": "eastus"}),
    ]
    for write in writes:
        with pytest.raises(HttpResponseError) as error:
            write()
        assert refusal(error) == (503, "ServiceUnavailable")


def test_reads_below_a_lost_account_can_be_made_to_fail_or_hang(azure: Running) -> None:
    azure.control("lose", region="westeurope")
    azure.control("automation", reads="5xx")
    with pytest.raises(HttpResponseError) as error:
        workers(azure)
    assert refusal(error) == (503, "ServiceUnavailable")
    azure.control("automation", reads="hang")
    listed = f"{account_id('auto-we')}/hybridRunbookWorkerGroups"
    query, headers = {"api-version": "2024-10-23"}, azure.bearer()
    with pytest.raises(requests.Timeout):
        azure.http.get(azure.ready["arm"] + listed, params=query, headers=headers, timeout=(PATIENCE, 0.3))
    assert [one.name for one in automation(azure).automation_account.list_by_resource_group("dev-we")] == ["auto-we"]


# the accounts' own services


def test_every_region_with_automation_has_a_port_and_every_account_of_the_seed_a_name(shared: Running) -> None:
    services = shared.ready["services"]
    assert sorted(str(region) for region in HOSTS.values()) == sorted(AUTOMATION)
    assert set(HOSTS) <= set(services)
    assert services[f"{GUIDS['auto-we']}.jrds.we.azure-automation.net"] == services["*.jrds.we.azure-automation.net"]


def service(
    azure: Running, account: str, region: str, path: str = "", answers_within: float = PATIENCE
) -> requests.Response:
    host = f"*.jrds.{region}.azure-automation.net"
    path = path or f"/automationAccounts/{GUIDS.get(account, account)}"
    return azure.http.get(azure.ready["services"][host] + path, timeout=answers_within)


def test_an_accounts_service_answers_without_a_token(shared: Running) -> None:
    assert service(shared, "auto-we", "we").status_code == 401
    assert service(shared, "auto-we", "eus").status_code == 404
    assert service(shared, "auto-we", "we", "/anything").status_code == 404
    line = next(one for one in shared.view("record")["requests"] if one["route"] == "/automationAccounts/{guid}")
    assert line["host"] == f"{GUIDS['auto-we']}.jrds.we.azure-automation.net"


def test_an_account_made_later_is_reached_by_its_regions_name(azure: Running) -> None:
    made = automation(azure).automation_account.create_or_update("dev-eus", "later", {"location": "eastus"})
    guid = str(made.automation_hybrid_service_url).rpartition("/")[2]
    assert service(azure, guid, "eus").status_code == 401


@pytest.mark.parametrize(("mode", "error"), [("refuse", requests.ConnectionError), ("hang", requests.Timeout)])
def test_the_service_goes_with_its_region_and_comes_back(
    azure: Running, mode: str, error: type[requests.RequestException]
) -> None:
    azure.control("lose", region="westeurope", mode=mode)
    with pytest.raises(error):
        service(azure, "auto-we", "we", answers_within=0.5)
    assert service(azure, "auto-eus", "eus").status_code == 401
    azure.control("restore", region="westeurope")
    assert service(azure, "auto-we", "we").status_code == 401


# roles and seeds


def test_a_reader_reads_and_an_operator_registers_workers(azure: Running) -> None:
    reader = automation(azure, "reader")
    assert len(list(reader.automation_account.list())) == 3
    assert len(list(reader.schedule.list_by_automation_account("dev-we", "auto-we"))) == 1
    with pytest.raises(HttpResponseError) as error:
        reader.hybrid_runbook_worker_group.create("dev-eus", "auto-dr", "linux", {})
    assert refusal(error) == (403, "AuthorizationFailed")
    operator = automation(azure, "operator")
    operator.hybrid_runbook_worker_group.create("dev-eus", "auto-dr", "linux", {})
    body: Any = {"properties": {"vmResourceId": vm_id("plain")}}
    operator.hybrid_runbook_workers.create("dev-eus", "auto-dr", "linux", NEW, body)
    operator.hybrid_runbook_workers.delete("dev-eus", "auto-dr", "linux", NEW)
    with pytest.raises(HttpResponseError) as error:
        operator.automation_account.delete("dev-eus", "auto-dr")
    assert refusal(error) == (403, "AuthorizationFailed")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": "/subscriptions/x"}, "not an Automation account"),
        ({"id": account_id("auto-we"), "location": "germanynorth"}, "no Automation in germanynorth"),
        ({"id": account_id("auto-we"), "location": "eastus", "assets": {"runbook": {}}}, "has no 'runbook'"),
    ],
)
def test_a_seed_with_an_account_that_cannot_be_is_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError, match=said):
        build(seed(**estate() | {"automation": [entry]}), 1.0, {})


def test_control_shows_who_reports_where(azure: Running) -> None:
    azure.control("host", id=vm_id("web-01"), event="stop")
    found = {one["region"]: one for one in azure.view("state")["automation"] if one["id"] == account_id("auto-we")}
    reports = {one["machine"].rpartition("/")[2]: one["reports"] for one in found["westeurope"]["workers"]}
    assert reports == {"web-01": False, "web-02": True, "stray": True, "cupboard": True}
