"""Resource Manager, asked by the genuine SDK."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential

from tests.support.patience import PATIENCE
from tests.support.simulator_thread import OTHER_SUB, SUB, TENANT, Running, group_id, vm_id

Fresh = Callable[..., Running]
API = "2024-11-01"
PLANS = "Microsoft.Codespaces/plans"


def code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    assert error.value.error is not None
    return str(error.value.error.code)


def test_groups_are_found_in_any_case_and_listed_with_their_tags(azure: Running) -> None:
    client = azure.resources()
    assert {group.name for group in client.resource_groups.list()} == {"dev-ne", "dev-we"}
    assert [g.name for g in client.resource_groups.list(filter="tagName eq 'team' and tagValue eq 'web'")] == ["dev-ne"]
    assert client.resource_groups.get("DEV-NE").location == "northeurope"
    assert client.resource_groups.check_existence("Dev-Ne")
    assert not client.resource_groups.check_existence("nowhere")


def test_a_group_is_created_updated_and_deleted(fresh: Fresh) -> None:
    client = fresh().resources()
    made = client.resource_groups.create_or_update("dr-eus", {"location": "East US", "tags": {"drkit-target": "true"}})
    assert (made.location, made["properties"]["provisioningState"]) == ("eastus", "Succeeded")
    assert client.resource_groups.create_or_update("dr-eus", {"location": "eastus"}).tags is None
    client.resource_groups.begin_delete("dr-eus").result()
    with pytest.raises(ResourceNotFoundError) as error:
        client.resource_groups.get("dr-eus")
    assert code(error) == "ResourceGroupNotFound"


@pytest.mark.parametrize(
    ("name", "location", "wanted"),
    [
        ("dev-ne", "eastus", "InvalidResourceGroupLocation"),
        ("new", "atlantis", "LocationNotAvailableForResourceGroup"),
    ],
)
def test_a_group_stays_where_it_is(azure: Running, name: str, location: str, wanted: str) -> None:
    with pytest.raises(HttpResponseError) as error:
        azure.resources().resource_groups.create_or_update(name, {"location": location})
    assert code(error) == wanted


def test_resources_are_listed_by_subscription_group_type_and_tag(azure: Running) -> None:
    client = azure.resources()
    vms = client.resources.list(filter="resourceType eq 'Microsoft.Compute/virtualMachines'")
    assert {vm.name for vm in vms} == {"web-01", "web-02", "stray", "win-01"}
    assert {r.name for r in client.resources.list_by_resource_group("dev-we") if r.type and "virtual" in r.type} == {
        "web-02",
        "stray",
    }
    assert [r.name for r in client.resources.list(filter="tagName eq 'role' and tagValue eq 'web'")] == ["web-01"]
    with pytest.raises(HttpResponseError) as error:
        list(client.resources.list(filter="colour eq 'blue'"))
    assert code(error) == "InvalidFilterInQueryString"


def test_any_resource_is_read_by_its_id_in_any_case(azure: Running) -> None:
    client = azure.resources()
    machine = f"{group_id('DEV-ne')}/providers/microsoft.hybridcompute/MACHINES/Cupboard"
    found = client.resources.get_by_id(machine, api_version=API)
    assert (found.name, found["properties"]["status"]) == ("cupboard", "Connected")
    assert client.resources.check_existence_by_id(machine, api_version=API)
    assert not client.resources.check_existence_by_id(machine + "2", api_version=API)
    with pytest.raises(ResourceNotFoundError) as error:
        client.resources.get_by_id(machine + "2", api_version=API)
    assert code(error) == "ResourceNotFound"


def test_a_resource_is_put_patched_and_deleted_by_its_id(fresh: Fresh) -> None:
    client = fresh().resources()
    disk = f"{group_id('dev-ne')}/providers/Microsoft.Compute/disks/spare"
    body = {"location": "northeurope", "properties": {"diskSizeGB": 8}}
    made = client.resources.begin_create_or_update_by_id(disk, parameters=body, api_version=API).result()
    assert made.properties == {"diskSizeGB": 8, "provisioningState": "Succeeded"}
    with pytest.raises(HttpResponseError) as error:
        client.resources.begin_create_or_update_by_id(disk, parameters={"location": "eastus"}, api_version=API)
    assert (code(error), error.value.status_code) == ("InvalidResourceLocation", 409)
    client.resources.begin_update_by_id(disk, parameters={"tags": {"a": "b"}}, api_version=API).result()
    assert client.resources.get_by_id(disk, api_version=API).tags == {"a": "b"}
    client.resources.begin_delete_by_id(disk, api_version=API).result()
    assert not client.resources.check_existence_by_id(disk, api_version=API)


def test_pages_are_followed_over_next_link(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drkit.simulator.core.wire.page.__defaults__", (2,))
    running = fresh()
    assert len(list(running.resources().resources.list())) == 9
    pages = [line for line in running.view("record")["requests"] if line["path"].endswith("/resources")]
    assert len(pages) == 5


def test_an_unregistered_provider_refuses_until_it_is_registered(fresh: Fresh) -> None:
    running = fresh()
    client = running.resources(subscription=OTHER_SUB)
    client.resource_groups.create_or_update("lab", {"location": "eastus"})
    plan = f"{group_id('lab', OTHER_SUB)}/providers/{PLANS}/lab"

    def put() -> None:
        client.resources.begin_create_or_update_by_id(
            plan, parameters={"location": "eastus", "properties": {}}, api_version="2020-06-16"
        ).result()

    with pytest.raises(HttpResponseError) as error:
        put()
    assert (code(error), error.value.status_code) == ("MissingSubscriptionRegistration", 409)
    assert client.providers.register("Microsoft.Codespaces").registration_state == "Registering"
    while client.providers.get("Microsoft.Codespaces").registration_state != "Registered":
        pass
    put()


def test_providers_say_where_their_types_exist(azure: Running) -> None:
    found = azure.resources().providers.get("microsoft.codespaces")
    types = {kind.resource_type: kind.locations for kind in found.resource_types or []}
    assert types == {"plans": ["East US", "Southeast Asia", "West Europe", "West US 2"]}
    assert found.namespace == "Microsoft.Codespaces"


def test_a_capacity_shortage_and_a_quota_refuse_a_new_vm(fresh: Fresh) -> None:
    running = fresh()
    client = running.resources()

    def put(name: str) -> None:
        body = {"location": "eastus", "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}}}
        client.resources.begin_create_or_update_by_id(vm_id(name), parameters=body, api_version=API)

    running.control("quota", region="East US", kind="sku", limit=0)
    with pytest.raises(HttpResponseError) as error:
        put("new")
    assert code(error) == "SkuNotAvailable"
    running.control("quota", region="eastus", kind="sku", limit=1)
    running.control("quota", subscription=SUB, region="eastus", kind="cores", limit=2)
    put("new")
    with pytest.raises(HttpResponseError) as error:
        put("newer")
    assert code(error) == "OperationNotAllowed"
    assert "Total Regional Cores quota" in str(error.value.message)


def test_a_reader_may_read_and_not_write(azure: Running) -> None:
    client = azure.resources("reader")
    assert client.resource_groups.get("dev-ne").name == "dev-ne"
    with pytest.raises(HttpResponseError) as error:
        client.resource_groups.create_or_update("dr", {"location": "eastus"})
    assert (code(error), error.value.status_code) == ("AuthorizationFailed", 403)
    assert "'Microsoft.Resources/subscriptions/resourceGroups/write'" in str(error.value.message)


def test_role_assignments_list_who_may_do_what(fresh: Fresh) -> None:
    plan = f"{group_id('dev-we')}/providers/{PLANS}/west"
    running = fresh(assignments=[{"principal": "someone", "role": "reader", "scope": plan, "kind": "User"}])
    at = f"{plan}/providers/Microsoft.Authorization/roleAssignments"
    principals = running.ready["principals"]
    found = {a["properties"]["principalId"]: a["properties"] for a in running.get(at).json()["value"]}
    assert found.keys() == {"someone", *(one["object_id"] for one in principals.values())}
    assert found["someone"]["scope"] == plan
    above = running.get(
        f"{group_id('dev-we')}/providers/Microsoft.Authorization/roleAssignments", **{"$filter": "atScope()"}
    )
    assert "someone" not in {a["properties"]["principalId"] for a in above.json()["value"]}


def test_locations_have_display_names_and_pairs(azure: Running) -> None:
    found = {one["name"]: one for one in azure.get(f"/subscriptions/{SUB}/locations").json()["value"]}
    assert found["westeurope"]["displayName"] == "West Europe"
    assert found["westeurope"]["metadata"]["pairedRegion"][0]["name"] == "northeurope"


@pytest.mark.parametrize(
    ("path", "query", "status", "wanted"),
    [
        (f"/subscriptions/{SUB}", {"api-version": ""}, 400, "MissingApiVersionParameter"),
        (f"/subscriptions/{SUB}", {"api-version": "latest"}, 400, "InvalidApiVersionParameter"),
        ("/subscriptions/33333333-3333-4333-8333-333333333333", {}, 404, "SubscriptionNotFound"),
        (f"/subscriptions/{SUB}/providers/Microsoft.Nothing", {}, 404, "InvalidResourceNamespace"),
    ],
)
def test_refusals_have_azures_codes(azure: Running, path: str, query: dict[str, str], status: int, wanted: str) -> None:
    answer = azure.get(path, **query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, wanted)


def test_every_answer_carries_request_ids_and_what_remains(azure: Running) -> None:
    answer = azure.get(f"/subscriptions/{SUB}/resourcegroups")
    assert answer.headers["x-ms-request-id"] == answer.headers["x-ms-correlation-request-id"]
    assert int(answer.headers["x-ms-ratelimit-remaining-subscription-reads"]) > 200
    assert answer.headers["x-ms-routing-request-id"].startswith("NORTHEUROPE:")


def test_slashes_that_az_doubles_count_once(azure: Running) -> None:
    assert azure.get(f"/subscriptions/{SUB}/resourcegroups//dev-ne/").status_code == 200


def test_without_a_token_nothing_is_answered(azure: Running) -> None:
    answer = azure.http.get(azure.ready["arm"] + f"/subscriptions/{SUB}?api-version=2022-12-01", timeout=PATIENCE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AuthenticationFailed")
    assert TENANT in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("tenant", "client", "secret", "wanted"),
    [
        (None, None, "wrong", "AADSTS7000215"),
        (None, "44444444-4444-4444-8444-444444444444", None, "AADSTS700016"),
        ("55555555-5555-4555-8555-555555555555", None, None, "double check your tenant"),
    ],
)
def test_a_wrong_secret_client_or_tenant_gets_no_token(
    azure: Running, tenant: str | None, client: str | None, secret: str | None, wanted: str
) -> None:
    credential = ClientSecretCredential(
        tenant or azure.ready["tenant"],
        client or azure.ready["client_id"],
        secret or azure.ready["client_secret"],
        authority=azure.ready["authority"],
        disable_instance_discovery=True,
        connection_verify=azure.ready["ca_bundle"],
        retry_total=0,
    )
    with pytest.raises((ClientAuthenticationError, ValueError), match=wanted):
        credential.get_token("https://management.azure.com/.default")


def test_a_token_that_expired_is_refused_and_a_new_one_serves(fresh: Fresh) -> None:
    running = fresh()
    bearer = running.bearer()
    url = running.ready["arm"] + "/subscriptions?api-version=2022-12-01"
    assert running.http.get(url, headers=bearer, timeout=PATIENCE).status_code == 200
    running.control("token", expires_in=60, expire=True)
    refused = running.http.get(url, headers=bearer, timeout=PATIENCE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")
    assert running.http.get(url, headers=running.bearer(), timeout=PATIENCE).status_code == 200


async def test_the_asynchronous_client_works_too(azure: Running) -> None:
    from azure.core.credentials import AccessToken
    from azure.mgmt.resource.resources.aio import ResourceManagementClient as AsyncClient

    token = azure.bearer()["Authorization"].partition(" ")[2]

    class Held:
        async def get_token(self, *scopes: str, **more: object) -> AccessToken:
            return AccessToken(token, 2**40)

        async def close(self) -> None: ...

        async def __aenter__(self) -> Held:
            return self

        async def __aexit__(self, *error: object) -> None: ...

    async with AsyncClient(Held(), SUB, **azure.client_options()) as client:
        assert {group.name async for group in client.resource_groups.list()} == {"dev-ne", "dev-we"}
