"""The scripts drkit runs on hosts, as text with a hash (see docs/host-scripts.md).

Here are those that every product uses; a product keeps its own in a folder of the same form (``read_folder``). ``earlier`` in a folder
holds the scripts of earlier versions whose runs may still be open: what was approved is what is run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

Shell = Literal["sh", "powershell"]
PROBES: Mapping[str, str] = {"linux": "probe", "windows": "probe_windows"}


@dataclass(frozen=True)
class HostScript:
    """A script's name, its whole text, the SHA-256 of that text (hexadecimal), its parameters in order, and what runs it.

    ``version``: the earlier version of drkit that it is from; empty for today's. ``reads``: it changes nothing on the host.
    """

    name: str
    text: str
    sha256: str
    parameters: tuple[str, ...]
    shell: Shell = "sh"
    version: str = ""
    reads: bool = False

    def encode(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """(name, base64url value) for each parameter, in order. KeyError for one that is missing.

        An empty value is not sent to PowerShell at all: a lone ``-`` is no safe argument there.
        """
        pairs = [(name, values[name]) for name in self.parameters]
        return [(name, encode(value)) for name, value in pairs if value or self.shell == "sh"]


@dataclass(frozen=True)
class Scripts:
    """Some host scripts: today's by name, and what earlier versions put into runbooks, the oldest first."""

    today: Mapping[str, HostScript]
    earlier: tuple[HostScript, ...] = ()

    def load(self, name: str) -> HostScript:
        """Today's script of that name. KeyError where there is none."""
        return self.today[name]

    def approved(self, name: str, sha256: str) -> HostScript:
        """The script of that name and hash, today's or an earlier version's. KeyError where there is none of that hash."""
        for script in (*self.today.values(), *self.earlier):
            if (script.name, script.sha256) == (name, sha256):
                return script
        raise KeyError(f"{name} {sha256}")

    def hashes(self) -> dict[str, str]:
        """SHA-256 -> name of every script, earlier versions' too."""
        return {script.sha256: script.name for script in (*self.earlier, *self.today.values())}

    def reading(self) -> frozenset[str]:
        """The SHA-256 of every script that only reads."""
        return frozenset(script.sha256 for script in (*self.earlier, *self.today.values()) if script.reads)


def joined(parts: Iterable[Scripts]) -> Scripts:
    """Several sets of scripts as one. Of two scripts of one name the first counts."""
    today: dict[str, HostScript] = {}
    earlier: list[HostScript] = []
    for part in parts:
        today = {**part.today, **today}
        earlier.extend(part.earlier)
    return Scripts(today, tuple(earlier))


def read_folder(folder: Traversable) -> Scripts:
    """The scripts of a folder, as its ``scripts.json`` declares them.

    It has, for the name of each script, ``file``, ``parameters`` in order, and ``reads``. ``earlier/VERSION`` holds files of the same
    names. Before the text of a script for sh comes ``common.sh``, that of the same version of drkit.
    """
    declared: Mapping[str, Mapping[str, Any]] = json.loads((folder / "scripts.json").read_text("utf-8"))
    versions = folder / "earlier"
    names = sorted(version.name for version in versions.iterdir()) if versions.is_dir() else []
    earlier = [
        _read(name, row, versions / version, version)
        for version in names
        for name, row in declared.items()
        if (versions / version / row["file"]).is_file()
    ]
    return Scripts({name: _read(name, row, folder, "") for name, row in declared.items()}, tuple(earlier))


def _read(name: str, row: Mapping[str, Any], folder: Traversable, version: str) -> HostScript:
    text, shell = (folder / row["file"]).read_text("utf-8"), _shell(row["file"])
    if shell == "sh":
        own = files(__package__)
        text = ((own / "earlier" / version if version else own) / "common.sh").read_text("utf-8") + text
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return HostScript(name, text, sha256, tuple(row["parameters"]), shell, version, row["reads"])


def _shell(file: str) -> Shell:
    return "powershell" if file.endswith(".ps1") else "sh"


@cache
def common() -> Scripts:
    """The scripts that every product uses."""
    return read_folder(files(__package__))


def load(name: str) -> HostScript:
    """Today's common script of that name. KeyError where there is none."""
    return common().load(name)


def probe_for(system: str) -> HostScript:
    """The probe for a host of that operating system (``linux`` when it is not known)."""
    return load(PROBES.get(system, "probe"))


def encode(value: str) -> str:
    """Unpadded base64url, ``-`` for the empty text."""
    return base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode() or "-"
