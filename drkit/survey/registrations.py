"""Hosts of the baseline that carry no registration any more, or another's. Pure: a finding, and no verdict about the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from drkit.model.estate import LISTING, UNLISTED, Carried, Deferred, Environment, HostFinding, Reading, Snapshot
from drkit.products.base import Captured, Product, carried

NONE = "none"


def find(
    base: Snapshot,
    captured: Captured,
    products: Mapping[str, Product],
    hosts: Sequence[HostFinding],
    deferred: Sequence[Deferred],
    now: str,
) -> Iterator[Carried]:
    """What was read of each host of the baseline, where that is not the registration it had.

    What a run moved elsewhere, and proved there, is left out: its host carries what that run gave it. ``deferred``: its old records.
    """
    moved = {(one.behind.plan.lower(), one.behind.environment.lower()) for one in deferred}
    read = {one.subject.lower() for one in captured.captures if one.state != "failed"}
    listed = {(one.plan.lower(), one.id.lower()): one for one in captured.environments}
    # A list of which something could not be read does not say that a worker is gone.
    unread = {one.subject.lower() for one in captured.captures if one.state != "complete"}
    serving = {
        (one.product, one.host.host.lower())
        for one in captured.environments
        if one.host is not None and (one.plan.lower(), one.id.lower()) not in moved
    }
    findings = {one.host.lower(): one for one in hosts}
    for known in base.environments:
        key = (known.plan.lower(), known.id.lower())
        if known.kind != "self-hosted" or known.host is None or key in moved or known.plan.lower() not in read:
            continue
        current, source = listed.get(key), "the host's own resource"
        found = carried(products.get(known.product), current)
        if found == "" and current is None and f"{known.plan}{LISTING}".lower() not in unread:
            # A host that another plan of that product lists was moved there by somebody, and is not off.
            elsewhere = (known.product, known.host.host.lower()) in serving
            found, source = "" if elsewhere else UNLISTED, "its plan's own list"
        elif found is None:
            found, source = _probed(known, current, findings.get(known.host.host.lower()), listed), "probe"
        if found:
            reading = Reading(known.host.host, "carries", found, source, now)
            another = "" if found in (NONE, UNLISTED) else found
            yield Carried(
                environment=known.id,
                name=known.name,
                plan=known.plan,
                host=known.host.host,
                reading=reading,
                another=another,
            )


def _probed(
    known: Environment,
    current: Environment | None,
    finding: HostFinding | None,
    listed: Mapping[tuple[str, str], Environment],
) -> str:
    """What the probe read of a registration that its service does not vouch for; empty where that is its own, or nothing was read."""
    if finding is None or finding.found is None or finding.signals.get("probe") != "up":
        return ""
    if finding.outcome == "re-register":
        # The verdict says so already.
        return ""
    if current is not None and current.state.lower() == "available":
        return ""
    guest = finding.found.baseline.guest
    if guest is None or guest.registrations is None:
        return ""
    ids = {one.id.lower() for one in guest.registrations if one.product == known.product}
    if not ids:
        return NONE
    if known.id.lower() in ids:
        return ""
    # One that no service knows as well is a leftover, which the verdict speaks of.
    serving = {id_ for (_, id_), one in listed.items() if one.state.lower() == "available"}
    return next(iter(sorted(ids & serving)), "")
