"""Why an environment is dealt with as it is: a code for each reason, and the text of each in one place. Pure.

Decisions compare codes. Files and people get the text, which nothing reads back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from types import MappingProxyType


class PlanStanding(StrEnum):
    """What a reason says of the environment's own plan."""

    LOST = "its plan is lost"
    LEFT_ON_PURPOSE = "its plan is moved on purpose"
    BACK = "its own plan is back"
    FINE = "its plan is fine"
    ANSWERS = "its plan answers"


class ReasonCode(StrEnum):
    """Each reason that there is."""

    # the plan is left, or gone back to
    CREATED_AGAIN = auto()
    MACHINE_NOT_KNOWN = auto()
    MACHINE_DISPUTED = auto()
    MACHINE_RESTORED = auto()
    MACHINE_UNTOUCHED = auto()
    MACHINE_MOVED = auto()
    MACHINE_RESTARTED = auto()
    REGISTRATION_LOST = auto()
    MACHINE_LOST = auto()
    MACHINE_IN_LOST_REGION = auto()
    MACHINE_NOT_SEEN = auto()
    ONLY_A_PERSON_CAN_LOOK = auto()
    ARC_OBJECT_GONE = auto()
    NEVER_IDENTIFIED = auto()
    MACHINE_STOPPED = auto()
    NOT_KNOWN_YET = auto()
    # the plan stays
    RESTORED_ELSEWHERE = auto()
    REGISTRATION_TO_RENEW = auto()
    REGISTRATION_GONE = auto()
    NOT_LISTED = auto()
    ANOTHERS_REGISTRATION = auto()
    PLAN_ANSWERS = auto()
    SERVICE_ANSWERS = auto()
    LOSS_NOT_CLAIMED = auto()
    PLAN_DELETED = auto()
    PLAN_NOT_KNOWN = auto()
    LOW_CONFIDENCE = auto()
    # on the way back
    REGISTERED_BY_THE_MOVE = auto()
    OWN_RECORD_ALIVE = auto()


TEXT: Mapping[ReasonCode, str] = MappingProxyType(
    {
        ReasonCode.CREATED_AGAIN: "{plan}; created again from its repository",
        ReasonCode.MACHINE_NOT_KNOWN: "{plan}, and which machine it runs on is not known",
        ReasonCode.MACHINE_DISPUTED: "{detail}",
        ReasonCode.MACHINE_RESTORED: "{plan}; its machine was restored as another one",
        ReasonCode.MACHINE_UNTOUCHED: "{plan}; its machine is untouched",
        ReasonCode.MACHINE_MOVED: "{plan}; its machine moved without noticing",
        ReasonCode.MACHINE_RESTARTED: "{plan}; its machine rebooted and is itself",
        ReasonCode.REGISTRATION_LOST: "{plan}, and its machine lost its registration",
        ReasonCode.MACHINE_LOST: "its machine is lost",
        ReasonCode.MACHINE_IN_LOST_REGION: "its machine is in the lost region",
        ReasonCode.MACHINE_NOT_SEEN: "{plan}, and its machine cannot be seen from here",
        ReasonCode.ONLY_A_PERSON_CAN_LOOK: "{plan}, and only a person can look at its machine",
        ReasonCode.ARC_OBJECT_GONE: "{plan}, and its Arc object is gone",
        ReasonCode.NEVER_IDENTIFIED: "{plan}, and its machine was never identified",
        ReasonCode.MACHINE_STOPPED: "{plan}, and its machine was stopped on purpose",
        ReasonCode.NOT_KNOWN_YET: "{plan}, and what happened to its machine is not known yet",
        ReasonCode.RESTORED_ELSEWHERE: "its machine was restored as another one; {plan}",
        ReasonCode.REGISTRATION_TO_RENEW: "its machine lost its registration; {plan}",
        ReasonCode.REGISTRATION_GONE: "its machine carries no registration any more; {plan}",
        ReasonCode.NOT_LISTED: "its plan does not list it any more; {plan}",
        ReasonCode.ANOTHERS_REGISTRATION: "its machine carries another's registration: a person who knows whose it is decides "
        "({detail})",
        ReasonCode.PLAN_ANSWERS: "its plan answers",
        ReasonCode.SERVICE_ANSWERS: "its plan's service answers",
        ReasonCode.LOSS_NOT_CLAIMED: "its plan does not answer, and nobody claims its loss",
        ReasonCode.PLAN_DELETED: "its plan was deleted, not lost",
        ReasonCode.PLAN_NOT_KNOWN: "the state of its plan cannot be determined from here",
        ReasonCode.LOW_CONFIDENCE: "its machine's verdict has low confidence: look again",
        ReasonCode.REGISTERED_BY_THE_MOVE: "{plan}; its machine carries the registration that the move gave it",
        ReasonCode.OWN_RECORD_ALIVE: "{plan}, and its own record in it is alive",
    }
)
"""The text of each reason. ``{plan}``: what is said of its plan; ``{detail}``: what was observed."""
BUT_UNCERTAIN = "; but that verdict has low confidence, so a person does it"
NO_TARGET = "no target region is left"


@dataclass(frozen=True)
class Reason:
    """Why the planner decided so about one environment. ``uncertain``: a person does it, because its verdict has low confidence."""

    code: ReasonCode
    plan: PlanStanding = PlanStanding.LOST
    detail: str = ""
    uncertain: bool = False

    @property
    def text(self) -> str:
        """The reason as files and people get it."""
        text = TEXT[self.code].format(plan=self.plan.value, detail=self.detail)
        return text + BUT_UNCERTAIN if self.uncertain else text


def no_target(reasons: str) -> str:
    """Why a plan goes nowhere: each target region with what is in its way."""
    return f"{NO_TARGET}: {reasons}"


def is_no_target(text: str) -> bool:
    """Whether a runbook says of a plan that it goes nowhere. A runbook keeps a reason as text alone."""
    return text.startswith(f"{NO_TARGET}: ")
