"""What every reading of Azure needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drkit.model.clock import Clock
from drkit.model.settings import Settings
from drkit.products.base import Product

if TYPE_CHECKING:
    from drkit.providers.session import Session


@dataclass(frozen=True)
class SurveyContext:
    """The session, the products by name, the subscriptions to read, the settings and the clock of one survey."""

    azure: Session
    products: Mapping[str, Product]
    subscriptions: Sequence[str]
    settings: Settings
    clock: Clock

    def registration_paths(self) -> dict[str, str]:
        """See the function of that name."""
        return registration_paths(self.products, self.settings)


def registration_paths(products: Mapping[str, Product], settings: Settings) -> dict[str, str]:
    """Product -> path of its registration on a host, for the products that keep one there."""
    paths = {name: product.registration_path(settings) for name, product in products.items()}
    return {name: path for name, path in paths.items() if path}
