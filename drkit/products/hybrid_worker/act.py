"""Hybrid workers, the acting half: accounts, groups and workers made; extensions taken off and installed; last-seen times verified.

Only the machine's own resource and the account that takes over are written to, never the account left behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from drkit.errors import CloudError, ConflictError, FileError, NotFoundError, UnknownFateError
from drkit.model import files
from drkit.model.actions import Actions
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Reading, region_name
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import (
    Observation,
    RegisteredElsewhereError,
    Result,
    StepContext,
    StepFailedError,
    approved_script,
)
from drkit.products.defaults import ByTable, made_by
from drkit.products.host_answers import answer, silent
from drkit.products.hybrid_worker import client as wire
from drkit.products.hybrid_worker.act_cleanup import Tidying
from drkit.products.hybrid_worker.actions import ACTIONS, extension_path, worker_path
from drkit.products.hybrid_worker.plan_cleanup import TIDY
from drkit.products.hybrid_worker.settings import URL
from drkit.providers.compute import run_command_output

LOOK_SECONDS = 10.0
COMMAND_SECONDS = 5.0
IN_MOTION = frozenset({"creating", "updating", "deleting", "accepted"})
REFUSAL = "different account"
QUOTA_CODES = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed"})


class Acts(ByTable):
    """Looks, acts once, polls, verifies."""

    actions: Actions = ACTIONS

    def __init__(self) -> None:
        self.tidying = Tidying()

    # looking

    async def observe(self, step: Step, context: StepContext) -> Observation:
        if step.action in TIDY:
            return await self.tidying.observe(step, context)
        now = rfc3339(context.clock.now())
        readings: list[Reading] = []
        signals = {condition.signal for condition in step.preconditions}
        for condition in step.preconditions:
            if condition.signal == "answers":
                readings.append(await self._answers(condition.subject, step, context, now))
            elif condition.signal == "may-change-extensions":
                readings.append(await self._permitted(condition.subject, context, now))
        if signals & {"instance_id", "running", "agent", "identity"}:
            readings.extend(await self._machine(str(step.inputs["machine"]), context, now))
        done, data = "", dict[str, Any]()
        if step.action == "create-plan":
            reading, done = await self._account(step, context, now)
            readings.append(reading)
        elif step.action == "create-group":
            done = await self._group(step, context)
        elif step.action == "add":
            found = await self._listed(step, context)
            if found is not None:
                done, data = "it is a worker of that group already", {"worker": found.get("name"), "at": now}
        elif step.action == "release":
            reading, done = await self._released(step, context, now)
            readings.append(reading)
        elif step.action == "register":
            done = await self._registered(step, context)
            data = {"at": now}
        return Observation(done, tuple(readings), data if done else {})

    async def _answers(self, plan_id: str, step: Step, context: StepContext, now: str) -> Reading:
        """Does the account left behind answer again? Its own regional service says so, ARM never."""
        url = str(step.inputs.get("source_url", "")) or await self._address(plan_id, context)
        region = str(context.regions.get(plan_id.lower(), ""))
        health = await wire.answers(context.azure, region, url, context.clock)
        return Reading(plan_id, "answers", health.value, health.source, now, health.detail)

    async def _address(self, account: str, context: StepContext) -> str:
        try:
            found = await wire.account(context.azure, account)
        except CloudError:
            return ""
        return str((found.get("properties") or {}).get("automationHybridServiceUrl", ""))

    async def _permitted(self, machine: str, context: StepContext, now: str) -> Reading:
        source = "ARM: permissions"
        try:
            value = await wire.permitted(context.azure, machine)
        except CloudError as error:
            return Reading(machine, "may-change-extensions", "unknown", source, now, str(error))
        return Reading(machine, "may-change-extensions", value, source, now)

    async def _machine(self, machine: str, context: StepContext, now: str) -> list[Reading]:
        """Itself, running, its agent and its identity, as ARM has them now."""
        source = "ARM: machine"
        values: dict[str, Any] = dict.fromkeys(("instance_id", "running", "agent", "identity"), "unknown")
        try:
            if "/microsoft.compute/" in machine.lower():
                values = _vm(await context.azure.compute.vm(machine))
            else:
                values = _arc(await context.azure.resources.resource(machine, wire.machine_api(machine)))
        except NotFoundError:
            values = {"instance_id": "gone", "running": False, "agent": "none", "identity": False}
        except CloudError as error:
            source = f"{source}: {error.what}"
        return [Reading(machine, signal, value, source, now) for signal, value in values.items()]

    async def _account(self, step: Step, context: StepContext, now: str) -> tuple[Reading, str]:
        source = "ARM: Automation account"
        try:
            found = await wire.account(context.azure, step.target)
        except NotFoundError:
            return Reading(step.target, "exists", False, source, now), ""
        except CloudError as error:
            return Reading(step.target, "exists", "unknown", source, now, str(error)), ""
        ours = str((found.get("tags") or {}).get(TAG_SOURCE, "")).lower() == str(step.inputs["source"]).lower()
        there = Reading(step.target, "exists", True, source, now)
        if ours and region_name(str(found.get("location", ""))) == step.region:
            return there, "the account is there already, made for this source"
        return there, ""

    async def _group(self, step: Step, context: StepContext) -> str:
        answer = await context.azure.rest.request("GET", step.target, params={"api-version": wire.API}, allow=(404,))
        return "the group is there already" if answer.status == 200 else ""

    async def _listed(self, step: Step, context: StepContext) -> dict[str, Any] | None:
        inputs = step.inputs
        account, group, machine = (str(inputs[name]) for name in ("account", "group", "machine"))
        return await wire.worker_of(context.azure, account, group, machine, str(inputs.get("worker", "")))

    async def _released(self, step: Step, context: StepContext, now: str) -> tuple[Reading, str]:
        machine = str(step.inputs["machine"])
        held = await self._extension(step, context)
        named = wire.url_of(held) if held is not None else "none"
        reading = Reading(machine, "serves", named, "ARM: extension", now)
        if held is None:
            return reading, "the extension is off the machine already"
        if named == self._url(step, context):
            return reading, "the extension names the account that takes over already"
        return reading, ""

    async def _free(self, step: Step, context: StepContext) -> None:
        """RegisteredElsewhereError when the machine carries a worker's extension that names another account than the one to be."""
        machine, ours = str(step.inputs["machine"]), self._url(step, context)
        for held in await wire.extensions(context.azure, machine):
            named = wire.url_of(held)
            # One that is on its way off is no registration any more; one without an address serves nobody.
            if (
                wire.is_worker_extension(held)
                and named
                and _state(held) != "deleting"
                and named.lower() != ours.lower()
            ):
                raise RegisteredElsewhereError(
                    f"its extension {held.get('name')} names another account, {named}: nothing was written over it",
                    another=named,
                    where=machine,
                    remedy="ask whose it is; once it is off the machine, `drkit resume` registers it as planned",
                )

    async def _registered(self, step: Step, context: StepContext) -> str:
        await self._free(step, context)
        held = await self._extension(step, context)
        if held is None or wire.url_of(held) != self._url(step, context) or _state(held) != "succeeded":
            return ""
        if await self._listed(step, context) is None:
            return ""
        return "the extension of that account is installed already"

    def _url(self, step: Step, context: StepContext) -> str:
        """The address of the account that takes over, as the step that verified it learnt it."""
        return str(context.results(str(step.inputs["account_step"])).get("url", ""))

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        """What came of a deletion that left: ARM shows it until it is over, as long as its machine is away. The rest is seen at once."""
        if step.action != "release":
            return Observation()
        held = await self._extension(step, context)
        if held is None:
            return Observation("the extension is off the machine already")
        return _watched("DELETE", step.inputs, context) if _state(held) == "deleting" else Observation()

    # acting

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        if step.action in TIDY:
            return await self.tidying.act(step, context)
        if step.action == "create-plan":
            return await self._create(step, context)
        if step.action == "create-group":
            await _put(context, step.target, step.inputs["body"])
            return Result(f"worker group {step.target.rsplit('/', 1)[-1]} is there")
        if step.action == "add":
            return await self._add(step, context)
        if step.action == "reach":
            return await self._reach(step, context)
        if step.action == "release":
            return await self._release(step, context)
        return await self._register(step, context)

    async def _create(self, step: Step, context: StepContext) -> Result:
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
        return Result(f"Automation account {step.target.rsplit('/', 1)[-1]} is created in {step.region}")

    async def _add(self, step: Step, context: StepContext) -> Result:
        inputs = step.inputs
        try:
            await _put(context, worker_path(inputs), {"properties": {"vmResourceId": inputs["machine"]}})
        except ConflictError as error:
            if REFUSAL in error.what and inputs["if_refused"] == "extension-first":
                why = "the account refuses it while the old extension is on the machine; added once that is off"
                return Result(why, {"refused": True})
            raise _not_added(step, error) from error
        data = {"worker": inputs["worker"], "at": rfc3339(context.clock.now())}
        return Result(f"{step.target} is a worker of group {inputs['group']}", data)

    async def _reach(self, step: Step, context: StepContext) -> Operation:
        loaded = approved_script(step, context, "reach")
        values = {"drkit_urls": self._url(step, context), "drkit_timeout": "10"}
        try:
            operation = await context.azure.compute.run_command(str(step.inputs["machine"]), loaded, values)
        except (ConflictError, UnknownFateError) as error:
            # The script only looks, so delivering it once more is harmless.
            raise StepFailedError(error.what, where=step.target, code="Busy", again=True, settled=True) from error
        return msgspec.structs.replace(operation, stage="reach", retry_after=COMMAND_SECONDS)

    async def _release(self, step: Step, context: StepContext) -> Operation | Result:
        inputs = step.inputs
        # What cannot be installed again is not taken off.
        protected(str(inputs["protected"]), context)
        if not self._url(step, context):
            raise StepFailedError("the account that takes over tells no address", where=step.id, code="NoAddress")
        params = {"api-version": wire.machine_api(str(inputs["machine"]))}
        held = await wire.extension(context.azure, str(inputs["machine"]), _name(inputs))
        _own(step, held)
        if held is not None and _state(held) == "deleting":
            return _watched("DELETE", inputs, context)
        outcome = await context.azure.rest.start("DELETE", extension_path(inputs), params=params)
        return outcome if isinstance(outcome, Operation) else Result("the extension is off the machine")

    async def _register(self, step: Step, context: StepContext) -> Operation | Result:
        inputs, url = step.inputs, self._url(step, context)
        if await self._listed(step, context) is None:
            try:
                await _put(context, worker_path(inputs), {"properties": {"vmResourceId": inputs["machine"]}})
            except ConflictError as error:
                raise _not_added(step, error) from error
        held = await wire.extension(context.azure, str(inputs["machine"]), _name(inputs))
        _own(step, held)
        if held is not None and _state(held) in IN_MOTION and wire.url_of(held) == url:
            return _watched("PUT", inputs, context)
        body = extension_body(inputs["extension"], url, protected(str(inputs["protected"]), context))
        params = {"api-version": wire.machine_api(str(inputs["machine"]))}
        outcome = await context.azure.rest.start("PUT", extension_path(inputs), body, params=params)
        if isinstance(outcome, Operation):
            return outcome
        return Result("the extension is installed", {"at": rfc3339(context.clock.now())})

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        if step.action == "register":
            # Azure may say them back in what it tells of a failure, and another process may have sent them.
            with suppress(StepFailedError):
                protected(str(step.inputs["protected"]), context)
        try:
            progress = await context.azure.rest.poll(operation)
        except CloudError as error:
            if error.status not in (404, 410) or step.action == "reach":
                raise
            # The operation is forgotten; the extension itself says how it ended. An Arc machine's 404 has a code of its own.
            if step.action == "release" and await self._extension(step, context) is None:
                return Result("the extension is off the machine")
            return _watched("DELETE" if step.action == "release" else "PUT", step.inputs, context)
        if progress.state == "running":
            return msgspec.structs.replace(operation, retry_after=progress.retry_after or LOOK_SECONDS)
        if progress.state == "failed":
            lost = "; the machine serves no account until it is installed" if step.action == "register" else ""
            raise StepFailedError(
                f"{progress.message or 'it failed'}{lost}",
                where=step.target,
                code=progress.code,
                again=True,
                settled=True,
            )
        if step.action == "reach":
            return _reached(step, self._url(step, context), run_command_output(progress.body))
        if step.action == "release":
            return Result("the extension is off the machine")
        return Result(
            "the extension is installed, with the settings recorded and the new address",
            {"at": rfc3339(context.clock.now())},
        )

    # verifying

    async def _extension(self, step: Step, context: StepContext) -> dict[str, Any] | None:
        return await wire.extension(context.azure, str(step.inputs["machine"]), _name(step.inputs))

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        if step.action in TIDY:
            return await self.tidying.verify(step, context)
        if step.action == "verify-plan":
            return await self._verify_account(step, context)
        found = await self._listed(step, context)
        seen = wire.seen_at(str(((found or {}).get("properties") or {}).get("lastSeenDateTime") or ""))
        before = context.results(str(step.inputs["after"]))
        since = str(
            before.get("seen") or before.get("at") or context.results(str(step.inputs["added_by"])).get("at") or ""
        )
        name = str(((found or {}).get("properties") or {}).get("workerName") or step.target)
        if found is None:
            return Operation(stage="the account does not list it", retry_after=LOOK_SECONDS)
        if seen is None:
            return Operation(stage="the account has not seen it yet", retry_after=LOOK_SECONDS)
        if since and seen <= parse_time(since):
            return Operation(stage="the account saw it before the move only", retry_after=LOOK_SECONDS)
        account = str(step.inputs["account"])
        return Result(
            f"{account.rsplit('/', 1)[-1]} saw {name} at {rfc3339(seen)}",
            {"id": found.get("name"), "name": name, "plan": account, "seen": seen.isoformat()},
        )

    async def _verify_account(self, step: Step, context: StepContext) -> Result:
        found = await wire.account(context.azure, step.target)
        if region_name(str(found.get("location", ""))) != step.region:
            raise StepFailedError(f"the account is in {found.get('location')}, not {step.region}", where=step.target)
        url = str((found.get("properties") or {}).get("automationHybridServiceUrl", ""))
        health = await wire.answers(context.azure, step.region, url, context.clock)
        if health.value != "yes":
            raise StepFailedError(
                f"its regional service does not answer: {health.detail}",
                where=step.target,
                code="NotAnswering",
                again=True,
            )
        principal = str((found.get("identity") or {}).get("principalId") or "")
        told = {"url": url, **({"principal": principal} if principal else {})}
        return Result(f"ARM has it in {step.region}, and its own service there answers ({health.detail})", told)


async def marks(steps: Sequence[Step], context: StepContext) -> list[tuple[str, str]]:
    """(step, what) of each worker to be added that its account lists already, under the id that only drkit gives it."""
    # Back on the account of its own a worker has the id it had.
    adds = [step for step in steps if step.action == "add"] if context.runbook.kind == "failover" else []
    there: set[tuple[str, str]] = set()
    for account, group in sorted({(str(step.inputs["account"]), str(step.inputs["group"])) for step in adds}):
        listed = await wire.workers(context.azure, account, group)
        there |= {(account.lower(), str(item.get("name", "")).lower()) for item in listed}
    return [
        (step.id, f"{step.inputs['account']} lists {step.inputs['machine']} under the id that drkit gives it")
        for step in adds
        if (str(step.inputs["account"]).lower(), str(step.inputs["worker"]).lower()) in there
    ]


def protected(source: str, context: StepContext) -> dict[str, Any] | None:
    """Protected settings from where drkit.toml says they are; never kept, never shown. StepFailedError where they are not there."""
    if source == "none" or source.startswith("vault:"):
        return None  # a key vault's secret Azure reads itself
    kind, _, name = source.partition(":")
    text, why = None, ""
    if kind == "env":
        text = os.environ.get(name)
    elif kind == "file":
        try:
            text = files.text(context.settings.beside(name))
        except FileError as error:
            why = f": it {error.what}"
    try:
        value = json.loads(text or "")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StepFailedError(
            f"the protected settings are not to be had from {source}{why}",
            code="NoProtectedSettings",
            remedy=f"put a JSON object into {'the variable' if kind == 'env' else 'the file'} {name}, then `drkit resume`",
        )
    for text in _texts(value):
        context.azure.redact.add(text)
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


def extension_body(held: Mapping[str, Any], url: str, secret: Mapping[str, Any] | None) -> dict[str, Any]:
    """What installs an extension again: all that was recorded, only the address another one."""
    properties = dict(held.get("properties") or {})
    properties["settings"] = {**(properties.get("settings") or {}), URL: url}
    if secret is not None:
        properties["protectedSettings"] = dict(secret)
    body: dict[str, Any] = {"location": held["location"]} if held.get("location") else {}
    return {**body, **({"tags": held["tags"]} if held.get("tags") else {}), "properties": properties}


async def _put(context: StepContext, path: str, body: Mapping[str, Any]) -> None:
    await context.azure.rest.request("PUT", path, params={"api-version": wire.API}, json=dict(body))


def _own(step: Step, held: Mapping[str, Any] | None) -> None:
    """StepFailedError for an extension of that name which is not the hybrid worker's."""
    if held is not None and not wire.is_worker_extension(held):
        publisher = (held.get("properties") or {}).get("publisher")
        raise StepFailedError(
            f"the extension of that name on the machine is one of {publisher}, so it is left alone",
            where=extension_path(step.inputs),
            code="OtherExtension",
            remedy="look at the machine's extensions, then `drkit resume`",
        )


def _name(inputs: Mapping[str, Any]) -> str:
    return str(inputs["extension"]["name"])


def _state(held: Mapping[str, Any]) -> str:
    return str((held.get("properties") or {}).get("provisioningState", "")).lower()


def _watched(method: str, inputs: Mapping[str, Any], context: StepContext) -> Operation:
    """What somebody, perhaps an earlier process, began: the extension itself tells when it is over."""
    version = wire.machine_api(str(inputs["machine"]))
    url = context.azure.absolute(f"{extension_path(inputs)}?api-version={version}")
    return Operation(method=method, url=url, retry_after=LOOK_SECONDS, since=rfc3339(context.clock.now()))


def _not_added(step: Step, error: ConflictError) -> StepFailedError:
    return StepFailedError(
        error.what,
        where=step.target,
        code="Refused" if REFUSAL in error.what else error.code,
        remedy='nothing was released; [products.hybrid-worker] if_refused = "extension-first", then plan and approve that'
        if REFUSAL in error.what and step.action == "add"
        else "look at the account's worker groups, then `drkit resume`",
    )


def _reached(step: Step, url: str, output: tuple[str, str]) -> Result:
    results = answer(step, output[0], "reach")["results"]
    if results is None:
        return Result("not tried from the host: it has neither curl nor wget", {"tried": False})
    if not silent(results, [url]):
        return Result("the account's service answers from the host", {"tried": True})
    raise StepFailedError(
        "the account's service does not answer from the host",
        where=step.target,
        code="NotReached",
        again=True,
        remedy="open the way from this host, then `drkit resume`",
    )


def _vm(body: Mapping[str, Any]) -> dict[str, Any]:
    properties = body.get("properties") or {}
    view = properties.get("instanceView") or {}
    power = [str(one.get("code", "")).lower() for one in view.get("statuses") or []]
    agent = [str(one.get("displayStatus", "")).lower() for one in (view.get("vmAgent") or {}).get("statuses") or []]
    return {
        "instance_id": str(properties.get("vmId", "unknown")),
        "running": "powerstate/running" in power,
        "agent": "ready" if "ready" in agent else "not ready",
        "identity": "systemassigned" in str((body.get("identity") or {}).get("type", "")).lower(),
    }


def _arc(body: Mapping[str, Any]) -> dict[str, Any]:
    properties = body.get("properties") or {}
    connected = str(properties.get("status", "")).lower() == "connected"
    return {
        "instance_id": str(properties.get("vmUuid") or "unknown"),
        "running": connected,
        "agent": "ready" if connected else "not ready",
        "identity": "systemassigned" in str((body.get("identity") or {}).get("type", "")).lower(),
    }
