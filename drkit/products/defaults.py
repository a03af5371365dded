"""What most products have in common, to begin a new one with (docs/writing-a-product.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock
from drkit.model.estate import LISTING, Capture, Environment, Plan, Reading, RoleAssignment, Snapshot
from drkit.model.ids import ArmId
from drkit.model.operation import Operation
from drkit.model.runbook import Step
from drkit.model.settings import Settings, Table
from drkit.planning.proposal import Need, made_for
from drkit.products.base import Observation, Rehearsal, Result, StepContext, StepFailedError
from drkit.products.handlers import ByTable

if TYPE_CHECKING:
    from drkit.providers.session import Session


LOOK_SECONDS = 10.0


async def polled(step: Step, operation: Operation, context: StepContext, done: str) -> Operation | Result:
    """One look at a long-running operation: itself while it runs, ``done`` when it succeeded. StepFailedError with Azure's words."""
    progress = await context.azure.rest.poll(operation)
    if progress.state == "running":
        return msgspec.structs.replace(operation, retry_after=progress.retry_after or LOOK_SECONDS)
    if progress.state == "failed":
        raise StepFailedError(progress.message or "it failed", where=step.target, code=progress.code)
    return Result(done)


def made_by(step: Step, context: StepContext) -> dict[str, str]:
    """The tags on everything that drkit makes: which run made it, at which step, under which fencing token."""
    return {"drkit-run": context.run, "drkit-step": step.id, "drkit-epoch": str(context.epoch)}


def granted(plan: Plan, assignments: Sequence[Mapping[str, Any]]) -> tuple[RoleAssignment, ...]:
    """What was granted on a plan and on its group, of the role assignments listed there."""
    scopes, grants = {plan.key, plan.key.group}, []
    for item in assignments:
        properties = item.get("properties") or {}
        scope = str(properties.get("scope", ""))
        if ArmId(scope) in scopes:
            role = ArmId(str(properties.get("roleDefinitionId", ""))).name
            grants.append(RoleAssignment(scope, role, str(properties.get("principalId", ""))))
    return tuple(grants)


def each(items: Iterable[Any], understand: Callable[[Any], Environment | None]) -> tuple[list[Environment], list[str]]:
    """The environments among listed items, and why others could not be read: one that cannot be read costs no other."""
    environments: list[Environment] = []
    faults: list[str] = []
    for item in items:
        try:
            with reading_azure():
                environment = understand(item)
        except CloudError as error:
            faults.append(error.what)
            continue
        environments += [environment] if environment else []
    return environments, faults


def unlisted(plan: str, source: str, now: str, faults: Sequence[str]) -> tuple[Capture, ...]:
    """That some of a plan's environments could not be read, if so; those that are not among the others are not gone then."""
    if not faults:
        return ()
    detail = f"{len(faults)} could not be read: {'; '.join(dict.fromkeys(faults))}"
    return (Capture(f"{plan}{LISTING}", source, "partial", now, detail[:1000]),)


class NoSettings(Table, frozen=True):
    """A table of drkit.toml without keys."""


class NoRehearsal:
    """Nothing of a captured estate is modelled, and nobody does anything by hand."""

    def seed(self, snapshot: Snapshot) -> Mapping[str, Any]:
        return {}

    def settings(self, hints: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, str]]:
        return (), {}

    def by_hand(self, step: Step, environment: Environment) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return ()


class ProductDefaults(ByTable):
    """The neutral half of a product: no quota, no SKUs, nothing kept on hosts, no settings; only what drkit made takes over."""

    regions: tuple[str, ...] = ()
    health_services: tuple[str, ...] = ()
    table: type[msgspec.Struct] = NoSettings
    rehearsal: Rehearsal = NoRehearsal()

    def need(self, environments: Sequence[Environment]) -> Need:
        return Need()

    def plan_limit(self, settings: Settings) -> int:
        return 0

    def stand_ins(self, plan: Plan, candidates: Sequence[Plan], settings: Settings) -> Sequence[Plan]:
        return made_for(plan, candidates)

    def registration_path(self, settings: Settings) -> str:
        return ""

    async def witnesses(self, azure: Session, settings: Settings, clock: Clock) -> Sequence[Reading]:
        return ()

    def settings_lines(self, plans: Sequence[Plan], environments: Sequence[Environment]) -> Sequence[str]:
        return ()

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        return Observation()
