"""Imports all that a command may import, so that what is forked from a process that imported this begins at once."""

from __future__ import annotations

import gc
import importlib
import pkgutil

import azure.identity.aio
import azure.storage.blob  # noqa: F401
import rich.console  # noqa: F401

import drkit

for module in pkgutil.walk_packages(drkit.__path__, "drkit."):
    if module.name != "drkit.__main__":
        importlib.import_module(module.name)
# Children share the memory of what is imported here as long as their garbage collector does not go through it.
gc.collect()
gc.freeze()
