"""Readings -> the state of a plan. Pure.

A plan is ``lost`` only on our own observation *and* a claim; never while its service answers for it, never while the same
service in another region fails too (then it is us).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from drkit.model.clock import parse_time
from drkit.model.estate import PlanState

Answer = Literal["yes", "no", "unknown"]
Heard = Literal["", "since", "before", "open"]
REPORT = timedelta(seconds=60)
"""A report that left before a service fell silent may be counted so much after."""
SETTLES = timedelta(minutes=5)
"""Hosts that have not been heard for so long, and reported twice a minute, are not heard."""


@dataclass(frozen=True, kw_only=True)
class PlanSignals:
    """What was observed of one plan.

    ``service``: its regional service answered at all. ``listing``: it answered for this plan (listed its environments).
    ``control``: the same service answered in another region. ``arm``: found, gone or unreachable. ``claimed``: somebody
    claims its region. ``live`` and ``dead``: environments that answer and that do not, those asleep counted in neither.

    ``heard``: what the hosts' own reports to a plan say while its service does not answer drkit: ``since`` it went silent they
    went on; ``before`` that only; ``open``: too early to tell. Empty where hosts do not report, or it answers. ``heard_at``: the last of
    them; ``settled_at``: when it will be known. Times are RFC 3339.
    """

    service: Answer = "unknown"
    listing: Answer = "unknown"
    control: Answer = "unknown"
    arm: Literal["found", "gone", "unreachable"] = "unreachable"
    claimed: bool = False
    live: int = 0
    dead: int = 0
    heard: Heard = ""
    heard_at: str = ""
    settled_at: str = ""


def heard(last: str, silent_since: str, claimed_since: str, now: str) -> Heard:
    """What reports of hosts say of a plan whose service does not answer drkit; all times RFC 3339, empty for none.

    ``last``: the newest report; ``silent_since``: the first look at which the service did not answer; ``claimed_since``: from when
    its loss is claimed. Hosts report twice a minute.
    """
    if not last:
        return ""
    newest, silent = parse_time(last), parse_time(silent_since)
    if newest > silent + REPORT:
        return "since"
    if claimed_since and newest <= parse_time(claimed_since):
        return "before"
    return "before" if parse_time(now) >= silent + SETTLES else "open"


def plan_state(signals: PlanSignals) -> tuple[PlanState, str]:
    """The state of a plan and the reason, in words for a person."""
    s = signals
    silent = s.service == "no" and s.heard in ("before", "open")
    if s.listing == "yes" and not silent:
        if s.live + s.dead and s.dead > s.live:
            return "degraded", f"its service lists it, but {s.dead} of {s.live + s.dead} environments do not answer"
        if s.service == "no" and s.heard == "since":
            text = (
                f"its regional service does not answer drkit, and its hosts go on reporting to it, last at {s.heard_at}"
            )
            return "answering", text
        return "answering", "its regional service answers and lists its environments"
    if s.arm == "gone":
        return "gone", "ARM says it does not exist: deleted, not lost"
    if s.service == "yes":
        return "degraded", "its regional service answers, but not for this plan"
    if s.service == "unknown":
        return "unknown", "its regional service could not be asked"
    if s.control == "no":
        return "unknown", "the same service fails in another region too: it may be this machine's own network"
    if s.control == "unknown":
        return "unknown", "its service does not answer, and there is no other region to compare with"
    if s.listing == "yes" and s.heard == "open":
        return "unreachable", (
            f"its regional service does not answer, another region's does; its hosts were heard until {s.heard_at}, and whether "
            f"they still are shows at {s.settled_at}: `drkit assess` then settles it"
        )
    until = f"; its hosts were heard until {s.heard_at}, and not since" if s.heard == "before" else ""
    if s.claimed:
        return "lost", f"its service does not answer, another region's does, and the loss is claimed{until}"
    return (
        "unreachable",
        f"its regional service does not answer, another region's does{until}; nobody claims the loss yet",
    )
