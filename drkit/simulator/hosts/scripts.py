"""How a host acts out a script it knows.

No command is ever executed. A script is known by the hash of its text; the mapping from hash to name is handed in. What
the scripts take and print is in ``docs/host-scripts.md``.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drkit.simulator.hosts.codespaces_cli import appoint, forget, start, stop
from drkit.simulator.hosts.machine import Folder, SimulatedHost, Surroundings, expand, moment_text
from drkit.simulator.hosts.people import FIRST_CODE, SIGN_IN_PAGE, Job

NOTHING_IS_RUN = "This is a simulated host: it knows no such script, and nothing is run."
STATE = "/var/lib/drkit"
WINDOWS = frozenset({"probe_windows"})


@dataclass(frozen=True)
class ScriptOutput:
    """What a script printed, and how many simulated seconds it took."""

    stdout: str
    stderr: str = ""
    seconds: float = 2.0


def run(
    host: SimulatedHost, around: Surroundings, names: Mapping[str, str], sha256: str, parameters: list[tuple[str, str]]
) -> ScriptOutput:
    """Acts out the script of that hash with its (name, base64url value) parameters."""
    name = names.get(sha256.lower())
    script = SCRIPTS.get(name or "")
    if name is None or script is None or (name in WINDOWS) != (host.os == "windows"):
        return ScriptOutput(NOTHING_IS_RUN)
    try:
        values = {key: decode(value) for key, value in parameters}
        printed, seconds = script(host, around, values)
    except KeyError as missing:
        return ScriptOutput("", f"drkit: parameter {missing.args[0]} is missing\n")
    except (ValueError, binascii.Error) as fault:
        return ScriptOutput("", f"drkit: {fault}\n")
    return ScriptOutput(json.dumps(printed, separators=(",", ":")) + "\n", seconds=seconds)


def decode(value: str) -> str:
    """Unpadded base64url; ``-`` is the empty text."""
    return "" if value == "-" else base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True).decode()


def _probe(host: SimulatedHost, around: Surroundings, values: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    return _identity(host, around, values["drkit_registrations"])


def _probe_windows(
    host: SimulatedHost, around: Surroundings, values: Mapping[str, str]
) -> tuple[dict[str, Any], float]:
    return _identity(host, around, values.get("drkit_registrations", ""))


def _identity(host: SimulatedHost, around: Surroundings, asked: str) -> tuple[dict[str, Any], float]:
    registrations = []
    for line in asked.splitlines():
        product, _, path = line.partition("\t")
        places = {expand(path, account.home) for account in host.accounts.values()}
        if host.os == "windows":
            places = {place.replace("/", "\\") for place in places}
        registrations += [
            {"product": product, "id": held.id, "user": held.user, "path": held.path}
            for held in host.registrations
            if held.product == product and held.path in places
        ]
    imds = None
    if host.kind == "azure-vm":
        imds = {
            "vmId": host.vm_id,
            "resourceId": host.id,
            "location": host.location,
            "zone": host.zone,
            "physicalZone": f"{host.location}-az{host.zone}" if host.zone else "",
        }
    printed = {
        "drkit": "probe/1",
        "time": moment_text(around.now()),
        "hostname": host.hostname,
        "os": host.os,
        "machine_id": host.machine_id,
        "boot_id": host.boot_id,
        "smbios_uuid": host.smbios.lower() or None,
        "physical_host": host.physical_host,
        "ssh_host_keys": sorted(host.host_keys) or None,
        "macs": sorted(host.macs) or None,
        "imds": imds,
        "registrations": registrations if asked else None,
        "partial": False,
    }
    return printed, 2.0


def _reach(host: SimulatedHost, around: Surroundings, values: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    patience = _number(values, "drkit_timeout", 300)
    urls = values["drkit_urls"].split()
    results = [{"url": url, "http": around.answers(url) if url.startswith("https://") else None} for url in urls]
    silent = len([result for result in results if result["http"] == 0])
    printed = {"drkit": "reach/1", "results": results if host.fetch else None, "partial": False}
    return printed, 1.0 + patience * silent


def _number(values: Mapping[str, str], name: str, most: int) -> float:
    if not values[name].isdecimal() or not 1 <= int(values[name]) <= most:
        raise ValueError(f"parameter {name} is not between 1 and {most} seconds")
    return float(values[name])


def _folder(host: SimulatedHost, values: Mapping[str, str], name: str, kind: str) -> Folder | None:
    """The folder of that nonce, if an earlier delivery of the same script made it."""
    nonce = values[name]
    if len(nonce) != 32 or set(nonce.lower()) - set("0123456789abcdef"):
        raise ValueError(f"parameter {name} is not 32 hexadecimal digits")
    folder = host.state.get(nonce)
    if folder and folder.kind != kind:
        raise ValueError(f"this nonce belongs to a {folder.kind}")
    return folder


def _release(host: SimulatedHost, around: Surroundings, values: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    expected = str(uuid.UUID(values["drkit_environment"]))
    patience = _number(values, "drkit_timeout", 5000)
    folder = _folder(host, values, "drkit_nonce", "release")
    if folder:
        return {**folder.printed, "again": True}, 1.0
    account = host.accounts.get(values["drkit_user"])
    held = host.registration(expand(values["drkit_registration"], account.home)) if account else None

    def say(state: str, rc: int | None = None, backup: str | None = None) -> dict[str, Any]:
        printed = {"drkit": "release/1", "state": state, "id": held.id if held else None}
        return {**printed, "rc": rc, "backup": backup, "again": False}

    if account is None or held is None:
        return say("absent" if account else "no-user"), 1.0
    if held.id != expected:
        return say("other"), 1.0
    if not host.cli:
        return say("no-cli"), 1.0
    folder = host.state[values["drkit_nonce"]] = Folder("release", backup=held)
    state, rc, seconds = stop(host, around, patience)
    if state != "released":
        state = "kept"
        if values["drkit_force"] == "1":
            forget(host, held)
            state = "forgotten"
    folder.printed = say(state, rc, f"{STATE}/{values['drkit_nonce']}/registration")
    return folder.printed, seconds


def _register(host: SimulatedHost, around: Surroundings, values: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    folder = _folder(host, values, "drkit_nonce", "register")
    if folder:
        return {**folder.printed, "again": True}, 1.0
    for name in ("drkit_plan", "drkit_name"):
        if not values[name]:
            raise ValueError(f"parameter {name} is empty")
    account = host.accounts.get(values["drkit_user"])
    workspace = expand(values["drkit_workspace"], account.home) if account else ""

    def say(state: str) -> dict[str, Any]:
        return {"drkit": "register/1", "state": state, "again": False}

    if account is None or workspace not in host.folders:
        return say("no-workspace" if account else "no-user"), 1.0
    if not host.cli:
        return say("no-cli"), 1.0
    job = Job(
        key=f"{host.id}/{values['drkit_nonce']}",
        user=values["drkit_user"],
        person=account.person,
        plan=values["drkit_plan"],
        name=values["drkit_name"],
        workspace=workspace,
        service=values["drkit_service"] == "1",
        started=around.now(),
    )
    host.state[values["drkit_nonce"]] = Folder("register", say("started"), job=job)
    start(host, around, job)
    return say("started"), FIRST_CODE


def _watch(host: SimulatedHost, around: Surroundings, values: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    now = around.now()
    account, path = host.accounts.get(values["drkit_user"]), values["drkit_registration"]
    held = host.registration(expand(path, account.home)) if account else None
    folder = _folder(host, values, "drkit_nonce", "register")
    job = folder.job if folder else None
    printed: dict[str, Any] = {"drkit": "watch/1", "state": "absent", "rc": None, "code": None, "codes": 0, "url": None}
    printed |= {"already": None, "error": None, "id": held.id if held else None}
    if job:
        job.look(now)
        appoint(host, around, job)
        ended = job.ended is not None and job.ended <= now
        code = job.code(now)
        printed |= {"state": "exited" if ended else "running", "rc": job.rc if ended else None, "code": code}
        printed |= {"codes": job.codes(now), "url": SIGN_IN_PAGE if code else None}
        if ended:
            printed |= {"already": job.already, "error": job.error[:300] if job.error else None}
    return printed, 1.0


def _restore(host: SimulatedHost, around: Surroundings, values: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    released = _folder(host, values, "drkit_nonce", "release")
    pending = _folder(host, values, "drkit_register_nonce", "register")
    account = host.accounts.get(values["drkit_user"])
    held = host.registration(expand(values["drkit_registration"], account.home)) if account else None

    def say(state: str) -> tuple[dict[str, Any], float]:
        here = host.registration()
        return {"drkit": "restore/1", "state": state, "id": here.id if here and account else None}, 2.0

    if account is None or released is None or released.backup is None:
        return say("no-backup" if account else "no-user")
    if held and held.id != released.backup.id:
        return say("occupied")
    if pending and pending.job and pending.job.ended is None:
        pending.job.ended = around.now()
    if held is None:
        host.registrations.append(released.backup)
        host.agent = True
    return say("restored")


SCRIPTS: Mapping[str, Callable[[SimulatedHost, Surroundings, Mapping[str, str]], tuple[dict[str, Any], float]]] = {
    "probe": _probe,
    "probe_windows": _probe_windows,
    "reach": _reach,
    "codespaces_release": _release,
    "codespaces_register": _register,
    "codespaces_watch": _watch,
    "codespaces_restore": _restore,
}
