"""What the environment service lists: who has an environment under which names, and whether a plan answers again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drkit.errors import CloudError
from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.model.runbook import Step
from drkit.products.base import Observation, StepContext
from drkit.products.codespaces import client as wire
from drkit.products.codespaces.settings import settings_of

LIST_LAGS = (10.0, 20.0, 40.0, 80.0)
"""Pauses between looks for what must be there and is not listed yet."""
# A managed environment that is not in use shuts itself down, and is there all the same.
USABLE = frozenset({"available", "shutdown", "awaiting", "starting", "shuttingdown", "archived"})


def usable(environment: Mapping[str, Any] | None) -> bool:
    """Whether an environment as the service lists it can be used by its owner."""
    state = str((environment or {}).get("state", "")).lower()
    managed = str((environment or {}).get("type", "")).lower() == "cloudenvironment"
    return state in USABLE if managed else state == "available"


class Listings:
    """Reads the lists of the environment service with the plans' own tokens."""

    def __init__(self, tokens: wire.Tokens) -> None:
        self.tokens = tokens

    async def under(self, plan: str, region: str, context: StepContext) -> list[dict[str, Any]]:
        """Every environment that the service of a region lists under a plan."""
        return await wire.listed(context.azure, self.tokens, plan, region, settings_of(context.settings).service)

    async def by_id(self, place: Mapping[str, Any], context: StepContext) -> dict[str, dict[str, Any]]:
        """The environments of the plan and region that ``place`` names, by their ids in lower case."""
        environments = await self.under(str(place["plan"]), str(place["region"]), context)
        return {str(environment.get("id", "")).lower(): environment for environment in environments}

    async def find(self, step: Step, context: StepContext) -> tuple[Any, Any]:
        """The owner's environment under one of the step's names, and another owner's that has the name; None for none."""
        inputs = step.inputs
        environments = await self.under(str(inputs["plan"]), str(inputs["region"]), context)
        return wire.find(environments, inputs["names"], str(inputs["owner"]), inputs.get("stale", ()))

    async def ours(self, step: Step, context: StepContext) -> Any:
        """The owner's environment under one of the step's names; None for none."""
        return (await self.find(step, context))[0]

    async def registered(self, step: Step, context: StepContext, now: str) -> Observation:
        """Done if the owner has it already; if somebody else has its only name, a reading of who."""
        ours, other = await self.find(step, context)
        if ours is not None:
            data = {"id": ours.get("id"), "name": ours.get("friendlyName")}
            return Observation(f"{ours.get('friendlyName')} is there already, for its owner", (), data)
        if other is not None and len(step.inputs["names"]) < 2:
            owner = str(other.get("ownerId"))
            return Observation("", (Reading(step.target, "owner", owner, "environment service", now),))
        return Observation()

    async def appears(self, step: Step, context: StepContext) -> Any:
        """The owner's environment whose name is taken: created by a request whose answer was lost, it may be listed a little later."""
        for pause in (*LIST_LAGS, 0.0):
            ours, other = await self.find(step, context)
            if ours is not None or other is not None or not pause:
                return ours
            await context.clock.sleep(pause)
        return None

    async def still_listed(self, step: Step, context: StepContext) -> bool:
        """Whether the plan that a host was released from still lists its record; True if that cannot be read."""
        old_plan = step.inputs.get("left")
        if not old_plan:
            return True
        try:
            with context.azure.budget(attempts=2, seconds=20):
                environments = await self.by_id(old_plan, context)
        except CloudError:
            return True
        return str(old_plan["id"]).lower() in environments

    async def answers(self, plan: str, context: StepContext, now: str) -> Reading:
        """Does a source plan answer again? Its region's service is asked, and then the plan itself through that service."""
        region = str(context.regions.get(ArmId(plan), ""))
        health = await wire.healthy(context.azure, region, settings_of(context.settings).service, context.clock)
        if health.value == "no":
            return Reading(plan, "answers", "no", health.source, now, health.detail)
        try:
            with context.azure.budget(attempts=1, seconds=10):
                await self.under(plan, region, context)
        except CloudError as error:
            detail = f"its service answers, not for the plan: {error.what}"
            return Reading(plan, "answers", "no", health.source, now, detail)
        return Reading(plan, "answers", "yes", health.source, now, "its service lists it again")
