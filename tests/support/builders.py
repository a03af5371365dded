"""Small estates for tests of what decides: a plan or two, their environments and hosts, and what was found that night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drkit.model.cloud import CloudMark
from drkit.model.estate import (
    ArmIdentity,
    Assessment,
    Baseline,
    Claim,
    Environment,
    GuestIdentity,
    Host,
    HostFinding,
    HostLink,
    Plan,
    PlanFinding,
    Snapshot,
    TargetFacts,
)
from drkit.model.runbook import Runbook
from drkit.model.settings import Settings
from drkit.planning import failover
from drkit.planning.runbook_builder import Provenance
from drkit.products import registry

SUBSCRIPTION = "5a1c0000-0000-4000-8000-000000000001"
MARK = CloudMark("https://management.azure.com", "tenant")
LOST, TARGET, OTHER = "westeurope", "eastus", "southeastasia"
TIME = "2026-03-01T08:00:00Z"
SKUS = ("basicLinux", "standardLinux", "premiumLinux")


def a_plan(
    name: str = "dev", region: str = LOST, group: str = "rg", subscription: str = SUBSCRIPTION, **more: Any
) -> Plan:
    path = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.VSOnline/plans/{name}"
    fields: dict[str, Any] = {
        "id": path,
        "product": "codespaces",
        "name": name,
        "region": region,
        "subscription": subscription,
        "resource_group": group,
        "group_region": region,
    }
    return Plan(**(fields | more))


def managed(name: str, plan: Plan, **more: Any) -> Environment:
    fields: dict[str, Any] = {
        "id": f"id-{plan.resource_group}-{plan.name}-{name}",
        "product": "codespaces",
        "plan": plan.id,
        "name": name,
        "kind": "managed",
        "state": "Available",
        "owner": "ada",
        "repository": f"https://example.org/{name}",
        "branch": "main",
        "sku": "standardLinux",
        "data_at_risk": "pushed",
    }
    return Environment(**(fields | more))


def a_vm(name: str, region: str = OTHER, **more: Any) -> Host:
    fields: dict[str, Any] = {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hosts/providers/Microsoft.Compute/virtualMachines/{name}",
        "kind": "azure-vm",
        "name": name,
        "region": region,
        "group_region": region,
        "os": "linux",
        "channel": "run-command",
        "baseline": Baseline(
            ArmIdentity(instance_id="11111111-2222-4333-8444-555555555555"),
            TIME,
            GuestIdentity(machine_id="0123456789abcdef", ssh_host_keys=("SHA256:key",)),
            TIME,
        ),
    }
    return Host(**(fields | more))


def hosted(name: str, plan: Plan, host: Host | None, **more: Any) -> Environment:
    link = HostLink(host.id, "probe", "dev", "/srv/work", "/home/dev/.vsonline/environment.json") if host else None
    fields: dict[str, Any] = {"kind": "self-hosted", "repository": "", "branch": "", "sku": "", "host": link}
    return managed(name, plan, **(fields | more))


def a_snapshot(
    plans: Sequence[Plan] = (), environments: Sequence[Environment] = (), hosts: Sequence[Host] = (), **more: Any
) -> Snapshot:
    fields: dict[str, Any] = {"cloud": MARK, "taken": TIME}
    return Snapshot(plans=tuple(plans), environments=tuple(environments), hosts=tuple(hosts), **(fields | more))


def state_of(plan: Plan, state: str, **more: Any) -> PlanFinding:
    return PlanFinding(plan.id, state, f"it is {state}", **more)  # type: ignore[arg-type]


def verdict(
    host: Host, outcome: str = "no-failover", confidence: str = "high", reason: str = "", **more: Any
) -> HostFinding:
    return HostFinding(host.id, outcome, confidence, 33, reason, **more)


def facts(region: str = TARGET, subscription: str = SUBSCRIPTION, **more: Any) -> TargetFacts:
    fields: dict[str, Any] = {
        "product": "codespaces",
        "subscription": subscription,
        "region": region,
        "answering": True,
        "provider": "Registered",
        "offered": True,
        "skus": SKUS,
        "cores_left": 1000,
        "plans_in_subscription": 1,
    }
    return TargetFacts(**(fields | more))


def an_assessment(
    plans: Sequence[PlanFinding] = (),
    hosts: Sequence[HostFinding] = (),
    targets: Sequence[TargetFacts] = (),
    **more: Any,
) -> Assessment:
    fields: dict[str, Any] = {"cloud": MARK, "taken": TIME, "lost_regions": (LOST,)}
    return Assessment(plans=tuple(plans), hosts=tuple(hosts), targets=tuple(targets), **(fields | more))


def a_claim(region: str = LOST, since: str = TIME) -> Claim:
    return Claim(region, "service-health", "BC_1-FXZ", since, "outage", "Microsoft", ("Virtual Machines",))


def some_settings(*targets: str, **more: Any) -> Settings:
    return Settings(targets=list(targets) or [TARGET], **more)


def make(snapshot: Snapshot, assessment: Assessment, settings: Settings | None = None, **more: Any) -> Runbook:
    """The runbook, with everything said about its making held still."""
    made_from = Provenance(snapshot_digest="s" * 64, assessment_digest="a" * 64, cloud=MARK, drkit_version="0")
    return failover.recovery_runbook(snapshot, assessment, settings or some_settings(), registry(), made_from, **more)


def one_lost(*environments: Environment, plan: Plan | None = None, hosts: Sequence[Host] = (), **more: Any) -> Runbook:
    """The failover of one lost plan with these environments; every host untouched."""
    home = plan or a_plan()
    return make(
        a_snapshot([home], environments, hosts),
        an_assessment([state_of(home, "lost")], [verdict(host) for host in hosts], [facts()]),
        **more,
    )
