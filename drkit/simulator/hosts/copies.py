"""A host's disk and name under another machine: swapped disks, clones, VMs made again under their old name."""

from __future__ import annotations

from copy import deepcopy

from drkit.simulator.arm.compute import make_vm
from drkit.simulator.core.state import Json, World, normal
from drkit.simulator.hosts import events
from drkit.simulator.hosts.events import DELETE, WRITE, asked, boot, new, node, wipe
from drkit.simulator.hosts.machine import SimulatedHost, Surroundings, host_keys, mac


def _swap_disk(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Another boot disk under the same VM. ``content``: new (by default) or same."""
    vm = world.resource(host.id)
    if vm is None:
        raise ValueError("swap-disk needs a VM")
    events.replace_disk(world, host, vm, f"{vm.name}_OsDisk_{new(host, 'disk')[:8]}")
    if details.get("content", "new") == "new":
        wipe(host)
    boot(host, around.now())
    asked(world, host, WRITE, details)
    return host


def _clone(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """A VM from a specialised image of this one (``new_id``, ``location``): its OS under a new vmId.

    With its registration, unless ``registered`` is false: then the image is older than that.
    """
    old = world.resource(host.id)
    if old is None or world.group(str(details.get("new_id"))) is None:
        raise ValueError("a clone needs a VM, and new_id: the ARM id of the VM to be made, in a group that exists")
    made = deepcopy(host)
    made.id, made.location = str(details["new_id"]), normal(details.get("location", old.location))
    made.vm_id = new(made, "vm")
    made.macs, made.physical_host = [mac(made.vm_id)], node(made)
    made.host_keys = host_keys(made.vm_id)  # cloud-init takes a new product_uuid for a new instance
    made.power, made.silent = "running", False
    if not details.get("registered", True):
        made.registrations.clear()
    make_vm(world, made, size=old.properties["hardwareProfile"]["vmSize"], tags=old.tags)
    world.hosts[made.id.lower()] = made
    boot(made, around.now())
    asked(world, made, WRITE, details)
    return made


def _recreate(world: World, around: Surroundings, host: SimulatedHost, details: Json) -> SimulatedHost:
    """Deleted, and made again under its name: the same ARM id, another machine. ``content``: new or same (disk kept)."""
    old = world.resource(host.id)
    if old is None:
        raise ValueError("recreate needs a VM")
    asked(world, host, DELETE, details)
    world.remove(host.id)
    host.vm_id = new(host, "vm")
    host.macs, host.physical_host = [mac(host.vm_id)], node(host)
    if details.get("content", "new") == "new":
        wipe(host)
    host.host_keys = host_keys(host.vm_id)
    host.power, host.silent = "running", False
    make_vm(world, host, size=old.properties["hardwareProfile"]["vmSize"], tags=old.tags)
    boot(host, around.now())
    asked(world, host, WRITE, details)
    return host


EVENTS: dict[str, events.Act] = {"swap-disk": _swap_disk, "clone": _clone, "recreate": _recreate}
