"""Hybrid workers, the reading half: accounts with their workers and extensions as they are, and what a target region offers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.errors import CloudError, UnreachableError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import Capture, Environment, Plan, Reading, Snapshot, TargetFacts, plan_fault, region_name
from drkit.model.settings import Settings
from drkit.planning.proposal import TAG_TARGET
from drkit.products.base import Captured
from drkit.products.defaults import each, granted, unlisted
from drkit.products.hybrid_worker import client as wire
from drkit.products.hybrid_worker import plan as pure
from drkit.products.hybrid_worker import settings as own_settings
from drkit.products.resource_groups import locations_of, tagged

if TYPE_CHECKING:
    from drkit.providers.session import Session

NAMESPACE = "Microsoft.Automation"
DELETED_API = "2024-10-23"
TOGETHER = 8


def _same(address: str, other: str) -> bool:
    return address.rstrip("/").lower() == other.rstrip("/").lower()


def _fit(plan: Plan) -> Plan:
    """The plan, if it can be kept."""
    if fault := plan_fault(plan):
        raise UnreachableError(fault, where=plan.id)
    return plan


class Survey:
    """Reads; never raises for one account or region that cannot be read, but says so."""

    async def capture(self, azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Captured:
        parts: list[Captured] = []
        for subscription in subscriptions:
            now = rfc3339(clock.now())
            url = f"/subscriptions/{subscription}/providers/{pure.PLAN_TYPES[0]}"
            try:
                with reading_azure(url):
                    listed = [item async for item in azure.rest.pages(url, {"api-version": wire.API})]
                    groups = locations_of(await azure.resources.groups(subscription))
            except CloudError as error:
                parts.append(Captured(captures=(Capture(url, "ARM: Automation accounts", "failed", now, str(error)),)))
                continue
            # Those of a lost region may all hang; they need not do so one after the other.
            limit = asyncio.Semaphore(TOGETHER)
            readings = [self._limited(limit, azure, item, groups, settings, clock) for item in listed]
            read_ = await asyncio.gather(*readings)
            odd = sum(not part.plans for part in read_)
            why = f"{odd} of {len(listed)} accounts could not be read" if odd else ""
            state = Capture(url, "ARM: Automation accounts", "partial" if odd else "complete", now, why)
            parts += [Captured(captures=(state,)), *read_]
        return Captured(
            tuple(plan for part in parts for plan in part.plans),
            tuple(worker for part in parts for worker in part.environments),
            tuple(capture for part in parts for capture in part.captures),
        )

    async def _limited(
        self,
        limit: asyncio.Semaphore,
        azure: Session,
        item: Mapping[str, Any],
        groups: Mapping[str, str],
        settings: Settings,
        clock: Clock,
    ) -> Captured:
        account = str(item["id"]) if isinstance(item, dict) and item.get("id") else ""
        try:
            with reading_azure(account):
                async with limit:
                    return await self._account(azure, account, item, groups, settings, clock)
        except CloudError as error:
            state = Capture(account, "Automation account", "failed", rfc3339(clock.now()), str(error))
            return Captured(captures=(state,) if account else ())

    async def _account(
        self,
        azure: Session,
        account: str,
        item: Mapping[str, Any],
        groups: Mapping[str, str],
        settings: Settings,
        clock: Clock,
    ) -> Captured:
        """One account. What ARM says of a lost one comes from its cache, so the account's own service and workers decide."""
        own, now = own_settings.settings_of(settings), rfc3339(clock.now())
        source = "Automation account"
        try:
            with azure.budget(attempts=2, seconds=20), reading_azure(account):
                plan = _fit(wire.plan_of(await wire.account(azure, account), groups, now))
        except CloudError as error:
            plan = _fit(wire.plan_of(item, groups, now))
            return Captured((plan,), (), (Capture(account, source, "failed", now, str(error)),))
        url = str(plan.properties.get("automationHybridServiceUrl", ""))
        health = await wire.answers(azure, plan.region, url, clock)
        try:
            there = health.value == "yes"
            with azure.budget(attempts=2 if there else 1, seconds=20 if there else 8), reading_azure(account):
                plan, workers, faults = await self._workers(azure, plan, clock, own.last_seen_minutes)
        except CloudError as error:
            return Captured((plan,), (), (Capture(account, source, "failed", now, str(error)),))
        alive = any(worker.state == "Available" for worker in workers)
        if health.value != "yes" and not alive:
            why = f"its regional service does not answer ({health.detail}), and no worker was seen of late"
            return Captured((plan,), tuple(workers), (Capture(account, source, "failed", now, why),))
        trouble: list[str] = []
        if workers or plan.properties.get("workerGroups") or plan.tags.get(TAG_TARGET):
            plan = await self._held(azure, plan, trouble)
            workers = [await self._extension(azure, worker, url, trouble) for worker in workers]
        plan = await self._held_by(azure, await self._grants(azure, plan, trouble))
        state = Capture(account, source, "partial" if trouble else "complete", now, "; ".join(dict.fromkeys(trouble)))
        return Captured((plan,), tuple(workers), (state, *unlisted(plan.id, source, now, faults)))

    async def _workers(
        self, azure: Session, plan: Plan, clock: Clock, fresh: float
    ) -> tuple[Plan, list[Environment], list[str]]:
        """The plan with its groups, its workers, and why others could not be read."""
        workers: list[Environment] = []
        faults: list[str] = []
        groups: dict[str, str] = {}
        for group in await wire.below(azure, plan.id, "hybridRunbookWorkerGroups"):
            name = str(group.get("name", ""))
            groups[name] = str(((group.get("properties") or {}).get("credential") or {}).get("name") or "")
            some, odd = each(
                await wire.workers(azure, plan.id, name),
                lambda item, name=name: wire.environment_of(item, plan, name, None, clock.now(), fresh),  # type: ignore[misc]
            )
            workers += some
            faults += odd
        properties = {**plan.properties, "workerGroups": groups} if groups else plan.properties
        return msgspec.structs.replace(plan, properties=properties), workers, faults

    async def _held(self, azure: Session, plan: Plan, trouble: list[str]) -> Plan:
        """The names of what the account holds; modules that every account has are left out."""
        holds: dict[str, list[str]] = {}
        for kind in wire.ASSETS:
            try:
                with reading_azure(plan.id):
                    names = [
                        str(item.get("name") or str(item.get("id", "")).rsplit("/", 1)[-1])
                        for item in await wire.below(azure, plan.id, kind)
                        if not (item.get("properties") or {}).get("isGlobal")
                    ]
            except CloudError as error:
                trouble.append(f"its {kind} could not be read: {error.what}")
                continue
            if names:
                holds[kind] = sorted(names)
        return msgspec.structs.replace(plan, properties={**plan.properties, "holds": holds})

    async def _extension(self, azure: Session, worker: Environment, url: str, trouble: list[str]) -> Environment:
        """The worker with the settings of its machine's extension. With another account's extension, or none, it no longer reports here."""
        machine = worker.host.host if worker.host else ""
        try:
            with reading_azure(machine):
                held = [item for item in await wire.extensions(azure, machine) if wire.is_worker_extension(item)]
                here = any(_same(wire.url_of(item), url) for item in held)
                recorded = {"extension": wire.recorded(held[0])} if held else {}
        except CloudError as error:
            trouble.append(f"the extensions of {worker.name} could not be read: {error}")
            return worker
        carries: dict[str, str] = {}
        if url and not here:
            carries = {pure.CARRIES: next((name for item in held if (name := wire.url_of(item))), pure.NONE)}
        state = "Unavailable" if worker.state == "Available" and carries else worker.state
        return msgspec.structs.replace(worker, state=state, settings={**worker.settings, **recorded, **carries})

    async def _grants(self, azure: Session, plan: Plan, trouble: list[str]) -> Plan:
        try:
            with reading_azure(plan.id):
                grants = granted(plan, await azure.resources.role_assignments(plan.id))
        except CloudError as error:
            trouble.append(f"grants could not be read: {error.what}")
            return plan
        return msgspec.structs.replace(plan, grants=grants)

    async def deleted(self, azure: Session, subscription: str, now: str) -> list[Reading]:
        """Deleted Automation Accounts - List By Subscription: those of the last 30 days, which can be restored."""
        url = f"/subscriptions/{subscription}/providers/{NAMESPACE}/deletedAutomationAccounts"
        readings = []
        with reading_azure(url):
            async for item in azure.rest.pages(url, {"api-version": DELETED_API}):
                properties = item.get("properties") or {}
                old = str(properties.get("automationAccountResourceId") or item.get("id", ""))
                region = region_name(str(properties.get("location") or item.get("location", "")))
                when = str(properties.get("deletionTime", ""))
                readings.append(
                    Reading(old, "deleted", region, "ARM: deleted Automation accounts", now, f"deleted {when}")
                )
        return readings

    async def _held_by(self, azure: Session, plan: Plan) -> Plan:
        """With what its identity was granted; without, where that cannot be read: it is no part of what recovers the plan."""
        identity = plan.properties.get("identity")
        principal = str(identity.get("principalId") or "") if isinstance(identity, Mapping) else ""
        if not re.fullmatch(r"[0-9A-Fa-f-]{36}", principal):
            return plan
        try:
            with reading_azure(plan.id):
                held = await azure.resources.held_by(plan.subscription, principal)
        except CloudError:
            return plan
        return msgspec.structs.replace(plan, properties={**plan.properties, "identityGrants": held})

    async def target(
        self, azure: Session, subscription: str, region: str, snapshot: Snapshot, settings: Settings, clock: Clock
    ) -> TargetFacts:
        now = rfc3339(clock.now())
        readings: list[Reading] = []
        registration, offered = "", None
        try:
            with reading_azure(NAMESPACE):
                provider = await azure.resources.provider(subscription, NAMESPACE)
            registration = provider.registration_state
            places = next(
                (at for name, at in provider.resource_types.items() if name.lower() == "automationaccounts"), ()
            )
            offered = region in {region_name(name) for name in places} if places else None
        except CloudError as error:
            readings.append(Reading(region, "provider", "unknown", f"ARM: provider {NAMESPACE}", now, str(error)))
        group, groups = "", dict[str, str]()
        try:
            with reading_azure(subscription):
                group, groups = await tagged(azure, subscription, region)
        except CloudError as error:
            readings.append(Reading(region, "groups", "unknown", "ARM: groups", now, str(error)))
        answering = None
        for plan in snapshot.plans:
            if plan.product == own_settings.NAME and plan.region == region:
                health = await wire.answers(
                    azure, region, str(plan.properties.get("automationHybridServiceUrl", "")), clock
                )
                readings.append(health)
                answering = health.value == "yes"
                if answering:
                    break
        return TargetFacts(
            product=own_settings.NAME,
            subscription=subscription,
            region=region,
            answering=answering,
            provider=registration,
            offered=offered,
            group=group,
            groups=groups,
            readings=tuple(readings),
        )
