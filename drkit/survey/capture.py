"""Takes a snapshot: plans and environments from their products, machines from ARM, identities from the probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from drkit.errors import CloudError, ForbiddenError, NotFoundError, UnreadableError
from drkit.model.answers import reading_azure
from drkit.model.clock import rfc3339
from drkit.model.estate import (
    LISTING,
    Baseline,
    Capture,
    Environment,
    Host,
    Location,
    Plan,
    Snapshot,
    is_region,
    region_name,
)
from drkit.model.ids import ArmId
from drkit.model.settings import Settings
from drkit.products.base import Captured, Product, carried
from drkit.survey import machines, probe
from drkit.survey.context import SurveyContext
from drkit.survey.host_links import HostLinks

if TYPE_CHECKING:
    from drkit.providers.session import Session

FALL = 0.5
"""A capture with less than this share of the environments or plans of the one before is flagged."""


async def subscriptions_of(azure: Session, settings: Settings) -> list[str]:
    """The subscriptions to read: those in settings, else every one the identity can see.

    UnreachableError when ARM does not answer, UnreadableError when its list names no subscription by its id.
    """
    if settings.subscriptions:
        # One request even so: it shows whether ARM answers before many are sent.
        with suppress(ForbiddenError, NotFoundError):
            await azure.resources.subscriptions()
        return list(settings.subscriptions)
    listed = await azure.resources.subscriptions()
    subscriptions = sorted(filter(None, map(_id_of, listed)))
    if listed and not subscriptions:
        raise UnreadableError("names no subscription by its id", where="/subscriptions", remedy="repeat the command")
    return subscriptions


def _id_of(subscription: Mapping[str, Any]) -> str:
    """The subscription's id, which becomes part of every path; empty when it is not a GUID."""
    identifier = subscription.get("subscriptionId")
    with suppress(ValueError):
        return str(identifier) if isinstance(identifier, str) and UUID(identifier) else ""
    return ""


async def locations_of(azure: Session, subscriptions: Sequence[str]) -> tuple[Location, ...]:
    """The regions with their display names and pairs, from the first subscription that answers."""
    for subscription in subscriptions:
        try:
            with reading_azure(f"/subscriptions/{subscription}"):
                listed = await azure.resources.locations(subscription)
                return tuple(
                    Location(region_name(location.name), location.display_name, region_name(location.paired))
                    for location in listed
                    if is_region(region_name(location.name))
                )
        except CloudError:
            continue
    return ()


async def take(survey: SurveyContext, previous: Snapshot | None) -> Snapshot:
    """The estate as it is now. What could not be read is carried over from ``previous``.

    CloudError when nothing answers at all. What went wrong with a part of the estate is in the snapshot's ``captures``.
    """
    settings = survey.settings
    survey = replace(survey, subscriptions=await subscriptions_of(survey.azure, settings))
    taken = rfc3339(survey.clock.now())
    locations = await locations_of(survey.azure, survey.subscriptions)
    captured = await capture(survey)
    listing = await machines.read(survey.azure, survey.subscriptions, settings, survey.clock)
    captures = [*captured.captures, *listing.captures]
    plans, environments = _carry_over(captured, previous, survey.products)
    hosts = {machine.host.key: machine.host for machine in listing.by_id.values()}
    running = {key for key, machine in listing.by_id.items() if machine.power == "running"}
    hosts, probe_captures = await _identify(survey, hosts, running)
    captures.extend(probe_captures)
    _add_hosts_of_settings(hosts, settings)
    _add_hosts_known_before(hosts, previous, listing)
    links = HostLinks(hosts, settings, previous)
    linked = tuple(links.link(environment) for environment in environments)
    return Snapshot(
        cloud=survey.mark,
        taken=taken,
        plans=tuple(sorted(plans, key=lambda plan: plan.key)),
        environments=tuple(
            sorted(linked, key=lambda environment: (environment.plan_key, environment.name.lower(), environment.id))
        ),
        hosts=tuple(sorted(hosts.values(), key=lambda host: host.key)),
        captures=tuple(captures),
        locations=locations or (previous.locations if previous else ()),
        flags=tuple(_flags(len(plans), len(environments), previous)),
        subscriptions=tuple(settings.subscriptions),
        unseen=tuple(unseen(hosts.values())),
    )


async def capture(survey: SurveyContext) -> Captured:
    """What every product finds. A product that fails as a whole is one failed capture, whose subject is the product's name."""
    parts: list[Captured] = []
    for name, product in survey.products.items():
        try:
            with reading_azure(name):
                parts.append(await product.capture(survey.azure, survey.subscriptions, survey.settings, survey.clock))
        except CloudError as error:
            now = rfc3339(survey.clock.now())
            parts.append(Captured(captures=(Capture(name, "all of it", "failed", now, str(error)),)))
    return Captured(
        tuple(plan for part in parts for plan in part.plans),
        tuple(environment for part in parts for environment in part.environments),
        tuple(outcome for part in parts for outcome in part.captures),
    )


def unseen(hosts: Iterable[Host]) -> list[str]:
    """What the roles and channels of the estate do not show, in words: it is unknown, and never taken for unchanged."""
    gaps = []
    blind = sum(host.kind == "azure-vm" and not host.channel for host in hosts)
    if blind:
        gaps.append(
            f"from inside (machine id, boot id, host keys, registrations): unknown for {blind} virtual machines, since drkit.toml "
            "names no channel for them; Reader may not probe"
        )
    disks = sum(
        host.baseline.arm is not None and bool(host.baseline.arm.os_disk) and not host.baseline.arm.os_disk_unique_id
        for host in hosts
    )
    if disks:
        gaps.append(f"which OS disk it is: unknown for {disks} machines, whose disks could not be read")
    return gaps


def complete_plans(captures: Sequence[Capture]) -> set[ArmId]:
    """The subjects of captures that did not fail (grants may be missing)."""
    return {outcome.key for outcome in captures if outcome.state != "failed"}


def whole_plans(captures: Sequence[Capture]) -> set[ArmId]:
    """The plans of which every environment was read: an environment that such a plan does not list does not exist."""
    unread_listings = {outcome.key for outcome in captures if outcome.key.folded.endswith(LISTING)}
    return {plan for plan in complete_plans(captures) if listing_of(plan) not in unread_listings}


def listing_of(plan: str) -> ArmId:
    """The subject of a capture that could not read all environments of a plan."""
    return ArmId(f"{plan}{LISTING}")


def _carry_over(
    captured: Captured, previous: Snapshot | None, products: Mapping[str, Product]
) -> tuple[list[Plan], list[Environment]]:
    """Plans and environments of this capture where it is complete, of the previous one where it is not."""
    if previous is None:
        return list(captured.plans), list(captured.environments)
    complete = complete_plans(captured.captures)
    partial = {outcome.key for outcome in captured.captures if outcome.state == "partial"}
    plans = _carry_over_plans(captured, previous, complete, partial)
    earlier_settings = {environment.key: environment.settings for environment in previous.environments}
    environments = [
        # What installs a registration again is still needed when the registration is gone.
        msgspec.structs.replace(
            environment, settings={**earlier_settings.get(environment.key, {}), **environment.settings}
        )
        if carried(products.get(environment.product), environment)
        else environment
        for environment in captured.environments
        if environment.plan_key in complete
    ]
    carried_plans = {key for key in plans if key not in complete}
    present = {environment.key for environment in environments}
    environments.extend(
        environment
        for environment in previous.environments
        if environment.plan_key in carried_plans
        or (listing_of(environment.plan) in partial and environment.key not in present)
    )
    return list(plans.values()), environments


def _carry_over_plans(
    captured: Captured, previous: Snapshot, complete: set[ArmId], partial: set[ArmId]
) -> dict[ArmId, Plan]:
    failed = {outcome.key for outcome in captured.captures if outcome.state == "failed"}
    old_plans = {plan.key: plan for plan in previous.plans}
    plans: dict[ArmId, Plan] = {}
    for plan in captured.plans:
        key = plan.key
        plans[key] = plan if key in complete or key not in old_plans else old_plans[key]
        if key in partial and key in old_plans and not plan.grants:
            plans[key] = msgspec.structs.replace(plans[key], grants=old_plans[key].grants)
    # A list that could not be read completely does not prove that the plans it lacks are gone.
    lists = {subject for subject in complete - partial if "/providers/" in subject.folded and subject.count("/") <= 5}
    for key, plan in old_plans.items():
        plan_list = ArmId(f"/subscriptions/{plan.subscription}/providers/{key.resource_type}")
        if key not in plans and (plan_list not in lists or key in failed):
            plans[key] = plan
    return plans


async def _identify(
    survey: SurveyContext, hosts: dict[ArmId, Host], running: set[ArmId]
) -> tuple[dict[ArmId, Host], list[Capture]]:
    """Probe the running hosts that settings name a channel for, and add their guest identities to the baselines."""
    probe_hosts = [host for key, host in hosts.items() if host.channel == "run-command" and key in running]
    results = await probe.run(survey.azure, probe_hosts, survey.registration_paths(), survey.settings, survey.clock)
    captures: list[Capture] = []
    for key, result in results.items():
        host = hosts[key]
        if result.guest is None:
            captures.append(Capture(host.id, "probe", "failed", result.time, result.detail))
            continue
        captures.append(Capture(host.id, "probe", "complete", result.time))
        baseline = Baseline(host.baseline.arm, host.baseline.arm_time, result.guest, result.time)
        hosts[key] = msgspec.structs.replace(host, baseline=baseline)
    return hosts, captures


def _add_hosts_of_settings(hosts: dict[ArmId, Host], settings: Settings) -> None:
    """Add the hosts that only drkit.toml knows (a physical server)."""
    names = {host.name.lower() for host in hosts.values()}
    for entry in settings.hosts:
        key = ArmId(entry.id)
        if key in hosts or entry.id.lower() in names:
            continue
        hosts[key] = Host(
            id=entry.id,
            kind=entry.host_kind,
            name=key.name,
            os=entry.os,
            channel=settings.channel(entry) or "manual",
        )


def _add_hosts_known_before(hosts: dict[ArmId, Host], previous: Snapshot | None, listing: machines.Machines) -> None:
    """Add the hosts and guest identities of ``previous`` that could not be read this time."""
    if previous is None:
        return
    listed = {subscription.lower() for subscription in listing.listed_subscriptions}
    for old in previous.hosts:
        key = old.key
        now = hosts.get(key)
        if now is None:
            if old.kind != "physical" and key.subscription.lower() not in listed:
                hosts[key] = old
            continue
        same = (
            now.baseline.arm is not None
            and old.baseline.arm is not None
            and now.baseline.arm.instance_id == old.baseline.arm.instance_id
        )
        if now.baseline.guest is None and old.baseline.guest is not None and same:
            baseline = Baseline(now.baseline.arm, now.baseline.arm_time, old.baseline.guest, old.baseline.guest_time)
            hosts[key] = msgspec.structs.replace(now, baseline=baseline)


def _flags(plans: int, environments: int, previous: Snapshot | None) -> list[str]:
    if previous is None:
        return []
    flags = []
    for word, now, before in (
        ("plans", plans, len(previous.plans)),
        ("environments", environments, len(previous.environments)),
    ):
        if before >= 4 and now < before * FALL:
            flags.append(f"{word} fell from {before} to {now}: look before relying on this snapshot")
    return flags
