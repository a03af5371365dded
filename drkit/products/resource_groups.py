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
from drkit.products.defaults import made_by, polled
from drkit.products.handlers import ActionHandler, ByAction

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


class CreateGroup(ActionHandler):
    """``create``."""

    async def observe(self, step: Step, context: StepContext) -> Observation:
        now, group_id = rfc3339(context.clock.now()), ArmId(step.target)
        source = "ARM: resource group"
        try:
            group = await context.azure.resources.group(group_id.subscription, group_id.name)
        except NotFoundError:
            return Observation(readings=(Reading(step.target, "location", "", source, now),))
        except CloudError as error:
            return Observation(readings=(Reading(step.target, "location", "unknown", source, now, str(error)),))
        location = region_name(str(group.get("location", "")))
        done = f"the group is there already, in {location}" if location == step.inputs["location"] else ""
        reading = Reading(step.target, "location", location, source, now)
        return Observation(done, (reading,), changed={step.target.lower(): changed_by(group)})

    async def act(self, step: Step, context: StepContext) -> Result:
        tags = {**step.inputs["tags"], **made_by(step, context)}
        group_id, location = ArmId(step.target), str(step.inputs["location"])
        await context.azure.resources.create_group(group_id.subscription, group_id.name, location, tags)
        return Result(f"resource group {group_id.name} is created in {location}")


class DeleteGroup(ActionHandler):
    """``delete``."""

    async def observe(self, step: Step, context: StepContext) -> Observation:
        """Who made the group, and whether anything is in it: a deletion takes all of that with it."""
        now, source, arm = rfc3339(context.clock.now()), "ARM: resource group", context.azure.resources
        group_id = ArmId(step.target)
        try:
            group = await arm.group(group_id.subscription, group_id.name)
            resources = await arm.inside(group_id.subscription, group_id.name)
        except NotFoundError:
            return Observation("the group is gone already")
        maker = str((group.get("tags") or {}).get("drkit-run", ""))
        names = ", ".join(str(resource.get("name", "")) for resource in resources[:3])
        readings = (
            Reading(step.target, "made-by", maker, source, now),
            Reading(step.target, "empty", not resources, source, now, names),
        )
        return Observation("", readings, changed={step.target.lower(): changed_by(group)})

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        group_id = ArmId(step.target)
        operation = await context.azure.resources.delete_group(group_id.subscription, group_id.name)
        return operation or Result("the group is gone")

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        return await polled(step, operation, context, "the group is deleted")


class Groups(ByAction):
    """``azure``: carries out the group steps that the planner writes."""

    actions: Actions = GROUPS
    handlers: Mapping[str, ActionHandler] = {"create": CreateGroup(), "delete": DeleteGroup()}
