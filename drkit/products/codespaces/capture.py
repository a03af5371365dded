"""Codespaces, the reading half: plans and environments as they are, and what a target region offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.errors import CloudError, UnreachableError
from drkit.model.answers import reading_azure
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import (
    Capture,
    Environment,
    Plan,
    Reading,
    RoleAssignment,
    Snapshot,
    TargetFacts,
    plan_fault,
    region_name,
)
from drkit.model.settings import Settings
from drkit.products.base import Captured
from drkit.products.codespaces import client as wire
from drkit.products.codespaces import settings as names
from drkit.products.defaults import each, granted, unlisted
from drkit.products.resource_groups import locations_of, tagged

if TYPE_CHECKING:
    from drkit.providers.session import Session


class Survey:
    """Reads; never raises for one plan or region that cannot be read, but says so."""

    def __init__(self, tokens: wire.Tokens) -> None:
        self.tokens = tokens

    async def capture(self, azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Captured:
        own = names.settings_of(settings)
        parts: list[Captured] = []
        captures: list[Capture] = []
        health: dict[str, Reading] = {}
        for subscription in subscriptions:
            now = rfc3339(clock.now())
            try:
                with reading_azure():
                    groups = locations_of(await azure.resources.groups(subscription))
            except CloudError as error:
                groups = {}
                captures.append(Capture(f"/subscriptions/{subscription}", "ARM: groups", "failed", now, str(error)))
            for kind in names.PLAN_TYPES:
                url = f"/subscriptions/{subscription}/providers/{kind}"
                version = wire.API_VERSIONS[kind.split("/")[0].lower()]
                try:
                    items = [item async for item in azure.rest.pages(url, {"api-version": version})]
                except CloudError as error:
                    captures.append(Capture(url, "ARM: plans", "failed", now, str(error)))
                    continue
                odd = 0
                for item in items:
                    try:
                        with reading_azure(url):
                            plan = wire.plan_of(item, groups, now)
                            if fault := plan_fault(plan):
                                raise UnreachableError(fault, where=plan.id)
                    except CloudError as error:
                        odd += 1
                        subject = str(item["id"]) if isinstance(item, dict) and item.get("id") else url
                        captures.append(Capture(subject, "ARM: plan", "failed", now, str(error)))
                        continue
                    parts.append(await self._plan(azure, plan, own.service, health, clock, now))
                detail = f"{odd} of {len(items)} plans could not be read" if odd else ""
                captures.append(Capture(url, "ARM: plans", "partial" if odd else "complete", now, detail))
        return Captured(
            tuple(plan for part in parts for plan in part.plans),
            tuple(environment for part in parts for environment in part.environments),
            (*captures, *(capture for part in parts for capture in part.captures)),
        )

    async def _plan(
        self, azure: Session, plan: Plan, service: str, health: dict[str, Reading], clock: Clock, now: str
    ) -> Captured:
        """One plan with its grants and its environments. ``health``: region -> its service's health, added to."""
        source = "environment service"
        try:
            with reading_azure(plan.id):
                grants, trouble = await self._grants(azure, plan)
                plan = _with(plan, grants)
                if plan.region not in health:
                    health[plan.region] = await wire.healthy(azure, plan.region, service, clock)
                if health[plan.region].value == "no":
                    why = f"its regional service does not answer: {health[plan.region].detail}"
                    return Captured((plan,), (), (Capture(plan.id, source, "failed", now, why),))
                listed = await wire.listed(azure, self.tokens, plan.id, plan.region, service)
        except CloudError as error:
            return Captured((plan,), (), (Capture(plan.id, source, "failed", now, str(error)),))
        environments, faults = each(listed, lambda raw: _environment(raw, plan))
        state = Capture(plan.id, source, "partial" if trouble else "complete", now, trouble)
        return Captured((plan,), tuple(environments), (state, *unlisted(plan.id, source, now, faults)))

    async def _grants(self, azure: Session, plan: Plan) -> tuple[tuple[RoleAssignment, ...], str]:
        try:
            with reading_azure(plan.id):
                return granted(plan, await azure.resources.role_assignments(plan.id)), ""
        except CloudError as error:
            return (), f"grants could not be read: {error.what}"

    async def target(
        self, azure: Session, subscription: str, region: str, snapshot: Snapshot, settings: Settings, clock: Clock
    ) -> TargetFacts:
        own = names.settings_of(settings)
        now = rfc3339(clock.now())
        health = await wire.healthy(azure, region, own.service, clock)
        readings = [health]

        async def ask(signal: str, source: str, call: Any) -> Any:
            try:
                with reading_azure():
                    return await call
            except CloudError as error:
                readings.append(Reading(region, signal, "unknown", source, now, str(error)))
                return None

        url = f"https://{names.regional_host(region, own.service)}/api/v1/locations/{region}"
        location = await ask("skus", url, azure.rest.request("GET", url, anonymous=True))
        skus = None
        if location is not None and isinstance(location.body, dict) and isinstance(location.body.get("skus"), list):
            skus = tuple(str(sku.get("name")) for sku in location.body["skus"] if isinstance(sku, dict))
            readings.append(Reading(region, "skus", list(skus), url, now))
        group, groups = await ask("groups", "ARM: groups", tagged(azure, subscription, region)) or ("", {})
        kinds = {kind.split("/")[0] for kind in names.PLAN_TYPES}
        used = {
            plan.id.split("/providers/")[1].split("/")[0].lower()
            for plan in snapshot.plans
            if plan.subscription == subscription
        }
        registration, offered = "", None
        for kind in sorted(kinds):
            if kind.lower() not in used:
                continue
            provider = await ask("provider", f"ARM: provider {kind}", azure.resources.provider(subscription, kind))
            if provider is not None:
                if registration in ("", "Registered"):
                    registration = provider.registration_state
                places = next(
                    (regions for name, regions in provider.resource_types.items() if name.lower() == "plans"), ()
                )
                if places:
                    there = region in {region_name(name) for name in places}
                    offered = there if offered is None else offered and there
        counted, cores = await self._usage(azure, subscription, region, own.service, readings, now)
        return TargetFacts(
            product=names.NAME,
            subscription=subscription,
            region=region,
            answering=health.value == "yes",
            provider=registration,
            offered=offered,
            skus=skus,
            cores_left=cores,
            plans_in_subscription=counted,
            group=group,
            groups=groups,
            readings=tuple(readings),
        )

    async def _usage(
        self, azure: Session, subscription: str, region: str, service: str, readings: list[Reading], now: str
    ) -> tuple[int | None, int | None]:
        """How many plans the subscription has, and the cores left as the region's own environments tell."""
        count, cores = 0, None
        for kind in names.PLAN_TYPES:
            url = f"/subscriptions/{subscription}/providers/{kind}"
            try:
                plans = [
                    item
                    async for item in azure.rest.pages(
                        url, {"api-version": wire.API_VERSIONS[kind.split("/")[0].lower()]}
                    )
                ]
            except CloudError as error:
                readings.append(Reading(region, "plans", "unknown", f"ARM: {kind}", now, str(error)))
                return None, cores
            count += len(plans)
            for item in plans:
                try:
                    with reading_azure(url):
                        if region_name(str(item.get("location", ""))) != region:
                            continue
                        listed = await wire.listed(azure, self.tokens, str(item["id"]), region, service)
                        left = [
                            number
                            for number in (_cores_left(environment) for environment in listed)
                            if number is not None
                        ]
                except CloudError as error:
                    readings.append(Reading(region, "cores", "unknown", error.where or url, now, str(error)))
                    continue
                cores = min(left if cores is None else [*left, cores], default=None)
        if cores is not None:
            readings.append(Reading(region, "cores", cores, "environment service: subscriptionData", now))
        return count, cores


def _environment(raw: Mapping[str, Any], plan: Plan) -> Environment:
    environment = wire.environment_of(raw, plan)
    if environment is None:
        raise UnreachableError("it has no id", where=plan.id)
    return environment


def _cores_left(environment: Mapping[str, Any]) -> int | None:
    """What an environment says is left of its subscription's quota of cores; None where it does not say."""
    data = environment.get("subscriptionData")
    if not isinstance(data, dict) or not isinstance(data.get("computeQuota"), int):
        return None
    return int(data["computeQuota"]) - int(data.get("computeUsage") or 0)


def _with(plan: Plan, grants: tuple[RoleAssignment, ...]) -> Plan:
    return msgspec.structs.replace(plan, grants=grants)
