"""Resource groups for targets: the one kind of step that every product shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.actions import GROUPS, Actions
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading, region_name
from drkit.model.ids import ArmId
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_TARGET
from drkit.products.base import Observation, Result, StepContext, changed_by
from drkit.products.defaults import ByTable, made_by, polled

if TYPE_CHECKING:
    from drkit.providers.session import Session


def locations_of(groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Lower-cased names of listed groups, and the locations they are in."""
    return {str(group["name"]).lower(): region_name(str(group.get("location", ""))) for group in groups}


async def tagged(azure: Session, subscription: str, region: str) -> tuple[str, dict[str, str]]:
    """The group tagged for drkit in a region (empty: none), and every group of the subscription with its location."""
    listed = await azure.resources.groups(subscription)
    places = {str(group["name"]): region_name(str(group.get("location", ""))) for group in listed}
    marked = [
        str(group["name"]) for group in listed if str((group.get("tags") or {}).get(TAG_TARGET, "")).lower() == "true"
    ]
    return next((name for name in marked if places[name] == region), ""), places


class Groups(ByTable):
    """``azure``: carries out the group steps that the planner writes."""

    actions: Actions = GROUPS

    async def observe(self, step: Step, context: StepContext) -> Observation:
        if step.effect == "delete":
            return await self._superfluous(step, context)
        now = rfc3339(context.clock.now())
        source = "ARM: resource group"
        try:
            group = await context.azure.resources.group(ArmId(step.target).subscription, step.target.rsplit("/", 1)[-1])
        except NotFoundError:
            return Observation(readings=(Reading(step.target, "location", "", source, now),))
        except CloudError as error:
            return Observation(readings=(Reading(step.target, "location", "unknown", source, now, str(error)),))
        location = region_name(str(group.get("location", "")))
        done = f"the group is there already, in {location}" if location == step.inputs["location"] else ""
        reading = Reading(step.target, "location", location, source, now)
        return Observation(done, (reading,), changed={step.target.lower(): changed_by(group)})

    async def _superfluous(self, step: Step, context: StepContext) -> Observation:
        """Who made the group, and whether anything is in it: a deletion takes all of that with it."""
        now, source, arm = rfc3339(context.clock.now()), "ARM: resource group", context.azure.resources
        subscription, name = ArmId(step.target).subscription, step.target.rsplit("/", 1)[-1]
        try:
            group = await arm.group(subscription, name)
            inside = await arm.inside(subscription, name)
        except NotFoundError:
            return Observation("the group is gone already")
        maker = str((group.get("tags") or {}).get("drkit-run", ""))
        names = ", ".join(str(one.get("name", "")) for one in inside[:3])
        readings = (
            Reading(step.target, "made-by", maker, source, now),
            Reading(step.target, "empty", not inside, source, now, names),
        )
        return Observation("", readings, changed={step.target.lower(): changed_by(group)})

    async def settle(self, step: Step, context: StepContext) -> Observation:
        return Observation()

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        if step.effect == "delete":
            subscription, name = ArmId(step.target).subscription, step.target.rsplit("/", 1)[-1]
            begun = await context.azure.resources.delete_group(subscription, name)
            return begun or Result("the group is gone")
        tags = {**step.inputs["tags"], **made_by(step, context)}
        name = step.target.rsplit("/", 1)[-1]
        location = str(step.inputs["location"])
        await context.azure.resources.create_group(ArmId(step.target).subscription, name, location, tags)
        return Result(f"resource group {name} is created in {location}")

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        return await polled(step, operation, context, "the group is deleted")

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        return Result("nothing to verify")
