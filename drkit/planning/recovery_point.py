"""Which capture to recover from: per plan, its newest complete one from before it began to fail. Pure.

So a capture that a timer takes in the middle of the disaster harms nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from drkit.model.clock import parse_time
from drkit.model.estate import Capture, Claim, Environment, Host, Plan, Snapshot
from drkit.model.ids import ArmId


def failing_since(plan: str, generations: Sequence[Snapshot], earlier: str = "") -> str:
    """When this plan's first failed capture since it last answered was made (RFC 3339), empty when the last one succeeded.

    ``earlier``: the same as an earlier assessment knew it, if the plan has not answered since.
    """
    first = ""
    for snapshot in generations:
        capture = capture_of(plan, snapshot)
        if capture is None:
            continue
        if capture.state == "failed":
            first = first or capture.time
        else:
            first = ""
            if earlier and parse_time(capture.time) > parse_time(earlier):
                earlier = ""
    return _earliest([first, earlier])


def capture_of(plan: str, snapshot: Snapshot) -> Capture | None:
    """How this generation's reading of a plan went."""
    return next((capture for capture in snapshot.captures if capture.key == plan), None)


def cutoff(failing: str, claims: Sequence[Claim], region: str) -> str:
    """The moment from which captures of a plan are not trusted: it began to fail, or its region's claim began; empty: none."""
    return _earliest([failing, *(claim.since for claim in claims if claim.region == region)]) if failing else ""


def _earliest(times: Sequence[str]) -> str:
    known = [time for time in times if time]
    return min(known, key=parse_time) if known else ""


def compose(generations: Sequence[Snapshot], cutoffs: Mapping[str, str]) -> Snapshot:
    """One snapshot out of many: each plan, its environments and their hosts as of the capture to recover from.

    ``cutoffs``: lower-cased plan id -> RFC 3339; a plan in them is kept although the newest generation does not list it.
    ValueError without any generation.
    """
    if not generations:
        raise ValueError("there is no snapshot yet")
    newest = generations[-1]
    plans: list[Plan] = []
    environments: list[Environment] = []
    hosts: dict[ArmId, Host] = {}
    general = _before(generations, min(cutoffs.values(), key=parse_time)) if cutoffs else newest
    for host in (*newest.hosts, *general.hosts):
        hosts[host.key] = host
    listed = {plan.key for plan in newest.plans}
    older = {plan.key: plan for snapshot in generations for plan in snapshot.plans}
    unlisted = (older[ArmId(key)] for key in sorted(cutoffs) if ArmId(key) in older and ArmId(key) not in listed)
    for plan in (*newest.plans, *unlisted):
        chosen = _choose(plan.id, generations, cutoffs.get(plan.key, ""))
        plans.append(next((captured for captured in chosen.plans if captured.key == plan.key), plan))
        own = [environment for environment in chosen.environments if environment.plan_key == plan.key]
        environments.extend(own)
        linked = {environment.host.key for environment in own if environment.host}
        hosts |= {host.key: host for host in chosen.hosts if host.key in linked}
    return msgspec.structs.replace(
        newest,
        plans=tuple(plans),
        environments=tuple(environments),
        hosts=tuple(sorted(hosts.values(), key=lambda host: host.key)),
    )


def _choose(plan: str, generations: Sequence[Snapshot], before: str) -> Snapshot:
    """The newest generation that captured the plan wholly before that moment; else the newest that captured it wholly at all."""
    complete = [
        snapshot
        for snapshot in generations
        if (capture := capture_of(plan, snapshot)) is not None and capture.state != "failed"
    ]
    early = [snapshot for snapshot in complete if not before or parse_time(snapshot.taken) < parse_time(before)]
    return (early or complete or list(generations))[-1]


def _before(generations: Sequence[Snapshot], moment: str) -> Snapshot:
    early = [snapshot for snapshot in generations if parse_time(snapshot.taken) < parse_time(moment)]
    return (early or list(generations))[-1]
