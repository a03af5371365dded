"""Events of Service Health -> who claims that a region is lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from drkit.model.clock import rfc3339
from drkit.model.estate import Claim, Statement, region_name

CLAIMING_LEVELS = frozenset({"warning", "error", "critical"})
FALSE_POSITIVE = "false positive"


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
    impacts: list[tuple[str, str, str]] = []
    for impact in _list(properties.get("impact")):
        service = str(impact.get("impactedService") or "")
        for region in _list(impact.get("impactedRegions")):
            impacts.append((str(region.get("impactedRegion") or ""), service, str(region.get("status") or "")))
    return [impact for impact in impacts if impact[0]] or [("", "", "")]


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
