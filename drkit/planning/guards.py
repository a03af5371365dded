"""What stops a runbook: the tables of its products, and the guards that every runbook passes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import msgspec

from drkit.errors import RefusedError, UsageError
from drkit.model import actions, runbook, suggest
from drkit.model.estate import Plan
from drkit.model.runbook import LeftAlone, Runbook
from drkit.model.settings import Settings
from drkit.planning.proposal import Chain, Proposed, Proposer


def tables_of(products: Mapping[str, Proposer]) -> actions.Tables:
    """The tables of these products, and of the groups they share."""
    return {actions.SHARED: actions.GROUPS, **{name: product.actions for name, product in products.items()}}


def sound(proposed: Proposed, plan: Plan, products: Mapping[str, Proposer]) -> Proposed:
    """A proposal without what its product's table does not allow: that is left alone with the reason, and the rest goes on."""
    tables = tables_of(products)
    faults = actions.faults(proposed.plan_steps, tables)
    if faults:
        why = f"what was recorded of it cannot be carried out: {'; '.join(faults)}"
        waiting = tuple(_waiting(chain, why) for chain in proposed.chains)
        left = (*proposed.unchanged, LeftAlone(plan.id, plan.name, why, "drkit snapshot, when it is healthy"))
        return replace(proposed, plan_steps=(), chains=waiting, teardown=(), unchanged=left)
    chains = []
    for chain in proposed.chains:
        faults = actions.faults(chain.steps, tables, beside=proposed.plan_steps)
        why = f"what was recorded of it cannot be carried out: {'; '.join(faults)}"
        chains.append(_waiting(chain, why) if faults else chain)
    return replace(proposed, chains=tuple(chains))


def _waiting(chain: Chain, why: str) -> Chain:
    """A chain without steps; its environment waits."""
    affected = msgspec.structs.replace(
        chain.affected, disposition="wait", reason=f"{chain.affected.reason}; {why}", final=""
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
    results = actions.guards(book, tables, settings, recorded, regions=regions, forced=force)
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
