"""Codespaces in drkit.toml."""

from __future__ import annotations

from typing import Literal

from drkit.settings import Count, HostName, HostPath, Seconds, Table


class CodespacesSettings(Table, frozen=True):
    """[products.codespaces]."""

    service: HostName = "online.visualstudio.com"
    registration: HostPath = "~/.vsonline/environment.json"
    plans_per_subscription: Count = 20
    environments_per_plan: Count = 20
    keep_owner: Literal["delegate", "person"] = "delegate"
    stop_timeout_seconds: Seconds = 120.0
    move_registration_aside: bool = True
    install_as_service: bool = False
