"""drkit brings region-bound registrations back when an Azure region is lost.

Each public name is a function of the module that ``_PLACES`` names, loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from drkit.version import __version__

_PLACES = {
    "api": (
        "answer", "apply", "approve", "assess", "codes", "desk", "plan", "resume", "runs", "schema", "show", "skip",
        "snapshot", "status",
    ),
    "checking": ("check",),
    "control": ("abort", "pause", "rebase", "retry", "unpause", "verify"),
    "rehearsal": ("drill", "simulate"),
    "reporting": ("owners", "report"),
    "returning": ("cleanup", "failback"),
    "telling": ("explain", "watch"),
}  # fmt: skip
_PLACE = {name: place for place, names in _PLACES.items() for name in names}

__all__ = ["__version__", *_PLACE]  # noqa: PLE0604  the names are loaded lazily, below


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"module 'drkit' has no attribute {name!r}")
    return getattr(import_module(f"drkit.{_PLACE[name]}"), name)
