"""Virtual machines and the run-command action, asked by the genuine SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.support.patience import PATIENCE
from tests.support.simulator_thread import OTHER_SUB, PROBE, Running, vm_id

Fresh = Callable[..., Running]


def run(azure: Running, name: str, script: str, group: str = "dev-ne", role: str = "owner", **more: Any) -> list[Any]:
    """What a run command answers."""
    body: Any = {"commandId": "RunShellScript", "script": script.splitlines(), **more}
    result = azure.compute(role).virtual_machines.begin_run_command(group, name, body).result()
    return list(result.value or [])


def code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    assert error.value.error is not None
    return str(error.value.error.code)


def test_a_vm_shows_who_it_is(azure: Running) -> None:
    vm = azure.compute().virtual_machines.get("DEV-NE", "WEB-01", expand="instanceView")
    assert vm.vm_id == azure.simulator.world.hosts[vm_id("web-01").lower()].vm_id
    assert vm.location == "northeurope"
    assert vm.storage_profile.os_disk.managed_disk.id.startswith(vm_id("web-01").partition("/providers/")[0])
    assert [s.code for s in vm.instance_view.statuses or []] == ["ProvisioningState/succeeded", "PowerState/running"]
    assert [s.display_status for s in vm.instance_view.vm_agent.statuses or []] == ["Ready"]


def test_the_os_disk_has_a_unique_id(azure: Running) -> None:
    vm = azure.compute().virtual_machines.get("dev-ne", "web-01")
    disk = azure.resources().resources.get_by_id(vm.storage_profile.os_disk.managed_disk.id, api_version="2025-01-02")
    assert disk["properties"]["uniqueId"]
    assert disk.managed_by == vm.id


def test_vms_are_listed_by_group_subscription_and_status(azure: Running) -> None:
    client = azure.compute()
    assert {vm.name for vm in client.virtual_machines.list("dev-we")} == {"web-02", "stray"}
    every = list(client.virtual_machines.list_all(status_only="true"))
    assert {vm.name for vm in every} == {"web-01", "web-02", "stray", "win-01"}
    assert all(vm.instance_view.statuses and vm.hardware_profile is None for vm in every)


def test_a_stopped_vm_says_so(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("host", id=vm_id("web-01"), event="stop")
    view = azure.compute().virtual_machines.instance_view("dev-ne", "web-01")
    assert [s.code for s in view.statuses or []][-1] == "PowerState/deallocated"
    assert view.vm_agent is None
    with pytest.raises(HttpResponseError) as error:
        run(azure, "web-01", PROBE)
    assert (error.value.status_code, code(error)) == (409, "OperationNotAllowed")


def test_a_known_script_is_acted_out(fresh: Fresh) -> None:
    azure = fresh()
    value = run(azure, "web-01", PROBE, parameters=[{"name": "drkit_registrations", "value": "-"}])
    assert [(s.code, s.level, s.display_status) for s in value] == [
        ("ProvisioningState/succeeded", "Info", "Provisioning succeeded")
    ]
    head, _, rest = value[0].message.partition("[stdout]\n")
    assert head == "Enable succeeded: \n"
    assert json.loads(rest.splitlines()[0])["hostname"] == "web-01"
    line = next(one for one in azure.view("record")["requests"] if one["path"].endswith("/runCommand"))
    assert (line["kind"], line["script"], line["subject"]) == ("probe", "probe", vm_id("web-01"))


def test_a_run_command_may_send_its_script_as_one_text(fresh: Fresh) -> None:
    azure = fresh()
    body: Any = {
        "commandId": "RunShellScript",
        "script": [PROBE],
        "parameters": [{"name": "drkit_registrations", "value": "-"}],
    }
    result = azure.compute().virtual_machines.begin_run_command("dev-ne", "web-01", body).result()
    assert '"probe/1"' in str((result.value or [])[0].message)


def test_an_unknown_script_gets_azures_shape_and_nothing_is_run(fresh: Fresh) -> None:
    azure = fresh()
    value = run(azure, "web-01", "id > /tmp/proof")
    assert "nothing is run" in value[0].message
    assert azure.view("record")["requests"][-1]["script"] is None
    kinds = {line["kind"] for line in azure.view("record")["requests"] if line["path"].endswith("/runCommand")}
    assert kinds == {"write"}


def test_only_the_last_4096_bytes_of_output_are_kept(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    from drkit.simulator.hosts import scripts

    azure = fresh()
    monkeypatch.setattr(scripts, "run", lambda *_: scripts.ScriptOutput("a" + "é" * 3000))
    text = run(azure, "web-01", PROBE)[0].message.partition("[stdout]\n")[2].partition("\n[stderr]")[0]
    assert text == "é" * 2048


def test_one_run_command_at_a_time(fresh: Fresh) -> None:
    azure = fresh(speed=1.0)
    client = azure.compute()
    body: Any = {"commandId": "RunShellScript", "script": PROBE.splitlines()}
    client.virtual_machines.begin_run_command("dev-ne", "web-01", body, polling=False)
    with pytest.raises(HttpResponseError) as error:
        client.virtual_machines.begin_run_command("dev-ne", "web-01", body, polling=False)
    assert (error.value.status_code, code(error)) == (409, "Conflict")
    client.virtual_machines.begin_run_command("dev-we", "stray", body, polling=False)


def test_a_run_command_is_resumed_from_its_polling_url(fresh: Fresh) -> None:
    azure = fresh()
    body: Any = {"commandId": "RunShellScript", "script": PROBE.splitlines()}
    poller = azure.compute().virtual_machines.begin_run_command("dev-ne", "web-01", body)
    again = azure.compute().virtual_machines.begin_run_command(
        "dev-ne", "web-01", body, continuation_token=poller.continuation_token()
    )
    assert again.result().value
    posts = [
        line for line in azure.view("record")["requests"] if line["method"] == "POST" and "runCommand" in line["path"]
    ]
    assert len(posts) == 1


def test_a_polling_url_without_its_signature_leads_nowhere(fresh: Fresh) -> None:
    azure = fresh(speed=1.0)
    url = azure.ready["arm"] + vm_id("web-01") + "/runCommand?api-version=2024-11-01"
    body: Any = {"commandId": "RunShellScript", "script": ["true"]}
    accepted = azure.http.post(url, json=body, headers=azure.bearer(), timeout=PATIENCE)
    assert accepted.status_code == 202
    polling = accepted.headers["Azure-AsyncOperation"]
    assert azure.http.get(polling, headers=azure.bearer(), timeout=PATIENCE).json()["status"] == "InProgress"
    assert azure.http.get(accepted.headers["Location"], headers=azure.bearer(), timeout=PATIENCE).status_code == 202
    assert azure.http.get(polling.partition("&s=")[0], headers=azure.bearer(), timeout=PATIENCE).status_code == 404


@pytest.mark.parametrize(("vm", "group"), [("web-02", "dev-we"), ("stray", "dev-we")])
@pytest.mark.parametrize("arm", ["5xx", "hang"])
def test_the_channel_is_dead_with_the_vms_region_or_its_groups(fresh: Fresh, vm: str, group: str, arm: str) -> None:
    azure = fresh()
    azure.control("lose", region="westeurope", arm=arm, announce=False)
    client = azure.compute()
    body: Any = {"commandId": "RunShellScript", "script": ["true"]}
    if arm == "5xx":
        with pytest.raises(HttpResponseError) as error:
            client.virtual_machines.begin_run_command(group, vm, body)
        assert error.value.status_code == 503
    else:
        client.virtual_machines.begin_run_command(group, vm, body, polling=False)
        azure.simulator.world.clock.now()
        operation = next(iter(azure.simulator.world.operations.values()))
        assert operation.status == "InProgress"
    assert run(azure, "web-01", "true")


@pytest.mark.parametrize(
    ("vm", "command"), [("web-01", "RunPowerShellScript"), ("win-01", "RunShellScript"), ("web-01", "Nonsense")]
)
def test_a_command_that_is_not_the_systems_is_refused(azure: Running, vm: str, command: str) -> None:
    with pytest.raises(HttpResponseError) as error:
        azure.compute().virtual_machines.begin_run_command("dev-ne", vm, {"commandId": command, "script": ["x"]})
    assert (error.value.status_code, code(error)) == (400, "InvalidParameter")


def test_a_probe_needs_the_probers_role(fresh: Fresh) -> None:
    azure = fresh()
    with pytest.raises(HttpResponseError) as error:
        run(azure, "web-01", PROBE, role="planner")
    assert code(error) == "AuthorizationFailed"
    assert run(azure, "web-01", PROBE, role="prober")


def test_a_missing_vm_is_distinguished_from_a_missing_group(azure: Running) -> None:
    client = azure.compute()
    for group, wanted in (("dev-ne", "ResourceNotFound"), ("nowhere", "ResourceGroupNotFound")):
        with pytest.raises(HttpResponseError) as error:
            client.virtual_machines.get(group, "nobody")
        assert (error.value.status_code, code(error)) == (404, wanted)
    path = vm_id("web-01").replace("1111", "3333")
    assert azure.get(path).json()["error"]["code"] == "SubscriptionNotFound"
    assert OTHER_SUB in azure.ready["subscriptions"]
