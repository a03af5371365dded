"""What becomes of each environment: plan state x verdict x kind of environment, as a table. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from drkit.model.estate import Assessment, Carried, Environment, Host, HostFinding, Plan, PlanFinding, Snapshot
from drkit.model.runbook import Affected, Kind, LeftAlone
from drkit.planning.proposal import spare_names
from drkit.planning.reasons import NO_TARGET, PlanStanding, Reason, ReasonCode

STANDING = frozenset({"no-failover", "transparent", "transparent-with-interruption", "re-register"})
"""Verdicts of a machine that is there, whatever is registered on it."""
REPAIRED = frozenset({"answering", "degraded"})
TROUBLE = ("re-register", "host-lost", "region-lost")
NOT_STANDING = ("failed", "deleted")

ANY = "*"
# plan state, kind of environment, verdict (outcome or its reason) -> disposition, reason. The first row that matches.
TABLE: tuple[tuple[str, str, str, str, ReasonCode], ...] = (
    ("lost", "managed", ANY, "new-plan", ReasonCode.CREATED_AGAIN),
    ("lost", "self-hosted", "no-host", "person", ReasonCode.MACHINE_NOT_KNOWN),
    ("lost", "self-hosted", "proved-successor", "successor", ReasonCode.MACHINE_RESTORED),
    ("lost", "self-hosted", "no-failover", "new-plan", ReasonCode.MACHINE_UNTOUCHED),
    ("lost", "self-hosted", "transparent", "new-plan", ReasonCode.MACHINE_MOVED),
    ("lost", "self-hosted", "transparent-with-interruption", "new-plan", ReasonCode.MACHINE_RESTARTED),
    ("lost", "self-hosted", "re-register", "new-plan", ReasonCode.REGISTRATION_LOST),
    ("lost", "self-hosted", "host-lost", "lost", ReasonCode.MACHINE_LOST),
    ("lost", "self-hosted", "region-lost", "lost", ReasonCode.MACHINE_IN_LOST_REGION),
    ("lost", "self-hosted", "blind", "person", ReasonCode.MACHINE_NOT_SEEN),
    ("lost", "self-hosted", "no-witness", "person", ReasonCode.ONLY_A_PERSON_CAN_LOOK),
    ("lost", "self-hosted", "unregistered", "person", ReasonCode.ARC_OBJECT_GONE),
    ("lost", "self-hosted", "identity-unknown", "person", ReasonCode.NEVER_IDENTIFIED),
    ("lost", "self-hosted", "stopped", "start", ReasonCode.MACHINE_STOPPED),
    ("lost", "self-hosted", ANY, "wait", ReasonCode.NOT_KNOWN_YET),
    ("answering", "self-hosted", "proved-successor", "same-plan", ReasonCode.RESTORED_ELSEWHERE),
    ("answering", "self-hosted", "re-register", "same-plan", ReasonCode.REGISTRATION_TO_RENEW),
    ("answering", "self-hosted", "no-registration", "same-plan", ReasonCode.REGISTRATION_GONE),
    ("answering", "self-hosted", "unlisted", "same-plan", ReasonCode.NOT_LISTED),
    ("answering", "self-hosted", "another-registration", "leave", ReasonCode.ANOTHERS_REGISTRATION),
    ("answering", ANY, ANY, "leave", ReasonCode.PLAN_ANSWERS),
    ("degraded", "self-hosted", "proved-successor", "same-plan", ReasonCode.RESTORED_ELSEWHERE),
    ("degraded", "self-hosted", "re-register", "same-plan", ReasonCode.REGISTRATION_TO_RENEW),
    ("degraded", "self-hosted", "no-registration", "same-plan", ReasonCode.REGISTRATION_GONE),
    ("degraded", "self-hosted", "unlisted", "same-plan", ReasonCode.NOT_LISTED),
    ("degraded", "self-hosted", "another-registration", "leave", ReasonCode.ANOTHERS_REGISTRATION),
    ("degraded", ANY, ANY, "leave", ReasonCode.SERVICE_ANSWERS),
    ("unreachable", ANY, ANY, "leave", ReasonCode.LOSS_NOT_CLAIMED),
    ("gone", ANY, ANY, "leave", ReasonCode.PLAN_DELETED),
    ("unknown", ANY, ANY, "leave", ReasonCode.PLAN_NOT_KNOWN),
)
ACTING = frozenset({"new-plan", "successor", "same-plan"})
IN_REPAIR: Mapping[str, PlanStanding] = MappingProxyType(
    {"answering": PlanStanding.FINE, "degraded": PlanStanding.ANSWERS}
)
"""What the reasons of a repair say of a plan in that state."""


@dataclass(frozen=True)
class Decided:
    """What the table says of one environment."""

    environment: Environment
    disposition: str
    reason: Reason
    host: Host | None
    finding: HostFinding | None
    another: str = ""
    """Whose registration its host carries instead."""


def disposition(plan_state: str, kind: str, verdict: str) -> tuple[str, ReasonCode]:
    """What becomes of an environment, and why.

    ``verdict`` is an outcome, the reason of an undetermined one, ``no-host`` or ``proved-successor``.
    """
    for state, row_kind, row_verdict, word, why in TABLE:
        if state == plan_state and row_kind in (kind, ANY) and row_verdict in (verdict, ANY):
            return word, why
    raise ValueError(f"no row for {plan_state}, {kind}, {verdict}")


def verdict_word(finding: HostFinding | None) -> str:
    if finding is None:
        return "no-host"
    return f"{finding.outcome} ({finding.reason})" if finding.reason else finding.outcome


def decide(
    environment: Environment,
    state: str,
    hosts: Mapping[str, Host],
    findings: Mapping[str, HostFinding],
    carried: Mapping[tuple[str, str], Carried] = MappingProxyType({}),
    plan: PlanStanding = PlanStanding.LOST,
) -> Decided:
    """What becomes of an environment of a plan in that state.

    ``carried``: (plan, environment) in lower case -> what its host carries instead of its registration. ``plan``: what the reason
    says of a plan that is left or gone back to.
    """

    def decided(
        verdict: str, host: Host | None = None, finding: HostFinding | None = None, dispute: str = ""
    ) -> Decided:
        word, code = disposition(state, environment.kind, verdict)
        reason = Reason(code, IN_REPAIR.get(state, plan))
        if dispute:
            reason = Reason(ReasonCode.MACHINE_DISPUTED, detail=dispute)
        return Decided(environment, word, reason, host, finding)

    if environment.kind == "managed":
        return decided("")
    link = environment.host
    host = hosts.get(link.host.lower()) if link else None
    if host is None:
        return decided("no-host", dispute=environment.host_dispute)
    finding = findings.get(host.id.lower())
    if finding is None:
        return decided("blind", host)
    if finding.successor and finding.found and finding.outcome == "re-register":
        return decided("proved-successor", finding.found, finding)
    other = carried.get((environment.plan.lower(), environment.id.lower())) if finding.outcome in STANDING else None
    if other is not None and state in REPAIRED:
        if other.another:
            left = decided("another-registration", host, finding)
            return replace(left, reason=replace(left.reason, detail=other.another), another=other.another)
        verdict = "unlisted" if other.unlisted else "no-registration"
    else:
        verdict = finding.reason or finding.outcome
    made = decided(verdict, finding.found or host, finding)
    if made.disposition in ACTING and finding.confidence == "low":
        if state != "lost":
            return replace(made, disposition="leave", reason=Reason(ReasonCode.LOW_CONFIDENCE))
        return replace(made, disposition="person", reason=replace(made.reason, uncertain=True))
    return made


def channel(one: Decided, lost: Collection[str]) -> str:
    host = one.host
    if host is None:
        return ""
    if host.channel == "run-command" and (host.region in lost or host.group_region in lost):
        return "manual"
    return host.channel or "manual"


def _affected(one: Decided, word: str, reason: str, final: str = "") -> Affected:
    verdict = verdict_word(one.finding) if one.environment.kind == "self-hosted" else ""
    host = one.host.id if one.host else ""
    return Affected.of(one.environment, word, reason, verdict=verdict, host=host, final=final)


def unplaced_one(one: Decided) -> Affected:
    if one.disposition in ACTING or one.disposition == "person":
        return _affected(one, "wait", f"{NO_TARGET} for its plan")
    return _affected(one, one.disposition, one.reason.text)


def already(
    decided: Sequence[Decided], standing: Sequence[Plan], assessment: Assessment, names: Collection[str]
) -> tuple[list[Decided], list[Affected]]:
    """Environments that already answer under a plan that takes over from theirs: done, whoever did it.

    Where the product names the host, it must be the same one.
    """
    ours = {plan.id.lower() for plan in standing}
    there = {
        (environment.name.lower(), environment.owner.lower(), _told_host(environment))
        for environment in assessment.present
        if environment.plan.lower() in ours and _usable(environment)
    }
    rest: list[Decided] = []
    done: list[Affected] = []
    for one in decided:
        name, owner = one.environment.name, one.environment.owner.lower()
        host = _told_host(one.environment)
        if any((known.lower(), owner, host) in there for known in (name, next(spare_names(name, names)))):
            done.append(_affected(one, "already", "answers under the plan that replaces its own, for its owner"))
        else:
            rest.append(one)
    return rest, done


def _usable(environment: Environment) -> bool:
    """Whether its owner can use it; a managed one that is not in use shuts itself down, and is there all the same."""
    state = environment.state.lower()
    return state == "available" or (environment.kind == "managed" and state == "shutdown")


def _told_host(environment: Environment) -> str:
    """The lower-cased id of an environment's host, where its product's API names it."""
    return environment.host.host.lower() if environment.host and environment.host.source == "api" else ""


def offered(
    decided: Sequence[Decided], snapshot: Snapshot, states: Mapping[str, PlanFinding], avoided: Collection[str]
) -> tuple[list[Decided], list[Affected]]:
    """Managed environments whose owner has the same repository and branch open in a healthy region."""
    fine = {
        item.id.lower(): item.region
        for item in snapshot.plans
        if state_of(states, item) == "answering" and item.region not in avoided
    }
    standing = {
        (other.owner.lower(), other.repository.lower(), other.branch.lower()): other
        for other in sorted(snapshot.environments, key=lambda one: (one.name.lower(), one.id), reverse=True)
        if other.kind == "managed"
        and other.owner
        and other.repository
        and other.plan.lower() in fine
        and other.state.lower() not in NOT_STANDING
    }
    rest: list[Decided] = []
    offered: list[Affected] = []
    for one in decided:
        environment = one.environment
        key = (environment.owner.lower(), environment.repository.lower(), environment.branch.lower())
        other = standing.get(key) if environment.kind == "managed" and one.disposition == "new-plan" else None
        if other is None:
            rest.append(one)
        else:
            offered.append(
                _affected(
                    one,
                    "offered",
                    f"{other.name} of the same owner, repository and branch stands in {fine[other.plan.lower()]}",
                )
            )
    return rest, offered


def other_kind(decided: Sequence[Decided], belongs: Kind, item: Plan, finding: PlanFinding | None) -> list[LeftAlone]:
    changing = [one for one in decided if one.disposition != "leave"]
    if not changing:
        return [LeftAlone(item.id, item.name, fine(finding))]
    return [
        LeftAlone(
            one.environment.id,
            one.environment.name,
            f"{one.reason.text}; that is a {belongs}",
            f"drkit plan --kind {belongs}",
        )
        for one in changing
    ]


def moved_away(decided: Sequence[Decided], assessment: Assessment) -> tuple[list[Decided], list[LeftAlone]]:
    """Environments that a run moved elsewhere: their old record needs no repair, whatever its machine looks like from there."""
    runs = {(one.plan.lower(), one.environment.lower()): one.run for one in assessment.zombies if one.run}
    rest: list[Decided] = []
    left: list[LeftAlone] = []
    for one in decided:
        run = runs.get((one.environment.plan.lower(), one.environment.id.lower()))
        if run is None:
            rest.append(one)
        elif one.disposition != "leave":
            why = f"{run} moved it elsewhere; what is here is its old record"
            left.append(LeftAlone(one.environment.id, one.environment.name, why, f"drkit failback {run}"))
    return rest, left


def unacted(decided: Sequence[Decided]) -> list[LeftAlone]:
    """Environments of a plan that is not lost, whose machine is in trouble that a repair does not mend."""
    return [
        LeftAlone(
            one.environment.id,
            one.environment.name,
            one.reason.text if one.another else f"its machine is {verdict_word(one.finding)}; {one.reason.text}",
            "" if one.another else "drkit assess",
        )
        for one in decided
        if one.disposition == "leave" and one.finding is not None and (one.another or one.finding.outcome in TROUBLE)
    ]


def fine(finding: PlanFinding | None) -> str:
    return f"{finding.state}: {finding.reason}" if finding else "not assessed"


def state_of(states: Mapping[str, PlanFinding], item: Plan) -> str:
    """The state of a plan as assessed, ``unknown`` when it was not."""
    finding = states.get(item.id.lower())
    return finding.state if finding else "unknown"
