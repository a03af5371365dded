"""Which machine a host has become: how each link is found, which one counts first, and at what cost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from drkit.model.estate import ArmIdentity, Baseline, Environment, GuestIdentity, Host, Registration, Snapshot
from drkit.model.ids import ArmId
from drkit.survey.machines import Machine, Machines
from drkit.survey.probe import ProbeResult
from drkit.survey.site_recovery import Link
from drkit.survey.successors import find
from tests.support.builders import TIME, a_plan, a_snapshot, a_vm, hosted

NO_LINK = ArmId("")


def a_machine(name: str, instance_id: str, region: str = "eastus") -> Host:
    host = a_vm(name, region)
    return msgspec.structs.replace(host, baseline=Baseline(ArmIdentity(instance_id), TIME))


def known(name: str, instance_id: str, machine_id: str = "") -> Host:
    host = a_machine(name, instance_id, "westeurope")
    guest = GuestIdentity(machine_id=machine_id or None)
    return msgspec.structs.replace(host, baseline=Baseline(host.baseline.arm, TIME, guest, TIME))


def answer(*registrations: str, machine_id: str = "") -> ProbeResult:
    on_host = tuple(Registration("codespaces", registration_id, "", "") for registration_id in registrations)
    return ProbeResult("up", TIME, GuestIdentity(machine_id=machine_id or None, registrations=on_host))


def successors_of(
    base: Snapshot, machines: list[Host], probes: dict[Host, ProbeResult], *links: Link
) -> dict[str, tuple[str, str]]:
    listing = Machines({host.key: Machine(host, "running") for host in machines})
    successors = find(
        base, listing, {host.key: result for host, result in probes.items()}, {link.source: link for link in links}
    )
    return {key.name: (successor.kind, successor.host.name) for key, successor in successors.items()}


def estate(*hosts: Host) -> tuple[Snapshot, dict[str, Environment]]:
    plan = a_plan()
    environments = {host.name: hosted(f"on-{host.name}", plan, host) for host in hosts}
    return a_snapshot([plan], list(environments.values()), list(hosts)), environments


def test_a_machine_with_the_hosts_registration_proves_it_and_the_first_of_two_is_taken() -> None:
    old = known("old", "i-old")
    base, environments = estate(old)
    first, second = a_machine("first", "i-1"), a_machine("second", "i-2")
    ours = environments["old"].id
    successors = successors_of(base, [old, first, second], {first: answer(ours.upper()), second: answer(ours)})
    assert successors == {"old": ("proved", "first")}


def test_a_registration_counts_more_than_a_machine_id_wherever_it_is_read() -> None:
    old = known("old", "i-old", "m")
    base, environments = estate(old)
    clone, heir = a_machine("clone", "i-1"), a_machine("heir", "i-2")
    probes = {clone: answer(machine_id="m"), heir: answer(environments["old"].id)}
    assert successors_of(base, [old, clone, heir], probes) == {"old": ("proved", "heir")}


def test_a_machine_id_alone_is_name_only_and_never_names_a_known_host() -> None:
    old, neighbour = known("old", "i-old", "m"), known("neighbour", "i-2", "m")
    base, _ = estate(old, neighbour)
    changed = a_machine("neighbour", "i-other")
    clone = a_machine("clone", "i-1")
    successors = successors_of(base, [old, changed], {changed: answer(machine_id="m")})
    assert "old" not in successors
    successors = successors_of(base, [old, neighbour, clone], {clone: answer(machine_id="m")})
    assert successors == {"old": ("name-only", "clone"), "neighbour": ("name-only", "clone")}


def test_the_same_vm_id_under_another_arm_id_is_the_moved_machine() -> None:
    old = known("old", "i-old")
    base, _ = estate(old)
    assert successors_of(base, [a_machine("new-name", "I-OLD")], {}) == {"old": ("moved", "new-name")}
    assert successors_of(base, [old], {}) == {}


@pytest.mark.parametrize("seen", [True, False])
def test_site_recovery_names_the_machine_of_a_failover_and_the_copy_of_a_test(seen: bool) -> None:
    old = known("old", "i-old")
    base, environments = estate(old)
    other = a_machine("dr-old", "i-dr")
    machines = [old, other] if seen else [old]
    recovered = Link(old.key, other.key, NO_LINK, "Protected")
    assert successors_of(base, machines, {}, recovered) == {"old": ("proved", "dr-old")}
    tested = Link(old.key, NO_LINK, other.key, "Protected")
    probes: dict[Host, Any] = {other: answer(environments["old"].id)} if seen else {}
    assert successors_of(base, machines, probes, tested) == {"old": ("drill", "dr-old")}


def test_the_cost_grows_with_the_hosts_and_not_with_their_square() -> None:
    size, reads = 400, 0

    class Counted(ProbeResult):
        def __getattribute__(self, name: str) -> Any:
            nonlocal reads
            reads += name == "guest"
            return super().__getattribute__(name)

    hosts = [known(f"old-{number}", f"i-{number}", f"m-{number}") for number in range(size)]
    base, _ = estate(*hosts)
    copies = [a_machine(f"copy-{number}", f"c-{number}") for number in range(size)]
    probes: dict[Host, ProbeResult] = {
        copy: Counted("up", TIME, GuestIdentity(machine_id=f"m-{number}")) for number, copy in enumerate(copies)
    }
    successors = successors_of(base, [*hosts, *copies], probes)
    assert successors == {f"old-{number}": ("name-only", f"copy-{number}") for number in range(size)}
    assert reads < 10 * size
