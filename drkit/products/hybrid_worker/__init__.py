"""Azure Automation's extension-based hybrid workers: accounts, worker groups, workers, and the extension on each machine.

Facts: https://learn.microsoft.com/azure/automation/automation-disaster-recovery and
https://learn.microsoft.com/azure/automation/extension-based-hybrid-runbook-worker-install.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from drkit.model.actions import Actions
from drkit.model.clock import Clock
from drkit.model.estate import Environment, Plan, Reading, Snapshot, TargetFacts
from drkit.model.runbook import Step
from drkit.model.settings import Settings
from drkit.products.base import Captured, Endpoint, Rehearsal, StepContext
from drkit.products.handlers import ActionHandler, ByAction
from drkit.products.hybrid_worker import plan as pure
from drkit.products.hybrid_worker.actions import ACTIONS
from drkit.products.hybrid_worker.drill import HybridWorkerRehearsal
from drkit.products.hybrid_worker.settings import NAME, HybridWorkerSettings

if TYPE_CHECKING:
    from drkit.products.hybrid_worker.capture import Survey
    from drkit.providers.session import Session


class HybridWorker(ByAction):
    """The product. What talks to Azure is imported when first used, so that planning loads no Azure SDK."""

    name: str = NAME
    plan_types: tuple[str, ...] = pure.PLAN_TYPES
    regions: tuple[str, ...] = ()
    health_services: tuple[str, ...] = ("Automation",)
    table: type[msgspec.Struct] = HybridWorkerSettings
    actions: Actions = ACTIONS
    rehearsal: Rehearsal = HybridWorkerRehearsal()

    # pure

    need = staticmethod(pure.need)
    propose = staticmethod(pure.propose)

    async def marks(self, steps: Sequence[Step], context: StepContext) -> Sequence[tuple[str, str]]:
        """Workers of these machines under the ids that drkit gives them, in the accounts that are to take over."""
        from drkit.products.hybrid_worker.act import marks

        return await marks(steps, context)

    def carried(self, environment: Environment) -> str:
        """The address that its machine's extension names, ``none`` without one; empty where it is its own account's, or was not read."""
        return str(environment.settings.get(pure.CARRIES, ""))

    def plan_limit(self, settings: Settings) -> int:
        return 0

    stand_ins = staticmethod(pure.stand_ins)

    def endpoint(self, plan: Plan, settings: Settings) -> Endpoint:
        return Endpoint(plan.region, str(plan.properties.get("automationHybridServiceUrl", "")))

    def controls(self, plan: Plan, plans: Sequence[Plan], settings: Settings) -> Sequence[Endpoint]:
        """One account of each other region; without any there is nothing to compare with."""
        endpoints: dict[str, Endpoint] = {}
        for account in plans:
            if account.product == self.name and account.region != plan.region:
                endpoints.setdefault(account.region, self.endpoint(account, settings))
        return list(endpoints.values())

    def registration_path(self, settings: Settings) -> str:
        return ""

    def api_version(self, plan_id: str) -> str:
        return "2024-10-23"

    def settings_lines(self, plans: Sequence[Plan], environments: Sequence[Environment]) -> Sequence[str]:
        return pure.settings_lines(plans, environments)

    # reading

    @cached_property
    def survey(self) -> Survey:
        """The reading half."""
        from drkit.products.hybrid_worker.capture import Survey

        return Survey()

    async def capture(self, azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Captured:
        return await self.survey.capture(azure, subscriptions, settings, clock)

    async def answers(self, azure: Session, endpoint: Endpoint, clock: Clock) -> Reading:
        from drkit.products.hybrid_worker import client as wire

        return await wire.answers(azure, endpoint.region, endpoint.url, clock)

    async def witnesses(self, azure: Session, settings: Settings, clock: Clock) -> Sequence[Reading]:
        return ()

    async def target(
        self, azure: Session, subscription: str, region: str, snapshot: Snapshot, settings: Settings, clock: Clock
    ) -> TargetFacts:
        return await self.survey.target(azure, subscription, region, snapshot, settings, clock)

    async def deleted(self, azure: Session, subscription: str, now: str) -> Sequence[Reading]:
        """Accounts deleted in the last 30 days."""
        return await self.survey.deleted(azure, subscription, now)

    # acting

    @cached_property
    def handlers(self) -> Mapping[str, ActionHandler]:
        """The class of each action."""
        from drkit.products.hybrid_worker.act import HANDLERS

        return HANDLERS
