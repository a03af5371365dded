"""One module per kind of region-bound registration, behind one Protocol."""

from __future__ import annotations

import msgspec

from drkit.products.base import Actor, Product


def registry() -> dict[str, Product]:
    """Every product drkit knows, by name. A new one is its own files and one line here."""
    from drkit.products.codespaces import Codespaces
    from drkit.products.hybrid_worker import HybridWorker

    products: tuple[Product, ...] = (
        Codespaces(),
        HybridWorker(),
    )
    return {product.name: product for product in products}


def tables() -> dict[str, type[msgspec.Struct]]:
    """The tables that products may have in drkit.toml."""
    return {name: product.table for name, product in registry().items()}


def actors() -> dict[str, Actor]:
    """Everything that can carry out a step: the products, and the resource groups they share."""
    from drkit.products.groups import Groups

    return {"azure": Groups(), **registry()}
