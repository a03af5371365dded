"""The simulator's own seed: what exists when it starts, as a JSON object.

``drkit``: ``"simulator-seed/1"``. ``seed``: a number all made-up ids come from. ``tenant``: {id, domain}. Optional:

==================== ==============================================================================================
``origin``           simulated time of the start, RFC 3339 (default: the real time)
``registration_path`` where the hosts' command line keeps its registration (``~/`` is the user's home)
``subscriptions``    [{id, name, providers: [namespaces registered; default all the simulator knows]}]
``groups``           [{id, location, tags}]
``resources``        ARM bodies [{id, location, tags, properties, …}]: plans, Arc machines, disks, anything by id
``hosts``            [{id, kind, …}] as ``machine.host_from_seed`` reads them. A host of kind ``azure-vm`` whose id is
                     not among ``resources`` gets its VM and OS disk from ``compute.make_vm``; ``vm``: {size, tags,
                     os_disk (ARM id), disk_id (uniqueId), zone, created, identity} says more of it. A VM among
                     ``resources`` is filled up with what it leaves out, and gets a plain host if it has none
``automation``       [{id, location, tags, account_id: its GUID, identity: true for a system-assigned one, created,
                     refuses: true for an account that takes no machine with another account's extension, assets:
                     {runbooks|modules|connections|…: {name: properties}}, groups: [{name, credential, workers: [{id:
                     a GUID, machine: an ARM id, registered, seen, ip}]}]}]; a host's ``extensions``: [{name,
                     publisher, type, version, settings, protected, …}]
``environments``     [{id, …}] as ``codespaces.environments.environment_from_seed`` reads them
``people``           [{owner, …}] as ``people.person_from_seed`` reads them
``quota``            [{subscription or "*", region or "*", kind, limit}]; kinds: plans (per subscription), environments
                     (per plan), cores (per subscription and region), sku (0: none is available there)
``assignments``      [{principal: an object id, role, scope, kind: User|Group|ServicePrincipal}], further ones
``principals``       [{role, client_id, client_secret, object_id, resource: the managed identity it is}]; default one of each role
``roles``            [{name, actions: patterns}]: further roles, or other actions of the simulator's own
``locks``, ``policies``, ``policy_definitions``, ``deleted_accounts``: as ``World`` describes them
``protected``        [{vault: its ARM id, host: a VM's, group: the group it is recovered into, location}]: Site Recovery
``signals``          {delays: {source: [least, most] minutes}, gaps: [VM ids]}: how Azure's signals lag (``state.DELAYS``)
``settings``         hints for the program that uses the simulator; not read here
==================== ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from drkit.errors import FileError
from drkit.simulator.arm import catalog
from drkit.simulator.arm.identity import ROLES, assign, make_principals
from drkit.simulator.core.clock import SimulatedClock
from drkit.simulator.core.state import Json, Location, Resource, ResourceGroup, Subscription, World, normal
from drkit.simulator.core.wire import parse_id

KIND = "simulator-seed/1"
LISTS = (
    "subscriptions",
    "groups",
    "resources",
    "hosts",
    "automation",
    "environments",
    "people",
    "quota",
    "principals",
    "roles",
    "locks",
    "policies",
    "policy_definitions",
    "deleted_accounts",
    "assignments",
    "protected",
)
KEYS = frozenset(("drkit", "seed", "origin", "tenant", "registration_path", "signals", "settings", *LISTS))


ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What an entry of another shape raises where it is taken apart."""


def check(seed: Any, where: str) -> None:
    """FileError naming the first thing that makes this no seed."""
    if not isinstance(seed, dict):
        raise FileError("a seed is a JSON object", where=where)
    kind = seed.get("drkit")
    if kind != KIND:
        newer = isinstance(kind, str) and kind.startswith("simulator-seed/")
        raise FileError(f"a {kind!r}, not a {KIND!r}", where=where, remedy="update drkit" if newer else "")
    for key in seed.keys() - KEYS:
        raise FileError(f"unknown key {key!r}", where=where)
    tenant = seed.get("tenant")
    if not isinstance(tenant, dict) or not isinstance(tenant.get("id"), str):
        raise FileError("tenant: an object with an id is needed", where=where)
    for key in LISTS:
        entries = seed.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise FileError(f"{key}: a list of objects is needed", where=where)


def build(seed: Json, clock_speed: float, host_scripts: Mapping[str, str], where: str = "the seed") -> World:
    """The world a seed describes, its clock started. FileError names the entry that does not fit."""
    from drkit.simulator.arm import compute, governance
    from drkit.simulator.codespaces import environments
    from drkit.simulator.hosts import machine, people
    from drkit.simulator.hybrid_worker import model
    from drkit.simulator.signals import site_recovery

    check(seed, where)
    try:
        origin = datetime.fromisoformat(seed["origin"]) if seed.get("origin") else None
        number = int(seed.get("seed", 1))
    except (TypeError, ValueError, OverflowError) as error:
        raise FileError(f"origin or seed: {error}", where=where) from error
    world = World(SimulatedClock.start(origin, clock_speed), seed["tenant"]["id"], number, host_scripts)
    world.registration_path = seed.get("registration_path", world.registration_path)
    world.locations = {name: Location(name, display, pair) for name, display, pair in catalog.LOCATIONS}
    world.roles = dict(ROLES)

    def each(key: str, take: Callable[[Json], None]) -> None:
        for number, entry in enumerate(seed.get(key, [])):
            try:
                take(entry)
            except ODD as error:
                raise FileError(_said(error), where=f"{where}: {key}[{number}]") from error

    def subscription(entry: Json) -> None:
        named = {name.lower() for name in entry.get("providers", catalog.NAMES)}
        world.subscriptions[entry["id"].lower()] = Subscription(entry["id"], entry["name"], named | catalog.BUILT_IN)

    def group(entry: Json) -> None:
        parts = entry["id"].split("/")
        if len(parts) != 5 or parts[2].lower() not in world.subscriptions:
            raise ValueError(f"{entry['id']} is not a resource group of a subscription of the seed")
        at = known_location(world, entry["location"])
        world.groups[entry["id"].lower()] = ResourceGroup(
            entry["id"], parts[2], parts[4], at, dict(entry.get("tags") or {})
        )

    def resource(entry: Json) -> None:
        parsed = parse_id(entry["id"])
        if parsed is None or world.group(entry["id"]) is None:
            raise ValueError(f"{entry['id']} is not a resource in a group of the seed")
        fixed = {"id", "name", "type", "location", "tags", "properties"}
        world.put(
            Resource(
                entry["id"],
                entry.get("type", parsed.type),
                parsed.name,
                known_location(world, entry["location"]),
                dict(entry.get("tags") or {}),
                dict(entry.get("properties") or {}),
                {key: value for key, value in entry.items() if key not in fixed},
            )
        )

    def host(entry: Json) -> None:
        made = machine.host_from_seed({key: value for key, value in entry.items() if key != "vm"})
        world.hosts[made.id.lower()] = made
        if made.kind == "azure-vm" and world.resource(made.id) is None:
            if world.group(made.id) is None:
                raise ValueError(f"{made.id} is not a VM in a group of the seed")
            compute.make_vm(world, made, **entry.get("vm", {}))

    def environment(entry: Json) -> None:
        made = environments.environment_from_seed(entry, world)
        world.environments[made.id] = made

    def person(entry: Json) -> None:
        made = people.person_from_seed(entry)
        world.people[made.owner] = made

    def assignment(entry: Json) -> None:
        if entry["role"] not in world.roles:
            raise ValueError(f"there is no role {entry['role']!r}")
        assign(world, entry["principal"], entry["role"], entry["scope"], entry.get("kind", "User"))

    def limit(entry: Json) -> None:
        place = (entry.get("subscription", "*").lower(), normal(entry.get("region", "*")), entry["kind"])
        world.quota[place] = int(entry["limit"])

    def role(entry: Json) -> None:
        world.roles[entry["name"]] = [str(action) for action in entry["actions"]]

    each("roles", role)
    each("subscriptions", subscription)
    each("groups", group)
    each("resources", resource)
    each("hosts", host)
    each("automation", lambda entry: model.account_from_seed(world, entry))
    each("environments", environment)
    each("people", person)
    each("assignments", assignment)
    each("quota", limit)
    for key in governance.LISTS:
        each(key, partial(governance.add, world, key))
    each("protected", lambda entry: site_recovery.protect(world, entry))
    for number, entry in enumerate(seed.get("principals", [])):
        if (
            not isinstance(entry, dict)
            or not all(isinstance(value, str) for value in entry.values())
            or "role" not in entry
        ):
            raise FileError("an object of texts with a role is needed", where=f"{where}: principals[{number}]")
    try:
        for vm in [r for r in world.resources.values() if r.is_a("Microsoft.Compute/virtualMachines")]:
            compute.equip(world, vm)
        make_principals(world, seed.get("principals", []))
    except ODD as error:
        raise FileError(f"does not fit together: {_said(error)}", where=where) from error
    try:
        set_signals(world, seed.get("signals", {}))
    except ODD as error:
        raise FileError(f"signals: {_said(error)}", where=where) from error
    world.before.clear()
    try:
        model.beat(world)
    except ODD as error:
        raise FileError(f"extensions: {_said(error)}", where=where) from error
    return world


def _said(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def set_signals(world: World, given: Json) -> Json:
    """How late Azure's signals are, and which rows Resource Graph lacks. ValueError for a source there is not."""
    for source, (least, most) in given.get("delays", {}).items():
        if source not in world.delays or not 0 <= least <= most:
            raise ValueError(f"delays are [least, most] minutes of {', '.join(world.delays)}, not of {source!r}")
        world.delays[source] = (float(least), float(most))
    if "gaps" in given:
        world.gaps = {vm.lower() for vm in given["gaps"]}
    return {"delays": world.delays, "gaps": sorted(world.gaps)}


def known_location(world: World, name: str) -> str:
    """The location's name as Azure spells it; ValueError for one there is not."""
    if normal(name) not in world.locations:
        raise ValueError(f"there is no region {name!r}")
    return world.locations[normal(name)].name
