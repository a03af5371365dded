"""A closer look at the few hosts to which something happened: who did it, since when, for how long. Evidence only."""

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
"""Hosts of one assessment that are looked at so; on a night with more of them the question is another one."""
TOGETHER = 8
LOG, METRIC = timedelta(days=14), timedelta(hours=24)

Judged = tuple[Host, Seen, Verdict, Host | None, str]


async def look(
    azure: Session, judged: Sequence[Judged], night: AssessmentDraft, clock: Clock
) -> dict[str, list[Reading]]:
    """Per lower-cased host id further readings: the activity log, Resource Health's history, the downtime."""
    if night.down:
        return {}
    chosen = [one for one in judged if one[0].kind == "azure-vm" and _happened(one[1], one[2])]
    if len(chosen) > MOST:
        night.unread.append(
            f"activity log, history and downtime: read for {MOST} of {len(chosen)} hosts to which something happened"
        )
    limit = asyncio.Semaphore(TOGETHER)

    async def one(host: Host, seen: Seen, now_id: str) -> tuple[str, list[Reading]]:
        async with limit:
            with azure.budget(attempts=2, seconds=20):
                return host.id.lower(), await _read(azure, host, seen, now_id, night, clock)

    return dict(await asyncio.gather(*(one(host, seen, now_id) for host, seen, _, _, now_id in chosen[:MOST])))


def _happened(seen: Seen, verdict: Verdict) -> bool:
    quiet = verdict.outcome == "no-failover" and seen.event == "none" and seen.health in ("ok", "unknown")
    return not quiet and seen.arm in ("found", "gone")


async def _read(
    azure: Session, host: Host, seen: Seen, now_id: str, night: AssessmentDraft, clock: Clock
) -> list[Reading]:
    now = clock.now()
    known = host.baseline.guest_time or host.baseline.arm_time
    start = parse_time(known) if known else now - METRIC
    subscription = ArmId(host.id).subscription
    found, why = await activity_log.of_machine(azure, subscription, host.id, max(start, now - LOG), clock)
    faults = [why]
    if seen.arm == "found" or now_id != host.id.lower():
        earlier, why = await health.history(azure, now_id, clock)
        found += [one for one in reversed(earlier) if one.signal == "availability-history" and one.time > known]
        length, more = await availability_metric.read(azure, now_id, max(start, now - METRIC), clock)
        found += [length] if length else []
        faults += [why, more]
    night.unread.extend(one for one in faults if one)
    return found
