"""Which cloud a command talks to, and why that one. Imports no Azure SDK.

docs/configuration.md ("[cloud]") says which setting, option or variable chooses it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from drkit.errors import FileError, RefusedError, UsageError
from drkit.model import files, suggest
from drkit.model.clock import Clock, SimulatedClock, SystemClock, parse_time

CredentialName = Literal["auto", "azure-cli", "azure-pipelines", "managed-identity", "workload-identity", "environment"]
PUBLIC_ARM = "https://management.azure.com"
PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
NAMED: Mapping[str, Mapping[str, str]] = {
    "AzureCloud": {"name": "public Azure", "arm": PUBLIC_ARM, "authority": PUBLIC_AUTHORITY},
    "AzureUSGovernment": {
        "name": "Azure US Government",
        "arm": "https://management.usgovcloudapi.net",
        "authority": "https://login.microsoftonline.us",
        "scope": "https://management.core.usgovcloudapi.net/.default",
    },
    "AzureChinaCloud": {
        "name": "Azure China",
        "arm": "https://management.chinacloudapi.cn",
        "authority": "https://login.chinacloudapi.cn",
    },
}
"""The named clouds, with the names of ``az cloud list`` and the endpoints of azure-mgmt-core and azure-identity."""


class Hosts(msgspec.Struct, frozen=True):
    """The hosts of one named cloud that drkit may send a credential to.

    ``arm`` is Resource Manager's host (its regions are subdomains of it); ``authorities`` issue tokens; ``audiences`` are the hosts
    that a scope for Resource Manager may name; ``stores`` are the suffixes of blob services.
    """

    arm: str
    authorities: frozenset[str]
    audiences: frozenset[str]
    stores: tuple[str, ...]


HOSTS: Mapping[str, Hosts] = {
    "AzureCloud": Hosts(
        arm="management.azure.com",
        authorities=frozenset({"login.microsoftonline.com", "login.microsoft.com", "login.windows.net"}),
        audiences=frozenset({"management.azure.com", "management.core.windows.net"}),
        stores=(".blob.core.windows.net", ".blob.storage.azure.net"),
    ),
    "AzureUSGovernment": Hosts(
        arm="management.usgovcloudapi.net",
        authorities=frozenset({"login.microsoftonline.us"}),
        audiences=frozenset({"management.usgovcloudapi.net", "management.core.usgovcloudapi.net"}),
        stores=(".blob.core.usgovcloudapi.net",),
    ),
    "AzureChinaCloud": Hosts(
        arm="management.chinacloudapi.cn",
        authorities=frozenset({"login.chinacloudapi.cn", "login.partner.microsoftonline.cn"}),
        audiences=frozenset({"management.chinacloudapi.cn", "management.core.chinacloudapi.cn"}),
        stores=(".blob.core.chinacloudapi.cn",),
    ),
}
"""By name of ``NAMED``. Sources: ``az cloud show``, https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
(sign-in endpoints) and https://learn.microsoft.com/azure/storage/common/storage-account-overview (accounts with DNS zone endpoints:
``ACCOUNT.zNN.blob.storage.azure.net``)."""
ACCOUNT = re.compile(r"[a-z0-9]{3,24}(-secondary)?")
ZONED = re.compile(r"[a-z0-9]{3,24}(-secondary)?\.z[0-9]{1,2}")
ALSO_CALLED = {
    "public": "AzureCloud",
    "usgovernment": "AzureUSGovernment",
    "usgov": "AzureUSGovernment",
    "china": "AzureChinaCloud",
}


class CloudMark(msgspec.Struct, frozen=True):
    """The cloud that a file was made for: ARM endpoint, tenant (empty: unknown), and whether it was a simulator."""

    arm: str
    tenant: str = ""
    simulated: bool = False


class ClockSpec(msgspec.Struct, frozen=True):
    """A simulator's clock: origin + speed x (wall - started)."""

    origin: str
    started: str
    speed: float


class Principal(msgspec.Struct, frozen=True):
    """An identity of a simulator's directory."""

    client_id: str
    client_secret: str
    object_id: str = ""


class ReadyFile(msgspec.Struct, frozen=True):
    """What `drkit simulate --ready FILE` writes when the simulator answers."""

    arm: str
    authority: str
    ca_bundle: str
    tenant: str
    client_id: str
    client_secret: str
    principals: dict[str, Principal]
    subscriptions: list[str]
    services: dict[str, str]
    control: str
    pid: int
    clock: ClockSpec


class Cloud(msgspec.Struct, frozen=True):
    """One cloud: endpoints, how to get a token, its clock, and ``why`` it was chosen (for people).

    ``services`` maps a public host name to a URL on a simulator's loopback port. ``client_secret`` is a simulator's, never a real one.
    """

    name: str
    arm: str
    authority: str
    why: str
    tenant: str = ""
    ca_bundle: str = ""
    scope: str = ""
    credential: CredentialName = "auto"
    client_id: str = ""
    client_secret: str = ""
    service_connection: str = ""
    services: dict[str, str] = {}
    subscriptions: tuple[str, ...] = ()
    simulated: bool = False
    control: str = ""
    clock_spec: ClockSpec | None = None

    @property
    def mark(self) -> CloudMark:
        """What the files that are made for this cloud name it by."""
        return CloudMark(self.arm.rstrip("/").lower(), self.tenant.lower(), self.simulated)

    @property
    def token_scope(self) -> str:
        """The scope of tokens: the one in settings, else that of the named cloud whose ARM this is, else ARM's own address."""
        name = named_arm(self.arm)
        if self.scope or not name:
            return self.scope or f"{self.arm.rstrip('/')}/.default"
        return NAMED[name].get("scope") or f"{NAMED[name]['arm']}/.default"

    def clock(self) -> Clock:
        """Real time, or the simulator's."""
        if self.clock_spec is None:
            return SystemClock()
        spec = self.clock_spec
        return SimulatedClock(parse_time(spec.origin), parse_time(spec.started), spec.speed)

    def announce(self) -> str:
        """The first line of every command that needs a cloud."""
        return f"cloud: {'SIMULATED ' if self.simulated else ''}{self.name} ({self.arm}), {self.why}"


def public(why: str = "the default") -> Cloud:
    """Public Azure."""
    return Cloud(name="public Azure", arm=PUBLIC_ARM, authority=PUBLIC_AUTHORITY, why=why)


def resolve(
    option: str | None, configured: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None
) -> Cloud:
    """The cloud of --cloud FILE or NAME, else of DRKIT_CLOUD, else of the [cloud] table of drkit.toml, else public Azure.

    A named cloud has the endpoints and scope of its name; the rest (credential, tenant) is from [cloud]. FileError for a ready
    file that cannot be read, RefusedError for one whose process has ended, UsageError for a [cloud] that cannot be used.
    """
    env = os.environ if environ is None else environ
    for choice, why in ((option, "from --cloud"), (env.get("DRKIT_CLOUD"), "from DRKIT_CLOUD")):
        if choice:
            name = named(choice)  # a ready file of that name is given as ./NAME
            return _named(name, configured or {}, why) if name else from_ready_file(Path(choice), why)
    if configured:
        return from_table(configured)
    return public()


def named(text: str) -> str:
    """The key in ``NAMED`` of the cloud that ``text`` names; empty for none."""
    plain = "".join(text.split()).lower()
    return ALSO_CALLED.get(plain) or next((name for name in NAMED if name.lower() == plain), "")


def host_of(url: str) -> str:
    """``host`` of an https URL in lower case, or ``host:port`` where the port is not 443; empty for any other text."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    if not host or parts.scheme.lower() != "https" or parts.username is not None:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, 443) else f"{shown}:{port}"


def named_arm(url: str) -> str:
    """The name of the cloud whose Resource Manager, or a region of it, has that URL; empty for none."""
    host = host_of(url)
    return next((name for name, hosts in HOSTS.items() if host == hosts.arm or host.endswith(f".{hosts.arm}")), "")


def named_authority(url: str) -> str:
    """The name of the cloud whose tokens are issued at that URL; empty for none."""
    host = host_of(url)
    return next((name for name, hosts in HOSTS.items() if host in hosts.authorities), "")


def named_store(url: str) -> str:
    """The name of the cloud in which a storage account has a blob service at that URL; empty for none."""
    host = host_of(url)
    for name, hosts in HOSTS.items():
        for suffix in hosts.stores:
            account = ZONED if suffix == ".blob.storage.azure.net" else ACCOUNT
            if host.endswith(suffix) and account.fullmatch(host.removesuffix(suffix)):
                return name
    return ""


def _scope_fits(scope: str, arm: str) -> bool:
    """Whether a token of that scope is meant for that ARM.

    An Azure Stack Hub's audience is an application of the customer's directory, or a host in the domain of its ARM.
    https://learn.microsoft.com/azure-stack/operator/azure-stack-validate-identity
    """
    asked, host = urlsplit(scope).hostname or "", urlsplit(arm).hostname or ""
    cloud = named_arm(arm)
    if cloud:
        return host_of(scope) in HOSTS[cloud].audiences
    beside = host.partition(".")[2]
    return host_of(scope) != "" and (
        asked == host or asked.endswith(".onmicrosoft.com") or ("." in beside and asked.endswith(f".{beside}"))
    )


def _named(name: str, configured: Mapping[str, Any], why: str) -> Cloud:
    others = {key: value for key, value in configured.items() if key not in ("name", "arm", "authority", "scope")}
    return from_table({**others, **NAMED[name], "why": why})


def from_table(table: Mapping[str, Any]) -> Cloud:
    """The cloud of a [cloud] table, already checked by ``settings``. UsageError for an unknown name without endpoints, and for
    endpoints that do not belong together.
    """
    if table.get("name") and not table.get("arm"):
        name = named(str(table["name"]))
        if not name:
            raise UsageError(
                f"there is no cloud {table['name']!r}{_near(str(table['name']))}",
                where="drkit.toml: [cloud] name",
                remedy=f"one of: {', '.join(NAMED)}; or give arm and authority too",
            )
        table = {**table, **NAMED[name]}
    base = {"name": "Azure", "arm": PUBLIC_ARM, "authority": PUBLIC_AUTHORITY, "why": "from [cloud] in drkit.toml"}
    values = {**base, **{key: value for key, value in table.items() if value not in (None, "")}}
    if not str(values["arm"]).startswith("https://") or not str(values["authority"]).startswith("https://"):
        raise UsageError(
            "an endpoint must begin with https://", where="drkit.toml: [cloud]", remedy="correct arm, authority"
        )
    cloud = msgspec.convert(values, Cloud)
    arm, authority = named_arm(cloud.arm), named_authority(cloud.authority)
    if arm and authority and arm != authority:
        raise UsageError(
            f"arm is {NAMED[arm]['name']}'s and authority {NAMED[authority]['name']}'s",
            where="drkit.toml: [cloud]",
            remedy=f'name = "{arm}" sets both',
        )
    if cloud.scope and not _scope_fits(cloud.scope, cloud.arm):
        raise UsageError(
            f"tokens for {host_of(cloud.scope) or cloud.scope} are not meant for {host_of(cloud.arm) or cloud.arm}, so none is sent there",
            where="drkit.toml: [cloud] scope",
            remedy=f"leave scope out: it is {msgspec.structs.replace(cloud, scope='').token_scope} then",
        )
    return cloud


def _near(text: str) -> str:
    nearest = suggest.near(text, NAMED)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def from_ready_file(path: Path, why: str) -> Cloud:
    """The cloud that a ready file describes. FileError for a file that cannot be used, RefusedError when its process has ended."""
    remedy = ""
    if not path.is_file():
        remedy = f"start `drkit simulate --ready FILE` first, or name a cloud: {', '.join(NAMED)}{_near(str(path))}"
    content = files.read(path, own=True, remedy=remedy)
    try:
        ready = msgspec.json.decode(content, type=ReadyFile)
        fault = _ready_fault(ready)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = str(error) if content.strip() else "it is empty"
    if fault:
        raise FileError(
            f"is not a ready file: {fault}", where=str(path), remedy="it is written by `drkit simulate --ready FILE`"
        )
    if not alive(ready.pid):
        raise RefusedError(
            f"the simulator that wrote this file is gone (process {ready.pid})",
            where=str(path),
            remedy="start `drkit simulate --ready FILE` again, or unset DRKIT_CLOUD",
        )
    return from_ready(ready, why)


def _ready_fault(ready: ReadyFile) -> str:
    """What makes a ready file unusable; empty when it can be used."""
    for name, url in (("arm", ready.arm), ("authority", ready.authority), ("control", ready.control)):
        if not url.startswith("https://"):
            return f"{name} is {url!r}, not an https:// address"
    if not (ready.client_id and ready.client_secret):
        return "it has no client_id, or no client_secret: a simulated cloud gets its own identity, never yours"
    try:
        SimulatedClock(parse_time(ready.clock.origin), parse_time(ready.clock.started), ready.clock.speed).now()
    except (ValueError, OverflowError) as error:
        return f"clock: {error}"
    return ""


def from_ready(ready: ReadyFile, why: str) -> Cloud:
    """The cloud that a running simulator describes."""
    return Cloud(
        name="embedded Azure",
        arm=ready.arm,
        authority=ready.authority,
        why=why,
        tenant=ready.tenant,
        ca_bundle=ready.ca_bundle,
        client_id=ready.client_id,
        client_secret=ready.client_secret,
        services=ready.services,
        subscriptions=tuple(ready.subscriptions),
        simulated=True,
        control=ready.control,
        clock_spec=ready.clock,
    )


def alive(pid: int) -> bool:
    """Whether a process with that id exists on this machine."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def check_same(mark: CloudMark, cloud: Cloud, path: str) -> None:
    """RefusedError (exit code 4) when a file that was made for one cloud is used with another."""
    ours = cloud.mark
    same_tenant = not mark.tenant or not ours.tenant or mark.tenant == ours.tenant
    if mark.arm == ours.arm and mark.simulated == ours.simulated and same_tenant:
        return
    raise RefusedError(
        f"was made against {mark.arm}{' (SIMULATED)' if mark.simulated else ''} tenant {mark.tenant or '?'}, "
        f"not {ours.arm}{' (SIMULATED)' if ours.simulated else ''} tenant {ours.tenant or '?'}",
        where=path,
        remedy="choose the same cloud with --cloud, or create the file again",
    )


def age_text(since: datetime, now: datetime) -> str:
    """``3 h 20 min``: how long ago, for people."""
    minutes = max(0, int((now - since).total_seconds() // 60))
    days, remaining = divmod(minutes, 1440)
    hours, minutes_left = divmod(remaining, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes_left} min" if hours else f"{minutes_left} min"
