"""One module per kind of region-bound registration, behind one Protocol."""

from __future__ import annotations

from importlib import import_module

import msgspec

from drkit.products.base import Actor, Product

# Module and class. A new product is its own files and one line here.
KNOWN = (
    ("codespaces", "Codespaces"),
    ("hybrid_worker", "HybridWorker"),
)


def registry() -> dict[str, Product]:
    """Every product drkit knows, by name."""
    made: list[Product] = [getattr(import_module(f"{__name__}.{module}"), kind)() for module, kind in KNOWN]
    return {product.name: product for product in made}


def tables() -> dict[str, type[msgspec.Struct]]:
    """The tables that products may have in drkit.toml."""
    return {name: product.table for name, product in registry().items()}


def actors() -> dict[str, Actor]:
    """Everything that can carry out a step: the products, and the resource groups they share."""
    from drkit.products.groups import Groups

    return {"azure": Groups(), **registry()}
