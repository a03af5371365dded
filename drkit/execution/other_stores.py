"""Another store's run for the same source plans: seen only by what it left in the target, before our first write. Best effort.

Tags of the plans that it made, also where this run makes none; and marks that a product knows as drkit's own. Of a prepared plan that
somebody else's drkit only used, nothing may be left to see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from drkit.errors import CloudError, RefusedError
from drkit.model.answers import reading_azure
from drkit.model.ids import ArmId
from drkit.model.runbook import WRITES, Runbook, Step
from drkit.planning.proposal import TAG_SOURCE
from drkit.products.base import Actor, LeavesMarks, StepContext

RUN_TAG, STEP_TAG = "drkit-run", "drkit-step"


def kinds(book: Runbook) -> list[tuple[str, str]]:
    """Subscription and resource type of what a runbook creates in its targets, and of the plans there that it uses, each once."""
    created: dict[tuple[str, str], None] = {}
    plans = {kind.lower() for plan in book.source_plans if (kind := _kind(plan))}
    for step in book.steps:
        used = [value for value in step.inputs.values() if isinstance(value, str) and _kind(value).lower() in plans]
        for target in (*([step.target] if step.effect == "create" else []), *(used if step.effect in WRITES else [])):
            if kind := _kind(target):
                created[(ArmId(target).subscription, kind)] = None
    return list(created)


def _kind(arm_id: str) -> str:
    """The resource type that an ARM id begins with below its group; empty where it has none."""
    parts = ArmId(arm_id).parts
    return ArmId(arm_id).resource_type if len(parts) >= 8 and parts[4].lower() == "providers" else ""


async def refuse(
    context: StepContext,
    ours: Callable[[str, str], bool],
    say: Callable[[str], None],
    products: Mapping[str, Actor] = MappingProxyType({}),
) -> None:
    """RefusedError when something was made for our source plans by a run that is none of this store's.

    ``ours``: whether this store has a run of that name (empty: any before this one) that began that step. ``say`` hears what could not
    be looked at.
    """
    await _marks(context, ours, say, products)
    sources = {ArmId(plan) for plan in context.runbook.source_plans}
    for subscription, kind in kinds(context.runbook):
        try:
            with reading_azure(f"/subscriptions/{subscription}"):
                listed = await context.azure.resources.list_resources(subscription, kind)
                made = [
                    (str(tags.get(RUN_TAG, "")), str(tags.get(STEP_TAG, "")), str(resource.get("id", "")))
                    for resource in listed
                    if ArmId(str((tags := resource.get("tags") or {}).get(TAG_SOURCE, ""))) in sources
                ]
        except CloudError as error:
            say(f"whether another store's run is under way could not be looked for in {subscription}: {error.what}")
            continue
        for run, step, arm_id in made:
            if run and not ours(run, step):
                raise RefusedError(
                    f"was made by {run} of another store for a plan that this runbook moves; only such tags tell stores of each other",
                    where=arm_id,
                    remedy=f"make sure that run is over; then `drkit resume {context.run}`, where each step looks before it acts",
                )


async def _marks(
    context: StepContext,
    ours: Callable[[str, str], bool],
    say: Callable[[str], None],
    products: Mapping[str, Actor],
) -> None:
    """RefusedError for what only drkit leaves in a target, where no run of this store began the step that leaves it."""
    by_product: dict[str, list[Step]] = {}
    for step in context.runbook.steps:
        by_product.setdefault(step.product, []).append(step)
    for name, steps in by_product.items():
        product: object = products.get(name)
        if not isinstance(product, LeavesMarks):
            continue
        try:
            with reading_azure(name):
                marks = await product.marks(steps, context)
        except CloudError as error:
            say(f"whether another store's run is under way could not be looked for: {error.what}")
            continue
        for step_id, what in marks:
            if not ours("", step_id):
                raise RefusedError(
                    f"{what}, and no run of this store did that: another store's run moves it, or has moved it",
                    where=step_id,
                    remedy=f"make sure that run is over; then `drkit resume {context.run}`, where each step looks before it acts",
                )
