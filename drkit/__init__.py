"""drkit brings region-bound registrations back when an Azure region is lost.

The public names are those of ``drkit.api``, ``drkit.checking``, ``drkit.control``, ``drkit.returning``, ``drkit.telling`` and
``drkit.rehearsal``, loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from drkit.version import __version__

_API = (
    "answer", "apply", "approve", "assess", "codes", "desk", "plan", "report", "resume", "runs", "schema", "show",
    "skip", "snapshot", "status",
)  # fmt: skip
_CONTROL = ("abort", "pause", "rebase", "retry", "unpause", "verify")
_CHECKING = ("check",)
_REHEARSAL = ("drill", "simulate")
_RETURNING = ("cleanup", "failback")
_TELLING = ("explain", "watch")

__all__ = ["__version__", *_API, *_CHECKING, *_CONTROL, *_REHEARSAL, *_RETURNING, *_TELLING]  # noqa: PLE0604  the names are loaded lazily, below


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module("drkit.api"), name)
    if name in _CHECKING:
        return getattr(import_module("drkit.checking"), name)
    if name in _CONTROL:
        return getattr(import_module("drkit.control"), name)
    if name in _REHEARSAL:
        return getattr(import_module("drkit.rehearsal"), name)
    if name in _RETURNING:
        return getattr(import_module("drkit.returning"), name)
    if name in _TELLING:
        return getattr(import_module("drkit.telling"), name)
    raise AttributeError(f"module 'drkit' has no attribute {name!r}")
