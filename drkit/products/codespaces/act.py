"""Codespaces, the acting half: plans and managed environments made and verified; what runs on hosts is ``act_on_host``."""

from __future__ import annotations

from typing import Any

import msgspec

from drkit.errors import CloudError, ConflictError, ForbiddenError, NotFoundError, ThrottledError
from drkit.model.actions import Actions
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading, region_name
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, StepFailedError, changed_by
from drkit.products.codespaces import client as wire
from drkit.products.codespaces.act_cleanup import Tidying, stands
from drkit.products.codespaces.act_on_host import HostSteps
from drkit.products.codespaces.actions import ACTIONS
from drkit.products.codespaces.plan_cleanup import TIDY
from drkit.products.codespaces.settings import settings_of
from drkit.products.defaults import ByTable, made_by

VERIFY_SECONDS = 10.0
LIST_LAGS = (10.0, 20.0, 40.0, 80.0)
"""Pauses between looks for what must be there and is not listed yet."""
QUOTA_CODES = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed", "1", "8", "12"})


class Acts(ByTable):
    """Looks, acts once, polls, verifies."""

    actions: Actions = ACTIONS

    def __init__(self, tokens: wire.Tokens) -> None:
        self.tokens = tokens
        self.hosts = HostSteps(self._ours, self._listed_still)
        self.tidying = Tidying(tokens, self._answers)

    async def observe(self, step: Step, context: StepContext) -> Observation:
        if step.action in TIDY:
            return await self.tidying.observe(step, context)
        readings: list[Reading] = []
        now = rfc3339(context.clock.now())
        done, data = "", {}
        changed: dict[str, str] = {}
        for condition in step.preconditions:
            if condition.signal == "answers":
                readings.append(await self._answers(condition.subject, context, now))
            elif condition.signal == "instance_id":
                readings.append(await self.hosts.instance(condition.subject, context, now))
            elif condition.signal == "exists":
                reading, done, changed[step.target.lower()] = await self._plan_there(step, context, now)
                readings.append(reading)
        if step.action in ("create", "register"):
            ours, other = await self._look(step, context)
            if ours is not None:
                done = f"{ours.get('friendlyName')} is there already, for its owner"
                data = {"id": ours.get("id"), "name": ours.get("friendlyName")}
            elif other is not None and len(step.inputs["names"]) < 2:
                readings.append(Reading(step.target, "owner", str(other.get("ownerId")), "environment service", now))
        elif step.action == "by-hand":
            done = await self._by_hand_already(step, context)
        return Observation(done, tuple(readings), data, changed)

    async def _by_hand_already(self, step: Step, context: StepContext) -> str:
        """That nobody need be sent to a machine, as what would prove it is there; empty when it is not, or cannot be read."""
        proof = next((one for one in context.runbook.steps if one.action == "verify" and step.id in one.needs), None)
        if proof is None:
            return ""
        try:
            ours = await self._ours(proof, context)
        except CloudError:
            return ""
        if ours is None or str(ours.get("state", "")).lower() != "available":
            return ""
        return f"{ours.get('friendlyName')} is there already, for its owner"

    async def _answers(self, plan_id: str, context: StepContext, now: str) -> Reading:
        """Does the source plan answer again? Its region's service is asked, and then the plan itself through it."""
        region = _source_region(plan_id, context)
        service = settings_of(context.settings).service
        health = await wire.healthy(context.azure, region, service, context.clock)
        if health.value == "no":
            return Reading(plan_id, "answers", "no", health.source, now, health.detail)
        try:
            with context.azure.budget(attempts=1, seconds=10):
                await wire.listed(context.azure, self.tokens, plan_id, region, service)
        except CloudError as error:
            return Reading(
                plan_id, "answers", "no", health.source, now, f"its service answers, not for the plan: {error.what}"
            )
        return Reading(plan_id, "answers", "yes", health.source, now, "its service lists it again")

    async def _plan_there(self, step: Step, context: StepContext, now: str) -> tuple[Reading, str, str]:
        try:
            found = await context.azure.resources.resource(step.target, wire.api_version(step.target))
        except NotFoundError:
            return Reading(step.target, "exists", False, "ARM: plan", now), "", ""
        except CloudError as error:
            return Reading(step.target, "exists", "unknown", "ARM: plan", now, str(error)), "", ""
        tags = found.get("tags") or {}
        same = str(tags.get(TAG_SOURCE, "")).lower() == str(step.inputs["source"]).lower()
        if same and region_name(str(found.get("location", ""))) == step.region:
            reading = Reading(step.target, "exists", True, "ARM: plan", now)
            return reading, "the plan is there already, made for this source", ""
        reading = Reading(step.target, "exists", True, "ARM: plan", now, f"made by somebody else: tags {tags}")
        return reading, "", changed_by(found)

    async def _look(self, step: Step, context: StepContext) -> tuple[Any, Any]:
        inputs = step.inputs
        service = settings_of(context.settings).service
        listed = await wire.listed(context.azure, self.tokens, str(inputs["plan"]), str(inputs["region"]), service)
        return wire.find(listed, inputs["names"], str(inputs["owner"]), inputs.get("stale", ()))

    async def _ours(self, step: Step, context: StepContext) -> Any:
        return (await self._look(step, context))[0]

    async def _appears(self, step: Step, context: StepContext) -> Any:
        """Ours, whose name is taken: made by a request of ours whose answer was lost, it may be listed a little later only."""
        for pause in (*LIST_LAGS, 0.0):
            ours, other = await self._look(step, context)
            if ours is not None or other is not None or not pause:
                return ours
            await context.clock.sleep(pause)
        return None

    async def _listed_still(self, step: Step, context: StepContext) -> bool:
        """Whether the plan that a host was released from lists its record still; True where that cannot be read."""
        left = step.inputs.get("left")
        if not left:
            return True
        service = settings_of(context.settings).service
        try:
            with context.azure.budget(attempts=2, seconds=20):
                found = await wire.listed(context.azure, self.tokens, str(left["plan"]), str(left["region"]), service)
        except CloudError:
            return True
        return any(str(one.get("id", "")).lower() == str(left["id"]).lower() for one in found)

    async def settle(self, step: Step, context: StepContext) -> Observation:
        return await self.hosts.settle(step, context) if step.action == "release" else Observation()

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        if step.action in TIDY:
            return await self.tidying.act(step, context)
        if step.action == "create-plan":
            return await self._create_plan(step, context)
        if step.action == "create":
            return await self._create(step, context)
        return await self.hosts.act(step, context)

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        if step.action in TIDY:
            return await self.tidying.poll(step, operation, context)
        if step.action != "create-plan":
            return await self.hosts.poll(step, operation, context)
        progress = await context.azure.rest.poll(operation)
        if progress.state == "running":
            return _waiting(operation, progress.retry_after)
        if progress.state == "failed":
            raise _refused(step, progress.code, progress.message)
        return Result(f"plan {step.target.rsplit('/', 1)[-1]} is created in {step.region}")

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        if step.action in TIDY:
            return await self.tidying.verify(step, context)
        if step.action == "verify-plan":
            service = settings_of(context.settings).service
            found = await context.azure.resources.resource(step.target, wire.api_version(step.target))
            if region_name(str(found.get("location", ""))) != step.region:
                raise StepFailedError(f"the plan is in {found.get('location')}, not {step.region}", where=step.target)
            listed = await wire.listed(context.azure, self.tokens, step.target, step.region, service)
            principal = str((found.get("identity") or {}).get("principalId") or "")
            return Result(
                f"ARM has it in {step.region}, and its service there lists it ({len(listed)} environments)",
                {"principal": principal} if principal else {},
            )
        ours, other = await self._look(step, context)
        if ours is None and other is not None:
            raise StepFailedError(
                f"is there, but belongs to {other.get('ownerId')}", where=step.title, code="OwnerDiffers"
            )
        state = str(ours.get("state", "")) if ours else "not listed"
        if ours and (state.lower() == "available" or (step.inputs.get("stands") and stands(ours))):
            name = str(ours.get("friendlyName"))
            return Result(
                f"the service says {name} is {state} under the target plan, for its owner",
                {"id": ours.get("id"), "name": name, "plan": step.inputs["plan"]},
            )
        if state.lower() in ("failed", "deleted"):
            raise StepFailedError(f"the service says {state}", where=step.title, code=state)
        return Operation(stage=f"the service says: {state}", retry_after=VERIFY_SECONDS)

    async def _create_plan(self, step: Step, context: StepContext) -> Operation | Result:
        body = dict(step.inputs["body"])
        body["tags"] = {**body.get("tags", {}), TAG_SOURCE: step.inputs["source"], **made_by(step, context)}
        try:
            outcome = await context.azure.resources.put_resource(step.target, wire.api_version(step.target), body)
        except CloudError as error:
            forbidden = isinstance(error, ForbiddenError) and error.code.lower() not in QUOTA_CODES
            busy = isinstance(error, ThrottledError) and error.code.lower() not in QUOTA_CODES
            if error.status in (400, 403, 409, 429) and not forbidden and not busy:
                raise _refused(step, error.code, error.what) from error
            raise
        if isinstance(outcome, Operation):
            return outcome
        return Result(f"plan {step.target.rsplit('/', 1)[-1]} is created in {step.region}")

    async def _create(self, step: Step, context: StepContext) -> Result:
        inputs = step.inputs
        service = settings_of(context.settings).service
        plan, region, owner = str(inputs["plan"]), str(inputs["region"]), str(inputs["owner"])
        for name in inputs["names"]:
            body = {**inputs["body"], "friendlyName": name}
            try:
                made = await wire.create(context.azure, self.tokens, plan, region, service, body, owner)
            except ConflictError as error:
                ours = await self._appears(step, context) if error.code == wire.NAME_EXISTS else None
                if ours is not None:
                    data = {"id": ours.get("id"), "name": ours.get("friendlyName"), "found": True}
                    return Result(f"{ours.get('friendlyName')} is there already, for its owner", data)
                if error.code == wire.NAME_EXISTS and name != inputs["names"][-1]:
                    continue
                raise StepFailedError(wire.MESSAGES.get(error.code, error.what), where=name, code=error.code) from error
            except CloudError as error:
                if error.code in wire.MESSAGES:
                    raise StepFailedError(
                        wire.MESSAGES[error.code], where=name, code=error.code, again=error.code == "8"
                    ) from error
                raise
            return Result(f"{name} is being created for its owner", {"id": made.get("id"), "name": name})
        raise StepFailedError("every name is held by a record nobody can see", where=step.title, code=wire.NAME_EXISTS)


def _waiting(operation: Operation, retry_after: float) -> Operation:
    return msgspec.structs.replace(operation, retry_after=retry_after)


def _source_region(plan_id: str, context: StepContext) -> str:
    return str(context.regions.get(plan_id.lower(), ""))


def _refused(step: Step, code: str, message: str) -> StepFailedError:
    quota = code.lower() in QUOTA_CODES
    return StepFailedError(
        message or code,
        where=step.target,
        code=code,
        remedy=f"`drkit assess` notes that {step.region} refused, and `drkit plan` goes to the next region"
        if quota
        else "",
    )
