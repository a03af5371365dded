"""``check``: what would stop a recovery, found on an ordinary day; with ``--if-lost``, the runbook for a region's loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from drkit.api import assess
from drkit.api import plan as plan_
from drkit.api.context import Context, reading_session
from drkit.errors import CloudError, CredentialError, ForbiddenError, RefusedError, UsageError
from drkit.model import arm_limits, estate, files, runbook, suggest
from drkit.model.clock import rfc3339
from drkit.model.estate import Assessment, Reading, Snapshot, TargetFacts, region_name
from drkit.model.ids import ArmId
from drkit.model.readiness import Forecast, Readiness
from drkit.model.runbook import Runbook, Step
from drkit.model.settings import Settings
from drkit.model.summary import forecast_seconds
from drkit.planning import failover, leftovers, readiness, recovery_point, replicas, what_if
from drkit.planning.readiness import Projection, Seen, Write
from drkit.products import actors, registry
from drkit.products.base import Actor, Product, StepContext

if TYPE_CHECKING:
    from drkit.providers.session import Session

MOST_RESOURCES = 50
"""Machines and plans whose own permissions are asked for, beside those of their groups."""


@dataclass(frozen=True)
class Checked:
    """The result of ``check``: the findings, their path (None: not kept), and the exit code 0, 1 (an error) or 5 (no answer).

    With ``lose`` also the runbook, its digest and the ``assessment`` that it was planned on. Both are marked as assumed, and neither is
    kept in the store. ``written``: the files in ``out``.
    """

    readiness: Readiness
    path: Path | None
    exit_code: int
    runbook: Runbook | None = None
    digest: str = ""
    assessment: Assessment | None = None
    written: tuple[Path, ...] = ()


async def check(context: Context, *, lose: str = "", out: str | None = None) -> Checked:
    """Look for what would stop a recovery. Reads Azure, changes nothing there, and keeps the findings in the store.

    ``lose``: plan as if that region were lost now. Nothing of that is kept, but with ``out`` the assumed assessment and runbook are
    written into that folder. UsageError for ``out`` without ``lose`` and for a region without plans; RefusedError without a snapshot, or
    when there would be no runbook; CredentialError without a token.
    """
    if out and not lose:
        raise UsageError("--out goes with --if-lost REGION: the runbook of an assumed loss is written there")
    generations = context.store.generations(context.cloud, needed=bool(lose))
    newest = generations[-1] if generations else None
    lost = _region(lose, newest)
    seen, projected, blind = await _seen(context, generations, lost)
    findings, words = readiness.judge(seen)
    before = None if lost else context.store.newest(Readiness)
    report = Readiness(
        cloud=context.cloud.mark,
        taken=rfc3339(seen.now),
        snapshot_generation=newest.generation if newest else 0,
        protected=tuple(seen.protected),
        targets=tuple(context.settings.targets),
        rules=words,
        forecasts=tuple(projection.forecast for projection in seen.projections if projection.forecast),
        findings=tuple(findings),
        compared=readiness.compare(before[0], findings) if before and _same(before[0], context) else None,
    )
    path = None
    if not lost and not blind:
        path = context.store.keep(report)
        report = msgspec.structs.replace(report, generation=int(path.stem))
    code = 5 if blind else 1 if report.errors else 0
    if not lost:
        return Checked(report, path, code)
    projection, assessed = projected[lost]
    if projection.runbook is None:
        raise RefusedError(f"if {lost} is lost, there is no runbook: {projection.refused}", remedy=projection.remedy)
    content = runbook.encode(projection.runbook)
    written = _write(out, content, assessed) if out else ()
    return Checked(report, path, code, projection.runbook, runbook.digest(content), assessed, written)


def _same(before: Readiness, context: Context) -> bool:
    """Whether the earlier check was made against the same cloud, so that they can be compared."""
    return before.cloud == context.cloud.mark


def _region(lose: str, newest: Snapshot | None) -> str:
    if not lose or newest is None:
        return ""
    region, here = region_name(lose), {plan.region for plan in newest.plans}
    if region not in here:
        raise UsageError(
            f"no plan is in {lose!r}",
            where="--if-lost",
            remedy=suggest.remedy(region, here, f"one of: {', '.join(sorted(here))}") if here else "there are no plans",
        )
    return region


def _write(out: str, content: bytes, assessed: Assessment) -> tuple[Path, ...]:
    folder = Path(out)
    files.make_folder(folder, remedy="choose another --out")
    paths = (folder / "runbook.json", folder / "assessment.json")
    for path, written in zip(paths, (content, estate.encode(assessed)), strict=True):
        plan_.write_out(str(path), written)
    return paths


async def _seen(
    context: Context, generations: Sequence[Snapshot], lost: str
) -> tuple[Seen, dict[str, tuple[Projection, Assessment]], bool]:
    """What the rules judge, the runbook of each region with its assessment, and whether Azure gave no answer at all."""
    settings, products = context.settings, registry()
    newest = generations[-1] if generations else None
    base = recovery_point.compose(generations, {}) if generations else None
    protected = readiness.protected_regions(newest, settings)
    regions = (
        [lost]
        if lost
        else [region for region in protected if base and any(plan.region == region for plan in base.plans)]
    )
    now = context.clock.now()
    seen = Seen(
        now, settings, products, base, generations, tuple(dict.fromkeys((*protected, *([lost] if lost else ()))))
    )
    async with reading_session(context) as azure:
        try:
            subscriptions = await _subscriptions(azure, settings, newest)
        except CredentialError:
            raise
        except CloudError as error:
            return _blind(seen, error), {}, True
        reader = Reader(context, azure, products, subscriptions)
        targets = await reader.targets(base, protected if not lost else (lost,))
        projected = {region: await reader.project(base, region, targets) for region in regions} if base else {}
        seen = replace(
            seen, targets=tuple(targets), projections=tuple(projection for projection, _ in projected.values())
        )
        return replace(seen, readings=tuple(await reader.readings(seen))), projected, False


def _blind(seen: Seen, error: CloudError) -> Seen:
    """What the rules judge when nothing answers: locks and policies are unknown."""
    now = rfc3339(seen.now)
    unread = [
        Reading("every subscription", signal, "unknown", "ARM", now, str(error))
        for signal in ("locks-unread", "policies-unread")
    ]
    return replace(seen, readings=tuple(unread))


async def _subscriptions(azure: Session, settings: Settings, newest: Snapshot | None) -> list[str]:
    from drkit.survey import capture as survey

    if not settings.subscriptions and newest is not None and newest.subscriptions:
        settings = msgspec.structs.replace(settings, subscriptions=list(newest.subscriptions))
    return await survey.subscriptions_of(azure, settings)


class Reader:
    """Reads from Azure what the rules need, through a session that can only read."""

    def __init__(
        self, context: Context, azure: Session, products: Mapping[str, Product], subscriptions: Sequence[str]
    ) -> None:
        self.context, self.azure, self.products, self.subscriptions = context, azure, products, subscriptions
        self.settings, self.clock = context.settings, context.clock
        self.actors: Mapping[str, Actor] = actors()
        self.made = _created_for(context)

    @property
    def now(self) -> str:
        return rfc3339(self.clock.now())

    async def targets(self, base: Snapshot | None, protected: Sequence[str]) -> list[TargetFacts]:
        """The facts of every region that plans of a protected region may move to."""
        targets: dict[tuple[str, str, str], TargetFacts] = {}
        refusals = assess.refusals_of(self.context, self.clock)
        for plan in base.plans if base else ():
            product = self.products.get(plan.product)
            if base is None or product is None or plan.region not in protected:
                continue
            others = [other for other in base.plans if other.product == plan.product and other.region != plan.region]
            ready = sorted({other.region for other in product.stand_ins(plan, others, self.settings)})
            for region in self.settings.targets or list(product.regions) or ready:
                key = (plan.product, plan.subscription.lower(), region)
                # A region in which the product is not offered need not be asked.
                if region == plan.region or key in targets or (product.regions and region not in product.regions):
                    continue
                facts = await product.target(self.azure, plan.subscription, region, base, self.settings, self.clock)
                targets[key] = msgspec.structs.replace(facts, refusals=refusals.get(key[1:], ()))
        return list(targets.values())

    async def project(
        self, base: Snapshot, region: str, targets: Sequence[TargetFacts]
    ) -> tuple[Projection, Assessment]:
        """What drkit would do if that region were lost now, and the assumed assessment."""
        settings = msgspec.structs.replace(
            self.settings, targets=[target for target in self.settings.targets if target != region]
        )
        assessed = what_if.assume(
            base, region, settings, self.products, targets, cloud=self.context.cloud.mark, now=self.now
        )
        try:
            book = failover.recovery_runbook(
                base,
                assessed,
                settings,
                self.products,
                plan_.provenance(self.context, base, assessment_digest=estate.digest(estate.encode(assessed))),
                kind="failover",
                made=self.made,
            )
        except RefusedError as error:
            return Projection(region, refused=error.what, remedy=error.remedy), assessed
        writes = tuple(write for step in book.steps for write in self._writes(step, book))
        candidates = replicas.candidates(book, settings, self.made)
        forecast = self._forecast(region, book, writes)
        return Projection(region, book, writes=writes, forecast=forecast, candidates=candidates), assessed

    def _writes(self, step: Step, book: Runbook) -> list[Write]:
        step_context = StepContext(
            run="assumed",
            runbook=book,
            azure=self.azure,
            clock=self.clock,
            settings=self.settings,
            attempt=1,
            results=lambda _step: {},
            show_code=lambda *_words: None,
        )
        requests = self.actors[step.product].requests(step, step_context) if step.product in self.actors else ()
        return readiness.writes_of(step.id, requests, self.context.cloud.arm, step.environment)

    def _forecast(self, region: str, book: Runbook, writes: Sequence[Write]) -> Forecast:
        by: dict[tuple[str, arm_limits.OperationKind], int] = {}
        for write in writes:
            key: tuple[str, arm_limits.OperationKind] = (
                write.subscription,
                "delete" if write.method == "DELETE" else "write",
            )
            by[key] = by.get(key, 0) + 1
        made = Counter(write.step for write in writes)
        for step in book.steps:
            place = ArmId(step.plan or step.target).subscription.lower()
            by[place, "read"] = by.get((place, "read"), 0) + max(0, step.estimate.calls - made[step.id])
        total: dict[str, int] = {}
        for (_, operation), count in by.items():
            total[operation] = total.get(operation, 0) + count
        return Forecast(
            region=region,
            steps=len(book.steps),
            environments=len(book.environments),
            decision_seconds=self.settings.advice.decision_minutes * 60,
            step_seconds=forecast_seconds(book.steps, self.settings.run.concurrency),
            bucket_seconds=max(
                (arm_limits.drain_seconds(count, operation) for (_, operation), count in by.items()), default=0.0
            ),
            requests=total,
            objective_seconds=self.settings.objectives.recovery_time_minutes * 60,
        )

    async def readings(self, seen: Seen) -> list[Reading]:
        """What Azure would say to those runbooks, and in which regions the things that drkit itself needs are."""
        from drkit.planning.readiness.estate_rules import linked_hosts
        from drkit.survey import capacity, dependencies, governance, reachability

        now, own = self.now, self.settings.check
        subscriptions = list(dict.fromkeys([*self.subscriptions, *(write.subscription for _, write in seen.writes())]))
        readings = await governance.locks(self.azure, subscriptions, now)
        readings += await governance.policies(self.azure, subscriptions, now)
        readings += await governance.permissions(self.azure, _scopes(seen, subscriptions), now)
        readings += await reachability.read(self.azure, linked_hosts(seen), now)
        readings += await capacity.machines(self.azure, self.subscriptions, self.settings.targets, seen.protected, now)
        readings += await capacity.names(self.azure, self._names(seen), subscriptions, now)
        readings += await dependencies.read(
            self.azure, self.subscriptions, store=self._store(), machine=own.machine, needs=own.needs, now=now
        )
        readings += await dependencies.target_groups(self.azure, self.subscriptions, now)
        return [*readings, *_target_plans(seen, now)]

    def _store(self) -> str:
        return str(getattr(self.context.store, "address", self.context.store.folder))

    def _names(self, seen: Seen) -> list[tuple[str, Product]]:
        """The plans that runbooks would make, each with its product."""
        products: dict[str, Product] = {}
        for projection in seen.projections:
            for step in projection.runbook.steps if projection.runbook else ():
                if (
                    step.effect == "create"
                    and step.product in self.products
                    and _is_plan(step.target, self.products[step.product])
                ):
                    products[step.target] = self.products[step.product]
        return list(products.items())


def _created_for(context: Context) -> dict[str, str]:
    """As ``leftovers.created_for``; empty where this identity may not read journals."""
    try:
        return leftovers.created_for(context.store.run_records())
    except ForbiddenError:
        return {}


def _is_plan(target: str, product: Product) -> bool:
    parts = ArmId(target).parts
    return len(parts) == 8 and "/".join(parts[5:7]).lower() in {plan_type.lower() for plan_type in product.plan_types}


def _scopes(seen: Seen, subscriptions: Sequence[str]) -> list[str]:
    """The scopes whose permissions are read: subscriptions, groups that exist, and some of the resources in them."""
    there = {
        ArmId(f"/subscriptions/{facts.subscription}/resourceGroups/{name}")
        for facts in seen.targets
        for name in facts.groups
    }
    hosts, plans = (seen.snapshot.hosts, seen.snapshot.plans) if seen.snapshot else ((), ())
    there |= {host.key.group for host in hosts if host.id.startswith("/")}
    known = {host.key for host in hosts} | {plan.key for plan in plans}
    groups = dict.fromkeys(write.group for _, write in seen.writes() if ArmId(write.group) in there)
    inside = dict.fromkeys(write.resource for _, write in seen.writes() if ArmId(write.resource) in known)
    return [
        *(f"/subscriptions/{subscription}" for subscription in subscriptions),
        *groups,
        *list(inside)[:MOST_RESOURCES],
    ]


def _target_plans(seen: Seen, now: str) -> list[Reading]:
    """Plans that are to take over and whose resource group is in another region than they are."""
    readings: dict[str, Reading] = {}
    every = seen.snapshot.plans if seen.snapshot else ()
    for plan in every:
        if plan.region in seen.protected and plan.product in seen.products:
            others = [other for other in every if other.product == plan.product and other.region != plan.region]
            for target in seen.products[plan.product].stand_ins(plan, others, seen.settings):
                if target.group_region and target.group_region != target.region:
                    readings[target.id] = Reading(
                        target.id, "target-plan", target.group_region, "ARM: resource groups", now
                    )
    return list(readings.values())
