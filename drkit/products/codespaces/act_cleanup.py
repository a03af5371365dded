"""Codespaces, a class for each action of a cleanup: records and empty plans deleted by id after a look at each.

The published OpenAPI of the service (DELETE of one environment) and of Microsoft.VSOnline (plans).
"""

from __future__ import annotations

from drkit.errors import CloudError, NotFoundError
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, changed_by
from drkit.products.codespaces import client as wire
from drkit.products.codespaces.listings import Listings, usable
from drkit.products.codespaces.settings import settings_of
from drkit.products.defaults import LOOK_SECONDS, polled
from drkit.products.handlers import ActionHandler

SOURCE = "environment service"


class DeletionHandler(ActionHandler):
    """Deletes the target by its id, as long as its plan answers; ``look`` reads what else must hold."""

    def __init__(self, listings: Listings) -> None:
        self.listings = listings

    async def observe(self, step: Step, context: StepContext) -> Observation:
        now = rfc3339(context.clock.now())
        readings = [
            await self.listings.answers(condition.subject, context, now)
            for condition in step.preconditions
            if condition.signal == "answers"
        ]
        if any(reading.value != "yes" for reading in readings):
            # What does not answer cannot be read either, and nothing is deleted there.
            return Observation("", tuple(readings))
        seen = await self.look(step, context, now)
        return Observation(seen.done, () if seen.done else (*readings, *seen.readings), changed=seen.changed)

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        """What must hold before it is deleted."""
        raise NotImplementedError


class DeleteRecord(DeletionHandler):
    """``delete``: the old record of an environment that can be used elsewhere."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        try:
            record = (await self.listings.by_id(step.inputs, context)).get(step.target.lower())
        except CloudError as error:
            return Observation("", (Reading(step.target, "record", "unknown", SOURCE, now, str(error)),))
        if record is None:
            return Observation("its plan does not list it any more")
        elsewhere = step.inputs["elsewhere"]
        other_id = str(elsewhere["id"])
        try:
            other = (await self.listings.by_id(elsewhere, context)).get(other_id.lower())
        except CloudError as error:
            usable_there = Reading(other_id, "stands", "unknown", SOURCE, now, str(error))
        else:
            usable_there = Reading(other_id, "stands", "yes" if usable(other) else "no", SOURCE, now)
        readings = (
            Reading(step.target, "record", str(record.get("friendlyName", "")), SOURCE, now),
            Reading(step.target, "idle", str(record.get("state", "")).lower() != "available", SOURCE, now),
            Reading(step.target, "pushed", record.get("hasUnpushedGitChanges") is False, SOURCE, now),
            usable_there,
        )
        return Observation("", readings)

    async def act(self, step: Step, context: StepContext) -> Result:
        inputs = step.inputs
        await wire.delete(
            context.azure,
            self.listings.tokens,
            str(inputs["plan"]),
            str(inputs["region"]),
            settings_of(context.settings).service,
            step.target,
            str(inputs["owner"]),
        )
        return Result("the record is deleted", {"at": rfc3339(context.clock.now())})


class DeletePlan(DeletionHandler):
    """``delete-plan``: a plan that drkit made, if it is empty."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        try:
            plan = await context.azure.resources.resource(step.target, wire.api_version(step.target))
        except NotFoundError:
            return Observation("the plan is gone already")
        except CloudError as error:
            return Observation("", (Reading(step.target, "made-for", "unknown", "ARM: plan", now, str(error)),))
        maker = Reading(step.target, "made-for", str((plan.get("tags") or {}).get(TAG_SOURCE, "")), "ARM: plan", now)
        try:
            environments = await self.listings.by_id(step.inputs, context)
        except CloudError as error:
            empty = Reading(step.target, "empty", "unknown", SOURCE, now, str(error))
        else:
            empty = Reading(step.target, "empty", not environments, SOURCE, now)
        return Observation("", (maker, empty), changed={step.target.lower(): changed_by(plan)})

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        operation = await context.azure.resources.delete_resource(step.target, wire.api_version(step.target))
        return operation or Result("the plan is deleted")

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        return await polled(step, operation, context, "the plan is deleted")


class VerifyElsewhere(ActionHandler):
    """``verify-elsewhere``: the environment can be used under the other plan."""

    def __init__(self, listings: Listings) -> None:
        self.listings = listings

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        elsewhere = step.inputs["elsewhere"]
        other = (await self.listings.by_id(elsewhere, context)).get(str(elsewhere["id"]).lower())
        if not usable(other):
            state = (other or {}).get("state", "not listed")
            return Operation(stage=f"the service says: {state}", retry_after=LOOK_SECONDS)
        name = str((other or {}).get("friendlyName", ""))
        return Result(
            f"the service says that {name} can be used under the other plan",
            {"id": elsewhere["id"], "name": name, "plan": elsewhere["plan"]},
        )
