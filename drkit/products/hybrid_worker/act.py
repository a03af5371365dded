"""Hybrid workers, a class for each action: accounts, groups and workers created, extensions removed and installed, workers verified.

The steps write only to the machine's own resource and to the account that takes over, never to the account that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from drkit.errors import CloudError, ConflictError, NotFoundError, UnknownFateError
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Reading, region_name
from drkit.model.ids import ArmId
from drkit.model.operation import Operation, PollResult
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, StepFailedError, approved_script
from drkit.products.defaults import LOOK_SECONDS, made_by
from drkit.products.handlers import ActionHandler
from drkit.products.host_answers import answer, silent
from drkit.products.hybrid_worker import client as wire
from drkit.products.hybrid_worker import machine
from drkit.products.hybrid_worker.act_cleanup import DeleteAccount, DeleteGroup, DeleteRecord, VerifyElsewhere
from drkit.products.hybrid_worker.actions import extension_path, worker_path
from drkit.providers.compute import run_command_output

COMMAND_SECONDS = 5.0
IN_MOTION = frozenset({"creating", "updating", "deleting", "accepted"})
REFUSAL = "different account"
QUOTA_CODES = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed"})
LOOK_AT_GROUPS = "look at the account's worker groups, then `drkit resume`"
REMOVED = "the extension is off the machine"


class WorkerHandler(ActionHandler):
    """Reads what the preconditions of a step name; ``look`` adds what its action looks at besides."""

    async def observe(self, step: Step, context: StepContext) -> Observation:
        now = rfc3339(context.clock.now())
        readings: list[Reading] = []
        for condition in step.preconditions:
            if condition.signal == "answers":
                readings.append(await _answers(condition.subject, step, context, now))
            elif condition.signal == machine.MAY_CHANGE:
                readings.append(await machine.permission_reading(condition.subject, context, now))
        if {condition.signal for condition in step.preconditions} & machine.SIGNALS:
            readings += await machine.machine_readings(str(step.inputs["machine"]), context, now)
        seen = await self.look(step, context, now)
        return Observation(seen.done, (*readings, *seen.readings), seen.data if seen.done else {})

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        """Whether the step is done already, and readings beside those of its preconditions."""
        return Observation()


class CreateAccount(WorkerHandler):
    """``create-plan``."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        source = "ARM: Automation account"
        try:
            account = await wire.account(context.azure, step.target)
        except NotFoundError:
            return Observation("", (Reading(step.target, "exists", False, source, now),))
        except CloudError as error:
            return Observation("", (Reading(step.target, "exists", "unknown", source, now, str(error)),))
        ours = ArmId(str((account.get("tags") or {}).get(TAG_SOURCE, ""))) == str(step.inputs["source"])
        here = region_name(str(account.get("location", ""))) == step.region
        done = "the account is there already, made for this source" if ours and here else ""
        return Observation(done, (Reading(step.target, "exists", True, source, now),))

    async def act(self, step: Step, context: StepContext) -> Result:
        body = dict(step.inputs["body"])
        body["tags"] = {**body.get("tags", {}), TAG_SOURCE: step.inputs["source"], **made_by(step, context)}
        try:
            await _put(context, step.target, body)
        except CloudError as error:
            if error.status in (400, 403, 409):
                quota = error.code.lower() in QUOTA_CODES
                remedy = "`drkit assess`, then `drkit plan` goes to the next region" if quota else ""
                raise StepFailedError(error.what, where=step.target, code=error.code, remedy=remedy) from error
            raise
        return Result(f"Automation account {ArmId(step.target).name} is created in {step.region}")


class VerifyAccount(WorkerHandler):
    """``verify-plan``. Its result has the account's address, which the later steps use."""

    async def verify(self, step: Step, context: StepContext) -> Result:
        account = await wire.account(context.azure, step.target)
        if region_name(str(account.get("location", ""))) != step.region:
            raise StepFailedError(f"the account is in {account.get('location')}, not {step.region}", where=step.target)
        url = str((account.get("properties") or {}).get("automationHybridServiceUrl", ""))
        health = await wire.answers(context.azure, step.region, url, context.clock)
        if health.value != "yes":
            raise StepFailedError(
                f"its regional service does not answer: {health.detail}",
                where=step.target,
                code="NotAnswering",
                again=True,
            )
        principal = str((account.get("identity") or {}).get("principalId") or "")
        data = {"url": url, **({"principal": principal} if principal else {})}
        return Result(f"ARM has it in {step.region}, and its own service there answers ({health.detail})", data)


class CreateGroup(WorkerHandler):
    """``create-group``."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        response = await context.azure.rest.request("GET", step.target, params={"api-version": wire.API}, allow=(404,))
        return Observation("the group is there already" if response.status == 200 else "")

    async def act(self, step: Step, context: StepContext) -> Result:
        await _put(context, step.target, step.inputs["body"])
        return Result(f"worker group {ArmId(step.target).name} is there")


class AddWorker(WorkerHandler):
    """``add``."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        worker = await _listed(step, context)
        if worker is None:
            return Observation()
        return Observation("it is a worker of that group already", (), {"worker": worker.get("name"), "at": now})

    async def act(self, step: Step, context: StepContext) -> Result:
        inputs = step.inputs
        try:
            await _put_worker(step, context)
        except ConflictError as error:
            if REFUSAL in error.what and inputs["if_refused"] == "extension-first":
                why = "the account refuses it while the old extension is on the machine; added once that is off"
                return Result(why, {"refused": True})
            remedy = 'nothing was released; [products.hybrid-worker] if_refused = "extension-first", then plan and approve that'
            raise _not_added(step, error, remedy if REFUSAL in error.what else LOOK_AT_GROUPS) from error
        data = {"worker": inputs["worker"], "at": rfc3339(context.clock.now())}
        return Result(f"{step.target} is a worker of group {inputs['group']}", data)


class MachineHandler(WorkerHandler):
    """An action whose work on a machine is a long-running operation of Azure's."""

    after_failure = ""
    """What a failure means for the machine, added to Azure's message."""

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        try:
            progress = await context.azure.rest.poll(operation)
        except CloudError as error:
            # An Arc machine's 404 has a code of its own.
            if error.status not in (404, 410):
                raise
            return await self.forgotten(step, context, error)
        if progress.state == "running":
            return msgspec.structs.replace(operation, retry_after=progress.retry_after or LOOK_SECONDS)
        if progress.state == "failed":
            raise StepFailedError(
                f"{progress.message or 'it failed'}{self.after_failure}",
                where=step.target,
                code=progress.code,
                again=True,
                settled=True,
            )
        return self.finished(step, progress, context)

    async def forgotten(self, step: Step, context: StepContext, error: CloudError) -> Operation | Result:
        """Azure does not know the operation any more."""
        raise error

    def finished(self, step: Step, progress: PollResult, context: StepContext) -> Result:
        """The operation succeeded."""
        raise NotImplementedError


class Reach(MachineHandler):
    """``reach``: whether the account's service answers from the host."""

    async def act(self, step: Step, context: StepContext) -> Operation:
        script = approved_script(step, context, "reach")
        values = {"drkit_urls": _address(step, context), "drkit_timeout": "10"}
        try:
            operation = await context.azure.compute.run_command(str(step.inputs["machine"]), script, values)
        except (ConflictError, UnknownFateError) as error:
            # The script only looks, so delivering it once more is harmless.
            raise StepFailedError(error.what, where=step.target, code="Busy", again=True, settled=True) from error
        return msgspec.structs.replace(operation, stage="reach", retry_after=COMMAND_SECONDS)

    def finished(self, step: Step, progress: PollResult, context: StepContext) -> Result:
        results = answer(step, run_command_output(progress.body)[0], "reach")["results"]
        if results is None:
            return Result("not tried from the host: it has neither curl nor wget", {"tried": False})
        if not silent(results, [_address(step, context)]):
            return Result("the account's service answers from the host", {"tried": True})
        raise StepFailedError(
            "the account's service does not answer from the host",
            where=step.target,
            code="NotReached",
            again=True,
            remedy="open the way from this host, then `drkit resume`",
        )


class Release(MachineHandler):
    """``release``: the extension is removed from the machine."""

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        extension = await machine.extension_of(step, context)
        named = wire.url_of(extension) if extension is not None else "none"
        reading = Reading(str(step.inputs["machine"]), "serves", named, "ARM: extension", now)
        done = ""
        if extension is None:
            done = "the extension is off the machine already"
        elif named == _address(step, context):
            done = "the extension names the account that takes over already"
        return Observation(done, (reading,))

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        """A deletion that was sent: ARM shows the extension until the deletion ends, as long as its machine is away."""
        extension = await machine.extension_of(step, context)
        if extension is None:
            return Observation("the extension is off the machine already")
        if machine.state_of(extension) == "deleting":
            return machine.operation_on("DELETE", step.inputs, context)
        return Observation()

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        inputs = step.inputs
        # What cannot be installed again is not removed.
        machine.protected_settings(str(inputs["protected"]), context)
        if not _address(step, context):
            raise StepFailedError("the account that takes over gives no address", where=step.id, code="NoAddress")
        extension = await machine.extension_of(step, context)
        machine.refuse_another(step, extension)
        if extension is not None and machine.state_of(extension) == "deleting":
            return machine.operation_on("DELETE", inputs, context)
        params = {"api-version": wire.machine_api(str(inputs["machine"]))}
        outcome = await context.azure.rest.start("DELETE", extension_path(inputs), params=params)
        return outcome if isinstance(outcome, Operation) else Result(REMOVED)

    async def forgotten(self, step: Step, context: StepContext, error: CloudError) -> Operation | Result:
        if await machine.extension_of(step, context) is None:
            return Result(REMOVED)
        return machine.operation_on("DELETE", step.inputs, context)

    def finished(self, step: Step, progress: PollResult, context: StepContext) -> Result:
        return Result(REMOVED)


class Register(MachineHandler):
    """``register``: the extension is installed again, with the address of the account that takes over."""

    after_failure = "; the machine serves no account until it is installed"

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        address = _address(step, context)
        await machine.refuse_another_account(step, address, context)
        extension = await machine.extension_of(step, context)
        if extension is None or wire.url_of(extension) != address or machine.state_of(extension) != "succeeded":
            return Observation()
        if await _listed(step, context) is None:
            return Observation()
        return Observation("the extension of that account is installed already", (), {"at": now})

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        inputs, address = step.inputs, _address(step, context)
        if await _listed(step, context) is None:
            try:
                await _put_worker(step, context)
            except ConflictError as error:
                raise _not_added(step, error, LOOK_AT_GROUPS) from error
        extension = await machine.extension_of(step, context)
        machine.refuse_another(step, extension)
        if extension is not None and machine.state_of(extension) in IN_MOTION and wire.url_of(extension) == address:
            return machine.operation_on("PUT", inputs, context)
        secret = machine.protected_settings(str(inputs["protected"]), context)
        body = machine.extension_body(inputs["extension"], address, secret)
        params = {"api-version": wire.machine_api(str(inputs["machine"]))}
        outcome = await context.azure.rest.start("PUT", extension_path(inputs), body, params=params)
        if isinstance(outcome, Operation):
            return outcome
        return Result("the extension is installed", {"at": rfc3339(context.clock.now())})

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        # Azure may repeat the protected settings in the message of a failure, and another process may have sent them.
        with suppress(StepFailedError):
            machine.protected_settings(str(step.inputs["protected"]), context)
        return await super().poll(step, operation, context)

    async def forgotten(self, step: Step, context: StepContext, error: CloudError) -> Operation:
        return machine.operation_on("PUT", step.inputs, context)

    def finished(self, step: Step, progress: PollResult, context: StepContext) -> Result:
        return Result(
            "the extension is installed, with the settings recorded and the new address",
            {"at": rfc3339(context.clock.now())},
        )


class VerifyWorker(WorkerHandler):
    """``verify`` and ``verify-again``: the account saw the worker after the step that the input ``after`` names."""

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        worker = await _listed(step, context)
        properties = (worker or {}).get("properties") or {}
        seen = wire.seen_at(str(properties.get("lastSeenDateTime") or ""))
        before = context.results(str(step.inputs["after"]))
        added = context.results(str(step.inputs["added_by"]))
        since = str(before.get("seen") or before.get("at") or added.get("at") or "")
        if worker is None:
            return Operation(stage="the account does not list it", retry_after=LOOK_SECONDS)
        if seen is None:
            return Operation(stage="the account has not seen it yet", retry_after=LOOK_SECONDS)
        if since and seen <= parse_time(since):
            return Operation(stage="the account saw it before the move only", retry_after=LOOK_SECONDS)
        name = str(properties.get("workerName") or step.target)
        account = str(step.inputs["account"])
        return Result(
            f"{ArmId(account).name} saw {name} at {rfc3339(seen)}",
            {"id": worker.get("name"), "name": name, "plan": account, "seen": seen.isoformat()},
        )


HANDLERS: Mapping[str, ActionHandler] = {
    "create-plan": CreateAccount(),
    "verify-plan": VerifyAccount(),
    "create-group": CreateGroup(),
    "add": AddWorker(),
    "reach": Reach(),
    "release": Release(),
    "register": Register(),
    "verify": VerifyWorker(),
    "verify-again": VerifyWorker(),
    "by-hand": WorkerHandler(),
    "delete": DeleteRecord(),
    "verify-elsewhere": VerifyElsewhere(),
    "delete-group": DeleteGroup(),
    "delete-plan": DeleteAccount(),
}


async def marks(steps: Sequence[Step], context: StepContext) -> list[tuple[str, str]]:
    """(step, what) of each worker to be added that its account lists already, under the id that only drkit gives it."""
    # Back on its own account a worker has the id that it had.
    adds = [step for step in steps if step.action == "add"] if context.runbook.kind == "failover" else []
    there: set[tuple[ArmId, str]] = set()
    for account, group in sorted({(str(step.inputs["account"]), str(step.inputs["group"])) for step in adds}):
        listed = await wire.workers(context.azure, account, group)
        there |= {(ArmId(account), str(worker.get("name", "")).lower()) for worker in listed}
    return [
        (step.id, f"{step.inputs['account']} lists {step.inputs['machine']} under the id that drkit gives it")
        for step in adds
        if (ArmId(str(step.inputs["account"])), str(step.inputs["worker"]).lower()) in there
    ]


def _address(step: Step, context: StepContext) -> str:
    """The address of the account that takes over, as the step that verified the account learned it."""
    return str(context.results(str(step.inputs["account_step"])).get("url", ""))


async def _answers(account: str, step: Step, context: StepContext, now: str) -> Reading:
    """Does the account that is left answer again? Its own regional service says so, ARM never."""
    url = str(step.inputs.get("source_url", "")) or await _address_of(account, context)
    region = str(context.regions.get(ArmId(account), ""))
    health = await wire.answers(context.azure, region, url, context.clock)
    return Reading(account, "answers", health.value, health.source, now, health.detail)


async def _address_of(account: str, context: StepContext) -> str:
    try:
        body = await wire.account(context.azure, account)
    except CloudError:
        return ""
    return str((body.get("properties") or {}).get("automationHybridServiceUrl", ""))


async def _listed(step: Step, context: StepContext) -> dict[str, Any] | None:
    """The worker of the step's machine as the account's group lists it."""
    inputs = step.inputs
    account, group, host = (str(inputs[name]) for name in ("account", "group", "machine"))
    return await wire.worker_of(context.azure, account, group, host, str(inputs.get("worker", "")))


async def _put(context: StepContext, path: str, body: Mapping[str, Any]) -> None:
    await context.azure.rest.request("PUT", path, params={"api-version": wire.API}, json=dict(body))


async def _put_worker(step: Step, context: StepContext) -> None:
    """Make the step's machine a worker of its group."""
    await _put(context, worker_path(step.inputs), {"properties": {"vmResourceId": step.inputs["machine"]}})


def _not_added(step: Step, error: ConflictError, remedy: str) -> StepFailedError:
    code = "Refused" if REFUSAL in error.what else error.code
    return StepFailedError(error.what, where=step.target, code=code, remedy=remedy)
