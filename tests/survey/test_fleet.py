"""A fleet is read through Resource Graph: few calls when nothing happened, and more only for what changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from drkit.survey import fleet as surveyed
from tests.benchmarks.fleet import fleet, host, measure

SIZE = 260
CHANGED = ((0, "recreate"), (1, "heal"), (2, "down"), (3, "migrate"), (5, "stop"), (7, "delete"))
OUTCOMES = {
    0: "re-register",
    1: "transparent-with-interruption",
    2: "host-lost",
    3: "transparent",
    5: "undetermined",
    7: "host-lost",
}


async def test_a_fleet_costs_few_calls_and_more_only_for_changed_hosts(tmp_path: Path) -> None:
    quiet, after = await measure(SIZE, CHANGED, tmp_path)
    assert SIZE >= surveyed.FLEET
    assert quiet.total < 40
    assert quiet.calls["one VM"] == 0
    assert set(quiet.verdicts.values()) == {"no-failover"}
    assert {number: after.verdicts[host(number).lower()] for number in OUTCOMES} == OUTCOMES
    changed = {host(number).lower() for number in OUTCOMES}
    assert {word for host_id, word in after.verdicts.items() if host_id not in changed} == {"no-failover"}
    assert after.total - quiet.total <= 8 * len(CHANGED)
    assert max(quiet.in_five_seconds, after.in_five_seconds) <= 15


@pytest.mark.parametrize("size", [SIZE, SIZE * 2])
async def test_the_calls_do_not_grow_with_hosts_to_which_nothing_happened(size: int, tmp_path: Path) -> None:
    _, after = await measure(size, CHANGED[:2], tmp_path)
    assert after.calls["one VM"] <= 8 * 2


def test_a_row_without_a_machine_id_is_skipped() -> None:
    from drkit.model.settings import Settings
    from drkit.survey.machines import HostChannels

    odd: tuple[object, ...] = (
        None,
        [],
        {},
        {"id": None, "vmId": "x"},
        {"id": "/subscriptions/s", "vmId": 7},
        {"id": "", "vmId": "x"},
        {"id": "/subscriptions/s/resourceGroups/g", "vmId": "x"},
    )
    for row in odd:
        assert surveyed.of_row(row, {}, HostChannels(Settings()), "2026-11-23T03:00:00Z") is None


def test_odd_members_of_a_row_are_unknown() -> None:
    from drkit.model.settings import Settings
    from drkit.survey.machines import HostChannels

    row = {"id": host(1), "vmId": "AB", "zones": "1", "nics": [None, {"id": 5}], "power": None, "ephemeral": None}
    machine = surveyed.of_row(row, {}, HostChannels(Settings()), "2026-11-23T03:00:00Z")
    assert machine is not None
    assert machine.power == "unknown"
    assert machine.host.baseline.arm is not None
    assert machine.host.baseline.arm.zones == ()
    assert machine.host.baseline.arm.instance_id == "ab"


def test_the_fleet_of_the_benchmark_is_large_enough() -> None:
    assert len(fleet(SIZE).seed()["hosts"]) > surveyed.FLEET
