"""What may be sent. Pure: each guard sees one outgoing request and raises GuardError, or does not.

URLs here are public ones: the mapping to a simulator's ports happens later, in the transport.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal
from urllib.parse import unquote, urlsplit

from drkit.errors import GuardError
from drkit.model.operation import Request, bare

Kind = Literal["read", "write", "delete", "probe"]
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NAME = r"[^/?#]+"
_GROUP = rf"/subscriptions/{_NAME}/resourceGroups/{_NAME}/providers"


def _reading_posts() -> tuple[re.Pattern[str], ...]:
    """The POSTs that read: Resource Graph's, and list actions, named one by one in ``reading_posts``, a file a product."""
    found = [r"/providers/Microsoft\.ResourceGraph/resources"]
    for file in (files(__package__) / "reading_posts").iterdir():
        lines = file.read_text("utf-8").splitlines() if file.name.endswith(".txt") else []
        for line in lines:
            if line and not line.startswith("#"):
                found.append(f"{_GROUP}/" + _NAME.join(re.escape(part) for part in line.split("*")))
    return tuple(re.compile(rf"^{path}$", re.IGNORECASE) for path in found)


READING_POSTS = _reading_posts()
_RUN_COMMAND = re.compile(rf"^{_GROUP}/Microsoft\.Compute/virtualMachines/{_NAME}/runCommand$", re.IGNORECASE)
_ODD = re.compile(r"%2f|%5c|\\|[\x00-\x20]", re.IGNORECASE)


@dataclass(frozen=True)
class Outgoing:
    """One request about to leave: method, public URL, body (None: empty), and what it is for."""

    method: str
    url: str
    body: bytes | None
    purpose: Kind


Guard = Callable[[Outgoing], None]


def classify(method: str, url: str, body: bytes | None, probe_hashes: AbstractSet[str]) -> Kind:
    """What a request does. A POST is a write, unless it is one of the named reading ones, or a probe by its script."""
    method = method.upper()
    if method in READ_METHODS:
        return "read"
    if method == "DELETE":
        return "delete"
    if method == "POST":
        path = urlsplit(url).path
        if any(pattern.match(path) for pattern in READING_POSTS):
            return "read"
        if _RUN_COMMAND.match(path) and script_hash(body) in probe_hashes:
            return "probe"
    return "write"


def is_run_command(url: str) -> bool:
    """Whether the URL is a VM's run-command action."""
    return bool(_RUN_COMMAND.match(urlsplit(url).path))


def script_hash(body: bytes | None) -> str:
    """SHA-256 of the script a run command carries; empty for anything else.

    PowerShell scripts of drkit's begin with ``#Requires``, and only those may go to PowerShell.
    """
    try:
        command = json.loads(body or b"")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(command, dict):
        return ""
    script = command.get("script")
    if not isinstance(script, list) or not all(isinstance(line, str) for line in script):
        return ""
    text = "\n".join(script)
    if command.get("commandId") != ("RunPowerShellScript" if text.startswith("#Requires ") else "RunShellScript"):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


def check_shape(outgoing: Outgoing) -> None:
    """Refuse a URL that could mean one thing here and another on the wire (dot segments, encoded slashes)."""
    parts = urlsplit(outgoing.url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or parts.fragment:
        raise _refusal(outgoing, "it is not a plain https URL")
    if _ODD.search(parts.path) or any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):
        raise _refusal(outgoing, "its path holds a dot segment, an encoded slash or a control character")


def reading_guard(probe_hashes: frozenset[str]) -> Guard:
    """For commands that read: only reads, and probes whose script's SHA-256 is in ``probe_hashes``, pass."""

    def guard(outgoing: Outgoing) -> None:
        check_shape(outgoing)
        if classify(outgoing.method, outgoing.url, outgoing.body, probe_hashes) in ("read", "probe"):
            return
        if is_run_command(outgoing.url):
            raise _refusal(outgoing, "this command reads, and the script is not one of the probes it may run")
        raise _refusal(outgoing, "this command only reads")

    return guard


def writing_guard(
    permitted: Callable[[], Sequence[Request]],
    lease: Callable[[], None],
    lost: Callable[[str], bool],
    probe_hashes: frozenset[str],
    deletes: Callable[[str], bool] = lambda _url: False,
) -> Guard:
    """For a run: reads and probes pass; a write must be announced, not go to a lost region, and the lease must hold.

    ``permitted()`` gives the requests of the open intents, ``lease()`` raises when the run is no longer held here,
    ``lost(url)`` says whether a public URL leads into a region the runbook calls lost, ``deletes(url)`` whether what is there may be
    deleted: no intent announces that by itself.
    """

    def guard(outgoing: Outgoing) -> None:
        check_shape(outgoing)
        if classify(outgoing.method, outgoing.url, outgoing.body, probe_hashes) in ("read", "probe"):
            return
        if lost(outgoing.url):
            raise _refusal(outgoing, "it would write into a region that the runbook calls lost")
        urls = {outgoing.url, unquote(bare(outgoing.url))}
        if not any(request.covers(outgoing.method, url) for request in permitted() for url in urls):
            raise _refusal(outgoing, "no open intent announces this request")
        if outgoing.method.upper() == "DELETE" and not deletes(unquote(bare(outgoing.url))):
            raise _refusal(outgoing, "nothing in the store says that drkit may delete this")
        lease()

    return guard


def _refusal(outgoing: Outgoing, why: str) -> GuardError:
    return GuardError(
        f"{outgoing.method} was not sent: {why}",
        where=bare(outgoing.url),
        remedy="nothing left this machine; please report the command that led here",
    )
