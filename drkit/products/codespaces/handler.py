"""What every step of Codespaces looks at before it acts."""

from __future__ import annotations

from drkit.errors import CloudError, NotFoundError
from drkit.model.clock import rfc3339
from drkit.model.estate import Reading
from drkit.model.runbook import Step
from drkit.products.base import Observation, StepContext
from drkit.products.codespaces.listings import Listings
from drkit.products.handlers import ActionHandler


class CodespacesHandler(ActionHandler):
    """Reads what the preconditions of a step name; ``look`` adds what its action looks at besides."""

    def __init__(self, listings: Listings) -> None:
        self.listings = listings

    async def observe(self, step: Step, context: StepContext) -> Observation:
        readings: list[Reading] = []
        now = rfc3339(context.clock.now())
        for condition in step.preconditions:
            if condition.signal == "answers":
                readings.append(await self.listings.answers(condition.subject, context, now))
            elif condition.signal == "instance_id":
                readings.append(await _instance(condition.subject, context, now))
        seen = await self.look(step, context, now)
        return Observation(seen.done, (*readings, *seen.readings), seen.data, seen.changed)

    async def look(self, step: Step, context: StepContext, now: str) -> Observation:
        """Whether the step is done already, and readings beside those of its preconditions."""
        return Observation()


async def _instance(host: str, context: StepContext, now: str) -> Reading:
    """The instance id that ARM gives for a host now; ``gone`` when it is not there."""
    source = "ARM: virtual machine"
    try:
        machine = await context.azure.compute.vm(host)
    except NotFoundError:
        return Reading(host, "instance_id", "gone", source, now)
    except CloudError as error:
        return Reading(host, "instance_id", "unknown", source, now, str(error))
    return Reading(host, "instance_id", str((machine.get("properties") or {}).get("vmId", "unknown")), source, now)
