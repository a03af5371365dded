"""What a run came to for each environment, and in numbers. Pure: runbook and folded journal in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from drkit.model.clock import parse_time
from drkit.model.ids import ArmId
from drkit.model.run import RunState, StepState
from drkit.model.runbook import Affected, Runbook, Step
from drkit.model.summary import effects
from drkit.planning import hosts_in_doubt, leftovers

EnvironmentEnding = Literal["recovered", "needs_person", "waiting", "lost"]
ENDINGS: tuple[EnvironmentEnding, ...] = ("recovered", "needs_person", "waiting", "lost")
FIXED: Mapping[str, EnvironmentEnding] = {
    "already": "recovered",
    "offered": "recovered",
    "lost": "lost",
    "start": "needs_person",
    "wait": "waiting",
    "leave": "waiting",
}


class Outcome(msgspec.Struct, frozen=True):
    """One environment's end: what became of it, in words, when (RFC 3339), and what of its work is at risk."""

    environment: str
    name: str
    owner: str
    plan: str
    ending: EnvironmentEnding
    detail: str
    data_at_risk: str
    verdict: str = ""
    host: str = ""
    at: str = ""
    now: str = ""


def outcomes(runbook: Runbook, state: RunState) -> list[Outcome]:
    """Each affected environment's outcome as the journal has it now."""
    chains: dict[str, list[StepState]] = {}
    for step in runbook.steps:
        if step.environment:
            chains.setdefault(step.environment, []).append(state.of(step.id))
    doubts = {doubt.environment: doubt for doubt in hosts_in_doubt.in_doubt(runbook, state)}
    moved = {item.environment: item for item in leftovers.moved(runbook, state)}
    return [
        _outcome(
            affected,
            state,
            chains.get(affected.environment, []),
            doubts.get(affected.environment),
            moved.get(affected.environment),
        )
        for affected in runbook.environments
    ]


def _outcome(
    affected: Affected,
    state: RunState,
    steps: list[StepState],
    doubt: hosts_in_doubt.InDoubt | None,
    moved: leftovers.MovedEnvironment | None,
) -> Outcome:
    ending: EnvironmentEnding
    detail, at, now = affected.reason, "", ""
    if not affected.proof_step:
        ending = FIXED.get(affected.disposition, "waiting")
    else:
        final = state.of(affected.proof_step)
        if final.status == "done":
            ending, detail, at = "recovered", final.detail, final.ended
            now = str(final.data.get("name", ""))
        else:
            ending, detail = _unfinished(steps)
            if doubt is not None:
                ending, detail = "needs_person", f"{doubt.words}; {detail}"
            elif moved is not None:
                # It was seen to serve elsewhere, and something more was to be done for it.
                detail, now = f"{state.of(moved.proof_step).detail}; {detail}", moved.now_name
    return Outcome(
        affected.environment,
        affected.name,
        affected.owner,
        affected.plan,
        ending,
        detail,
        affected.data_at_risk,
        affected.verdict,
        affected.host,
        at,
        now,
    )


def _unfinished(steps: list[StepState]) -> tuple[EnvironmentEnding, str]:
    for status, ending in (
        ("skipped", "needs_person"),
        ("failed", "needs_person"),
        ("asked", "needs_person"),
        ("drifted", "waiting"),
    ):
        for step in steps:
            if step.status == status:
                word = {
                    "asked": "waits for a person",
                    "skipped": "skipped",
                    "failed": "failed",
                    "drifted": "stopped: drifted",
                }[status]
                return ending, f"{word}: {step.detail}"  # type: ignore[return-value]
    return "waiting", "not finished"


class IdentityChange(msgspec.Struct, frozen=True):
    """A plan's identity that ended, or stays behind, and the one that takes its place (empty: none); ``grants``: az commands.

    drkit makes no grant. ``unread``: what the old one held could not be read, and the command that lists it is among ``grants``.
    """

    plan: str
    was: str
    now_plan: str
    now: str
    grants: tuple[str, ...] = ()
    unread: bool = False


def identities(runbook: Runbook, state: RunState) -> list[IdentityChange]:
    """Every identity that a run re-made or left, old and new, and each grant that must be made again."""
    changes = []
    for step in runbook.steps:
        identity, known = step.inputs.get("identity"), state.of(step.id)
        if isinstance(identity, Mapping) and known.status == "done":
            changes.append(_change(step, identity, str(known.data.get("principal") or "")))
    return changes


def _change(step: Step, identity: Mapping[str, Any], now: str) -> IdentityChange:
    was, plan = str(identity.get("was") or ""), str(identity.get("plan", ""))
    gone = step.effect == "delete"
    commands = []
    for grant in identity.get("grants") or ():
        verb = ["delete", "--assignee", was] if gone else ["create", "--assignee-object-id", now or "NEW-PRINCIPAL"]
        more = [] if gone else ["--assignee-principal-type", "ServicePrincipal"]
        commands.append(_az(*verb, *more, "--role", str(grant["role"]), "--scope", str(grant["scope"])))
    for grant in identity.get("on_plan") or ():
        scope = str(grant["scope"])
        place = step.target if ArmId(scope) == plan else step.target.split("/providers/")[0]
        commands.append(
            _az("create", "--assignee", str(grant["principal"]), "--role", str(grant["role"]), "--scope", place)
        )
    if identity.get("unread"):
        commands.append(f"az role assignment list --all --assignee {shlex.quote(was)}")
    return IdentityChange(plan, was, "" if gone else step.target, now, tuple(commands), bool(identity.get("unread")))


def _az(*words: str) -> str:
    return shlex.join(["az", "role", "assignment", *words])


def numbers(outcomes: list[Outcome]) -> dict[str, int]:
    """``total`` and how many of each ending; ``total`` is their sum."""
    counts: dict[str, int] = {"total": len(outcomes)}
    for ending in ENDINGS:
        counts[ending] = sum(outcome.ending == ending for outcome in outcomes)
    return counts


def recovery_seconds(outcomes: list[Outcome], since: str) -> float | None:
    """From the outage's first sign to the last environment recovered, in seconds; None when either is not known."""
    times = [parse_time(outcome.at) for outcome in outcomes if outcome.at]
    if not since or not times:
        return None
    return (max(times) - parse_time(since)).total_seconds()


def objective_met(
    outcomes: list[Outcome], since: str, objective_seconds: float
) -> Literal["met", "missed", "open", "unknown"]:
    """Whether the recovery time objective held. ``open``: what is back came in time, and something is not back.

    ``unknown``: neither a first sign nor a time of recovery is known.
    """
    took = recovery_seconds(outcomes, since)
    if took is not None and took > objective_seconds:
        return "missed"
    if any(outcome.ending != "recovered" for outcome in outcomes):
        return "open"
    return "unknown" if took is None else "met"


def at_risk(outcome: Outcome) -> bool:
    """Whether work of an environment may be missing: it was not all pushed, and no machine of its own still holds it."""
    return outcome.data_at_risk != "pushed" and (not outcome.host or outcome.ending == "lost")


def report(
    run: str,
    runbook: Runbook,
    digest: str,
    state: RunState,
    *,
    outcome: str,
    reason: str,
    since: str,
    objective_minutes: float,
) -> dict[str, Any]:
    """Everything a report shows, as plain values; views only set it."""
    ends = outcomes(runbook, state)
    seconds = recovery_seconds(ends, since)
    return {
        "drkit": "report/1",
        "simulated": runbook.cloud.simulated,
        "run": run,
        "runbook": digest,
        "kind": runbook.kind,
        "outcome": outcome,
        "reason": reason,
        "started": state.started,
        "ended": state.ended,
        "resumed": state.resumed,
        "approved_by": state.approved_by,
        "approved_how": state.approved_how,
        "lost_regions": list(runbook.lost_regions),
        "target_regions": runbook.target_regions,
        "environments": numbers(ends),
        "rto_seconds": seconds,
        "objective_seconds": objective_minutes * 60,
        "objective": objective_met(ends, since, objective_minutes * 60),
        "since": since,
        "work_at_risk": {
            risk: sum(at_risk(end) and end.data_at_risk == risk for end in ends) for risk in ("unpushed", "unknown")
        },
        "outcomes": [
            {
                **msgspec.to_builtins(end),
                "work_at_risk": at_risk(end),
                "recovery_seconds": recovery_seconds([end], since),
            }
            for end in ends
        ],
        "effects": effects(runbook.steps),
        "steps": [
            {
                "id": step.id,
                "title": step.title,
                "effect": step.effect,
                "target": step.target,
                "environment": step.environment,
                "plan": step.plan,
                "wave": step.wave,
                "status": state.of(step.id).word,
                "detail": state.of(step.id).detail,
                "code": state.of(step.id).code,
                "who": state.of(step.id).who,
                "began": state.of(step.id).began,
                "ended": state.of(step.id).ended,
                "attempts": state.of(step.id).attempt,
            }
            for step in runbook.steps
        ],
        "identities": [msgspec.to_builtins(change) for change in identities(runbook, state)],
        "in_doubt": [
            {
                "environment": doubt.environment,
                "name": doubt.name,
                "host": doubt.host,
                "plan": doubt.plan,
                "detail": doubt.words,
                "next": hosts_in_doubt.remedy((doubt,), run),
            }
            for doubt in (*hosts_in_doubt.in_doubt(runbook, state), *hosts_in_doubt.by_hand(runbook, state))
        ],
        "deferred": [msgspec.to_builtins(deferred) for deferred in state.deferred.values()],
        "left_alone": [msgspec.to_builtins(unchanged) for unchanged in runbook.unchanged],
        "guards": [msgspec.to_builtins(guard) for guard in runbook.guards],
        "evidence": state.evidence,
        "ignored": {"number": state.ignored_number, "last": list(state.ignored)},
        "journal": {"records": state.count, "head": state.head},
    }
