"""The probe: drkit's read-only script, run on a host through the channel that settings name for it. docs/host-scripts.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from drkit.errors import CloudError, ConflictError, ForbiddenError, UnreadableError
from drkit.model import host_scripts
from drkit.model.answers import reading_azure, text_of
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import GuestIdentity, Host, Registration
from drkit.model.ids import ArmId
from drkit.model.settings import Settings

if TYPE_CHECKING:
    from drkit.providers.session import Session

TOGETHER = 8
POLL_SECONDS = 4.0
IMDS = ("vmId", "resourceId", "location", "zone", "physicalZone")


@dataclass(frozen=True)
class ProbeResult:
    """The result of one probe: ``up`` with what it read, ``down``, or ``none`` (not tried, or the channel refused), and why.

    ``source``: who ran it; ``stale``: older than readings may be; ``busy``: another run command was in poll on the host.
    """

    state: Literal["up", "down", "none"]
    time: str
    guest: GuestIdentity | None = None
    detail: str = ""
    source: str = "probe through run command"
    stale: bool = False
    busy: bool = False


async def run(
    azure: Session, hosts: Sequence[Host], registrations: Mapping[str, str], settings: Settings, clock: Clock
) -> dict[ArmId, ProbeResult]:
    """Probe these hosts, eight at a time; the result of each by its id. ``registrations``: product -> path of its registration."""
    limit = asyncio.Semaphore(TOGETHER)

    async def probe_one(host: Host) -> tuple[ArmId, ProbeResult]:
        async with limit:
            return host.key, await _probe(azure, host, registrations, settings, clock)

    return dict(await asyncio.gather(*(probe_one(host) for host in hosts)))


def still_silent(results: Mapping[ArmId, ProbeResult], silent: Collection[ArmId]) -> dict[ArmId, ProbeResult]:
    """The results, with a host ``down`` that refused the probe because the one before is still in poll and unanswered.

    ``silent``: the hosts that did not answer the probe of the assessment before.
    """
    return {
        key: replace(result, state="down", detail="the probe before this one has not been answered yet")
        if result.busy and key in silent
        else result
        for key, result in results.items()
    }


async def _probe(
    azure: Session, host: Host, registrations: Mapping[str, str], settings: Settings, clock: Clock
) -> ProbeResult:
    script = host_scripts.probe_for(host.os)
    lines = registrations_parameter(registrations)
    began = clock.monotonic()
    try:
        with azure.budget(attempts=2, seconds=30), reading_azure(host.id):
            operation = await azure.compute.run_command(host.id, script, {"drkit_registrations": lines})
        while True:
            with reading_azure(host.id):
                poll = await azure.rest.poll(operation)
            if poll.state != "running":
                break
            seconds_left = settings.assess.probe_timeout_seconds - (clock.monotonic() - began)
            if seconds_left <= 0:
                return ProbeResult("down", rfc3339(clock.now()), None, "no answer in time")
            await clock.sleep(min(max(poll.retry_after, POLL_SECONDS), seconds_left))
    except (ForbiddenError, ConflictError, UnreadableError) as error:
        # An answer that cannot be understood says nothing about the host.
        busy = isinstance(error, ConflictError)
        return ProbeResult("none", rfc3339(clock.now()), None, f"not probed: {error.what}", busy=busy)
    except CloudError as error:
        return ProbeResult("down", rfc3339(clock.now()), None, error.what)
    if poll.state == "failed":
        return ProbeResult("down", rfc3339(clock.now()), None, f"the run command failed: {poll.message}")
    from drkit.providers.compute import run_command_output

    answer = parse(run_command_output(poll.body)[0])
    if answer is None:
        return ProbeResult("none", rfc3339(clock.now()), None, "the host answered, but the output is not the probe's")
    return ProbeResult("up", rfc3339(clock.now()), answer)


def registrations_parameter(registrations: Mapping[str, str]) -> str:
    """The probe's parameter ``drkit_registrations``: a line for each product, with the path of its registration."""
    return "\n".join(f"{product}\t{path}" for product, path in sorted(registrations.items()))


def parse(stdout: str) -> GuestIdentity | None:
    """A probe's output as an identity; None when there is no output of a probe. Fields of the wrong type are unknown."""
    value = probe_object(stdout)
    return _identity(value) if value is not None else None


def probe_object(stdout: str) -> Mapping[str, Any] | None:
    """The last line that is a probe's JSON object, with or without other lines around it; None when there is none."""
    for line in reversed(stdout.splitlines()):
        if not line.strip().startswith("{"):
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value.get("drkit") == "probe/1":
            return value
    return None


def _text(value: object) -> str | None:
    return text_of(value) if isinstance(value, str) and value else None


def _identity(value: Mapping[str, Any]) -> GuestIdentity:
    def texts(key: str) -> tuple[str, ...] | None:
        listed = value.get(key)
        return tuple(sorted(text for text in map(_text, listed) if text)) if isinstance(listed, list) else None

    listed = value.get("registrations")
    registrations = None
    if isinstance(listed, list):
        registrations = tuple(
            Registration(
                _text(entry.get("product")) or "",
                identifier,
                _text(entry.get("user")) or "",
                _text(entry.get("path")) or "",
            )
            for entry in listed
            if isinstance(entry, Mapping) and (identifier := _text(entry.get("id")))
        )
    imds = value.get("imds")
    return GuestIdentity(
        machine_id=_text(value.get("machine_id")),
        boot_id=_text(value.get("boot_id")),
        smbios_uuid=_text(value.get("smbios_uuid")),
        physical_host=_text(value.get("physical_host")),
        hostname=_text(value.get("hostname")),
        ssh_host_keys=texts("ssh_host_keys"),
        macs=texts("macs"),
        imds={key: _text(imds.get(key)) for key in IMDS} if isinstance(imds, Mapping) else None,
        registrations=registrations,
    )
