"""The result of a check, as it is kept: findings, forecasts, and the comparison with the check before."""

from __future__ import annotations

from typing import Literal

import msgspec

from drkit.model.cloud import CloudMark
from drkit.model.estate import Reading

Severity = Literal["error", "warning", "unknown"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would stop a recovery, or that cannot be known (``unknown``).

    ``id`` is the same in every check; ``region`` is the protected region whose loss it concerns (empty: any); ``owner``: who has to
    act, where it is one person's; ``evidence``: the readings behind it, at least one, each with source and time.
    """

    id: str
    rule: str
    severity: Severity
    subject: str
    what: str
    remedy: str
    region: str = ""
    owner: str = ""
    evidence: tuple[Reading, ...] = ()


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """How long the recovery from a region's loss would take, in seconds: the decision, the steps, and what ARM's buckets allow."""

    region: str
    steps: int
    environments: int
    decision_seconds: float
    step_seconds: float
    bucket_seconds: float
    requests: dict[str, int]
    objective_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds for the decision, and then for the steps or for ARM's buckets, whichever takes longer."""
        return self.decision_seconds + max(self.step_seconds, self.bucket_seconds)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison with the check before: ids of findings that are new or worse, gone or better, and no longer visible."""

    generation: int
    taken: str
    worse: tuple[str, ...] = ()
    better: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    unchanged: int = 0


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """One check.

    ``rules``: rule -> the worst severity of its findings, or ``ok``; ``snapshot_generation``: the snapshot it was made with, 0 for none.
    """

    drkit: str = "readiness/1"
    cloud: CloudMark = msgspec.field(name="made_against")
    taken: str
    generation: int = 0
    snapshot_generation: int = msgspec.field(name="of_snapshot", default=0)
    protected: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    rules: dict[str, Literal["ok", "error", "warning", "unknown"]] = {}
    forecasts: tuple[Forecast, ...] = ()
    findings: tuple[Finding, ...] = ()
    compared: Compared | None = None

    @property
    def errors(self) -> int:
        """The number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)
