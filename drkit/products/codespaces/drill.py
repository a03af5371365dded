"""Codespaces, its part in a drill: a captured estate for the embedded Azure, and people at their machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drkit.model.estate import Environment, Snapshot
from drkit.model.runbook import Step

NAME = "codespaces"


class CodespacesRehearsal:
    """What the drill asks of this product."""

    def seed(self, snapshot: Snapshot) -> Mapping[str, Any]:
        plans = [one for one in snapshot.plans if one.product == NAME]
        ours = [one for one in snapshot.environments if one.product == NAME]
        owners = sorted({one.owner for one in ours if one.owner})
        people = {owner: f"person{number}" for number, owner in enumerate(owners)}
        resources = []
        for plan in plans:
            made = {"id": plan.id, "location": plan.region, "tags": plan.tags, "properties": plan.properties}
            resources.append(made | ({"sku": plan.sku} if plan.sku else {}))
        return {
            "resources": resources,
            "environments": [_environment(one, snapshot) for one in ours],
            "people": [{"owner": one, "name": people[one], "ready_after": 60, "signs_in_after": 60} for one in owners],
            "on_hosts": {
                host.id: _on_host([one for one in ours if _is_on(one, host.id)], people) for host in snapshot.hosts
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
    for one in mine:
        link = one.host
        user = (link.user if link else "") or people.get(one.owner, "user")
        accounts[user] = {"home": f"/home/{user}", "person": one.owner}
        path = (link.path if link else "") or f"/home/{user}/.vsonline/environment.json"
        registrations.append({"id": one.id, "user": user, "path": path})
        folders.append((link.workspace if link else "") or one.workspace or f"/home/{user}")
    return {"accounts": accounts, "registrations": registrations, "folders": folders}


def _environment(one: Environment, snapshot: Snapshot) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": one.id,
        "friendlyName": one.name,
        "planId": one.plan,
        "ownerId": one.owner,
        "type": "cloudEnvironment" if one.kind == "managed" else "staticEnvironment",
        "state": one.state or "Available",
        "lastUsed": one.last_used or snapshot.taken,
    }
    if one.kind == "managed":
        moniker = f"{one.repository}/tree/{one.branch}" if one.branch else one.repository
        made |= {
            "seed": {"type": "git", "moniker": moniker},
            "skuName": one.sku or "standardLinux",
            "autoShutdownDelayMinutes": one.settings.get("autoShutdownDelayMinutes", 30),
        }
        if one.data_at_risk != "unknown":
            made["hasUnpushedGitChanges"] = one.data_at_risk == "unpushed"
    return made
