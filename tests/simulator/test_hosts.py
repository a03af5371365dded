"""Hosts, the command line on them, and the people who sign in: pure, without a socket."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from drkit import products
from drkit.simulator.codespaces.environments import bearers, of_plan, state_of, surroundings
from drkit.simulator.core.clock import SimulatedClock
from drkit.simulator.core.seed import build
from drkit.simulator.core.state import Loss, World
from drkit.simulator.hosts import events, scripts
from drkit.simulator.hosts.machine import SimulatedHost
from drkit.simulator.samples.estate import Names, sample_seed

NAMES = Names(1)
SCRIPTS = {
    f"{number:064x}": name
    for number, name in enumerate(
        ("probe", "reach", "codespaces_release", "codespaces_register", "codespaces_watch", "codespaces_restore")
    )
}
PATH = "~/.vsonline/environment.json"
TARGET = NAMES.plan("vso-plan-eastus")
RELEASE, REGISTER = "a" * 32, "b" * 32


@pytest.fixture
def world() -> World:
    return build(sample_seed(), 1.0, SCRIPTS)


def vm(world: World, name: str) -> SimulatedHost:
    return next(host for host in world.hosts.values() if host.id.endswith(name))


def wait(world: World, seconds: float) -> None:
    """Lets simulated time pass."""
    world.clock = SimulatedClock(
        world.clock.origin + timedelta(seconds=seconds), world.clock.started, world.clock.speed
    )
    world.advance()


def act(world: World, host: SimulatedHost, script: str, **values: str) -> Any:
    """Runs a script on a host; what it printed, parsed."""
    sha256 = next(key for key, name in SCRIPTS.items() if name == script)
    parameters = [
        (f"drkit_{key}", base64.urlsafe_b64encode(value.encode()).decode().rstrip("=") or "-")
        for key, value in values.items()
    ]
    answer = scripts.run(host, surroundings(world), SCRIPTS, sha256, parameters)
    assert not answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def release(world: World, host: SimulatedHost, force: str = "1", environment: str | None = None) -> Any:
    held = host.registration()
    expected = environment or (held.id if held else "")
    user = next(iter(host.accounts))
    where = {"user": user, "registration": PATH, "environment": expected, "timeout": "60", "force": force}
    return act(world, host, "codespaces_release", nonce=RELEASE, **where)


def register(world: World, host: SimulatedHost, plan: str = TARGET, name: str = "moved", service: str = "1") -> Any:
    user, workspace = next(iter(host.accounts)), host.folders[0]
    what = {"user": user, "plan": plan, "name": name, "workspace": workspace, "service": service}
    return act(world, host, "codespaces_register", nonce=REGISTER, **what)


def watch(world: World, host: SimulatedHost) -> Any:
    user = next(iter(host.accounts))
    return act(world, host, "codespaces_watch", nonce=REGISTER, user=user, registration=PATH)


def restore(world: World, host: SimulatedHost) -> Any:
    user = next(iter(host.accounts))
    where = {"user": user, "registration": PATH, "register_nonce": REGISTER}
    return act(world, host, "codespaces_restore", nonce=RELEASE, **where)


def lose(world: World, region: str) -> None:
    world.lost[region] = Loss(region, world.now())
    events.region_changed(world, region, lost=True)


def test_probe_prints_what_identifies_the_machine_and_what_is_registered_on_it(world: World) -> None:
    host = vm(world, "vm-orders-build")
    printed = act(world, host, "probe", registrations=f"codespaces\t{PATH}\nother\t/etc/other")
    assert printed["drkit"] == "probe/1"
    assert printed["machine_id"] == host.machine_id
    assert printed["imds"]["vmId"] == host.vm_id == printed["smbios_uuid"]
    assert printed["imds"]["resourceId"] == host.id
    registration = {"product": "codespaces", "user": "aoife", "path": "/home/aoife/.vsonline/environment.json"}
    assert printed["registrations"] == [
        registration | {"id": NAMES.guid("environment", "vso-plan-westeurope", "orders-build")}
    ]


def test_probe_of_a_place_where_nothing_is_registered_finds_nothing(world: World) -> None:
    assert act(world, vm(world, "vm-jump-neu"), "probe", registrations=f"codespaces\t{PATH}")["registrations"] == []


def test_generation_1_shows_its_uuid_byte_swapped(world: World) -> None:
    host = vm(world, "vm-payments-dev")
    seen = act(world, host, "probe", registrations="")["smbios_uuid"]
    assert seen == seen.lower()  # the script's doing: the guest shows it in upper case
    assert uuid.UUID(seen) != uuid.UUID(host.vm_id)
    assert uuid.UUID(bytes=uuid.UUID(seen).bytes_le) == uuid.UUID(host.vm_id)


@pytest.mark.parametrize("name", ["vm-orders-build", "vm-desktop-win"])
def test_nothing_is_run_of_an_unknown_script(world: World, name: str) -> None:
    answer = scripts.run(vm(world, name), surroundings(world), SCRIPTS, "f" * 64, [])
    assert answer.stdout == scripts.NOTHING_IS_RUN


def test_a_parameter_that_is_not_base64url_is_refused(world: World) -> None:
    answer = scripts.run(
        vm(world, "vm-orders-build"), surroundings(world), SCRIPTS, f"{0:064x}", [("drkit_registrations", "§")]
    )
    assert answer.stdout == ""
    assert answer.stderr.startswith("drkit: ")


def test_reach_distinguishes_a_lost_region_from_one_that_answers(world: World) -> None:
    lose(world, "westeurope")
    urls = [f"https://{region}online.visualstudio.com/health" for region in ("", "eastus.", "westeurope.")]
    printed = act(world, vm(world, "vm-orders-build"), "reach", urls="\n".join(urls), timeout="5")
    assert [result["http"] for result in printed["results"]] == [200, 200, 0]


def test_reach_without_curl_or_wget_knows_nothing(world: World) -> None:
    host = vm(world, "vm-orders-build")
    host.fetch = False
    printed = act(world, host, "reach", urls="https://online.visualstudio.com/health", timeout="5")
    assert printed["results"] is None


def test_a_host_moves_to_another_plan_once_its_person_signed_in(world: World) -> None:
    host = vm(world, "vm-orders-build")
    old = host.registration()
    assert old is not None
    assert release(world, host)["state"] == "released"
    assert old.id not in world.environments
    assert register(world, host) == {"drkit": "register/1", "state": "started", "again": False}
    wait(world, 5)
    shown = watch(world, host)
    assert (shown["state"], shown["codes"], len(shown["code"])) == ("running", 1, 9)
    wait(world, 89)
    assert host.registration() is None
    wait(world, 10)
    shown = watch(world, host)
    assert (shown["state"], shown["rc"], shown["error"]) == ("exited", 0, None)
    made = world.environments[shown["id"]]
    assert (made.owner, made.plan, made.name) == (NAMES.owner("aoife"), TARGET, "moved")
    assert state_of(made, bearers(world)) == "Provisioning"
    wait(world, 15)
    assert state_of(made, bearers(world)) == "Available"


def test_nobody_signs_in_with_a_code_that_nobody_read(world: World) -> None:
    host = vm(world, "vm-orders-build")
    release(world, host)
    register(world, host)
    wait(world, 3600)
    assert host.registration() is None


def test_a_person_who_cannot_be_reached_never_signs_in_and_codes_expire(world: World) -> None:
    host = vm(world, "vm-mobile-ci")
    release(world, host)
    register(world, host)
    wait(world, 5)
    first = watch(world, host)
    wait(world, 15 * 60)
    second = watch(world, host)
    assert (first["codes"], second["codes"]) == (1, 2)
    assert first["code"] != second["code"]
    wait(world, 3600)
    assert watch(world, host)["state"] == "running"
    assert host.registration() is None


def test_a_code_that_expired_before_it_was_typed_does_not_count(world: World) -> None:
    host = vm(world, "vm-orders-build")
    release(world, host)
    register(world, host)
    wait(world, 14 * 60)
    watch(world, host)
    wait(world, 120)
    assert host.registration() is None
    watch(world, host)
    wait(world, 95)
    assert host.registration() is not None


def test_a_person_who_changes_their_mind_signs_in_with_the_next_look(world: World) -> None:
    host = vm(world, "vm-mobile-ci")
    release(world, host)
    register(world, host)
    wait(world, 5)
    watch(world, host)
    person = world.people[NAMES.owner("kwame")]
    person.ready_after, person.signs_in_after = 0, 30
    watch(world, host)
    wait(world, 31)
    assert host.registration() is not None


def test_readiness_counts_from_the_first_question(world: World) -> None:
    person = world.people[NAMES.owner("aoife")]
    wait(world, 500)
    now = world.now().timestamp()
    assert [person.ready(now), person.ask(now), person.ask(now + 59), person.ask(now + 61)] == [
        False,
        False,
        False,
        True,
    ]
    assert not world.people[NAMES.owner("kwame")].ask(now + 1e9)


@pytest.mark.parametrize(
    ("manner", "force", "state", "code", "record_stays"),
    [
        ("hang", "1", "forgotten", None, True),
        ("hang", "0", "kept", None, True),
        ("fail", "1", "forgotten", 1, True),
        ("fail", "0", "kept", 1, True),
        ("succeed", "0", "released", 0, True),
    ],
)
def test_stop_while_the_region_is_lost(
    world: World, manner: str, force: str, state: str, code: int | None, record_stays: bool
) -> None:
    host = vm(world, "vm-orders-build")
    host.behaviour["stop_while_lost"] = manner
    held = host.registration()
    assert held is not None
    lose(world, "westeurope")
    printed = release(world, host, force)
    assert (printed["state"], printed["rc"], printed["id"]) == (state, code, held.id)
    assert printed["backup"] == f"/var/lib/drkit/{RELEASE}/registration"
    assert (host.registration() is None) == (state != "kept")
    assert (held.id in world.environments) is record_stays


def test_a_hanging_stop_takes_as_long_as_it_is_given(world: World) -> None:
    host = vm(world, "vm-climate-sim")
    held = host.registration()
    assert held is not None
    lose(world, "westeurope")
    values = {
        "nonce": RELEASE,
        "user": "elif",
        "registration": PATH,
        "environment": held.id,
        "timeout": "45",
        "force": "1",
    }
    given = [(f"drkit_{k}", base64.urlsafe_b64encode(v.encode()).decode().rstrip("=")) for k, v in values.items()]
    assert scripts.run(host, surroundings(world), SCRIPTS, f"{2:064x}", given).seconds == 45


def test_a_second_delivery_does_nothing_again(world: World) -> None:
    host = vm(world, "vm-orders-build")
    first = release(world, host)
    register(world, host)
    job = host.jobs()[0]
    assert release(world, host, environment=first["id"]) == first | {"again": True}
    assert register(world, host)["again"] is True
    assert host.jobs() == [job]


def test_release_of_another_registration_touches_nothing(world: World) -> None:
    host = vm(world, "vm-orders-build")
    held = host.registration()
    assert held is not None
    printed = release(world, host, environment=str(uuid.uuid4()))
    assert (printed["state"], printed["id"]) == ("other", held.id)
    assert host.registration() is held


def test_release_and_register_say_what_is_missing_and_may_be_sent_again(world: World) -> None:
    host = vm(world, "vm-orders-build")
    where = {"nonce": RELEASE, "registration": PATH, "timeout": "9", "force": "0"}
    what = {"nonce": REGISTER, "plan": TARGET, "name": "n", "service": "1"}
    host.cli = False
    for user, workspace, state in [("nobody", "", "no-user"), ("aoife", "/nowhere", "no-workspace")]:
        printed = act(world, host, "codespaces_register", user=user, workspace=workspace, **what)
        assert printed == {"drkit": "register/1", "state": state, "again": False}
    assert register(world, host)["state"] == "no-cli"
    assert release(world, host)["state"] == "no-cli"
    assert (
        act(world, host, "codespaces_release", user="nobody", environment=str(uuid.uuid4()), **where)["state"]
        == "no-user"
    )
    assert host.state == {}
    host.registrations.clear()
    assert release(world, host, environment=str(uuid.uuid4()))["state"] == "absent"
    host.cli = True
    assert register(world, host)["state"] == "started"


def test_a_nonce_belongs_to_one_script(world: World) -> None:
    host = vm(world, "vm-orders-build")
    release(world, host)
    given = [("drkit_nonce", RELEASE), ("drkit_user", "aoife"), ("drkit_registration", PATH)]
    coded = [(name, base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")) for name, value in given]
    answer = scripts.run(host, surroundings(world), SCRIPTS, f"{4:064x}", coded)
    assert (answer.stdout, answer.stderr) == ("", "drkit: this nonce belongs to a release\n")


def test_every_script_that_runs_on_hosts_is_acted_out() -> None:
    assert scripts.SCRIPTS.keys() == products.scripts().today.keys()


def test_a_registered_machine_refuses_a_second_registration(world: World) -> None:
    host = vm(world, "vm-orders-build")
    held = host.registration()
    assert held is not None
    register(world, host)
    shown = watch(world, host)
    assert (shown["state"], shown["rc"], shown["already"], shown["codes"]) == ("exited", 1, held.id, 0)
    assert held.id in shown["error"]


def _hold_name(world: World, _: SimulatedHost) -> None:
    environment = of_plan(world, TARGET)[0]
    environment.name, environment.invisible = "moved", True


def _fill_plan(world: World, _: SimulatedHost) -> None:
    world.quota["*", "*", "environments"] = 1


def _lose_target(world: World, _: SimulatedHost) -> None:
    lose(world, "eastus")


def _cross_region(_: World, host: SimulatedHost) -> None:
    host.behaviour["start"] = "unauthorized"


@pytest.mark.parametrize(
    ("arrange", "says"),
    [
        (_hold_name, "Conflict (2)"),
        (_fill_plan, "Forbidden (1)"),
        (_lose_target, "ServiceUnavailable"),
        (_cross_region, "Unauthorized"),
    ],
)
def test_a_refused_registration_ends_with_the_services_words(
    world: World, arrange: Callable[[World, SimulatedHost], None], says: str
) -> None:
    host = vm(world, "vm-orders-build")
    arrange(world, host)
    release(world, host)
    register(world, host)
    wait(world, 5)
    watch(world, host)
    wait(world, 100)
    shown = watch(world, host)
    assert (shown["state"], shown["rc"], shown["id"]) == ("exited", 1, None)
    assert shown["error"].endswith(says)


def test_registered_but_never_available(world: World) -> None:
    host = vm(world, "vm-orders-build")
    host.behaviour["start"] = "never-available"
    release(world, host)
    register(world, host)
    wait(world, 5)
    watch(world, host)
    wait(world, 100)
    shown = watch(world, host)
    wait(world, 600)
    assert shown["rc"] == 0
    assert state_of(world.environments[shown["id"]], bearers(world)) == "Unavailable"


def test_restore_ends_the_pending_start_and_puts_the_registration_back(world: World) -> None:
    host = vm(world, "vm-orders-build")
    held = host.registration()
    assert held is not None
    lose(world, "westeurope")
    release(world, host)
    register(world, host)
    wait(world, 5)
    watch(world, host)
    assert restore(world, host) == {"drkit": "restore/1", "state": "restored", "id": held.id}
    wait(world, 600)
    assert watch(world, host)["state"] == "exited"
    world.lost.clear()
    assert state_of(world.environments[held.id], bearers(world)) == "Available"
    assert [registration.id for registration in host.registrations] == [held.id]


def test_restore_leaves_a_new_registration_alone(world: World) -> None:
    host = vm(world, "vm-orders-build")
    assert restore(world, host)["state"] == "no-backup"
    release(world, host)
    register(world, host)
    wait(world, 5)
    watch(world, host)
    wait(world, 100)
    new = watch(world, host)["id"]
    assert restore(world, host) == {"drkit": "restore/1", "state": "occupied", "id": new}


def test_old_records_come_alive_with_their_region_unless_their_host_left(world: World) -> None:
    host = vm(world, "vm-orders-build")
    held = host.registration()
    assert held is not None
    lose(world, "westeurope")
    release(world, host)
    del world.lost["westeurope"]
    assert state_of(world.environments[held.id], bearers(world)) == "Unavailable"
    other = world.environments[NAMES.guid("environment", "vso-plan-westeurope", "payments-dev")]
    assert state_of(other, bearers(world)) == "Available"


SHOWN = ("id", "vm_id", "boot_id", "physical_host", "machine_id", "host_keys", "macs", "registrations")


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        ("migrate", {"physical_host"}),
        ("heal", {"physical_host", "boot_id"}),
        ("redeploy", {"physical_host", "boot_id"}),
        ("reboot", {"boot_id"}),
        ("reimage", {"boot_id", "machine_id", "host_keys", "registrations"}),
        ("restore_in_place", {"boot_id"}),
        ("restore_new", {"id", "vm_id", "boot_id", "physical_host", "host_keys", "macs"}),
        ("behave", set()),
    ],
)
def test_what_an_event_changes_in_the_guest(world: World, event: str, changed: set[str]) -> None:
    host = vm(world, "vm-orders-build")
    before = {name: str(getattr(host, name)) for name in SHOWN}
    more = {"new_id": host.id + "-2"} if event == "restore_new" else {}
    events.happen(world, host, event, more)
    assert {name for name in SHOWN if str(getattr(host, name)) != before[name]} == changed


def test_an_ephemeral_disk_does_not_survive_another_node(world: World) -> None:
    host = vm(world, "vm-orders-build")
    host.ephemeral = True
    events.happen(world, host, "heal", {})
    assert host.registration() is None


def test_a_reimage_keeps_the_data_disks(world: World) -> None:
    for name, folders in (("vm-billing-batch", ["/data/billing"]), ("vm-orders-build", [])):
        events.happen(world, vm(world, name), "reimage", {})
        assert vm(world, name).folders == folders


def test_a_restored_vm_is_another_object_with_another_disk(world: World) -> None:
    host = vm(world, "vm-climate-sim")
    old = world.resource(host.id)
    assert old is not None
    old_disk = old.properties["storageProfile"]["osDisk"]["managedDisk"]["id"]
    events.happen(world, host, "restore_new", {"new_id": old.id + "-r1"})
    new = world.resource(old.id + "-r1")
    assert new is not None
    assert world.resource(old.id) is None
    assert new.properties["vmId"] == host.vm_id != old.properties["vmId"]
    assert new.properties["timeCreated"] > old.properties["timeCreated"]
    disks = [
        world.resource(disk) for disk in (old_disk, new.properties["storageProfile"]["osDisk"]["managedDisk"]["id"])
    ]
    assert len({disk.properties["uniqueId"] for disk in disks if disk}) == 2


def test_restore_in_place_changes_the_disk_and_keeps_the_vm(world: World) -> None:
    host = vm(world, "vm-climate-sim")
    resource = world.resource(host.id)
    assert resource is not None
    before = (resource.properties["vmId"], json.dumps(resource.properties["storageProfile"]["osDisk"]))
    events.happen(world, host, "restore_in_place", {})
    assert resource.properties["vmId"] == before[0]
    assert json.dumps(resource.properties["storageProfile"]["osDisk"]) != before[1]


def test_a_registration_survives_a_reboot_only_as_a_service(world: World) -> None:
    host = vm(world, "vm-orders-build")
    held = host.registration()
    assert held is not None
    events.happen(world, host, "reboot", {})
    assert held.id in bearers(world)
    held.service = False
    events.happen(world, host, "reboot", {})
    assert held.id not in bearers(world)


def test_stop_start_and_delete(world: World) -> None:
    host = vm(world, "vm-orders-build")
    events.happen(world, host, "stop", {})
    assert host.power == "deallocated"
    assert host.registrations[0].id not in bearers(world)
    boot, node = host.boot_id, host.physical_host
    events.happen(world, host, "start", {})
    assert host.power == "running"
    assert host.boot_id != boot
    assert host.physical_host != node
    assert events.happen(world, host, "delete", {}) == {}
    assert world.resource(host.id) is None
    assert host.id.lower() not in world.hosts


def test_a_regions_return_is_a_boot_for_its_machines(world: World) -> None:
    inside, outside = vm(world, "vm-search-weu"), vm(world, "vm-orders-build")
    boots = inside.boot_id, outside.boot_id
    lose(world, "westeurope")
    assert inside.registrations[0].id not in bearers(world)
    del world.lost["westeurope"]
    events.region_changed(world, "westeurope", lost=False)
    assert inside.boot_id != boots[0]
    assert outside.boot_id == boots[1]


def test_a_person_types_the_commands_on_a_machine_without_a_channel(world: World) -> None:
    host = vm(world, "rack-4-node-2")
    lose(world, "westeurope")
    events.happen(world, host, "codespaces-stop", {"force": True})
    what = {"user": "gustav", "plan": TARGET, "name": "hsm-bench", "workspace": "/srv/hsm"}
    events.happen(world, host, "codespaces-start", what)
    wait(world, 120)
    held = host.registration()
    assert held is not None
    assert world.environments[held.id].plan == TARGET


@pytest.mark.parametrize(
    ("event", "details"), [("explode", {}), ("restore_new", {}), ("codespaces-start", {"user": "nobody"})]
)
def test_an_event_that_cannot_be_is_refused(world: World, event: str, details: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"event|new_id|codespaces-start"):
        events.happen(world, vm(world, "vm-orders-build"), event, details)
