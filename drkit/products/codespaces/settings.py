"""Codespaces by its names: in ARM, in drkit.toml, and where its service answers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drkit.errors import UnreachableError
from drkit.model.estate import is_region
from drkit.model.settings import Count, HostName, HostPath, Seconds, Settings, Table

NAME = "codespaces"
PLAN_TYPES = ("Microsoft.VSOnline/plans", "Microsoft.Codespaces/plans")
DELEGATE_ACTION = "writeDelegates"
REGIONS = ("eastus", "southeastasia", "westeurope", "westus2")


PlanId = Annotated[
    str,
    Meta(
        pattern=r"^/subscriptions/[^/]+/resource[Gg]roups/[^/]+/providers/Microsoft\.(VSOnline|Codespaces)/plans/[^/]+$",
        extra={"allowed": "the full ARM id of a plan"},
    ),
]


class CodespacesSettings(Table, frozen=True):
    """[products.codespaces]. ``replicas``: plan -> the one that takes over (names or ids)."""

    service: HostName = "online.visualstudio.com"
    registration: HostPath = "~/.vsonline/environment.json"
    plans_per_subscription: Count = 20
    environments_per_plan: Count = 20
    keep_owner: Literal["delegate", "person"] = "delegate"
    stop_timeout_seconds: Seconds = 120.0
    move_registration_aside: bool = True
    install_as_service: bool = False
    replicas: dict[str, PlanId] = msgspec.field(default_factory=dict)


def settings_of(settings: Settings) -> CodespacesSettings:
    """The ``[products.codespaces]`` table."""
    return settings.product(NAME, CodespacesSettings)


def regional_host(region: str, service: str) -> str:
    """The host of the environment service in a region. UnreachableError for what is no region: a name must not choose the host."""
    if not is_region(region):
        raise UnreachableError(
            f"{region[:100]!r} is no region, so its service was not asked",
            where=service,
            remedy="look at the location of the plan in Azure",
        )
    return f"{region}.{service}"


def health_url(region: str, service: str) -> str:
    """Where the environment service of a region says that it is there."""
    return f"https://{regional_host(region, service)}/health"


def environments_url(region: str, service: str) -> str:
    """Where a region's environments are listed and made."""
    return f"https://{regional_host(region, service)}/api/v1/environments"


def plan_limit(settings: Settings) -> int:
    """Plans a subscription may have."""
    return settings_of(settings).plans_per_subscription
