"""Plans and environments over the socket: the SDK where one covers it, plain requests where none does."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from azure.mgmt.resource.resources.aio import ResourceManagementClient as AsyncResourceManagementClient

from drkit import products
from drkit.simulator import sample_seed
from drkit.simulator.codespaces.environments import STATUS
from drkit.simulator.core.clock import SimulatedClock
from drkit.simulator.samples.estate import Names
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import Running

NAMES = Names(1)
SUB = NAMES.guid("subscription", "engineering")
WEST, EAST, RESEARCH = (NAMES.plan(n) for n in ("vso-plan-westeurope", "vso-plan-eastus", "plan-research-weu"))
PLATFORM = NAMES.plan("plan-platform-eus")
VSONLINE = {"api-version": "2020-05-26-preview"}
TARGET_GROUP = NAMES.group("rg-dev-dr-eus")


class Estate(Running):
    """The sample estate, with what an environment client does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, sample_seed())
        self.world = self.simulator.world

    def wait(self, seconds: float) -> None:
        """Lets simulated time pass; the next request finds it gone."""
        clock = self.world.clock
        self.world.clock = SimulatedClock(clock.origin + timedelta(seconds=seconds), clock.started, clock.speed)

    def arm(self, method: str, path: str, role: str = "owner", **more: Any) -> requests.Response:
        headers, url = self.bearer(role), self.ready["arm"] + path
        return self.http.request(method, url, params=VSONLINE, headers=headers, timeout=PATIENCE, **more)

    def token(self, plan: str, action: str, role: str = "owner", **body: Any) -> str:
        answer = self.arm("POST", f"{plan}/{action}", role, json=body or None)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["accessToken"])

    def delegate(self, plan: str, person: str) -> str:
        who = {"id": NAMES.owner(person), "username": f"{person}@halden.example", "displayName": person}
        return self.token(plan, "writeDelegates", scope="write:environments", identity=who)

    def service(self, method: str, path: str, token: str = "", region: str = "", **more: Any) -> requests.Response:
        """One request to the global host or a region's, redirects not followed."""
        host = f"{region}.online.visualstudio.com" if region else "online.visualstudio.com"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.ready["services"][host] + path
        return self.http.request(method, url, headers=headers, allow_redirects=False, timeout=PATIENCE, **more)

    def listed(self, plan: str, token: str, region: str) -> list[Any]:
        answer = self.service("GET", "/api/v1/environments", token, region, params={"planId": plan})
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def create(self, token: str, region: str = "eastus", **changes: Any) -> requests.Response:
        body = {
            "planId": EAST,
            "friendlyName": "orders-again",
            "type": "cloudEnvironment",
            "skuName": "standardLinux",
            "autoShutdownDelayMinutes": 30,
            "experimentalFeatures": {"customContainers": True},
            "seed": {"type": "git", "moniker": "https://github.com/halden/orders"},
            **changes,
        }
        return self.service("POST", "/api/v1/environments", token, region, json=body)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """For tests that leave no trace."""
    estate = Estate(tmp_path_factory.mktemp("estate"))
    yield estate
    estate.stop()


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    one = Estate(tmp_path)
    yield one
    one.stop()


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


# plans


def test_the_sdk_makes_reads_lists_and_deletes_a_plan(estate: Estate) -> None:
    plan = f"{TARGET_GROUP}/providers/Microsoft.Codespaces/plans/plan-dr-eus"
    version = "2020-06-16"
    with estate.resources(subscription=SUB) as client:
        body: Any = {"location": "eastus", "properties": {}, "tags": {"drkit-run": "r1"}}
        made = client.resources.begin_create_or_update_by_id(plan, body, api_version=version).result()
        assert (made.id, made.type, made.location) == (plan, "Microsoft.Codespaces/plans", "eastus")
        assert client.resources.get_by_id(plan, api_version=version).tags == {"drkit-run": "r1"}
        wanted = "resourceType eq 'Microsoft.Codespaces/plans'"
        assert [one.name for one in client.resources.list(filter=wanted)] == ["plan-dr-eus"]
        client.resources.begin_delete_by_id(plan, api_version=version).result()
    assert estate.arm("GET", plan).json()["error"]["code"] == "ResourceNotFound"
    assert estate.arm("DELETE", plan).status_code == 204


async def test_the_asynchronous_sdk_makes_a_plan_too(estate: Estate) -> None:
    plan = f"{TARGET_GROUP}/providers/Microsoft.VSOnline/plans/plan-dr-eus"
    ready: Any = estate.ready
    ca: Any = {"connection_verify": ready["ca_bundle"], "retry_total": 0}
    secret = (ready["tenant"], ready["client_id"], ready["client_secret"])
    where: Any = {"authority": ready["authority"], "disable_instance_discovery": True, **ca}
    async with (
        AsyncClientSecretCredential(*secret, **where) as credential,
        AsyncResourceManagementClient(credential, SUB, base_url=ready["arm"], **ca) as client,
    ):
        body: Any = {"location": "eastus", "properties": {"defaultEnvironmentSku": "standardLinux"}}
        version = VSONLINE["api-version"]
        poller = await client.resources.begin_create_or_update_by_id(plan, body, api_version=version)
        assert (await poller.result()).id == plan


def test_a_plan_is_written_as_in_the_recordings(estate: Estate) -> None:
    plan = f"{TARGET_GROUP}/providers/Microsoft.Codespaces/plans/azclitest-codespace-plan"
    answer = estate.arm("PUT", plan, json={"location": "eastus", "properties": {}})
    assert answer.status_code == 200
    assert answer.json() == {
        "id": plan,
        "name": "azclitest-codespace-plan",
        "type": "Microsoft.Codespaces/plans",
        "location": "eastus",
        "properties": {},
    }


@pytest.mark.parametrize("form", ["", "/"])
def test_plans_are_listed_by_subscription_and_group(shared: Estate, form: str) -> None:
    in_group = shared.arm("GET", f"{NAMES.group('rg-dev-weu')}/providers/Microsoft.VSOnline/plans{form}").json()
    assert [plan["name"] for plan in in_group["value"]] == ["vso-plan-westeurope"]
    everywhere = shared.arm("GET", f"/subscriptions/{SUB}/providers/Microsoft.VSOnline/plans{form}").json()
    assert [plan["name"] for plan in everywhere["value"]] == ["vso-plan-westeurope", "vso-plan-eastus"]


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("vso-plan-eastus", {"location": "westus2"}, 409, "InvalidResourceLocation"),
        ("new", {"location": "northeurope"}, 400, "LocationNotAvailableForResourceType"),
        ("new", {"properties": {}}, 400, "LocationRequired"),
    ],
)
def test_a_plan_that_cannot_be(shared: Estate, name: str, body: dict[str, Any], status: int, code: str) -> None:
    path = f"{NAMES.group('rg-dev-eus')}/providers/Microsoft.VSOnline/plans/{name}"
    answer = shared.arm("PUT", path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_plans_are_counted_by_subscription(estate: Estate) -> None:
    estate.control("quota", subscription=SUB, kind="plans", limit=2)
    path = f"{TARGET_GROUP}/providers/Microsoft.Codespaces/plans/third"
    answer = estate.arm("PUT", path, json={"location": "eastus"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ExceededQuota")
    assert estate.arm("PUT", EAST, json={"location": "eastus"}).status_code == 200


def test_patch_keeps_the_location_and_what_it_does_not_name(estate: Estate) -> None:
    answer = estate.arm("PATCH", EAST, json={"tags": {"a": "b"}}).json()
    assert answer["tags"] == {"a": "b"}
    assert answer["properties"]["defaultAutoSuspendDelayMinutes"] == 30
    moved = estate.arm("PATCH", EAST, json={"location": "westus2"})
    assert moved.json()["error"]["code"] == "InvalidResourceLocation"


def test_writes_to_a_lost_region_fail_and_reads_go_on(estate: Estate) -> None:
    estate.control("lose", region="westeurope")
    assert estate.arm("GET", WEST).status_code == 200
    for method, path in (("PUT", WEST), ("PATCH", WEST), ("DELETE", WEST), ("POST", f"{WEST}/readAllEnvironments")):
        answer = estate.arm(method, path, json={"location": "westeurope"})
        assert answer.status_code == 503, (method, path)
    elsewhere = f"{NAMES.group('rg-dev-weu')}/providers/Microsoft.VSOnline/plans/new"
    assert estate.arm("PUT", elsewhere, json={"location": "eastus"}).status_code == 503
    assert estate.arm("PUT", EAST, json={"location": "eastus"}).status_code == 200


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("reader", "readAllEnvironments", False),
        ("planner", "readAllEnvironments", True),
        ("planner", "writeDelegates", False),
        ("operator", "writeDelegates", True),
    ],
)
def test_who_may_have_which_token(shared: Estate, role: str, action: str, allowed: bool) -> None:
    who = {"id": "x", "username": "x", "displayName": "x"}
    answer = shared.arm("POST", f"{EAST}/{action}", role, json={"scope": "s", "identity": who})
    assert answer.status_code == (200 if allowed else 403)
    assert allowed or answer.json()["error"]["code"] == "AuthorizationFailed"


@pytest.mark.parametrize(("plan", "noun"), [(EAST, "Environments"), (PLATFORM, "Codespaces")])
def test_token_actions_are_named_by_the_namespace(shared: Estate, plan: str, noun: str) -> None:
    assert claims(shared.token(plan, f"readAll{noun}"))["plan"] == plan
    wrong = {"Environments": "readAllCodespaces", "Codespaces": "readAllEnvironments"}[noun]
    assert shared.arm("POST", f"{plan}/{wrong}").status_code == 404


def test_a_delegate_must_be_named(shared: Estate) -> None:
    answer = shared.arm("POST", f"{EAST}/writeDelegates", json={"scope": "s", "identity": {"id": "x"}})
    assert answer.json()["error"]["code"] == "InvalidRequestContent"


# the service


def test_an_environment_has_the_published_names_and_types(estate: Estate) -> None:
    """Against the service's own OpenAPI of 2020-09-24. What differs is what the official client sends and reads."""
    published = Path(__file__).parents[3] / "shared/data/openapi/codespaces-environments-2020-09-24.yaml"
    if not published.exists():
        pytest.skip(f"no {published.name} beside this checkout")
    schemas = yaml.safe_load(published.read_text("utf-8"))["components"]["schemas"]
    token = estate.delegate(EAST, "bram")
    made = estate.create(token).json()
    static = estate.listed(EAST, estate.delegate(EAST, "dmitri"), "eastus")[-1]
    client_says = {
        "seed": {"type": str, "moniker": str},  # azure-cli-extensions, src/codespaces/azext_codespaces/custom.py
        "connection": {"sessionId": str, "sessionPath": str},  # an early gh client, and the agent's _callback
    }
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    for body in (made, static):
        assert body.keys() == schemas["CloudEnvironmentResult"]["properties"].keys()
        for name, schema in schemas["CloudEnvironmentResult"]["properties"].items():
            value = body[name]
            if name in client_says and value is not None:
                assert {key: type(one) for key, one in value.items()} == client_says[name]
            elif "$ref" in schema and value is not None:
                properties = schemas[schema["$ref"].rpartition("/")[2]]["properties"]
                assert {key: type(one) for key, one in value.items()} == {
                    key: kinds[one["type"]] for key, one in properties.items()
                }
            elif value is not None:
                assert type(value) is kinds[schema["type"]], name
                assert schema.get("format") != "date-time" or datetime.fromisoformat(str(value)).tzinfo
    problem = estate.service("GET", f"/api/v1/environments/{uuid.uuid4()}", token, "eastus").json()
    assert problem.keys() <= schemas["ProblemDetails"]["properties"].keys()
    locations = estate.service("GET", "/api/v1/locations").json()
    assert locations.keys() == schemas["LocationsResult"]["properties"].keys()  # strings, not the enum: recorded
    location = estate.service("GET", "/api/v1/locations/eastus").json()
    assert location.keys() == schemas["LocationInfoResult"]["properties"].keys()
    assert location["skus"][0].keys() == schemas["SkuInfoResult"]["properties"].keys()
    codes = {int(text.partition(" ")[0]) for text in schemas["MessageCodes"]["enum"]}
    assert set(STATUS) <= codes


def test_locations_as_recorded(shared: Estate) -> None:
    answer = shared.service("GET", "/api/v1/locations", region="westus2")
    names = ["EastUs", "SouthEastAsia", "WestEurope", "WestUs2"]
    assert answer.json() == {
        "current": "WestUs2",
        "available": names,
        "hostnames": {name: f"{name.lower()}.online.visualstudio.com" for name in names},
    }
    skus = shared.service("GET", "/api/v1/Locations/WestUs2").json()
    assert skus["defaultAutoSuspendDelayMinutes"] == [5, 30, 60, 120]
    assert {"name": "standardLinux", "displayName": "Standard (Linux): 4 cores, 8 GB RAM", "os": "Linux"} in skus[
        "skus"
    ]
    assert shared.service("GET", "/api/v1/locations/northeurope").status_code == 404
    assert shared.service("GET", "/health", region="eastus").text == "Healthy"


@pytest.mark.parametrize("asked", ["", "eastus"])
def test_what_concerns_a_plan_is_redirected_to_the_public_host_of_its_region(shared: Estate, asked: str) -> None:
    token = shared.token(WEST, "readAllEnvironments")
    answer = shared.service("GET", "/api/v1/environments", token, asked, params={"planId": WEST})
    assert answer.status_code == 307
    location = answer.headers["Location"]
    assert location.startswith("https://westeurope.online.visualstudio.com/api/v1/environments?planId=")
    again = requests.Request("GET", location).prepare().path_url
    assert len(shared.service("GET", again, token, "westeurope").json()) == 10


def test_a_readall_token_sees_everybodys_a_write_token_ones_own(shared: Estate) -> None:
    everybodys = shared.listed(EAST, shared.token(EAST, "readAllEnvironments", "planner"), "eastus")
    assert {one["friendlyName"] for one in everybodys} == {
        "orders-api-us",
        "billing",
        "billing-tax",
        "billing-batch",
        "fraud-rules",
    }
    owns = shared.listed(EAST, shared.delegate(EAST, "aoife"), "eastus")
    assert [one["friendlyName"] for one in owns] == ["orders-api-us"]
    assert shared.listed(EAST, shared.delegate(EAST, "kwame"), "eastus") == []
    one = owns[0]
    assert one["ownerId"] == NAMES.owner("aoife")
    assert one["seed"] == {"type": "git", "moniker": "https://github.com/halden/orders"}
    assert (one["location"], one["state"], one["hasUnpushedGitChanges"]) == ("EastUs", "Shutdown", False)


@pytest.mark.parametrize("bearer", ["", "nonsense"])
def test_without_a_token_of_the_service_it_answers_401(shared: Estate, bearer: str) -> None:
    answer = shared.service("GET", "/api/v1/environments", bearer, "eastus", params={"planId": EAST})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["status"] == 401


def test_a_token_counts_for_its_plan_and_its_life(shared: Estate) -> None:
    token = shared.token(PLATFORM, "readAllCodespaces")
    answer = shared.service("GET", "/api/v1/environments", token, "eastus", params={"planId": EAST})
    assert answer.status_code == 403
    shared.world.service_tokens[token]["ends"] = 0
    answer = shared.service("GET", "/api/v1/environments", token, "eastus", params={"planId": PLATFORM})
    assert answer.status_code == 401


def test_a_managed_environment_comes_up_in_its_own_time_for_its_owner(estate: Estate) -> None:
    token = estate.delegate(EAST, "bram")
    answer = estate.create(token)
    made = answer.json()
    assert (answer.status_code, made["state"], made["ownerId"]) == (201, "Queued", NAMES.owner("bram"))
    seen = []
    for seconds in (6, 61):
        estate.wait(seconds)
        seen.append(estate.service("GET", f"/api/v1/environments/{made['id']}", token, "eastus").json()["state"])
    assert seen == ["Provisioning", "Available"]


def test_an_environment_belongs_to_the_identity_in_its_token(estate: Estate) -> None:
    mine = estate.delegate(EAST, "aoife")
    made = estate.create(mine).json()
    assert made["ownerId"] == NAMES.owner("aoife")
    path, other = f"/api/v1/environments/{made['id']}", estate.delegate(EAST, "bram")
    for method in ("GET", "PATCH", "DELETE"):
        assert estate.service(method, path, other, "eastus").status_code == 403
    reader = estate.token(EAST, "readAllEnvironments")
    assert estate.service("GET", path, reader, "eastus").status_code == 200
    assert estate.service("DELETE", path, reader, "eastus").status_code == 403
    assert estate.service("DELETE", path, mine, "eastus").status_code == 204
    assert estate.service("GET", path, reader, "eastus").status_code == 404


def _taken(estate: Estate) -> dict[str, Any]:
    return {"friendlyName": "Orders-API-us"}


def _invisible(estate: Estate) -> dict[str, Any]:
    estate.world.environments[NAMES.guid("environment", "vso-plan-eastus", "billing")].invisible = True
    return {"friendlyName": "billing"}


def _full(estate: Estate) -> dict[str, Any]:
    estate.control("quota", kind="environments", limit=5)
    return {}


def _no_cores(estate: Estate) -> dict[str, Any]:
    estate.control("quota", subscription=SUB, region="eastus", kind="cores", limit=11)
    return {}


def _crowded(estate: Estate) -> dict[str, Any]:
    estate.control("quota", region="eastus", kind="sku", limit=0)
    return {}


@pytest.mark.parametrize(
    ("arrange", "status", "code"),
    [
        (_taken, 409, 2),
        (_invisible, 409, 2),
        (_full, 403, 1),
        (_no_cores, 403, 1),
        (_crowded, 503, 8),
        (lambda _: {"planId": EAST + "x"}, 400, 24),
        (lambda _: {"skuName": "hugeLinux"}, 400, 12),
        (lambda _: {"autoShutdownDelayMinutes": 7}, 400, 10),
    ],
)
def test_a_refused_create_is_a_bare_message_code(
    estate: Estate, arrange: Callable[[Estate], dict[str, Any]], status: int, code: int
) -> None:
    token = estate.delegate(EAST, "bram")
    answer = estate.create(token, **arrange(estate))
    assert (answer.status_code, answer.json()) == (status, code)


def test_an_invisible_record_is_in_no_list(estate: Estate) -> None:
    name = _invisible(estate)["friendlyName"]
    listed = estate.listed(EAST, estate.token(EAST, "readAllEnvironments"), "eastus")
    assert name not in {one["friendlyName"] for one in listed}


def test_an_environment_does_not_change_its_region(estate: Estate) -> None:
    path = f"/api/v1/environments/{NAMES.guid('environment', 'vso-plan-eastus', 'billing')}"
    token = estate.delegate(EAST, "dmitri")
    answer = estate.service("PATCH", path, token, "eastus", json={"planId": WEST})
    assert (answer.status_code, answer.json()) == (400, [23])
    renamed = estate.service("PATCH", path, token, "eastus", json={"friendlyName": "billing-2"})
    assert renamed.json()["friendlyName"] == "billing-2"


def test_a_lost_region_refuses_and_what_it_held_comes_back(estate: Estate) -> None:
    token = estate.token(WEST, "readAllEnvironments")
    before = estate.listed(WEST, token, "westeurope")
    estate.control("lose", region="westeurope")
    redirected = estate.service("GET", "/api/v1/environments", token, params={"planId": WEST})
    assert redirected.status_code == 307
    with pytest.raises(requests.ConnectionError):
        estate.listed(WEST, token, "westeurope")
    assert "WestEurope" not in estate.service("GET", "/api/v1/locations").json()["available"]
    estate.control("restore", region="westeurope")
    assert estate.listed(WEST, token, "westeurope") == before


def test_a_lost_region_may_also_be_silent(estate: Estate) -> None:
    estate.control("lose", region="westeurope", mode="hang")
    with pytest.raises(requests.Timeout):
        estate.http.get(estate.ready["services"]["westeurope.online.visualstudio.com"] + "/health", timeout=0.3)


def test_a_plans_environments_go_with_it(estate: Estate) -> None:
    estate.arm("DELETE", EAST)
    assert not [one for one in estate.view("state")["environments"] if one["plan"] == EAST]


def test_requests_to_the_service_are_on_record_with_whose_token_it_was(estate: Estate) -> None:
    estate.listed(EAST, estate.token(EAST, "readAllEnvironments", "planner"), "eastus")
    minted, listed = estate.view("record")["requests"][-2:]
    assert (minted["kind"], minted["principal"], minted["subject"]) == ("token", "planner", EAST)
    assert (listed["kind"], listed["principal"], listed["subject"]) == ("read", "planner", EAST)
    assert listed["host"] == "eastus.online.visualstudio.com"


def test_a_host_is_moved_through_its_run_command(estate: Estate) -> None:
    """The genuine scripts, by their hashes, from release to Available under another plan in another region."""
    estate.world.host_scripts = products.scripts().hashes()
    vm = NAMES.host("vm-orders-build", "rg-hosts-neu")
    where = {"drkit_user": "aoife", "drkit_registration": "~/.vsonline/environment.json"}
    old = NAMES.guid("environment", "vso-plan-westeurope", "orders-build")

    def run(script: str, **values: str) -> Any:
        given = [{"name": name, "value": value} for name, value in products.scripts().load(script).encode(values)]
        body = {"commandId": "RunShellScript", "script": [products.scripts().load(script).text], "parameters": given}
        started = estate.arm("POST", f"{vm}/runCommand", "operator", json=body)
        assert started.status_code == 202, started.text
        estate.wait(60)
        url = started.headers.get("Azure-AsyncOperation") or started.headers["Location"]
        result = estate.http.get(url, headers=estate.bearer("operator"), timeout=PATIENCE).json()
        message = result["properties"]["output"]["value"][0]["message"]
        return json.loads(message.partition("[stdout]\n")[2].partition("\n")[0])

    estate.control("lose", region="westeurope")
    found = run("probe", drkit_registrations="codespaces\t~/.vsonline/environment.json")
    assert found["registrations"][0]["id"] == old
    new = f"{TARGET_GROUP}/providers/Microsoft.VSOnline/plans/plan-dr-eus"
    assert estate.arm("PUT", new, "operator", json={"location": "eastus"}).status_code == 200
    release = {"drkit_nonce": "a" * 32, "drkit_environment": old, "drkit_timeout": "60", "drkit_force": "1", **where}
    assert run("codespaces_release", **release)["state"] == "released"
    what = {"drkit_plan": new, "drkit_name": "orders-build", "drkit_workspace": "/home/aoife/src/orders"}
    register = {"drkit_nonce": "b" * 32, "drkit_user": "aoife", "drkit_service": "1", **what}
    assert run("codespaces_register", **register)["state"] == "started"
    watch = {"drkit_nonce": "b" * 32, **where}
    assert run("codespaces_watch", **watch)["code"]
    estate.wait(60)
    seen = run("codespaces_watch", **watch)
    assert (seen["state"], seen["rc"]) == ("exited", 0)
    estate.wait(30)
    listed = estate.listed(new, estate.token(new, "readAllEnvironments", "planner"), "eastus")
    assert [(one["id"], one["state"], one["ownerId"]) for one in listed] == [
        (seen["id"], "Available", NAMES.owner("aoife"))
    ]
    estate.control("restore", region="westeurope")
    before = estate.listed(WEST, estate.token(WEST, "readAllEnvironments", "planner"), "westeurope")
    assert {one["state"] for one in before if one["id"] == old} == {"Unavailable"}


def test_control_shows_people_hosts_and_what_happens_to_them(estate: Estate) -> None:
    owner = NAMES.owner("aoife")
    assert estate.view(f"people/{owner}")["ready"] is False
    estate.wait(61)
    assert estate.view(f"people/{owner}")["ready"] is True
    host = NAMES.host("vm-orders-build", "rg-hosts-neu")
    before = next(one for one in estate.view("state")["hosts"] if one["id"] == host)
    after = estate.control("host", id=host, event="migrate")
    assert after["physical_host"] != before["physical_host"]
    assert after["boot_id"] == before["boot_id"]
    refused = estate.http.post(
        f"{estate.ready['control']}/host", json={"id": host, "event": "explode"}, timeout=PATIENCE
    )
    assert refused.status_code == 400
    assert "migrate" in refused.json()["error"]
