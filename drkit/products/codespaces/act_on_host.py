"""Codespaces, the host side: reach, release, register and, if nobody signs in, put back, each through the run command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from drkit.errors import CloudError, ConflictError, NotFoundError, UnknownFateError
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Reading
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.products.base import (
    Observation,
    RegisteredElsewhereError,
    Result,
    StepContext,
    StepFailedError,
    approved_script,
)
from drkit.products.codespaces.settings import settings_of
from drkit.products.host_answers import answer, silent
from drkit.providers.compute import run_command_output

WATCH_SECONDS = 15.0
COMMAND_SECONDS = 5.0
# A script that did not get through, or whose fate is unknown, is delivered again for so long.
AGAIN = "again:"
AGAIN_SECONDS = 15.0
AGAIN_MINUTES = 10.0
WRITING = ("codespaces_release", "codespaces_restore")
ROOT_WRITES = ("0.1",)
"""Versions whose scripts write as root where a registration outside a home lies (see docs/host-scripts.md)."""
NO_ENVIRONMENT = str(UUID(int=0))
RELEASED = {
    "released": "the old registration is released",
    "forgotten": "`stop` did not end while its region is down, so the registration was moved aside (kept on the host)",
    "absent": "there was no registration on it",
}
Ours = Callable[[Step, StepContext], Awaitable[Any]]


class HostSteps:
    """Steps whose work is done on a host. An operation's ``stage`` says which script is awaited, and for which name.

    ``reach`` · ``release`` · ``register#N`` -> ``watching#N`` <-> ``watch#N`` · ``restore#N|why`` (N: which of the names);
    ``again:STAGE``: that script is to be delivered once more, which its nonce makes harmless.
    ``ours`` gives what the service lists for a step's owner under its names, or None; ``listed_still`` whether the plan that the
    host was released from knows its old registration still.
    """

    def __init__(self, ours: Ours, listed_still: Callable[[Step, StepContext], Awaitable[bool]]) -> None:
        self._ours, self._listed_still = ours, listed_still

    async def instance(self, host: str, context: StepContext, now: str) -> Reading:
        """The instance id ARM gives for a host now; ``gone`` when it is not there."""
        source = "ARM: virtual machine"
        try:
            vm = await context.azure.compute.vm(host)
        except NotFoundError:
            return Reading(host, "instance_id", "gone", source, now)
        except CloudError as error:
            return Reading(host, "instance_id", "unknown", source, now, str(error))
        return Reading(host, "instance_id", str((vm.get("properties") or {}).get("vmId", "unknown")), source, now)

    async def act(self, step: Step, context: StepContext, since: str = "") -> Operation:
        inputs = step.inputs
        if step.action == "reach":
            values = {"drkit_urls": "\n".join(inputs["urls"]), "drkit_timeout": "10"}
            return await self._send(step, context, "reach", values, "reach", since)
        if step.action == "release":
            values = self._release(step, context, str(inputs["environment"]))
            return await self._send(step, context, "codespaces_release", values, "release", since)
        return await self._register(step, context, 0, since)

    def _release(self, step: Step, context: StepContext, environment: str) -> dict[str, str]:
        inputs = step.inputs
        return {
            "drkit_nonce": context.nonce(step.id),
            "drkit_user": str(inputs["user"]),
            "drkit_registration": str(inputs["registration"]),
            "drkit_environment": environment,
            "drkit_timeout": str(int(inputs["timeout"])),
            "drkit_force": "1" if inputs["move_aside"] else "0",
        }

    async def settle(self, step: Step, context: StepContext) -> Observation:
        """What an earlier delivery of a release did. Asked with the nil id, which no registration has, so nothing is done."""
        values = self._release(step, context, NO_ENVIRONMENT)
        until = context.clock.monotonic() + AGAIN_MINUTES * 60
        while context.clock.monotonic() < until:
            try:
                operation = await self._deliver(step, context, "codespaces_release", values, "settle")
                progress = await context.azure.rest.poll(operation)
                while progress.state == "running" and context.clock.monotonic() < until:
                    await context.clock.sleep(COMMAND_SECONDS)
                    progress = await context.azure.rest.poll(operation)
            except (ConflictError, UnknownFateError):
                await context.clock.sleep(AGAIN_SECONDS)
                continue
            found = answer(step, _stdout(progress.body), "release") if progress.state == "succeeded" else {}
            state = str(found.get("state"))
            if found.get("again") and state in RELEASED:
                return Observation(RELEASED[state], (), self._outcome(step, found, context))
            if found and state != "running":
                return Observation()
            await context.clock.sleep(AGAIN_SECONDS)
        raise StepFailedError(
            "what an earlier delivery did on the host could not be learnt",
            where=step.target,
            code="NotObserved",
            settled=False,
            remedy="look at the host's registration, then `drkit resume`",
        )

    async def _register(self, step: Step, context: StepContext, number: int, since: str = "") -> Operation:
        inputs = step.inputs
        values = {
            "drkit_nonce": self._nonce(step, context, number),
            "drkit_user": str(inputs["user"]),
            "drkit_plan": str(inputs["plan"]),
            "drkit_name": str(inputs["names"][number]),
            "drkit_workspace": str(inputs["workspace"]),
            "drkit_service": "1" if inputs["service"] else "0",
        }
        return await self._send(step, context, "codespaces_register", values, f"register#{number}", since)

    def _nonce(self, step: Step, context: StepContext, number: int) -> str:
        return context.nonce(f"{step.id}#{number}" if number else step.id)

    async def _send(
        self, step: Step, context: StepContext, script: str, values: dict[str, str], stage: str, since: str = ""
    ) -> Operation:
        """Deliver a script; when the host is busy with another, or nobody knows whether it arrived, again a little later."""
        if script in WRITING:
            values = self._as_its_user(step, context, script, values)
        try:
            return await self._deliver(step, context, script, values, stage)
        except (ConflictError, UnknownFateError) as error:
            now = context.clock.now()
            if since and (now - parse_time(since)).total_seconds() > AGAIN_MINUTES * 60:
                raise _untold(step, error) from error
            return Operation(stage=f"{AGAIN}{stage}", retry_after=AGAIN_SECONDS, since=since or rfc3339(now))

    def _as_its_user(self, step: Step, context: StepContext, script: str, values: dict[str, str]) -> dict[str, str]:
        """What a script is handed, so that it acts on the registration as its user and never as root.

        Those of version 0.1 do that only where the path lies in the user's home, and are handed it as such. StepFailedError
        for another path.
        """
        path, home = values["drkit_registration"], settings_of(context.settings).registration
        if path.startswith("~/") or approved_script(step, context, script).version not in ROOT_WRITES:
            return values
        if home.startswith("~/") and path.endswith(home[1:]):
            return {**values, "drkit_registration": home}
        raise StepFailedError(
            f"{path} is outside a home, and {script} as it was approved would write there as root",
            where=step.target,
            code="UnsafeScript",
            remedy="see to this host by hand (a copy of what was released lies in "
            f"/var/lib/drkit/{values['drkit_nonce']}), then `drkit assess`, and `drkit plan --rebase {context.run}` with this drkit",
        )

    async def _deliver(
        self, step: Step, context: StepContext, script: str, values: dict[str, str], stage: str
    ) -> Operation:
        loaded = approved_script(step, context, script)
        operation = await context.azure.compute.run_command(str(step.inputs["host"]), loaded, values)
        return msgspec.structs.replace(
            operation, stage=stage, since=rfc3339(context.clock.now()), retry_after=COMMAND_SECONDS
        )

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        stage, _, why = operation.stage.partition("|")
        word, _, digits = stage.partition("#")
        number = int(digits or 0)
        if word == "watching":
            return await self._watch(step, context, operation, number)
        if word.startswith(AGAIN):
            return await self._again(step, context, word.removeprefix(AGAIN), number, why, operation.since)
        try:
            progress = await context.azure.rest.poll(operation)
        except CloudError as error:
            if error.status not in (404, 410):
                raise
            # The operation is forgotten; its script tells again what it did.
            if word == "watch":
                return _watching(number, operation.since)
            return await self._again(step, context, word, number, why, "")
        if progress.state == "running":
            return msgspec.structs.replace(operation, retry_after=progress.retry_after or COMMAND_SECONDS)
        if progress.state == "failed":
            raise StepFailedError(
                f"the run command failed: {progress.message}", where=step.id, code=progress.code, again=True
            )
        stdout = _stdout(progress.body)
        if word == "reach":
            return self._reached(step, answer(step, stdout, "reach"))
        if word == "release":
            return await self._released(step, answer(step, stdout, "release"), context)
        if word == "register":
            return await self._started(step, answer(step, stdout, "register"), context, number)
        if word == "watch":
            return await self._seen(step, answer(step, stdout, "watch"), context, operation, number)
        return await self._restored(step, answer(step, stdout, "restore"), context, why)

    async def _again(
        self, step: Step, context: StepContext, word: str, number: int, why: str, since: str
    ) -> Operation | Result:
        """Deliver the script of a stage once more, under the same nonce."""
        if word == "register":
            return await self._register(step, context, number, since)
        if word == "restore":
            return await self._restore(step, context, number, why, since)
        return await self.act(step, context, since)

    def _reached(self, step: Step, found: dict[str, Any]) -> Result:
        if found["results"] is None:
            return Result("not tried from the host: it has neither curl nor wget", {"tried": False})
        dead = silent(found["results"], [str(url) for url in step.inputs["urls"]])
        if dead:
            raise StepFailedError(
                f"{', '.join(dead)} does not answer from the host",
                where=step.target,
                code="NotReached",
                again=True,
                remedy="open the way from this host, then `drkit resume`",
            )
        return Result("the target region answers from the host", {"tried": True})

    def _outcome(self, step: Step, found: dict[str, Any], context: StepContext) -> dict[str, Any]:
        return {"state": found.get("state"), "nonce": context.nonce(step.id), "id": found.get("id")}

    async def _released(self, step: Step, found: dict[str, Any], context: StepContext) -> Operation | Result:
        state = str(found.get("state"))
        if state in RELEASED:
            return Result(RELEASED[state], self._outcome(step, found, context))
        if state == "running":
            now = rfc3339(context.clock.now())
            return Operation(stage=f"{AGAIN}release", retry_after=AGAIN_SECONDS, since=now)
        if state == "other" and (moved := await self._moved(step, str(found.get("id")), context)):
            return Result(moved, self._outcome(step, found, context))
        faults = {
            "interrupted": "an earlier delivery was cut off on the host before it could say: look at its registration",
            "kept": "`stop` did not end, and moving the registration aside is not allowed by the settings",
            "other": f"another environment is registered there ({found.get('id')}): nothing was touched",
            "no-cli": "the host has no codespaces command line",
            "no-user": f"the host has no user {step.inputs['user']!r}",
        }
        raise StepFailedError(faults.get(state, f"answered {state!r}"), where=step.target, code=f"Release-{state}")

    async def _moved(self, step: Step, held: str, context: StepContext) -> str:
        """That the registration on a host is the one that this runbook is to bring about, whoever did it; empty when it is not."""
        register = next((one for one in context.runbook.steps if one.inputs.get("released_by") == step.id), None)
        ours = await self._ours(register, context) if register is not None else None
        if ours is None or str(ours.get("id", "")).lower() != held.lower():
            return ""
        return f"the host serves already as {ours.get('friendlyName')} under the target plan; nothing was taken off"

    async def _started(
        self, step: Step, found: dict[str, Any], context: StepContext, number: int
    ) -> Operation | Result:
        state = str(found.get("state"))
        if state == "started":
            return _watching(number, rfc3339(context.clock.now()))
        faults = {
            "interrupted": "`start` was cut off on the host before it began",
            "no-cli": "the host has no codespaces command line",
            "no-user": f"the host has no user {step.inputs['user']!r}",
            "no-workspace": f"the host has no folder {step.inputs['workspace']!r}",
        }
        # It was released before, so it must not be left without any registration.
        return await self._restore(step, context, number, faults.get(state, f"`start` answered {state!r}"))

    async def _watch(self, step: Step, context: StepContext, operation: Operation, number: int) -> Operation:
        values = {
            "drkit_nonce": self._nonce(step, context, number),
            "drkit_user": str(step.inputs["user"]),
            "drkit_registration": str(step.inputs["registration"]),
        }
        try:
            sent = await self._deliver(step, context, "codespaces_watch", values, f"watch#{number}")
        except (ConflictError, UnknownFateError) as error:
            minutes = float(step.inputs["sign_in_minutes"]) + AGAIN_MINUTES
            if (context.clock.now() - parse_time(operation.since)).total_seconds() > minutes * 60:
                raise _untold(step, error) from error
            return _watching(number, operation.since)
        return msgspec.structs.replace(sent, since=operation.since)

    async def _seen(
        self, step: Step, found: dict[str, Any], context: StepContext, operation: Operation, number: int
    ) -> Operation | Result:
        held = str(found.get("id") or "")
        if held and not found.get("already") and held.lower() != str(step.inputs["environment"]).lower():
            return Result("the host says it is registered", {"id": held, "name": step.inputs["names"][number]})
        minutes = float(step.inputs["sign_in_minutes"])
        waited = (context.clock.now() - parse_time(operation.since)).total_seconds() > minutes * 60
        exited = found.get("state") == "exited"
        if exited or waited:
            # Nothing is put back, and nothing tried again, beside a registration that the service has.
            ours = await self._ours(step, context)
            if ours is not None:
                data = {"id": ours.get("id"), "name": ours.get("friendlyName")}
                return Result("its new plan's service lists it, for its owner", data)
        if found.get("already"):
            raise RegisteredElsewhereError(
                f"the host says it is registered already, as {found['already']}",
                another=str(found["already"]),
                where=step.target,
                remedy="look at the host: `codespaces stop` there ends that registration; then `drkit resume`",
            )
        if exited and (found.get("error") or found.get("rc") != 0):
            error = context.azure.redact(str(found.get("error") or f"ended with status {found.get('rc')}"))
            if _name_held(error) and number + 1 < len(step.inputs["names"]):
                return await self._register(step, context, number + 1)
            return await self._restore(step, context, number, f"the host's `start` failed: {error}")
        code = found.get("code")
        if isinstance(code, str) and code and not exited:
            context.show_code(step.id, code, str(found.get("url") or ""))
        if waited:
            return await self._restore(step, context, number, f"nobody signed in within {minutes:.0f} min")
        return _watching(number, operation.since)

    async def _restore(self, step: Step, context: StepContext, number: int, why: str, since: str = "") -> Operation:
        if not await self._listed_still(step, context):
            # `stop` ended that registration at its service: put back, it would be a dead one, in the way of the next.
            raise StepFailedError(
                f"{why}; its old registration was ended when the host was released, so the host is registered nowhere now",
                where=step.target,
                code="NotRegistered",
                remedy="find the owner, then `drkit resume` asks again; or `drkit assess` and `drkit plan`",
                reopen=(str(step.inputs["released_by"]).rsplit(":", 1)[0] + ":ready",),
            )
        release = context.results(str(step.inputs["released_by"]))
        values = {
            "drkit_nonce": str(release.get("nonce", "")),
            "drkit_user": str(step.inputs["user"]),
            "drkit_registration": str(step.inputs["registration"]),
            "drkit_register_nonce": self._nonce(step, context, number),
        }
        return await self._send(step, context, "codespaces_restore", values, f"restore#{number}|{why}", since)

    async def _restored(self, step: Step, found: dict[str, Any], context: StepContext, why: str) -> Result:
        state = str(found.get("state"))
        if state == "occupied":
            # Somebody may have signed in at the last moment.
            ours = await self._ours(step, context)
            if ours is not None:
                data = {"id": ours.get("id"), "name": ours.get("friendlyName")}
                return Result("its new plan's service lists it, for its owner", data)
        words = {
            "restored": "its old registration is back on the host; whether the old plan takes it shows when that region returns",
            "no-backup": "there was no old registration to put back",
            "occupied": f"another registration is on the host ({found.get('id')}), so the old one was not put back",
        }
        release = str(step.inputs["released_by"])
        # Its owner is asked anew. Only what is registered again can be released again; the copy of what was not put back
        # lies on the host under the nonce of the release that made it.
        anew = {"restored": (release.rsplit(":", 1)[0] + ":ready", release), "occupied": ()}
        raise StepFailedError(
            f"{why}; {words.get(state, f'putting the old one back answered {state!r}')}",
            where=step.target,
            code="NotRegistered",
            remedy="find the owner, then `drkit resume` asks again",
            reopen=anew.get(state, (release.rsplit(":", 1)[0] + ":ready",)),
        )


def _untold(step: Step, error: CloudError) -> StepFailedError:
    """A script that did not get through for so long: whoever looks at it later delivers it under the same nonce."""
    return StepFailedError(
        f"the host could not be told for {AGAIN_MINUTES:.0f} min: {error.what}",
        where=step.target,
        code=error.code or type(error).__name__,
        again=True,
        remedy="look at the machine and its agent, then `drkit resume`",
    )


def _stdout(body: Any) -> str:
    return run_command_output(body)[0]


def _watching(number: int, since: str) -> Operation:
    return Operation(stage=f"watching#{number}", retry_after=WATCH_SECONDS, since=since)


def _name_held(error: str) -> bool:
    """Whether ``start`` was refused because a record holds the name (message code 2, as its command line puts it)."""
    return "already exists" in error.lower() or "conflict" in error.lower()
