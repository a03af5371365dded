"""Hybrid workers in drkit.toml."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drkit.settings import Minutes, Table

Source = Annotated[
    str,
    Meta(
        pattern=r"^(none|ask|env:[A-Za-z_][A-Za-z0-9_]*|file:.+|vault:https://[^\x00-\x20]+)$",
        extra={
            "allowed": '"none", "ask", "env:" and a variable\'s name, "file:" and a path, or "vault:" and the URL of a secret'
        },
    ),
]
AccountId = Annotated[
    str,
    Meta(
        pattern=r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/Microsoft\.Automation/automationAccounts/[^/]+$",
        extra={"allowed": "the full ARM id of an Automation account"},
    ),
]


class HybridWorkerSettings(Table, frozen=True):
    """[products.hybrid-worker]. ``protected``: host -> source; ``replicas``: account -> the one that takes over (names or ids)."""

    last_seen_minutes: Minutes = 10.0
    verify_minutes: Minutes = 30.0
    protected_settings: Literal["ask", "none"] = "ask"
    protected: dict[str, Source] = msgspec.field(default_factory=dict)
    replicas: dict[str, AccountId] = msgspec.field(default_factory=dict)
    if_refused: Literal["stop", "extension-first"] = "stop"
