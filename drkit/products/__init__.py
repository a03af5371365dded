"""One module per kind of region-bound registration, behind one Protocol; others' come in by an entry point."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from drkit.model import host_scripts
from drkit.model.actions import GROUPS, SHARED, Tables
from drkit.model.host_scripts import Scripts
from drkit.products.base import Actor, Product, ReadsByPost, RunsScripts

if TYPE_CHECKING:
    from drkit.products.plugins import PluginFault
    from drkit.providers.guard import ReadingPosts

GROUP = "drkit.products"
"""The entry points by which other distributions bring products."""

# Module and class. A new product is its own files and one line here.
KNOWN = (
    ("codespaces", "Codespaces"),
    ("hybrid_worker", "HybridWorker"),
)


def registry() -> dict[str, Product]:
    """Every product drkit knows, by name: its own, then those that other distributions bring."""
    own = _own()
    return {**own, **_others(own)[0]}


def faults() -> tuple[PluginFault, ...]:
    """What other distributions bring that cannot be used, and why. The rest is there all the same."""
    return _others(_own())[1]


def _own() -> dict[str, Product]:
    made: list[Product] = [getattr(import_module(f"{__name__}.{module}"), kind)() for module, kind in KNOWN]
    return {product.name: product for product in made}


def _others(own: dict[str, Product]) -> tuple[dict[str, Product], tuple[PluginFault, ...]]:
    """The products of other distributions, and what of theirs cannot be used."""
    if not _entries():
        return {}, ()
    from drkit.products import plugins

    others = plugins.discover(_entries(), (*own, SHARED))
    return others.products, others.faults


@cache
def _entries() -> tuple[EntryPoint, ...]:
    """The entry points of other distributions. Looked for once a process."""
    return tuple(entry_points(group=GROUP))


def tables() -> dict[str, type[msgspec.Struct]]:
    """The tables that products may have in drkit.toml."""
    return {name: product.table for name, product in registry().items()}


def actions() -> Tables:
    """The table of actions of every product, and of the resource groups they share."""
    return {SHARED: GROUPS, **{name: product.actions for name, product in registry().items()}}


def scripts() -> Scripts:
    """Every script that drkit runs on hosts: the common ones, and each product's own."""
    own = (product.host_scripts for product in registry().values() if isinstance(product, RunsScripts))
    return host_scripts.joined((host_scripts.common(), *own))


def reading_posts() -> ReadingPosts:
    """The POSTs that change nothing: those that products name, and the run commands of the scripts that only read."""
    from drkit.providers.guard import ReadingPosts

    listing = [product.reading_posts for product in registry().values() if isinstance(product, ReadsByPost)]
    return ReadingPosts(tuple(chain.from_iterable(listing)), scripts().reading())


def actors() -> dict[str, Actor]:
    """Everything that can carry out a step: the products, and the resource groups they share."""
    from drkit.products.resource_groups import Groups

    return {SHARED: Groups(), **registry()}
