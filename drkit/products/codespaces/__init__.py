"""Codespaces: plans and their environments, captured, proposed, brought up elsewhere and verified by their service.

Facts: the disaster-recovery guidance of Visual Studio Codespaces, its published OpenAPI, and its official client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from drkit.model.actions import Actions
from drkit.model.clock import Clock
from drkit.model.estate import Environment, Plan, Reading, Snapshot, TargetFacts
from drkit.model.host_scripts import Scripts
from drkit.model.settings import Settings
from drkit.products.base import Captured, Endpoint, Rehearsal
from drkit.products.codespaces import plan as pure
from drkit.products.codespaces import settings as own
from drkit.products.codespaces.actions import ACTIONS
from drkit.products.codespaces.drill import CodespacesRehearsal
from drkit.products.codespaces.scripts import product_scripts
from drkit.products.codespaces.settings import CodespacesSettings
from drkit.products.handlers import ActionHandler, ByAction

if TYPE_CHECKING:
    from drkit.products.codespaces.capture import Survey
    from drkit.products.codespaces.client import Tokens
    from drkit.providers.session import Session


class Codespaces(ByAction):
    """The product. What talks to Azure is imported when first used, so that planning loads no Azure SDK."""

    name: str = own.NAME
    plan_types: tuple[str, ...] = own.PLAN_TYPES
    regions: tuple[str, ...] = own.REGIONS
    health_services: tuple[str, ...] = ("Visual Studio Codespaces", "Codespaces", "Visual Studio Online")
    table: type[msgspec.Struct] = CodespacesSettings
    actions: Actions = ACTIONS
    rehearsal: Rehearsal = CodespacesRehearsal()

    # pure

    need = staticmethod(pure.need)
    propose = staticmethod(pure.propose)

    stand_ins = staticmethod(pure.stand_ins)

    def endpoint(self, plan: Plan, settings: Settings) -> Endpoint:
        return Endpoint(plan.region, own.health_url(plan.region, own.settings_of(settings).service))

    def controls(self, plan: Plan, plans: Sequence[Plan], settings: Settings) -> Sequence[Endpoint]:
        service = own.settings_of(settings).service
        return [Endpoint(region, own.health_url(region, service)) for region in self.regions if region != plan.region]

    def settings_lines(self, plans: Sequence[Plan], environments: Sequence[Environment]) -> Sequence[str]:
        return ()

    plan_limit = staticmethod(own.plan_limit)

    def registration_path(self, settings: Settings) -> str:
        return own.settings_of(settings).registration

    # reading

    @cached_property
    def reading_posts(self) -> Sequence[str]:
        """The actions by which the two names of its provider list environments."""
        lines = files(__package__).joinpath("reading_posts.txt").read_text("utf-8").splitlines()
        return tuple(line for line in lines if line and not line.startswith("#"))

    @property
    def host_scripts(self) -> Scripts:
        """Those that release and register a host."""
        return product_scripts()

    @cached_property
    def tokens(self) -> Tokens:
        """Plan tokens in memory."""
        from drkit.products.codespaces.client import Tokens

        return Tokens()

    @cached_property
    def survey(self) -> Survey:
        """The reading half."""
        from drkit.products.codespaces.capture import Survey

        return Survey(self.tokens)

    def api_version(self, plan_id: str) -> str:
        from drkit.products.codespaces import client as wire

        return wire.api_version(plan_id)

    async def capture(self, azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Captured:
        return await self.survey.capture(azure, subscriptions, settings, clock)

    async def answers(self, azure: Session, endpoint: Endpoint, clock: Clock) -> Reading:
        from drkit.products.codespaces import client as wire

        return await wire.answers(azure, endpoint.region, endpoint.url, clock)

    async def witnesses(self, azure: Session, settings: Settings, clock: Clock) -> Sequence[Reading]:
        from drkit.products.codespaces import client as wire

        return await wire.locations(azure, own.settings_of(settings).service, clock)

    async def target(
        self, azure: Session, subscription: str, region: str, snapshot: Snapshot, settings: Settings, clock: Clock
    ) -> TargetFacts:
        return await self.survey.target(azure, subscription, region, snapshot, settings, clock)

    # acting

    @cached_property
    def handlers(self) -> Mapping[str, ActionHandler]:
        """The class of each action."""
        from drkit.products.codespaces.act import handlers

        return handlers(self.tokens)
