"""What each owner is told after a run: what moved, the new address, what may be missing, what to do. Plain words; pure."""

from __future__ import annotations

import msgspec

from drkit.execution.results import Outcome, outcomes
from drkit.model.clock import parse_time
from drkit.model.ids import ArmId
from drkit.model.run import RunState
from drkit.model.runbook import Runbook

NOBODY = ""
LATER = "It stayed where it was, and may come back with its region."
MISSING = {
    "pushed": "Only what was changed{since} and not pushed. Everything before that was pushed.",
    "unpushed": f"Work that was not pushed: there was some{{seen}}. {LATER}",
    "unknown": f"Whatever was not pushed: whether there was any is not known. {LATER}",
}
ON_HOST = "Nothing: the machine and its disks are what they were."
HAS_NOT_MOVED = {
    "needs_person": "has not moved yet: somebody must do something first",
    "waiting": "has not moved yet",
    "lost": "could not be brought back",
}
MEANWHILE = {
    "needs_person": "Please answer to whoever runs the recovery: they cannot finish this without you.",
    "waiting": "Nothing now. Whoever runs the recovery tells you when it has moved.",
    "lost": "Work from your last push elsewhere; it is looked at again when its machine or its region returns.",
}


class EnvironmentNotice(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, as its owner is told of it. ``id``: as it was known before.

    ``address``: plan, its region, resource group and subscription, and the name and id it answers to now; empty: unchanged.
    """

    id: str
    environment: str
    ending: str
    what: str
    address: dict[str, str] = {}
    missing: str = ""
    do: str


class OwnerNotice(msgspec.Struct, frozen=True, kw_only=True):
    """All that one owner is told. ``owner``: as the service names them; empty: nobody is known."""

    owner: str
    environments: tuple[EnvironmentNotice, ...]


def letters(book: Runbook, state: RunState, seen: str = "") -> list[OwnerNotice]:
    """One for each owner of an affected environment, by owner; those of nobody last.

    ``seen``: when the snapshot that the runbook was planned on was taken (RFC 3339), where that is known.
    """
    told: dict[str, list[EnvironmentNotice]] = {}
    for one in outcomes(book, state):
        told.setdefault(one.owner, []).append(_told(one, book, state, seen))
    order = sorted(told, key=lambda owner: (owner == NOBODY, owner.lower()))
    return [OwnerNotice(owner=owner, environments=tuple(told[owner])) for owner in order]


def _told(one: Outcome, book: Runbook, state: RunState, seen: str) -> EnvironmentNotice:
    old, on_host = ArmId(one.plan).name, bool(one.host)
    missing = "" if on_host and one.ending != "lost" else _missing(one, seen)
    if one.ending != "recovered":
        what = f"{one.name} of {old} {HAS_NOT_MOVED[one.ending]} ({one.detail})."
        return _letter(one, what, MEANWHILE[one.ending], missing=missing)
    address = _address(one, book, state)
    if not address:
        what = f"{one.name} of {old} was not moved: {one.detail}."
        return _letter(one, what, "Look whether you find your work there. If not, answer to whoever runs the recovery.")
    named, plan = address["name"], ArmId(address["plan"]).name
    again = "was registered again" if on_host else "was made again from its repository"
    if ArmId(address["plan"]) == one.plan:
        do = "Nothing: it answers where it did." if named == one.name else f"Use {named} instead of {one.name}."
        return _letter(one, f"{one.name} {again} in {old}, where it was.", do, address, ON_HOST if on_host else missing)
    return _letter(
        one,
        f"{one.name} {again}: it is {named} in {plan} now, in {address['region']}. Before, it was in {old}.",
        f"Use {named} in {plan} instead of {one.name} in {old}"
        + ("." if on_host else ", look whether your last commits are there, and push often."),
        address,
        ON_HOST if on_host else missing,
    )


def _letter(
    one: Outcome, what: str, do: str, address: dict[str, str] | None = None, missing: str = ""
) -> EnvironmentNotice:
    return EnvironmentNotice(
        id=one.environment,
        environment=one.name,
        ending=one.ending,
        what=what,
        address=address or {},
        missing=missing,
        do=do,
    )


def _missing(one: Outcome, seen: str) -> str:
    seen = f"{parse_time(seen):%Y-%m-%d %H:%M} UTC" if seen else ""
    return MISSING[one.data_at_risk].format(
        since=f" after {seen}" if seen else " since it was last looked at",
        seen=f" at {seen}" if seen else " when it was last looked at",
    )


def _address(one: Outcome, book: Runbook, state: RunState) -> dict[str, str]:
    """Where it answers now: the plan its last step verified it under, that plan's region, its name and id there."""
    final = next(
        (
            step
            for step in book.steps
            if step.environment == one.environment and step.effect == "verify" and step.id == _final(one, book)
        ),
        None,
    )
    if final is None:
        return {}
    known = state.of(final.id).data
    plan = str(known.get("plan") or final.inputs.get("plan") or final.inputs.get("account") or "")
    if not plan:
        return {}
    found = {
        "plan": plan,
        "region": final.region,
        "resource_group": ArmId(plan).resource_group,
        "subscription": ArmId(plan).subscription,
        "name": str(known.get("name") or one.name),
        "id": str(known.get("id") or ""),
    }
    return {key: value for key, value in found.items() if value}


def _final(one: Outcome, book: Runbook) -> str:
    return next((affected.final for affected in book.environments if affected.environment == one.environment), "")
