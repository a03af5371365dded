"""Actors whose errors are always drkit's own, so that an answer of an undocumented shape does not end a run."""

from __future__ import annotations

from dataclasses import dataclass

from drkit.errors import DrkitError
from drkit.model.answers import reading_azure_in_step, writing_azure_in_step
from drkit.model.operation import Operation, Request
from drkit.model.runbook import Step
from drkit.products.base import Actor, Observation, Result, StepContext, StepFailedError


@dataclass(frozen=True)
class Contained:
    """An actor that raises only errors of drkit's: UnreadableError if a look fails, UnknownFateError if an act fails after it was sent."""

    actor: Actor

    def requests(self, step: Step, context: StepContext) -> tuple[Request, ...]:
        """The writes this step may make; StepFailedError where its target or its inputs are none that it could have."""
        try:
            return self.actor.requests(step, context)
        except DrkitError:
            raise
        except Exception as error:
            raise StepFailedError(
                f"cannot be carried out as it is written ({type(error).__name__}: {error})",
                where=step.id,
                code="NotUnderstood",
                remedy="plan again: `drkit plan`",
            ) from error

    async def observe(self, step: Step, context: StepContext) -> Observation:
        with reading_azure_in_step(step.id):
            return await self.actor.observe(step, context)

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        with reading_azure_in_step(step.id):
            return await self.actor.settle(step, context)

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        with writing_azure_in_step(step.id):
            return await self.actor.act(step, context)

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        with reading_azure_in_step(step.id):
            return await self.actor.poll(step, operation, context)

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        with reading_azure_in_step(step.id):
            return await self.actor.verify(step, context)
