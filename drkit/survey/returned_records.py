"""Records that runs left behind and that are alive again, and hosts that answer to two plans. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drkit.model.clock import parse_time
from drkit.model.estate import Deferred, Environment, Zombie, region_name
from drkit.model.ids import ArmId
from drkit.products.base import Captured
from drkit.survey.capture import whole_plans

OVERTAKEN_SECONDS = 120.0
# A managed environment that is not in use shuts itself down, and is there all the same.
STANDS = frozenset({"available", "shutdown", "awaiting", "starting", "shuttingdown", "archived"})


def find(captured: Captured, deferred: Sequence[Deferred]) -> list[Zombie]:
    """What has become of each deferred record whose plan can be read, and which hosts else answer to two plans."""
    read = whole_plans(captured.captures)
    listed = {(one.plan.lower(), one.id.lower()): one for one in captured.environments}
    found = [
        _zombie(one, listed) for one in deferred if one.behind.kind == "record" and one.behind.plan.lower() in read
    ]
    known = {(one.plan.lower(), one.found.id.lower()) for one in found if one.found and one.two_plans}
    return [*found, *_twice(captured, known)]


def stands(environment: Environment | None) -> bool:
    """Whether an environment can be used: a self-hosted one answers, a managed one is there."""
    if environment is None:
        return False
    state = environment.state.lower()
    return state in STANDS if environment.kind == "managed" else state == "available"


def overtaken(old: Environment, new: Environment | None) -> bool:
    """Whether a machine that its service names by when it was last heard has been heard elsewhere well after that.

    A machine reports twice a minute to where it belongs, and what was heard minutes ago counts as answering.
    """
    try:
        before, since = (
            parse_time(str(old.settings["last_seen"])),
            parse_time(str(new.settings["last_seen"] if new else "")),
        )
    except (KeyError, ValueError):
        return False
    return (since - before).total_seconds() > OVERTAKEN_SECONDS


def _zombie(one: Deferred, listed: dict[tuple[str, str], Environment]) -> Zombie:
    behind = one.behind
    old = listed.get((behind.plan.lower(), behind.environment.lower()))
    new = listed.get((one.now_plan.lower(), one.now.lower()))
    answers = old is not None and old.kind == "self-hosted" and stands(old) and not overtaken(old, new)
    plan, other = ArmId(behind.plan).name, ArmId(one.now_plan).name if one.now_plan else "another plan"
    if old is None:
        reason = f"{plan} no longer lists it"
    elif answers and stands(new):
        reason = f"its host answers to {plan} and to {other}"
    elif answers:
        reason = f"something answers to it under {plan}"
    elif not stands(new):
        reason = f"{plan} lists it again, and {other} does not say that it answers there now"
    else:
        reason = f"{plan} lists it again; it answers under {other}"
    return Zombie(
        id=behind.id,
        product=behind.product,
        name=behind.name,
        plan=behind.plan,
        region=behind.region,
        state="alive" if old else "gone",
        reason=reason,
        confirmed=old is not None and not answers and stands(new),
        two_plans=answers and stands(new),
        environment=behind.environment,
        host=behind.host,
        run=one.run,
        run_kind=one.kind,
        found=old,
        now=new,
        now_plan=one.now_plan,
    )


def _twice(captured: Captured, known: set[tuple[str, str]]) -> Iterator[Zombie]:
    """Hosts that answer to more than one plan of a product, where its service names the host."""
    regions = {plan.id.lower(): region_name(plan.region) for plan in captured.plans}
    by_host: dict[tuple[str, str], list[Environment]] = {}
    for one in captured.environments:
        if one.kind == "self-hosted" and one.host is not None and stands(one):
            by_host.setdefault((one.product, one.host.host.lower()), []).append(one)
    for (product, _), heard in sorted(by_host.items()):
        mine = [one for one in heard if not any(overtaken(one, other) for other in heard)]
        if len({one.plan.lower() for one in mine}) < 2:
            continue
        if any((one.plan.lower(), one.id.lower()) in known for one in mine):
            continue
        first, *others = sorted(mine, key=lambda one: (one.plan.lower(), one.id))
        yield Zombie(
            id=first.id,
            product=product,
            name=first.name,
            plan=first.plan,
            region=regions.get(first.plan.lower(), ""),
            state="alive",
            reason=f"its host answers to {ArmId(first.plan).name} and to {', '.join(ArmId(one.plan).name for one in others)}",
            two_plans=True,
            environment=first.id,
            host=first.host.host if first.host else "",
            found=first,
            now=others[0],
            now_plan=others[0].plan,
        )
