"""Good runbooks that have every action of every product between them, for tests of what each of them may do."""

from __future__ import annotations

from typing import Any

import msgspec

from drkit.model.estate import Deferred, Environment, HostLink, Leftover, Plan, PlanFinding, Zombie
from drkit.model.runbook import Runbook
from drkit.model.settings import ChannelSettings, Settings
from drkit.planning import cleanup
from drkit.planning.runbook_builder import Provenance
from drkit.products import registry
from tests.support.builders import (
    LOST,
    MARK,
    SUBSCRIPTION,
    TARGET,
    a_plan,
    a_snapshot,
    a_vm,
    an_assessment,
    facts,
    hosted,
    make,
    managed,
    one_lost,
    some_settings,
    state_of,
    verdict,
)

URL = "https://{}.jrds.we.azure-automation.net/automationAccounts/{}"
SECRETS = {"protected_settings": "none"}
MACHINE = a_vm("worker-1").id
ACCOUNT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Automation/automationAccounts/auto"


def an_account(name: str = "auto", region: str = LOST, **more: Any) -> Plan:
    properties = {
        "automationHybridServiceUrl": URL.format(name, name),
        "identity": {"type": "SystemAssigned", "principalId": "p" * 8},
        "workerGroups": {"ops": "runas"},
        "holds": {"credentials": ["runas"]},
        "publicNetworkAccess": True,
    }
    found = a_plan(name, region, product="hybrid-worker", properties=properties)
    fields: dict[str, Any] = {
        "id": found.id.replace("Microsoft.VSOnline/plans", "Microsoft.Automation/automationAccounts")
    }
    return msgspec.structs.replace(found, **(fields | more))


def an_extension(account: Plan, **more: Any) -> dict[str, Any]:
    properties = {
        "publisher": "Microsoft.Azure.Automation.HybridWorker",
        "type": "HybridWorkerForLinux",
        "typeHandlerVersion": "1.1",
        "autoUpgradeMinorVersion": True,
        "settings": {"AutomationAccountURL": account.properties["automationHybridServiceUrl"]},
    }
    return {"name": "HybridWorkerExtension", "location": "southeastasia", "properties": properties | more}


def a_worker(name: str, account: Plan, machine: str, **more: Any) -> Environment:
    fields: dict[str, Any] = {
        "id": f"id-{name}",
        "product": "hybrid-worker",
        "plan": account.id,
        "name": name,
        "kind": "self-hosted",
        "state": "Available",
        "host": HostLink(machine, "api"),
        "settings": {"group": "ops", "extension": an_extension(account)},
    }
    return Environment(**(fields | more))


def worker_settings(**more: Any) -> Settings:
    return some_settings(channels=ChannelSettings(azure_vm="run-command"), products={"hybrid-worker": SECRETS | more})


def workers_moved(extension: dict[str, Any] | None = None, own: Settings | None = None) -> Runbook:
    """A lost account with a worker that drkit moves, one that a person does, and no account prepared."""
    account = an_account()
    hosts = [a_vm("worker-1"), a_vm("worker-2")]
    workers = [a_worker(host.name, account, host.id) for host in hosts]
    workers[1] = msgspec.structs.replace(workers[1], settings={"group": "ops"})
    if extension is not None:
        workers[0] = msgspec.structs.replace(workers[0], settings={"group": "ops", "extension": extension})
    return make(
        a_snapshot([account], workers, hosts),
        an_assessment([state_of(account, "lost")], [verdict(host) for host in hosts], [facts(product="hybrid-worker")]),
        own or worker_settings(),
    )


def codespaces_moved() -> Runbook:
    """A lost plan with an environment to be created again, one on a host, and one that a person registers."""
    host = a_vm("box")
    return one_lost(
        managed("api", a_plan()), hosted("web", a_plan(), host), hosted("hand", a_plan(), None), hosts=[host]
    )


def _zombie(record: str, one: Environment, now: Environment, stay: Plan) -> Zombie:
    return Zombie(
        id=record, product=one.product, name=one.name, plan=one.plan, region=LOST, environment=one.id, state="alive",
        reason="it answers under the other plan", run="run-0001", run_kind="failover", found=one, now=now,
        now_plan=stay.id, confirmed=True,
    )  # fmt: skip


def cleaned(home: Plan, stay: Plan, old: Environment, now: Environment, record: str) -> Runbook:
    """A cleanup that deletes one record, what drkit made for it, and the group."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{stay.resource_group}"
    behind = Leftover(
        id=record, product=old.product, kind="record", name=old.name, plan=home.id, region=home.region, proof_steps=(),
        environment=old.id,
    )  # fmt: skip
    made = [
        Leftover(
            id=stay.id, product=old.product, kind="plan", name=stay.name, plan=stay.id, region=stay.region, proof_steps=(),
            source=home.id,
        ),
        Leftover(
            id=group, product="azure", kind="group", name=stay.resource_group, plan="", region=stay.region, proof_steps=(),
            source="run-0001",
        ),
    ]  # fmt: skip
    if old.product == "hybrid-worker":
        part = f"{stay.id}/hybridRunbookWorkerGroups/ops"
        made.insert(0, msgspec.structs.replace(made[0], id=part, kind="part", name="ops"))
    return cleanup.cleanup_runbook(
        a_snapshot([home, stay]),
        an_assessment(
            [PlanFinding(home.id, "answering", "it answers"), PlanFinding(stay.id, "answering", "it answers")],
            lost_regions=(), zombies=(_zombie(record, old, now, stay),), present=(), present_plans=(home, stay),
        ),
        some_settings(), registry(),
        Provenance(snapshot_digest="s", assessment_digest="a", cloud=MARK, drkit_version="0", run="run-0001"),
        deferred=[Deferred(behind=behind, run="run-0001", when="t")], made=made,
        recorded={record.lower(), *(one.id.lower() for one in made)}, discard={},
    )  # fmt: skip


def codespaces_cleaned() -> Runbook:
    home, stay = a_plan(), a_plan("stay", TARGET, "made")
    old = managed("api", home)
    return cleaned(home, stay, old, managed("api", stay, id="new-1"), old.id)


def workers_cleaned() -> Runbook:
    home, stay = (
        an_account(),
        an_account("stay", TARGET, id=ACCOUNT.replace("/rg/", "/made/") + "-stay", resource_group="made"),
    )
    old, now = (
        a_worker("worker-1", home, MACHINE, state="Unavailable"),
        a_worker("worker-1", stay, MACHINE, id="id-new"),
    )
    return cleaned(home, stay, old, now, f"{home.id}/hybridRunbookWorkerGroups/ops/hybridRunbookWorkers/{old.id}")


def every_book() -> list[Runbook]:
    return [codespaces_moved(), codespaces_cleaned(), workers_moved(), workers_cleaned()]
