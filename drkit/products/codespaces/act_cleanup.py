"""Codespaces, the acting half of a cleanup: records and empty plans deleted by id, each looked at just before.

The published OpenAPI of the service (DELETE of one environment) and of Microsoft.VSOnline (plans).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, changed_by
from drkit.products.codespaces import client as wire
from drkit.products.codespaces.settings import settings_of
from drkit.products.defaults import LOOK_SECONDS, polled

SOURCE = "environment service"
# A managed environment that is not in use shuts itself down, and is there all the same.
STANDS = frozenset({"available", "shutdown", "awaiting", "starting", "shuttingdown", "archived"})
Answers = Callable[[str, StepContext, str], Coroutine[Any, Any, Reading]]


def stands(item: Mapping[str, Any] | None) -> bool:
    """Whether an environment as the service lists it can be used by its owner."""
    state = str((item or {}).get("state", "")).lower()
    return state in STANDS if str((item or {}).get("type", "")).lower() == "cloudenvironment" else state == "available"


class Tidying:
    """``delete``, ``verify-elsewhere`` and ``delete-plan``."""

    def __init__(self, tokens: wire.Tokens, answers: Answers) -> None:
        self.tokens, self.answers = tokens, answers

    async def _listed(self, place: Mapping[str, Any], context: StepContext) -> dict[str, dict[str, Any]]:
        service = settings_of(context.settings).service
        found = await wire.listed(context.azure, self.tokens, str(place["plan"]), str(place["region"]), service)
        return {str(one.get("id", "")).lower(): one for one in found}

    async def observe(self, step: Step, context: StepContext) -> Observation:
        now = rfc3339(context.clock.now())
        readings = [
            await self.answers(condition.subject, context, now)
            for condition in step.preconditions
            if condition.signal == "answers"
        ]
        if any(one.value != "yes" for one in readings):
            # What does not answer cannot be read either, and nothing is deleted there.
            return Observation("", tuple(readings))
        if step.action == "delete-plan":
            return await self._plan(step, context, now, readings)
        if step.action != "delete":
            return Observation()
        try:
            old = (await self._listed(step.inputs, context)).get(step.target.lower())
        except CloudError as error:
            return Observation("", (*readings, Reading(step.target, "record", "unknown", SOURCE, now, str(error))))
        if old is None:
            return Observation("its plan does not list it any more")
        readings.append(Reading(step.target, "record", str(old.get("friendlyName", "")), SOURCE, now))
        readings.append(Reading(step.target, "idle", str(old.get("state", "")).lower() != "available", SOURCE, now))
        readings.append(Reading(step.target, "pushed", old.get("hasUnpushedGitChanges") is False, SOURCE, now))
        elsewhere = step.inputs["elsewhere"]
        try:
            other = (await self._listed(elsewhere, context)).get(str(elsewhere["id"]).lower())
        except CloudError as error:
            readings.append(Reading(str(elsewhere["id"]), "stands", "unknown", SOURCE, now, str(error)))
        else:
            readings.append(Reading(str(elsewhere["id"]), "stands", "yes" if stands(other) else "no", SOURCE, now))
        return Observation("", tuple(readings))

    async def _plan(self, step: Step, context: StepContext, now: str, readings: list[Reading]) -> Observation:
        try:
            found = await context.azure.resources.resource(step.target, wire.api_version(step.target))
        except NotFoundError:
            return Observation("the plan is gone already")
        except CloudError as error:
            return Observation(
                "", (*readings, Reading(step.target, "made-for", "unknown", "ARM: plan", now, str(error)))
            )
        maker = str((found.get("tags") or {}).get(TAG_SOURCE, ""))
        readings.append(Reading(step.target, "made-for", maker, "ARM: plan", now))
        try:
            inside = await self._listed(step.inputs, context)
        except CloudError as error:
            readings.append(Reading(step.target, "empty", "unknown", SOURCE, now, str(error)))
        else:
            readings.append(Reading(step.target, "empty", not inside, SOURCE, now))
        return Observation("", tuple(readings), changed={step.target.lower(): changed_by(found)})

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        if step.action == "delete-plan":
            begun = await context.azure.resources.delete_resource(step.target, wire.api_version(step.target))
            return begun or Result("the plan is deleted")
        inputs = step.inputs
        service = settings_of(context.settings).service
        await wire.delete(
            context.azure,
            self.tokens,
            str(inputs["plan"]),
            str(inputs["region"]),
            service,
            step.target,
            str(inputs["owner"]),
        )
        return Result("the record is deleted", {"at": rfc3339(context.clock.now())})

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        return await polled(step, operation, context, "the plan is deleted")

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        elsewhere = step.inputs["elsewhere"]
        other = (await self._listed(elsewhere, context)).get(str(elsewhere["id"]).lower())
        if not stands(other):
            return Operation(
                stage=f"the service says: {(other or {}).get('state', 'not listed')}", retry_after=LOOK_SECONDS
            )
        name = str((other or {}).get("friendlyName", ""))
        return Result(
            f"the service says that {name} stands under the other plan",
            {"id": elsewhere["id"], "name": name, "plan": elsewhere["plan"]},
        )
