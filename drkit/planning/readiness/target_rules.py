"""Rules over the target regions: offered, registered, within quota, names free, and in time. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drkit.model.clock import rfc3339
from drkit.model.estate import Plan, Reading, TargetFacts
from drkit.model.ids import ArmId
from drkit.model.readiness import Finding
from drkit.planning import replicas
from drkit.planning.proposal import Proposer
from drkit.planning.readiness.values import UNKNOWN, Projection, Seen, finding
from drkit.planning.reasons import is_no_target

NAMED = 3
CAPACITY = (
    "whether there will be room in an outage is not known: quota is a limit on what you may use, not a promise of capacity, and "
    "everybody moves at once"
)


@dataclass(frozen=True)
class Wanted:
    """What one protected region's plans of one product and subscription ask of the target regions."""

    region: str
    subscription: str
    product: Proposer
    plans: tuple[Plan, ...]


@dataclass(frozen=True)
class Obstacle:
    """One thing in the way in one target region: rule, what, remedy; ``sure``: seen, else it could not be read."""

    rule: str
    what: str
    remedy: str
    sure: bool = True


def wanted(seen: Seen) -> list[Wanted]:
    """One for each protected region, product and subscription with plans."""
    sorted_: dict[tuple[str, str, str], list[Plan]] = {}
    for plan in seen.snapshot.plans if seen.snapshot else ():
        if plan.region in seen.protected and plan.product in seen.products:
            sorted_.setdefault((plan.region, plan.subscription.lower(), plan.product), []).append(plan)
    return [
        Wanted(region, subscription, seen.products[product], tuple(plans))
        for (region, subscription, product), plans in sorted(sorted_.items())
    ]


def targets(seen: Seen) -> Iterator[Finding]:
    """There is a region to move to, and it is none of those to move away from."""
    plans = bool(seen.snapshot and seen.snapshot.plans)
    if not seen.settings.targets:
        what = "no target region is set, so a move goes wherever its product is offered" if plans else (
            "no target region is set, so what a move would need there was not looked at"
        )  # fmt: skip
        remedy = 'set `targets = ["REGION"]` in drkit.toml, preferred first'
        yield finding("target", "warning", "targets", what, remedy, evidence=[_set(seen)])
    for region in seen.settings.targets:
        if region in seen.protected:
            what = (
                f"{region} is a target, and holds plans of its own: if {region} is lost, it must be taken out of `targets` first, and "
                "if another region is lost both loads meet there"
            )
            held = sum(plan.region == region for plan in (seen.snapshot.plans if seen.snapshot else ()))
            evidence = [_set(seen), seen.kept(region, "plans", held)]
            remedy = "add a target region that holds nothing"
            yield finding("target", "warning", region, what, remedy, region=region, evidence=evidence)
    for request in wanted(seen):
        if not candidates(request, seen):
            what = f"if {request.region} is lost, the {request.product.name} plans there have nowhere to go"
            yield finding(
                "target",
                "error",
                request.region,
                what,
                f"add another region than {request.region} to `targets` in drkit.toml",
                key=f"{request.product.name} {request.subscription}",
                region=request.region,
                evidence=[_set(seen)],
            )


def _set(seen: Seen) -> Reading:
    return seen.here("targets", "targets", list(seen.settings.targets), seen.settings.path or "no drkit.toml")


def takeovers(seen: Seen) -> Iterator[Finding]:
    """What would take over is named in drkit.toml, or was made by a run of this store: a tag can be set by many people."""
    for projection in seen.projections:
        for plan, takeover in projection.candidates.items():
            candidate, source = ArmId(plan).name, ArmId(takeover.plan).name
            what = (
                f"if {projection.region} is lost, {candidate} would take over from {source}, and only its tags speak for it: "
                "nobody can approve that without typing its whole id"
            )
            line = replicas.line(plan, takeover)
            remedy = f"if it is the right one, name it now: `replicas = {line}` under [products.NAME] in drkit.toml"
            evidence = [seen.here(plan, "candidate", takeover.why, "the planner, on an assumed loss")]
            yield finding(
                "replica", "warning", plan, what, remedy, key=takeover.plan, region=projection.region, evidence=evidence
            )


def candidates(request: Wanted, seen: Seen) -> list[str]:
    """The regions that these plans may move to."""
    ready = {
        stand_in.region
        for plan in request.plans
        for stand_in in request.product.stand_ins(plan, _others(plan, seen), seen.settings)
    }
    regions = list(seen.settings.targets) or list(request.product.regions) or sorted(ready)
    return [region for region in regions if region != request.region]


def _others(plan: Plan, seen: Seen) -> list[Plan]:
    every = seen.snapshot.plans if seen.snapshot else ()
    return [two for two in every if two.product == plan.product and two.region != plan.region]


def offers(seen: Seen) -> Iterator[Finding]:
    """Every target region offers the type and the SKUs, the provider is registered, the quota is enough, the service answers.

    What is in the way in one target region while another is clear is a warning; in every one, an error.
    """
    every = wanted(seen)
    several = len({request.subscription for request in every}) > 1
    dark: dict[tuple[str, str], list[tuple[str, Obstacle]]] = {}
    for request in every:
        regions = candidates(request, seen)
        obstacles = {
            region: list(_obstacles(request, region, facts_of(request, region, seen), seen)) for region in regions
        }
        stuck = all(any(obstacle.sure for obstacle in some) for some in obstacles.values())
        for region, some in obstacles.items():
            facts = facts_of(request, region, seen)
            whose = f"{request.product.name} from {request.region}{f' (subscription {request.subscription})' if several else ''}"
            for obstacle in some:
                if not obstacle.sure:
                    dark.setdefault((obstacle.rule, region), []).append((whose, obstacle))
                    continue
                yield finding(
                    obstacle.rule,
                    "error" if stuck else "warning",
                    region,
                    f"{whose} to {region}: {obstacle.what}",
                    obstacle.remedy,
                    key=f"{request.product.name} {request.subscription} {request.region}",
                    region=request.region,
                    evidence=[_reading_of(obstacle, request, region, seen), *(facts.readings if facts else ())],
                )
    for (rule, region), unseen in sorted(dark.items()):
        more = f"; and {len(unseen) - NAMED} more" if len(unseen) > NAMED else ""
        what = "; ".join(f"{whose}: {obstacle.what}" for whose, obstacle in unseen[:NAMED])
        reading = seen.here(region, rule, UNKNOWN, "the product's own look at the target region")
        evidence = [
            reading,
            *(
                read
                for facts in seen.targets
                for read in facts.readings
                if facts.region == region and read.value == UNKNOWN
            ),
        ]
        yield finding(rule, "unknown", region, f"to {region}, {what}{more}", unseen[0][1].remedy, evidence=evidence)
    if places := sorted({region for request in wanted(seen) for region in candidates(request, seen)}):
        what = f"{', '.join(places)}: {CAPACITY}"
        remedy = "a warm plan or a capacity reservation, where it matters"
        nobody = seen.here("targets", "capacity", UNKNOWN, "Azure does not say beforehand")
        yield finding("capacity", "unknown", "targets", what, remedy, evidence=[nobody])


def _reading_of(obstacle: Obstacle, request: Wanted, region: str, seen: Seen) -> Reading:
    """What was read of the target region that the obstacle rests on."""
    facts = facts_of(request, region, seen)
    value = (
        {"offer": facts.offered, "provider": facts.provider, "sku": facts.skus, "quota": facts.cores_left}
        if facts
        else {}
    )
    return seen.here(
        region, obstacle.rule, value.get(obstacle.rule), f"{request.product.name}: its look at the target region"
    )


def facts_of(request: Wanted, region: str, seen: Seen) -> TargetFacts | None:
    """What was read of a target region for these plans."""
    key = (request.product.name, request.subscription, region)
    return next((fact for fact in seen.targets if (fact.product, fact.subscription.lower(), fact.region) == key), None)


def _obstacles(request: Wanted, region: str, facts: TargetFacts | None, seen: Seen) -> Iterator[Obstacle]:
    product, elsewhere = request.product, "choose another target region"
    if product.regions and region not in product.regions:
        yield Obstacle("offer", f"it is offered in {', '.join(product.regions)} only", elsewhere)
        return
    if facts is None:
        yield Obstacle("offer", "nothing could be read of it", "see that drkit may read the subscription", sure=False)
        return
    if facts.answering is False:
        yield Obstacle("offer", "its service does not answer there now", elsewhere)
    if facts.offered is False:
        yield Obstacle("offer", "the plan's type is not offered there", elsewhere)
    elif facts.offered is None:
        yield Obstacle(
            "offer", "whether the plan's type is offered there is not known", "see the provider's list", sure=False
        )
    if not facts.provider:
        yield Obstacle("provider", "whether the provider is registered is not known", "grant Reader", sure=False)
    elif facts.provider.lower() != "registered":
        names = sorted({plan.id.split("/providers/")[-1].split("/")[0] for plan in request.plans})
        yield Obstacle(
            "provider",
            f"the provider is {facts.provider} in subscription {request.subscription}",
            f"az provider register --subscription {shlex.quote(request.subscription)} --namespace {shlex.quote(names[0])}",
        )
    yield from _capacity(request, facts, seen)


def _capacity(request: Wanted, facts: TargetFacts, seen: Seen) -> Iterator[Obstacle]:
    environments = [environment for plan in request.plans for environment in seen.environments(plan)]
    need = request.product.need(environments)
    if need.skus and facts.skus is None:
        yield Obstacle(
            "sku", f"whether {', '.join(sorted(need.skus))} is offered is not known", "see the service", sure=False
        )
    elif missing := sorted(need.skus - set(facts.skus or ())):
        yield Obstacle(
            "sku", f"it does not offer {', '.join(missing)}", "choose another target region, or other machine types"
        )
    if need.cores and facts.cores_left is None:
        yield Obstacle(
            "quota", f"{need.cores} cores are needed, and how many are left is not known", "see the quota", sure=False
        )
    elif need.cores and facts.cores_left is not None and need.cores > facts.cores_left:
        yield Obstacle(
            "quota", f"{need.cores} cores are needed, {facts.cores_left} are left", "ask for more quota there"
        )
    existing = [
        plan for plan in request.plans
        if any(stand_in.region == facts.region for stand_in in request.product.stand_ins(plan, _others(plan, seen), seen.settings))
    ]  # fmt: skip
    new = len(request.plans) - len(existing)
    limit, used = request.product.plan_limit(seen.settings), facts.plans_in_subscription
    if new and limit and used is None:
        yield Obstacle(
            "quota", f"{new} plans are needed, and how many there are is not known", "grant Reader", sure=False
        )
    elif new and limit and used is not None and used + new > limit:
        yield Obstacle(
            "quota",
            f"{new} more plans are needed, and the subscription has {used} of {limit}",
            "free some, or ask for more",
        )
    for refusal in facts.refusals[:1]:
        yield Obstacle("quota", f"an earlier run was refused: {refusal}", "ask for more quota there")


def machines(seen: Seen) -> Iterator[Finding]:
    """The sizes of the machines in a protected region exist in the target regions, and there is quota for them.

    drkit makes no machines: the finding is for the people who would.
    """
    sizes: dict[tuple[str, str], dict[str, list[str]]] = {}
    for reading in seen.all("vm-size"):
        region = reading.detail
        if region in seen.protected:
            key = (region, ArmId(reading.subject).subscription.lower())
            sizes.setdefault(key, {}).setdefault(str(reading.value), []).append(reading.subject)
    for (region, subscription), some in sorted(sizes.items()):
        for target in seen.settings.targets:
            if target == region:
                continue
            yield from _sizes(region, target, subscription, some, seen)


def _sizes(region: str, target: str, subscription: str, some: dict[str, list[str]], seen: Seen) -> Iterator[Finding]:
    place, key = f"/subscriptions/{subscription}/{target}", f"machines of {region}"
    offered, cores = seen.one("vm-skus", place), seen.one("vm-cores", place)
    if offered is None or offered.value == UNKNOWN or not isinstance(offered.value, dict):
        what = f"{target}: whether the machine sizes of {region} are offered is not known: {offered.detail if offered else 'not read'}"
        evidence = [offered or seen.here(place, "vm-skus", UNKNOWN, "it was not asked")]
        remedy = "grant Microsoft.Compute/skus/read"
        yield finding("sku", "unknown", target, what, remedy, key=key, region=region, evidence=evidence)
        return
    missing = sorted(size for size in some if size.lower() not in offered.value)
    if missing:
        machines_ = sum(len(some[size]) for size in missing)
        what = f"{target} does not offer {', '.join(missing)} to this subscription; {machines_} machines of {region} have them"
        remedy = "drkit makes no machines; to make them again there needs another size, or Microsoft's permission"
        yield finding("sku", "warning", target, what, remedy, key=key, region=region, evidence=[offered])
    need = sum(int(offered.value.get(size.lower(), 0)) * len(ids) for size, ids in some.items())
    if cores is None or not isinstance(cores.value, dict):
        what = f"{target}: how many cores are left for the machines of {region} is not known: {cores.detail if cores else 'not read'}"
        evidence = [cores or seen.here(place, "vm-cores", UNKNOWN, "it was not asked")]
        remedy = "grant Microsoft.Compute/locations/usages/read"
        yield finding("quota", "unknown", target, what, remedy, key=key, region=region, evidence=evidence)
        return
    available = int(cores.value["limit"]) - int(cores.value["used"])
    if need > available:
        what = f"the machines of {region} would need {need} cores in {target}; quota leaves {available}"
        remedy = "ask for more regional vCPU quota there, if they are to be made again there"
        yield finding("quota", "warning", target, what, remedy, key=key, region=region, evidence=[cores])


def names(seen: Seen) -> Iterator[Finding]:
    """The names that would be taken at the target are free, and what was deleted softly under them is known."""
    made: dict[str, dict[str, str]] = {}
    for region, write in seen.writes():
        if write.method == "PUT" and seen.one("exists", write.path) is not None:
            made.setdefault(_kind(write.path), {}).setdefault(write.path, region)
    for kind, some in sorted(made.items()):
        for path, region in some.items():
            yield from _taken(path, region, seen)
        yield from _deleted(kind, some, seen)


def _kind(path: str) -> str:
    return "/".join(path.strip("/").split("/")[5:7])


def _taken(path: str, region: str, seen: Seen) -> Iterator[Finding]:
    there, name = seen.one("exists", path), path.rsplit("/", 1)[-1]
    if there is not None and there.value == "yes":
        what = f"the plan that would be made for {region} has a name that is taken: {path}"
        yield finding("name", "error", path, what, "delete or rename what is there", region=region, evidence=[there])
    elif there is not None and there.value == UNKNOWN:
        what = f"whether the name {name} is free is not known: {there.detail}"
        yield finding("name", "unknown", path, what, "grant Reader there", region=region, evidence=[there])


def _deleted(kind: str, some: Mapping[str, str], seen: Seen) -> Iterator[Finding]:
    """``some``: id that would be made -> the protected region it would be made for."""
    asked, named = seen.one("deleted-asked", kind), ", ".join(path.rsplit("/", 1)[-1] for path in some)
    if asked is None or asked.value in ("no-api", UNKNOWN):
        why = asked.detail if asked is not None and asked.value == UNKNOWN else f"Azure has no way to ask for {kind}"
        what = f"whether something deleted still holds a name that a move would take ({named}) is not known: {why}"
        remedy = "a plan prepared beforehand in the target region needs no new name"
        evidence = [asked or seen.here(kind, "deleted-asked", UNKNOWN, "it was not asked")]
        yield finding("deleted", "unknown", kind, what, remedy, evidence=evidence)
    for reading in seen.all("deleted"):
        for path, region in some.items():
            if reading.subject.rstrip("/").rsplit("/", 1)[-1].lower() == path.rsplit("/", 1)[-1].lower():
                name = path.rsplit("/", 1)[-1]
                what = f"{name} was in {reading.value} ({reading.detail}) and can still be restored; the same name may be refused"
                remedy = "restore it and use it, or wait until it is gone for good"
                yield finding("deleted", "warning", path, what, remedy, region=region, evidence=[reading])


def runbook(seen: Seen) -> Iterator[Finding]:
    """There would be a runbook for the loss of each protected region. Said only where nothing else explains why not."""
    for projection in seen.projections:
        region = projection.region
        evidence = [seen.here(region, "runbook", projection.refused or "incomplete", "the planner, on an assumed loss")]
        if projection.refused:
            what = f"if {region} is lost, there is no runbook: {projection.refused}"
            remedy = projection.remedy or f"`drkit check --if-lost {region}` says more"
            yield finding("runbook", "error", region, what, remedy, region=region, evidence=evidence)
        for unplaced in _unplaced(projection):
            what = f"if {region} is lost, {unplaced} would not move"
            remedy = f"`drkit check --if-lost {region}` shows the runbook"
            yield finding("runbook", "error", region, what, remedy, key=unplaced, region=region, evidence=evidence)


def _unplaced(projection: Projection) -> Sequence[str]:
    if projection.runbook is None:
        return ()
    return [f"{plan.name}: {plan.reason}" for plan in projection.runbook.unchanged if is_no_target(plan.reason)]


def forecast(seen: Seen) -> Iterator[Finding]:
    """Recovery fits in the objective, by the runbook's own estimate and by how many requests ARM takes."""
    for projection in seen.projections:
        projected = projection.forecast
        if projected is None or projected.seconds <= projected.objective_seconds:
            continue
        read = Reading(
            projection.region,
            "forecast",
            round(projected.seconds),
            "the runbook's estimates, and ARM's published token buckets",
            rfc3339(seen.now),
            ", ".join(f"{count} {kind}s" for kind, count in projected.requests.items()),
        )
        slow = "Azure's limit on requests" if projected.bucket_seconds > projected.step_seconds else "the steps"
        what = (
            f"recovery from the loss of {projection.region} would take about {_minutes(projected.seconds)} ({projected.steps} steps, "
            f"{projected.environments} environments; the slower part is {slow}); the objective is {_minutes(projected.objective_seconds)}"
        )
        remedy = "more hands (`[run] concurrency`), a warm plan, fewer environments a subscription; or promise what can be kept"
        yield finding("forecast", "error", projection.region, what, remedy, region=projection.region, evidence=[read])


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
