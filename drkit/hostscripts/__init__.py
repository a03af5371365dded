"""The scripts drkit runs on hosts, as text with a hash (see docs/host-scripts.md)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Shell = Literal["sh", "powershell"]


def _of_products() -> dict[str, dict[str, Any]]:
    """Script -> its parameters, and whether it only reads: each product's are in a file of its own beside the scripts."""
    told: dict[str, dict[str, Any]] = {}
    for file in sorted(files(__package__).iterdir(), key=lambda one: one.name):
        if file.name.endswith(".json"):
            told |= json.loads(file.read_text("utf-8"))
    return told


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
    """A script's name, its whole text, the SHA-256 of that text (hexadecimal), its parameters in order, and what runs it."""

    name: str
    text: str
    sha256: str
    parameters: tuple[str, ...]
    shell: Shell = "sh"

    def encode(self, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """(name, base64url value) for each parameter, in order. KeyError for one that is missing.

        To PowerShell an empty value does not travel at all: a lone ``-`` is no safe argument there.
        """
        pairs = [(name, values[name]) for name in self.parameters]
        return [(name, encode(value)) for name, value in pairs if value or self.shell == "sh"]


@cache
def load(name: str) -> HostScript:
    """The script of that name; KeyError for a name that is not one of ``PARAMETERS``."""
    parameters = PARAMETERS[name]
    folder = files(__package__)
    shell: Shell = "powershell" if name in _POWERSHELL else "sh"
    parts = (_POWERSHELL[name],) if shell == "powershell" else ("common.sh", f"{name}.sh")
    text = "".join((folder / part).read_text("utf-8") for part in parts)
    return HostScript(name, text, hashlib.sha256(text.encode()).hexdigest(), parameters, shell)


def probe_for(system: str) -> HostScript:
    """The probe for a host of that operating system (``linux`` when it is not known)."""
    return load(PROBES.get(system, "probe"))


def encode(value: str) -> str:
    """Unpadded base64url, ``-`` for the empty text."""
    return base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode() or "-"


def hashes() -> dict[str, str]:
    """SHA-256 -> name, of every script."""
    return {load(name).sha256: name for name in PARAMETERS}
