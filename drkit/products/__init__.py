"""One module per kind of region-bound registration, behind one Protocol."""

from __future__ import annotations

from drkit.products.base import Actor, Product


def registry() -> dict[str, Product]:
    """Every product drkit knows, by name. A new one is its own files and one line here."""
    from drkit.products.codespaces import Codespaces

    products: tuple[Product, ...] = (Codespaces(),)
    return {product.name: product for product in products}


def actors() -> dict[str, Actor]:
    """Everything that can carry out a step: the products, and the resource groups they share."""
    from drkit.products.groups import Groups

    return {"azure": Groups(), **registry()}
