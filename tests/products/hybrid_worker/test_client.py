"""What drkit sends for accounts, workers and extensions is what the genuine SDKs would send: recorded on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpTransport
from azure.mgmt.automation import AutomationClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.hybridcompute import HybridComputeManagementClient

from drkit.providers import session as sessions
from drkit.providers.transport import Transport
from tests.support.workers import CUPBOARD, NAMED, OLD, REPLICA, WEB, apply, content, lost, site

Sent = tuple[str, str, Mapping[str, str], Any]
SECRET = {"Proxy_URL": "http://proxy.example:3128"}
GROUP = "linux"


class RecordedError(Exception):
    """The request was recorded and goes no further."""


class Recorder(HttpTransport[Any, Any]):
    """A transport that keeps the first request and sends nothing."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_details: object) -> None:
        """Nothing to close."""

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def send(self, request: Any, **_options: Any) -> Any:
        self.sent.append(line(request))
        raise RecordedError


class Credential:
    """A token that nobody asks about."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("token", 2_000_000_000)


def line(request: Any) -> Sent:
    """Method, path, query and JSON body of a request."""
    parts = urlsplit(request.url)
    content = getattr(request, "content", None) or getattr(request, "body", None) or b""
    text = content.decode() if isinstance(content, bytes) else content
    return (
        request.method,
        unquote(parts.path),
        dict(parse_qsl(parts.query)),
        json.loads(text) if isinstance(text, str) and text.startswith("{") else None,
    )


def sdk(kind: Any, call: Callable[[Any], Any]) -> Sent:
    """What an SDK client sends for that call."""
    recorder = Recorder()
    client = kind(
        Credential(), OLD.split("/")[2], transport=recorder, base_url="https://management.example", retry_total=0
    )
    with pytest.raises(RecordedError):
        list(found) if hasattr(found := call(client), "__iter__") else found
    (sent,) = recorder.sent
    return sent


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Sent]:
    """All that drkit sends while it captures, assesses and moves the workers of a lost account, no replica prepared."""
    found: list[Sent] = []

    class Recording(Transport):
        async def send(self, request: Any, **config: Any) -> Any:
            found.append(line(request))
            return await super().send(request, **config)

    made = content()
    made["automation"] = [one for one in made["automation"] if one["id"] != REPLICA]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRKIT_TEST_PROTECTED", json.dumps(SECRET))
        patch.setattr(sessions, "Transport", Recording)
        with site(tmp_path_factory.mktemp("sent"), NAMED, made) as place:
            lost(place)
            assert apply(place).outcome == "succeeded"
    return found


def one(sent: list[Sent], method: str, ending: str) -> Sent:
    return next(entry for entry in sent if entry[0] == method and entry[1].endswith(ending))


def account(sent: list[Sent]) -> str:
    return next(
        path
        for method, path, _, _ in sent
        if method == "PUT" and path.rpartition("/")[0].endswith("automationAccounts")
    )


def below(account_id: str) -> tuple[str, str]:
    parts = account_id.split("/")
    return parts[4], parts[8]


def test_an_account_is_made_as_the_sdk_makes_it(sent: list[Sent]) -> None:
    ours = one(sent, "PUT", account(sent))
    assert ours == sdk(
        AutomationClient, lambda c: c.automation_account.create_or_update(*below(account(sent)), ours[3])
    )
    from azure.mgmt.automation import models

    body = ours[3]
    modelled = models.AutomationAccountCreateOrUpdateParameters(
        location=body["location"],
        tags=body["tags"],
        identity=models.Identity(type="SystemAssigned"),
        properties=models.AutomationAccountCreateOrUpdateProperties(
            sku=models.Sku(name="Basic"), disable_local_auth=False
        ),
    )
    theirs = sdk(AutomationClient, lambda c: c.automation_account.create_or_update(*below(account(sent)), modelled))
    assert theirs == ours


def test_a_worker_group_is_made_as_the_sdk_makes_it(sent: list[Sent]) -> None:
    ours = one(sent, "PUT", f"/hybridRunbookWorkerGroups/{GROUP}")
    assert ours == sdk(
        AutomationClient, lambda c: c.hybrid_runbook_worker_group.create(*below(account(sent)), GROUP, {})
    )


def test_a_worker_is_added_as_the_sdk_adds_it(sent: list[Sent]) -> None:
    from azure.mgmt.automation import models

    found = [entry for entry in sent if entry[0] == "PUT" and "/hybridRunbookWorkers/" in entry[1]]
    assert {entry[3]["properties"]["vmResourceId"] for entry in found} == {WEB, CUPBOARD}
    for ours in found:
        properties = models.HybridRunbookWorkerCreateOrUpdateParameters(
            vm_resource_id=ours[3]["properties"]["vmResourceId"]
        )
        body = models.HybridRunbookWorkerCreateParameters(properties=properties)
        worker = ours[1].rpartition("/")[2]

        def add(client: Any, worker: str = worker, body: Any = body) -> Any:
            return client.hybrid_runbook_workers.create(*below(account(sent)), GROUP, worker, body)

        assert sdk(AutomationClient, add) == ours


def test_accounts_groups_workers_and_assets_are_read_as_the_sdk_reads_them(sent: list[Sent]) -> None:
    at = below(OLD)
    reads: list[tuple[str, Callable[[Any], Any]]] = [
        ("/providers/Microsoft.Automation/automationAccounts", lambda c: c.automation_account.list()),
        (OLD, lambda c: c.automation_account.get(*at)),
        (f"{OLD}/hybridRunbookWorkerGroups", lambda c: c.hybrid_runbook_worker_group.list_by_automation_account(*at)),
        (
            f"{OLD}/hybridRunbookWorkerGroups/{GROUP}/hybridRunbookWorkers",
            lambda c: c.hybrid_runbook_workers.list_by_hybrid_runbook_worker_group(*at, GROUP),
        ),
        (f"{OLD}/runbooks", lambda c: c.runbook.list_by_automation_account(*at)),
        (f"{OLD}/modules", lambda c: c.module.list_by_automation_account(*at)),
        (f"{OLD}/connections", lambda c: c.connection.list_by_automation_account(*at)),
        (f"{OLD}/credentials", lambda c: c.credential.list_by_automation_account(*at)),
        (f"{OLD}/certificates", lambda c: c.certificate.list_by_automation_account(*at)),
        (f"{OLD}/variables", lambda c: c.variable.list_by_automation_account(*at)),
        (f"{OLD}/schedules", lambda c: c.schedule.list_by_automation_account(*at)),
        (f"{OLD}/jobSchedules", lambda c: c.job_schedule.list_by_automation_account(*at)),
        (f"{OLD}/python2Packages", lambda c: c.python2_package.list_by_automation_account(*at)),
        (f"{OLD}/python3Packages", lambda c: c.python3_package.list_by_automation_account(*at)),
    ]
    for ending, call in reads:
        assert one(sent, "GET", ending) == sdk(AutomationClient, call), ending


def test_a_vms_extension_is_listed_taken_off_and_installed_as_the_sdk_does_it(sent: list[Sent]) -> None:
    from azure.mgmt.compute import models

    where = (WEB.split("/")[4], "web-01")
    name = "HybridWorkerExtension"
    path = f"{WEB}/extensions/{name}"
    assert one(sent, "GET", f"{WEB}/extensions") == sdk(
        ComputeManagementClient, lambda c: c.virtual_machine_extensions.list(*where)
    )
    assert one(sent, "GET", path) == sdk(
        ComputeManagementClient, lambda c: c.virtual_machine_extensions.get(*where, name)
    )
    assert one(sent, "DELETE", path) == sdk(
        ComputeManagementClient, lambda c: c.virtual_machine_extensions.begin_delete(*where, name)
    )
    ours = one(sent, "PUT", path)
    asked = ours[3]["properties"]
    properties = models.VirtualMachineExtensionProperties(
        publisher="Microsoft.Azure.Automation.HybridWorker",
        type="HybridWorkerForLinux",
        type_handler_version=asked["typeHandlerVersion"],
        auto_upgrade_minor_version=asked["autoUpgradeMinorVersion"],
        enable_automatic_upgrade=asked["enableAutomaticUpgrade"],
        settings={"AutomationAccountURL": asked["settings"]["AutomationAccountURL"]},
        protected_settings=SECRET,
    )
    body = models.VirtualMachineExtension(location="northeurope", properties=properties)
    theirs = sdk(
        ComputeManagementClient, lambda c: c.virtual_machine_extensions.begin_create_or_update(*where, name, body)
    )
    assert theirs == ours


def test_an_arc_machines_extension_is_listed_taken_off_and_installed_as_the_sdk_does_it(sent: list[Sent]) -> None:
    from azure.mgmt.hybridcompute import models

    where = (CUPBOARD.split("/")[4], "cupboard")
    name = "HybridWorkerExtension"
    path = f"{CUPBOARD}/extensions/{name}"
    kind = HybridComputeManagementClient
    assert one(sent, "GET", f"{CUPBOARD}/extensions") == sdk(kind, lambda c: c.machine_extensions.list(*where))
    assert one(sent, "GET", path) == sdk(kind, lambda c: c.machine_extensions.get(*where, name))
    assert one(sent, "DELETE", path) == sdk(kind, lambda c: c.machine_extensions.begin_delete(*where, name))
    ours = one(sent, "PUT", path)
    asked = ours[3]["properties"]
    properties = models.MachineExtensionProperties(
        publisher="Microsoft.Azure.Automation.HybridWorker",
        type="HybridWorkerForLinux",
        type_handler_version=asked["typeHandlerVersion"],
        auto_upgrade_minor_version=asked["autoUpgradeMinorVersion"],
        enable_automatic_upgrade=asked["enableAutomaticUpgrade"],
        settings={"AutomationAccountURL": asked["settings"]["AutomationAccountURL"]},
    )
    body = models.MachineExtension(location="northeurope", properties=properties)
    assert sdk(kind, lambda c: c.machine_extensions.begin_create_or_update(*where, name, body)) == ours


def test_only_the_address_differs_from_the_earlier_settings(sent: list[Sent]) -> None:
    put = one(sent, "PUT", f"{WEB}/extensions/HybridWorkerExtension")[3]["properties"]
    assert set(put["settings"]) == {"AutomationAccountURL"}
    assert put["protectedSettings"] == SECRET
