"""Outputs of probes that people ran by hand (``drkit probe-script``): a folder of files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from drkit.errors import FileError, UsageError
from drkit.model import files
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import GuestIdentity, Host
from drkit.model.ids import ArmId
from drkit.survey.probe import ProbeResult, parse, probe_object

SOURCE = "probe by hand"
REPORT = "probe output"
MOST_BYTES = 1 << 20
MOST_FILES = 10_000
AHEAD = timedelta(minutes=5)
"""How far a host's clock may be ahead of ours."""


@dataclass(frozen=True)
class ProbeOutput:
    """What a file holds: the identity that was read, when, and ``resource``, the machine's ARM id by its metadata service."""

    file: str
    guest: GuestIdentity
    time: datetime
    resource: str = ""


def read(folder: Path) -> tuple[list[ProbeOutput], list[str]]:
    """The outputs in a folder, and why the other files cannot be used. UsageError when ``folder`` cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(folder), remedy="--probe-output names a folder of files"
        ) from error
    if len(paths) > MOST_FILES:
        raise UsageError(
            f"holds more than {MOST_FILES} files", where=str(folder), remedy="name the folder of the outputs"
        )
    outputs: list[ProbeOutput] = []
    faults: list[str] = []
    for path in paths:
        content = _read(path)
        if isinstance(content, ProbeOutput):
            outputs.append(content)
        else:
            faults.append(_fault(path.name, content))
    return outputs, faults


def _read(path: Path) -> ProbeOutput | str:
    try:
        content = files.read(path, limit=MOST_BYTES)
    except FileError as error:
        return error.what
    return understand(path.name, text_of(content))


def text_of(content: bytes) -> str:
    """A file's text: PowerShell's ``>`` writes UTF-16, other shells UTF-8. Bytes that are neither become U+FFFD."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def understand(file: str, text: str) -> ProbeOutput | str:
    """The output in a file's text, or why it cannot be used."""
    value = probe_object(text)
    guest = parse(text)
    if value is None or guest is None:
        return "holds no output of a probe: one line that begins with " + '{"drkit":"probe/1"'
    try:
        time = parse_time(str(value.get("time")))
    except ValueError:
        return "does not say when it was read"
    return ProbeOutput(file, guest, time, str((guest.imds or {}).get("resourceId") or ""))


def assign(
    outputs: Sequence[ProbeOutput],
    base: Sequence[Host],
    present: Sequence[Host],
    *,
    now: datetime,
    fresh_minutes: float,
) -> tuple[dict[ArmId, ProbeResult], list[str]]:
    """The result for each host that has an output, by its id, and why the other outputs are not used.

    ``base``: the hosts of the snapshot; ``present``: those that ARM has now. The file's name and its content must not contradict
    each other. Of two outputs for one host the newer is used; one from before the host's baseline is not used.
    """
    hosts = {host.key: host for host in (*present, *base)}
    faults: list[str] = []
    taken: dict[ArmId, ProbeOutput] = {}
    for output in sorted(outputs, key=lambda output: output.time):
        key, why = _host_of(output, hosts)
        if not why and output.time > now + AHEAD:
            why = f"says it was read at {rfc3339(output.time)}, which is in the future: its clock or ours is wrong"
        baseline = hosts[key].baseline if not why else None
        if baseline and baseline.guest and baseline.guest_time and output.time < parse_time(baseline.guest_time):
            why = f"was read at {rfc3339(output.time)}, before the snapshot read {hosts[key].name} ({baseline.guest_time})"
        if why:
            faults.append(_fault(output.file, why))
            continue
        if key in taken:
            faults.append(_fault(taken[key].file, f"{output.file} is of the same host and newer"))
        taken[key] = output
    return {key: _probed(output, now, fresh_minutes) for key, output in taken.items()}, faults


def merge(probed: Mapping[ArmId, ProbeResult], by_hand: Mapping[ArmId, ProbeResult]) -> dict[ArmId, ProbeResult]:
    """drkit's own probes and those run by hand. Where a host answered drkit itself, that answer counts."""
    merged = dict(by_hand)
    merged.update({key: result for key, result in probed.items() if result.state == "up" or key not in by_hand})
    return merged


def _probed(output: ProbeOutput, now: datetime, fresh_minutes: float) -> ProbeResult:
    age = now - output.time
    detail, stale = f"from {output.file}", age > timedelta(minutes=fresh_minutes)
    if stale:
        minutes = int(age.total_seconds() // 60)
        detail += (
            f"; {minutes} minutes old, above {fresh_minutes:g}, so the confidence of the verdict is one level lower"
        )
    return ProbeResult("up", rfc3339(output.time), output.guest, detail, SOURCE, stale)


def _host_of(output: ProbeOutput, hosts: Mapping[ArmId, Host]) -> tuple[ArmId, str]:
    """(the host's id, "") or (an empty id, why no host can be chosen)."""
    named = _named(_names_of(output.file), hosts)
    described = {ArmId(output.resource)} & set(hosts)
    if not described and output.guest.hostname:
        described = _called(output.guest.hostname, hosts)
    matches = named & described if named and described else named | described
    hostname = output.guest.hostname or "no host name"
    if not matches:
        if named and described:
            return ArmId(""), f"is named after {_list(named, hosts)}, and its content is of {_list(described, hosts)}"
        return ArmId(""), f"belongs to no known host, by its name or by its content ({hostname})"
    if len(matches) > 1:
        return ArmId(""), f"may be of {_list(matches, hosts)}: name the file after the host's ARM id, with _ for each /"
    return matches.pop(), ""


def _names_of(file: str) -> set[str]:
    lowered = file.lower()
    return {lowered, lowered.rpartition(".")[0] or lowered}


def _named(names: Collection[str], hosts: Mapping[ArmId, Host]) -> set[ArmId]:
    """The hosts that a file is named after: by the whole ARM id (``_`` for ``/``), or by its last segment."""
    flat_names = {name.strip("_") for name in names}
    whole = {key for key in hosts if key.folded.strip("/").replace("/", "_") in flat_names}
    return whole or {key for key in hosts if key.name.lower() in names}


def _called(hostname: str, hosts: Mapping[ArmId, Host]) -> set[ArmId]:
    """The hosts of that name, with or without its domain: as the baseline's probe read it, or as ARM names them."""
    names = {hostname.lower(), hostname.lower().partition(".")[0]}

    def calls(key: ArmId, host: Host) -> bool:
        inside = host.baseline.guest.hostname if host.baseline.guest else None
        return bool({host.name.lower(), key.name.lower(), (inside or "").lower()} & names)

    return {key for key, host in hosts.items() if calls(key, host)}


def _list(keys: Collection[ArmId], hosts: Mapping[ArmId, Host]) -> str:
    return " or ".join(sorted(hosts[key].id for key in keys))


def _fault(file: str, why: str) -> str:
    return f"{REPORT} {file}: {why}"
