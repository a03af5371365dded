"""Hybrid workers, their part in a drill: a captured estate for the simulated Azure, and where its protected settings are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from drkit.model.estate import Environment, Plan, Snapshot
from drkit.model.runbook import Step
from drkit.model.settings import Settings
from drkit.products.hybrid_worker.plan import stand_ins

NAME = "hybrid-worker"


class HybridWorkerRehearsal:
    """What the drill asks of this product."""

    def seed(self, snapshot: Snapshot) -> Mapping[str, Any]:
        accounts = [plan for plan in snapshot.plans if plan.product == NAME]
        on_hosts: dict[str, Any] = {}
        for worker in snapshot.environments:
            held = worker.settings.get("extension") if worker.product == NAME else None
            if held and worker.host:
                on_hosts[worker.host.host] = {"extensions": [_extension(held)], "vm": {"identity": True}}
        candidates = {account.id: stand_ins(account, accounts, Settings()) for account in accounts}
        replicas = {account: others[0].id for account, others in candidates.items() if len(others) == 1}
        return {
            "automation": [_account(account, snapshot) for account in accounts],
            "on_hosts": on_hosts,
            "settings": {"replicas": replicas} if replicas else {},
        }

    def settings(self, hints: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, str]]:
        """A rehearsal's machines have no protected settings but those that its seed tells of."""
        protected = hints.get("protected_settings") or {}
        names = {host: f"DRKIT_DRILL_PROTECTED_{number}" for number, host in enumerate(protected)}
        lines = [f"[products.{NAME}]", 'protected_settings = "none"']
        if replicas := hints.get("replicas"):
            lines += ["", f"[products.{NAME}.replicas]"]
            lines += [f"{json.dumps(account)} = {json.dumps(other)}" for account, other in replicas.items()]
        if names:
            lines += ["", f"[products.{NAME}.protected]"]
            lines += [f"{json.dumps(host)} = {json.dumps(f'env:{name}')}" for host, name in names.items()]
        return [*lines, ""], {names[host]: json.dumps(value) for host, value in protected.items()}

    def by_hand(self, step: Step, environment: Environment) -> Sequence[tuple[str, Mapping[str, Any]]]:
        return ()


def _account(plan: Plan, snapshot: Snapshot) -> dict[str, Any]:
    groups = dict(plan.properties.get("workerGroups") or {})
    workers = [worker for worker in snapshot.environments if worker.plan_key == plan.id and worker.host]
    url = str(plan.properties.get("automationHybridServiceUrl", ""))
    made: dict[str, Any] = {
        "id": plan.id,
        "location": plan.region,
        "tags": plan.tags,
        "identity": "SystemAssigned" in str((plan.properties.get("identity") or {}).get("type", "")),
        "assets": {kind: {name: {} for name in names} for kind, names in (plan.properties.get("holds") or {}).items()},
        "groups": [
            {
                "name": name,
                "credential": credential,
                "workers": [
                    {"id": worker.id, "machine": worker.host.host}
                    for worker in workers
                    if worker.host and str(worker.settings.get("group", "")).lower() == name.lower()
                ],
            }
            for name, credential in groups.items()
        ],
    }
    return made | ({"account_id": url.rstrip("/").rsplit("/", 1)[-1]} if url else {})


def _extension(held: Mapping[str, Any]) -> dict[str, Any]:
    properties = held.get("properties") or {}
    return {
        "name": held["name"],
        "publisher": properties.get("publisher", ""),
        "type": properties.get("type", ""),
        "version": properties.get("typeHandlerVersion", "1.1"),
        "settings": properties.get("settings") or {},
    }
