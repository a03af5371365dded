"""One class for each action of a product: how its steps are looked at, carried out once, awaited and verified.

What an action may do (its effect, target, inputs and requests) is declared in the product's table, ``actions``; how it does that is
the class here. Both have the action's name as key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from drkit.model.actions import Actions
from drkit.model.operation import Operation, Request
from drkit.model.runbook import Step
from drkit.products.base import Observation, Result, StepContext, StepFailedError


class ActionHandler:
    """Carries out the steps of one action. A subclass defines what its action needs, with the meaning that ``Actor`` gives it.

    Usually that is ``observe`` with ``act``, and ``poll`` if ``act`` begins long work; or ``verify`` alone, for an action that only
    asks the service. As it is, this class suits an action that a person does.
    """

    async def observe(self, step: Step, context: StepContext) -> Observation:
        """Nothing is looked at."""
        return Observation()

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        """``observe`` sees everything that this action can have done."""
        return Observation()

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        raise _undefined(step, "act")

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        raise _undefined(step, "poll")

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        raise _undefined(step, "verify")


def _undefined(step: Step, method: Literal["act", "poll", "verify"]) -> StepFailedError:
    return StepFailedError(
        f"the action {step.action} of {step.product} has no `{method}`", where=step.id, code="NoHandler"
    )


class ByTable:
    """An actor whose steps announce the requests of their row in the table of actions."""

    actions: Actions

    def requests(self, step: Step, context: StepContext) -> tuple[Request, ...]:
        return self.actions[step.action].requests(step, context.azure.cloud.arm.rstrip("/"), context.settings)


class ByAction(ByTable):
    """An actor that hands each step to the handler of its action."""

    @property
    def handlers(self) -> Mapping[str, ActionHandler]:
        """Action -> its handler, one for each row of ``actions``.

        A product whose handlers import the client of its service makes this a ``cached_property``, so that planning loads no Azure SDK.
        """
        raise NotImplementedError

    async def observe(self, step: Step, context: StepContext) -> Observation:
        return await self.handlers[step.action].observe(step, context)

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        return await self.handlers[step.action].settle(step, context)

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        return await self.handlers[step.action].act(step, context)

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        return await self.handlers[step.action].poll(step, operation, context)

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        return await self.handlers[step.action].verify(step, context)
