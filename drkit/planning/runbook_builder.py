"""What the planners share: where a runbook comes from, what it collects until it is complete, and what lets it pass. Pure.

``waves`` arranges the environments, a canary first. What a product proposes is held against its table of actions, and the whole
against the guards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from drkit.errors import RefusedError, UsageError
from drkit.model import actions, guards, runbook, suggest
from drkit.model.cloud import CloudMark
from drkit.model.estate import Leftover, Plan
from drkit.model.runbook import Affected, LeftAlone, Runbook, RunbookKind, Step, Takeover
from drkit.model.settings import Settings
from drkit.planning.placement import group_steps
from drkit.planning.proposal import Chain, Proposal, Proposed, Proposer, Target
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

    ``avoided_regions``: those that nothing is written to. ``lost_regions``: those that the runbook says are lost. ``groups``: the ids
    of the steps that make resource groups.
    """

    kind: RunbookKind
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
    groups: set[str] = field(default_factory=set)

    def leave_alone(self, subject: str, name: str, reason: str, remedy: str = "") -> None:
        """Say of something that was considered why nothing is done about it, and what would change that."""
        self.unchanged.append(LeftAlone(subject, name, reason, remedy))

    def move(self, source: Plan, target: Target, why: str) -> None:
        """Let ``target`` take over from ``source``, in a resource group that is made if need be."""
        self.target_regions[source.id] = target.region
        self.takeovers[source.id] = Takeover(target.plan_id, why)
        for step in group_steps(target):
            if step.id not in self.groups:
                self.groups.add(step.id)
                self.steps.append(step)

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


def tables_of(products: Mapping[str, Proposer]) -> actions.Tables:
    """The tables of these products, and of the groups they share."""
    return {actions.SHARED: actions.GROUPS, **{name: product.actions for name, product in products.items()}}


def sound(proposed: Proposed, plan: Plan, products: Mapping[str, Proposer]) -> Proposed:
    """A proposal without what its product's table forbids: the runbook leaves that alone, with the reason, and keeps the rest."""
    tables = tables_of(products)
    faults = actions.faults(proposed.plan_steps, tables)
    if faults:
        why = f"what was recorded of it cannot be carried out: {'; '.join(faults)}"
        waiting = tuple(_waiting(chain, why) for chain in proposed.chains)
        unchanged = (*proposed.unchanged, LeftAlone(plan.id, plan.name, why, "drkit snapshot, when it is healthy"))
        return replace(proposed, plan_steps=(), chains=waiting, teardown=(), unchanged=unchanged)
    chains = []
    for chain in proposed.chains:
        faults = actions.faults(chain.steps, tables, beside=proposed.plan_steps)
        why = f"what was recorded of it cannot be carried out: {'; '.join(faults)}"
        chains.append(_waiting(chain, why) if faults else chain)
    return replace(proposed, chains=tuple(chains))


def _waiting(chain: Chain, why: str) -> Chain:
    """A chain without steps; its environment waits."""
    affected = msgspec.structs.replace(
        chain.affected, disposition="wait", reason=f"{chain.affected.reason}; {why}", proof_step=""
    )
    return Chain(affected, (), needs_person=False)


def guarded(
    book: Runbook,
    products: Mapping[str, Proposer],
    settings: Settings,
    regions: Collection[str],
    force: Mapping[str, str],
    recorded: Collection[str] = (),
) -> Runbook:
    """A runbook with every guard's result, whose steps are what their products' tables say.

    ``regions``: those that nothing is written to. RefusedError for a guard that neither passed nor was forced, UsageError for one
    that is none, or cannot be forced; FileError for a step that breaks a table.
    """
    tables = tables_of(products)
    actions.check(book, tables, "the runbook just planned")
    results = guards.check_runbook(book, tables, settings, recorded, regions=regions, forced=force)
    unknown = sorted(set(force) - {result.name for result in results})
    if unknown:
        raise UsageError(
            f"there is no guard {', '.join(unknown)} to force",
            remedy=suggest.remedy(
                unknown[0],
                (result.name for result in results),
                f"one of: {', '.join(result.name for result in results)}",
            ),
        )
    if runbook.NEVER_FORCED & set(force):
        raise UsageError("no-deletion cannot be forced: drkit deletes what a run recorded, and nothing else")
    stopped = [result for result in results if not result.passed and not result.forced]
    if stopped:
        raise RefusedError(
            "; ".join(f"guard {result.name}: {result.detail}" for result in stopped),
            remedy="`drkit plan --force GUARD --reason TEXT` writes the exception into the runbook, for the approver to see",
        )
    return msgspec.structs.replace(book, guards=results, settings=actions.bound(book, tables, settings))
