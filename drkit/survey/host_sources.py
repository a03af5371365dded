"""Reads what concerns every host: machines, availability, probes, annotations, Site Recovery, and hosts that no list shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from drkit.errors import CloudError, NotFoundError
from drkit.model.answers import reading_azure
from drkit.model.estate import Host, Reading
from drkit.model.ids import ArmId
from drkit.survey import fleet, health, impacted_resources, machines, probe, probe_output, site_recovery, vm_annotations
from drkit.survey.capture import unseen
from drkit.survey.context import SurveyContext
from drkit.survey.draft import AssessmentDraft

DEAD = 16
"""Unavailable machines of a region up to which each of them is probed. With more of them, the region is the question."""


@dataclass
class Sources:
    """What was read for all hosts, by host id.

    ``missing``: why no list shows a host, ``gone ...`` or ``unreachable ...``; ``impacted``: the Service Health event that
    names it.
    """

    machines: machines.Machines
    availability: dict[ArmId, Reading] = field(default_factory=dict)
    probes: dict[ArmId, probe.ProbeResult] = field(default_factory=dict)
    annotations: dict[ArmId, list[Reading]] = field(default_factory=dict)
    links: dict[ArmId, site_recovery.Link] = field(default_factory=dict)
    missing: dict[ArmId, str] = field(default_factory=dict)
    impacted: dict[ArmId, str] = field(default_factory=dict)

    @property
    def hosts(self) -> list[Host]:
        """The hosts that ARM has now."""
        return [machine.host for machine in self.machines.by_id.values()]


async def read(
    survey: SurveyContext,
    draft: AssessmentDraft,
    probe_outputs: Sequence[probe_output.ProbeOutput],
    silent: Collection[ArmId],
) -> Sources:
    """Read all sources; what could not be read is added to ``draft.unread``.

    ``probe_outputs``: of probes that people ran; ``silent``: hosts that left the last probe without an answer.
    """
    azure, subscriptions = survey.azure, survey.subscriptions
    sources = await _machines(survey, draft)
    draft.unread.extend(unseen(sources.hosts))
    sources.annotations, unread = await vm_annotations.read(azure, subscriptions)
    sources.links, unread_links = await site_recovery.read(azure, subscriptions)
    draft.unread.extend(unread + unread_links)
    if any(claim.kind == "service-health" for claim in draft.claims):
        sources.impacted, unread = await impacted_resources.read(azure, subscriptions)
        draft.unread.extend(unread)
    hosts = _hosts_to_probe(sources, draft.lost)
    results = await probe.run(azure, hosts, survey.registration_paths(), survey.settings, survey.clock)
    by_hand, unused = probe_output.assign(
        probe_outputs,
        draft.base.hosts,
        sources.hosts,
        now=survey.clock.now(),
        fresh_minutes=survey.settings.assess.fresh_minutes,
    )
    draft.unread.extend(unused)
    sources.probes = probe_output.merge(probe.still_silent(results, silent), by_hand)
    if draft.arm_down:
        sources.missing = {host.key: f"unreachable: {draft.arm_down}" for host in draft.base.hosts}
    else:
        sources.missing = await _missing(survey, draft.base.hosts, sources.machines)
    return sources


async def _machines(survey: SurveyContext, draft: AssessmentDraft) -> Sources:
    """Machines and their availability: through Resource Graph for a fleet, else, or where that fails, from ARM's lists."""
    azure, subscriptions, settings, clock = survey.azure, survey.subscriptions, survey.settings, survey.clock
    hosts = draft.base.hosts
    fleet_answer = (
        await fleet.read(azure, subscriptions, draft.base, settings, clock) if fleet.is_fleet(draft.base) else None
    )
    if fleet_answer is not None:
        listing, availability, unread = fleet_answer
        if any(host.kind == "arc" for host in hosts):
            arc = await machines.read_arc(azure, subscriptions, settings, clock)
            listing.by_id.update(arc.by_id)
            listing.captures.extend(arc.captures)
    else:
        before = {host.key: host.baseline.arm for host in hosts if host.baseline.arm}
        listing = await machines.read(azure, subscriptions, settings, clock, before)
        availability, unread = await health.availability(azure, subscriptions, clock)
    draft.unread.extend(
        f"{capture.source} of {capture.subject}: {capture.detail}"
        for capture in listing.captures
        if capture.state == "failed"
    )
    draft.unread.extend(unread)
    return Sources(listing, availability)


def _hosts_to_probe(sources: Sources, lost_regions: Collection[str]) -> list[Host]:
    """Running hosts with a channel, outside lost regions. Where many machines of a region are unavailable, only the others."""

    def unavailable(host: Host) -> bool:
        state = sources.availability.get(host.key)
        return state is not None and str(state.value).lower() == "unavailable"

    running = [
        machine.host
        for machine in sources.machines.by_id.values()
        if machine.host.channel == "run-command"
        and machine.power == "running"
        and machine.host.region not in lost_regions
        and machine.host.group_region not in lost_regions
    ]
    dead = Counter(host.region for host in running if unavailable(host))
    return [host for host in running if not unavailable(host) or dead[host.region] <= DEAD]


async def _missing(survey: SurveyContext, hosts: Sequence[Host], listing: machines.Machines) -> dict[ArmId, str]:
    """The hosts that no list shows: ``gone`` when a GET of the host itself says so, else ``unreachable``."""
    azure = survey.azure
    reasons: dict[ArmId, str] = {}
    for host in hosts:
        if host.key in listing.by_id or host.kind == "physical":
            continue
        try:
            with azure.budget(attempts=2, seconds=20), reading_azure(host.id):
                if host.kind == "azure-vm":
                    await azure.compute.vm(host.id)
                else:
                    await azure.resources.resource(host.id, machines.ARC_API)
        except NotFoundError as error:
            reasons[host.key] = f"gone {error.code}"
        except CloudError as error:
            reasons[host.key] = f"unreachable {error.what}"
        else:
            reasons[host.key] = "unreachable: listed by no list, found by its id"
    return reasons
