"""Takes a snapshot: plans and environments from their products, machines from ARM, identities from the probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from drkit.errors import CloudError, ForbiddenError, NotFoundError, UnreadableError
from drkit.model.answers import read
from drkit.model.clock import Clock, rfc3339
from drkit.model.cloud import CloudMark
from drkit.model.estate import (
    LISTING,
    Baseline,
    Capture,
    Environment,
    Host,
    HostLink,
    Location,
    Plan,
    Snapshot,
    is_region,
    region_name,
)
from drkit.model.settings import HostSettings, Settings
from drkit.products.base import Captured, Product, carried
from drkit.survey import machines, probe

if TYPE_CHECKING:
    from drkit.providers.session import Session

FALL = 0.5


async def subscriptions_of(azure: Session, settings: Settings) -> list[str]:
    """The subscriptions to look at: those set, else every one the identity can see. UnreachableError when ARM does not answer."""
    if settings.subscriptions:
        # One question all the same: whether ARM answers, before many are asked.
        with suppress(ForbiddenError, NotFoundError):
            await azure.resources.subscriptions()
        return list(settings.subscriptions)
    listed = await azure.resources.subscriptions()
    subscriptions = sorted(filter(None, map(_id_of, listed)))
    if listed and not subscriptions:
        raise UnreadableError("names no subscription by its id", where="/subscriptions", remedy="repeat the command")
    return subscriptions


def _id_of(subscription: Mapping[str, Any]) -> str:
    """Its id, which becomes part of every path; empty for what is no GUID."""
    identifier = subscription.get("subscriptionId")
    with suppress(ValueError):
        return str(identifier) if isinstance(identifier, str) and UUID(identifier) else ""
    return ""


async def locations_of(azure: Session, subscriptions: Sequence[str]) -> tuple[Location, ...]:
    """The regions with their display names and pairs, from the first subscription that answers."""
    for subscription in subscriptions:
        try:
            with read(f"/subscriptions/{subscription}"):
                listed = await azure.resources.locations(subscription)
                return tuple(
                    Location(region_name(location.name), location.display_name, region_name(location.paired))
                    for location in listed
                    if is_region(region_name(location.name))
                )
        except CloudError:
            continue
    return ()


async def take(
    azure: Session,
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
    *,
    mark: CloudMark,
    previous: Snapshot | None,
) -> Snapshot:
    """The estate as it is; what could not be read is carried over from ``previous``. Raises only when nothing at all answers."""
    subscriptions = await subscriptions_of(azure, settings)
    taken = rfc3339(clock.now())
    locations = await locations_of(azure, subscriptions)
    captured = await capture(azure, products, subscriptions, settings, clock)
    listing = await machines.read(azure, subscriptions, settings, clock)
    captures = [*captured.captures, *listing.captures]
    plans, environments = _carry_over(captured, previous, products)
    hosts = {machine.host.id.lower(): machine.host for machine in listing.found.values()}
    running = {key for key, machine in listing.found.items() if machine.power == "running"}
    hosts, probe_captures = await _identify(azure, hosts, running, products, settings, clock)
    captures.extend(probe_captures)
    _settings_hosts(hosts, settings)
    _old_hosts(hosts, previous, listing)
    linked = tuple(link(environment, hosts, settings, previous) for environment in environments)
    return Snapshot(
        cloud=mark,
        taken=taken,
        plans=tuple(sorted(plans, key=lambda plan: plan.id.lower())),
        environments=tuple(
            sorted(linked, key=lambda environment: (environment.plan.lower(), environment.name.lower(), environment.id))
        ),
        hosts=tuple(sorted(hosts.values(), key=lambda host: host.id.lower())),
        captures=tuple(captures),
        locations=locations or (previous.locations if previous else ()),
        flags=tuple(_flags(len(plans), len(environments), previous)),
        subscriptions=tuple(settings.subscriptions),
        unseen=tuple(unseen(hosts.values())),
    )


async def capture(
    azure: Session, products: Mapping[str, Product], subscriptions: Sequence[str], settings: Settings, clock: Clock
) -> Captured:
    """What every product finds. One that fails as a whole is one failed capture, whose subject is its name."""
    parts: list[Captured] = []
    for name, product in products.items():
        try:
            with read(name):
                parts.append(await product.capture(azure, subscriptions, settings, clock))
        except CloudError as error:
            parts.append(Captured(captures=(Capture(name, "all of it", "failed", rfc3339(clock.now()), str(error)),)))
    return Captured(
        tuple(plan for part in parts for plan in part.plans),
        tuple(environment for part in parts for environment in part.environments),
        tuple(capture_record for part in parts for capture_record in part.captures),
    )


def unseen(hosts: Iterable[Host]) -> list[str]:
    """What the roles and channels there are do not show: unknown, and never taken for unchanged."""
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


def complete_plans(captures: Sequence[Capture]) -> set[str]:
    """Lower-cased ids of what was captured wholly (grants may be missing)."""
    return {capture.subject.lower() for capture in captures if capture.state != "failed"}


def whole_plans(captures: Sequence[Capture]) -> set[str]:
    """Lower-cased ids of the plans of which every environment was read: what such a plan does not list is not there."""
    odd = {
        capture_record.subject.lower()
        for capture_record in captures
        if capture_record.subject.lower().endswith(LISTING)
    }
    return {plan for plan in complete_plans(captures) if f"{plan}{LISTING}" not in odd}


def _carry_over(
    captured: Captured, previous: Snapshot | None, products: Mapping[str, Product]
) -> tuple[list[Plan], list[Environment]]:
    """This capture where it is complete, the previous one's word where it is not."""
    if previous is None:
        return list(captured.plans), list(captured.environments)
    complete = complete_plans(captured.captures)
    partial = {
        capture_record.subject.lower() for capture_record in captured.captures if capture_record.state == "partial"
    }
    failed = {
        capture_record.subject.lower() for capture_record in captured.captures if capture_record.state == "failed"
    }
    old_plans = {plan.id.lower(): plan for plan in previous.plans}
    plans: dict[str, Plan] = {}
    environments = [environment for environment in captured.environments if environment.plan.lower() in complete]
    for plan in captured.plans:
        key = plan.id.lower()
        plans[key] = plan if key in complete or key not in old_plans else old_plans[key]
        if key in partial and key in old_plans and not plan.grants:
            plans[key] = msgspec.structs.replace(plans[key], grants=old_plans[key].grants)
    # A list of which something could not be read does not say that the rest is gone.
    listed = {kind_list for kind_list in complete - partial if "/providers/" in kind_list and kind_list.count("/") <= 5}
    for key, plan in old_plans.items():
        kind = (
            f"/subscriptions/{plan.subscription}/providers/{plan.id.split('/providers/')[1].rsplit('/', 1)[0]}".lower()
        )
        if key not in plans and (kind not in listed or key in failed):
            plans[key] = plan
    earlier_settings = {
        (environment.plan.lower(), environment.id.lower()): environment.settings
        for environment in previous.environments
    }
    environments = [
        # What installs a registration again outlives the registration.
        msgspec.structs.replace(
            environment,
            settings={
                **earlier_settings.get((environment.plan.lower(), environment.id.lower()), {}),
                **environment.settings,
            },
        )
        if carried(products.get(environment.product), environment)
        else environment
        for environment in environments
    ]
    carried_plans = {key for key in plans if key not in complete}
    present = {(environment.plan.lower(), environment.id.lower()) for environment in environments}
    environments.extend(
        environment
        for environment in previous.environments
        if environment.plan.lower() in carried_plans
        or (
            f"{environment.plan.lower()}{LISTING}" in partial
            and (environment.plan.lower(), environment.id.lower()) not in present
        )
    )
    return list(plans.values()), environments


async def _identify(
    azure: Session,
    hosts: dict[str, Host],
    running: set[str],
    products: Mapping[str, Product],
    settings: Settings,
    clock: Clock,
) -> tuple[dict[str, Host], list[Capture]]:
    """Probe the running hosts that settings name a channel for; their guest identity joins the baseline."""
    probe_hosts = [host for key, host in hosts.items() if host.channel == "run-command" and key in running]
    results = await probe.run(azure, probe_hosts, registration_paths(products, settings), settings, clock)
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


def registration_paths(products: Mapping[str, Product], settings: Settings) -> dict[str, str]:
    """Product -> where its registration is kept on a host, for those that keep one."""
    paths = {name: product.registration_path(settings) for name, product in products.items()}
    return {name: path for name, path in paths.items() if path}


def _settings_hosts(hosts: dict[str, Host], settings: Settings) -> None:
    """Hosts that only drkit.toml knows (a physical server) join the estate."""
    names = {host.name.lower() for host in hosts.values()}
    for entry in settings.hosts:
        if entry.id.lower() in hosts or entry.id.lower() in names:
            continue
        hosts[entry.id.lower()] = Host(
            id=entry.id,
            kind=entry.host_kind,
            name=entry.id.rstrip("/").rsplit("/", 1)[-1],
            os=entry.os,
            channel=settings.channel(entry) or "manual",
        )


def _old_hosts(hosts: dict[str, Host], previous: Snapshot | None, listing: machines.Machines) -> None:
    """Hosts, and guest identities, that could not be read this time are kept as they were known."""
    if previous is None:
        return
    for old in previous.hosts:
        key = old.id.lower()
        now = hosts.get(key)
        if now is None:
            subscription = old.id.split("/")[2].lower() if old.id.startswith("/subscriptions/") else ""
            if old.kind != "physical" and subscription not in {name.lower() for name in listing.seen}:
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


def link(
    environment: Environment, hosts: Mapping[str, Host], settings: Settings, previous: Snapshot | None
) -> Environment:
    """The environment with its host: from its product's API, the registration the probe found, settings; where they disagree, unknown."""
    if environment.kind != "self-hosted":
        return environment
    links: list[HostLink] = [environment.host] if environment.host and environment.host.source == "api" else []
    for host in hosts.values():
        for registration in (host.baseline.guest.registrations if host.baseline.guest else None) or ():
            if registration.product == environment.product and registration.id.lower() == environment.id.lower():
                links.append(HostLink(host.id, "probe", registration.user, "", registration.path))
    entry = next((entry for entry in settings.hosts if _names(entry, environment)), None)
    if entry is not None:
        host_id = next(
            (host.id for host in hosts.values() if entry.id.lower() in (host.id.lower(), host.name.lower())), entry.id
        )
        links.append(HostLink(host_id, "settings", entry.user, entry.workspace))
    if not links and previous is not None:
        old = next(
            (
                environment_before
                for environment_before in previous.environments
                if environment_before.id == environment.id and environment_before.product == environment.product
            ),
            None,
        )
        if old is not None and old.host is not None and old.host.host.lower() in hosts:
            links.append(old.host)
    if not links:
        return environment
    if len({candidate.host.lower() for candidate in links}) > 1:
        named = ", ".join(f"{candidate.host} ({candidate.source})" for candidate in links)
        return msgspec.structs.replace(environment, host=None, host_dispute=f"its host is disputed: {named}")
    first = links[0]
    merged = HostLink(
        first.host,
        first.source,
        next((candidate.user for candidate in links if candidate.user), ""),
        next((candidate.workspace for candidate in links if candidate.workspace), ""),
        next((candidate.path for candidate in links if candidate.path), ""),
    )
    return msgspec.structs.replace(environment, host=merged)


def _names(entry: HostSettings, environment: Environment) -> bool:
    name = entry.environment.lower()
    return (
        bool(name)
        and entry.product in ("", environment.product)
        and name in (environment.id.lower(), environment.name.lower())
    )


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
