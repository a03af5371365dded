"""Extensions of VMs and Arc machines, asked by the genuine SDK; and a worker's move from one account to another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from drkit.simulator.codespaces.environments import surroundings
from drkit.simulator.hybrid_worker import model
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import Running, group_id, seed, vm_id
from tests.support.worker_estate import (
    CUPBOARD,
    NAME,
    PUBLISHER,
    WORKERS,
    arc,
    estate,
    join,
    url,
    vms,
    wait,
    wanted,
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


class Quick:
    """Polls without waiting for real seconds: simulated time is moved on instead."""

    def __init__(self, azure: Running) -> None:
        self.azure = azure

    def done(self, poller: Any, seconds: float = 200.0) -> Any:
        wait(self.azure, seconds)
        return poller.result(PATIENCE)


def put(azure: Running, vm: str, account: str, group: str = "dev-ne", name: str = NAME, **more: Any) -> Any:
    client = vms(azure)
    body: Any = wanted(account, **more)
    return Quick(azure).done(client.begin_create_or_update(group, vm, name, body), more.pop("wait", 200.0))


def remove(azure: Running, vm: str, group: str = "dev-ne") -> None:
    Quick(azure).done(vms(azure).begin_delete(group, vm, NAME))


def code(error: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    assert error.value.error is not None
    return error.value.status_code, str(error.value.error.code)


# what is there


def test_a_vms_extension_shows_its_settings_and_never_the_protected_ones(shared: Running) -> None:
    client = vms(shared)
    found = client.get("DEV-NE", "WEB-01", NAME.lower(), expand="instanceView")
    assert (found.publisher, found.properties.type) == (PUBLISHER, "HybridWorkerForLinux")
    assert found.type_handler_version == "1.1"
    assert found.settings == {"AutomationAccountURL": url("auto-we")}
    assert found.provisioning_state == "Succeeded"
    assert [one.code for one in found.instance_view.statuses or []] == ["ProvisioningState/succeeded"]
    assert found.protected_settings is None
    assert client.get("dev-ne", "web-01", NAME).instance_view is None
    shown = json.dumps([shared.view("state"), shared.view("record")])
    assert "s3cret" not in shown


def test_extensions_are_listed_machine_by_machine(shared: Running) -> None:
    client = vms(shared)
    assert [one.name for one in client.list("dev-ne", "web-01").value or []] == [NAME]
    assert client.list("dev-ne", "plain").value == []
    (held,) = arc(shared).list("dev-ne", "cupboard")
    assert (held.type, held.properties.type) == ("Microsoft.HybridCompute/machines/extensions", "HybridWorkerForLinux")
    assert held.properties.type_handler_version == "1.1.13"
    assert held.properties.instance_view.status.code == "success"
    assert held.properties.protected_settings is None


def test_what_is_not_there_is_not_found(shared: Running) -> None:
    with pytest.raises(ResourceNotFoundError):
        vms(shared).get("dev-ne", "plain", NAME)
    with pytest.raises(HttpResponseError) as error:
        vms(shared).list("dev-ne", "nobody")
    assert code(error) == (404, "ParentResourceNotFound")


# installing and removing


def test_a_worker_moves_to_another_account_and_is_seen_there_only(azure: Running) -> None:
    join(azure, vm_id("web-01"), WORKERS[vm_id("web-01")])
    remove(azure, "web-01")
    assert vms(azure).list("dev-ne", "web-01").value == []
    made = put(azure, "web-01", "auto-dr")
    assert (made.provisioning_state, made.settings) == ("Succeeded", {"AutomationAccountURL": url("auto-dr")})
    stale = workers(azure)["web-01"].last_seen_date_time
    wait(azure, 300)
    assert workers(azure)["web-01"].last_seen_date_time == stale
    moved = workers(azure, "auto-dr")["web-01"]
    assert moved.last_seen_date_time > stale
    assert moved.ip.startswith("10.")


def test_an_arc_machine_moves_too(azure: Running) -> None:
    join(azure, CUPBOARD)
    client = arc(azure)
    Quick(azure).done(client.begin_delete("dev-ne", "cupboard", NAME))
    assert list(client.list("dev-ne", "cupboard")) == []
    body: Any = wanted("auto-dr")
    made = Quick(azure).done(client.begin_create_or_update("dev-ne", "cupboard", NAME, body))
    assert (made.properties.provisioning_state, made.properties.type_handler_version) == ("Succeeded", "1.1.13")
    wait(azure, 60)
    assert workers(azure, "auto-dr")["cupboard"].last_seen_date_time is not None
    statuses = [one["status"] for one in azure.view("record")["requests"] if one["path"].endswith(f"/{NAME}")]
    assert statuses == [202, 202, 200]


def test_the_url_of_an_extension_can_be_changed_in_place(azure: Running) -> None:
    join(azure, vm_id("web-01"))
    made = put(azure, "web-01", "auto-dr")
    assert made.provisioning_state == "Succeeded"
    wait(azure, 60)
    assert workers(azure, "auto-dr")["web-01"].last_seen_date_time is not None
    statuses = [(one["method"], one["status"]) for one in azure.view("record")["requests"] if NAME in one["path"]]
    assert statuses[0] == ("PUT", 200)


def test_removing_what_is_not_there_succeeds_at_once(azure: Running) -> None:
    vms(azure).begin_delete("dev-ne", "plain", NAME).result(PATIENCE)
    arc(azure).begin_delete("dev-ne", "cupboard", "Other").result(PATIENCE)
    assert {one["status"] for one in azure.view("record")["requests"] if one["method"] == "DELETE"} == {204}


def test_during_an_operation_another_is_refused(azure: Running) -> None:
    client = vms(azure)
    client.begin_delete("dev-ne", "web-01", NAME, polling=False)
    assert client.get("dev-ne", "web-01", NAME).provisioning_state == "Deleting"
    with pytest.raises(HttpResponseError) as error:
        client.begin_create_or_update("dev-ne", "web-01", NAME, wanted("auto-dr"))
    assert code(error) == (409, "Conflict")


def test_one_extension_of_a_kind_fits_on_a_machine(azure: Running) -> None:
    with pytest.raises(HttpResponseError, match="Multiple VMExtensions per handler not supported") as error:
        put(azure, "web-01", "auto-dr", name="Another")
    assert code(error) == (400, "BadRequest")


# what an installation needs


def test_without_a_worker_record_it_fails_and_says_so(azure: Running) -> None:
    with pytest.raises(HttpResponseError, match="Account/Group specified does not exist"):
        put(azure, "plain", "auto-dr")
    found = vms(azure).get("dev-ne", "plain", NAME, expand="instanceView")
    assert found.provisioning_state == "Failed"
    assert "does not exist" in (found.instance_view.statuses or [])[0].message


def test_without_a_system_assigned_identity_it_fails(azure: Running) -> None:
    join(azure, vm_id("nameless"))
    with pytest.raises(HttpResponseError, match="Invalid Authorization Token"):
        put(azure, "nameless", "auto-dr")


def test_behind_a_proxy_it_needs_its_protected_settings(azure: Running) -> None:
    join(azure, vm_id("plain"))
    azure.control("host", id=vm_id("plain"), event="behave", proxy="needed")
    with pytest.raises(HttpResponseError, match="Unable to connect"):
        put(azure, "plain", "auto-dr")
    assert put(azure, "plain", "auto-dr", protectedSettings={"Proxy_URL": "p"}).provisioning_state == "Succeeded"


def test_an_account_in_a_lost_region_is_not_reached(azure: Running) -> None:
    azure.control("lose", region="westeurope")
    with pytest.raises(HttpResponseError, match="Unable to connect"):
        put(azure, "web-01", "auto-we")


def test_a_vm_that_is_off_takes_no_extension_operation(azure: Running) -> None:
    azure.control("host", id=vm_id("web-01"), event="stop")
    for act in (lambda: put(azure, "web-01", "auto-dr"), lambda: remove(azure, "web-01")):
        with pytest.raises(HttpResponseError, match="when the VM is not running") as error:
            act()
        assert code(error) == (409, "OperationNotAllowed")


def test_an_agent_that_says_nothing_ends_in_a_timeout(azure: Running) -> None:
    azure.control("host", id=vm_id("web-01"), event="behave", vm_agent="not-ready")
    view: Any = azure.compute().virtual_machines.instance_view("dev-ne", "web-01")
    assert [one.display_status for one in view.vm_agent.statuses or []] == ["Not Ready"]
    client = vms(azure)
    with pytest.raises(HttpResponseError, match="has not reported status") as error:
        Quick(azure).done(client.begin_delete("dev-ne", "web-01", NAME), 1600)
    assert code(error)[1] == "VMAgentStatusCommunicationError"
    assert [one.name for one in client.list("dev-ne", "web-01").value or []] == [NAME]


@pytest.mark.parametrize(("vm", "group"), [("web-02", "dev-we"), ("stray", "dev-we")])
def test_it_needs_the_vms_region_and_its_groups(azure: Running, vm: str, group: str) -> None:
    """``stray`` stands in North Europe; its group is located in West Europe."""
    azure.control("lose", region="westeurope")
    client = vms(azure)
    assert client.get(group, vm, NAME).provisioning_state == "Succeeded"
    with pytest.raises(HttpResponseError) as error:
        client.begin_delete(group, vm, NAME)
    assert code(error) == (503, "ServiceUnavailable")


def test_writes_into_a_lost_region_may_never_end_and_end_when_it_returns(azure: Running) -> None:
    azure.control("lose", region="westeurope", arm="hang")
    client = vms(azure)
    poller = client.begin_delete("dev-we", "stray", NAME)
    wait(azure, 3600)
    time.sleep(0.1)
    assert client.get("dev-we", "stray", NAME).provisioning_state == "Deleting"
    azure.control("restore", region="westeurope")
    wait(azure, 120)
    poller.result(PATIENCE)
    assert client.list("dev-we", "stray").value == []


def test_an_arc_machine_that_is_not_connected_is_waited_for(azure: Running) -> None:
    azure.control("change", id=CUPBOARD, patch={"properties": {"status": "Disconnected"}})
    client = arc(azure)
    poller = client.begin_delete("dev-ne", "cupboard", NAME)
    wait(azure, 3600)
    assert [one.properties.provisioning_state for one in client.list("dev-ne", "cupboard")] == ["Deleting"]
    azure.control("change", id=CUPBOARD, patch={"properties": {"status": "Connected"}})
    Quick(azure).done(poller, 120)
    assert list(client.list("dev-ne", "cupboard")) == []


def test_what_was_queued_for_an_arc_machine_ends_after_six_hours(azure: Running) -> None:
    azure.control("change", id=CUPBOARD, patch={"properties": {"status": "Disconnected"}})
    poller = arc(azure).begin_delete("dev-ne", "cupboard", NAME)
    with pytest.raises(HttpResponseError, match="did not connect in time"):
        Quick(azure).done(poller, 6 * 3600 + 120)


def test_an_operation_can_be_made_to_fail(azure: Running) -> None:
    join(azure, vm_id("plain"))
    azure.control("fault", method="PUT", url="/extensions/", lro="fail", code="VMExtensionHandlerNonTransientError")
    with pytest.raises(HttpResponseError) as error:
        put(azure, "plain", "auto-dr")
    assert code(error)[1] == "VMExtensionHandlerNonTransientError"
    client = vms(azure)
    assert client.get("dev-ne", "plain", NAME).provisioning_state == "Failed"
    assert put(azure, "plain", "auto-dr").provisioning_state == "Succeeded"


def test_roles_allow_what_they_should(azure: Running) -> None:
    for role in ("reader", "prober"):
        client = vms(azure, role)
        assert client.get("dev-ne", "web-01", NAME).name == NAME
        with pytest.raises(HttpResponseError) as error:
            client.begin_delete("dev-ne", "web-01", NAME)
        assert code(error) == (403, "AuthorizationFailed")
    with pytest.raises(HttpResponseError) as error:
        arc(azure, "reader").begin_delete("dev-ne", "cupboard", NAME)
    assert code(error) == (403, "AuthorizationFailed")
    vms(azure, "operator").begin_delete("dev-ne", "web-01", NAME, polling=False)
    arc(azure, "operator").begin_delete("dev-ne", "cupboard", NAME, polling=False)


# what befalls the machine


def test_a_vm_restored_as_a_new_one_is_no_worker_any_more(azure: Running) -> None:
    new = vm_id("web-01-r", "dev-ne")
    azure.control("host", id=vm_id("web-01"), event="restore_new", new_id=new)
    assert vms(azure).list("dev-ne", "web-01-r").value == []
    before = workers(azure)["web-01"].last_seen_date_time
    wait(azure, 600)
    assert workers(azure)["web-01"].last_seen_date_time == before


def test_a_vm_moved_to_another_group_is_not_found_by_its_old_id(azure: Running) -> None:
    azure.control("host", id=vm_id("web-01"), event="move", group=group_id("dev-eus"))
    before = workers(azure)["web-01"].last_seen_date_time
    wait(azure, 600)
    assert workers(azure)["web-01"].last_seen_date_time == before
    held = vms(azure).list("dev-eus", "web-01").value or []
    assert [one.name for one in held] == [NAME]


def test_machines_reach_the_accounts_services_from_inside(azure: Running) -> None:
    around = surroundings(azure.simulator.world)
    assert around.answers(url("auto-dr")) == 401
    assert around.answers("https://nobody.jrds.eus.azure-automation.net/") == 404
    assert around.answers("https://x.jrds.nowhere.azure-automation.net/") == 0
    azure.control("lose", region="westeurope")
    assert around.answers(url("auto-we")) == 0
    assert around.answers(url("auto-dr")) == 401
    assert not list(model.reporting(azure.simulator.world))
