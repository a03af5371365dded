"""Probes that people ran by hand (``drkit probe-script``): a folder of files with what the script printed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from drkit.errors import FileError, UsageError
from drkit.model import files
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import GuestIdentity, Host
from drkit.survey.probe import Probed, parse, printed

SOURCE = "probe by hand"
REPORT = "probe output"
MOST_BYTES = 1 << 20
MOST_FILES = 10_000
AHEAD = timedelta(minutes=5)
"""How far a host's clock may be ahead of ours."""


@dataclass(frozen=True)
class Printed:
    """A file's name, what it says of which machine (``resource``: the ARM id the machine was told), and when it was read."""

    file: str
    guest: GuestIdentity
    time: datetime
    resource: str = ""


def read(folder: Path) -> tuple[list[Printed], list[str]]:
    """What every file of a folder says, and why the others cannot be used. UsageError when it is no folder."""
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
    outputs: list[Printed] = []
    faults: list[str] = []
    for path in paths:
        found = _read(path)
        if isinstance(found, Printed):
            outputs.append(found)
        else:
            faults.append(_fault(path.name, found))
    return outputs, faults


def _read(path: Path) -> Printed | str:
    try:
        content = files.read(path, limit=MOST_BYTES)
    except FileError as error:
        return error.what
    return understand(path.name, text_of(content))


def text_of(content: bytes) -> str:
    """A file's text: PowerShell's ``>`` writes UTF-16, most else UTF-8. What is neither becomes U+FFFD."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def understand(file: str, text: str) -> Printed | str:
    """What one probe printed, or why it cannot be used."""
    value = printed(text)
    guest = parse(text)
    if value is None or guest is None:
        return "holds no probe's output: one line that begins with " + '{"drkit":"probe/1"'
    try:
        time = parse_time(str(value.get("time")))
    except ValueError:
        return "does not say when it was read"
    return Printed(file, guest, time, str((guest.imds or {}).get("resourceId") or ""))


def assign(
    outputs: Sequence[Printed], base: Sequence[Host], found: Sequence[Host], *, now: datetime, fresh_minutes: float
) -> tuple[dict[str, Probed], list[str]]:
    """Each output to its host (keys: lower-cased host id), and why the others are not used.

    ``base``: the hosts of the snapshot, ``found``: those that ARM shows now. The file's name and what the output says must not
    contradict each other. Of two for one host the newer is used; one from before the host's baseline tells nothing.
    """
    hosts = {host.id.lower(): host for host in (*found, *base)}
    faults: list[str] = []
    taken: dict[str, Printed] = {}
    for output in sorted(outputs, key=lambda one: one.time):
        key, why = _host_of(output, hosts)
        if not why and output.time > now + AHEAD:
            why = f"says it was read at {rfc3339(output.time)}, which is yet to come: its clock or ours is wrong"
        baseline = hosts[key].baseline if not why else None
        if baseline and baseline.guest and baseline.guest_time and output.time < parse_time(baseline.guest_time):
            why = f"was read at {rfc3339(output.time)}, before the snapshot read {hosts[key].name} ({baseline.guest_time})"
        if why:
            faults.append(_fault(output.file, why))
            continue
        if key in taken:
            faults.append(_fault(taken[key].file, f"{output.file} is of the same host and newer"))
        taken[key] = output
    return {key: _probed(one, now, fresh_minutes) for key, one in taken.items()}, faults


def merge(probed: Mapping[str, Probed], given: Mapping[str, Probed]) -> dict[str, Probed]:
    """Drkit's own probes and those by hand. A host that answered drkit itself has said the latest word."""
    merged = dict(given)
    merged.update({key: one for key, one in probed.items() if one.state == "up" or key not in given})
    return merged


def _probed(output: Printed, now: datetime, fresh_minutes: float) -> Probed:
    age = now - output.time
    detail, stale = f"from {output.file}", age > timedelta(minutes=fresh_minutes)
    if stale:
        minutes = int(age.total_seconds() // 60)
        detail += f"; {minutes} minutes old, above {fresh_minutes:g}, so the verdict is one level less sure"
    return Probed("up", rfc3339(output.time), output.guest, detail, SOURCE, stale)


def _host_of(output: Printed, hosts: Mapping[str, Host]) -> tuple[str, str]:
    """(key of the host, "") or ("", why there is none)."""
    named = _named(_names_of(output.file), hosts)
    told = {output.resource.lower()} & set(hosts)
    if not told and output.guest.hostname:
        told = _called(output.guest.hostname, hosts)
    both = named & told if named and told else named | told
    says = output.guest.hostname or "no host name"
    if not both:
        if named and told:
            return "", f"is named for {_list(named, hosts)}, and says it is {_list(told, hosts)}"
        return "", f"is of no host that is known, by its name or by what it says ({says})"
    if len(both) > 1:
        return "", f"may be of {_list(both, hosts)}: name the file for the host's ARM id, with _ for each /"
    return both.pop(), ""


def _names_of(file: str) -> set[str]:
    lowered = file.lower()
    return {lowered, lowered.rpartition(".")[0] or lowered}


def _named(names: Collection[str], hosts: Mapping[str, Host]) -> set[str]:
    """The hosts a file is named for: by the whole ARM id (``_`` for ``/``), or by its last segment."""
    whole = {key for key in hosts if key.strip("/").replace("/", "_") in {name.strip("_") for name in names}}
    return whole or {key for key in hosts if key.rstrip("/").rsplit("/", 1)[-1] in names}


def _called(hostname: str, hosts: Mapping[str, Host]) -> set[str]:
    """The hosts of that name: as the baseline has it from inside, as ARM calls them, without the domain."""
    names = {hostname.lower(), hostname.lower().partition(".")[0]}

    def calls(key: str, host: Host) -> bool:
        inside = host.baseline.guest.hostname if host.baseline.guest else None
        return bool({host.name.lower(), key.rstrip("/").rsplit("/", 1)[-1], (inside or "").lower()} & names)

    return {key for key, host in hosts.items() if calls(key, host)}


def _list(keys: Collection[str], hosts: Mapping[str, Host]) -> str:
    return " or ".join(sorted(hosts[key].id for key in keys))


def _fault(file: str, why: str) -> str:
    return f"{REPORT} {file}: {why}"
