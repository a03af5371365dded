"""What one assessment gathers on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from drkit.model.estate import Claim, PlanFinding, Reading, Snapshot, Statement
from drkit.model.ids import ArmId
from drkit.products.base import Captured, Endpoint


@dataclass
class AssessmentDraft:
    """The parts of an assessment that are known so far.

    ``now``: the assessment's time (RFC 3339); ``base``: the snapshot to compare with; ``captured``: what the products list now;
    ``arm_down``: why ARM itself does not answer, empty when it does; ``services``: the answer of each product's regional service.
    """

    now: str
    base: Snapshot
    captured: Captured
    arm_down: str = ""
    plans: dict[ArmId, PlanFinding] = field(default_factory=dict)
    services: dict[tuple[str, Endpoint], Reading] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def lost(self) -> set[str]:
        """The regions of lost plans."""
        return {plan.region for plan in self.base.plans if self.plans[plan.key].state == "lost"}
