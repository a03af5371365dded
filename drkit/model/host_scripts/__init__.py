"""The scripts that drkit runs on hosts, as text with a hash (docs/host-scripts.md).

``earlier`` has the scripts of earlier versions whose runs may still be open: a run uses exactly the scripts that were approved.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

Shell = Literal["sh", "powershell"]


def _of_products() -> dict[str, dict[str, Any]]:
    """Script -> its parameters, and whether it only reads, from the products' files beside the scripts."""
    scripts: dict[str, dict[str, Any]] = {}
    for file in sorted(files(__package__).iterdir(), key=lambda path: path.name):
        if file.name.endswith(".json"):
            scripts |= json.loads(file.read_text("utf-8"))
    return scripts


_PRODUCTS = _of_products()
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "probe": ("drkit_registrations",),
    "probe_windows": ("drkit_registrations",),
    "reach": ("drkit_urls", "drkit_timeout"),
    **{name: tuple(one["parameters"]) for name, one in _PRODUCTS.items()},
}
READS = frozenset({"probe", "probe_windows", "reach"} | {name for name, one in _PRODUCTS.items() if one["reads"]})
PROBES: Mapping[str, str] = {"linux": "probe", "windows": "probe_windows"}
_POWERSHELL: Mapping[str, str] = {"probe_windows": "probe.ps1"}


@dataclass(frozen=True)
class HostScript:
    """A script: its name, its whole text, the SHA-256 of that text (hexadecimal), its parameters in order, and its shell.

    ``version``: the earlier version of drkit that it is from; empty for the current one.
    """

    name: str
    text: str
    sha256: str
    parameters: tuple[str, ...]
    shell: Shell = "sh"
    version: str = ""

    def encode(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """(name, base64url value) for each parameter, in order. KeyError for a missing one.

        An empty value is not sent to PowerShell, where a lone ``-`` is not a safe argument.
        """
        pairs = [(name, values[name]) for name in self.parameters]
        return [(name, encode(value)) for name, value in pairs if value or self.shell == "sh"]


@cache
def load(name: str) -> HostScript:
    """The script of that name; KeyError for a name that is not one of ``PARAMETERS``."""
    return _read(name, files(__package__), "")


def _read(name: str, folder: Traversable, version: str) -> HostScript:
    parameters = PARAMETERS[name]
    shell: Shell = "powershell" if name in _POWERSHELL else "sh"
    parts = (_POWERSHELL[name],) if shell == "powershell" else ("common.sh", f"{name}.sh")
    text = "".join((folder / part).read_text("utf-8") for part in parts)
    return HostScript(name, text, hashlib.sha256(text.encode()).hexdigest(), parameters, shell, version)


@cache
def _earlier() -> tuple[HostScript, ...]:
    """The scripts of earlier versions, the oldest first."""
    versions = sorted((files(__package__) / "earlier").iterdir(), key=lambda folder: folder.name)
    return tuple(
        _read(name, folder, folder.name)
        for folder in versions
        for name in PARAMETERS
        if name not in _POWERSHELL and (folder / f"{name}.sh").is_file()
    )


def approved(name: str, sha256: str) -> HostScript:
    """The script of that name and hash, of this or an earlier version; KeyError when this drkit has none of that hash."""
    for script in (load(name), *_earlier()):
        if (script.name, script.sha256) == (name, sha256):
            return script
    raise KeyError(f"{name} {sha256}")


def probe_for(system: str) -> HostScript:
    """The probe for a host of that operating system; the one for Linux when it is unknown."""
    return load(PROBES.get(system, "probe"))


def encode(value: str) -> str:
    """Unpadded base64url, ``-`` for the empty text."""
    return base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode() or "-"


def hashes() -> dict[str, str]:
    """SHA-256 -> name of every script, also of earlier versions."""
    return {script.sha256: script.name for script in (*_earlier(), *map(load, PARAMETERS))}


def reading() -> frozenset[str]:
    """The SHA-256 of every script that only reads."""
    return frozenset(sha256 for sha256, name in hashes().items() if name in READS)
