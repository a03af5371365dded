"""A host as a model: what identifies the machine, what is registered on its disk, and what it finds around itself."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from drkit.simulator.hosts.people import Job, Person

WINDOWS_STARTED = "2026-11-02T04:12:09Z"
"""Windows has no boot id; the time of its start is used instead."""
NAMESPACE = uuid.UUID("6f0f3a52-53c3-4f0e-9d0b-3d6a52a6b6c1")


def identity(text: str) -> str:
    """A UUID that is always the same for the same text."""
    return str(uuid.uuid5(NAMESPACE, text))


class Refusal(Exception):  # noqa: N818 - what the service says to the command line, not an error of ours
    """The service refused; the text is what the command line shows after ``[!ERROR]``."""


@dataclass
class Registration:
    """What the command line keeps on the disk of a registered machine."""

    id: str
    user: str
    path: str
    product: str = "codespaces"
    service: bool = True
    """Installed as a service: survives a restart of the machine."""


@dataclass
class UserAccount:
    """A user of the machine, and the person who signs in when that user registers it."""

    home: str
    person: str = ""


@dataclass
class Folder:
    """``/var/lib/drkit/<nonce>``."""

    kind: str
    printed: dict[str, Any] = field(default_factory=dict)
    """What the script that made it printed."""
    backup: Registration | None = None
    job: Job | None = None


@dataclass
class InstalledExtension:
    """An extension of a machine. ``protected``: settings that go in and never come out."""

    name: str
    publisher: str
    type: str
    version: str = "1.1"
    settings: dict[str, Any] = field(default_factory=dict)
    protected: dict[str, Any] = field(default_factory=dict, repr=False)
    location: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    auto_upgrade_minor_version: bool = True
    enable_automatic_upgrade: bool = True
    state: str = "Succeeded"
    """``provisioningState``. It does its work while this is Succeeded."""
    message: str = ""


@dataclass
class SimulatedHost:
    """A machine. ``id`` is its ARM id, or a plain name where it has no ARM object."""

    id: str
    kind: str  # azure-vm | arc | physical
    hostname: str
    location: str
    os: str = "linux"
    machine_id: str = ""
    boot_id: str = ""
    vm_id: str = ""
    """The SMBIOS UUID as Azure spells it (``vmId``)."""
    generation: str = "V2"
    physical_host: str | None = None
    host_keys: list[str] = field(default_factory=list)
    macs: list[str] = field(default_factory=list)
    accounts: dict[str, UserAccount] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    """Workspaces that exist; those under ``/data`` are on a disk of their own and outlive the OS disk."""
    registrations: list[Registration] = field(default_factory=list)
    extensions: dict[str, InstalledExtension] = field(default_factory=dict)
    """By lower-cased name."""
    zone: str = ""
    cli: bool = True
    fetch: bool = True
    """Has curl or wget."""
    ephemeral: bool = False
    power: str = "running"  # running | stopped | deallocated
    agent: bool = True
    """The agent of the registration on disk runs."""
    behaviour: dict[str, str] = field(default_factory=dict)
    """``stop_while_lost``: hang (by default), fail, succeed. ``start``: unauthorized, never-available.
    ``vm_agent``: not-ready. ``proxy``: needed (by its hybrid worker, from protected settings)."""
    state: dict[str, Folder] = field(default_factory=dict)
    silent: bool = False
    """It does not answer although ARM calls it running: its node, zone or storage is down, or its own system hangs."""
    history: list[tuple[float, str]] = field(default_factory=list)
    """(moment, event), oldest first. What is new after an event is made from their number."""

    @property
    def smbios(self) -> str:
        """The UUID as the guest reads it: generation 1 shows the first three fields byte-swapped, in upper case."""
        if self.generation != "V1":
            return self.vm_id
        return str(uuid.UUID(bytes=uuid.UUID(self.vm_id).bytes_le)).upper()

    @property
    def running(self) -> bool:
        return self.power == "running"

    def registration(self, path: str | None = None) -> Registration | None:
        """The Codespaces registration on its disk (at that path, if one is given)."""
        return next((r for r in self.registrations if r.product == "codespaces" and path in (None, r.path)), None)

    def jobs(self) -> list[Job]:
        return [folder.job for folder in self.state.values() if folder.job]


class Surroundings(Protocol):
    """What a host finds around it."""

    @property
    def registration_path(self) -> str: ...

    def now(self) -> float: ...

    def later(self, seconds: float, action: Callable[[], None]) -> None: ...

    def answers(self, url: str) -> int:
        """HTTP status with which the URL answers; 0: nothing does."""

    def unregister(self, environment: str) -> bool:
        """Deletes the environment; False: its region's service does not answer."""

    def register(self, host: SimulatedHost, job: Job) -> str:
        """Creates the environment as the person who signed in; its id. Raises ``Refusal``."""

    def person(self, owner: str) -> Person: ...


def host_from_seed(entry: Mapping[str, Any]) -> SimulatedHost:
    """A host of a seed: the fields of ``SimulatedHost``. What it leaves out of a machine's identity is made from its id."""
    fields = dict(entry)
    fields["accounts"] = {user: UserAccount(**account) for user, account in fields.get("accounts", {}).items()}
    fields["registrations"] = [Registration(**registration) for registration in fields.get("registrations", [])]
    made = [InstalledExtension(**extension) for extension in fields.get("extensions", [])]
    fields["extensions"] = {extension.name.lower(): extension for extension in made}
    host = SimulatedHost(**fields)
    text = host.id.lower()
    windows = host.os == "windows"
    host.machine_id = host.machine_id or identity(f"{text}/machine").replace("-", "-" if windows else "")
    host.boot_id = host.boot_id or (WINDOWS_STARTED if windows else identity(f"{text}/boot"))
    host.vm_id = host.vm_id or identity(f"{text}/vm")
    host.host_keys = host.host_keys or host_keys(host.machine_id)
    host.macs = host.macs or [mac(host.vm_id)]
    if windows:
        host.host_keys = []
    return host


def describe(host: SimulatedHost, world: Any = None) -> dict[str, Any]:  # noqa: ARG001 - the form all three views share
    """What control shows of it."""
    names = ("id", "kind", "hostname", "location", "os", "machine_id", "boot_id", "vm_id", "physical_host", "power")
    jobs = [
        {"user": j.user, "plan": j.plan, "name": j.name, "rc": j.rc, "error": j.error, "environment": j.environment}
        for j in host.jobs()
    ]
    registrations = [{"product": r.product, "id": r.id, "user": r.user, "path": r.path} for r in host.registrations]
    history = [{"at": moment_text(at), "event": event} for at, event in host.history]
    shown = {name: getattr(host, name) for name in names}
    shown["extensions"] = [
        {"name": e.name, "publisher": e.publisher, "type": e.type, "settings": e.settings, "state": e.state}
        for e in host.extensions.values()
    ]
    return {**shown, "registrations": registrations, "jobs": jobs, "history": history}


def host_keys(text: str, count: int = 3) -> list[str]:
    """Fingerprints as ``ssh-keygen -l`` writes them."""
    digests = (hashlib.sha256(f"{text}/{n}".encode()).digest() for n in range(count))
    return ["SHA256:" + base64.b64encode(digest).decode().rstrip("=") for digest in digests]


def mac(text: str) -> str:
    """A hardware address in a block of Microsoft's."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"00:0d:3a:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def moment_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expand(path: str, home: str) -> str:
    return f"{home}/{path[2:]}" if path.startswith("~/") else path
