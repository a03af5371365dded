"""Codespaces, a class for each action on a host: reach, release, and register, which puts the old registration back if nobody signs in.

Each works through the run command of the host's virtual machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from drkit.errors import CloudError, ConflictError, UnknownFateError
from drkit.model.clock import parse_time, rfc3339
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
from drkit.products.codespaces.handler import CodespacesHandler
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
"""Versions whose scripts write as root on a registration outside a home (see docs/host-scripts.md)."""
NO_ENVIRONMENT = str(UUID(int=0))
RELEASED = {
    "released": "the old registration is released",
    "forgotten": "`stop` did not end while its region is down, so the registration was moved aside (kept on the host)",
    "absent": "there was no registration on it",
}


@dataclass(frozen=True)
class Stage:
    """Which script an operation awaits: its word, for which of the step's names, and why, as ``WORD#NUMBER|WHY``.

    The journal keeps it as the operation's ``stage``. Before it, ``again:`` says that the script is to be delivered once more, which
    its nonce makes harmless.
    """

    word: str
    number: int = 0
    why: str = ""
    again: bool = False

    @classmethod
    def of(cls, text: str) -> Stage:
        """The stage that an operation has."""
        stage, _, why = text.partition("|")
        word, _, digits = stage.partition("#")
        return cls(word.removeprefix(AGAIN), int(digits or 0), why, word.startswith(AGAIN))


class HostHandler(CodespacesHandler):
    """Delivers a script to a host and waits for its answer. A busy host, or a lost answer, means that the script is delivered again."""

    first: str
    """The stage in which a step begins."""

    async def act(self, step: Step, context: StepContext) -> Operation:
        return await self.deliver(step, context, Stage(self.first), "")

    async def deliver(self, step: Step, context: StepContext, stage: Stage, since: str) -> Operation:
        """Deliver the script of a stage. ``since``: when its delivery was first tried; empty for the first time."""
        raise NotImplementedError

    async def answered(
        self, step: Step, context: StepContext, stage: Stage, operation: Operation, stdout: str
    ) -> Operation | Result:
        """What follows from what the script of a stage printed."""
        raise NotImplementedError

    async def forgotten(self, step: Step, context: StepContext, stage: Stage, operation: Operation) -> Operation:
        """Azure does not know the operation any more; its script says again what it did."""
        return await self.deliver(step, context, stage, "")

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        stage = Stage.of(operation.stage)
        if stage.again:
            return await self.deliver(step, context, stage, operation.since)
        try:
            progress = await context.azure.rest.poll(operation)
        except CloudError as error:
            if error.status not in (404, 410):
                raise
            return await self.forgotten(step, context, stage, operation)
        if progress.state == "running":
            return msgspec.structs.replace(operation, retry_after=progress.retry_after or COMMAND_SECONDS)
        if progress.state == "failed":
            raise StepFailedError(
                f"the run command failed: {progress.message}", where=step.id, code=progress.code, again=True
            )
        return await self.answered(step, context, stage, operation, _stdout(progress.body))

    async def _send(
        self, step: Step, context: StepContext, script: str, values: dict[str, str], stage: str, since: str
    ) -> Operation:
        """Deliver a script; when the host is busy with another, or nobody knows whether it arrived, again a little later."""
        if script in WRITING:
            values = _as_its_user(step, context, script, values)
        try:
            return await _run(step, context, script, values, stage)
        except (ConflictError, UnknownFateError) as error:
            now = context.clock.now()
            if since and (now - parse_time(since)).total_seconds() > AGAIN_MINUTES * 60:
                raise _undelivered(step, error) from error
            return Operation(stage=f"{AGAIN}{stage}", retry_after=AGAIN_SECONDS, since=since or rfc3339(now))


class Reach(HostHandler):
    """``reach``: whether the target region answers from the host."""

    first = "reach"

    async def deliver(self, step: Step, context: StepContext, stage: Stage, since: str) -> Operation:
        values = {"drkit_urls": "\n".join(step.inputs["urls"]), "drkit_timeout": "10"}
        return await self._send(step, context, "reach", values, "reach", since)

    async def answered(
        self, step: Step, context: StepContext, stage: Stage, operation: Operation, stdout: str
    ) -> Result:
        results = answer(step, stdout, "reach")["results"]
        if results is None:
            return Result("not tried from the host: it has neither curl nor wget", {"tried": False})
        dead = silent(results, [str(url) for url in step.inputs["urls"]])
        if dead:
            raise StepFailedError(
                f"{', '.join(dead)} does not answer from the host",
                where=step.target,
                code="NotReached",
                again=True,
                remedy="open the way from this host, then `drkit resume`",
            )
        return Result("the target region answers from the host", {"tried": True})


class Release(HostHandler):
    """``release``: the old registration is ended on the host, or moved aside."""

    first = "release"

    async def deliver(self, step: Step, context: StepContext, stage: Stage, since: str) -> Operation:
        values = self._values(step, context, str(step.inputs["environment"]))
        return await self._send(step, context, "codespaces_release", values, "release", since)

    def _values(self, step: Step, context: StepContext, environment: str) -> dict[str, str]:
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
        """What an earlier delivery of a release did. The nil id is asked for, which no registration has, so nothing is done."""
        values = self._values(step, context, NO_ENVIRONMENT)
        until = context.clock.monotonic() + AGAIN_MINUTES * 60
        while context.clock.monotonic() < until:
            try:
                operation = await _run(step, context, "codespaces_release", values, "settle")
                progress = await context.azure.rest.poll(operation)
                while progress.state == "running" and context.clock.monotonic() < until:
                    await context.clock.sleep(COMMAND_SECONDS)
                    progress = await context.azure.rest.poll(operation)
            except (ConflictError, UnknownFateError):
                await context.clock.sleep(AGAIN_SECONDS)
                continue
            said = answer(step, _stdout(progress.body), "release") if progress.state == "succeeded" else {}
            state = str(said.get("state"))
            if said.get("again") and state in RELEASED:
                return Observation(RELEASED[state], (), self._data(step, said, context))
            if said and state != "running":
                return Observation()
            await context.clock.sleep(AGAIN_SECONDS)
        raise StepFailedError(
            "what an earlier delivery did on the host is still unknown",
            where=step.target,
            code="NotObserved",
            settled=False,
            remedy="look at the host's registration, then `drkit resume`",
        )

    def _data(self, step: Step, said: dict[str, Any], context: StepContext) -> dict[str, Any]:
        return {"state": said.get("state"), "nonce": context.nonce(step.id), "id": said.get("id")}

    async def answered(
        self, step: Step, context: StepContext, stage: Stage, operation: Operation, stdout: str
    ) -> Operation | Result:
        said = answer(step, stdout, "release")
        state = str(said.get("state"))
        if state in RELEASED:
            return Result(RELEASED[state], self._data(step, said, context))
        if state == "running":
            now = rfc3339(context.clock.now())
            return Operation(stage=f"{AGAIN}release", retry_after=AGAIN_SECONDS, since=now)
        if state == "other" and (moved := await self._moved(step, str(said.get("id")), context)):
            return Result(moved, self._data(step, said, context))
        faults = {
            "interrupted": "an earlier delivery was cut off on the host before it could say: look at its registration",
            "kept": "`stop` did not end, and moving the registration aside is not allowed by the settings",
            "other": f"another environment is registered there ({said.get('id')}): nothing was touched",
            "no-cli": "the host has no codespaces command line",
            "no-user": f"the host has no user {step.inputs['user']!r}",
        }
        raise StepFailedError(faults.get(state, f"answered {state!r}"), where=step.target, code=f"Release-{state}")

    async def _moved(self, step: Step, registration: str, context: StepContext) -> str:
        """That the registration on a host is the one that this runbook is to bring about, no matter who did it; empty when it is not."""
        register = next((other for other in context.runbook.steps if other.inputs.get("released_by") == step.id), None)
        ours = await self.listings.ours(register, context) if register is not None else None
        if ours is None or str(ours.get("id", "")).lower() != registration.lower():
            return ""
        return f"the host serves already as {ours.get('friendlyName')} under the target plan; nothing was taken off"


class Register(HostHandler):
    """``register``: the host's program registers it under the target plan while its owner signs in.

    Stages: ``register#N`` -> ``watching#N`` <-> ``watch#N``; ``restore#N|WHY`` puts the old registration back. N: which of the names.
    """

    first = "register"

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        return await self.listings.registered(step, context, now)

    async def deliver(self, step: Step, context: StepContext, stage: Stage, since: str) -> Operation:
        if stage.word == "restore":
            return await self._restore(step, context, stage.number, stage.why, since)
        return await self._start(step, context, stage.number, since)

    async def forgotten(self, step: Step, context: StepContext, stage: Stage, operation: Operation) -> Operation:
        if stage.word == "watch":
            return _watching(stage.number, operation.since)
        return await super().forgotten(step, context, stage, operation)

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        stage = Stage.of(operation.stage)
        if stage.word == "watching":
            return await self._watch(step, context, operation, stage.number)
        return await super().poll(step, operation, context)

    async def answered(
        self, step: Step, context: StepContext, stage: Stage, operation: Operation, stdout: str
    ) -> Operation | Result:
        if stage.word == "register":
            return await self._started(step, answer(step, stdout, "register"), context, stage.number)
        if stage.word == "watch":
            return await self._seen(step, answer(step, stdout, "watch"), context, operation, stage.number)
        return await self._restored(step, answer(step, stdout, "restore"), context, stage.why)

    async def _start(self, step: Step, context: StepContext, number: int, since: str = "") -> Operation:
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

    async def _started(self, step: Step, said: dict[str, Any], context: StepContext, number: int) -> Operation | Result:
        state = str(said.get("state"))
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
            sent = await _run(step, context, "codespaces_watch", values, f"watch#{number}")
        except (ConflictError, UnknownFateError) as error:
            minutes = float(step.inputs["sign_in_minutes"]) + AGAIN_MINUTES
            if (context.clock.now() - parse_time(operation.since)).total_seconds() > minutes * 60:
                raise _undelivered(step, error) from error
            return _watching(number, operation.since)
        return msgspec.structs.replace(sent, since=operation.since)

    async def _seen(
        self, step: Step, said: dict[str, Any], context: StepContext, operation: Operation, number: int
    ) -> Operation | Result:
        registration = str(said.get("id") or "")
        released = str(step.inputs["environment"])
        if registration and not said.get("already") and registration.lower() != released.lower():
            return Result("the host says it is registered", {"id": registration, "name": step.inputs["names"][number]})
        minutes = float(step.inputs["sign_in_minutes"])
        waited = (context.clock.now() - parse_time(operation.since)).total_seconds() > minutes * 60
        exited = said.get("state") == "exited"
        if exited or waited:
            # Nothing is put back, and nothing tried again, beside a registration that the service has.
            ours = await self._listed(step, context)
            if ours is not None:
                return ours
        if said.get("already"):
            raise RegisteredElsewhereError(
                f"the host says it is registered already, as {said['already']}",
                another=str(said["already"]),
                where=step.target,
                remedy="look at the host: `codespaces stop` there ends that registration; then `drkit resume`",
            )
        if exited and (said.get("error") or said.get("rc") != 0):
            error = context.azure.redact(str(said.get("error") or f"ended with status {said.get('rc')}"))
            if _name_held(error) and number + 1 < len(step.inputs["names"]):
                return await self._start(step, context, number + 1)
            return await self._restore(step, context, number, f"the host's `start` failed: {error}")
        code = said.get("code")
        if isinstance(code, str) and code and not exited:
            context.show_code(step.id, code, str(said.get("url") or ""))
        if waited:
            return await self._restore(step, context, number, f"nobody signed in within {minutes:.0f} min")
        return _watching(number, operation.since)

    async def _listed(self, step: Step, context: StepContext) -> Result | None:
        """The step's good end, if the new plan's service lists the environment for its owner."""
        ours = await self.listings.ours(step, context)
        if ours is None:
            return None
        data = {"id": ours.get("id"), "name": ours.get("friendlyName")}
        return Result("its new plan's service lists it, for its owner", data)

    async def _restore(self, step: Step, context: StepContext, number: int, why: str, since: str = "") -> Operation:
        if not await self.listings.still_listed(step, context):
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

    async def _restored(self, step: Step, said: dict[str, Any], context: StepContext, why: str) -> Result:
        state = str(said.get("state"))
        # If the place is occupied, somebody may have signed in at the last moment.
        if state == "occupied" and (ours := await self._listed(step, context)) is not None:
            return ours
        words = {
            "restored": "its old registration is back on the host; whether the old plan takes it shows when that region returns",
            "no-backup": "there was no old registration to put back",
            "occupied": f"another registration is on the host ({said.get('id')}), so the old one was not put back",
        }
        release = str(step.inputs["released_by"])
        ready = release.rsplit(":", 1)[0] + ":ready"
        # Its owner is asked again. Only what is registered again can be released again; the copy of what was not put back
        # is on the host under the nonce of the release that made it.
        reopen = {"restored": (ready, release), "occupied": ()}
        raise StepFailedError(
            f"{why}; {words.get(state, f'putting the old one back answered {state!r}')}",
            where=step.target,
            code="NotRegistered",
            remedy="find the owner, then `drkit resume` asks again",
            reopen=reopen.get(state, (ready,)),
        )


async def _run(step: Step, context: StepContext, script: str, values: dict[str, str], stage: str) -> Operation:
    """Send the approved script to the step's host; ``stage``: that of the operation."""
    approved = approved_script(step, context, script)
    operation = await context.azure.compute.run_command(str(step.inputs["host"]), approved, values)
    return msgspec.structs.replace(
        operation, stage=stage, since=rfc3339(context.clock.now()), retry_after=COMMAND_SECONDS
    )


def _as_its_user(step: Step, context: StepContext, script: str, values: dict[str, str]) -> dict[str, str]:
    """The values for a script, so that it acts on the registration as its user and never as root.

    The scripts of version 0.1 do that only if the path is in the user's home and begins with ``~/``. StepFailedError for another path.
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
        remedy="see to this host by hand (a copy of what was released is in "
        f"/var/lib/drkit/{values['drkit_nonce']}), then `drkit assess`, and `drkit plan --rebase {context.run}` with this drkit",
    )


def _undelivered(step: Step, error: CloudError) -> StepFailedError:
    """A script that did not get through for so long: the next attempt delivers it under the same nonce."""
    return StepFailedError(
        f"no script reached the host for {AGAIN_MINUTES:.0f} min: {error.what}",
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
