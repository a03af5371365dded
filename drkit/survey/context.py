"""What every reading of Azure needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drkit.model.clock import Clock
from drkit.model.cloud import CloudMark
from drkit.model.settings import Settings
from drkit.products.base import Product

if TYPE_CHECKING:
    from drkit.providers.session import Session


@dataclass(frozen=True)
class SurveyContext:
    """What one survey reads, and with what.

    ``products``: by name; ``mark``: the cloud, for the files that are made; ``subscriptions``: the ones to read, which ``take`` of
    ``capture`` and ``assess`` determines from the settings.
    """

    azure: Session
    products: Mapping[str, Product]
    settings: Settings
    clock: Clock
    mark: CloudMark
    subscriptions: Sequence[str] = ()

    def registration_paths(self) -> dict[str, str]:
        """See the function of that name."""
        return registration_paths(self.products, self.settings)


def registration_paths(products: Mapping[str, Product], settings: Settings) -> dict[str, str]:
    """Product -> path of its registration on a host, for the products that keep one there."""
    paths = {name: product.registration_path(settings) for name, product in products.items()}
    return {name: path for name, path in paths.items() if path}
