"""The guards of a runbook: where its steps and their requests may go, and what they may delete. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from drkit.model.actions import Tables, every_request
from drkit.model.ids import ArmId
from drkit.model.operation import bare
from drkit.model.runbook import (
    DELETING_KINDS,
    NEVER_FORCED,
    OF_CLEANUP,
    WRITES,
    GuardResult,
    Runbook,
    RunbookKind,
    Step,
)
from drkit.model.settings import Settings


def check_steps(
    *,
    kind: RunbookKind,
    steps: Sequence[Step],
    source_plans: Collection[str],
    lost_regions: Collection[str],
    recorded: Collection[str] = (),
    forced: dict[str, str] | None = None,
    outside: Mapping[str, str] | None = None,
    deletions: Mapping[str, Sequence[str]] | None = None,
) -> tuple[GuardResult, ...]:
    """Run every guard over what is to become a runbook.

    ``recorded``: ids of the linked run that a cleanup or failback may delete. ``forced``: guard -> reason, by people. ``outside``:
    step id -> a request of it that goes to none of the runbook's own plans and hosts. ``deletions``: step id -> what its requests
    delete that is not recorded.
    The caller refuses a runbook with a guard that neither passed nor was forced.
    """
    reasons = forced or {}
    lower = {plan.lower() for plan in source_plans}
    elsewhere, unrecorded = outside or {}, deletions or {}

    def scope() -> list[str]:
        if kind == "repair":
            return []
        return [step.id for step in steps if step.effect in WRITES and step.plan and step.plan.lower() not in lower]

    def beyond() -> list[str]:
        return [f"{step.id} ({url})" for step in steps if (url := elsewhere.get(step.id)) is not None]

    def deletion() -> list[str]:
        allowed = {item.lower() for item in recorded} if kind in DELETING_KINDS else set()
        return [
            step.id
            for step in steps
            if (step.effect == "delete" and step.target.lower() not in allowed) or step.id in unrecorded
        ]

    def cleaning() -> list[str]:
        return [step.id for step in steps if kind == "cleanup" and step.effect not in OF_CLEANUP]

    def confidence() -> list[str]:
        return [step.id for step in steps if step.effect in WRITES and step.confidence == "low"]

    def regions() -> list[str]:
        return [step.id for step in steps if step.effect in WRITES and step.region and step.region in lost_regions]

    rules = (
        ("only-source-plans", [*scope(), *beyond()], "effects on environments of other plans"),
        ("no-deletion", deletion(), "deletions that this kind does not allow"),
        ("only-cleanup", cleaning(), "effects that are no deletion, in a cleanup"),
        ("confident-verdicts", confidence(), "acts on a verdict below medium confidence"),
        ("no-write-to-lost-region", regions(), "writes to a lost region"),
    )
    results = []
    for name, offenders, what in rules:
        detail = f"{what}: {', '.join(offenders[:5])}" if offenders else f"no {what}"
        results.append(GuardResult(name, not offenders, detail, reasons.get(name, "") if offenders else ""))
    return tuple(results)


def check_runbook(
    book: Runbook,
    tables: Tables,
    settings: Settings,
    recorded: Collection[str] = (),
    *,
    regions: Collection[str] | None = None,
    forced: Mapping[str, str] | None = None,
) -> tuple[GuardResult, ...]:
    """Run every guard over a runbook, its requests included.

    ``recorded``: ids of the linked run that a cleanup or failback may delete. ``regions``: those that nothing is written to (default:
    the lost ones). ``forced``: guard -> reason, by people.
    """
    arm = book.cloud.arm.rstrip("/")
    requests = every_request(book.steps, tables, arm, settings)
    own = _own(book)
    known = frozenset(recorded_id.lower() for recorded_id in recorded)
    outside: dict[str, str] = {}
    deletions: dict[str, list[str]] = {}
    for step in book.steps:
        for request in requests.get(step.id, ()):
            if request.method == "DELETE" and may_delete(step, book, request.target, arm, known):
                continue  # what is recorded may be anywhere
            if request.method == "DELETE":
                deletions.setdefault(step.id, []).append(request.target)
            if not _inside(request.target, arm, own):
                outside.setdefault(step.id, request.target)
    return check_steps(
        kind=book.kind,
        steps=book.steps,
        source_plans=list(book.source_plans),
        lost_regions=book.lost_regions if regions is None else regions,
        recorded=recorded,
        forced=dict(forced or {}),
        outside=outside,
        deletions=deletions,
    )


def failed_guards(
    book: Runbook, tables: Tables, settings: Settings, recorded: Collection[str]
) -> tuple[GuardResult, ...]:
    """The guards that do not pass now and that nobody forced in the runbook. ``recorded`` as in ``guards``."""
    forced = {guard.name for guard in book.guards if guard.forced} - NEVER_FORCED
    again = check_runbook(book, tables, settings, recorded)
    return tuple(guard for guard in again if not guard.passed and guard.name not in forced)


def may_delete(step: Step, book: Runbook, url: str, arm: str, recorded: Collection[str]) -> bool:
    """Whether a step may delete what is at a URL: the extension of a host that it releases, or what the linked run recorded.

    ``recorded``: ids in lower case. Only a failback or a cleanup deletes what is recorded.
    """
    base = arm.rstrip("/").lower()
    if step.effect == "release":
        return bool(step.host) and url.lower().startswith(f"{base}{step.host.lower()}/extensions/")
    if step.effect != "delete" or book.kind not in DELETING_KINDS or step.target.lower() not in recorded:
        return False
    if step.target.startswith("/"):
        return ArmId(url) == f"{base}{step.target}"
    return unquote(url).lower().endswith(f"/{step.target.lower()}")


def _own(book: Runbook) -> tuple[frozenset[str], frozenset[str]]:
    """Ids in lower case of what a runbook may write to: its plans, what takes over from them, and the hosts of their environments."""
    plans = {plan.lower() for plan in book.source_plans}
    if book.kind == "repair":
        plans |= {affected.plan.lower() for affected in book.environments}
    targets = {takeover.plan.lower() for takeover in book.target_plans.values()}
    if book.drkit == "runbook/1":
        targets = {
            step.target.lower() for step in book.steps if not step.environment and step.effect in ("create", "verify")
        }
    hosts = {
        affected.host.lower()
        for affected in book.environments
        if affected.host.startswith("/") and affected.plan.lower() in plans
    }
    groups = {"/".join(plan.split("/")[:5]) for plan in targets}
    return frozenset(plans | targets | hosts), frozenset(groups)


def _inside(url: str, arm: str, own: tuple[frozenset[str], frozenset[str]]) -> bool:
    """Whether a request goes to one of them or to a part of it; what is not ARM's the table alone decides."""
    if not url.lower().startswith(f"{arm.lower()}/"):
        return True
    path = unquote(url)[len(arm) :].lower()
    whole, groups = own
    parts = path.split("/")
    return path in groups or any("/".join(parts[:end]) in whole for end in range(5, len(parts) + 1))


def aims_at_lost(book: Runbook, url: str) -> bool:
    """Whether a request to this URL goes to what the runbook calls lost: a service of a lost region, or a plan that was there."""
    parts = urlsplit(bare(url).lower())
    host, path = parts.hostname or "", unquote(parts.path)
    if any(host.startswith(f"{region}.") for region in book.lost_regions):
        return True
    plans = [plan.rstrip("/").lower() for plan in book.source_plans] if book.lost_regions else []
    return any(f"{path}/".startswith(f"{plan}/") for plan in plans)
