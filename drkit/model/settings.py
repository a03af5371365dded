"""drkit.toml: read, checked as a whole, and turned into values.

Every key has a default, so an empty file and no file give the same settings. All faults are reported at once, with their lines.
docs/configuration.md describes the keys; docs/drkit.sample.toml has all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from drkit.model import files, suggest, toml_faults
from drkit.model.cloud import CredentialName
from drkit.model.estate import Channel, HostKind, region_name
from drkit.model.toml_faults import TomlFault

T = TypeVar("T", bound=msgspec.Struct)
NONE: Mapping[str, type[msgspec.Struct]] = MappingProxyType({})

YEAR_MINUTES = 525_600
Minutes = Annotated[
    float, Meta(gt=0, le=YEAR_MINUTES, extra={"allowed": "a number of minutes above 0, at most a year"})
]
MinutesOrNone = Annotated[float, Meta(ge=0, le=YEAR_MINUTES, extra={"allowed": "a number of minutes, 0 or more"})]
Seconds = Annotated[float, Meta(gt=0, le=86_400, extra={"allowed": "a number of seconds above 0, at most a day"})]
Share = Annotated[float, Meta(ge=0, le=1, extra={"allowed": "a share between 0 and 1"})]
Count = Annotated[int, Meta(ge=1, le=100_000, extra={"allowed": "a whole number, 1 or more"})]
Width = Annotated[int, Meta(ge=1, le=64, extra={"allowed": "a whole number from 1 to 64"})]
RegionText = Annotated[
    str,
    Meta(pattern=r"^ *[A-Za-z][A-Za-z0-9 ]*$", extra={"allowed": 'a region, such as "westeurope" or "West Europe"'}),
]
Guid = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
        extra={"allowed": 'a subscription id, such as "00000000-0000-0000-0000-000000000000"'},
    ),
]
HttpsAddress = Annotated[
    str,
    Meta(
        pattern=r"^$|^https://[^/?#@\s]+(/[^?#@\s]*)?$",
        extra={"allowed": 'an address that begins with https:// and holds no user name, "?" or "#"'},
    ),
]
HostName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        extra={"allowed": "a host name, without https:// and path"},
    ),
]
HostPath = Annotated[
    str, Meta(pattern=r"^(~/|/)[^/]", extra={"allowed": 'a path on the host that begins with "/" or "~/"'})
]
Waves = Annotated[list[Count], Meta(min_length=1, extra={"allowed": "a list of whole numbers, each 1 or more"})]
Given = Annotated[
    str, Meta(min_length=1, extra={"allowed": "the full ARM id of the host, or a physical server's name"})
]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of drkit.toml."""


class CloudSettings(Table, frozen=True):
    """[cloud]: which cloud, and how to get a token. An empty value means that of public Azure."""

    name: str = ""
    arm: HttpsAddress = ""
    authority: HttpsAddress = ""
    tenant: str = ""
    ca_bundle: str = ""
    scope: str = ""
    credential: CredentialName = "auto"
    client_id: str = ""
    service_connection: str = ""


class ObjectiveSettings(Table, frozen=True):
    """[objectives]: recovery time and recovery point objectives."""

    recovery_time_minutes: Minutes = 240.0
    recovery_point_minutes: Minutes = 1440.0


class AdviceSettings(Table, frozen=True):
    """[advice]: what the advice to wait or to move is calculated with."""

    expected_outage_minutes: Minutes = 240.0
    decision_minutes: MinutesOrNone = 15.0


class AssessSettings(Table, frozen=True):
    """[assess]: when readings become verdicts."""

    grace_minutes: MinutesOrNone = 15.0
    region_min_hosts: Count = 3
    region_share: Share = 0.8
    fresh_minutes: Minutes = 20.0
    provisional_minutes: MinutesOrNone = 20.0
    trust_registration: bool = False
    probe_timeout_seconds: Seconds = 120.0
    devops_status: HttpsAddress = ""


class ChannelSettings(Table, frozen=True):
    """[channels]: how to run a command on hosts of each kind. Empty: not at all, so there is no probe either."""

    azure_vm: Channel = ""
    arc: Channel = ""
    physical: Literal["", "ssh", "manual"] = ""


class RunSettings(Table, frozen=True):
    """[run]: how `drkit apply` works."""

    concurrency: Width = 8
    subscription_concurrency: Width = 8
    waves: Waves = msgspec.field(default_factory=lambda: [1, 5, 20])
    answer_wait_minutes: MinutesOrNone = 0.0
    sign_in_minutes: Minutes = 30.0
    step_minutes: Minutes = 60.0
    run_minutes: MinutesOrNone = 0.0
    pause_minutes: MinutesOrNone = 60.0
    minimum_share: Share = 0.0
    separate_approver: bool = False
    request_budget_seconds: Seconds = 120.0


class CheckSettings(Table, frozen=True):
    """[check]: what `drkit check` requires of the estate. ``machine``: where drkit runs in an outage, a region or ``imds``."""

    snapshot_hours: Annotated[
        float, Meta(gt=0, le=8784, extra={"allowed": "a number of hours above 0, at most a year"})
    ] = 26.0
    roles: list[Literal["planner", "prober", "operator"]] = []
    machine: Annotated[
        str,
        Meta(
            pattern=r"^$|^ *[A-Za-z][A-Za-z0-9 ]*$",
            extra={"allowed": 'a region, "imds" to ask the virtual machine itself, or "" for not known'},
        ),
    ] = ""
    needs: list[
        Annotated[
            str,
            Meta(
                pattern=r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/[^/]+(/[^/]+/[^/]+)+$",
                extra={"allowed": "the full ARM id of a resource"},
            ),
        ]
    ] = []


class HostSettings(Table, frozen=True):
    """[[host]]: a host, the environment on it, and the channel to it.

    ``environment``: a name or an id; ``product``: its product, empty for any.
    """

    id: Given
    environment: str = ""
    kind: Literal["", "azure-vm", "arc", "physical"] = ""
    channel: Channel = ""
    user: str = ""
    workspace: str = ""
    os: Literal["linux", "windows"] = "linux"
    product: str = ""

    @property
    def host_kind(self) -> HostKind:
        """The kind in the file, else that of the id: an ARM id names its type, a plain name is a physical server."""
        return self.kind or kind_of(self.id) or "physical"


class SettingsFile(Table, frozen=True):
    """The tables and keys of drkit.toml."""

    store: str = ""
    targets: list[RegionText] = []
    subscriptions: list[Guid] = []
    cloud: CloudSettings = CloudSettings()
    objectives: ObjectiveSettings = ObjectiveSettings()
    advice: AdviceSettings = AdviceSettings()
    assess: AssessSettings = AssessSettings()
    channels: ChannelSettings = ChannelSettings()
    run: RunSettings = RunSettings()
    check: CheckSettings = CheckSettings()
    products: dict[str, dict[str, Any]] = {}
    hosts: list[HostSettings] = msgspec.field(name="host", default_factory=list)


class Settings(SettingsFile, frozen=True):
    """Checked settings; ``Settings()`` has all defaults.

    ``path``: the file that they are from, empty for none; ``targets``: region names (``westeurope``), the preferred one first;
    ``subscriptions``: ids in lower case; ``products``: what differs from the products' defaults, to be read with ``product``.
    """

    path: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of the settings, the same for every way to write the same settings."""
        content = msgspec.to_builtins(self)
        content.pop("path", None)
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()

    def product(self, name: str, type_: type[T]) -> T:
        """The table [products.NAME] with its defaults."""
        return msgspec.convert(self.products.get(name, {}), type_)

    def channel(self, host: HostSettings) -> Channel:
        """The channel of a host: its own, else that of its kind; empty for none."""
        by_kind: dict[HostKind, Channel] = {
            "azure-vm": self.channels.azure_vm,
            "arc": self.channels.arc,
            "physical": self.channels.physical,
        }
        return host.channel or by_kind[host.host_kind]

    def beside(self, name: str) -> Path:
        """The path for a name in the file: ``~`` is the home folder, and a relative path starts at the file's folder."""
        path = Path(name).expanduser()
        return path if path.is_absolute() else Path(self.path).parent / path

    @property
    def store_location(self) -> str:
        """``store`` as an https address or an absolute path; empty when none is set."""
        if not self.store or "://" in self.store:
            return self.store
        return str(self.beside(self.store))

    def cloud_table(self) -> dict[str, str]:
        """The keys of [cloud] that differ from the defaults, for ``cloud.resolve``."""
        table: dict[str, str] = _differing(self.cloud)
        if self.cloud.ca_bundle:
            table["ca_bundle"] = str(self.beside(self.cloud.ca_bundle))
        return table


def load(path: Path, products: Mapping[str, type[msgspec.Struct]] = NONE) -> Settings:
    """The settings in a file. FileError, with every fault and its line, for a file that cannot be used.

    ``products``: as of ``parse``. Settings decide where credentials are sent, so another user's file, and one that others may
    write, is a FileError too.
    """
    remedy = "" if path.is_file() else "name a file; docs/drkit.sample.toml is one to begin with"
    raw = files.read(path, own=True, remedy=remedy)
    return parse(toml_faults.decode(raw, str(path)), str(path), products)


def parse(text: str, where: str, products: Mapping[str, type[msgspec.Struct]] = NONE) -> Settings:
    """The settings in a text. FileError with every fault and its line.

    ``where``: the file's name for messages, which becomes ``path``; ``products``: the product tables that may appear, each with its
    struct, all of whose keys have defaults.
    """
    text = text.removeprefix("\ufeff")
    table = toml_faults.parse(text, where)
    homes = _homes(products)
    faults = toml_faults.check(table, SettingsFile, (), homes)
    faults += _product_faults(table.get("products"), products, homes)
    faults += _store_faults(table.get("store"))
    faults += _twice(table.get("targets"), "targets", region_name)
    faults += _twice(table.get("subscriptions"), "subscriptions", str.lower)
    faults += _host_faults(table.get("host"), products)
    if faults:
        toml_faults.refuse(faults, text, where, "docs/configuration.md describes every key")
    settings = msgspec.convert(table, Settings)
    products_set = {name: _differing(settings.product(name, products[name])) for name in settings.products}
    return msgspec.structs.replace(
        settings,
        path=where,
        targets=[region_name(name) for name in settings.targets],
        subscriptions=[name.lower() for name in settings.subscriptions],
        products={name: values for name, values in products_set.items() if values},
    )


def addresses(settings: Settings, products: Mapping[str, type[msgspec.Struct]] = NONE) -> list[tuple[str, str]]:
    """Each key that sends drkit to a host that the settings choose, with that host or address.

    These are the values of the types ``HttpsAddress`` and ``HostName`` that differ from their defaults, in products' tables too.
    """
    tables: list[tuple[str, msgspec.Struct]] = [
        (key, value)
        for key in toml_faults.fields(SettingsFile)
        if isinstance(value := getattr(settings, key, None), msgspec.Struct)
    ]
    tables += [(f"products.{name}", settings.product(name, type_)) for name, type_ in products.items()]
    return [
        (f"{table}.{key}", str(getattr(struct, field.name)))
        for table, struct in tables
        for key, field in toml_faults.fields(type(struct)).items()
        if field.type in (HttpsAddress, HostName) and getattr(struct, field.name) not in ("", field.default)
    ]


def with_targets(settings: Settings, targets: Sequence[str], where: str) -> Settings:
    """The settings with other target regions. FileError for a text that is not a region, and for a region that is named twice."""
    names = [name.strip() for name in targets]
    text = f"targets = {msgspec.json.encode(names).decode()}\n"
    return msgspec.structs.replace(settings, targets=parse(text, where).targets)


def kind_of(host: str) -> HostKind | None:
    """The kind of the host with that ARM id; None for an id of another type, and for a plain name."""
    match = _ARM_ID.match(host)
    return _KINDS.get(match[1].lower()) if match else None


def _differing(table: msgspec.Struct) -> dict[str, Any]:
    """The values of a table that differ from its defaults."""
    values, defaults = msgspec.to_builtins(table), msgspec.to_builtins(type(table)())
    return {key: value for key, value in values.items() if value != defaults[key]}


_ARM_ID = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/([^/]+/[^/]+)/[^/]+\Z", re.IGNORECASE)
_KINDS: dict[str, HostKind] = {
    "microsoft.compute/virtualmachines": "azure-vm",
    "microsoft.hybridcompute/machines": "arc",
}


def _homes(products: Mapping[str, type[msgspec.Struct]]) -> dict[str, str]:
    """Key -> where it belongs, for the keys that belong in one table only."""
    tables: dict[str, type[msgspec.Struct]] = {
        name: field.type for name, field in toml_faults.fields(SettingsFile).items() if isinstance(field.type, type)
    }
    tables = {name: struct for name, struct in tables.items() if issubclass(struct, msgspec.Struct)}
    tables |= {f"products.{name}": struct for name, struct in products.items()}
    homes: dict[str, list[str]] = {
        key: ["at the top of the file, before the first [table]"] for key in ("store", "targets", "subscriptions")
    }
    for name, struct in tables.items():
        for key in toml_faults.fields(struct):
            homes.setdefault(key, []).append(f"in [{name}]")
    return {key: places[0] for key, places in homes.items() if len(places) == 1}


def _product_faults(
    tables: object, products: Mapping[str, type[msgspec.Struct]], homes: Mapping[str, str]
) -> list[TomlFault]:
    faults: list[TomlFault] = []
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if name in products:
            if isinstance(table, dict):
                faults += toml_faults.check(table, products[name], ("products", name), homes)
        else:
            faults.append(TomlFault(("products", name), _unknown_product(name, products)))
    return faults


def _unknown_product(name: str, products: Mapping[str, object]) -> str:
    near = suggest.remedy(name, products, f"known: {', '.join(sorted(products))}")
    return f"drkit knows no product {toml_faults.quoted(name)}; {near}"


def _store_faults(store: object) -> list[TomlFault]:
    if not isinstance(store, str) or "://" not in store:
        return []
    if "?" in store or "@" in store:
        return [TomlFault(("store",), f"must be an address without a part after ? or before @; {toml_faults.SECRETS}")]
    if not store.lower().startswith("https://"):
        return [TomlFault(("store",), "must be a folder, or an address that begins with https://")]
    return []


def _twice(values: object, key: str, normal: Any) -> list[TomlFault]:
    faults: list[TomlFault] = []
    seen: set[str] = set()
    for index, value in enumerate(values if isinstance(values, list) else ()):
        if isinstance(value, str):
            if normal(value) in seen:
                faults.append(TomlFault((key, index), f"{toml_faults.quoted(value)} is here twice; leave one out"))
            seen.add(normal(value))
    return faults


def _host_faults(entries: object, products: Mapping[str, object]) -> list[TomlFault]:
    faults: list[TomlFault] = []
    claimed: dict[tuple[str, str], str] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        at = ("host", index)
        values = {key: value for key, value in entry.items() if isinstance(value, str)}
        host, product = values.get("id", ""), values.get("product", "")
        if product and product not in products:
            faults.append(TomlFault((*at, "product"), _unknown_product(product, products)))
        if host:
            faults += [TomlFault((*at, key), what) for key, what in _host_entry_faults(host, values)]
        environment = values.get("environment", "")
        claim = (product, environment.casefold() or f"on {host.casefold()}")
        if claim in claimed:
            what = f"environment {toml_faults.quoted(environment)} is claimed" if environment else "this host is named"
            where = f", by {toml_faults.quoted(claimed[claim])} before" if environment else ""
            faults.append(TomlFault((*at, "environment"), f"{what} twice{where}; leave one entry"))
        claimed.setdefault(claim, host)
    return faults


def _host_entry_faults(host: str, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """(key, what is wrong) of an entry whose parts contradict each other."""
    kind, id_kind = values.get("kind", ""), kind_of(host)
    if "/" in host and not id_kind:
        what = "is neither a plain name nor the full ARM id (/subscriptions/...) of a virtual machine or an Arc machine"
        return [("id", f"{toml_faults.quoted(host)} {what}")]
    faults = []
    if id_kind and kind in ("azure-vm", "arc", "physical") and kind != id_kind:
        faults.append(("kind", f'is "{kind}", but the id is that of kind "{id_kind}"; leave kind out'))
    if not id_kind and kind in ("azure-vm", "arc"):
        faults.append(("id", f'a host of kind "{kind}" is named by its full ARM id (/subscriptions/...)'))
    if (kind or id_kind or "physical") == "physical" and values.get("channel") == "run-command":
        faults.append(("channel", 'a physical server has no run command; use "ssh", "manual" or ""'))
    return faults
