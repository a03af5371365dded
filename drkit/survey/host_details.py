"""Further readings of the few hosts to which something happened: who caused it, since when, for how long. Evidence only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from drkit.model.clock import parse_time
from drkit.model.estate import Host, Reading
from drkit.model.ids import ArmId
from drkit.planning.transparency import Verdict
from drkit.survey import activity_log, availability_metric, health
from drkit.survey.baseline_comparison import HostObservation
from drkit.survey.context import SurveyContext
from drkit.survey.draft import AssessmentDraft
from drkit.survey.successors import HostSuccessor

MOST = 50
"""Hosts for which one assessment reads the details at most; in a larger outage they do not help."""
TOGETHER = 8
LOG, METRIC = timedelta(days=14), timedelta(hours=24)


@dataclass(frozen=True)
class JudgedHost:
    """A host of the baseline with what was read of it, and the verdict. ``current_id``: the ARM id that it has now."""

    host: Host
    observation: HostObservation
    verdict: Verdict
    successor: HostSuccessor | None
    current_id: ArmId


async def read(
    survey: SurveyContext, judged_hosts: Sequence[JudgedHost], draft: AssessmentDraft
) -> dict[ArmId, list[Reading]]:
    """Further readings by host id: the activity log, the history of Resource Health, the downtime.

    What could not be read is added to ``draft.unread``.
    """
    if draft.arm_down:
        return {}
    chosen = [judged for judged in judged_hosts if judged.host.kind == "azure-vm" and _happened(judged)]
    if len(chosen) > MOST:
        draft.unread.append(
            f"activity log, history and downtime: read for {MOST} of {len(chosen)} hosts to which something happened"
        )
    limit = asyncio.Semaphore(TOGETHER)

    async def read_host(judged: JudgedHost) -> tuple[ArmId, list[Reading]]:
        async with limit:
            with survey.azure.budget(attempts=2, seconds=20):
                return judged.host.key, await _read(survey, judged, draft)

    return dict(await asyncio.gather(*(read_host(judged) for judged in chosen[:MOST])))


def _happened(judged: JudgedHost) -> bool:
    observation = judged.observation
    quiet = (
        judged.verdict.outcome == "no-failover"
        and observation.event == "none"
        and observation.health in ("ok", "unknown")
    )
    return not quiet and observation.arm in ("found", "gone")


async def _read(survey: SurveyContext, judged: JudgedHost, draft: AssessmentDraft) -> list[Reading]:
    azure, clock, host = survey.azure, survey.clock, judged.host
    now = clock.now()
    baseline_time = host.baseline.guest_time or host.baseline.arm_time
    start = parse_time(baseline_time) if baseline_time else now - METRIC
    subscription = host.key.subscription
    readings, log_fault = await activity_log.read_machine(azure, subscription, host.id, max(start, now - LOG), clock)
    faults = [log_fault]
    if judged.observation.arm == "found" or judged.current_id != host.key:
        current_id = judged.current_id.folded
        earlier, history_fault = await health.history(azure, current_id, clock)
        readings += [
            reading
            for reading in reversed(earlier)
            if reading.signal == "availability-history" and reading.time > baseline_time
        ]
        downtime, metric_fault = await availability_metric.read(azure, current_id, max(start, now - METRIC), clock)
        readings += [downtime] if downtime else []
        faults += [history_fault, metric_fault]
    draft.unread.extend(fault for fault in faults if fault)
    return readings
