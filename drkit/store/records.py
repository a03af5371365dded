"""The small files of a store: approvals, messages and declarations, with their authors; how one is read and checked."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from drkit.errors import FileError
from drkit.model import files
from drkit.model.clock import time_faults

Any_ = TypeVar("Any_", bound=msgspec.Struct)


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Who approved which bytes, when and until when (RFC 3339), as the file says. ``approvals`` decides what of it counts.

    ``digest``: the SHA-256 of the runbook's bytes. ``kind``: ``self-approved`` for what ``apply --yes`` writes. ``targets``: ARM ids of
    the plans that the approver named because only a tag says that they take over. Version 1 has neither ``kind`` nor ``targets``, and
    claims ``authenticated``.
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
    """What a person asks of the process that holds a run. ``what`` is one of ``MESSAGES``; ``when`` is RFC 3339."""

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
"""How many characters each part of a message may have."""
LARGEST_MESSAGE = 64 * 1024
"""Bytes."""


@dataclass(frozen=True)
class Received:
    """A file in a run's inbox: its message, or None and what is wrong with it.

    ``writer``: its author as the store knows them. In a folder that is the owner of the file; empty where the store does not know. The
    ``who`` of the message is only a claim.
    """

    path: Path
    message: Message | None
    fault: str = ""
    writer: str = ""


def message_fault(message: Message) -> str:
    """Why no run can obey a message; empty when a run can."""
    if message.what not in MESSAGES:
        return f"{message.what[:40]!r} is not one of: {', '.join(sorted(MESSAGES))}"
    for part, longest in LONGEST.items():
        if (length := len(getattr(message, part))) > longest:
            return f"its {part} has {length} characters, and at most {longest} are read"
    if message.what in ABOUT_STEPS and not message.step:
        return f"{message.what} names no step"
    if message.what in NEEDS_TEXT and not message.text.strip():
        return f"{message.what} gives no reason"
    return ""


def claimed_name(name: str, writer: str) -> str:
    """The name in a file, as people see it: with ``claimed`` and the writer that the store knows, unless that is the same user."""
    shown = name[: LONGEST["who"]] or "nobody named"
    if writer and writer == f"user {user_of(name)}":
        return shown
    return f"{shown} (claimed; the file is of {writer})" if writer else f"{shown} (claimed)"


def user_of(name: str) -> str:
    """A ``who`` without its machine: the same identity on another machine is the same person."""
    return name.rpartition("@")[0] or name


def owner_of(path: Path) -> str:
    """The owner of a file, as ``user NAME``; empty where there is no such file."""
    try:
        return files.user_name(path.lstat().st_uid)
    except OSError:
        return ""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """A person declared a region lost, with a reason. ``when`` is RFC 3339."""

    drkit: str = "declaration/1"
    region: str
    reason: str
    who: str
    when: str


def who() -> str:
    """``user@machine``: who acts, as far as this machine knows. In a pipeline it is the identity of the service connection."""
    if client := os.environ.get("AZURESUBSCRIPTION_CLIENT_ID"):
        return f"client {client}@{socket.gethostname()}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


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
    """A small file of the store, decoded as ``type_``. ``times``: its fields that must be RFC 3339 times.

    ``of``: the users who may own the file, beside this user and root; by default anybody. FileError for a file of another kind or
    version, of more than ``limit`` bytes, or behind a link.
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
        faults += time_faults(key, getattr(value, key))
    if faults:
        raise FileError("; ".join(faults), where=str(path), remedy=remedy)
    return value
