"""Hosts of the baseline that no longer have a registration, or have another one. Pure: a finding, not a verdict on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from drkit.model.estate import UNLISTED, Carried, Deferred, Environment, HostFinding, Reading, Snapshot
from drkit.model.ids import ArmId
from drkit.products.base import Captured, Product, carried
from drkit.survey.capture import listing_of

NONE = "none"


def find(
    base: Snapshot,
    captured: Captured,
    products: Mapping[str, Product],
    hosts: Sequence[HostFinding],
    deferred: Sequence[Deferred],
    now: str,
) -> Iterator[Carried]:
    """What was read on each host of the baseline where that is not the registration it had.

    ``deferred``: the old records of environments that a run moved and proved elsewhere. They are left out: their hosts have the
    registration that the run gave them. ``now``: the time of the readings (RFC 3339).
    """
    moved = {(ArmId(record.behind.plan), ArmId(record.behind.environment)) for record in deferred}
    read = {capture.key for capture in captured.captures if capture.state != "failed"}
    listed = {environment.key: environment for environment in captured.environments}
    # A list that could not be read completely does not prove that a worker is gone.
    unread = {capture.key for capture in captured.captures if capture.state != "complete"}
    serving = {
        (environment.product, environment.host.key)
        for environment in captured.environments
        if environment.host is not None and environment.key not in moved
    }
    answering = {ArmId(environment.id) for environment in captured.environments if _answers(environment)}
    findings = {finding.key: finding for finding in hosts}
    for environment in base.environments:
        host = environment.host
        if environment.kind != "self-hosted" or host is None:
            continue
        if environment.key in moved or environment.plan_key not in read:
            continue
        current, source = listed.get(environment.key), "the host's own resource"
        carried_id = carried(products.get(environment.product), current)
        if carried_id == "" and current is None and listing_of(environment.plan) not in unread:
            # A host that another plan of the product lists was moved there by somebody; it is not switched off.
            elsewhere = (environment.product, host.key) in serving
            carried_id, source = "" if elsewhere else UNLISTED, "its plan's own list"
        elif carried_id is None:
            carried_id, source = _probed(environment, current, findings.get(host.key), answering), "probe"
        if carried_id:
            reading = Reading(host.host, "carries", carried_id, source, now)
            another = "" if carried_id in (NONE, UNLISTED) else carried_id
            yield Carried(
                environment=environment.id,
                name=environment.name,
                plan=environment.plan,
                host=host.host,
                reading=reading,
                another=another,
            )


def _probed(
    environment: Environment,
    current: Environment | None,
    finding: HostFinding | None,
    answering: Set[ArmId],
) -> str:
    """The registration that the probe read where the service does not confirm the known one; ``none`` where it read that there is
    none; empty where it is the known one or nothing was read.
    """
    if finding is None or finding.found is None or finding.signals.get("probe") != "up":
        return ""
    if finding.outcome == "re-register":
        # The verdict already says so.
        return ""
    if current is not None and _answers(current):
        return ""
    guest = finding.found.baseline.guest
    if guest is None or guest.registrations is None:
        return ""
    ids = {
        ArmId(registration.id) for registration in guest.registrations if registration.product == environment.product
    }
    if not ids:
        return NONE
    if ArmId(environment.id) in ids:
        return ""
    # A registration that no service knows is a leftover; the verdict deals with it.
    return next((registration_id.folded for registration_id in sorted(ids & answering)), "")


def _answers(environment: Environment) -> bool:
    """Whether its service lists an environment as answering."""
    return environment.state.lower() == "available"
