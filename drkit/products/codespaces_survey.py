"""Codespaces, the reading half: plans and environments as they are, and what a target region offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.clock import Clock, rfc3339
from drkit.errors import CloudError
from drkit.estate import Capture, Environment, Plan, Reading, RoleAssignment, Snapshot, TargetFacts, region_name
from drkit.products import codespaces_settings as names
from drkit.products import codespaces_wire as wire
from drkit.products.base import Captured
from drkit.products.groups import tagged
from drkit.settings import Settings

if TYPE_CHECKING:
    from drkit.providers.session import Session


class Survey:
    """Reads; never raises for one plan or region that cannot be read, but says so."""

    def __init__(self, tokens: wire.Tokens) -> None:
        self.tokens = tokens

    async def capture(self, azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Captured:
        own = names.settings_of(settings)
        plans: list[Plan] = []
        environments: list[Environment] = []
        captures: list[Capture] = []
        health: dict[str, Reading] = {}
        for subscription in subscriptions:
            now = rfc3339(clock.now())
            try:
                groups = {
                    group["name"].lower(): group["location"] for group in await azure.resources.groups(subscription)
                }
            except CloudError as error:
                groups = {}
                captures.append(Capture(f"/subscriptions/{subscription}", "ARM: groups", "failed", now, str(error)))
            for kind in names.PLAN_TYPES:
                url = f"/subscriptions/{subscription}/providers/{kind}"
                version = wire.API_VERSIONS[kind.split("/")[0].lower()]
                try:
                    found = [item async for item in azure.rest.pages(url, {"api-version": version})]
                except CloudError as error:
                    captures.append(Capture(url, "ARM: plans", "failed", now, str(error)))
                    continue
                captures.append(Capture(url, "ARM: plans", "complete", now))
                for item in found:
                    plan = wire.plan_of(item, groups, now)
                    grants, trouble = await self._grants(azure, plan)
                    plans.append(_with(plan, grants))
                    if plan.region not in health:
                        health[plan.region] = await wire.healthy(azure, plan.region, own.service, clock)
                    if health[plan.region].value == "no":
                        why = f"its regional service does not answer: {health[plan.region].detail}"
                        captures.append(Capture(plan.id, "environment service", "failed", now, why))
                        continue
                    try:
                        listed = await wire.listed(azure, self.tokens, plan.id, plan.region, own.service)
                    except CloudError as error:
                        captures.append(Capture(plan.id, "environment service", "failed", now, str(error)))
                        continue
                    state = "partial" if trouble else "complete"
                    captures.append(Capture(plan.id, "environment service", state, now, trouble))  # type: ignore[arg-type]
                    environments.extend(one for one in (wire.environment_of(raw, plan) for raw in listed) if one)
        return Captured(tuple(plans), tuple(environments), tuple(captures))

    async def _grants(self, azure: Session, plan: Plan) -> tuple[tuple[RoleAssignment, ...], str]:
        try:
            found = await azure.resources.role_assignments(plan.id)
        except CloudError as error:
            return (), f"grants could not be read: {error.what}"
        grants = []
        for item in found:
            properties = item.get("properties") or {}
            scope = str(properties.get("scope", ""))
            if scope.lower() in (plan.id.lower(), plan.id.lower().split("/providers/")[0]):
                role = str(properties.get("roleDefinitionId", "")).rsplit("/", 1)[-1]
                grants.append(RoleAssignment(scope, role, str(properties.get("principalId", ""))))
        return tuple(grants), ""

    async def target(
        self, azure: Session, subscription: str, region: str, snapshot: Snapshot, settings: Settings, clock: Clock
    ) -> TargetFacts:
        own = names.settings_of(settings)
        now = rfc3339(clock.now())
        health = await wire.healthy(azure, region, own.service, clock)
        readings = [health]

        async def ask(signal: str, source: str, call: Any) -> Any:
            try:
                value = await call
            except CloudError as error:
                readings.append(Reading(region, signal, "unknown", source, now, str(error)))
                return None
            return value

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
                places = next((found for name, found in provider.resource_types.items() if name.lower() == "plans"), ())
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
                if region_name(str(item.get("location", ""))) != region:
                    continue
                try:
                    listed = await wire.listed(azure, self.tokens, str(item["id"]), region, service)
                except CloudError as error:
                    readings.append(Reading(region, "cores", "unknown", str(item["id"]), now, str(error)))
                    continue
                for environment in listed:
                    data = environment.get("subscriptionData")
                    if isinstance(data, dict) and isinstance(data.get("computeQuota"), int):
                        left = data["computeQuota"] - int(data.get("computeUsage") or 0)
                        cores = left if cores is None else min(cores, left)
        if cores is not None:
            readings.append(Reading(region, "cores", cores, "environment service: subscriptionData", now))
        return count, cores


def _with(plan: Plan, grants: tuple[RoleAssignment, ...]) -> Plan:
    return msgspec.structs.replace(plan, grants=grants)
