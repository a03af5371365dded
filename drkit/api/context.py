"""What a command works with: settings, store and cloud."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from drkit import products
from drkit.api import trusted_hosts
from drkit.errors import FileError, UsageError
from drkit.model import actions
from drkit.model import cloud as clouds
from drkit.model import settings as settings_
from drkit.model.clock import Clock
from drkit.model.cloud import Cloud, Principal
from drkit.model.settings import Settings
from drkit.products import tables
from drkit.store.store import Store

if TYPE_CHECKING:
    from drkit.providers.session import Session


@dataclass(frozen=True)
class Context:
    """What a command works with: settings, store, and the cloud, which is looked up when first needed.

    ``loopback_only``: refuse every connection that is not loopback. ``principal``: the identity to use in a simulator. ``own_clock``: a
    clock to use instead of the cloud's.
    """

    settings: Settings
    store: Store
    find_cloud: Callable[[], Cloud]
    loopback_only: bool = False
    principal: Principal | None = None
    own_clock: Clock | None = None
    _kept: dict[str, Cloud] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let the store refuse every runbook that breaks the table of a product."""
        self.store.judge = lambda book, where: actions.check(book, products.actions(), where)

    @property
    def cloud(self) -> Cloud:
        """The cloud, looked up once. Errors as ``model.cloud.resolve``."""
        if "cloud" not in self._kept:
            self._kept["cloud"] = self.find_cloud()
        return self._kept["cloud"]

    @property
    def clock(self) -> Clock:
        """``own_clock``, or the clock of the cloud."""
        return self.own_clock or self.cloud.clock()


def desk(
    *,
    config: str | None = None,
    cloud: str | None = None,
    store: str | None = None,
    announce: Callable[[str], None] = lambda _line: None,
    announce_store: Callable[[str], None] | None = None,
) -> Context:
    """The context for a command. ``config``: the settings file (default: drkit.toml in the current folder, if it exists).

    ``cloud``: a simulator's ready file, or the name of a cloud. ``store``: a folder, or the address of a storage account. DRKIT_STORE and
    DRKIT_TARGETS (regions, separated by commas) replace ``store`` and ``targets`` of the settings. ``announce`` is called with a line
    about the cloud when it is looked up, and with one about a storage account at once, unless ``announce_store`` is given.

    FileError for settings or a store that cannot be used; UsageError for a wrong address; RefusedError for a drkit.toml that nobody named
    and that would send credentials to other hosts than those of the known clouds.
    """
    path = Path(config) if config else Path("drkit.toml")
    settings = settings_.load(path, tables()) if config or os.path.lexists(path) else Settings()
    if not config:
        _check_found(settings)
    if targets := os.environ.get("DRKIT_TARGETS", "").strip():
        settings = settings_.with_targets(settings, targets.split(","), "DRKIT_TARGETS")
    given = os.environ.get("DRKIT_STORE", "").strip()
    folder, why = (store, "from --store") if store else (given, "from DRKIT_STORE")
    if not folder:
        folder, why = settings.store_location or ".drkit", f"from {settings.path}"
    find = _finder(cloud, settings, announce)
    if address := store_address(folder):
        (announce_store or announce)(f"store: {address}, {why}")
        return Context(settings, _account(address, settings), find)
    if os.path.lexists(folder) and not Path(folder).is_dir():
        raise FileError("is not a folder", where=folder, remedy="name a folder with --store")
    # A store that nobody named, but that was found here, must belong to this user.
    return Context(settings, Store(Path(folder), own=not (store or given or config)), find)


def reading_session(context: Context) -> Session:
    """A session with Azure that can only read, and run the probes."""
    from drkit.model import host_scripts
    from drkit.products import reading_posts
    from drkit.providers.guard import ReadingPosts, reading_guard
    from drkit.providers.retry import Budget
    from drkit.providers.session import Session

    reads = reading_posts()
    probes = frozenset(host_scripts.load(name).sha256 for name in host_scripts.PROBES.values())
    return Session(
        context.cloud,
        clock=context.clock,
        guard=reading_guard(ReadingPosts(reads.actions, probes)),
        reads=reads,
        loopback_only=context.loopback_only,
        principal=context.principal,
        budget=Budget(seconds=context.settings.run.request_budget_seconds),
    )


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]")
_BLOB_HOST = re.compile(r"(//|\\\\)?[a-z0-9-]+\.(z[0-9]+\.)?blob\.[a-z0-9.-]+[/\\]?", re.IGNORECASE)


def store_address(text: str) -> str:
    """The address of the storage account that a text names, normalized; empty for a folder.

    UsageError for an address in another spelling: if it were taken for a folder, locks and approvals would be where nobody looks.
    """
    text = text.strip()
    if not _SCHEME.match(text) and not (_BLOB_HOST.fullmatch(text) and not os.path.lexists(text)):
        return ""
    if text.startswith("http://127.0.0.1:"):
        return text  # an emulator's
    if not re.match("https://", text, re.IGNORECASE) or not clouds.host_of(text):
        raise UsageError(
            "is not the address of a storage account, and is not taken for a folder",
            where=text,
            remedy="https://ACCOUNT.blob.core.windows.net; or ./NAME for a folder of such a name",
        )
    return f"https://{clouds.host_of(text)}{urlsplit(text).path.rstrip('/')}"


def _check_found(settings: Settings) -> None:
    """RefusedError for settings that nobody named and that would send a credential to a host of no known cloud."""
    strange: list[tuple[str, str]] = []
    authority = settings.cloud.authority or _named_part(settings, "authority") or clouds.PUBLIC_AUTHORITY
    if (address := store_address(settings.store_location)) and (
        clouds.named_store(address) != clouds.named_authority(authority) or not clouds.named_authority(authority)
    ):
        strange.append(("store", clouds.host_of(address)))
    for key, value in settings_.addresses(settings, tables()):
        known = {"cloud.arm": clouds.named_arm, "cloud.authority": clouds.named_authority}.get(key)
        if known is None or not known(value):
            strange.append((key, clouds.host_of(value) or value.lower()))
    if settings.cloud.ca_bundle:
        strange.append(("cloud.ca_bundle", str(Path(settings.beside(settings.cloud.ca_bundle)).absolute())))
    if strange:
        trusted = trusted_hosts.load(trusted_hosts.place())
        if not trusted.holds(Path(settings.path).absolute().parent):
            trusted_hosts.refuse(settings.path, [named for named in strange if named[1] not in trusted.hosts], trusted)


def _named_part(settings: Settings, part: str) -> str:
    """The endpoint that the name in [cloud] means, unless [cloud] gives an arm itself."""
    name = "" if settings.cloud.arm else clouds.named(settings.cloud.name)
    return clouds.NAMED[name][part] if name else ""


def _account(address: str, settings: Settings) -> Store:
    """The store in a storage account, with the credential of [cloud], even when the command uses a simulator as its cloud.

    Only an emulator on this machine has an address without TLS.
    """
    if address.startswith("https://") and urlsplit(address)[2:] != ("", "", ""):
        raise UsageError(
            "a store is a folder, or the address of a storage account without a path",
            where=address,
            remedy="--store https://ACCOUNT.blob.core.windows.net",
        )
    try:
        from drkit.providers.blob_store import open_store
    except ImportError as error:
        raise UsageError(
            "a store in a storage account needs azure-storage-blob", where=address, remedy="pip install 'drkit[blob]'"
        ) from error
    table = settings.cloud_table()
    return open_store(address, clouds.from_table(table) if table else clouds.public())


def _finder(cloud: str | None, settings: Settings, announce: Callable[[str], None]) -> Callable[[], Cloud]:
    def find() -> Cloud:
        chosen = clouds.resolve(cloud, settings.cloud_table())
        announce(chosen.announce())
        return chosen

    return find
