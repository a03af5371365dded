"""What the rules read, and what they say. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from drkit.model.clock import rfc3339
from drkit.model.estate import Environment, Plan, Reading, Snapshot, TargetFacts
from drkit.model.operation import Request
from drkit.model.readiness import Finding, Forecast, Severity
from drkit.model.runbook import Runbook, Takeover
from drkit.model.settings import Settings
from drkit.planning.proposal import Proposer

RANK: Mapping[str, int] = {"error": 0, "warning": 1, "unknown": 2}
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Write:
    """One write that a runbook would make in ARM: the step, the method, and the path without its query."""

    step: str
    method: str
    path: str
    environment: str = ""

    @property
    def action(self) -> str:
        """The action that Azure's roles know it by."""
        return action_of(self.method, self.path)

    @property
    def kind(self) -> str:
        """The type of what it writes."""
        return self.action.rsplit("/", 1)[0]

    @property
    def depth(self) -> int:
        """How many segments its path has: 4 for a group, 8 for a top-level resource, more below one."""
        return len(self.path.strip("/").split("/"))

    @property
    def group(self) -> str:
        """The id of its resource group; the subscription's for the group itself."""
        parts = self.path.strip("/").split("/")
        return "/" + "/".join(parts[: 4 if len(parts) > 4 else 2])

    @property
    def resource(self) -> str:
        """The id of the top-level resource it writes or writes below: a plan, a machine; the group itself for a group."""
        return "/" + "/".join(self.path.strip("/").split("/")[:8])

    @property
    def subscription(self) -> str:
        """The subscription's id."""
        return self.path.strip("/").split("/")[1].lower()


@dataclass(frozen=True)
class Projection:
    """What drkit would do if a region were lost now: the runbook, or why there is none, and its writes in ARM.

    ``candidates``: what it would move to though neither drkit.toml nor a journal names it, by ARM id.
    """

    region: str
    runbook: Runbook | None = None
    refused: str = ""
    remedy: str = ""
    writes: tuple[Write, ...] = ()
    forecast: Forecast | None = None
    candidates: Mapping[str, Takeover] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """Everything the rules may know. ``readings`` are what was read in Azure for them; ``products``: their pure halves.

    ``snapshot`` is the newest generation, None before the first; ``generations`` all of them, oldest first.
    """

    now: datetime
    settings: Settings
    products: Mapping[str, Proposer]
    snapshot: Snapshot | None = None
    generations: Sequence[Snapshot] = ()
    protected: Sequence[str] = ()
    targets: Sequence[TargetFacts] = ()
    projections: Sequence[Projection] = ()
    readings: Sequence[Reading] = ()
    _by: Mapping[str, Sequence[Reading]] = field(init=False, repr=False, default_factory=dict)
    _of: Mapping[tuple[str, str], Reading] = field(init=False, repr=False, default_factory=dict)
    _under: Mapping[str, Sequence[Environment]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        by: dict[str, list[Reading]] = {}
        of: dict[tuple[str, str], Reading] = {}
        for reading in self.readings:
            by.setdefault(reading.signal, []).append(reading)
            of.setdefault((reading.signal, reading.subject.rstrip("/").lower()), reading)
        under: dict[str, list[Environment]] = {}
        for environment in self.snapshot.environments if self.snapshot else ():
            under.setdefault(environment.plan.lower(), []).append(environment)
        # Looked up once for each of thousands of writes and hosts.
        object.__setattr__(self, "_by", by)
        object.__setattr__(self, "_of", of)
        object.__setattr__(self, "_under", under)

    def all(self, signal: str) -> Sequence[Reading]:
        """The readings of that signal."""
        return self._by.get(signal, ())

    def one(self, signal: str, subject: str) -> Reading | None:
        """The reading of that signal and subject, ids compared without case."""
        return self._of.get((signal, subject.rstrip("/").lower()))

    def here(self, subject: str, signal: str, value: Any, source: str) -> Reading:
        """Evidence that is no answer of Azure's: what settings say, what was reckoned, what cannot be asked."""
        return Reading(subject, signal, value, source, rfc3339(self.now))

    def kept(self, subject: str, signal: str, value: Any, detail: str = "") -> Reading:
        """Evidence from the newest snapshot."""
        taken = self.snapshot
        number, when = (taken.generation, taken.taken) if taken else (0, rfc3339(self.now))
        return Reading(subject, signal, value, f"store: snapshot {number}", when, detail)

    def writes(self) -> list[tuple[str, Write]]:
        """(region, write) of every runbook there would be."""
        return [(projection.region, write) for projection in self.projections for write in projection.writes]

    def environments(self, plan: Plan) -> list[Environment]:
        """The environments of a plan."""
        return list(self._under.get(plan.id.lower(), ()))


def finding(
    rule: str,
    severity: Severity,
    subject: str,
    what: str,
    remedy: str,
    *,
    key: str = "",
    region: str = "",
    owner: str = "",
    evidence: Iterable[Reading] = (),
) -> Finding:
    """A finding whose id is made of its rule, subject and ``key``: which distinguishes it from others of the same rule and subject."""
    parts = [rule, subject.rstrip("/").lower(), *([key.lower()] if key else [])]
    return Finding(
        id="|".join(parts),
        rule=rule,
        severity=severity,
        subject=subject,
        what=what,
        remedy=remedy,
        region=region,
        owner=owner,
        evidence=tuple(evidence),
    )


def protected_regions(snapshot: Snapshot | None, settings: Settings) -> tuple[str, ...]:
    """The regions whose loss would hurt: those of plans that hold something, and of any plan that is not in a target region.

    In an estate without plans, those of its machines that are not target regions.
    """
    if snapshot is None:
        return ()
    used = {environment.plan_key for environment in snapshot.environments}
    regions = {plan.region for plan in snapshot.plans if plan.key in used or plan.region not in settings.targets}
    if not snapshot.plans:
        regions = {host.region for host in snapshot.hosts if host.region and host.region not in settings.targets}
    return tuple(sorted(regions))


def writes_of(step: str, requests: Iterable[Request], arm: str, environment: str = "") -> list[Write]:
    """The requests of a step that go to ARM; what goes to a product's own service needs no role of Azure's."""
    host = urlsplit(arm).netloc.lower()
    writes = []
    for request in requests:
        parts = urlsplit(request.target)
        if parts.netloc.lower() == host and parts.path.lower().startswith("/subscriptions/"):
            writes.append(Write(step, request.method.upper(), parts.path.rstrip("/"), environment))
    return writes


def action_of(method: str, path: str) -> str:
    """``PUT .../virtualMachines/x/extensions/y`` is ``Microsoft.Compute/virtualMachines/extensions/write``."""
    parts = path.strip("/").split("/")
    last = max((at for at, part in enumerate(parts) if part.lower() == "providers"), default=-1)
    verb = {"PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}.get(method.upper(), "read")
    if last < 0:
        return f"Microsoft.Resources/subscriptions/resourceGroups/{verb}"
    # Type, name, type, name …; what is left over at the end is an action's name.
    return "/".join([parts[last + 1], *parts[last + 2 :: 2], verb])


def reported(findings: Iterable[Any]) -> list[Finding]:
    """Findings in the order people read them: the gravest first, then by rule and subject; each id once."""
    once: dict[str, Finding] = {}
    for finding in findings:
        known = once.get(finding.id)
        if known is None or RANK[finding.severity] < RANK[known.severity]:
            once[finding.id] = finding
    return sorted(once.values(), key=lambda finding: (RANK[finding.severity], finding.rule, finding.id))
