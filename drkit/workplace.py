"""Where a command works: its settings, its store, its cloud."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from drkit import actions, products
from drkit import cloud as clouds
from drkit import settings as settings_
from drkit.clock import Clock
from drkit.cloud import Cloud, Principal
from drkit.errors import FileError, UsageError
from drkit.products import tables
from drkit.settings import Settings
from drkit.store import Store


@dataclass(frozen=True)
class Desk:
    """Where a command works: settings, store, and the cloud, which is looked up when first needed.

    ``loopback_only`` makes the transport refuse whatever is not loopback; ``principal`` stands in for a simulator's identity.
    """

    settings: Settings
    store: Store
    find_cloud: Callable[[], Cloud]
    loopback_only: bool = False
    principal: Principal | None = None
    own_clock: Clock | None = None
    _kept: dict[str, Cloud] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A runbook that breaks the table of a product is none, wherever it is read."""
        self.store.judge = lambda book, where: actions.check(book, products.actions(), where)

    @property
    def cloud(self) -> Cloud:
        """The cloud."""
        if "cloud" not in self._kept:
            self._kept["cloud"] = self.find_cloud()
        return self._kept["cloud"]

    @property
    def clock(self) -> Clock:
        """The cloud's clock, or one that was handed in."""
        return self.own_clock or self.cloud.clock()


def desk(
    *,
    config: str | None = None,
    cloud: str | None = None,
    store: str | None = None,
    announce: Callable[[str], None] = lambda _line: None,
) -> Desk:
    """A desk from files: ``config`` (default drkit.toml here, if there is one), ``cloud`` (a ready file), ``store`` (a folder).

    DRKIT_STORE and DRKIT_TARGETS (regions with commas between) stand in for ``store`` and ``targets`` of the settings.

    FileError for settings that cannot be used.
    """
    path = Path(config) if config else Path("drkit.toml")
    settings = settings_.load(path, tables()) if config or os.path.lexists(path) else Settings()
    if targets := os.environ.get("DRKIT_TARGETS", "").strip():
        settings = settings_.with_targets(settings, targets.split(","), "DRKIT_TARGETS")
    folder = store or os.environ.get("DRKIT_STORE", "").strip() or settings.store_location or ".drkit"
    if folder.startswith(("https://", "http://127.0.0.1:")):
        return Desk(settings, _account(folder, settings), _finder(cloud, settings, announce))
    if os.path.lexists(folder) and not Path(folder).is_dir():
        raise FileError("is not a folder", where=folder, remedy="name a folder with --store")
    return Desk(settings, Store(Path(folder)), _finder(cloud, settings, announce))


def _account(address: str, settings: Settings) -> Store:
    """The store in a storage account, signed in to as [cloud] says: it stays where it is when a command plays on a simulator.

    An address without TLS is only ever an emulator's on this machine.
    """
    if address.startswith("https://") and urlsplit(address).path.strip("/"):
        raise UsageError(
            "a store is a folder, or the address of a storage account without a path",
            where=address,
            remedy="--store https://ACCOUNT.blob.core.windows.net",
        )
    try:
        from drkit.providers.blob import open_store
    except ImportError as error:
        raise UsageError(
            "a store in a storage account needs azure-storage-blob", where=address, remedy="pip install 'drkit[blob]'"
        ) from error
    table = settings.cloud_table()
    return open_store(address, clouds.from_table(table) if table else clouds.public())


def _finder(cloud: str | None, settings: Settings, announce: Callable[[str], None]) -> Callable[[], Cloud]:
    def find() -> Cloud:
        found = clouds.resolve(cloud, settings.cloud_table())
        announce(found.announce())
        return found

    return find
