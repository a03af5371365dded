"""Serves the simulated Azure. With ``simulate`` and ``drill``, the only importer of ``drkit.simulator``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from drkit.api.context import Context
from drkit.drills.presenter import DrillPresenter
from drkit.drills.scenario import ANNOUNCED_AFTER, Control, Drill, Story
from drkit.errors import CloudError, FileError, RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model import files, settings
from drkit.model.cloud import Cloud
from drkit.model.estate import Host, Snapshot, region_name
from drkit.model.ids import ArmId
from drkit.products import registry, scripts, tables
from drkit.simulator import Simulator, check_seed, sample_seed
from drkit.simulator.core.clock import MAX_SPEED
from drkit.simulator.samples.estate import sample_stories
from drkit.store.store import Store, load

READY_SECONDS = 60.0


async def simulate(
    *,
    estate: str | None = None,
    port: int = 0,
    speed: float = 1.0,
    seed: int = 1,
    ready: str | None = None,
    leash: bool = False,
    serving: Callable[[dict[str, Any]], None] = lambda _facts: None,
) -> int:
    """Serve the simulated Azure on loopback until SIGINT or SIGTERM; returns 0.

    ``estate``: a simulator's seed or a snapshot (default: the sample of that ``seed``). ``ready``: where to write, once it
    serves, what a program needs to use it; ``serving`` gets the same. ``leash``: end with standard input too, which ends when
    the process that started this is gone, for any reason. UsageError for a speed or port that cannot be;
    FileError for a bad estate.
    """
    content = estate_seed(estate, seed)
    with tempfile.TemporaryDirectory(prefix="drkit-simulator-") as folder:
        try:
            simulator = Simulator(content, host_scripts=scripts().hashes(), port=port, speed=speed, folder=Path(folder))
            await simulator.start()
        except ValueError as error:
            raise UsageError(str(error), where="--speed", remedy="a number above 0, at most 60") from error
        except OSError as error:
            raise UsageError(
                f"cannot listen: {error.strerror}", where=f"port {port}", remedy="choose another --port"
            ) from error
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if leash:
            threading.Thread(target=_until_parted, args=(loop, stop), daemon=True, name="leash").start()
        facts = simulator.ready
        try:
            if ready:
                _write_ready(Path(ready), facts)
            serving(facts)
            await stop.wait()
        finally:
            await simulator.stop()
            if ready:
                _remove_ready(Path(ready), facts)
    return 0


def _until_parted(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Wait for the end of standard input, and say so."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop ended first
        loop.call_soon_threadsafe(stop.set)


async def happen(cloud: Cloud, *, lose: str = "", restore: str = "", minutes_ago: float = 0.0) -> dict[str, Any]:
    """Lose a region of a running simulator, or bring it back; returns what the simulator says to it.

    ``minutes_ago``: since when it is lost, in simulated minutes; Service Health reports it 12 minutes later. RefusedError for
    any cloud that is not embedded, and for a region the simulator does not have.
    """
    if not cloud.simulated:
        raise RefusedError(
            f"{cloud.name} is not a simulator: nothing is lost or restored there",
            remedy="name a simulator's ready file with --cloud, or in DRKIT_CLOUD",
        )
    facts = {"control": cloud.control, "ca_bundle": cloud.ca_bundle}
    async with _control_session(cloud.ca_bundle) as http:
        control = Control(facts, http)
        try:
            if restore:
                return dict(await control.post("restore", {"region": region_name(restore)}))
            event = {"region": region_name(lose), "minutes_ago": minutes_ago, "announce_after": ANNOUNCED_AFTER}
            return dict(await control.post("lose", event))
        except aiohttp.ClientError as error:
            raise CloudError(
                f"the simulator does not answer: {error}", where=cloud.arm, remedy="start `drkit simulate` again"
            ) from error


def _control_session(ca_bundle: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca_bundle))
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), connector=connector)


def _write_ready(path: Path, facts: dict[str, Any]) -> None:
    """It holds secrets: for its user alone, under no name that another user of a shared folder could know beforehand."""
    files.check_parent(path, remedy="choose another --ready")
    files.write(path, json.dumps(facts, indent=1).encode() + b"\n", sync=False, remedy="choose another --ready")


def _remove_ready(path: Path, facts: dict[str, Any]) -> None:
    """Take the ready file away, unless it is not what this simulator wrote."""
    with contextlib.suppress(OSError, ValueError, FileError):
        if json.loads(files.read(path, own=True)) == facts:
            path.unlink()


def exports(facts: dict[str, Any], ready: str | None) -> list[str]:
    """What to type so that drkit, any Azure SDK program and ``az`` use this cloud."""
    metadata = f"{facts['arm']}/metadata/endpoints?api-version=2019-05-01"
    lines = [f"# SIMULATED Azure at {facts['arm']}, stopped by Ctrl-C"]
    if ready:
        lines.append(f"export DRKIT_CLOUD={shlex.quote(str(Path(ready).resolve()))}")
    pairs = {
        "REQUESTS_CA_BUNDLE": facts["ca_bundle"],
        "SSL_CERT_FILE": facts["ca_bundle"],
        "ARM_CLOUD_METADATA_URL": metadata,
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_AUTHORITY_HOST": facts["authority"],
        "AZURE_TENANT_ID": facts["tenant"],
        "AZURE_CLIENT_ID": facts["client_id"],
        "AZURE_CLIENT_SECRET": facts["client_secret"],
        "AZURE_SUBSCRIPTION_ID": facts["subscriptions"][0] if facts["subscriptions"] else "",
    }
    lines.extend(f"export {name}={shlex.quote(value)}" for name, value in pairs.items())
    lines.append("# az, with a configuration of its own:")
    lines.append('export AZURE_CONFIG_DIR="$(mktemp -d)" AZURE_CORE_COLLECT_TELEMETRY=no')
    lines.append(
        "az cloud register -n drkit --endpoint-resource-manager "
        + shlex.quote(facts["arm"])
        + " && az cloud set -n drkit && \\"
    )
    lines.append(
        f"  az login --service-principal -u {facts['client_id']} -p {shlex.quote(facts['client_secret'])} "
        f"--tenant {facts['tenant']} && az group list -o table"
    )
    return lines


def estate_seed(estate: str | None, seed: int) -> dict[str, Any]:
    """The simulator's seed of a file (its own format, or a snapshot), or of the sample."""
    if estate is None:
        return sample_seed(seed)
    content = files.read(estate, limit=files.LARGE, remedy="name a snapshot or a seed")
    try:
        head = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise FileError(f"is not JSON: {error}", where=estate, remedy="name a snapshot or a seed") from error
    if isinstance(head, dict) and str(head.get("drkit", "")).startswith("simulator-seed/"):
        check_seed(head, estate)
        return head
    return seed_of(load(Path(estate), Snapshot))


def seed_of(snapshot: Snapshot) -> dict[str, Any]:
    """A captured estate as a simulator's seed: same ids, same identities; people who sign in are made up."""
    groups: dict[ArmId, dict[str, Any]] = {}
    subscriptions: dict[str, None] = {}

    def group(arm_id: str, region: str) -> None:
        parts = arm_id.strip("/").split("/")
        if len(parts) >= 4 and parts[0].lower() == "subscriptions":
            subscriptions.setdefault(parts[1])
            key = "/".join(["", *parts[:4]])
            groups.setdefault(ArmId(key), {"id": key, "location": region, "tags": {}})

    for plan in snapshot.plans:
        group(plan.id, plan.group_region or plan.region)
    for host in snapshot.hosts:
        group(host.id, host.group_region or host.region)
    owners = sorted({environment.owner for environment in snapshot.environments if environment.owner})
    tenant = snapshot.cloud.tenant or (owners[0].split("_")[0] if owners else "")
    parts = [product.rehearsal.seed(snapshot) for product in registry().values()]
    extra: dict[ArmId, dict[str, Any]] = {}
    seed: dict[str, Any] = {
        "drkit": "simulator-seed/1",
        "seed": 1,
        "subscriptions": [
            {"id": subscription, "name": f"Subscription {number + 1}"}
            for number, subscription in enumerate(subscriptions)
        ],
        "groups": list(groups.values()),
    }
    for part in parts:
        for key, values in part.items():
            if key == "on_hosts":
                for host_id, more in values.items():
                    extra.setdefault(ArmId(host_id), {}).update(more)
            elif key == "settings":
                seed.setdefault("settings", {}).update(values)
            else:
                seed[key] = [*seed.get(key, []), *values]
    seed["resources"] = [*seed.get("resources", []), *(_arc(host) for host in snapshot.hosts if host.kind == "arc")]
    seed["hosts"] = [_host(host) | extra.get(host.key, {}) for host in snapshot.hosts]
    if tenant:
        seed["tenant"] = {"id": tenant, "domain": "captured.example"}
    return seed


def _arc(host: Host) -> dict[str, Any]:
    arm = host.baseline.arm
    properties = {"status": "Connected", "osType": host.os or "linux", "vmUuid": arm.instance_id if arm else ""}
    return {"id": host.id, "location": host.region, "properties": properties}


def _host(host: Host) -> dict[str, Any]:
    guest, arm = host.baseline.guest, host.baseline.arm
    seed_host: dict[str, Any] = {
        "id": host.id,
        "kind": host.kind,
        "hostname": host.name,
        "location": host.region,
        "os": host.os or "linux",
    }
    if arm and arm.instance_id:
        seed_host["vm_id"] = arm.instance_id
    if guest:
        seed_host |= {
            key: value
            for key, value in (
                ("machine_id", guest.machine_id),
                ("boot_id", guest.boot_id),
                ("physical_host", guest.physical_host),
                ("host_keys", list(guest.ssh_host_keys or ())),
            )
            if value
        }
    return seed_host


async def drill(
    presenter: DrillPresenter,
    *,
    estate: str | None = None,
    lose: str = "westeurope",
    seed: int = 1,
    speed: float = 60.0,
    keep: bool = False,
    folder: str | None = None,
    say: Callable[[str], None] = print,
    kept: Callable[[dict[str, Any], list[str]], None] = lambda _found, _lines: None,
    verbose: bool = False,
    returning: bool = False,
) -> dict[str, Any]:
    """Lose a region on a simulated Azure and recover from it; returns what ``drkit drill --json`` prints.

    ``presenter`` gives what is said and kept its looks.
    ``returning``: then the region comes back, and everybody goes home. ``estate``: a snapshot or seed of your own; ``folder``:
    where its files go (default: a new temporary folder); ``keep`` leaves the simulator up until a signal, once ``kept`` was given
    the result and what to type. Everything it starts reaches loopback only.
    """
    region = region_name(lose)
    if not 0 < speed <= MAX_SPEED:
        raise UsageError(f"{speed:g} is not above 0 and at most {MAX_SPEED:g}", where="--speed", remedy="--speed 60")
    content = estate_seed(estate, seed)
    regions = {region_name(str(resource.get("location", ""))) for resource in content.get("resources", ())}
    if region not in regions:
        raise RefusedError(
            f"nothing is registered in {lose!r}", where="--lose", remedy=f"one of: {', '.join(sorted(regions - {''}))}"
        )
    place = _place(folder)
    story = _story(content, seed, region, sample=estate is None)
    ready = place / "cloud.json"
    try:
        _write_settings(place / "drkit.toml", story)
        files.write(place / "estate.json", json.dumps(content).encode(), mode=0o644, sync=False)
        ready.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(
            f"cannot be written: {error.strerror}", where=str(place), remedy="make room, or choose --store"
        ) from error
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "drkit", "simulate", "--estate", str(place / "estate.json"), "--speed", str(speed),
        "--ready", str(ready), "--exit-with-parent", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        facts = await _wait_ready(process, ready)
        result = await _walk(place, facts, region, story, say, presenter, verbose, returning=returning)
        if keep:
            _stop_by_signal(process)
            kept(result, ["The simulated Azure stays up until Ctrl-C. See for yourself:", *exports(facts, str(ready))])
            await process.wait()
        return result
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _place(folder: str | None) -> Path:
    """Where the drill's files go, as an absolute path: its processes work there."""
    try:
        place = Path(folder).resolve() if folder else Path(tempfile.mkdtemp(prefix="drkit-drill-"))
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"cannot be made a folder: {error.strerror}",
            where=folder or tempfile.gettempdir(),
            remedy="choose another --store",
        ) from error
    return place


def _stop_by_signal(process: asyncio.subprocess.Process) -> None:
    """From now on a signal ends the process, and not this one."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, process.terminate)


async def _walk(
    place: Path,
    facts: dict[str, Any],
    region: str,
    story: Story,
    say: Callable[[str], None],
    presenter: DrillPresenter,
    verbose: bool,
    *,
    returning: bool,
) -> dict[str, Any]:
    cloud = clouds.from_ready(msgspec.convert(facts, clouds.ReadyFile), "the drill's own")
    context = Context(
        settings.load(place / "drkit.toml", tables()), Store(place / "store"), lambda: cloud, loopback_only=True
    )
    speed = facts["clock"]["speed"]
    say(f"A drill on a simulated Azure (SIMULATED, {speed:g}x); its files, and where to type:")
    say(f"  cd {shlex.quote(str(place))}; export DRKIT_CLOUD=cloud.json")
    async with _control_session(facts["ca_bundle"]) as http:
        walk = Drill(
            context, Control(facts, http), place, region, story, say, presenter, verbose, min(presenter.width(), 140)
        )
        if returning:
            from drkit.drills.return_home import home

            walk.home = home
        return await walk.run()


async def _wait_ready(process: asyncio.subprocess.Process, ready: Path) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    while not ready.exists():
        if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            error = (
                (await process.stderr.read()).decode()
                if process.stderr and process.returncode is not None
                else "too slow"
            )
            raise CloudError(f"the simulated Azure did not start: {error.strip()}", remedy="`drkit simulate` shows why")
        await asyncio.sleep(0.02)
    facts: dict[str, Any] = json.loads(files.read(ready, own=True))
    return facts


def _story(content: dict[str, Any], seed: int, region: str, *, sample: bool) -> Story:
    hints = content.get("settings", {})
    parts = [product.rehearsal.settings(hints) for product in registry().values()]
    lines = tuple(line for part, _ in parts for line in part)
    secrets = {name: value for _, part in parts for name, value in part.items()}
    regions = [candidate for candidate in ("eastus", "southeastasia", "westeurope", "westus2") if candidate != region]
    whole = sample and region == "westeurope"
    return Story(
        sample_stories(seed) if whole else (), tuple(regions), hints.get("host", []), lines, secrets, disturb=whole
    )


def _write_settings(path: Path, story: Story) -> None:
    """The drkit.toml of the drill: targets in order, the run-command channel, and the hosts no probe can find."""
    lines = [
        'store = "store"',
        f"targets = {json.dumps(list(story.targets))}",
        "",
        "[channels]",
        'azure_vm = "run-command"',
        "",
        *story.settings,
    ]
    for host in story.hosts:
        keys = {
            "environment": "environment",
            "id": "host",
            "channel": "channel",
            "user": "user",
            "workspace": "workspace",
        }
        lines += [
            "[[host]]",
            *(f"{key} = {json.dumps(host[name])}" for key, name in keys.items() if host.get(name)),
            "",
        ]
    files.write(path, "\n".join(lines).encode(), mode=0o644, sync=False)
