"""What each owner is told after a run: what moved, the new address, what may be missing, what to do. Plain words; pure."""

from __future__ import annotations

import msgspec

from drkit.execution.results import Outcome, outcomes
from drkit.model.clock import parse_time
from drkit.model.ids import ArmId
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step

NOBODY = ""
LATER = "That work is still where it was, and may come back with its region."
MISSING = {
    "pushed": "Only changes made{since} that were not pushed. Everything before that was pushed.",
    "unpushed": f"Work that was not pushed: there was some{{seen}}. {LATER}",
    "unknown": f"Work that was not pushed, if there was any: drkit does not know. {LATER}",
}
ON_HOST = "Nothing: the machine and its disks are what they were."
HAS_NOT_MOVED = {
    "needs_person": "has not moved yet: a person must do something first",
    "waiting": "has not moved yet",
    "lost": "could not be brought back",
}
MEANWHILE = {
    "needs_person": "Please answer the people who run the recovery: they cannot finish this without you.",
    "waiting": "Nothing now. The people who run the recovery will tell you when it has moved.",
    "lost": "Work from your last push elsewhere. drkit looks at this environment again when its machine or its region returns.",
}


class EnvironmentNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner is told of one environment. ``id``: as it was known before.

    ``address``: plan, its region, resource group and subscription, and the name and id that the environment has now; empty: unchanged.
    """

    id: str
    environment: str
    ending: str
    what: str
    address: dict[str, str] = {}
    missing: str = ""
    do: str


class OwnerNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one owner is told. ``owner``: as the service names them; empty: the owner is not known."""

    owner: str
    environments: tuple[EnvironmentNotice, ...]


def owner_notices(book: Runbook, state: RunState, seen: str = "") -> list[OwnerNotice]:
    """One for each owner of an affected environment, in the order of owners; last the one for environments without a known owner.

    ``seen``: when the snapshot that the runbook was planned on was taken (RFC 3339), where that is known.
    """
    notices: dict[str, list[EnvironmentNotice]] = {}
    for outcome in outcomes(book, state):
        notices.setdefault(outcome.owner, []).append(_notice(outcome, book, state, seen))
    order = sorted(notices, key=lambda owner: (owner == NOBODY, owner.lower()))
    return [OwnerNotice(owner=owner, environments=tuple(notices[owner])) for owner in order]


def _notice(outcome: Outcome, book: Runbook, state: RunState, seen: str) -> EnvironmentNotice:
    name, old, on_host = outcome.name, ArmId(outcome.plan).name, bool(outcome.host)
    missing = "" if on_host and outcome.ending != "lost" else _missing(outcome, seen)
    if outcome.ending != "recovered":
        what = f"{name} of {old} {HAS_NOT_MOVED[outcome.ending]} ({outcome.detail})."
        return _notice_of(outcome, what, MEANWHILE[outcome.ending], missing=missing)
    address = _address(outcome, book, state)
    if not address:
        what = f"{name} of {old} was not moved: {outcome.detail}."
        do = "Check that you find your work there. If not, answer the people who run the recovery."
        return _notice_of(outcome, what, do)
    missing = ON_HOST if on_host else missing
    now, plan = address["name"], ArmId(address["plan"]).name
    again = "was registered again" if on_host else "was created again from its repository"
    if ArmId(address["plan"]) == outcome.plan:
        do = "Nothing: it has the address that it had." if now == name else f"Use {now} instead of {name}."
        return _notice_of(outcome, f"{name} {again} in {old}, where it was.", do, address, missing)
    return _notice_of(
        outcome,
        f"{name} {again}: it is {now} in {plan} now, in {address['region']}. Before, it was in {old}.",
        f"Use {now} in {plan} instead of {name} in {old}"
        + ("." if on_host else ", check that your last commits are there, and push often."),
        address,
        missing,
    )


def _notice_of(
    outcome: Outcome, what: str, do: str, address: dict[str, str] | None = None, missing: str = ""
) -> EnvironmentNotice:
    return EnvironmentNotice(
        id=outcome.environment,
        environment=outcome.name,
        ending=outcome.ending,
        what=what,
        address=address or {},
        missing=missing,
        do=do,
    )


def _missing(outcome: Outcome, seen: str) -> str:
    seen = f"{parse_time(seen):%Y-%m-%d %H:%M} UTC" if seen else ""
    return MISSING[outcome.data_at_risk].format(
        since=f" after {seen}" if seen else " since it was last looked at",
        seen=f" at {seen}" if seen else " when it was last looked at",
    )


def _address(outcome: Outcome, book: Runbook, state: RunState) -> dict[str, str]:
    """Where it is now: the plan under which its last step verified it, that plan's region, its name and id there."""
    proof = _proof(outcome, book)
    if proof is None:
        return {}
    known = state.of(proof.id).data
    plan = str(known.get("plan") or proof.inputs.get("plan") or proof.inputs.get("account") or "")
    if not plan:
        return {}
    address = {
        "plan": plan,
        "region": proof.region,
        "resource_group": ArmId(plan).resource_group,
        "subscription": ArmId(plan).subscription,
        "name": str(known.get("name") or outcome.name),
        "id": str(known.get("id") or ""),
    }
    return {key: value for key, value in address.items() if value}


def _proof(outcome: Outcome, book: Runbook) -> Step | None:
    """The verification that proves an environment recovered; None if its last step is no verification."""
    last = next((item.proof_step for item in book.environments if item.environment == outcome.environment), "")
    verifications = (step for step in book.steps if step.effect == "verify" and step.environment == outcome.environment)
    return next((step for step in verifications if step.id == last), None)
