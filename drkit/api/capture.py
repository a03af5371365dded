"""``snapshot``: the estate as Azure shows it now, kept as the next generation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from drkit.api.context import Context, reading_session
from drkit.errors import CloudError, UsageError
from drkit.model.clock import rfc3339
from drkit.model.estate import Capture, Snapshot
from drkit.model.settings import Settings
from drkit.products import registry

GUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


async def snapshot(context: Context, *, subscriptions: Sequence[str] = ()) -> tuple[Snapshot, Path]:
    """Capture the estate as the next generation. Return the snapshot and its path.

    ``subscriptions``: ids to read instead of those in the settings; UsageError for a text that is no id. When nothing answers, a failed
    capture is kept and CloudError is raised.
    """
    from drkit.survey import capture as survey
    from drkit.survey.context import SurveyContext

    cloud, clock = context.cloud, context.clock
    settings = narrowed(context.settings, subscriptions)
    generations = context.store.generations(cloud)
    previous = generations[-1] if generations else None
    try:
        async with reading_session(context) as azure:
            taken = await survey.take(SurveyContext(azure, registry(), settings, clock, cloud.mark), previous)
    except CloudError as error:
        now = rfc3339(clock.now())
        base = previous or Snapshot(cloud=cloud.mark, taken=now)
        failed = Capture(cloud.arm, "the cloud itself", "failed", now, str(error))
        context.store.keep(msgspec.structs.replace(base, cloud=cloud.mark, taken=now, captures=(failed,)))
        raise
    path = context.store.keep(taken)
    return msgspec.structs.replace(taken, generation=int(path.stem)), path


def narrowed(settings: Settings, subscriptions: Sequence[str]) -> Settings:
    """The settings with these subscriptions instead of their own. UsageError for a text that is no subscription id."""
    wrong = [text for text in subscriptions if not re.fullmatch(GUID, text)]
    if wrong:
        raise UsageError(
            f"{wrong[0]!r} is not a subscription id", where="--subscription", remedy="`az account list` shows the ids"
        )
    wanted = list(dict.fromkeys(text.lower() for text in subscriptions))
    return msgspec.structs.replace(settings, subscriptions=wanted) if wanted else settings


def problems(taken: Snapshot) -> list[str]:
    """What of a snapshot was not read wholly or looks wrong, one line each; empty when all is well."""
    unread = [capture for capture in taken.captures if capture.state != "complete"]
    return [
        *(f"{capture.state}: {capture.subject}: {capture.detail}" for capture in unread),
        *(f"look: {flag}" for flag in taken.flags),
    ]
