"""One module per kind of region-bound registration, behind one Protocol; others' come in by an entry point."""

from __future__ import annotations

from importlib import import_module

import msgspec

from drkit.model.actions import GROUPS, SHARED, Tables
from drkit.products.base import Actor, Product
from drkit.products.plugins import Fault, Others, found

# Module and class. A new product is its own files and one line here.
KNOWN = (
    ("codespaces", "Codespaces"),
    ("hybrid_worker", "HybridWorker"),
)


def registry() -> dict[str, Product]:
    """Every product drkit knows, by name: its own, then those that other distributions bring."""
    made = _own()
    return {**made, **_others(made).products}


def faults() -> tuple[Fault, ...]:
    """What other distributions bring that cannot be used, and why. The rest is there all the same."""
    return _others(_own()).faults


def _own() -> dict[str, Product]:
    made: list[Product] = [getattr(import_module(f"{__name__}.{module}"), kind)() for module, kind in KNOWN]
    return {product.name: product for product in made}


def _others(own: dict[str, Product]) -> Others:
    return found((*own, SHARED))


def tables() -> dict[str, type[msgspec.Struct]]:
    """The tables that products may have in drkit.toml."""
    return {name: product.table for name, product in registry().items()}


def actions() -> Tables:
    """The table of actions of every product, and of the resource groups they share."""
    return {SHARED: GROUPS, **{name: product.actions for name, product in registry().items()}}


def actors() -> dict[str, Actor]:
    """Everything that can carry out a step: the products, and the resource groups they share."""
    from drkit.products.resource_groups import Groups

    return {SHARED: Groups(), **registry()}
