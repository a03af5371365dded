"""What happens to a host, and what its guest and its ARM object show of it afterwards.

Which attribute survives which event: https://learn.microsoft.com/azure/virtual-machines/maintenance-and-updates,
.../ephemeral-os-disks, .../backup-azure-arm-restore-vms and "Azure VM unique ID" (a VM keeps its ``vmId`` through
restarts, service healing and restore in place; a VM made from a copied disk has a new one).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta

from drkit.simulator.arm.compute import DISK, make_vm
from drkit.simulator.codespaces.environments import surroundings
from drkit.simulator.core.clock import stamp
from drkit.simulator.core.state import Json, Resource, World, normal
from drkit.simulator.hosts.codespaces_cli import forget, start, stop
from drkit.simulator.hosts.machine import (
    Folder,
    Registration,
    SimulatedHost,
    Surroundings,
    describe,
    host_keys,
    identity,
    mac,
    moment_text,
)
from drkit.simulator.hosts.people import Job
from drkit.simulator.signals import activity_log
from drkit.simulator.signals.vm_annotations import CUSTOMER, annotate, bring_up, take_down

Act = Callable[[World, Surroundings, SimulatedHost, Json], SimulatedHost | None]
WRITE, DELETE = "Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/virtualMachines/delete"
MOVE = "Microsoft.Resources/subscriptions/resourceGroups/moveResources/action"


def happen(world: World, host: SimulatedHost, event: str, details: Json) -> Json:
    """Lets ``event`` happen to a host; what it is like afterwards ({} once gone). ValueError for what cannot be.

    ``annotated``: false: the platform leaves no annotation; ``by``: who asked for it, in the activity log.
    """
    events = all_events()
    act = events.get(event)
    if act is None:
        raise ValueError(f"there is no event {event!r}, but: {', '.join(sorted(events))}")
    world.remember(host.id)
    around = surroundings(world)
    host.history.append((around.now(), event))
    more = {key: value for key, value in details.items() if key not in ("id", "event", "minutes_ago")}
    after = act(world, around, host, more)
    return describe(after, world) if after else {}


def all_events() -> dict[str, Act]:
    from drkit.simulator.hosts import copies, incidents
    from drkit.simulator.signals import site_recovery

    return EVENTS | incidents.EVENTS | copies.EVENTS | site_recovery.EVENTS


def region_changed(world: World, region: str, lost: bool, since: datetime | None = None) -> None:
    """A region was lost (``since``: default now), or came back: its VMs were off in between and start again."""
    for host in world.hosts.values():
        if host.kind == "azure-vm" and host.running and normal(host.location) == normal(region):
            if lost:
                text = "The region of this virtual machine is unavailable"
                take_down(world, host.id, since=since, summary=text, value=None)
            else:
                bring_up(world, host.id)
                host.history.append((world.now().timestamp(), "region-restored"))
                boot(host, world.now().timestamp())


def annotation_name(details: Json, name: str) -> str:
    """The name of the annotation; empty if the event asks for none."""
    return name if details.get("annotated", True) else ""


def note(world: World, host: SimulatedHost, details: Json, name: str) -> None:
    """An annotation of a VM, unless the event asks for none."""
    if host.kind == "azure-vm" and annotation_name(details, name):
        annotate(world, host.id, name)


def ago(world: World, minutes: float) -> datetime:
    return world.now() - timedelta(minutes=minutes)


def asked(world: World, host: SimulatedHost, operation: str, details: Json) -> None:
    """Somebody asked Resource Manager for it."""
    activity_log.happened(world, host.id, operation, str(details.get("by", activity_log.SOMEBODY)))


def new(host: SimulatedHost, what: str) -> str:
    """A UUID for what is new after this host's latest event."""
    return identity(f"{host.id.lower()}/{what}/{len(host.history)}")


def node(host: SimulatedHost) -> str:
    """The name of another physical host."""
    number = int(identity(f"{host.id}/node/{len(host.history)}")[:8], 16)
    return f"{(host.physical_host or 'AMS07A')[:3]}{number % 90 + 10}PrdApp{number // 97 % 90 + 10}"


def boot(host: SimulatedHost, at: float) -> None:
    """A start of the operating system: processes are gone, services come back."""
    host.boot_id = moment_text(at) if host.os == "windows" else new(host, "boot")
    held = host.registration()
    host.agent = held is not None and held.service
    for job in host.jobs():
        if job.ended is None:
            job.ended = at


def wipe(host: SimulatedHost) -> None:
    """A new operating system from the image: nothing of the old disk is left, a data disk is."""
    windows = host.os == "windows"
    host.machine_id = new(host, "machine") if windows else new(host, "machine").replace("-", "")
    host.host_keys = [] if windows else host_keys(host.machine_id)
    host.registrations.clear()
    host.state.clear()
    host.agent = False
    host.folders = [folder for folder in host.folders if folder.startswith("/data")]


def to_another_node(host: SimulatedHost) -> None:
    host.physical_host = host.physical_host and node(host)


def _migrate(world: World, _: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    to_another_node(host)
    note(world, host, details, "LiveMigrationSucceeded")
    return host


def _reboot(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """From inside, or asked of Azure (``by``)."""
    boot(host, around.now())
    if host.kind == "azure-vm":
        if details.get("by"):
            asked(world, host, f"{WRITE[:-6]}/restart/action", details)
        name = annotation_name(details, "VirtualMachineRestarted")
        take_down(world, host.id, name, since=ago(world, 1), until=world.now(), context=CUSTOMER)
    return host


def _heal(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Azure moves it off a failed node. The minutes it takes are over at once, but Resource Health remembers them."""
    _renew(host, around)
    name = annotation_name(details, "VirtualMachineMigrationInitiatedForRepair")
    text = "We're sorry, your virtual machine was unavailable: its host failed"
    take_down(world, host.id, name, since=ago(world, 4), until=world.now(), summary=text)
    return host


def _renew(host: SimulatedHost, around: Surroundings) -> None:
    """Another node, and a boot; an ephemeral OS disk does not come along."""
    to_another_node(host)
    if host.ephemeral:
        wipe(host)
    boot(host, around.now())


def _redeploy(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    _renew(host, around)
    asked(world, host, f"{WRITE[:-6]}/redeploy/action", details)
    name = annotation_name(details, "VirtualMachineRedeployInitiatedByControlPlane")
    take_down(world, host.id, name, since=ago(world, 3), until=world.now(), context=CUSTOMER)
    return host


def _reimage(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    wipe(host)
    boot(host, around.now())
    if host.kind == "azure-vm":
        asked(world, host, f"{WRITE[:-6]}/reimage/action", details)
    return host


def _stop(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    deallocate = details.get("deallocate", True)
    host.power = "deallocated" if deallocate else "stopped"
    for job in host.jobs():
        job.ended = job.ended or around.now()
    if host.kind == "azure-vm":
        asked(world, host, f"{WRITE[:-6]}/{'deallocate' if deallocate else 'powerOff'}/action", details)
        kind = "DeallocationInitiated" if deallocate else "StopInitiatedByControlPlane"
        name, title = (
            annotation_name(details, f"VirtualMachine{kind}"),
            "Stopped and deallocated" if deallocate else "Stopped",
        )
        take_down(world, host.id, name, title=title, context=CUSTOMER, value=None)
    return host


def _start(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    if host.power == "running":
        return host
    if host.power == "deallocated":
        to_another_node(host)
    host.power = "running"
    boot(host, around.now())
    bring_up(world, host.id, context=CUSTOMER)
    if host.kind == "azure-vm":
        asked(world, host, f"{WRITE[:-6]}/start/action", details)
        note(world, host, details, "VirtualMachineStartInitiatedByControlPlane")
    return host


def _restore_in_place(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Backup's "replace existing": another OS disk, its content as of the restore point; the old disk stays."""
    if "registration" in details:
        host.registrations.clear()
        if isinstance(details["registration"], dict):
            host.registrations.append(Registration(**details["registration"]))
    vm = world.resource(host.id)
    if vm:
        replace_disk(world, host, vm, f"{vm.name}_OsDisk_{new(host, 'disk')[:8]}")
        asked(world, host, WRITE, details)
    boot(host, around.now())
    return host


def _restore_new(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Backup's "create new VM": a machine of its own with the old disk's content. ``keep``: the old one lives on."""
    old = world.resource(host.id)
    if old is None or world.group(str(details.get("new_id"))) is None:
        raise ValueError("restore_new needs a VM, and new_id: the ARM id of the VM to be made, in a group that exists")
    twin = deepcopy(host) if details.get("keep") else host
    if twin is host:
        asked(world, host, DELETE, details)
        world.remove(old.id)
        del world.hosts[host.id.lower()]
    twin.id, twin.location = str(details["new_id"]), normal(details.get("location", old.location))
    twin.vm_id = new(twin, "vm")
    twin.macs = [mac(twin.vm_id)]
    twin.host_keys = host_keys(twin.vm_id)  # cloud-init takes a new product_uuid for a new instance
    twin.physical_host = node(twin)
    twin.power, twin.silent = "running", False
    twin.extensions = {}  # those were the old VM's
    make_vm(world, twin, size=old.properties["hardwareProfile"]["vmSize"], tags=old.tags)
    world.hosts[twin.id.lower()] = twin
    asked(world, twin, WRITE, details)
    boot(twin, around.now())
    return twin


def _move(world: World, _: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """A move to another resource group (``group``: its ARM id): other ARM ids, the same machine and disk."""
    vm, group = world.resource(host.id), world.group(str(details.get("group")))
    if vm is None or group is None:
        raise ValueError("move needs a VM, and group: the ARM id of a resource group that exists")
    activity_log.happened(world, vm.group_id, MOVE, str(details.get("by", activity_log.SOMEBODY)))
    disk = world.resource(vm.properties["storageProfile"]["osDisk"]["managedDisk"]["id"])
    for resource in (vm, disk):
        if resource is not None:
            world.remove(resource.id)
            resource.id = f"{group.id}/providers/{resource.type}/{resource.name}"
            world.put(resource)  # which dates it, and keeps when it was made
    if disk is not None:
        vm.properties["storageProfile"]["osDisk"]["managedDisk"]["id"] = disk.id
    del world.hosts[host.id.lower()]
    host.id = vm.id
    world.hosts[vm.id.lower()] = host
    return host


def replace_disk(world: World, host: SimulatedHost, vm: Resource, name: str) -> None:
    """Gives the VM another OS disk, with an id and ``uniqueId`` of its own."""
    os_disk = vm.properties["storageProfile"]["osDisk"]
    base = "/".join(vm.id.split("/")[:5])
    disk_id = f"{base}/providers/{DISK}/{name}"
    old = world.resource(os_disk["managedDisk"]["id"])
    disk = deepcopy(old) if old else Resource(disk_id, DISK, name, vm.location)
    disk.id, disk.name, disk.created = disk_id, name, None
    disk.properties |= {"uniqueId": new(host, "disk"), "timeCreated": stamp(world.now())}
    world.put(disk)
    os_disk["name"] = name
    os_disk["managedDisk"]["id"] = disk_id


def _delete(world: World, _: Surroundings, host: SimulatedHost, details: Json) -> None:
    if host.kind == "azure-vm":
        asked(world, host, DELETE, details)
    world.remove(host.id)
    world.hosts.pop(host.id.lower(), None)


def _behave(_: World, __: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    host.behaviour |= {key: str(value) for key, value in details.items()}
    return host


def _type_stop(_: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """A person types ``codespaces stop``; with ``force`` they move the registration aside when it hangs or fails."""
    held = host.registration()
    if held and stop(host, around, 0.0)[0] != "released" and details.get("force"):
        forget(host, held)
    return host


def _type_start(_: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """A person types ``codespaces start -i PLAN -n NAME -w WORKSPACE`` as a user of the machine."""
    account = host.accounts.get(str(details.get("user")))
    if account is None or not details.get("plan") or not details.get("name"):
        raise ValueError("codespaces-start needs user (one of the machine's), plan and name")
    nonce = new(host, "typed").replace("-", "")
    job = Job(
        key=f"{host.id}/{nonce}",
        user=details["user"],
        person=details.get("person") or account.person,
        plan=details["plan"],
        name=details["name"],
        workspace=details.get("workspace", ""),
        service=bool(details.get("service", True)),
        started=around.now(),
        typed=True,
    )
    host.state[nonce] = Folder("typed", job=job)
    start(host, around, job)
    return host


EVENTS: dict[str, Act] = {
    "migrate": _migrate,
    "heal": _heal,
    "redeploy": _redeploy,
    "move": _move,
    "reboot": _reboot,
    "reimage": _reimage,
    "stop": _stop,
    "start": _start,
    "restore_in_place": _restore_in_place,
    "restore_new": _restore_new,
    "delete": _delete,
    "behave": _behave,
    "codespaces-stop": _type_stop,
    "codespaces-start": _type_start,
}
