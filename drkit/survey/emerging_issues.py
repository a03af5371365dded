"""Emerging issues: what Azure's public status page says about regions.

They concern no tenant in particular, and are the earliest source for the largest outages.
https://learn.microsoft.com/rest/api/resourcehealth/emerging-issues
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drkit.errors import CloudError
from drkit.model.answers import reading_azure
from drkit.model.estate import Claim, Statement, region_name
from drkit.survey.vm_annotations import moment

if TYPE_CHECKING:
    from drkit.providers.session import Session

CLAIMING = frozenset({"warning", "error"})
WHO = "Microsoft's status page"


async def read(
    azure: Session, regions: Mapping[str, str], services: tuple[str, ...]
) -> tuple[list[Claim], list[Statement], list[str]]:
    """Claims, statements that claim nothing, and what could not be read. The arguments are those of ``planning.claims.read_claims``."""
    try:
        with reading_azure():
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
        for spellings, service in _impacts(issue):
            arm_name = next((regions[spelling] for spelling in spellings if spelling in regions), spellings[0])
            why_not = _why_no_claim(issue, arm_name, service, services)
            if why_not:
                statements.append(Statement(arm_name, name, title, why_not, since))
            elif not any(claim.id == name and claim.region == arm_name for claim in claims):
                claims.append(Claim(arm_name, "emerging-issue", name, since, title, WHO, (service,)))
    return claims, statements


def _issues(body: Any) -> list[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        return []
    pages = body["value"] if isinstance(body.get("value"), list) else [body]
    active: list[Mapping[str, Any]] = []
    for page in pages:
        properties = page.get("properties") if isinstance(page, Mapping) else None
        events = properties.get("statusActiveEvents") if isinstance(properties, Mapping) else None
        active.extend(event for event in (events if isinstance(events, list) else ()) if isinstance(event, Mapping))
    return active


def _impacts(issue: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """(spellings of a region, service): the display name, and the id with its parts in reverse order."""
    affected = []
    impacts = issue.get("impacts")
    for impact in impacts if isinstance(impacts, list) else ():
        regions = impact.get("regions") if isinstance(impact, Mapping) else None
        for region in regions if isinstance(regions, list) else ():
            if isinstance(region, Mapping):
                code = _text(region, "id")
                names = (region_name(_text(region, "name")), "".join(reversed(code.lower().split("-"))))
                if any(names):
                    affected.append((tuple(name for name in names if name), _text(impact, "name")))
    return affected


def _why_no_claim(issue: Mapping[str, Any], region: str, service: str, services: tuple[str, ...]) -> str:
    if region == "global":
        return "names no region"
    if _text(issue, "stage").lower() != "active":
        return f"stage {_text(issue, 'stage').lower() or 'unknown'}"
    if _text(issue, "severity").lower() not in CLAIMING:
        return f"severity {_text(issue, 'severity').lower() or 'unknown'}: not availability"
    if not any(service.lower().startswith(prefix.lower()) for prefix in services):
        return f"about {service or 'no named service'}, which nothing here depends on"
    return ""


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    return text if isinstance(text, str) else ""
