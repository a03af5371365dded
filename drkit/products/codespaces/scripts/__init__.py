"""The scripts that Codespaces runs on hosts (see docs/host-scripts.md)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from drkit.model.host_scripts import Scripts, read_folder


@cache
def product_scripts() -> Scripts:
    """Those of this product alone."""
    return read_folder(files(__package__))
