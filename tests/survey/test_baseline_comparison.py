"""Baseline and readings to signals: what was not read is unknown, and unknown is never the same."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.model.estate import ArmIdentity, Baseline, GuestIdentity, Host, Reading, Registration
from drkit.planning.transparency import DOMAINS, Signals
from drkit.survey.baseline_comparison import HostObservation, builtins, health_of, observed_regions, same_uuid, signals
from drkit.survey.probe import ProbeResult

TIME = "2026-03-01T08:00:00Z"
VM_ID = "01234567-89ab-4def-8123-456789abcdef"
SWAPPED = "67452301-ab89-ef4d-8123-456789abcdef"
COMPARED = ("instance_id", "os_id", "registration", "boot", "physical_host", "os_disk")


def a_host(arm: ArmIdentity | None = None, guest: GuestIdentity | None = None, kind: Any = "azure-vm") -> Host:
    return Host("/vm/box", kind, "box", "westeurope", baseline=Baseline(arm, TIME, guest, TIME))


def up(**guest: Any) -> ProbeResult:
    return ProbeResult("up", TIME, GuestIdentity(**guest))


def of(host: Host, **seen: Any) -> Signals:
    return signals(host, HostObservation(**seen))


# --- byte order ------------------------------------------------------------------------------------------------------


def test_a_generation_1_vm_shows_the_first_three_fields_byte_swapped_and_is_the_same() -> None:
    assert same_uuid(VM_ID, SWAPPED)
    assert same_uuid(SWAPPED.upper(), VM_ID)
    assert same_uuid(VM_ID, VM_ID.upper())


@given(st.uuids(), st.uuids())
def test_uuids_are_equal_only_unchanged_or_with_these_fields_swapped(one: uuid.UUID, other: uuid.UUID) -> None:
    assert same_uuid(str(one), str(uuid.UUID(bytes=one.bytes_le)))
    assert same_uuid(str(one), str(other)) == same_uuid(str(other), str(one))
    assert same_uuid(str(one), str(other)) == (other.bytes in (one.bytes, one.bytes_le))


def test_a_text_that_is_not_a_uuid_is_compared_as_text() -> None:
    assert same_uuid("Serial-1", "serial-1")
    assert not same_uuid("Serial-1", VM_ID)
    assert not same_uuid("", VM_ID)


# --- unknown is never the same ---------------------------------------------------------------------------------------

texts = st.one_of(st.none(), st.just(""), st.sampled_from(["a", "b"]))
lists = st.one_of(
    st.none(), st.just(()), st.lists(st.sampled_from(["k1", "k2", "k3"]), min_size=1, max_size=2).map(tuple)
)
registrations = st.one_of(
    st.none(),
    st.lists(st.sampled_from(["e1", "e2", "e3"]).map(lambda one: Registration("codespaces", one)), max_size=2).map(
        tuple
    ),
)
guests = st.builds(
    GuestIdentity,
    machine_id=texts,
    boot_id=texts,
    smbios_uuid=st.sampled_from([None, VM_ID, SWAPPED, "11111111-1111-4111-8111-111111111111"]),
    physical_host=texts,
    ssh_host_keys=lists,
    registrations=registrations,
)
identities = st.builds(
    ArmIdentity,
    instance_id=st.sampled_from(["", VM_ID, "22222222-2222-4222-8222-222222222222"]),
    os_disk_unique_id=st.sampled_from(["", "d1", "d2"]),
)
ids = st.frozensets(st.sampled_from(["e1", "e2", "e3"]))


@given(
    st.none() | identities,
    st.none() | guests,
    st.none() | identities,
    st.none() | guests,
    st.lists(st.sampled_from(["E1", "e2"]), max_size=2),
    ids,
    ids,
)
def test_only_what_was_read_both_times_can_be_the_same(
    arm: ArmIdentity | None,
    guest: GuestIdentity | None,
    arm_now: ArmIdentity | None,
    guest_now: GuestIdentity | None,
    ours: list[str],
    answering: frozenset[str],
    disowned: frozenset[str],
) -> None:
    result = of(
        a_host(arm, guest),
        current=a_host(arm_now) if arm_now else None,
        probe=ProbeResult("up", TIME, guest_now) if guest_now else None,
        registration_ids=tuple(ours),
        answering=answering,
        disowned=disowned,
    )

    def both(name: str) -> bool:
        before, now = getattr(guest, name, None), getattr(guest_now, name, None)
        return bool(before and now)

    if result.boot != "unknown":
        assert both("boot_id")
    if result.physical_host != "unknown":
        assert both("physical_host")
    if result.os_id != "unknown":
        assert both("machine_id") or both("ssh_host_keys")
    if result.os_disk != "unknown":
        assert arm
        assert arm_now
    if result.instance_id != "unknown":
        assert (arm and arm.instance_id) or (guest and guest.smbios_uuid)
        assert (arm_now and arm_now.instance_id) or (guest_now and guest_now.smbios_uuid)
    if result.registration == "same":
        assert {registration.lower() for registration in ours} & answering
        assert not {registration.lower() for registration in ours} & disowned
    if not ours:
        assert result.registration == "unknown"


def test_everything_about_a_host_that_was_not_read_is_unknown() -> None:
    result = of(
        a_host(ArmIdentity(VM_ID, os_disk_unique_id="d"), GuestIdentity(machine_id="m", boot_id="b", physical_host="p"))
    )
    assert [getattr(result, name) for name in COMPARED] == ["unknown"] * 6
    assert (result.arm, result.probe, result.health) == ("unreachable", "none", "unknown")


def test_nothing_about_a_host_without_a_baseline_is_the_same() -> None:
    result = of(
        a_host(), current=a_host(ArmIdentity(VM_ID, os_disk_unique_id="d")), probe=up(machine_id="m", boot_id="b")
    )
    assert [getattr(result, name) for name in COMPARED] == ["unknown"] * 6


def test_a_failed_probe_says_nothing_about_the_guest() -> None:
    result = of(a_host(None, GuestIdentity(machine_id="m", boot_id="b")), probe=ProbeResult("down", TIME))
    assert (result.probe, result.os_id, result.boot) == ("down", "unknown", "unknown")


# --- each comparison -------------------------------------------------------------------------------------------------

BEFORE = GuestIdentity(machine_id="m", boot_id="b", physical_host="p", ssh_host_keys=("k1", "k2"), smbios_uuid=SWAPPED)
GUEST_CASES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("itself", {"machine_id": "M", "boot_id": "B", "physical_host": "P"}, {"os_id": "same", "boot": "same", "physical_host": "same"}),
    ("rebooted elsewhere", {"boot_id": "x", "physical_host": "q"}, {"boot": "different", "physical_host": "different"}),
    ("another system", {"machine_id": "x", "ssh_host_keys": ("k1",)}, {"os_id": "different"}),
    ("a clone with keys of its own", {"machine_id": "m", "ssh_host_keys": ("k9",)}, {"os_id": "different"}),
    ("one key renewed", {"ssh_host_keys": ("k2", "k9")}, {"os_id": "same"}),
    ("no key readable", {"ssh_host_keys": ()}, {"os_id": "unknown"}),
    ("known by its firmware", {"smbios_uuid": VM_ID}, {"instance_id": "same", "os_id": "unknown"}),
    ("another machine", {"smbios_uuid": "11111111-1111-4111-8111-111111111111"}, {"instance_id": "different"}),
]  # fmt: skip


@pytest.mark.parametrize(("now", "expected"), [case[1:] for case in GUEST_CASES], ids=[case[0] for case in GUEST_CASES])
def test_a_guest_against_its_baseline(now: dict[str, Any], expected: dict[str, str]) -> None:
    result = of(a_host(None, BEFORE), probe=up(**now))
    assert {name: getattr(result, name) for name in expected} == expected


def test_arms_instance_id_counts_before_the_guests() -> None:
    host = a_host(ArmIdentity(VM_ID), BEFORE)
    other = a_host(ArmIdentity("22222222-2222-4222-8222-222222222222"))
    assert of(host, current=other, probe=up(smbios_uuid=SWAPPED)).instance_id == "different"
    assert of(host, current=a_host(ArmIdentity(VM_ID.upper()))).instance_id == "same"
    assert of(host, probe=up(smbios_uuid=SWAPPED)).instance_id == "same"
    assert of(host, probe=up(smbios_uuid="")).instance_id == "unknown"


def test_the_disk_and_whether_it_is_ephemeral_come_from_arm() -> None:
    host = a_host(ArmIdentity(VM_ID, os_disk_unique_id="D1", ephemeral_os_disk=True))
    assert of(host, current=a_host(ArmIdentity(os_disk_unique_id="d1"))).os_disk == "same"
    assert of(host, current=a_host(ArmIdentity(os_disk_unique_id="d2"))).os_disk == "different"
    assert of(host).ephemeral_os_disk is True
    assert of(a_host()).ephemeral_os_disk is False


REGISTERED: list[tuple[str, Any, list[str], list[str], str]] = [
    ("the service vouches for it, the disk was not read", None, ["e1"], [], "same"),
    ("the service and the disk say so", ["E1"], ["e1"], [], "same"),
    ("only the disk says so", ["e1"], [], [], "unknown"),
    ("another one is there", ["e9"], ["e1"], [], "different"),
    ("the service disowns it", ["e1"], ["e1"], ["e1"], "different"),
    ("nothing is said", None, [], [], "unknown"),
    ("none is there, and the service still lists it", [], ["e1"], [], "unknown"),
]


@pytest.mark.parametrize(
    ("disk", "answering", "disowned", "expected"),
    [case[1:] for case in REGISTERED],
    ids=[case[0] for case in REGISTERED],
)
def test_the_registration(disk: Any, answering: list[str], disowned: list[str], expected: str) -> None:
    probe = (
        None
        if disk is None
        else up(registrations=tuple(Registration("codespaces", registration_id) for registration_id in disk))
    )
    result = of(
        a_host(), probe=probe, registration_ids=("E1",), answering=frozenset(answering), disowned=frozenset(disowned)
    )
    assert result.registration == expected


def test_other_observations_are_passed_on_unchanged() -> None:
    reading = Reading("/vm/box", "arm", "x", "ARM", TIME)
    observed = {"arm": "gone", "health": "down", "region": "both", "successor": "moved", "arc_cloned": True}
    result = of(a_host(), **observed, readings=(reading,))
    assert {name: getattr(result, name) for name in observed} == observed
    assert result.evidence == (reading,)
    assert set(builtins(result)) == set(DOMAINS)
    assert msgspec.json.decode(msgspec.json.encode(builtins(result))) == builtins(result)


# --- health ----------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 8, 10, tzinfo=UTC)
HEALTHS: list[tuple[str, str | None, dict[str, Any], str]] = [
    ("nothing read", None, {}, "unknown"),
    ("available", "Available", {}, "ok"),
    ("unknown", "Unknown", {}, "unknown"),
    ("degraded", "Degraded", {}, "unknown"),
    ("down", "Unavailable", {}, "down"),
    ("down for long", "Unavailable", {"since": "2026-03-01T07:00:00Z"}, "down"),
    ("down just now", "Unavailable", {"since": TIME}, "down-within-grace"),
    ("down for just the grace", "Unavailable", {"since": "2026-03-01T07:55:00Z"}, "down"),
    ("taken down on purpose", "Unavailable", {"by_customer": True}, "stopped"),
    ("stopped, whatever is said", "Available", {"stopped": True}, "stopped"),
    ("stopped, and nothing said", None, {"stopped": True}, "stopped"),
]


@pytest.mark.parametrize(
    ("state", "given", "expected"), [case[1:] for case in HEALTHS], ids=[case[0] for case in HEALTHS]
)
def test_health(state: str | None, given: dict[str, Any], expected: str) -> None:
    reading = Reading("/vm/box", "availability", state, "Resource Health", TIME) if state else None
    asked: dict[str, Any] = {"by_customer": False, "since": "", "stopped": False, "now": NOW, "grace_minutes": 15}
    assert health_of(reading, **(asked | given)) == expected


# --- regions ---------------------------------------------------------------------------------------------------------


def observed(bad: int, well: int, *, control: bool = True, min_hosts: int = 3, share: float = 0.8) -> tuple[bool, str]:
    flags = {"westeurope": [True] * bad + [False] * well}
    return observed_regions(flags, control=control, min_hosts=min_hosts, share=share)["westeurope"]


def test_a_region_is_seen_as_down_when_enough_of_enough_machines_are_and_others_are_not() -> None:
    assert observed(4, 1) == (True, "4 of 5 own machines do not answer")
    assert observed(3, 2)[0] is False
    assert observed(2, 0) == (False, "2 of 2 own machines do not answer; fewer than 3 are too few to judge")
    assert observed(5, 0, control=False) == (
        False,
        "5 of 5 own machines do not answer, and neither does the control region",
    )
    assert observed(0, 0)[0] is False
    assert observed(0, 5, share=0)[0] is False


@given(st.integers(0, 50), st.integers(0, 50), st.booleans(), st.integers(1, 10), st.floats(0, 1))
def test_no_region_is_down_without_a_control_or_with_too_few_machines(
    bad: int, well: int, control: bool, min_hosts: int, share: float
) -> None:
    down, text = observed(bad, well, control=control, min_hosts=min_hosts, share=share)
    assert f"{bad} of {bad + well}" in text
    if down:
        assert control
        assert bad
        assert bad + well >= min_hosts
        assert bad >= share * (bad + well) - 1e-6
