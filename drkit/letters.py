"""What each owner is told after a run: what moved, the new address, what may be missing, what to do. Plain words; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from drkit.journal import RunState
from drkit.results import Outcome, outcomes
from drkit.runbook import Runbook

NOBODY = ""
LATER = "It stayed where it was, and may come back with its region."
MISSING = {
    "pushed": "Only what was done since it was last looked at and not pushed: until then, all its work was.",
    "unpushed": f"Work that was not pushed: there was some when it was last looked at. {LATER}",
    "unknown": f"Whatever was not pushed: whether there was any is not known. {LATER}",
}
ON_HOST = "Nothing: the machine and its disks are what they were."


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One environment, as its owner is told of it. ``address``: plan, region, and the name it answers to now; empty: unchanged."""

    environment: str
    ending: str
    what: str
    address: dict[str, str] = {}
    missing: str = ""
    do: str


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """All that one owner is told. ``owner``: as the service names them; empty: nobody is known."""

    owner: str
    environments: tuple[Told, ...]


def letters(book: Runbook, state: RunState) -> list[Letter]:
    """One for each owner of an affected environment, by owner; those of nobody last."""
    told: dict[str, list[Told]] = {}
    for one in outcomes(book, state):
        told.setdefault(one.owner, []).append(_told(one, book, state))
    order = sorted(told, key=lambda owner: (owner == NOBODY, owner.lower()))
    return [Letter(owner=owner, environments=tuple(told[owner])) for owner in order]


def _told(one: Outcome, book: Runbook, state: RunState) -> Told:
    old = _last(one.plan)
    on_host = bool(one.host)
    if one.ending != "recovered":
        word = {
            "needs_person": "has not moved yet: somebody must do something first",
            "waiting": "has not moved yet",
            "lost": "could not be brought back",
        }[one.ending]
        do = {
            "needs_person": "Please answer to whoever runs the recovery: they cannot finish this without you.",
            "waiting": "Nothing now. You are told when it has moved.",
            "lost": "Work from your last push elsewhere; it is looked at again when its machine or its region returns.",
        }[one.ending]
        return Told(
            environment=one.name,
            ending=one.ending,
            what=f"{one.name} of {old} {word} ({one.detail}).",
            missing="" if on_host and one.ending != "lost" else MISSING[one.data_at_risk],
            do=do,
        )
    address = _address(one, book, state)
    if not address:
        return Told(
            environment=one.name,
            ending=one.ending,
            what=f"{one.name} of {old} stands: {one.detail}.",
            do="Nothing. It answers where it did.",
        )
    named = address.get("name", one.name)
    again = "was registered again" if on_host else "was made again from its repository"
    return Told(
        environment=one.name,
        ending=one.ending,
        what=f"{one.name} {again}: it is {named} in {_last(address['plan'])} now, in {address['region']}. Before, it was in {old}.",
        address=address,
        missing=ON_HOST if on_host else MISSING[one.data_at_risk],
        do=f"Open {named} in {_last(address['plan'])} instead of {one.name} in {old}"
        + ("." if on_host else ", look whether your last commits are there, and push often."),
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
        "name": str(known.get("name") or one.name),
        "id": str(known.get("id") or ""),
    }
    return {key: value for key, value in found.items() if value}


def _final(one: Outcome, book: Runbook) -> str:
    return next((affected.final for affected in book.environments if affected.environment == one.environment), "")


def _last(arm_id: str) -> str:
    return arm_id.rstrip("/").rsplit("/", 1)[-1]


def text(found: Sequence[Letter], run: str, *, simulated: bool = False) -> str:
    """The letters as plain text, one after the other, fit to be mailed."""
    parts = []
    for letter in found:
        lines = [f"To {letter.owner or 'whoever it belongs to: no owner is known'}", ""]
        lines += ["This was an exercise: nothing real was moved.", ""] if simulated else []
        for told in letter.environments:
            lines += [told.what]
            lines += [f"  What may be missing: {told.missing}"] if told.missing else []
            lines += [f"  What to do: {told.do}", ""]
        lines.append(f"(The run was {run}.)")
        parts.append("\n".join(lines))
    return "\n\n---\n\n".join(parts)


def plain(found: Sequence[Letter]) -> list[dict[str, Any]]:
    """The same as plain values."""
    return [msgspec.to_builtins(one) for one in found]
