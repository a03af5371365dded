"""What a run leaves behind for a cleanup, journaled once the steps that prove it superfluous are done."""

from __future__ import annotations

import msgspec

from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook
from drkit.store.journal import Journal


class DeferredLeftovers:
    """Journals the leftovers of a runbook, each when it is due."""

    def __init__(self, runbook: Runbook, journal: Journal) -> None:
        self.runbook, self.journal = runbook, journal
        self.verifications = verifications_of(runbook)

    async def record(self) -> None:
        """Journal what is due and not journaled yet, so also what a process that died left out."""
        state = self.journal.state
        for leftover in self.runbook.leftovers:
            if ArmId(leftover.id) in state.deferred:
                continue
            proofs = [self._proof(step) for step in leftover.proof_steps]
            if not all(proofs):
                continue
            now = dict(state.of(proofs[-1]).data) if leftover.kind == "record" and proofs else {}
            # A service may keep the record under its id; then the record of today is the same one.
            same = leftover.kind == "record" and ArmId(str(now.get("id") or "")) == leftover.environment
            if not (same and ArmId(str(now.get("plan") or "")) == leftover.plan):
                moved = {key: now[key] for key in ("id", "name", "plan") if now.get(key)}
                await self.journal.append("deferred", data={"behind": msgspec.to_builtins(leftover), "now": moved})

    def _proof(self, last: str) -> str:
        """The step done that proves an environment's end: its last one, or an earlier verification if that is left out; empty: none."""
        state = self.journal.state
        known = state.of(last)
        if known.status == "done":
            return last
        earlier = self.verifications.get(last, ()) if known.status == "skipped" or state.aborted else ()
        done = (step for step in reversed(earlier) if state.of(step).status == "done")
        return next((step for step in done if state.of(step).data.get("id")), "")


def verifications_of(runbook: Runbook) -> dict[str, list[str]]:
    """Last step of an environment -> the verifications of that environment, in the runbook's order."""
    verifications: dict[str, list[str]] = {}
    for step in runbook.steps:
        if step.environment and step.effect == "verify":
            verifications.setdefault(step.environment, []).append(step.id)
    return {
        item.proof_step: verifications.get(item.environment, []) for item in runbook.environments if item.proof_step
    }
