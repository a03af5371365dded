"""What one assessment gathers on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from drkit.model.estate import Claim, PlanFinding, Reading, Snapshot, Statement
from drkit.products.base import Captured


@dataclass
class AssessmentDraft:
    """``base``: the snapshot to judge against; ``down``: why ARM itself does not answer, empty when it does."""

    now: str
    base: Snapshot
    captured: Captured
    down: str = ""
    states: dict[str, PlanFinding] = field(default_factory=dict)
    regions: dict[str, Reading] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def lost(self) -> set[str]:
        """The regions of lost plans."""
        return {plan.region for plan in self.base.plans if self.states[plan.id.lower()].state == "lost"}
