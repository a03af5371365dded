"""Codespaces, a class for each action: plans and managed environments created and verified; what runs on hosts is in ``act_on_host``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from drkit.errors import CloudError, ConflictError, ForbiddenError, NotFoundError, ThrottledError
from drkit.model.estate import Reading, region_name
from drkit.model.ids import ArmId
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, StepFailedError, changed_by
from drkit.products.codespaces import client as wire
from drkit.products.codespaces.act_cleanup import DeletePlan, DeleteRecord, VerifyElsewhere
from drkit.products.codespaces.act_on_host import Reach, Register, Release
from drkit.products.codespaces.handler import CodespacesHandler
from drkit.products.codespaces.listings import Listings, usable
from drkit.products.codespaces.settings import settings_of
from drkit.products.defaults import made_by
from drkit.products.handlers import ActionHandler

VERIFY_SECONDS = 10.0
QUOTA_CODES = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed", "1", "8", "12"})


class CreatePlan(CodespacesHandler):
    """``create-plan``."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        if not any(condition.signal == "exists" for condition in step.preconditions):
            return Observation()
        source = "ARM: plan"
        try:
            plan = await context.azure.resources.resource(step.target, wire.api_version(step.target))
        except NotFoundError:
            return Observation("", (Reading(step.target, "exists", False, source, now),))
        except CloudError as error:
            return Observation("", (Reading(step.target, "exists", "unknown", source, now, str(error)),))
        tags = plan.get("tags") or {}
        ours = ArmId(str(tags.get(TAG_SOURCE, ""))) == str(step.inputs["source"])
        if ours and region_name(str(plan.get("location", ""))) == step.region:
            reading = Reading(step.target, "exists", True, source, now)
            return Observation("the plan is there already, made for this source", (reading,))
        reading = Reading(step.target, "exists", True, source, now, f"made by somebody else: tags {tags}")
        return Observation("", (reading,), changed={step.target.lower(): changed_by(plan)})

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
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
        return outcome if isinstance(outcome, Operation) else _created(step)

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        progress = await context.azure.rest.poll(operation)
        if progress.state == "running":
            return msgspec.structs.replace(operation, retry_after=progress.retry_after)
        if progress.state == "failed":
            raise _refused(step, progress.code, progress.message)
        return _created(step)


class VerifyPlan(CodespacesHandler):
    """``verify-plan``."""

    async def verify(self, step: Step, context: StepContext) -> Result:
        plan = await context.azure.resources.resource(step.target, wire.api_version(step.target))
        if region_name(str(plan.get("location", ""))) != step.region:
            raise StepFailedError(f"the plan is in {plan.get('location')}, not {step.region}", where=step.target)
        environments = await self.listings.under(step.target, step.region, context)
        principal = str((plan.get("identity") or {}).get("principalId") or "")
        return Result(
            f"ARM has it in {step.region}, and its service there lists it ({len(environments)} environments)",
            {"principal": principal} if principal else {},
        )


class CreateEnvironment(CodespacesHandler):
    """``create``: a managed environment under the target plan, under the first name that is free."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        return await self.listings.registered(step, context, now)

    async def act(self, step: Step, context: StepContext) -> Result:
        inputs, tokens = step.inputs, self.listings.tokens
        service = settings_of(context.settings).service
        plan, region, owner = str(inputs["plan"]), str(inputs["region"]), str(inputs["owner"])
        for name in inputs["names"]:
            body = {**inputs["body"], "friendlyName": name}
            try:
                made = await wire.create(context.azure, tokens, plan, region, service, body, owner)
            except ConflictError as error:
                ours = await self.listings.appears(step, context) if error.code == wire.NAME_EXISTS else None
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


class VerifyEnvironment(CodespacesHandler):
    """``verify``: the service says that the environment is Available, for its owner."""

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        ours, other = await self.listings.find(step, context)
        if ours is None and other is not None:
            raise StepFailedError(
                f"is there, but belongs to {other.get('ownerId')}", where=step.title, code="OwnerDiffers"
            )
        state = str(ours.get("state", "")) if ours else "not listed"
        if ours and (state.lower() == "available" or (step.inputs.get("stands") and usable(ours))):
            name = str(ours.get("friendlyName"))
            return Result(
                f"the service says {name} is {state} under the target plan, for its owner",
                {"id": ours.get("id"), "name": name, "plan": step.inputs["plan"]},
            )
        if state.lower() in ("failed", "deleted"):
            raise StepFailedError(f"the service says {state}", where=step.title, code=state)
        return Operation(stage=f"the service says: {state}", retry_after=VERIFY_SECONDS)


class RegisterByHand(CodespacesHandler):
    """``by-hand``: a person does it."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        """Whether nobody need be sent to the machine, because what would prove the step is there; not done if that cannot be read."""
        proof = next(
            (other for other in context.runbook.steps if other.action == "verify" and step.id in other.needs), None
        )
        if proof is None:
            return Observation()
        try:
            ours = await self.listings.ours(proof, context)
        except CloudError:
            return Observation()
        if ours is None or str(ours.get("state", "")).lower() != "available":
            return Observation()
        return Observation(f"{ours.get('friendlyName')} is there already, for its owner")


def handlers(tokens: wire.Tokens) -> Mapping[str, ActionHandler]:
    """Action -> its handler; all of them share the plans' tokens."""
    listings = Listings(tokens)
    return {
        "create-plan": CreatePlan(listings),
        "verify-plan": VerifyPlan(listings),
        "create": CreateEnvironment(listings),
        "verify": VerifyEnvironment(listings),
        "by-hand": RegisterByHand(listings),
        "reach": Reach(listings),
        "ready": CodespacesHandler(listings),
        "release": Release(listings),
        "register": Register(listings),
        "delete": DeleteRecord(listings),
        "verify-elsewhere": VerifyElsewhere(listings),
        "delete-plan": DeletePlan(listings),
    }


def _created(step: Step) -> Result:
    return Result(f"plan {ArmId(step.target).name} is created in {step.region}")


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
