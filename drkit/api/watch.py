"""``watch``: assess again and again, and say what changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, get_args

from drkit.api.assess import assess
from drkit.api.context import Context
from drkit.api.explain import check_words
from drkit.errors import UsageError
from drkit.model.clock import rfc3339
from drkit.model.estate import Assessment, HostFinding, PlanState

LEAST_MINUTES, MOST_MINUTES = 1.0, 30.0
ENOUGH = 4.0
"""The wait before the next assessment is at least so many times as long as the last one took."""
STATES = get_args(PlanState)
SETTLED = "settled"


@dataclass(frozen=True)
class WatchUpdate:
    """One assessment of ``watch``.

    ``changes``: what changed since the assessment before, as sentences (at first, everything that is not well); ``blind``: nothing is
    known; ``reached``: ``until`` is reached.
    """

    assessed: Assessment
    changes: tuple[str, ...]
    blind: bool
    reached: bool


async def watch(
    context: Context, *, every_minutes: float = 5.0, for_minutes: float = 0.0, until: str = ""
) -> AsyncIterator[WatchUpdate]:
    """Assess again and again. Ends after ``for_minutes`` (0: never), or once ``until`` is reached.

    ``until``: the state of any plan, the verdict of any host, or ``settled``: every verdict is final and none is undetermined. The pause
    is ``every_minutes``, but at least four times as long as an assessment takes; while nothing answers it doubles each time, up to half
    an hour. UsageError for numbers out of bounds and unknown words; other errors as in ``assess``.
    """
    if not LEAST_MINUTES <= every_minutes <= 24 * 60:
        raise UsageError(f"{every_minutes:g} minutes is not from 1 to a day", remedy="--every 5")
    if until:
        check_words([until], *STATES, SETTLED)
    clock = context.clock
    began = clock.monotonic()
    before: Assessment | None = None
    pause = every_minutes * 60
    while True:
        started = clock.monotonic()
        assessed, _, code = await assess(context)
        blind = code != 0
        reached = bool(until) and holds(assessed, until)
        yield WatchUpdate(assessed, tuple(changes(before, assessed)), blind, reached)
        if reached:
            return
        before = assessed
        pause = min(pause * 2, max(MOST_MINUTES, every_minutes) * 60) if blind else every_minutes * 60
        wait = max(pause, ENOUGH * (clock.monotonic() - started))
        if for_minutes and clock.monotonic() + wait - began > for_minutes * 60:
            return
        await clock.sleep(wait)


async def watched(
    context: Context, *, every_minutes: float, for_minutes: float, until: str, tell: Callable[[str], None]
) -> tuple[dict[str, Any], int]:
    """Run ``watch`` to its end and ``tell`` each change. Return a summary and the exit code: 0, 1 (``until`` not reached), 5 (blind)."""
    looks, said = 0, []
    last: WatchUpdate | None = None
    async for last in watch(context, every_minutes=every_minutes, for_minutes=for_minutes, until=until):
        looks += 1
        for line in last.changes:
            said.append({"time": last.assessed.taken, "change": line})
            tell(f"{last.assessed.taken[11:16]} {line}")
    reached = bool(last and last.reached)
    code = 5 if last is None or last.blind else 1 if until and not reached else 0
    return {
        "looks": looks,
        "changes": said,
        "until": until,
        "reached": reached,
        "ended": rfc3339(context.clock.now()),
    }, code


def holds(assessed: Assessment, until: str) -> bool:
    """Whether an assessment has what ``watch`` waits for."""
    if until == SETTLED:
        return all(
            finding.outcome != "undetermined" and "provisional" not in finding.notes for finding in assessed.hosts
        ) and all(finding.state in ("answering", "lost", "gone") for finding in assessed.plans)
    return any(finding.state == until for finding in assessed.plans) or any(
        until in (finding.outcome, finding.reason) for finding in assessed.hosts
    )


def changes(before: Assessment | None, now: Assessment) -> list[str]:
    """What changed, one line each. The first assessment is compared with one in which everything is well."""
    lines: list[str] = []
    plans = {finding.key: finding.state for finding in before.plans} if before else {}
    for plan in now.plans:
        state = plans.get(plan.key, "answering")
        if plan.state != state:
            lines.append(f"plan {plan.key.name}: {state} -> {plan.state}: {plan.reason}")
    hosts = {finding.key: finding for finding in before.hosts} if before else {}
    for host in now.hosts:
        was = hosts.get(host.key)
        old = _verdict(was) if was else "no-failover"
        if _verdict(host) != old or (was and "provisional" in was.notes and "provisional" not in host.notes):
            final = "" if "provisional" in host.notes else " (final)" if was and "provisional" in was.notes else ""
            lines.append(f"host {host.key.name}: {old} -> {_verdict(host)}, confidence {host.confidence}{final}")
    claims = {(claim.region, claim.id) for claim in before.claims} if before else set()
    lines.extend(
        f"claim: {claim.region}, by {claim.who}: {claim.text}"
        for claim in now.claims
        if (claim.region, claim.id) not in claims
    )
    if before:
        held = {(claim.region, claim.id) for claim in now.claims}
        lines.extend(
            f"claim withdrawn or over: {claim.region}: {claim.text}"
            for claim in before.claims
            if (claim.region, claim.id) not in held
        )
    return lines


def _verdict(finding: HostFinding) -> str:
    return finding.outcome + (f" ({finding.reason})" if finding.reason else "")
