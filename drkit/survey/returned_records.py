"""Old records of runs that are alive again, and hosts that answer to two plans. Pure.

A run that moves an environment defers the deletion of its old record; when the region returns, the old record does too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from drkit.model.clock import parse_time
from drkit.model.estate import Deferred, Environment, EnvironmentKey, Zombie, region_name
from drkit.model.ids import ArmId
from drkit.products.base import Captured
from drkit.survey.capture import whole_plans

OVERTAKEN_SECONDS = 120.0
# A managed environment that is not in use shuts itself down, and still exists.
USABLE = frozenset({"available", "shutdown", "awaiting", "starting", "shuttingdown", "archived"})


def find(captured: Captured, deferred: Sequence[Deferred]) -> list[Zombie]:
    """What became of each deferred record whose plan could be read, and the other hosts that answer to two plans."""
    read = whole_plans(captured.captures)
    listed = {environment.key: environment for environment in captured.environments}
    zombies = [
        _zombie(record, listed)
        for record in deferred
        if record.behind.kind == "record" and ArmId(record.behind.plan) in read
    ]
    known = {zombie.found.key for zombie in zombies if zombie.found and zombie.two_plans}
    return [*zombies, *_twice(captured, known)]


def usable(environment: Environment | None) -> bool:
    """Whether an environment can be used: a self-hosted one answers, a managed one exists. False for None."""
    if environment is None:
        return False
    state = environment.state.lower()
    return state in USABLE if environment.kind == "managed" else state == "available"


def overtaken(old: Environment, new: Environment | None) -> bool:
    """Whether the host of ``old`` has reported to ``new`` clearly later than to ``old``. False where a service gives no times.

    A host reports twice a minute to the plan it is registered with, and a service counts a report minutes ago as answering.
    """
    try:
        before, since = (
            parse_time(str(old.settings["last_seen"])),
            parse_time(str(new.settings["last_seen"] if new else "")),
        )
    except (KeyError, ValueError):
        return False
    return (since - before).total_seconds() > OVERTAKEN_SECONDS


def _zombie(deferred: Deferred, listed: Mapping[EnvironmentKey, Environment]) -> Zombie:
    behind = deferred.behind
    old = listed.get((ArmId(behind.plan), ArmId(behind.environment)))
    new = listed.get((ArmId(deferred.now_plan), ArmId(deferred.now)))
    answers = old is not None and old.kind == "self-hosted" and usable(old) and not overtaken(old, new)
    plan, other_plan = ArmId(behind.plan).name, ArmId(deferred.now_plan).name if deferred.now_plan else "another plan"
    if old is None:
        reason = f"{plan} no longer lists it"
    elif answers and usable(new):
        reason = f"its host answers to {plan} and to {other_plan}"
    elif answers:
        reason = f"something answers to it under {plan}"
    elif not usable(new):
        reason = f"{plan} lists it again, and {other_plan} does not say that it answers there now"
    else:
        reason = f"{plan} lists it again; it answers under {other_plan}"
    return Zombie(
        id=behind.id,
        product=behind.product,
        name=behind.name,
        plan=behind.plan,
        region=behind.region,
        state="alive" if old else "gone",
        reason=reason,
        confirmed=old is not None and not answers and usable(new),
        two_plans=answers and usable(new),
        environment=behind.environment,
        host=behind.host,
        run=deferred.run,
        run_kind=deferred.kind,
        found=old,
        now=new,
        now_plan=deferred.now_plan,
    )


def _twice(captured: Captured, known: set[EnvironmentKey]) -> Iterator[Zombie]:
    """Hosts that answer to more than one plan of a product, where its service names the host."""
    regions = {plan.key: region_name(plan.region) for plan in captured.plans}
    by_host: dict[tuple[str, ArmId], list[Environment]] = {}
    for environment in captured.environments:
        if environment.kind == "self-hosted" and environment.host is not None and usable(environment):
            by_host.setdefault((environment.product, environment.host.key), []).append(environment)
    for (product, _), candidates in sorted(by_host.items()):
        serving = [
            environment for environment in candidates if not any(overtaken(environment, other) for other in candidates)
        ]
        if len({environment.plan_key for environment in serving}) < 2:
            continue
        if any(environment.key in known for environment in serving):
            continue
        first, *others = sorted(serving, key=lambda environment: (environment.plan_key, environment.id))
        yield Zombie(
            id=first.id,
            product=product,
            name=first.name,
            plan=first.plan,
            region=regions.get(first.plan_key, ""),
            state="alive",
            reason=f"its host answers to {first.plan_key.name} and to {', '.join(other.plan_key.name for other in others)}",
            two_plans=True,
            environment=first.id,
            host=first.host.host if first.host else "",
            found=first,
            now=others[0],
            now_plan=others[0].plan,
        )
