"""What becomes of each environment: plan state x verdict x kind of environment, as a table. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from drkit.model.estate import (
    Assessment,
    Carried,
    Environment,
    EnvironmentKey,
    Host,
    HostFinding,
    Plan,
    PlanFinding,
    Snapshot,
)
from drkit.model.ids import ArmId
from drkit.model.runbook import Affected, LeftAlone, RunbookKind
from drkit.planning.proposal import Item, spare_names
from drkit.planning.reasons import NO_TARGET, PlanStanding, Reason, ReasonCode

MACHINE_PRESENT = frozenset({"no-failover", "transparent", "transparent-with-interruption", "re-register"})
"""Verdicts of a machine that is there, whatever is registered on it."""
REPAIRED = frozenset({"answering", "degraded"})
TROUBLE = ("re-register", "host-lost", "region-lost")
UNUSABLE = ("failed", "deleted")

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
    """What the table says of one environment. ``another``: whose registration its host carries instead."""

    environment: Environment
    disposition: str
    reason: Reason
    host: Host | None
    finding: HostFinding | None
    another: str = ""


def disposition(plan_state: str, kind: str, verdict: str) -> tuple[str, ReasonCode]:
    """What becomes of an environment, and why.

    ``verdict`` is an outcome, the reason of an undetermined one, ``no-host`` or ``proved-successor``.
    """
    for state, row_kind, row_verdict, word, why in TABLE:
        if state == plan_state and row_kind in (kind, ANY) and row_verdict in (verdict, ANY):
            return word, why
    raise ValueError(f"no row for {plan_state}, {kind}, {verdict}")


def verdict_word(finding: HostFinding | None) -> str:
    """The verdict of a host, with its reason where it has one."""
    if finding is None:
        return "no-host"
    return f"{finding.outcome} ({finding.reason})" if finding.reason else finding.outcome


def decide(
    environment: Environment,
    state: str,
    hosts: Mapping[ArmId, Host],
    findings: Mapping[ArmId, HostFinding],
    carried: Mapping[EnvironmentKey, Carried] = MappingProxyType({}),
    plan: PlanStanding = PlanStanding.LOST,
) -> Decided:
    """What becomes of an environment of a plan in that state.

    ``carried``: environment -> what its host carries instead of its registration. ``plan``: what the reason
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
    host = hosts.get(link.key) if link else None
    if host is None:
        return decided("no-host", dispute=environment.host_dispute)
    finding = findings.get(host.key)
    if finding is None:
        return decided("blind", host)
    if finding.successor and finding.found and finding.outcome == "re-register":
        return decided("proved-successor", finding.found, finding)
    other = carried.get(environment.key) if finding.outcome in MACHINE_PRESENT else None
    if other is not None and state in REPAIRED:
        if other.another:
            theirs = decided("another-registration", host, finding)
            return replace(theirs, reason=replace(theirs.reason, detail=other.another), another=other.another)
        verdict = "unlisted" if other.unlisted else "no-registration"
    else:
        verdict = finding.reason or finding.outcome
    made = decided(verdict, finding.found or host, finding)
    if made.disposition in ACTING and finding.confidence == "low":
        if state != "lost":
            return replace(made, disposition="leave", reason=Reason(ReasonCode.LOW_CONFIDENCE))
        return replace(made, disposition="person", reason=replace(made.reason, uncertain=True))
    return made


def channel(decision: Decided, lost_regions: Collection[str]) -> str:
    """How its machine is reached; a run command goes through Azure, which a lost region cannot answer for."""
    host = decision.host
    if host is None:
        return ""
    if host.channel == "run-command" and (host.region in lost_regions or host.group_region in lost_regions):
        return "manual"
    return host.channel or "manual"


def item_of(decision: Decided, lost_regions: Collection[str]) -> Item:
    """A decision as a product is asked about it."""
    return Item(
        environment=decision.environment,
        disposition=decision.disposition,
        reason=decision.reason.text,
        host=decision.host,
        verdict=verdict_word(decision.finding),
        confidence=decision.finding.confidence if decision.finding else "",
        channel=channel(decision, lost_regions),
    )


def _affected(decision: Decided, disposition: str, reason: str) -> Affected:
    verdict = verdict_word(decision.finding) if decision.environment.kind == "self-hosted" else ""
    host = decision.host.id if decision.host else ""
    return Affected.of(decision.environment, disposition, reason, verdict=verdict, host=host)


def affected_without_target(decision: Decided) -> Affected:
    """What the runbook says of an environment whose plan goes nowhere."""
    if decision.disposition in ACTING or decision.disposition == "person":
        return _affected(decision, "wait", f"{NO_TARGET} for its plan")
    return _affected(decision, decision.disposition, decision.reason.text)


def already(
    decisions: Sequence[Decided], replacements: Sequence[Plan], assessment: Assessment, names: Collection[str]
) -> tuple[list[Decided], list[Affected]]:
    """Environments that already answer under a plan that takes over from theirs: nothing is left to do for them.

    ``replacements``: those plans. ``names``: those that environments of the old plan have, in lower case. Where the product names
    the host, it must be the same one.
    """
    plans = {plan.key for plan in replacements}
    answering = {
        (environment.name.lower(), environment.owner.lower(), _host_by_api(environment))
        for environment in assessment.present
        if environment.plan_key in plans and _usable(environment)
    }
    remaining: list[Decided] = []
    done: list[Affected] = []
    for decision in decisions:
        environment = decision.environment
        name, owner, host = environment.name, environment.owner.lower(), _host_by_api(environment)
        if any((used.lower(), owner, host) in answering for used in (name, next(spare_names(name, names)))):
            why = "answers under the plan that replaces its own, for its owner"
            done.append(_affected(decision, "already", why))
        else:
            remaining.append(decision)
    return remaining, done


def _usable(environment: Environment) -> bool:
    """Whether its owner can use it; a managed one that is not in use shuts itself down, and can be used all the same."""
    state = environment.state.lower()
    return state == "available" or (environment.kind == "managed" and state == "shutdown")


def _host_by_api(environment: Environment) -> ArmId | None:
    """The id of an environment's host, where its product's API names it."""
    return environment.host.key if environment.host and environment.host.source == "api" else None


def offered(
    decisions: Sequence[Decided],
    snapshot: Snapshot,
    findings: Mapping[ArmId, PlanFinding],
    avoided_regions: Collection[str],
) -> tuple[list[Decided], list[Affected]]:
    """Managed environments whose owner has the same repository and branch open in a healthy region."""
    healthy = {
        plan.key: plan.region
        for plan in snapshot.plans
        if state_of(findings, plan) == "answering" and plan.region not in avoided_regions
    }
    usable = {
        (other.owner.lower(), other.repository.lower(), other.branch.lower()): other
        for other in sorted(snapshot.environments, key=lambda known: (known.name.lower(), known.id), reverse=True)
        if other.kind == "managed"
        and other.owner
        and other.repository
        and other.plan_key in healthy
        and other.state.lower() not in UNUSABLE
    }
    remaining: list[Decided] = []
    offers: list[Affected] = []
    for decision in decisions:
        environment = decision.environment
        key = (environment.owner.lower(), environment.repository.lower(), environment.branch.lower())
        other = usable.get(key) if environment.kind == "managed" and decision.disposition == "new-plan" else None
        if other is None:
            remaining.append(decision)
            continue
        why = f"{other.name} of the same owner, repository and branch is in {healthy[other.plan_key]}"
        offers.append(_affected(decision, "offered", why))
    return remaining, offers


def other_kind(
    decisions: Sequence[Decided], belongs: RunbookKind, plan: Plan, finding: PlanFinding | None
) -> list[LeftAlone]:
    """What a runbook of another kind says of the environments of a plan; ``belongs``: the kind that deals with them."""
    changing = [decision for decision in decisions if decision.disposition != "leave"]
    if not changing:
        return [LeftAlone(plan.id, plan.name, state_in_words(finding))]
    return [
        LeftAlone(
            decision.environment.id,
            decision.environment.name,
            f"{decision.reason.text}; that is a {belongs}",
            f"drkit plan --kind {belongs}",
        )
        for decision in changing
    ]


def moved_away(decisions: Sequence[Decided], assessment: Assessment) -> tuple[list[Decided], list[LeftAlone]]:
    """Environments that a run moved elsewhere: their old record needs no repair, whatever its machine looks like from there."""
    runs = {zombie.environment_key: zombie.run for zombie in assessment.zombies if zombie.run}
    remaining: list[Decided] = []
    moved: list[LeftAlone] = []
    for decision in decisions:
        environment = decision.environment
        run = runs.get(environment.key)
        if run is None:
            remaining.append(decision)
        elif decision.disposition != "leave":
            why = f"{run} moved it elsewhere; what is here is its old record"
            moved.append(LeftAlone(environment.id, environment.name, why, f"drkit failback {run}"))
    return remaining, moved


def unacted(decisions: Sequence[Decided]) -> list[LeftAlone]:
    """Environments of a plan that is not lost, whose machine is in trouble that a repair does not mend."""
    return [
        LeftAlone(
            decision.environment.id,
            decision.environment.name,
            decision.reason.text
            if decision.another
            else f"its machine is {verdict_word(decision.finding)}; {decision.reason.text}",
            "" if decision.another else "drkit assess",
        )
        for decision in decisions
        if decision.disposition == "leave"
        and decision.finding is not None
        and (decision.another or decision.finding.outcome in TROUBLE)
    ]


def state_in_words(finding: PlanFinding | None) -> str:
    """The state of a plan and the reason."""
    return f"{finding.state}: {finding.reason}" if finding else "not assessed"


def state_of(findings: Mapping[ArmId, PlanFinding], plan: Plan) -> str:
    """The state of a plan as assessed, ``unknown`` when it was not."""
    finding = findings.get(plan.key)
    return finding.state if finding else "unknown"
