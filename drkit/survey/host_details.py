"""Further readings of the few hosts to which something happened: who caused it, since when, for how long. Evidence only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from drkit.model.clock import Clock, parse_time
from drkit.model.estate import Host, Reading
from drkit.model.ids import ArmId
from drkit.planning.transparency import Verdict
from drkit.survey import activity_log, availability_metric, health
from drkit.survey.draft import AssessmentDraft
from drkit.survey.host_signals import Seen

if TYPE_CHECKING:
    from drkit.providers.session import Session

MOST = 50
"""Hosts for which one assessment reads the details at most; in a larger outage they do not help."""
TOGETHER = 8
LOG, METRIC = timedelta(days=14), timedelta(hours=24)

Judged = tuple[Host, Seen, Verdict, Host | None, str]


async def look(
    azure: Session, judged: Sequence[Judged], draft: AssessmentDraft, clock: Clock
) -> dict[str, list[Reading]]:
    """Per lower-cased host id further readings: the activity log, the history of Resource Health, the downtime."""
    if draft.down:
        return {}
    chosen = [
        judged_host
        for judged_host in judged
        if judged_host[0].kind == "azure-vm" and _happened(judged_host[1], judged_host[2])
    ]
    if len(chosen) > MOST:
        draft.unread.append(
            f"activity log, history and downtime: read for {MOST} of {len(chosen)} hosts to which something happened"
        )
    limit = asyncio.Semaphore(TOGETHER)

    async def look_at(host: Host, seen: Seen, now_id: str) -> tuple[str, list[Reading]]:
        async with limit:
            with azure.budget(attempts=2, seconds=20):
                return host.id.lower(), await _read(azure, host, seen, now_id, draft, clock)

    return dict(await asyncio.gather(*(look_at(host, seen, now_id) for host, seen, _, _, now_id in chosen[:MOST])))


def _happened(seen: Seen, verdict: Verdict) -> bool:
    quiet = verdict.outcome == "no-failover" and seen.event == "none" and seen.health in ("ok", "unknown")
    return not quiet and seen.arm in ("found", "gone")


async def _read(
    azure: Session, host: Host, seen: Seen, now_id: str, draft: AssessmentDraft, clock: Clock
) -> list[Reading]:
    now = clock.now()
    baseline_time = host.baseline.guest_time or host.baseline.arm_time
    start = parse_time(baseline_time) if baseline_time else now - METRIC
    subscription = ArmId(host.id).subscription
    readings, log_fault = await activity_log.read_machine(azure, subscription, host.id, max(start, now - LOG), clock)
    faults = [log_fault]
    if seen.arm == "found" or now_id != host.id.lower():
        earlier, history_fault = await health.history(azure, now_id, clock)
        readings += [
            reading
            for reading in reversed(earlier)
            if reading.signal == "availability-history" and reading.time > baseline_time
        ]
        length, metric_fault = await availability_metric.read(azure, now_id, max(start, now - METRIC), clock)
        readings += [length] if length else []
        faults += [history_fault, metric_fault]
    draft.unread.extend(fault for fault in faults if fault)
    return readings
