"""Which host an environment runs on, by its product, the probe, settings and the previous snapshot."""

from __future__ import annotations

from typing import Any

import msgspec

from drkit.model.estate import Environment, GuestIdentity, Host, HostLink, Registration, Snapshot
from drkit.model.settings import HostSettings, Settings
from drkit.survey.host_links import HostLinks
from tests.support.builders import TIME, a_plan, a_snapshot, a_vm, hosted

PLAN = a_plan()


def with_registration(name: str, *ids: str) -> Host:
    host = a_vm(name)
    registrations = tuple(
        Registration("codespaces", registration_id, "dev", f"/home/{name}") for registration_id in ids
    )
    guest = GuestIdentity(registrations=registrations)
    return msgspec.structs.replace(host, baseline=msgspec.structs.replace(host.baseline, guest=guest, guest_time=TIME))


def unlinked(name: str, **more: Any) -> Environment:
    return hosted(name, PLAN, None, **more)


def linked(
    environment: Environment, *hosts: Host, entries: tuple[HostSettings, ...] = (), previous: Snapshot | None = None
) -> Environment:
    return HostLinks({host.key: host for host in hosts}, Settings(hosts=list(entries)), previous).link(environment)


def test_the_probe_finds_the_host_by_the_registration_whatever_its_case() -> None:
    environment = unlinked("box")
    host = with_registration("vm-a", environment.id.upper())
    link = linked(environment, a_vm("vm-b"), host).host
    assert link == HostLink(host.id, "probe", "dev", "", "/home/vm-a")
    assert linked(msgspec.structs.replace(environment, product="other"), host).host is None


def test_an_entry_of_settings_names_environment_and_host_by_id_or_name() -> None:
    environment, host = unlinked("box"), a_vm("vm-a")
    by_name = HostSettings(id=host.name.upper(), environment="BOX", user="u", workspace="/w")
    assert linked(environment, host, entries=(by_name,)).host == HostLink(host.id, "settings", "u", "/w")
    by_id = HostSettings(id="rack-4", environment=environment.id)
    link = linked(environment, host, entries=(by_id, by_name)).host
    assert link is not None
    assert link.host == "rack-4"
    foreign = HostSettings(id=host.id, environment="box", product="hybrid-worker")
    assert linked(environment, host, entries=(foreign,)).host is None


def test_sources_that_agree_are_merged_and_sources_that_disagree_leave_the_host_unknown() -> None:
    environment = unlinked("box")
    host = with_registration("vm-a", environment.id)
    entry = HostSettings(id=host.id.upper(), environment="box", workspace="/w")
    assert linked(environment, host, entries=(entry,)).host == HostLink(host.id, "probe", "dev", "/w", "/home/vm-a")
    other = a_vm("vm-b")
    disputed = linked(environment, host, other, entries=(HostSettings(id=other.id, environment="box"),))
    assert disputed.host is None
    assert disputed.host_dispute == f"its host is disputed: {host.id} (probe), {other.id} (settings)"


def test_the_previous_snapshot_counts_only_without_another_source_and_for_an_existing_host() -> None:
    host = a_vm("vm-a")
    environment = unlinked("box")
    previous = a_snapshot([PLAN], [hosted("box", PLAN, host)], [host])
    old = previous.environments[0].host
    assert linked(environment, host, previous=previous).host == old
    assert linked(environment, a_vm("vm-b"), previous=previous).host is None
    probed = with_registration("vm-c", environment.id)
    link = linked(environment, host, probed, previous=previous).host
    assert link is not None
    assert link.host == probed.id
