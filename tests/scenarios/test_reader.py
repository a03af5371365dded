"""A real subscription on the first day: no plan, no settings file, the Reader role alone."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.api import assess, capture, init
from drkit.api.context import Context
from drkit.errors import RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model import settings
from drkit.model.cloud import Principal
from drkit.model.settings import Settings
from drkit.products import tables
from drkit.store.store import Store
from tests.support.estates import World
from tests.support.simulator_thread import OTHER_SUB, SUB, TENANT, group_id, host
from tests.support.workers import content

VMS = 300
REGIONS = ("northeurope", "westeurope", "eastus")


def subscription() -> dict[str, Any]:
    """300 VMs in three regions, and a second subscription that nobody asked about."""
    groups = {region: f"rg-{region}" for region in REGIONS}
    hosts = [host(f"vm-{number:03}", groups[REGIONS[number % 3]], REGIONS[number % 3]) for number in range(VMS)]
    return {
        "drkit": "simulator-seed/1",
        "seed": 3,
        "tenant": {"id": TENANT, "domain": "contoso.onmicrosoft.com"},
        "subscriptions": [{"id": SUB, "name": "Contoso"}, {"id": OTHER_SUB, "name": "Labs"}],
        "groups": [{"id": group_id(name), "location": region} for region, name in groups.items()],
        "hosts": hosts,
    }


def context_of(world: World, folder: Path, role: str = "reader", own: Settings | None = None) -> Context:
    one = world.facts["principals"][role]
    principal = Principal(one["client_id"], one["client_secret"])
    cloud = clouds.from_ready_file(world.ready, "of a test")
    return Context(own or Settings(), Store(folder / "store"), lambda: cloud, loopback_only=True, principal=principal)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    running = World(tmp_path_factory.mktemp("world"), subscription())
    yield running
    running.stop()


def kinds(world: World) -> Mapping[str, int]:
    told: dict[str, int] = {}
    for one in world.view("record")["requests"]:
        told[one["kind"]] = told.get(one["kind"], 0) + 1
    return told


def test_reader_alone_gives_every_vm_its_baseline_and_later_its_verdict(world: World, tmp_path: Path) -> None:
    ours = context_of(world, tmp_path)
    taken, _ = asyncio.run(capture.snapshot(ours, subscriptions=[SUB.upper()]))
    assert len(taken.hosts) == VMS
    assert all(
        one.baseline.arm and one.baseline.arm.instance_id and one.baseline.arm.os_disk_unique_id for one in taken.hosts
    )
    assert taken.subscriptions == (SUB,)
    assert [text for text in taken.unseen if "from inside" in text and "unknown for 300 virtual machines" in text]
    world.control("host", id=taken.hosts[0].id, event="delete", minutes_ago=10)
    world.control("host", id=taken.hosts[1].id, event="stop", minutes_ago=10)
    found, _, code = asyncio.run(assess.assess(ours))
    assert code == 0
    told = {one.host: one for one in found.hosts}
    assert len(told) == VMS
    assert told[taken.hosts[0].id].outcome == "host-lost"
    assert told[taken.hosts[1].id].reason == "stopped"
    assert all(told[one.id].outcome == "no-failover" for one in taken.hosts[2:])
    assert any("Reader may not probe" in text for text in found.unread)
    told_kinds = kinds(world)
    assert not told_kinds.get("write")
    assert not told_kinds.get("probe")
    record = world.view("record")["requests"]
    assert {one["principal"] for one in record if one["kind"] == "read" and one["principal"]} == {"reader"}
    assert not [one for one in record if OTHER_SUB in one["path"]]
    assert not [one for one in record if one["status"] == 403]


def test_a_lost_region_is_reported_for_a_subscription_without_plans(world: World, tmp_path: Path) -> None:
    ours = context_of(world, tmp_path)
    taken, _ = asyncio.run(capture.snapshot(ours, subscriptions=[SUB]))
    world.control("lose", region="westeurope", minutes_ago=40, announce_after=10)
    try:
        found, _, code = asyncio.run(assess.assess(ours))
    finally:
        world.control("restore", region="westeurope")
    assert code == 0
    here = {one.id for one in taken.hosts if one.region == "westeurope"}
    stopped = {one.host for one in found.hosts if one.reason == "stopped"}
    assert {one.outcome for one in found.hosts if one.host in here - stopped} == {"region-lost"}
    assert found.lost_regions == ("westeurope",)


def test_what_is_no_subscription_id_is_refused_before_anything_is_asked(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'prod' is not a subscription id"):
        asyncio.run(capture.snapshot(context_of(world, tmp_path), subscriptions=["prod"]))


# --- a drkit.toml to begin with


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[World]:
    running = World(tmp_path, content())
    yield running
    running.stop()


def test_init_writes_what_is_registered_where_and_the_file_is_good(estate: World, tmp_path: Path) -> None:
    ours = context_of(estate, tmp_path)
    text, path = asyncio.run(init.init(ours, str(tmp_path / "drkit.toml")))
    assert path.read_text("utf-8") == text
    read = settings.load(path, tables())
    assert SUB in read.subscriptions
    assert read.products == {}
    assert "auto-we in westeurope" in text
    assert '#"web-01" = "ask"' in text
    assert "write" not in kinds(estate)
    # What it proposes can be uncommented as it stands.
    uncommented = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()
    )
    assert set(tomllib.loads(uncommented)["targets"]) >= {"eastus", "westeurope"}
    proposed = settings.parse(uncommented, "proposed", tables())
    assert proposed.products["hybrid-worker"]["protected"]["web-01"] == "ask"
    assert list(proposed.products["hybrid-worker"]["replicas"]) == ["auto-we"]
    assert msgspec.structs.asdict(proposed)["channels"].azure_vm == "run-command"


def test_init_overwrites_nothing(estate: World, tmp_path: Path) -> None:
    there = tmp_path / "drkit.toml"
    there.write_text("# mine\n")
    with pytest.raises(RefusedError, match="is there already"):
        asyncio.run(init.init(context_of(estate, tmp_path), str(there)))
    assert there.read_text() == "# mine\n"
