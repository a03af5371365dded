"""All that is read for every host: machines, availability, probes, annotations, recovery; and which hosts no list shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import read
from drkit.model.clock import Clock
from drkit.model.estate import Host, Reading
from drkit.model.settings import Settings
from drkit.products.base import Product
from drkit.survey import capture as capture_
from drkit.survey import fleet, health, impacted_resources, machines, probe, probe_output, site_recovery, vm_annotations
from drkit.survey.draft import AssessmentDraft

if TYPE_CHECKING:
    from drkit.providers.session import Session

DEAD = 16
"""Unavailable machines of a region up to which each is probed all the same: beyond, the question is the region."""


@dataclass
class Sources:
    """What was read for all hosts: machines, availability, probes, annotations and links, by lower-cased id."""

    found: machines.Machines
    available: dict[str, Reading] = field(default_factory=dict)
    probed: dict[str, probe.Probed] = field(default_factory=dict)
    told: dict[str, list[Reading]] = field(default_factory=dict)
    links: dict[str, site_recovery.Link] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    impacted: dict[str, str] = field(default_factory=dict)


async def gather(
    azure: Session,
    products: Mapping[str, Product],
    subscriptions: Sequence[str],
    settings: Settings,
    clock: Clock,
    draft: AssessmentDraft,
    given: Mapping[str, probe.Probed] | None,
    printed: Sequence[probe_output.Printed],
    silent: set[str],
) -> Sources:
    sources = await _machines(azure, subscriptions, settings, clock, draft)
    draft.unread.extend(capture_.unseen([machine.host for machine in sources.found.found.values()]))
    sources.told, unread = await vm_annotations.read(azure, subscriptions)
    sources.links, more = await site_recovery.read(azure, subscriptions)
    draft.unread.extend(unread + more)
    if any(claim.kind == "service-health" for claim in draft.claims):
        sources.impacted, unread = await impacted_resources.read(azure, subscriptions)
        draft.unread.extend(unread)
    probed = await probe.run(
        azure, _wanted(sources, draft.lost), capture_.registration_paths(products, settings), settings, clock
    )
    probed = probe.still_silent(probed, silent) | dict(given or {})
    outputs, unused = probe_output.assign(
        printed,
        draft.base.hosts,
        [machine.host for machine in sources.found.found.values()],
        now=clock.now(),
        fresh_minutes=settings.assess.fresh_minutes,
    )
    draft.unread.extend(unused)
    sources.probed = probe_output.merge(probed, outputs)
    if draft.down:
        sources.missing = {host.id.lower(): f"unreachable: {draft.down}" for host in draft.base.hosts}
    else:
        sources.missing = await _missing(azure, draft.base.hosts, sources.found)
    return sources


async def _machines(
    azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock, draft: AssessmentDraft
) -> Sources:
    """Machines and their availability: through Resource Graph for a fleet, else (or where that fails) by ARM's lists."""
    read = await fleet.read(azure, subscriptions, draft.base, settings, clock) if fleet.is_fleet(draft.base) else None
    if read is not None:
        listing, available, unread = read
        if any(host.kind == "arc" for host in draft.base.hosts):
            arc = await machines.read_arc(azure, subscriptions, settings, clock)
            listing.found.update(arc.found)
            listing.captures.extend(arc.captures)
    else:
        before = {host.id.lower(): host.baseline.arm for host in draft.base.hosts if host.baseline.arm}
        listing = await machines.read(azure, subscriptions, settings, clock, before)
        available, unread = await health.availability(azure, subscriptions, clock)
    draft.unread.extend(
        f"{capture.source} of {capture.subject}: {capture.detail}"
        for capture in listing.captures
        if capture.state == "failed"
    )
    draft.unread.extend(unread)
    return Sources(listing, available)


def _wanted(sources: Sources, avoided_regions: set[str]) -> list[Host]:
    """The hosts to probe: those with a channel that run, by what ARM says; and some of those called unavailable."""

    def unavailable(host: Host) -> bool:
        return str(getattr(sources.available.get(host.id.lower()), "value", "")).lower() == "unavailable"

    running = [
        machine.host
        for machine in sources.found.found.values()
        if machine.host.channel == "run-command"
        and machine.power == "running"
        and machine.host.region not in avoided_regions
        and machine.host.group_region not in avoided_regions
    ]
    dead = Counter(host.region for host in running if unavailable(host))
    return [host for host in running if not unavailable(host) or dead[host.region] <= DEAD]


async def _missing(azure: Session, hosts: Sequence[Host], listing: machines.Machines) -> dict[str, str]:
    """Hosts that no list shows: ``gone`` when ARM says so of the very object, else ``unreachable``."""
    reasons: dict[str, str] = {}
    for host in hosts:
        key = host.id.lower()
        if key in listing.found or host.kind == "physical":
            continue
        try:
            with azure.budget(attempts=2, seconds=20), read(host.id):
                if host.kind == "azure-vm":
                    await azure.compute.vm(host.id)
                else:
                    await azure.resources.resource(host.id, machines.ARC_API)
        except NotFoundError as error:
            reasons[key] = f"gone {error.code}"
        except CloudError as error:
            reasons[key] = f"unreachable {error.what}"
        else:
            reasons[key] = "unreachable: listed by no list, found by its id"
    return reasons
