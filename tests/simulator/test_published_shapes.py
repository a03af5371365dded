"""The bodies the simulator emits against those Azure published: names, types, nesting.

Every member it emits must be published, with the same type, or stand in a table of exceptions with where it comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drkit.simulator import sample_seed
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import SUB, Running, seed, vm_id

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published examples are not beside the repository")

REST = "azure-rest-api-specs, the definition behind the example"
VM_EXCEPTIONS = {
    "properties.osProfile.linuxConfiguration": f"{REST} (LinuxConfiguration; the example is a Windows VM)",
    "properties.instanceView": f"{REST} (VirtualMachineInstanceView, with $expand=instanceView)",
}
STATUS_EXCEPTIONS = {
    "properties.recentlyResolved": f"{REST} (recentlyResolved: for 24 hours after an unplanned outage)"
}
EVENT_EXCEPTIONS: dict[str, str] = {}
CLIENT = "azure-cli-extensions, src/codespaces: what the official client sends and reads on the wire"
ENVIRONMENT_EXCEPTIONS = {
    "seed.type": CLIENT,
    "seed.moniker": CLIENT,
    "connection.sessionId": "early gh codespaces client: connection.sessionId",
    "connection.sessionPath": "the swagger's own _callback payload: sessionPath",
}
LOCATION_EXCEPTIONS = {
    "current": "recorded traffic, test_codespaces_location.yaml: a string",
    "available[]": "recorded traffic, test_codespaces_location.yaml: strings",
}
PLAN_EXCEPTIONS: dict[str, str] = {}


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {dict: "object", list: "array", str: "string", int: "number", float: "number"}.get(type(value), "null")


def merged(values: list[Any]) -> Any:
    """One object with every member of those in a list, so that elements are compared with all published ones."""
    if not all(isinstance(value, dict) for value in values):
        return values[0] if values else None
    keys = {key for value in values for key in value}
    return {key: merged_member([value[key] for value in values if key in value]) for key in keys}


def merged_member(values: list[Any]) -> Any:
    if all(isinstance(value, list) for value in values):
        return [element for value in values for element in value]
    return merged(values) if isinstance(values[0], dict) else values[0]


def unlike(emitted: Any, published: Any, excepted: dict[str, str], at: str = "") -> Iterator[str]:
    """What in ``emitted`` is not in ``published``, or of another type there."""
    if at in excepted or emitted is None or published is None:
        return
    if kind(emitted) != kind(published):
        yield f"{at}: {kind(emitted)}, published {kind(published)}"
    elif isinstance(emitted, dict):
        for key, value in emitted.items():
            inner = f"{at}.{key}".lstrip(".")
            if key in published:
                yield from unlike(value, published[key], excepted, inner)
            elif inner not in excepted and not at.endswith("tags"):
                yield f"{inner}: not published"
    elif isinstance(emitted, list):
        for element in emitted:
            yield from unlike(element, merged(published), excepted, f"{at}[]")


def against(schema: Any, schemas: dict[str, Any]) -> Any:
    """An example of an OpenAPI schema: every property with a value of its type."""
    if "$ref" in schema:
        return against(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if schema.get("type") == "array":
        return [against(schema["items"], schemas)]
    if "properties" in schema:
        return {name: against(inner, schemas) for name, inner in schema["properties"].items()}
    return {"string": "", "integer": 0, "number": 0.0, "boolean": False}.get(schema.get("type", ""))


def example(name: str) -> Any:
    return json.loads((DATA / "examples" / name).read_text("utf-8"))["responses"]["200"]["body"]


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    text = (DATA / "openapi" / "codespaces-environments-2020-09-24.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text)["components"]["schemas"])


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("estate"), sample_seed())
    yield running
    running.stop()


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With everything Resource Health has words for."""
    running = Running(tmp_path_factory.mktemp("troubled"), seed())
    running.control("host", id=vm_id("web-01"), event="heal")
    running.control("host", id=vm_id("win-01"), event="stop")
    running.control("lose", region="westeurope", announce=False)
    running.control("announce", region="westeurope")
    running.control("announce", region="eastus", false_positive=True)
    yield running
    running.stop()


def test_a_vm_has_the_published_shape(azure: Running) -> None:
    body = azure.get(vm_id("web-01")).json()
    assert list(unlike(body, example("vm_get.json"), VM_EXCEPTIONS)) == []
    assert body["tags"]
    windows = azure.get(vm_id("win-01")).json()
    assert list(unlike(windows, example("vm_get.json"), VM_EXCEPTIONS)) == []


@pytest.mark.parametrize("name", ["web-01", "win-01"])
def test_an_instance_view_has_the_published_shape(troubled: Running, name: str) -> None:
    wanted = example("vm_instance_view.json")
    body = troubled.get(f"{vm_id(name)}/instanceView").json()
    assert list(unlike(body, wanted, {})) == []
    expanded = troubled.get(vm_id(name), **{"$expand": "instanceView"}).json()["properties"]["instanceView"]
    assert expanded.keys() == body.keys()


def test_availability_statuses_have_the_published_shape(troubled: Running) -> None:
    body = troubled.get(f"/subscriptions/{SUB}/providers/Microsoft.ResourceHealth/availabilityStatuses").json()
    states = {one["properties"]["availabilityState"] for one in body["value"]}
    assert states == {"Available", "Unavailable"}
    assert list(unlike(body, example("availability_statuses_list_history.json"), nested(STATUS_EXCEPTIONS))) == []


def test_service_health_events_have_the_published_shape(troubled: Running) -> None:
    body = troubled.get(f"/subscriptions/{SUB}/providers/Microsoft.ResourceHealth/events").json()
    assert len(body["value"]) == 2
    wanted = example("servicehealth_events_list_by_subscription.json")
    assert list(unlike(body, wanted, nested(EVENT_EXCEPTIONS))) == []


def nested(exceptions: dict[str, str]) -> dict[str, str]:
    return {f"value[].{path}": source for path, source in exceptions.items()}


def plans(estate: Running) -> list[str]:
    return [r["id"] for r in estate.view("state")["resources"] if r["type"].endswith("/plans")]


def test_plans_have_the_published_shape(estate: Running, published: dict[str, Any]) -> None:
    wanted = against(published["PlanResource"], published)
    for plan in plans(estate):
        assert list(unlike(estate.get(plan).json(), wanted, PLAN_EXCEPTIONS)) == []


def test_environments_have_the_published_shape(estate: Running, published: dict[str, Any]) -> None:
    wanted = against(published["CloudEnvironmentResult"], published)
    seen = 0
    for plan in plans(estate):
        action = "readAllEnvironments" if "VSOnline" in plan else "readAllCodespaces"
        url = f"{estate.ready['arm']}{plan}/{action}?api-version=2020-06-16"
        token = estate.http.post(url, headers=estate.bearer(), timeout=PATIENCE).json()["accessToken"]
        region = estate.get(plan).json()["location"]
        service = estate.ready["services"][f"{region}.online.visualstudio.com"]
        answer = estate.http.get(
            f"{service}/api/v1/environments",
            params={"planId": plan},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
        for environment in answer.json():
            seen += 1
            assert list(unlike(environment, wanted, ENVIRONMENT_EXCEPTIONS)) == []
            assert environment.keys() == wanted.keys()
    assert seen > 30


def test_locations_have_the_published_shape(estate: Running, published: dict[str, Any]) -> None:
    root = estate.ready["services"]["online.visualstudio.com"] + "/api/v1/locations"
    body = estate.http.get(root, timeout=PATIENCE).json()
    wanted = against(published["LocationsResult"], published)
    assert list(unlike(body, wanted, LOCATION_EXCEPTIONS)) == []
    one = estate.http.get(f"{root}/westus2", timeout=PATIENCE).json()
    assert list(unlike(one, against(published["LocationInfoResult"], published), {})) == []


def test_problems_have_the_published_shape(estate: Running, published: dict[str, Any]) -> None:
    service = estate.ready["services"]["eastus.online.visualstudio.com"]
    answer = estate.http.get(f"{service}/api/v1/environments", timeout=PATIENCE)
    assert answer.status_code == 401
    assert list(unlike(answer.json(), against(published["ProblemDetails"], published), {})) == []


def test_a_difference_would_be_seen() -> None:
    assert list(unlike({"a": 1, "b": [{"c": "x"}], "d": 2}, {"a": "1", "b": [{"c": "y"}]}, {})) == [
        "a: number, published string",
        "d: not published",
    ]
