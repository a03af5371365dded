"""Products of other distributions, by the entry points of group ``drkit.products``: name -> class, made without arguments.

One that cannot be loaded, is no product, or takes a name that is taken is a fault with its distribution's name, and nothing more: on the
night, somebody else's mistake must not take away what drkit itself can do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint

import msgspec

from drkit.model.actions import Action
from drkit.model.host_scripts import Scripts
from drkit.products.base import Product, ReadsByPost, RunsScripts

POST = re.compile(r"[A-Za-z][\w.]*(/[\w*.-]+){2,}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
MOST = 300


@dataclass(frozen=True)
class PluginFault:
    """An entry point that cannot be used: of which distribution, and why."""

    name: str
    distribution: str
    what: str

    def __str__(self) -> str:
        return (
            f"product {self.name!r} of the distribution {self.distribution} cannot be used: {self.what} "
            f"(repair it, or `pip uninstall {self.distribution}`)"
        )


@dataclass(frozen=True)
class Plugins:
    """What other distributions bring."""

    products: dict[str, Product] = field(default_factory=dict)
    faults: tuple[PluginFault, ...] = ()


@cache
def discover(entries: tuple[EntryPoint, ...], taken: tuple[str, ...]) -> Plugins:
    """The products of these entry points; ``taken``: names that none of them may have. Each is loaded once a process."""
    products: dict[str, Product] = {}
    faults: list[PluginFault] = []
    for entry in sorted(entries, key=lambda entry: (entry.name, _distribution(entry))):
        rivals = [_distribution(other) for other in entries if other.name == entry.name and other is not entry]
        try:
            product = _made(entry, taken, rivals)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it does when it is loaded, it is its own fault
            what = str(error) if isinstance(error, _UnfitError) else f"{type(error).__name__}: {error}"
            faults.append(PluginFault(entry.name[:MOST], _distribution(entry), what[:MOST]))
        else:
            products[product.name] = product
    return Plugins(products, tuple(faults))


class _UnfitError(Exception):
    """Why an entry point is no product."""


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"


def _made(entry: EntryPoint, taken: Collection[str], rivals: Collection[str]) -> Product:
    if entry.name in taken:
        raise _UnfitError("drkit has a product of that name itself")
    if rivals:
        raise _UnfitError(f"{', '.join(sorted(rivals))} brings one of that name too")
    if not NAME.fullmatch(entry.name):
        raise _UnfitError("its name is not of lower-case letters, digits and hyphens")
    product = entry.load()()
    if getattr(product, "name", None) != entry.name:
        raise _UnfitError(f"it calls itself {getattr(product, 'name', None)!r}")
    if not hasattr(product, "actions"):
        raise _UnfitError(
            "it declares no `actions`, so nothing would bind what its steps do (docs/writing-a-product.md, The table of actions)"
        )
    if not isinstance(product.actions, Mapping) or not all(isinstance(row, Action) for row in product.actions.values()):
        raise _UnfitError(
            "its `actions` is no table of drkit.model.actions.Action: what its steps do would not be bound to anything"
        )
    # What all products' scripts and POSTs are put together from must not fail later, for every command.
    if isinstance(product, RunsScripts) and not isinstance(product.host_scripts, Scripts):
        raise _UnfitError("its `host_scripts` are not those of drkit.model.host_scripts.read_folder")
    if isinstance(product, ReadsByPost) and not _are_posts(product.reading_posts):
        raise _UnfitError("its `reading_posts` are no tuple of texts like Microsoft.Web/sites/*/listThings")
    missing = sorted(member for member in _members() if not hasattr(product, member))
    if missing:
        raise _UnfitError(f"it is no product of this drkit: it lacks {', '.join(missing)}")
    if not (isinstance(product.table, type) and issubclass(product.table, msgspec.Struct)):
        raise _UnfitError("its table is no msgspec.Struct")
    product.table()
    return product  # type: ignore[no-any-return]  # it has every member


def _are_posts(posts: object) -> bool:
    return isinstance(posts, tuple) and all(isinstance(post, str) and POST.fullmatch(post) for post in posts)


def _members() -> set[str]:
    """What the Protocol asks for."""
    names: set[str] = set()
    for base in Product.__mro__:
        if base.__module__.startswith("drkit."):
            members = (*vars(base), *vars(base).get("__annotations__", ()))
            names |= {member for member in members if not member.startswith("_")}
    return names
