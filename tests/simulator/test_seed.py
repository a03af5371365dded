"""Seeds, the table of routes, the clock, the ready file: what the simulator is started with and offers."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drkit.drills.simulate import estate_seed
from drkit.errors import FileError
from drkit.simulator import Simulator, check_seed, sample_seed
from drkit.simulator.core.clock import SimulatedClock
from drkit.simulator.core.routing import Route, RouteTable, routes
from drkit.simulator.core.wire import Answer, parse_id
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import SUB, Running, group_id, host, seed


def test_a_seed_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(sample_seed()))
    assert estate_seed(str(path), 1) == sample_seed()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "a seed is a JSON object"),
        ('{"drkit": "snapshot/1"}', "a 'snapshot/1', not a 'simulator-seed/1'"),
        ('{"drkit": "simulator-seed/2"}', "update drkit"),
        ('{"drkit": "simulator-seed/1"}', "tenant"),
        ('{"drkit": "simulator-seed/1", "tenant": {"id": "t"}, "hosst": []}', "unknown key 'hosst'"),
        ('{"drkit": "simulator-seed/1", "tenant": {"id": "t"}, "hosts": {}}', "hosts: a list of objects"),
    ],
)
def test_a_file_that_is_no_seed_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(FileError) as error:
        check_seed(json.loads(text), "estate.json")
    assert "estate.json" in str(error.value)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        estate_seed(str(tmp_path / "none.json"), 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subscriptions": [{"id": SUB}]}, r"subscriptions\[0\]: 'name' is missing"),
        ({"groups": [{"id": group_id("a"), "location": "atlantis"}]}, r"groups\[0\]: there is no region 'atlantis'"),
        ({"groups": [{"id": "/subscriptions/x/resourceGroups/a", "location": "eastus"}]}, "not a resource group"),
        (
            {"resources": [{"id": group_id("a") + "/providers/A/b/c", "location": "eastus"}]},
            "not a resource in a group",
        ),
        ({"hosts": [host("x", "nowhere", "eastus")]}, "is not a VM in a group of the seed"),
        ({"environments": [{"id": "e", "planId": "/no/plan"}]}, r"environments\[0\]: .*no plan"),
        ({"assignments": [{"principal": "p", "role": "king", "scope": "/"}]}, "there is no role 'king'"),
        ({"origin": "yesterday"}, "origin"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError, match=said):
        Simulator(seed(**changes), folder=tmp_path)


def test_the_same_seed_gives_the_same_world(tmp_path: Path) -> None:
    one, other = (Simulator(sample_seed(), folder=tmp_path).world for _ in range(2))
    assert one.principals == other.principals
    assert {k: r.properties.get("vmId") for k, r in one.resources.items()} == {
        k: r.properties.get("vmId") for k, r in other.resources.items()
    }
    assert [one.new_id() for _ in range(3)] == [other.new_id() for _ in range(3)]


def test_a_vm_without_a_host_gets_one(tmp_path: Path) -> None:
    vm = {"id": host("lonely", "dev-ne", "eastus")["id"], "location": "eastus", "properties": {"vmId": "v"}}
    world = Simulator(seed(resources=[vm]), folder=tmp_path).world
    found = world.hosts[vm["id"].lower()]
    assert (found.hostname, found.vm_id) == ("lonely", "v")
    assert world.resources[vm["id"].lower()].properties["storageProfile"]["osDisk"]["managedDisk"]["id"]


def test_time_is_origin_plus_speed_times_what_has_passed(tmp_path: Path) -> None:
    clock = SimulatedClock(datetime(2030, 1, 1, tzinfo=UTC), datetime.now(UTC) - timedelta(seconds=10), 60.0)
    assert 600 <= (clock.now() - datetime(2030, 1, 1, tzinfo=UTC)).total_seconds() < 660
    assert clock.wall(120) == 2.0
    for speed in (0.0, 61.0):
        with pytest.raises(ValueError, match="speed"):
            Simulator(seed(), speed=speed, folder=tmp_path)


def test_postponed_actions_happen_in_order_at_their_moments(tmp_path: Path) -> None:
    world = Simulator(seed(origin="2030-01-01T00:00:00Z"), folder=tmp_path).world
    start = world.now()
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, round((world.now() - start).total_seconds())))

    world.later(20, lambda: note("second"))

    def first() -> None:
        note("first")
        world.later(5, lambda: note("between"))

    world.later(10, first)
    world.clock = SimulatedClock(world.clock.origin + timedelta(seconds=60), world.clock.started, 1.0)
    world.advance()
    assert seen == [("first", 10), ("between", 15), ("second", 20)]


def test_the_ready_file_says_all_a_client_needs(azure: Running) -> None:
    ready = azure.ready
    assert set(ready) == {
        *("arm", "authority", "ca_bundle", "tenant", "client_id", "client_secret", "principals", "subscriptions"),
        *("services", "control", "pid", "clock"),
    }
    assert set(ready["principals"]) == {"owner", "reader", "planner", "prober", "operator"}
    assert ready["client_id"] == ready["principals"]["owner"]["client_id"]
    assert ready["pid"] == os.getpid()
    assert ready["control"].startswith(ready["arm"] + "/control/")
    assert all(url.startswith("https://127.0.0.1:") for url in ready["services"].values())
    assert set(ready["clock"]) == {"origin", "started", "speed"}
    assert datetime.fromisoformat(ready["clock"]["started"]).microsecond != 0
    json.dumps(ready)


def test_no_private_key_is_left_in_the_folder(azure: Running) -> None:
    bundle = Path(azure.ready["ca_bundle"])
    assert [path.name for path in bundle.parent.iterdir()] == ["ca.pem"]
    assert "PRIVATE" not in bundle.read_text()
    assert stat.S_ISREG(bundle.stat().st_mode)


def test_cloud_metadata_is_an_object_and_was_a_list(azure: Running) -> None:
    url = azure.ready["arm"] + "/metadata/endpoints"
    one = azure.http.get(url, params={"api-version": "2022-09-01"}, timeout=PATIENCE).json()
    many = azure.http.get(url, params={"api-version": "2019-05-01"}, timeout=PATIENCE).json()
    assert many == [one]
    assert one["resourceManager"] == azure.ready["arm"]


def test_every_route_is_listed_once_and_found(azure: Running) -> None:
    table = routes()
    keys = [(route.plane, route.method, route.pattern.lower()) for route in table]
    assert len(keys) == len(set(keys))
    found = RouteTable(table)
    for route in table:
        path = route.pattern.replace("{resource*}", "N/t/n").replace("{", "x").replace("}", "")
        hit = found.find((route.plane,), route.method, path)
        assert hit is not None
        assert hit[0].pattern == route.pattern


def test_the_more_specific_route_wins() -> None:
    def nothing(_: object) -> Answer:
        return Answer()

    rest, fixed, tail = (Route("GET", p, nothing) for p in ("/a/{x*}", "/a/b/{y}", "/a/{x*}/c/d"))
    table = RouteTable([rest, fixed, tail])
    for path, wanted in (("/A/b/1", fixed), ("/a/z/1", rest), ("/a/p/q/C/D", tail), ("/a//b/1/", fixed)):
        found = table.find(("arm",), "GET", path)
        assert found is not None
        assert found[0] is wanted
    assert table.find(("arm",), "GET", "/a") is None
    assert table.find(("arm",), "PUT", "/a/b/1") is None


def test_ids_are_taken_apart_in_any_case() -> None:
    parsed = parse_id("/SUBSCRIPTIONS/s/ResourceGroups/g/Providers/N/t/n/u/m")
    assert parsed is not None
    assert (parsed.type, parsed.name, parsed.group) == ("N/t/u", "m", "g")
    for other in ("/subscriptions/s", "/subscriptions/s/resourceGroups/g/providers/N/t", "x" * 9):
        assert parse_id(other) is None


async def test_a_port_that_is_taken_is_not_shared(azure: Running, tmp_path: Path) -> None:
    taken = int(azure.ready["arm"].rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await Simulator(seed(), port=taken, folder=tmp_path).start()


async def test_a_simulator_serves_on_the_port_it_is_given_and_can_stop_twice(tmp_path: Path) -> None:
    simulator = Simulator(seed(), folder=tmp_path)
    await simulator.start()
    port = int(simulator.ready["arm"].rpartition(":")[2])
    await simulator.stop()
    await simulator.stop()
    again = Simulator(seed(), port=port, folder=tmp_path)
    await again.start()
    assert again.ready["arm"].endswith(f":{port}")
    await again.stop()
