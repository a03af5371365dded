"""What is kept in files: the values, how they are written whole, and how they are read back and checked."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from drkit.errors import FileError
from drkit.model import files
from drkit.model.clock import parse_time
from drkit.model.estate import Assessment, Plan, Snapshot, is_region
from drkit.model.readiness import Readiness

File = TypeVar("File", Snapshot, Assessment, Readiness)
KINDS: dict[type, str] = {Snapshot: "snapshot", Assessment: "assessment", Readiness: "readiness"}
_WRITERS = {"snapshot": "snapshot", "assessment": "assess", "readiness": "check"}
PLAN_ID = re.compile(r"(?is)/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+(/[^/]+/[^/]+)+/?")
MOST_FAULTS = 10
Any_ = TypeVar("Any_", bound=msgspec.Struct)


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Who approved which bytes, when, until when (RFC 3339), as the file says: see ``approvals`` for what of it counts.

    ``kind``: ``self-approved`` for what ``apply --yes`` writes. ``targets``: ARM ids of the plans that whoever approves named, of those
    that only a tag speaks for. Version 1 had neither, and claimed ``authenticated``.
    """

    drkit: str = "approval/2"
    digest: str
    who: str
    when: str
    until: str
    note: str = ""
    kind: Literal["approved", "self-approved"] = "approved"
    targets: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What another process asks of the holder of a run."""

    drkit: str = "message/1"
    what: str
    step: str = ""
    text: str = ""
    who: str = ""
    when: str = ""


MESSAGES = frozenset({"answer", "skip", "retry", "pause", "unpause", "abort"})
ABOUT_STEPS = frozenset({"answer", "skip", "retry"})
NEEDS_TEXT = frozenset({"skip", "abort"})
LONGEST = {"what": 20, "step": 500, "text": 4000, "who": 200, "when": 60}
"""Characters that each part of a message may have."""
LARGEST_MESSAGE = 64 * 1024
"""Bytes."""


@dataclass(frozen=True)
class Received:
    """A file found in a run's inbox: its message, or what is wrong with it; ``writer``: its author as the store knows them.

    ``writer`` is the file's owner in a folder, and empty where the store does not tell. ``who`` of the message is a claim.
    """

    path: Path
    message: Message | None
    fault: str = ""
    writer: str = ""


def message_fault(message: Message) -> str:
    """Why a message cannot be obeyed, whatever the run is, in words; empty when it can."""
    if message.what not in MESSAGES:
        return f"{message.what[:40]!r} is none of: {', '.join(sorted(MESSAGES))}"
    for part, longest in LONGEST.items():
        if (length := len(getattr(message, part))) > longest:
            return f"its {part} has {length} characters, and at most {longest} are read"
    if message.what in ABOUT_STEPS and not message.step:
        return f"{message.what} names no step"
    if message.what in NEEDS_TEXT and not message.text.strip():
        return f"{message.what} gives no reason"
    return ""


def claimed(name: str, writer: str) -> str:
    """A name that a file gives, beside what the store knows of the file's writer (empty: nothing)."""
    shown = name[: LONGEST["who"]] or "nobody named"
    if writer and writer == f"user {user_of(name)}":
        return shown
    return f"{shown} (claimed; the file is of {writer})" if writer else f"{shown} (claimed)"


def user_of(name: str) -> str:
    """A ``who`` without its machine: one identity on another machine is no other one."""
    return name.rpartition("@")[0] or name


def owner_of(path: Path) -> str:
    """The user whose file it is, as ``user NAME``; empty where there is no such file."""
    try:
        return files.user_name(path.lstat().st_uid)
    except OSError:
        return ""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """A person declares a region lost, and answers for it."""

    drkit: str = "declaration/1"
    region: str
    reason: str
    who: str
    when: str


def folder_of(kind: str) -> str:
    """Where the generations of a kind are kept, below ``state``."""
    return kind if kind == "readiness" else f"{kind}s"


def who() -> str:
    """``user@machine``: the best name a folder store can give a person; in a pipeline the identity of the service connection."""
    if client := os.environ.get("AZURESUBSCRIPTION_CLIENT_ID"):
        return f"client {client}@{socket.gethostname()}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def load(path: Path, type_: type[File], *, of: Collection[int] | None = None) -> File:
    """A snapshot, assessment or readiness from its file; FileError names what is wrong with it, and references that lead nowhere.

    ``of``: the users whose file it may be, beside this one and root; by default it may be anybody's, and behind a link.
    """
    kind = KINDS[type_]
    remedy = f"`drkit {_WRITERS[kind]}` writes a good one"
    content = files.read(path, limit=files.LARGE, own=of is not None, also=of or (), links=of is None)
    if not content.strip():
        raise FileError("is empty", where=str(path), remedy=remedy)
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"is not whole JSON: {error}", where=str(path), remedy=remedy) from error
    marker = raw.get("drkit") if isinstance(raw, dict) else None
    if marker != f"{kind}/1":
        newer = isinstance(marker, str) and marker.startswith(f"{kind}/")
        what = f"is {marker}, of a newer drkit" if newer else f"is no {kind} (its marker is {marker!r})"
        raise FileError(what, where=str(path), remedy="use a drkit that is as new as the file" if newer else remedy)
    try:
        value = msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise FileError(f"breaks the schema of a {kind}: {error}", where=str(path), remedy=remedy) from error
    faults: list[str] = _faults(value)
    if faults:
        more: list[str] = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        first: list[str] = [f"{len(faults)} faults"] if len(faults) > 1 else []
        raise FileError("\n".join([*first, *faults[:MOST_FAULTS], *more]), where=str(path), remedy=remedy)
    return value


def _faults(value: Snapshot | Assessment | Readiness) -> list[str]:
    faults = _time_faults("taken", value.taken)
    if isinstance(value, Readiness):
        return faults
    if isinstance(value, Assessment):
        for number, finding in enumerate(value.plans):
            if finding.failing_since:
                faults += _time_faults(f"plans[{number}].failing_since", finding.failing_since)
        for number, claim in enumerate(value.claims):
            faults += _time_faults(f"claims[{number}].since", claim.since)
        named = [(f"lost_regions[{n}]", region) for n, region in enumerate(value.lost_regions)]
        named += [(f"targets[{n}]", one.region) for n, one in enumerate(value.targets)]
        named += [(f"present_plans[{n}]", plan.region) for n, plan in enumerate(value.present_plans)]
        faults += _region_faults(named)
        present = {plan.id.lower() for plan in value.present_plans}
        faults += [
            f"present_plans[{n}]: {fault}"
            for n, plan in enumerate(value.present_plans)
            if (fault := _id_fault(plan.id))
        ]
        faults += [
            f"present[{number}] ({one.name}): its plan is not there: {one.plan}"
            for number, one in enumerate(value.present)
            if one.plan.lower() not in present
        ]
        return faults
    plans: set[str] = set()
    for number, plan in enumerate(value.plans):
        if fault := _id_fault(plan.id):
            faults.append(f"plans[{number}]: {fault}")
        if plan.id.lower() in plans:
            faults.append(f"plans[{number}]: two plans have the id {plan.id}")
        plans.add(plan.id.lower())
    named = [(f"plans[{n}]", plan.region) for n, plan in enumerate(value.plans)]
    named += [
        (f"plans[{n}].group_region", plan.group_region) for n, plan in enumerate(value.plans) if plan.group_region
    ]
    named += [(f"hosts[{n}]", host.region) for n, host in enumerate(value.hosts) if host.region]
    named += [(f"locations[{n}]", location.name) for n, location in enumerate(value.locations)]
    faults += _region_faults(named)
    known = {location.name for location in value.locations}
    for number, plan in enumerate(value.plans):
        if known and is_region(plan.region) and plan.region not in known:
            faults.append(f"plans[{number}]: unknown region {plan.region!r}")
    seen: set[tuple[str, str]] = set()
    for number, environment in enumerate(value.environments):
        if environment.plan.lower() not in plans:
            faults.append(f"environments[{number}] ({environment.name}): its plan is not there: {environment.plan}")
        if (environment.product, environment.id) in seen:
            faults.append(f"environments[{number}]: two environments have the id {environment.id}")
        seen.add((environment.product, environment.id))
    hosts = {host.id.lower() for host in value.hosts}
    for number, environment in enumerate(value.environments):
        if environment.host and environment.host.host.lower() not in hosts:
            faults.append(
                f"environments[{number}] ({environment.name}): its host is not there: {environment.host.host}"
            )
    return faults


def plan_fault(plan: Plan) -> str:
    """Why a plan as it was read cannot be kept: its id or its region is none. Empty for one that can."""
    if fault := _id_fault(plan.id):
        return fault
    return "" if is_region(plan.region) else f"its location {plan.region[:100]!r} is no region"


def _id_fault(text: str) -> str:
    return "" if PLAN_ID.fullmatch(text) else f"{text[:300]!r} is not the ARM id of a plan"


def _region_faults(named: Sequence[tuple[str, str]]) -> list[str]:
    """A region may become part of a host name: those that have another shape, with their places."""
    return [f"{place}: {region[:100]!r} is no region" for place, region in named if not is_region(region)]


def _time_faults(place: str, text: str) -> list[str]:
    try:
        parse_time(text)
    except (ValueError, OverflowError) as error:
        return [f"{place}: {error}"]
    return []


def decode(
    path: Path,
    type_: type[Any_],
    kind: str,
    *,
    times: Sequence[str] = (),
    limit: int = files.SMALL,
    of: Collection[int] | None = None,
    versions: Sequence[int] = (1,),
) -> Any_:
    """A small file of the store; FileError for what is not of this kind and these versions, longer than ``limit`` bytes, or a link.

    ``of``: the users whose file it may be, beside this one and root; by default anybody's.
    """
    remedy = "remove it, and say it again"
    content = files.read(path, limit=limit, own=of is not None, also=of or (), links=False, remedy=remedy)
    try:
        value = msgspec.json.decode(content, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"cannot be read: {error}", where=str(path), remedy=remedy) from error
    marker = getattr(value, "drkit", "")
    known = [f"{kind}/{version}" for version in versions]
    faults = [] if marker in known else [f"is {marker!r}, not {' or '.join(known)}"]
    for key in times:
        faults += _time_faults(key, getattr(value, key))
    if faults:
        raise FileError("; ".join(faults), where=str(path), remedy=remedy)
    return value
