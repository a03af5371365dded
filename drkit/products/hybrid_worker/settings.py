"""Hybrid workers by their names: in ARM, on their machines, and in drkit.toml."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from drkit.model.estate import Environment
from drkit.model.settings import Minutes, Settings, Table

NAME = "hybrid-worker"
PUBLISHER = "Microsoft.Azure.Automation.HybridWorker"
URL = "AutomationAccountURL"
SERVICE = "Automation: regional service"
EXTENSION = "HybridWorkerExtension"
TYPES = frozenset({"HybridWorkerForLinux", "HybridWorkerForWindows"})

SERVICES = ("azure-automation.net", "azure-automation.us", "azure-automation.cn")
"""Where the regional services of Automation are, in the clouds of Azure: an account's own is a host below one of these.

https://learn.microsoft.com/azure/automation/automation-network-configuration
"""
Source = Annotated[
    str,
    Meta(
        pattern=r"^(none|ask|env:[A-Za-z_][A-Za-z0-9_]*|file:.+|vault:https://[^\x00-\x20]+)$",
        extra={
            "allowed": '"none", "ask", "env:" and a variable\'s name, "file:" and a path, or "vault:" and the URL of a secret'
        },
    ),
]
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
AccountId = Annotated[
    str,
    Meta(
        pattern=r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/Microsoft\.Automation/automationAccounts/[^/]+$",
        extra={"allowed": "the full ARM id of an Automation account"},
    ),
]


def is_service(url: str) -> bool:
    """Whether an account's address of its regional service leads to Automation: plain https to a host below ``SERVICES``."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and parts.port in (None, 443) and "@" not in parts.netloc
    except ValueError:
        return False
    host = (parts.hostname or "").lower()
    return plain and host.endswith(tuple(f".{service}" for service in SERVICES)) and HOST.fullmatch(host) is not None


class HybridWorkerSettings(Table, frozen=True):
    """[products.hybrid-worker]. ``protected``: host -> source; ``replicas``: account -> the one that takes over (names or ids)."""

    last_seen_minutes: Minutes = 10.0
    verify_minutes: Minutes = 30.0
    protected_settings: Literal["ask", "none"] = "ask"
    protected: dict[str, Source] = msgspec.field(default_factory=dict)
    replicas: dict[str, AccountId] = msgspec.field(default_factory=dict)
    if_refused: Literal["stop", "extension-first"] = "stop"


def settings_of(settings: Settings) -> HybridWorkerSettings:
    """The ``[products.hybrid-worker]`` table."""
    return settings.product(NAME, HybridWorkerSettings)


def worker_id(account: str, machine: str) -> str:
    """The id of a machine's worker in an account: always the same, so that adding it twice adds it once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{account.lower()}|{machine.lower()}"))


def record_of(account: str, environment: Environment) -> str:
    """The ARM id of a worker's record in an account."""
    group = environment.settings.get("group", "")
    return f"{account}/hybridRunbookWorkerGroups/{group}/hybridRunbookWorkers/{environment.id}"
