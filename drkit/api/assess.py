"""``assess``: the state of each plan and host, read from Azure and kept as an assessment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec

from drkit.api.context import Context, reading_session
from drkit.errors import FileError, IntegrityError, RefusedError, UsageError
from drkit.model import suggest
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Assessment, Claim, Snapshot, region_name
from drkit.model.ids import ArmId
from drkit.planning import leftovers
from drkit.products import registry
from drkit.store.records import Declaration, who

REFUSAL_AGE = timedelta(hours=24)
QUOTA = frozenset({"quotaexceeded", "exceededquota", "skunotavailable", "allocationfailed", "1", "8", "12"})


async def assess(
    context: Context, *, declare_lost: str | None = None, reason: str | None = None, probe_output: str | None = None
) -> tuple[Assessment, Path, int]:
    """Read the state of each plan and host. Return the assessment, its path, and the exit code: 0, or 5 when nothing is known.

    ``declare_lost``: a region that counts as lost from now on; it is kept as a declaration with ``reason``, which it needs, and its
    author. ``probe_output``: a folder with the outputs of probes that were run by hand; an output that cannot be used is listed in
    ``unread``. RefusedError without a snapshot; UsageError for an unknown region or a missing reason; CredentialError without a token.
    """
    from drkit.survey import assess as survey
    from drkit.survey import probe_output as probe_output_
    from drkit.survey.context import SurveyContext

    cloud, clock = context.cloud, context.clock
    generations = context.store.generations(cloud, needed=True)
    if declare_lost:
        region = _known_region(declare_lost, generations[-1])
        if not (reason or "").strip():
            raise UsageError("a declaration needs a reason", remedy="add --reason TEXT: it is kept as evidence")
        context.store.declare(Declaration(region=region, reason=str(reason), who=who(), when=rfc3339(clock.now())))
    declared = [
        Claim(
            declaration.region,
            "declaration",
            f"declared {declaration.when}",
            declaration.when,
            declaration.reason,
            declaration.who,
        )
        for declaration in context.store.declarations()
    ]
    outputs, faults = probe_output_.read(Path(probe_output)) if probe_output else ([], [])
    earlier = context.store.newest(Assessment)
    async with reading_session(context) as azure:
        taken = await survey.take(
            SurveyContext(azure, registry(), context.settings, clock, cloud.mark),
            survey.PriorKnowledge(
                generations=generations,
                earlier=earlier[0] if earlier else None,
                declared=declared,
                refusals=refusals_of(context, clock),
                probe_outputs=outputs,
                deferred=leftovers.open_items(context.store.run_records()),
            ),
        )
    if faults:
        taken = msgspec.structs.replace(taken, unread=(*faults, *taken.unread))
    path = context.store.keep(taken)
    return msgspec.structs.replace(taken, generation=int(path.stem)), path, 5 if taken.blind else 0


def _known_region(text: str, newest: Snapshot) -> str:
    region = region_name(text)
    names = {location.name for location in newest.locations} | {plan.region for plan in newest.plans}
    if names and region not in names:
        raise UsageError(
            f"there is no region {text!r}", remedy=suggest.remedy(text, names, f"one of: {', '.join(sorted(names))}")
        )
    return region


def refusals_of(context: Context, clock: Clock) -> dict[tuple[str, str], tuple[str, ...]]:
    """Where runs of the last day found no capacity: (subscription in lower case, region) -> the reasons."""
    refusals: dict[tuple[str, str], tuple[str, ...]] = {}
    for run in context.store.runs():
        try:
            state = context.store.state(run)
            book = context.store.runbook_of(state.runbook)[0] if state.runbook else None
        except (FileError, RefusedError, IntegrityError):
            continue
        for step in book.steps if book else ():
            known = state.of(step.id)
            if (
                step.effect != "create"
                or known.status != "failed"
                or known.code.lower() not in QUOTA
                or not known.ended
            ):
                continue
            if clock.now() - parse_time(known.ended) < REFUSAL_AGE:
                key = (ArmId(str(step.inputs.get("plan", step.target))).subscription.lower(), step.region)
                refusals[key] = (*refusals.get(key, ()), f"{run} was refused there: {known.detail}")
    return refusals
