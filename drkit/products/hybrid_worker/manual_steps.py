"""Hybrid workers: what a person types where drkit cannot, and what stays behind. Pure."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from drkit.model.estate import Environment
from drkit.model.ids import ArmId
from drkit.model.runbook import LeftAlone
from drkit.planning.proposal import Chain, Proposal, granted_again

PUBLISHER = "Microsoft.Azure.Automation.HybridWorker"
URL = "AutomationAccountURL"
EXTENSION = "HybridWorkerExtension"
TYPES = frozenset({"HybridWorkerForLinux", "HybridWorkerForWindows"})
KINDS = {
    "runbooks": "runbooks",
    "modules": "modules",
    "connections": "connections",
    "credentials": "credentials",
    "certificates": "certificates",
    "variables": "variables",
    "schedules": "schedules",
    "jobSchedules": "links of schedules to runbooks",
    "python2Packages": "Python 2 packages",
    "python3Packages": "Python 3 packages",
}


def worker_id(account: str, machine: str) -> str:
    """The id of a machine's worker in an account: always the same, so that adding it twice adds it once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{account.lower()}|{machine.lower()}"))


def commands(machine: str, held: Mapping[str, Any], account: str) -> list[str]:
    """What a person types: the address, the extension off, and on again. The extension's own resource, never the old account."""
    properties = held.get("properties") or {}
    kind = str(properties.get("type", "")) or "HybridWorkerForLinux"
    name = str(held.get("name", "")) or EXTENSION
    settings = {**(properties.get("settings") or {}), URL: "ADDRESS"}
    group, short = ArmId(machine).resource_group, machine.rsplit("/", 1)[-1]
    arc = "/microsoft.hybridcompute/" in machine.lower()
    version = str(properties.get("typeHandlerVersion", "")) or "1.1"
    told = ["--settings", json.dumps(settings, sort_keys=True)]
    show = ["az", "resource", "show", "--ids", account, "--query", "properties.automationHybridServiceUrl", "-o", "tsv"]
    where = ["-g", group, "--machine-name" if arc else "--vm-name", short]
    base = ["az", "connectedmachine" if arc else "vm", "extension"]
    subscription = ["--subscription", ArmId(machine).subscription]
    if arc:
        off = [*base, "delete", *where, "-n", name, "--yes", *subscription]
        on = [*base, "create", *where, "-n", name, "--publisher", PUBLISHER, "--type", kind]
        on += ["--type-handler-version", version, *told, "--protected-settings", "@protected.json", *subscription]
    else:
        off = [*base, "delete", *where, "-n", name, *subscription]
        on = [*base, "set", *where, "-n", kind, "--extension-instance-name", name, "--publisher", PUBLISHER]
        on += ["--version", version, *told, "--protected-settings", "@protected.json", *subscription]
    return [f"{shlex.join(show)}   # the ADDRESS below", shlex.join(off), shlex.join(on)]


def lacking(proposal: Proposal) -> list[LeftAlone]:
    """What the other account does not have of what this one has."""
    plan, target = proposal.plan, proposal.target
    if target is None:
        return []
    there = (proposal.standing.properties.get("holds") if proposal.standing else None) or {}
    left = []
    for kind, words in KINDS.items():
        ours = (plan.properties.get("holds") or {}).get(kind) or ()
        known = {str(name).lower() for name in there.get(kind) or ()}
        missing = [str(name) for name in ours if kind == "jobSchedules" or str(name).lower() not in known]
        if missing:
            what = f"{len(missing)} {words}" if kind == "jobSchedules" else f"{words}: {', '.join(missing)}"
            remedy = {
                "schedules": "make them again there, and disable them in the account left behind before it starts work again",
                "jobSchedules": "link them again there",
            }.get(kind, "import them from where they are kept; values of secrets cannot be read back")
            left.append(LeftAlone(plan.id, plan.name, f"{target.plan_name} lacks {what}", remedy))
    if proposal.kind == "failback":
        # It has its own identity, and its own grants, as before.
        return left
    identity = plan.properties.get("identity") or {}
    if identity.get("type"):
        principal = str(identity.get("principalId", ""))
        ask = (
            f"az role assignment list --all --assignee {shlex.quote(principal)}"
            if principal
            else "az role assignment list --all"
        )
        why = (
            f"its identity ({identity['type']}) is not carried over: what it was granted, {target.plan_name} needs anew"
        )
        left.append(LeftAlone(plan.id, plan.name, why, ask))
    return left + granted_again(proposal)


def record_of(account: str, environment: Environment) -> str:
    """The ARM id of a worker's record in an account."""
    group = environment.settings.get("group", "")
    return f"{account}/hybridRunbookWorkerGroups/{group}/hybridRunbookWorkers/{environment.id}"


def stale(chains: Sequence[Chain], proposal: Proposal) -> list[LeftAlone]:
    """Records that the lost account will still list when it returns."""
    left = []
    by_id = {item.environment.id: item.environment for item in proposal.items}
    for chain in chains:
        if not chain.steps:
            continue
        environment = by_id[chain.affected.environment]
        record = record_of(proposal.plan.id, environment)
        left.append(
            LeftAlone(
                record,
                environment.name,
                f"{proposal.plan.name} will list it still, when it returns, and `drkit cleanup RUN` proposes to delete it then. By "
                "hand, delete that record by REST and never in the portal, whose Delete takes the machine's extension too, which "
                "serves the other account by then",
                f"az rest --method delete --url {shlex.quote(f'{record}?api-version=2024-10-23')} && drkit assess",
            )
        )
    return left
