"""What the platform does to a host, and what befalls its node, its storage, its zone: mostly without ARM's noticing.

https://learn.microsoft.com/azure/virtual-machines/understand-vm-reboots and
https://learn.microsoft.com/azure/reliability/reliability-virtual-machines
"""

from __future__ import annotations

from drkit.simulator.core.state import Json, World, normal
from drkit.simulator.hosts import events
from drkit.simulator.hosts.events import ago, annotation_name, boot, new, note
from drkit.simulator.hosts.machine import SimulatedHost, Surroundings, mac
from drkit.simulator.signals.vm_annotations import PLATFORM, bring_up, take_down

NODE = "We're sorry, your virtual machine isn't available because of a failure on the host server"


def _freeze(world: World, _: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Its node is updated while the VM is paused for some seconds."""
    note(world, host, details, "VirtualMachinePlannedFreezeSucceeded")
    return host


def _crash(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Its node crashed and came back, ``minutes`` (6) later."""
    boot(host, around.now())
    name = annotation_name(details, "VirtualMachineHostCrashed")
    take_down(world, host.id, name, since=ago(world, float(details.get("minutes", 6))), until=world.now(), summary=NODE)
    return host


def _blip(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Its storage was away for ``minutes`` (2); ``reboot``: it restarted by that, else it stood still."""
    if details.get("reboot"):
        boot(host, around.now())
    name = annotation_name(details, "VirtualMachineStorageOffline")
    since = ago(world, float(details.get("minutes", 2)))
    take_down(world, host.id, name, since=since, until=world.now(), summary="Storage connectivity lost")
    return host


def _down(world: World, _: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Its node failed; the platform reports it, and the VM stays down. ``value``: the metric during that time."""
    host.silent = True
    name = annotation_name(details, "VirtualMachineHostRebootedForRepair")
    take_down(world, host.id, name, summary=NODE, value=details.get("value", 0.0))
    return host


def _up(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """The platform brought it back; ``other_node``: elsewhere."""
    if details.get("other_node"):
        events.to_another_node(host)
        note(world, host, details, "VirtualMachineMigrationInitiatedForRepair")
        if host.ephemeral:
            events.wipe(host)
    _wake(world, around, host)
    return host


def _wake(world: World, around: Surroundings, host: SimulatedHost) -> None:
    host.silent = False
    boot(host, around.now())
    bring_up(world, host.id, context=PLATFORM)


def in_zone(world: World, host: SimulatedHost) -> list[SimulatedHost]:
    """The running VMs of this host's zone, itself among them."""
    if not host.zone:
        raise ValueError(f"{host.id} is in no zone")
    place = (normal(host.location), host.zone)
    return [
        neighbour
        for neighbour in world.hosts.values()
        if (normal(neighbour.location), neighbour.zone) == place and neighbour.running
    ]


def _zone_down(world: World, _: Surroundings, host: SimulatedHost, __: Json) -> SimulatedHost:
    """The whole zone of the host fails: its VMs stay down until it recovers, without an annotation."""
    for neighbour in in_zone(world, host):
        neighbour.silent = True
        take_down(
            world, neighbour.id, summary="The availability zone of this virtual machine is unavailable", value=None
        )
    return host


def _zone_up(world: World, around: Surroundings, host: SimulatedHost, __: Json) -> SimulatedHost:
    for neighbour in in_zone(world, host):
        if neighbour is not host:
            neighbour.history.append((around.now(), "zone-up"))
        _wake(world, around, neighbour)
    return host


def _hang(_: World, __: Surroundings, host: SimulatedHost, ___: Json) -> SimulatedHost:
    """Its own system hangs: the platform sees nothing wrong."""
    host.silent = True
    return host


def _alarm(world: World, _: Surroundings, host: SimulatedHost, __: Json) -> SimulatedHost:
    """Resource Health calls it down although it runs (``all-clear`` ends that)."""
    take_down(world, host.id, summary=NODE, value=1.0)
    return host


def _clear(world: World, _: Surroundings, host: SimulatedHost, __: Json) -> SimulatedHost:
    bring_up(world, host.id, context=PLATFORM)
    return host


def _other_hardware(world: World, around: Surroundings, host: SimulatedHost, _: Json) -> SimulatedHost:
    """A machine of your own, restored to other hardware: serial number and MAC differ, the disk does not."""
    host.vm_id = new(host, "hardware")
    host.macs = [mac(host.vm_id)]
    boot(host, around.now())
    arc = world.resource(host.id)
    if arc:
        arc.properties["vmUuid"] = host.vm_id
    return host


EVENTS: dict[str, events.Act] = {
    "freeze": _freeze,
    "crash": _crash,
    "storage-blip": _blip,
    "down": _down,
    "up": _up,
    "zone-down": _zone_down,
    "zone-up": _zone_up,
    "guest-hang": _hang,
    "false-alarm": _alarm,
    "all-clear": _clear,
    "other-hardware": _other_hardware,
}
