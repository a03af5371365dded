"""Codespaces, its part in a drill: a captured estate for the simulated Azure, and people at their machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drkit.model.estate import Environment, Snapshot
from drkit.model.runbook import Step

NAME = "codespaces"


class CodespacesRehearsal:
    """What the drill asks of this product."""

    def seed(self, snapshot: Snapshot) -> Mapping[str, Any]:
        plans = [plan for plan in snapshot.plans if plan.product == NAME]
        ours = [environment for environment in snapshot.environments if environment.product == NAME]
        owners = sorted({environment.owner for environment in ours if environment.owner})
        people = {owner: f"person{number}" for number, owner in enumerate(owners)}
        resources = []
        for plan in plans:
            made = {"id": plan.id, "location": plan.region, "tags": plan.tags, "properties": plan.properties}
            resources.append(made | ({"sku": plan.sku} if plan.sku else {}))
        return {
            "resources": resources,
            "environments": [_environment(environment, snapshot) for environment in ours],
            "people": [
                {"owner": owner, "name": people[owner], "ready_after": 60, "signs_in_after": 60} for owner in owners
            ],
            "on_hosts": {
                host.id: _on_host([environment for environment in ours if _is_on(environment, host.id)], people)
                for host in snapshot.hosts
            },
        }

    def settings(self, hints: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, str]]:
        return (), {}

    def by_hand(self, step: Step, environment: Environment) -> Sequence[tuple[str, Mapping[str, Any]]]:
        link = environment.host
        return (
            ("host", {"id": step.host, "event": "codespaces-stop", "force": True}),
            (
                "host",
                {
                    "id": step.host,
                    "event": "codespaces-start",
                    "user": link.user if link else "",
                    "plan": step.inputs["plan"],
                    "name": environment.name,
                    "workspace": (link.workspace if link else "") or environment.workspace,
                },
            ),
        )


def _is_on(environment: Environment, host: str) -> bool:
    return environment.host is not None and environment.host.host.lower() == host.lower()


def _on_host(mine: Sequence[Environment], people: Mapping[str, str]) -> dict[str, Any]:
    accounts, registrations, folders = {}, [], []
    for environment in mine:
        link = environment.host
        user = (link.user if link else "") or people.get(environment.owner, "user")
        accounts[user] = {"home": f"/home/{user}", "person": environment.owner}
        path = (link.path if link else "") or f"/home/{user}/.vsonline/environment.json"
        registrations.append({"id": environment.id, "user": user, "path": path})
        folders.append((link.workspace if link else "") or environment.workspace or f"/home/{user}")
    return {"accounts": accounts, "registrations": registrations, "folders": folders}


def _environment(environment: Environment, snapshot: Snapshot) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": environment.id,
        "friendlyName": environment.name,
        "planId": environment.plan,
        "ownerId": environment.owner,
        "type": "cloudEnvironment" if environment.kind == "managed" else "staticEnvironment",
        "state": environment.state or "Available",
        "lastUsed": environment.last_used or snapshot.taken,
    }
    if environment.kind == "managed":
        moniker = (
            f"{environment.repository}/tree/{environment.branch}" if environment.branch else environment.repository
        )
        made |= {
            "seed": {"type": "git", "moniker": moniker},
            "skuName": environment.sku or "standardLinux",
            "autoShutdownDelayMinutes": environment.settings.get("autoShutdownDelayMinutes", 30),
        }
        if environment.data_at_risk != "unknown":
            made["hasUnpushedGitChanges"] = environment.data_at_risk == "unpushed"
    return made
