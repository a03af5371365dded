"""Resources, compute and health through the real SDK clients."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from drkit.errors import ConflictError, GuardError, NotFoundError, UnknownFateError, UnreachableError, UnreadableError
from drkit.model import host_scripts
from drkit.model.estate import Location
from drkit.model.host_scripts import HostScript
from drkit.model.operation import Operation, Request
from drkit.products import scripts
from drkit.providers.compute import run_command_output, vm_names
from drkit.providers.guard import ReadingPosts, writing_guard
from drkit.providers.resources import Provider, subscription_in
from drkit.providers.session import Session
from tests.support.https_server import SUB, Answer, FakeClock, Server, anything, cloud_of, reading

S = f"/subscriptions/{SUB}"
PLAN = f"{S}/resourceGroups/Dev-WEU/providers/Microsoft.VSOnline/plans/p"
VM = f"{S}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm-1"
TEXT = "printf '%s' \"$drkit_registrations\"\n"
SCRIPT = HostScript("probe", TEXT, hashlib.sha256(TEXT.encode()).hexdigest(), ("drkit_registrations",))
READS = ReadingPosts(scripts=scripts().reading() | {SCRIPT.sha256})


@pytest.fixture
async def session(server: Server, clock: FakeClock) -> AsyncIterator[Session]:
    """One that knows the script of these tests as one that reads."""
    async with Session(cloud_of(server), clock=clock, guard=anything, reads=READS) as opened:
        yield opened


async def test_subscriptions_and_locations(server: Server, reader: Session) -> None:
    server.on("GET", "^/subscriptions$", Answer(json={"value": [{"subscriptionId": SUB, "displayName": "Dev"}]}))
    server.on(
        "GET",
        "/locations$",
        Answer(
            json={
                "value": [
                    {
                        "name": "westeurope",
                        "displayName": "West Europe",
                        "metadata": {"regionType": "Physical", "pairedRegion": [{"name": "northeurope", "id": "x"}]},
                    },
                    {"name": "europe", "displayName": "Europe", "metadata": {"regionType": "Logical"}},
                    {"name": "qatarcentral", "displayName": "Qatar Central", "metadata": {"pairedRegion": None}},
                ]
            }
        ),
    )
    assert await reader.resources.subscriptions() == [{"subscriptionId": SUB, "displayName": "Dev"}]
    assert await reader.resources.locations(SUB) == [
        Location("westeurope", "West Europe", "northeurope"),
        Location("qatarcentral", "Qatar Central"),
    ]


async def test_groups(server: Server, session: Session) -> None:
    group = {"id": f"{S}/resourceGroups/g", "name": "g", "location": "eastus", "tags": {"a": "b"}, "brandNew": {"x": 1}}
    server.on("GET", "resourcegroups$", Answer(json={"value": [group]}))
    server.on("GET", "resourcegroups/g$", Answer(json=group))
    server.on("PUT", "resourcegroups/g$", Answer(201, json=group))
    assert await session.resources.groups(SUB) == [group]
    assert await session.resources.group(SUB, "g") == group
    assert await session.resources.create_group(SUB, "g", "eastus", {"a": "b"}) == group
    assert json.loads(server.calls("PUT")[0].body) == {"location": "eastus", "tags": {"a": "b"}}


async def test_a_group_in_another_location_is_a_conflict(server: Server, session: Session) -> None:
    fault = {
        "error": {"code": "InvalidResourceGroupLocation", "message": "The resource group already exists in westeurope"}
    }
    server.on("PUT", "resourcegroups/g$", Answer(409, json=fault))
    with pytest.raises(ConflictError) as caught:
        await session.resources.create_group(SUB, "g", "eastus", {})
    assert caught.value.code == "InvalidResourceGroupLocation"


async def test_a_resource_by_id_keeps_what_the_sdk_does_not_know(server: Server, reader: Session) -> None:
    plan = {"id": PLAN, "location": "westeurope", "properties": {"userId": "u", "SubnetId": 1}, "systemData": {"z": 1}}
    server.on("GET", "/plans/p$", Answer(json=plan))
    assert await reader.resources.resource(PLAN, "2020-05-26-preview") == plan
    seen = server.calls("GET")[0]
    assert (seen.path, seen.query) == (PLAN, {"api-version": "2020-05-26-preview"})


async def test_names_with_odd_characters_are_percent_encoded(server: Server, session: Session) -> None:
    odd = f"{S}/resourceGroups/rg (1)/providers/Microsoft.Insights/actionGroups/on call ü"
    server.on("*", "/actionGroups/on call ü", Answer(json={"id": odd}))
    guard = writing_guard(lambda: [Request("PUT", odd_url)], lambda: None, lambda _u: False, ReadingPosts())
    odd_url = f"{server.url}{odd}"
    async with Session(cloud_of(server), clock=FakeClock(), guard=guard) as writer:
        assert await writer.resources.resource(odd, "1") == {"id": odd}
        assert await writer.resources.put_resource(odd, "1", {}) == {"id": odd}
        assert (await writer.rest.request("GET", f"{odd}?api-version=1")).body == {"id": odd}
        with pytest.raises(GuardError):
            await writer.resources.resource(f"{S}/resourceGroups/../providers/a/b/x", "1")


@pytest.mark.parametrize(
    "odd", ["", "x", "https://evil.example/x", "/", "/x", f"{S}/resourceGroups/g", f"{S}/providers/a/b"]
)
async def test_a_text_that_is_no_id_is_not_requested(server: Server, session: Session, odd: str) -> None:
    with pytest.raises(UnreadableError, match="not the id of a resource"):
        await session.resources.resource(odd, "1")
    assert not server.calls()


async def test_resources_of_a_type_are_listed_over_all_pages(server: Server, reader: Session) -> None:
    server.on(
        "GET", "/resources$", Answer(json={"value": [{"id": "1"}], "nextLink": f"{server.url}/more?$skiptoken=x"})
    )
    server.on("GET", "/more$", Answer(json={"value": [{"id": "2"}]}))
    assert await reader.resources.list_resources(SUB, "Microsoft.VSOnline/plans") == [{"id": "1"}, {"id": "2"}]
    assert server.calls("GET")[0].query["$filter"] == "resourceType eq 'Microsoft.VSOnline/plans'"


@pytest.mark.parametrize("status", [200, 201])
async def test_a_put_that_ends_at_once_gives_the_resource(server: Server, session: Session, status: int) -> None:
    body = {"location": "eastus", "properties": {"userId": "u"}, "sku": {"name": "Free"}, "id": "sent as it is"}
    server.on("PUT", "/plans/p$", Answer(status, json={"id": PLAN, "location": "eastus"}))
    assert await session.resources.put_resource(PLAN, "2020-05-26-preview", body) == {"id": PLAN, "location": "eastus"}
    seen = server.calls("PUT")[0]
    assert (seen.path, json.loads(seen.body)) == (PLAN, body)


async def test_a_put_that_takes_long_gives_an_operation_before_any_poll(server: Server, session: Session) -> None:
    headers = {"Azure-AsyncOperation": f"{server.url}/op?x=1", "Retry-After": "11"}
    server.on("PUT", "/plans/p$", Answer(202, headers=headers))
    begun = await session.resources.put_resource(PLAN, "1", {})
    assert isinstance(begun, Operation)
    assert (begun.url, begun.retry_after) == (f"{server.url}/op?x=1", 11)
    assert server.calls("GET") == []


async def test_a_put_that_is_refused_is_an_error(server: Server, session: Session) -> None:
    server.on("PUT", "/plans/p$", Answer(409, json={"error": {"code": "InvalidResourceLocation", "message": "m"}}))
    with pytest.raises(ConflictError):
        await session.resources.put_resource(PLAN, "1", {})
    server.on("PUT", "/plans/p$", Answer(502))
    with session.budget(1, 5), pytest.raises(UnreachableError):
        await session.resources.put_resource(PLAN, "1", {})


async def test_deleting(server: Server, session: Session) -> None:
    server.on("DELETE", "/plans/p$", Answer(200))
    assert await session.resources.delete_resource(PLAN, "1") is None
    server.on("DELETE", "/plans/p$", Answer(204))
    assert await session.resources.delete_resource(PLAN, "1") is None
    server.on("DELETE", "/plans/p$", Answer(404, json={"error": {"code": "ResourceNotFound", "message": "m"}}))
    assert await session.resources.delete_resource(PLAN, "1") is None
    server.on("DELETE", "/plans/p$", Answer(202, headers={"Location": f"{server.url}/l"}))
    begun = await session.resources.delete_resource(PLAN, "1")
    assert begun is not None
    assert begun.style == "location"


async def test_a_provider_is_read(server: Server, reader: Session) -> None:
    types = [{"resourceType": "plans", "locations": ["West Europe"], "apiVersions": []}, {"resourceType": "operations"}]
    body = {"namespace": "Microsoft.VSOnline", "registrationState": "NotRegistered", "resourceTypes": types}
    server.on("GET", "/providers/Microsoft.VSOnline$", Answer(json=body))
    assert await reader.resources.provider(SUB, "Microsoft.VSOnline") == Provider(
        "Microsoft.VSOnline", "NotRegistered", {"plans": ("West Europe",), "operations": ()}
    )


async def test_role_assignments_at_a_scope(server: Server, reader: Session) -> None:
    server.on("GET", "roleAssignments$", Answer(json={"value": [{"id": "r", "properties": {"scope": PLAN}}]}))
    assert await reader.resources.role_assignments(PLAN) == [{"id": "r", "properties": {"scope": PLAN}}]
    assert server.calls("GET")[0].query["$filter"] == "atScope()"


@pytest.mark.parametrize("bad", ["", "/", "/providers/x", "/subscriptions", "subscriptions/"])
def test_an_id_without_a_subscription_is_a_value_error(bad: str) -> None:
    with pytest.raises(ValueError, match="names no subscription"):
        subscription_in(bad)


async def test_a_vm_with_its_instance_view(server: Server, reader: Session) -> None:
    vm = {
        "id": VM,
        "location": "westeurope",
        "properties": {
            "vmId": "0f6b3a4e-0000-4000-8000-000000000001",
            "timeCreated": "2024-05-01T10:00:00.1234567+00:00",
            "instanceView": {"statuses": [{"code": "PowerState/running"}], "brandNew": True},
        },
    }
    server.on("GET", "virtualMachines/vm-1$", Answer(json=vm))
    assert await reader.compute.vm(VM) == vm
    assert server.calls("GET")[0].query["$expand"] == "instanceView"


async def test_a_vm_that_is_gone(server: Server, reader: Session) -> None:
    with pytest.raises(NotFoundError):
        await reader.compute.vm(VM)


async def test_fleets_come_in_pages(server: Server, reader: Session) -> None:
    server.on("GET", "virtualMachines$", Answer(json={"value": [{"id": "1"}], "nextLink": f"{server.url}/more"}))
    server.on("GET", "/more$", Answer(json={"value": [{"id": "2"}]}))
    assert await reader.compute.vms(SUB) == [{"id": "1"}, {"id": "2"}]
    assert await reader.compute.statuses(SUB) == [{"id": "1"}, {"id": "2"}]
    assert [call.query.get("statusOnly") for call in server.calls("GET", "virtualMachines")] == [None, "true"]
    server.on("GET", "/more$", Answer(json={"value": [], "nextLink": f"{server.url}/more"}))
    with pytest.raises(UnreachableError, match="circle"):
        await reader.compute.vms(SUB)


@pytest.mark.parametrize("bad", ["", S, PLAN, f"{VM}/extensions/x", VM.replace("Compute", "Classic")])
def test_only_a_vms_id_is_one(bad: str) -> None:
    with pytest.raises(ValueError, match="not the id of a virtual machine"):
        vm_names(bad)


def test_a_vms_id_in_any_case() -> None:
    assert vm_names(VM.upper()) == (SUB, "G", "VM-1")


def accepted(server: Server) -> Answer:
    return Answer(
        202, headers={"Location": f"{server.url}/l?m=1", "Azure-AsyncOperation": f"{server.url}/op", "Retry-After": "1"}
    )


async def test_a_run_command_returns_its_polling_url_at_once(server: Server, session: Session) -> None:
    server.on("POST", "/runCommand$", accepted(server))
    begun = await session.compute.run_command(VM, SCRIPT, {"drkit_registrations": "codespaces\t~/.x; rm -rf /"})
    assert (begun.style, begun.url, begun.retry_after) == ("location", f"{server.url}/l?m=1", 5)
    sent = json.loads(server.calls("POST")[0].body)
    assert sent == {
        "commandId": "RunShellScript",
        "script": [TEXT],
        "parameters": [{"name": "drkit_registrations", "value": "Y29kZXNwYWNlcwl-Ly54OyBybSAtcmYgLw"}],
    }
    assert session.counters.calls["probe"] == 1
    assert session.counters.calls["write"] == 0
    output = {
        "value": [{"code": "ProvisioningState/succeeded", "message": "Enable succeeded: \n[stdout]\n{}\n[stderr]\n"}]
    }
    server.on("GET", "/l$", Answer(202), Answer(200, json=output))
    assert (await session.rest.poll(begun)).state == "running"
    assert run_command_output((await session.rest.poll(begun)).body) == ("{}", "")


async def test_a_script_for_powershell_is_run_by_powershell(server: Server, session: Session) -> None:
    server.on("POST", "/runCommand$", accepted(server))
    script = host_scripts.load("probe_windows")
    await session.compute.run_command(VM, script, {"drkit_registrations": ""})
    sent = json.loads(server.calls("POST")[0].body)
    assert sent == {"commandId": "RunPowerShellScript", "script": [script.text], "parameters": []}
    assert session.counters.calls["probe"] == 1


async def test_a_probe_needs_permission(server: Server, clock: FakeClock) -> None:
    server.on("POST", "/runCommand$", accepted(server))
    async with Session(cloud_of(server), clock=clock, guard=reading(SCRIPT.sha256), reads=READS) as session:
        await session.compute.run_command(VM, SCRIPT, {"drkit_registrations": ""})
        other = HostScript("other", "rm -rf /", "", ())
        with pytest.raises(GuardError, match="not one of the probes"):
            await session.compute.run_command(VM, other, {})
    async with Session(cloud_of(server), clock=clock, guard=reading()) as session:
        with pytest.raises(GuardError):
            await session.compute.run_command(VM, SCRIPT, {"drkit_registrations": ""})
    assert len(server.calls("POST")) == 1


@pytest.mark.parametrize("answer", [Answer(503), Answer(act="cut"), Answer(200, body=b"<html>")])
async def test_a_run_command_whose_fate_is_unknown_is_sent_once(
    server: Server, session: Session, answer: Answer
) -> None:
    server.on("POST", "/runCommand$", answer)
    with pytest.raises(UnknownFateError):
        await session.compute.run_command(VM, SCRIPT, {"drkit_registrations": ""})
    assert len(server.calls("POST")) == 1


async def test_a_busy_vm_is_a_conflict(server: Server, session: Session) -> None:
    fault = {"error": {"code": "Conflict", "message": "Run command extension execution is in progress."}}
    server.on("POST", "/runCommand$", Answer(409, json=fault))
    with pytest.raises(ConflictError, match="in progress"):
        await session.compute.run_command(VM, SCRIPT, {"drkit_registrations": ""})


async def test_a_missing_parameter_is_an_error(server: Server, session: Session) -> None:
    with pytest.raises(KeyError):
        await session.compute.run_command(VM, SCRIPT, {})
    assert server.seen == []


def linux(message: str) -> dict[str, Any]:
    return {"value": [{"code": "ProvisioningState/succeeded", "level": "Info", "message": message}]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (linux("Enable succeeded: \n[stdout]\nout\n\n[stderr]\nerr\n"), ("out", "err")),
        (linux("Enable succeeded: \n[stdout]\n\n[stderr]\n"), ("", "")),
        (
            linux("Enable succeeded: \n[stdout]\nsays [stderr] itself\nlast\n[stderr]\n"),
            ("says [stderr] itself\nlast", ""),
        ),
        (linux("Enable succeeded: \n[stdout]\nonly out\n"), ("only out", "")),
        (linux("Enable failed: the agent is not ready"), ("", "Enable failed: the agent is not ready")),
        ({"properties": {"output": linux("x\n[stdout]\na\n[stderr]\nb")}}, ("a", "b")),
        ({"output": linux("x\n[stdout]\na\n[stderr]\nb")}, ("a", "b")),
        (
            {
                "value": [
                    {"code": "ComponentStatus/StdOut/succeeded", "message": "out"},
                    {"code": "ComponentStatus/StdErr/succeeded", "message": "err"},
                ]
            },
            ("out", "err"),
        ),
        ({"value": [{"code": "ComponentStatus/StdOut/succeeded", "message": None}]}, ("", "")),
        ({"value": ["odd", {}]}, ("", "")),
        ({"value": None}, ("", "")),
        (None, ("", "")),
        ("text", ("", "")),
    ],
)
def test_the_output_of_a_run_command(body: Any, expected: tuple[str, str]) -> None:
    assert run_command_output(body) == expected


async def test_health(server: Server, reader: Session) -> None:
    status = {"id": f"{VM}/providers/Microsoft.ResourceHealth/availabilityStatuses/current", "properties": {}}
    event = {"name": "BC_1-FXZ", "properties": {"eventLevel": "Warning"}}
    server.on("GET", "/availabilityStatuses$", Answer(json={"value": [status]}))
    server.on("GET", "/events$", Answer(json={"value": [event], "nextLink": f"{server.url}/more"}))
    server.on("GET", "/more$", Answer(json={"value": [event]}))
    assert await reader.health.availability(VM) == [status]
    assert await reader.health.availability_by_subscription(SUB) == [status]
    assert await reader.health.events(SUB, datetime(2026, 11, 3, 5, tzinfo=UTC)) == [event, event]
    paths = [call.path for call in server.calls("GET")]
    assert paths[:2] == [
        f"{VM}/providers/Microsoft.ResourceHealth/availabilityStatuses",
        f"{S}/providers/Microsoft.ResourceHealth/availabilityStatuses",
    ]
    assert server.calls("GET", "/events")[0].query["queryStartTime"] == "11/3/2026"
