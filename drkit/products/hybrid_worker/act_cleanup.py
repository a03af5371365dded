"""Hybrid workers, the acting half of a cleanup: records, empty groups and empty accounts deleted by id, each looked at just before.

A record is deleted by REST (Hybrid Runbook Workers - Delete). The portal's Delete would take the machine's extension too,
which by then serves another account; no request of these steps touches a machine.
"""

from __future__ import annotations

from typing import Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Reading
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, changed_by
from drkit.products.defaults import LOOK_SECONDS
from drkit.products.hybrid_worker import client as wire
from drkit.products.hybrid_worker.settings import settings_of

OVERTAKEN_SECONDS = 120.0
SOURCE = "ARM: hybrid worker"
ACCOUNT = "ARM: Automation account"


class Tidying:
    """``delete``, ``verify-elsewhere``, ``delete-group`` and ``delete-plan``."""

    async def observe(self, step: Step, context: StepContext) -> Observation:
        if step.effect != "delete":
            return Observation()
        now = rfc3339(context.clock.now())
        readings: list[Reading] = []
        for condition in step.preconditions:
            if condition.signal == "answers":
                url = str(step.inputs["addresses"].get(condition.subject.lower(), ""))
                region = str(context.regions.get(condition.subject.lower(), ""))
                health = await wire.answers(context.azure, region, url, context.clock)
                readings.append(Reading(condition.subject, "answers", health.value, health.source, now, health.detail))
        if any(one.value != "yes" for one in readings):
            return Observation("", tuple(readings))
        answer = await context.azure.rest.request("GET", step.target, params={"api-version": wire.API}, allow=(404,))
        if answer.status == 404 or not isinstance(answer.body, dict):
            return Observation("it is gone already")
        if step.action == "delete":
            readings.extend(await self._record(step, context, answer.body, now))
            return Observation("", tuple(readings))
        maker = str((answer.body.get("tags") or {}).get(TAG_SOURCE, ""))
        readings.append(Reading(step.target, "made-for", maker, ACCOUNT, now))
        try:
            inside = await self._inside(step, context)
        except CloudError as error:
            readings.append(Reading(step.target, "empty", "unknown", ACCOUNT, now, str(error)))
        else:
            readings.append(Reading(step.target, "empty", not inside, ACCOUNT, now, ", ".join(inside[:3])))
        return Observation("", tuple(readings), changed={step.target.lower(): changed_by(answer.body)})

    async def _record(self, step: Step, context: StepContext, body: dict[str, Any], now: str) -> list[Reading]:
        """Whose record it is, whether anything reports to it, and whether its machine reports elsewhere."""
        held = body.get("properties") or {}
        elsewhere = step.inputs["elsewhere"]
        other = ((await self._elsewhere(step, context)) or {}).get("properties") or {}
        found = "yes" if self._fresh(other, context) else "no"
        reported = self._fresh(held, context) and not _overtaken(held, other)
        return [
            Reading(step.target, "machine", str(held.get("vmResourceId") or ""), SOURCE, now),
            Reading(step.target, "idle", not reported, SOURCE, now, str(held.get("lastSeenDateTime") or "never seen")),
            Reading(str(elsewhere["id"]), "stands", found, SOURCE, now),
        ]

    def _fresh(self, held: dict[str, Any], context: StepContext) -> bool:
        """Whether it was seen of late."""
        minutes = settings_of(context.settings).last_seen_minutes
        return wire.state_of(str(held.get("lastSeenDateTime") or ""), context.clock.now(), minutes) == "Available"

    async def _elsewhere(self, step: Step, context: StepContext) -> dict[str, Any] | None:
        place = step.inputs["elsewhere"]
        found = await wire.workers(context.azure, str(place["account"]), str(place["group"]))
        return next((one for one in found if str(one.get("name", "")).lower() == str(place["id"]).lower()), None)

    async def _inside(self, step: Step, context: StepContext) -> list[str]:
        """What is in a worker group, or in an account but its modules from the start: names, for people."""
        azure = context.azure
        if step.action == "delete-group":
            account, _, name = step.target.rpartition("/hybridRunbookWorkerGroups/")
            return [str(one.get("name", "")) for one in await wire.workers(azure, account, name)]
        found: list[str] = []
        for group in await wire.below(azure, step.target, "hybridRunbookWorkerGroups"):
            found += [str(one.get("name", "")) for one in await wire.workers(azure, step.target, str(group["name"]))]
        for kind in wire.ASSETS:
            listed = await wire.below(azure, step.target, kind)
            found += [
                str(one.get("name") or one.get("id", ""))
                for one in listed
                if not (one.get("properties") or {}).get("isGlobal")
            ]
        return found

    async def act(self, step: Step, context: StepContext) -> Result:
        try:
            await context.azure.rest.request("DELETE", step.target, params={"api-version": wire.API})
        except NotFoundError:
            return Result("it is gone")
        return Result("it is deleted", {"at": rfc3339(context.clock.now())})

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        """Its machine reported elsewhere since the deletion."""
        other = await self._elsewhere(step, context)
        seen = wire.seen_at(str(((other or {}).get("properties") or {}).get("lastSeenDateTime") or ""))
        since = str(context.results(str(step.inputs["after"])).get("at") or "")
        if (
            seen is None
            or (since and seen <= parse_time(since))
            or not self._fresh((other or {})["properties"], context)
        ):
            return Operation(stage="it has not reported elsewhere since", retry_after=LOOK_SECONDS)
        place = step.inputs["elsewhere"]
        return Result(
            f"{str(place['account']).rsplit('/', 1)[-1]} saw it at {rfc3339(seen)}",
            {"id": place["id"], "plan": place["account"]},
        )


def _overtaken(held: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the other account has heard of the machine well after this one last did: a machine reports to one, twice a minute."""
    last, since = (wire.seen_at(str(one.get("lastSeenDateTime") or "")) for one in (held, other))
    return last is not None and since is not None and (since - last).total_seconds() > OVERTAKEN_SECONDS
