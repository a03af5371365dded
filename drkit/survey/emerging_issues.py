"""Emerging issues: what the public status page says of regions. Of no tenant, the earliest for the largest outages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import read as reading
from drkit.model.estate import Claim, Statement, region_name
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

CLAIMING = frozenset({"warning", "error"})
WHO = "Microsoft's status page"


async def read(
    azure: Session, regions: Mapping[str, str], services: tuple[str, ...]
) -> tuple[list[Claim], list[Statement], list[str]]:
    """Claims, statements that claim nothing, and what could not be read. Arguments as of ``plan_state.read_claims``."""
    try:
        with reading():
            claims, statements = issues(await azure.health.emerging_issues(), regions, services)
    except CloudError as error:
        return [], [], [f"emerging issues: {error.what}"]
    return claims, statements, []


def issues(body: Any, regions: Mapping[str, str], services: tuple[str, ...]) -> tuple[list[Claim], list[Statement]]:
    """The body of Emerging Issues - Get, or of its list, as claims and statements."""
    claims: list[Claim] = []
    statements: list[Statement] = []
    for issue in _issues(body):
        name = _text(issue, "trackingId") or _text(issue, "title")
        title = _text(issue, "title")
        since = moment(issue.get("startTime"))
        for region, service in _impacts(issue):
            arm_name = next((regions[one] for one in region if one in regions), region[0])
            why_not = _why_no_claim(issue, arm_name, service, services)
            if why_not:
                statements.append(Statement(arm_name, name, title, why_not, since))
            elif not any(one.id == name and one.region == arm_name for one in claims):
                claims.append(Claim(arm_name, "emerging-issue", name, since, title, WHO, (service,)))
    return claims, statements


def _issues(body: Any) -> list[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        return []
    pages = body["value"] if isinstance(body.get("value"), list) else [body]
    found: list[Mapping[str, Any]] = []
    for page in pages:
        properties = page.get("properties") if isinstance(page, Mapping) else None
        events = properties.get("statusActiveEvents") if isinstance(properties, Mapping) else None
        found.extend(one for one in (events if isinstance(events, list) else ()) if isinstance(one, Mapping))
    return found


def _impacts(issue: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """(spellings of a region, service): the display name, and the id, whose parts stand the other way round."""
    found = []
    impacts = issue.get("impacts")
    for impact in impacts if isinstance(impacts, list) else ():
        regions = impact.get("regions") if isinstance(impact, Mapping) else None
        for region in regions if isinstance(regions, list) else ():
            if isinstance(region, Mapping):
                code = _text(region, "id")
                names = (region_name(_text(region, "name")), "".join(reversed(code.lower().split("-"))))
                if any(names):
                    found.append((tuple(one for one in names if one), _text(impact, "name")))
    return found


def _why_no_claim(issue: Mapping[str, Any], region: str, service: str, services: tuple[str, ...]) -> str:
    if region == "global":
        return "names no region"
    if _text(issue, "stage").lower() != "active":
        return f"stage {_text(issue, 'stage').lower() or 'unknown'}"
    if _text(issue, "severity").lower() not in CLAIMING:
        return f"severity {_text(issue, 'severity').lower() or 'unknown'}: not availability"
    if not any(service.lower().startswith(known.lower()) for known in services):
        return f"about {service or 'no named service'}, which nothing here depends on"
    return ""


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
