"""The end of a drill with ``--with-failback``: the region comes back, everything moves back, and what is left is cleaned up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from drkit.api import assess, cleanup, failback, status
from drkit.api import plan as plan_
from drkit.drills.scenario import Drill
from drkit.errors import DrkitError
from drkit.model.ids import ArmId
from drkit.model.text import plural, safe

WRITERS = {"failback": failback.failback, "cleanup": cleanup.cleanup}
"""By command: what writes its runbook."""


async def home(drill: Drill, runs: Sequence[str]) -> dict[str, Any]:
    """Walks the way back after these runs; what it claims at the end is the simulator's word. Adds ``returned`` to the result."""
    drill.say(f"{drill.region} returns.")
    await drill.control.post("restore", {"region": drill.region})
    await _look(drill)
    backs: list[str] = []
    for run in runs:
        if status.status(drill.context, run).runbook.kind == "failover":
            backs.extend(await _carry_out(drill, "failback", run))
    for run in backs:
        await _look(drill)
        await _carry_out(drill, "cleanup", run)
    state = await drill.control.get("state")
    stay = [resource for resource in state["resources"] if (resource.get("tags") or {}).get("drkit-source")]
    twice = answering_twice(state)
    drill.line(
        f"by the simulator's record: {twice} hosts answer to two plans, {plural(len(stay), 'plan')} made for the outage left"
    )
    return {"failbacks": backs, "answering_twice": twice, "left": sorted(resource["id"] for resource in stay)}


async def _look(drill: Drill) -> None:
    drill.command("assess")
    assessed, _, _ = await assess.assess(drill.context)
    states = Counter(plan.state for plan in assessed.plans)
    alive = sum(record.state == "alive" for record in assessed.zombies)
    drill.line(
        f"plans: {', '.join(f'{number} {word}' for word, number in states.items())}; left behind and alive: {alive}"
    )


async def _carry_out(drill: Drill, command: str, run: str) -> list[str]:
    """Propose, approve, apply; the run, or none where there is nothing to do."""
    drill.command(f"{command} {run}")
    try:
        planned = WRITERS[command](drill.context, run)
    except DrkitError as error:
        drill.line(safe(str(error), 300))
        return []
    drill.told_of(planned)
    plan_.approve(drill.context, planned.digest)
    drill.command(f"approve {planned.digest[:12]} && drkit apply {planned.digest[:12]}")
    return [await drill.attend("apply", planned.digest, planned.runbook)]


def answering_twice(state: Mapping[str, Any]) -> int:
    """How many hosts answer to more than one plan of a kind: a machine may well serve two kinds."""
    plans: dict[tuple[ArmId, str], set[ArmId]] = {}
    for environment in state["environments"]:
        if environment["type"] == "staticEnvironment" and environment["state"] == "Available":
            for host in environment["hosts"]:
                plans.setdefault((ArmId(host), _kind(environment["plan"])), set()).add(ArmId(environment["plan"]))
    for account in state["automation"]:
        for worker in account["workers"]:
            if worker["reports"]:
                plans.setdefault((ArmId(worker["machine"]), _kind(account["id"])), set()).add(ArmId(account["id"]))
    return sum(len(answering) > 1 for answering in plans.values())


def _kind(plan: str) -> str:
    """The type of a plan: a machine may serve a plan of each type."""
    return plan.lower().partition("/providers/")[2].rpartition("/")[0]
