"""Readings -> how a plan is, and whether to wait or to move. Pure; every number that was assumed is said.

A plan is ``lost`` only on our own observation *and* a claim; never while its service answers for it, never while the same
service in another region fails too (then it is us).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Advice, Claim, PlanState, Statement, region_name

Answer = Literal["yes", "no", "unknown"]
Heard = Literal["", "since", "before", "open"]
REPORT = timedelta(seconds=60)
"""A report that left before a service fell silent may be counted so much after."""
SETTLES = timedelta(minutes=5)
"""Hosts that have not been heard for so long, and reported twice a minute, are not heard."""
CLAIMING_LEVELS = frozenset({"warning", "error", "critical"})
FALSE_POSITIVE = "false positive"

MINUTES_PER_PLAN = 2.0
MINUTES_PER_MANAGED = 2.0
MINUTES_PER_SELF_HOSTED = 12.0
HANDS = 8


@dataclass(frozen=True, kw_only=True)
class PlanSignals:
    """What was observed of one plan.

    ``service``: its regional service answered at all. ``listing``: it answered for this plan (listed its environments).
    ``control``: the same service answered in another region. ``arm``: found, gone or unreachable. ``claimed``: somebody
    claims its region. ``live`` and ``dead``: environments that answer and that do not, those asleep counted in neither.

    ``heard``: what the hosts' own reports to a plan say while its service does not answer drkit: ``since`` it went silent they
    went on; ``before`` that only; ``open``: too early to tell. Empty where hosts do not report, or it answers. ``heard_at``: the last of
    them; ``settled_at``: when it can be told. Times are RFC 3339.
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


def read_claims(
    events: Sequence[Any], regions: Mapping[str, str], services: Sequence[str]
) -> tuple[list[Claim], list[Statement]]:
    """Service Health events (wire form) as claims, and the ones that claim nothing, each with why not.

    ``regions``: any spelling of a region, without blanks and in lower case -> ARM name. ``services``: the services that a
    plan or host depends on, as Service Health names them, or a beginning of such a name.
    """
    claims: list[Claim] = []
    statements: list[Statement] = []
    for event in events:
        if not isinstance(event, Mapping) or not isinstance(properties := event.get("properties"), Mapping):
            continue
        name = str(event.get("name") or "")
        title = str(properties.get("title") or properties.get("header") or "")
        since = _time(properties.get("impactStartTime"))
        for region, service, region_state in _impacts(properties):
            arm_name = regions.get(region_name(region), region_name(region))
            why_not = _why_no_claim(properties, region, service, region_state, services)
            if why_not:
                statements.append(Statement(arm_name, name, title, why_not, since))
            elif not any(claim.id == name and claim.region == arm_name for claim in claims):
                claims.append(Claim(arm_name, "service-health", name, since, title, "Microsoft", (service,)))
    return claims, statements


def _time(value: Any) -> str:
    """A time as RFC 3339 (one without a zone is UTC), empty when it is none."""
    try:
        moment = datetime.fromisoformat(value)
        return rfc3339(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        return ""


def _impacts(properties: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for impact in _list(properties.get("impact")):
        service = str(impact.get("impactedService") or "")
        for region in _list(impact.get("impactedRegions")):
            found.append((str(region.get("impactedRegion") or ""), service, str(region.get("status") or "")))
    return [item for item in found if item[0]] or [("", "", "")]


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _why_no_claim(
    properties: Mapping[str, Any], region: str, service: str, region_state: str, services: Sequence[str]
) -> str:
    if not region:
        return "names no region"
    level = str(properties.get("eventLevel") or properties.get("level") or "").lower()
    if str(properties.get("eventType") or "").lower() != "serviceissue":
        return f"not a service issue but {properties.get('eventType') or 'of no known type'}"
    if str(properties.get("status") or "").lower() != "active" or region_state.lower() == "resolved":
        return "resolved"
    tags = properties.get("eventTags")
    if isinstance(tags, list) and any(str(tag).lower() == FALSE_POSITIVE for tag in tags):
        return "withdrawn as a false positive"
    if level not in CLAIMING_LEVELS:
        return f"level {level or 'unknown'}: management or latency, not availability"
    if not any(service.lower().startswith(known.lower()) for known in services):
        return f"about {service or 'no named service'}, which nothing here depends on"
    return ""


def move_minutes(plans: int, managed: int, self_hosted: int, sign_in_minutes: float) -> float:
    """The forecast of a move in minutes before there is a runbook: plans one after the other, environments on eight hands."""
    waves = MINUTES_PER_MANAGED * (1 + managed / HANDS) if managed else 0.0
    hosts = (MINUTES_PER_SELF_HOSTED + sign_in_minutes / 3) * max(1.0, self_hosted / HANDS) if self_hosted else 0.0
    return plans * MINUTES_PER_PLAN + max(waves, hosts)


def wait_or_move(
    state: PlanState,
    *,
    failing_since: str,
    now: datetime,
    expected_outage_minutes: float,
    decision_minutes: float,
    forecast_minutes: float,
    objective_minutes: float,
) -> Advice:
    """Compare the expected wait still to come with the forecast of the move (deciding included), in minutes."""
    if state != "lost":
        words = {
            "answering": "the plan answers: there is nothing to move",
            "degraded": "the plan's service answers: see what is wrong with it before moving anything",
            "gone": "the plan was deleted, not lost: restore it, or plan by hand",
        }
        text = words.get(
            state,
            "not lost by drkit's rules: look again in 5 minutes, or declare it with `drkit assess --declare-lost REGION --reason TEXT`",
        )
        return Advice("nothing" if state == "answering" else "wait", 0.0, forecast_minutes, text)
    elapsed = 0.0
    if failing_since:
        elapsed = max(0.0, (now - parse_time(failing_since)).total_seconds() / 60)
    # Past the expectation nothing is known but that it lasts: as long again is the usual guess.
    remaining = expected_outage_minutes - elapsed if elapsed < expected_outage_minutes else elapsed
    move = decision_minutes + forecast_minutes
    assumed = (
        (
            f"an outage of this kind lasts {expected_outage_minutes:.0f} min in all ([advice] expected_outage_minutes); "
            f"{elapsed:.0f} min have passed{', so as long again is assumed' if elapsed >= expected_outage_minutes else ''}"
        ),
        f"deciding and approving takes {decision_minutes:.0f} min, people sign in within the time set for it",
    )
    late = elapsed + move > objective_minutes
    objective = f"; the objective of {objective_minutes:.0f} min {'is already out of reach' if late else 'can be met by moving'}"
    if move < remaining or elapsed + remaining > objective_minutes >= elapsed + move:
        reason = f"moving takes about {move:.0f} min, waiting about {remaining:.0f} min{objective}"
        return Advice("move", remaining, move, reason, assumed)
    reason = f"waiting takes about {remaining:.0f} min, moving about {move:.0f} min{objective}"
    return Advice("wait", remaining, move, reason, assumed)
