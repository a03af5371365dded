"""drkit.toml: what people choose. Read, checked whole, and handed on as values.

Every key has a default, so an empty file and no file are the same settings. Every fault is reported at once, with its
line. docs/configuration.md describes the keys; docs/drkit.sample.toml holds each of them.
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
from drkit.model.estate import region_name
from drkit.model.toml_faults import Fault

Kind = Literal["azure-vm", "arc", "physical"]
Channel = Literal["", "run-command", "ssh", "manual"]
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
Region = Annotated[
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
Endpoint = Annotated[
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
    """[cloud]: which cloud, and how to get a token. Empty means what public Azure has."""

    name: str = ""
    arm: Endpoint = ""
    authority: Endpoint = ""
    tenant: str = ""
    ca_bundle: str = ""
    scope: str = ""
    credential: CredentialName = "auto"
    client_id: str = ""
    service_connection: str = ""


class ObjectiveSettings(Table, frozen=True):
    """[objectives]: recovery time and recovery point, what the owner promised."""

    recovery_time_minutes: Minutes = 240.0
    recovery_point_minutes: Minutes = 1440.0


class AdviceSettings(Table, frozen=True):
    """[advice]: what wait-or-move reckons with."""

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
    devops_status: Endpoint = ""


class ChannelSettings(Table, frozen=True):
    """[channels]: how to run a command on hosts of each kind; empty: not at all, so no probe either."""

    azure_vm: Channel = ""
    arc: Channel = ""
    physical: Literal["", "ssh", "manual"] = ""


class RunSettings(Table, frozen=True):
    """[run]: how apply goes about it."""

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
    """[check]: what `drkit check` holds the estate to. ``machine``: where drkit runs on the night, a region or ``imds``."""

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
    """[[host]]: a host, the environment on it, and the way to it. ``environment`` is a name or an id; no ``product``: of whichever."""

    id: Given
    environment: str = ""
    kind: Literal["", "azure-vm", "arc", "physical"] = ""
    channel: Channel = ""
    user: str = ""
    workspace: str = ""
    os: Literal["linux", "windows"] = "linux"
    product: str = ""

    @property
    def host_kind(self) -> Kind:
        """The kind as written, else as the id tells it: an ARM id names its type, a plain name is a physical server."""
        return self.kind or kind_of(self.id) or "physical"


class SettingsFile(Table, frozen=True):
    """What a drkit.toml may hold."""

    store: str = ""
    targets: list[Region] = []
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
    """Settings as checked; ``Settings()`` is all defaults.

    ``path`` is the file they came from, empty for none. ``targets`` are in Azure's short form (``westeurope``), in
    order of preference; ``subscriptions`` are in lower case. ``products`` holds what differs from a product's
    defaults: read it with ``product``.
    """

    path: str = ""

    @property
    def digest(self) -> str:
        """sha256 over what the settings say, the same for any way of writing it down."""
        content = msgspec.to_builtins(self)
        content.pop("path", None)
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()

    def product(self, name: str, type_: type[T]) -> T:
        """The table [products.NAME] with defaults filled in."""
        return msgspec.convert(self.products.get(name, {}), type_)

    def channel(self, host: HostSettings) -> Channel:
        """The way to a host: its own, else that of its kind; empty for none."""
        by_kind: dict[Kind, Channel] = {
            "azure-vm": self.channels.azure_vm,
            "arc": self.channels.arc,
            "physical": self.channels.physical,
        }
        return host.channel or by_kind[host.host_kind]

    def beside(self, name: str) -> Path:
        """A path written in the file: ``~`` is the home folder, and a relative one starts at the file's folder."""
        path = Path(name).expanduser()
        return path if path.is_absolute() else Path(self.path).parent / path

    @property
    def store_location(self) -> str:
        """``store`` as an https address or a path that holds from anywhere; empty when none is set."""
        if not self.store or "://" in self.store:
            return self.store
        return str(self.beside(self.store))

    def cloud_table(self) -> dict[str, str]:
        """What [cloud] sets apart from the defaults, for ``cloud.resolve``; empty when it sets nothing."""
        table: dict[str, str] = _differing(self.cloud)
        if self.cloud.ca_bundle:
            table["ca_bundle"] = str(self.beside(self.cloud.ca_bundle))
        return table


def load(path: Path, products: Mapping[str, type[msgspec.Struct]] = NONE) -> Settings:
    """The settings in a file. FileError, naming every fault with its line, for one that cannot be used.

    ``products`` as of ``parse``. What settings say steers credentials: another user's file, and one that others may write,
    is a FileError too.
    """
    remedy = "" if path.is_file() else "name a file; docs/drkit.sample.toml is one to begin with"
    raw = files.read(path, own=True, remedy=remedy)
    return parse(toml_faults.decode(raw, str(path)), str(path), products)


def parse(text: str, where: str, products: Mapping[str, type[msgspec.Struct]] = NONE) -> Settings:
    """The settings in a text; ``where`` is the file's name for messages, and becomes ``path``.

    ``products`` names the product tables that may appear, each with its struct, whose keys all have defaults.
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
    given = {name: _differing(settings.product(name, products[name])) for name in settings.products}
    return msgspec.structs.replace(
        settings,
        path=where,
        targets=[region_name(name) for name in settings.targets],
        subscriptions=[name.lower() for name in settings.subscriptions],
        products={name: values for name, values in given.items() if values},
    )


def addresses(settings: Settings, products: Mapping[str, type[msgspec.Struct]] = NONE) -> list[tuple[str, str]]:
    """Each key that leads drkit to a host of the settings' own choice, with the host or address as it stands there.

    These are all values of the types ``Endpoint`` and ``HostName`` that differ from their default, in products' tables too.
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
        if field.type in (Endpoint, HostName) and getattr(struct, field.name) not in ("", field.default)
    ]


def with_targets(settings: Settings, targets: Sequence[str], where: str) -> Settings:
    """The settings with other target regions. FileError when one is no region or is named twice."""
    names = [one.strip() for one in targets]
    text = f"targets = {msgspec.json.encode(names).decode()}\n"
    return msgspec.structs.replace(settings, targets=parse(text, where).targets)


def kind_of(host: str) -> Kind | None:
    """What an ARM id says about the kind of a host; None for an id of another type, and for a plain name."""
    found = _ARM_ID.match(host)
    return _KINDS.get(found[1].lower()) if found else None


def _differing(table: msgspec.Struct) -> dict[str, Any]:
    """What a table sets apart from its defaults."""
    values, defaults = msgspec.to_builtins(table), msgspec.to_builtins(type(table)())
    return {key: value for key, value in values.items() if value != defaults[key]}


_ARM_ID = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/([^/]+/[^/]+)/[^/]+\Z", re.IGNORECASE)
_KINDS: dict[str, Kind] = {"microsoft.compute/virtualmachines": "azure-vm", "microsoft.hybridcompute/machines": "arc"}


def _homes(products: Mapping[str, type[msgspec.Struct]]) -> dict[str, str]:
    """Key -> where it belongs, for keys that belong in one table only."""
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
) -> list[Fault]:
    faults: list[Fault] = []
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if name in products:
            if isinstance(table, dict):
                faults += toml_faults.check(table, products[name], ("products", name), homes)
        else:
            faults.append(Fault(("products", name), _unknown_product(name, products)))
    return faults


def _unknown_product(name: str, products: Mapping[str, object]) -> str:
    near = suggest.remedy(name, products, f"known: {', '.join(sorted(products))}")
    return f"drkit knows no product {toml_faults.quoted(name)}; {near}"


def _store_faults(store: object) -> list[Fault]:
    if not isinstance(store, str) or "://" not in store:
        return []
    if "?" in store or "@" in store:
        return [Fault(("store",), f"an address without what follows a ? or stands before an @; {toml_faults.SECRETS}")]
    if not store.lower().startswith("https://"):
        return [Fault(("store",), "must be a folder, or an address that begins with https://")]
    return []


def _twice(values: object, key: str, normal: Any) -> list[Fault]:
    faults: list[Fault] = []
    seen: set[str] = set()
    for index, value in enumerate(values if isinstance(values, list) else ()):
        if isinstance(value, str):
            if normal(value) in seen:
                faults.append(Fault((key, index), f"{toml_faults.quoted(value)} stands here twice; leave one out"))
            seen.add(normal(value))
    return faults


def _host_faults(entries: object, products: Mapping[str, object]) -> list[Fault]:
    faults: list[Fault] = []
    claimed: dict[tuple[str, str], str] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        at = ("host", index)
        values = {key: value for key, value in entry.items() if isinstance(value, str)}
        host, product = values.get("id", ""), values.get("product", "")
        if product and product not in products:
            faults.append(Fault((*at, "product"), _unknown_product(product, products)))
        if host:
            faults += [Fault((*at, key), what) for key, what in _host_entry_faults(host, values)]
        environment = values.get("environment", "")
        claim = (product, environment.casefold() or f"on {host.casefold()}")
        if claim in claimed:
            what = f"environment {toml_faults.quoted(environment)} is claimed" if environment else "this host is named"
            where = f", by {toml_faults.quoted(claimed[claim])} before" if environment else ""
            faults.append(Fault((*at, "environment"), f"{what} twice{where}; leave one entry"))
        claimed.setdefault(claim, host)
    return faults


def _host_entry_faults(host: str, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """(key, what is wrong) of an entry whose parts contradict each other."""
    kind, told = values.get("kind", ""), kind_of(host)
    if "/" in host and not told:
        what = "is neither a plain name nor the full ARM id (/subscriptions/...) of a virtual machine or an Arc machine"
        return [("id", f"{toml_faults.quoted(host)} {what}")]
    faults = []
    if told and kind in ("azure-vm", "arc", "physical") and kind != told:
        faults.append(("kind", f'is "{kind}", but the id is that of kind "{told}"; leave kind out'))
    if not told and kind in ("azure-vm", "arc"):
        faults.append(("id", f'a host of kind "{kind}" is named by its full ARM id (/subscriptions/...)'))
    if (kind or told or "physical") == "physical" and values.get("channel") == "run-command":
        faults.append(("channel", 'a physical server has no run command; use "ssh", "manual" or ""'))
    return faults
