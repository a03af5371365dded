"""What the planners share: where a runbook comes from, and what it collects until it is complete. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from drkit.model.cloud import CloudMark
from drkit.model.estate import Leftover, Plan
from drkit.model.runbook import Affected, Kind, LeftAlone, Runbook, Step, Takeover
from drkit.model.settings import Settings
from drkit.planning.guards import guarded, sound
from drkit.planning.placement import group_steps
from drkit.planning.proposal import Proposal, Proposed, Proposer, Target
from drkit.planning.waves import waves


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a runbook was made from, as it says itself.

    The digests of the snapshot and the assessment, the cloud they are of, and the version of drkit. ``run``: the run that it goes
    back from or cleans up after; ``run_chain``: that run and those that it replaced.
    """

    snapshot_digest: str
    assessment_digest: str
    cloud: CloudMark
    drkit_version: str
    run: str = ""
    run_chain: frozenset[str] = frozenset()

    @property
    def runs(self) -> frozenset[str]:
        """The runs whose leftovers count as those of ``run``."""
        return self.run_chain | {self.run}


@dataclass(kw_only=True)
class RunbookBuilder:
    """Collects the parts of one runbook, and makes it, past its guards.

    ``avoided_regions``: those that nothing is written to. ``lost_regions``: those that the runbook says are lost.
    """

    kind: Kind
    provenance: Provenance
    settings: Settings
    products: Mapping[str, Proposer]
    avoided_regions: frozenset[str]
    lost_regions: tuple[str, ...] = ()
    assumed: bool = False
    steps: list[Step] = field(default_factory=list)
    closing_steps: list[Step] = field(default_factory=list)
    affected: list[Affected] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    unchanged: list[LeftAlone] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    source_plans: dict[str, str] = field(default_factory=dict)
    target_regions: dict[str, str] = field(default_factory=dict)
    takeovers: dict[str, Takeover] = field(default_factory=dict)

    def leave_alone(self, subject: str, name: str, reason: str, remedy: str = "") -> None:
        """Say of something that was considered why nothing is done about it, and what would change that."""
        self.unchanged.append(LeftAlone(subject, name, reason, remedy))

    def move(self, source: Plan, target: Target, why: str) -> None:
        """Let ``target`` take over from ``source``, in a resource group that is made if need be."""
        self.target_regions[source.id] = target.region
        self.takeovers[source.id] = Takeover(target.plan_id, why)
        known = {step.id for step in self.steps}
        self.steps.extend(step for step in group_steps(target) if step.id not in known)

    def propose(self, proposal: Proposal, plan: Plan) -> Proposed:
        """Take in the steps that the product of ``plan`` proposes, in waves, without those that its table does not allow.

        A cleanup brings no environment up: of its proposals only the steps count.
        """
        proposed = sound(self.products[plan.product].propose(proposal), plan, self.products)
        moves = self.kind != "cleanup"
        if moves and any(chain.steps for chain in proposed.chains):
            self.steps.extend(proposed.plan_steps)
        for chain in waves(proposed.chains, self.settings):
            self.steps.extend(chain.steps)
            if moves:
                self.affected.append(chain.affected)
                self.leftovers.extend(chain.leftovers)
        if moves:
            self.notes.extend(proposed.notes)
            self.scripts.update(proposed.scripts)
        self.closing_steps.extend(proposed.teardown)
        self.unchanged.extend(proposed.unchanged)
        return proposed

    def runbook(self, *, force: Mapping[str, str] | None = None, recorded: Collection[str] = ()) -> Runbook:
        """The runbook, with the results of its guards; errors as ``guarded``.

        ``force``: guard -> why it is forced. ``recorded``: ids that the runs it follows allow it to delete.
        """
        made_from = self.provenance
        book = Runbook(
            environments=tuple(self.affected),
            kind=self.kind,
            leftovers=tuple(self.leftovers),
            unchanged=tuple(self.unchanged),
            lost_regions=self.lost_regions,
            cloud=made_from.cloud,
            drkit_version=made_from.drkit_version,
            notes=tuple(dict.fromkeys(self.notes)),
            of_assessment=made_from.assessment_digest,
            source_run=made_from.run,
            snapshot_digest=made_from.snapshot_digest,
            only_assumed=True if self.assumed else msgspec.UNSET,
            scripts=dict(sorted(self.scripts.items())),
            source_plans=dict(sorted(self.source_plans.items())),
            steps=(*self.steps, *self.closing_steps),
            target_plans=dict(sorted(self.takeovers.items())),
            target_regions=self.target_regions,
        )
        return guarded(book, self.products, self.settings, self.avoided_regions, force or {}, recorded)
