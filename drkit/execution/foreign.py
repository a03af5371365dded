"""Another store's run for the same source plans: seen only by the tags it left in the target, before our first write. Best effort."""

from __future__ import annotations

from collections.abc import Callable

from drkit.answers import read
from drkit.errors import CloudError, RefusedError
from drkit.estate import id_part
from drkit.products.base import Context
from drkit.proposal import TAG_SOURCE
from drkit.runbook import Runbook

RUN_TAG, STEP_TAG = "drkit-run", "drkit-step"


def kinds(book: Runbook) -> list[tuple[str, str]]:
    """Subscription and resource type of what a runbook creates in its targets, each once."""
    found: dict[tuple[str, str], None] = {}
    for step in book.steps:
        parts = step.target.strip("/").split("/")
        if step.effect == "create" and len(parts) >= 8 and parts[4].lower() == "providers":
            found[(id_part(step.target, "subscriptions"), f"{parts[5]}/{parts[6]}")] = None
    return list(found)


async def refuse(context: Context, ours: Callable[[str, str], bool], say: Callable[[str], None]) -> None:
    """RefusedError when something was made for our source plans by a run that is none of this store's.

    ``ours``: whether this store has a run of that name that began that step. ``say`` hears what could not be looked at.
    """
    sources = {plan.lower() for plan in context.runbook.source_plans}
    for subscription, kind in kinds(context.runbook):
        try:
            with read(f"/subscriptions/{subscription}"):
                listed = await context.azure.resources.list_resources(subscription, kind)
                made = [
                    (str(tags.get(RUN_TAG, "")), str(tags.get(STEP_TAG, "")), str(one.get("id", "")))
                    for one in listed
                    if str((tags := one.get("tags") or {}).get(TAG_SOURCE, "")).lower() in sources
                ]
        except CloudError as error:
            say(f"whether another store's run is under way could not be looked for in {subscription}: {error.what}")
            continue
        for run, step, arm_id in made:
            if run and not ours(run, step):
                raise RefusedError(
                    f"was made by {run} of another store for a plan that this runbook moves; stores know of each other by such tags only",
                    where=arm_id,
                    remedy=f"make sure that run is over; then `drkit resume {context.run}`, where each step looks before it acts",
                )
