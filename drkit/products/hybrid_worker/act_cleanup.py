"""Hybrid workers, a class for each action of a cleanup: records, empty groups and empty accounts deleted by id after a look at each.

A record is deleted by REST (Hybrid Runbook Workers - Delete). The portal's Delete would remove the machine's extension too,
which by then serves another account; no request of these steps touches a machine.
"""

from __future__ import annotations

from typing import Any

from drkit.errors import CloudError, NotFoundError
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Observation, Result, StepContext, changed_by
from drkit.products.defaults import LOOK_SECONDS
from drkit.products.handlers import ActionHandler
from drkit.products.hybrid_worker import client as wire
from drkit.products.hybrid_worker.settings import settings_of

OVERTAKEN_SECONDS = 120.0
SOURCE = "ARM: hybrid worker"
ACCOUNT = "ARM: Automation account"


class DeletionHandler(ActionHandler):
    """Deletes the target by its id, as long as its account answers; ``look`` reads what else must hold."""

    async def observe(self, step: Step, context: StepContext) -> Observation:
        now = rfc3339(context.clock.now())
        readings: list[Reading] = []
        for condition in step.preconditions:
            if condition.signal == "answers":
                url = str(step.inputs["addresses"].get(condition.subject.lower(), ""))
                region = str(context.regions.get(ArmId(condition.subject), ""))
                health = await wire.answers(context.azure, region, url, context.clock)
                readings.append(Reading(condition.subject, "answers", health.value, health.source, now, health.detail))
        if any(reading.value != "yes" for reading in readings):
            return Observation("", tuple(readings))
        response = await context.azure.rest.request("GET", step.target, params={"api-version": wire.API}, allow=(404,))
        if response.status == 404 or not isinstance(response.body, dict):
            return Observation("it is gone already")
        seen = await self.look(step, response.body, context, now)
        return Observation("", (*readings, *seen.readings), changed=seen.changed)

    async def look(self, step: Step, body: dict[str, Any], context: StepContext, now: str) -> Observation:
        """What must hold before it is deleted, read from its body and its surroundings."""
        raise NotImplementedError

    async def act(self, step: Step, context: StepContext) -> Result:
        try:
            await context.azure.rest.request("DELETE", step.target, params={"api-version": wire.API})
        except NotFoundError:
            return Result("it is gone")
        return Result("it is deleted", {"at": rfc3339(context.clock.now())})


class DeleteRecord(DeletionHandler):
    """``delete``: the record of a worker whose machine reports to another account."""

    async def look(self, step: Step, body: dict[str, Any], context: StepContext, now: str) -> Observation:
        record = body.get("properties") or {}
        elsewhere = step.inputs["elsewhere"]
        other = ((await _elsewhere(step, context)) or {}).get("properties") or {}
        reports = "yes" if _fresh(other, context) else "no"
        reported = _fresh(record, context) and not _overtaken(record, other)
        seen = str(record.get("lastSeenDateTime") or "never seen")
        return Observation(
            readings=(
                Reading(step.target, "machine", str(record.get("vmResourceId") or ""), SOURCE, now),
                Reading(step.target, "idle", not reported, SOURCE, now, seen),
                Reading(str(elsewhere["id"]), "stands", reports, SOURCE, now),
            )
        )


class ContainerDeletion(DeletionHandler):
    """Deletes what drkit made to hold workers, if it is empty."""

    async def look(self, step: Step, body: dict[str, Any], context: StepContext, now: str) -> Observation:
        source = str((body.get("tags") or {}).get(TAG_SOURCE, ""))
        try:
            names = await self.content(step, context)
        except CloudError as error:
            empty = Reading(step.target, "empty", "unknown", ACCOUNT, now, str(error))
        else:
            empty = Reading(step.target, "empty", not names, ACCOUNT, now, ", ".join(names[:3]))
        readings = (Reading(step.target, "made-for", source, ACCOUNT, now), empty)
        return Observation("", readings, changed={step.target.lower(): changed_by(body)})

    async def content(self, step: Step, context: StepContext) -> list[str]:
        """The names of what is in it, for people."""
        raise NotImplementedError


class DeleteGroup(ContainerDeletion):
    """``delete-group``."""

    async def content(self, step: Step, context: StepContext) -> list[str]:
        account, _, name = step.target.rpartition("/hybridRunbookWorkerGroups/")
        return [str(worker.get("name", "")) for worker in await wire.workers(context.azure, account, name)]


class DeleteAccount(ContainerDeletion):
    """``delete-plan``. The modules that every new account has do not count."""

    async def content(self, step: Step, context: StepContext) -> list[str]:
        azure, names = context.azure, list[str]()
        for group in await wire.below(azure, step.target, "hybridRunbookWorkerGroups"):
            workers = await wire.workers(azure, step.target, str(group["name"]))
            names += [str(worker.get("name", "")) for worker in workers]
        for kind in wire.ASSETS:
            names += [
                str(asset.get("name") or asset.get("id", ""))
                for asset in await wire.below(azure, step.target, kind)
                if not (asset.get("properties") or {}).get("isGlobal")
            ]
        return names


class VerifyElsewhere(ActionHandler):
    """``verify-elsewhere``: its machine reported to the other account since the deletion."""

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        other = ((await _elsewhere(step, context)) or {}).get("properties") or {}
        seen = wire.seen_at(str(other.get("lastSeenDateTime") or ""))
        since = str(context.results(str(step.inputs["after"])).get("at") or "")
        if seen is None or (since and seen <= parse_time(since)) or not _fresh(other, context):
            return Operation(stage="it has not reported elsewhere since", retry_after=LOOK_SECONDS)
        place = step.inputs["elsewhere"]
        return Result(
            f"{ArmId(str(place['account'])).name} saw it at {rfc3339(seen)}",
            {"id": place["id"], "plan": place["account"]},
        )


async def _elsewhere(step: Step, context: StepContext) -> dict[str, Any] | None:
    """The worker of the same machine in the account that it reports to now."""
    place = step.inputs["elsewhere"]
    workers = await wire.workers(context.azure, str(place["account"]), str(place["group"]))
    wanted = str(place["id"]).lower()
    return next((worker for worker in workers if str(worker.get("name", "")).lower() == wanted), None)


def _fresh(properties: dict[str, Any], context: StepContext) -> bool:
    """Whether a worker was seen recently."""
    minutes = settings_of(context.settings).last_seen_minutes
    return wire.state_of(str(properties.get("lastSeenDateTime") or ""), context.clock.now(), minutes) == "Available"


def _overtaken(record: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the other account saw the machine well after this one last did: a machine reports to one account, twice a minute."""
    last, since = (wire.seen_at(str(worker.get("lastSeenDateTime") or "")) for worker in (record, other))
    return last is not None and since is not None and (since - last).total_seconds() > OVERTAKEN_SECONDS
