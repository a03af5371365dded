"""What may be sent. Pure: each guard sees one outgoing request and raises GuardError, or does not.

URLs here are public ones. The transport maps them to a simulator's ports later.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from urllib.parse import unquote, urlsplit

from drkit.errors import GuardError
from drkit.model.operation import Request, bare

RequestKind = Literal["read", "write", "delete", "probe"]
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NAME = r"[^/?#]+"
_GROUP = rf"/subscriptions/{_NAME}/resourceGroups/{_NAME}/providers"


_RESOURCE_GRAPH = re.compile(r"^/providers/Microsoft\.ResourceGraph/resources$", re.IGNORECASE)
_RUN_COMMAND = re.compile(rf"^{_GROUP}/Microsoft\.Compute/virtualMachines/{_NAME}/runCommand$", re.IGNORECASE)
_ODD = re.compile(r"%2f|%5c|\\|[\x00-\x20]", re.IGNORECASE)


@dataclass(frozen=True)
class ReadingPosts:
    """The POSTs that change nothing, besides the queries of Resource Graph; every other POST is a write.

    ``actions``: list actions below a resource group's providers; ``*`` stands for one name (``Microsoft.Web/sites/*/listThings``).
    ``scripts``: SHA-256 of the scripts whose run commands only read.
    """

    actions: tuple[str, ...] = ()
    scripts: frozenset[str] = frozenset()

    @cached_property
    def _paths(self) -> tuple[re.Pattern[str], ...]:
        named = (_NAME.join(re.escape(part) for part in action.split("*")) for action in self.actions)
        return (_RESOURCE_GRAPH, *(re.compile(rf"^{_GROUP}/{path}$", re.IGNORECASE) for path in named))

    def lists(self, path: str) -> bool:
        """Whether a POST to this path of a URL only lists."""
        return any(pattern.match(path) for pattern in self._paths)


NO_READING_POSTS = ReadingPosts()
"""Only the queries of Resource Graph."""


@dataclass(frozen=True)
class Outgoing:
    """One request before it is sent: method, public URL, body (None: empty), and what it does."""

    method: str
    url: str
    body: bytes | None
    purpose: RequestKind


Guard = Callable[[Outgoing], None]


def classify(method: str, url: str, body: bytes | None, reads: ReadingPosts) -> RequestKind:
    """What a request does. A POST is a write, except for the reading POSTs and for run commands whose script is a probe."""
    method = method.upper()
    if method in READ_METHODS:
        return "read"
    if method == "DELETE":
        return "delete"
    if method == "POST":
        path = urlsplit(url).path
        if reads.lists(path):
            return "read"
        if _RUN_COMMAND.match(path) and script_hash(body) in reads.scripts:
            return "probe"
    return "write"


def is_run_command(url: str) -> bool:
    """Whether the URL is a VM's run-command action."""
    return bool(_RUN_COMMAND.match(urlsplit(url).path))


def script_hash(body: bytes | None) -> str:
    """SHA-256 of the script in a run command's body; empty for any other body.

    drkit's PowerShell scripts begin with ``#Requires``, and only such scripts may run in PowerShell.
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
    """GuardError for a URL that Azure could read differently than drkit does (dot segments, encoded slashes)."""
    parts = urlsplit(outgoing.url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or parts.fragment:
        raise _refusal(outgoing, "it is not a plain https URL")
    if _ODD.search(parts.path) or any(unquote(segment) in (".", "..") for segment in parts.path.split("/")):
        raise _refusal(outgoing, "its path holds a dot segment, an encoded slash or a control character")


def reading_guard(reads: ReadingPosts) -> Guard:
    """The guard of commands that read. It lets through reads, and probes whose script's SHA-256 is in ``reads``."""

    def guard(outgoing: Outgoing) -> None:
        check_shape(outgoing)
        if classify(outgoing.method, outgoing.url, outgoing.body, reads) in ("read", "probe"):
            return
        if is_run_command(outgoing.url):
            raise _refusal(outgoing, "this command reads, and the script is not one of the probes it may run")
        raise _refusal(outgoing, "this command only reads")

    return guard


def writing_guard(
    permitted: Callable[[], Sequence[Request]],
    lease: Callable[[], None],
    lost: Callable[[str], bool],
    reads: ReadingPosts,
    deletes: Callable[[str], bool] = lambda _url: False,
) -> Guard:
    """The guard of a run. Reads and probes pass; a write must be announced, must not go to a lost region, and needs the lease.

    ``permitted()`` gives the requests of the open intents; ``lease()`` raises when this process no longer holds the run;
    ``lost(url)`` says whether a public URL leads to a region that the runbook calls lost; ``deletes(url)`` says whether the object
    there may be deleted, which an intent alone does not allow.
    """

    def guard(outgoing: Outgoing) -> None:
        check_shape(outgoing)
        if classify(outgoing.method, outgoing.url, outgoing.body, reads) in ("read", "probe"):
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
