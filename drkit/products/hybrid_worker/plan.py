"""Hybrid workers, the pure half: which steps bring an account's workers up under another account, or a host back to its own.

The order is the documentation's (automation-disaster-recovery), but for one thing: the worker is added to its new account
before the extension is taken off, so that an account that refuses it costs nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from drkit.model import host_scripts
from drkit.model.estate import Environment, Host, Plan
from drkit.model.ids import ArmId, slug
from drkit.model.runbook import Affected, Estimate, LeftAlone, Precondition, Step
from drkit.model.settings import Settings
from drkit.planning.proposal import (
    TAG_SOURCE,
    TAG_TARGET,
    Chain,
    Item,
    Need,
    Proposal,
    Proposed,
    granted_again,
    identity_change,
    made_for,
    record_behind,
    replica_of,
)
from drkit.products.hybrid_worker import plan_cleanup
from drkit.products.hybrid_worker.actions import fits, source_of
from drkit.products.hybrid_worker.settings import (
    EXTENSION,
    NAME,
    PUBLISHER,
    SERVICE,
    URL,
    record_of,
    settings_of,
    worker_id,
)

PLAN_TYPES = ("Microsoft.Automation/automationAccounts",)
IS = {
    False: "was prepared",
    True: "answers again; schedules of both must not fire twice: disable those of the one left",
}
CHAIN = ("new-plan", "successor", "same-plan")
CARRIES, NONE = "carries", "none"
"""Of a captured worker: the address that its machine's extension names, where that is not its own account's; none without one."""
CONTENTS = {
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
"""What an account holds beside its workers, and how it is called."""


def need(_environments: Sequence[Environment]) -> Need:
    """Workers need nothing of a region but Automation."""
    return Need()


def stand_ins(plan: Plan, candidates: Sequence[Plan], settings: Settings) -> list[Plan]:
    """The account named for this one in drkit.toml; else those of its subscription whose tags say that they may take over.

    Whoever may write to one account may tag it, so a tag wins over no other: of two in one region none is taken.
    """
    others = [candidate for candidate in candidates if candidate.key != plan.id and candidate.region != plan.region]
    near = [candidate for candidate in others if candidate.subscription.lower() == plan.subscription.lower()]
    made = made_for(plan, near)
    if wanted := replica_of(plan.id, settings_of(settings).replicas):
        # Where the one that is named is not there, drkit makes one, and knows it again.
        return [candidate for candidate in others if candidate.key == wanted] or made
    return made + [
        candidate
        for candidate in near
        if candidate.tags.get(TAG_TARGET, "").lower() == "true" and TAG_SOURCE not in candidate.tags
    ]


def propose(proposal: Proposal) -> Proposed:
    """The account's own steps and its worker groups, then one chain a worker."""
    if proposal.kind == "cleanup":
        return plan_cleanup.propose(proposal)
    plan, target = proposal.plan, proposal.target
    account = target.plan_id if target else plan.id
    region = target.region if target else plan.region
    plan_steps = list(_account_steps(proposal, account, region))
    ready = plan_steps[-1].id
    groups: dict[str, str] = {}
    for item in proposal.items:
        name = str(item.environment.settings.get("group", ""))
        if name and name.lower() not in groups and item.disposition in (*CHAIN, "person"):
            step = _group(proposal, account, region, name, ready)
            groups[name.lower()] = step.id
            plan_steps.append(step)
    chains = tuple(_chain(proposal, item, account, groups) for item in proposal.items)
    used = any(step.action == "reach" for chain in chains for step in chain.steps)
    scripts = {"reach": host_scripts.load("reach").sha256} if used else {}
    returning = proposal.kind == "failback"
    unchanged = [*lacking(proposal), *(() if returning else stale(chains, proposal))] if target else []
    notes = (
        (f"{plan.name}: its workers {'go back' if returning else 'move'} to {target.plan_name}, which {IS[returning]}",)
        if proposal.existing_target and target
        else ()
    )
    return Proposed(tuple(plan_steps), chains, tuple(unchanged), notes, scripts)


# the account


def _account_steps(proposal: Proposal, account: str, region: str) -> tuple[Step, ...]:
    plan, target = proposal.plan, proposal.target
    handle = slug(plan.name, plan.id)
    name = account.rsplit("/", 1)[-1]
    made = target is not None and not target.plan_exists
    verify = Step(
        id=f"{NAME}:{handle}:verify-plan",
        product=NAME,
        action="verify-plan",
        target=account,
        title=f"see that {name} answers in {region}",
        reason="no worker is added to an account whose own regional service does not answer",
        effect="verify",
        estimate=Estimate(2, 3.0),
        needs=(f"{NAME}:{handle}:create-plan",) if made else (),
        inputs=identity_change(proposal),
        preconditions=_still_lost(proposal) if proposal.kind == "failback" else (),
        criticality="critical",
        plan=plan.id,
        region=region,
    )
    if not made or target is None:
        return (verify,)
    carried_over = {
        key: plan.properties[key] for key in ("publicNetworkAccess", "disableLocalAuth") if key in plan.properties
    }
    body: dict[str, Any] = {
        "location": region,
        "tags": dict(plan.tags),
        "properties": {"sku": {"name": "Basic"}, **carried_over},
    }
    if "SystemAssigned" in str((plan.properties.get("identity") or {}).get("type", "")):
        body["identity"] = {"type": "SystemAssigned"}
    create = Step(
        id=f"{NAME}:{handle}:create-plan",
        product=NAME,
        action="create-plan",
        target=account,
        title=f"create Automation account {name} in {region}",
        reason=f"{plan.name} {'leaves' if proposal.graceful else 'is lost with'} {plan.region}, and no replica is prepared",
        effect="create",
        estimate=Estimate(2, 10.0),
        needs=(target.group_step,) if target.group_step else (),
        inputs={"body": body, "source": plan.id},
        preconditions=(Precondition(account, "exists", False, "ARM: Automation account"), *_still_lost(proposal)),
        criticality="critical",
        plan=plan.id,
        region=region,
    )
    return (create, verify)


def _group(proposal: Proposal, account: str, region: str, name: str, ready: str) -> Step:
    plan = proposal.plan
    groups = plan.properties.get("workerGroups") or {}
    credential = str(next((value for key, value in groups.items() if key.lower() == name.lower()), ""))
    standing = (proposal.existing_target or plan).properties.get("holds") or {}
    if proposal.target and credential not in standing.get("credentials", ()):
        credential = ""
    return Step(
        id=f"{NAME}:{slug(name, f'{plan.id}/{name}')}:create-group",
        product=NAME,
        action="create-group",
        target=f"{account}/hybridRunbookWorkerGroups/{name}",
        title=f"have worker group {name} in {account.rsplit('/', 1)[-1]}",
        reason="jobs name the group they run on",
        effect="create",
        estimate=Estimate(2, 2.0),
        needs=(ready,),
        inputs={"body": {"properties": {"credential": {"name": credential}}} if credential else {}},
        preconditions=_still_lost(proposal),
        plan=plan.id,
        region=region,
    )


def _still_lost(proposal: Proposal) -> tuple[Precondition, ...]:
    """What must hold just before: the account left is lost still; on the way back, the account gone back to answers still."""
    if not proposal.target or proposal.graceful:
        return ()
    if proposal.kind == "failback":
        return (Precondition(proposal.target.plan_id, "answers", "yes", SERVICE),)
    return (Precondition(proposal.plan.id, "answers", "no", SERVICE),)


# one worker


def _chain(proposal: Proposal, item: Item, account: str, groups: Mapping[str, str]) -> Chain:
    steps: tuple[Step, ...] = ()
    why = ""
    if item.disposition in (*CHAIN, "person"):
        why = _in_the_way(proposal, item)
        if not why:
            steps = _steps(proposal, item, account, groups)
    environment = item.environment
    remedy = {
        "lost": "; until it is in a healthy region again",
        "start": "; start it, then assess and plan again",
        "wait": "; assess again in a few minutes",
    }.get(item.disposition, "")
    affected = Affected.of(
        environment,
        "wait" if why else item.disposition,
        f"{item.reason}; {why}" if why else item.reason + remedy,
        verdict=item.verdict,
        host=item.host.id if item.host else "",
        proof_step=steps[-1].id if steps else "",
    )
    # Back on the same account the record is the worker's own, and stays.
    record = record_of(proposal.plan.id, environment)
    behind = (record_behind(NAME, record, item, proposal.plan, steps[-1].id),) if steps and proposal.target else ()
    return Chain(affected, steps, any(step.effect == "ask" for step in steps), behind)


def _in_the_way(proposal: Proposal, item: Item) -> str:
    """Why ARM cannot do both halves, as far as the plan can tell; the steps look again."""
    host = item.host
    if host is None:
        return ""
    if host.kind not in ("azure-vm", "arc"):
        return "only Azure VMs and Arc machines have extensions"
    dead = {region for region in (host.region, host.group_region) if region in proposal.avoid_regions}
    if dead:
        return f"its machine or its resource group is in {', '.join(sorted(dead))}: ARM could not install the extension again"
    return ""


def _steps(proposal: Proposal, item: Item, account: str, groups: Mapping[str, str]) -> tuple[Step, ...]:
    environment, host, own = item.environment, item.host, settings_of(proposal.settings)
    plan = proposal.plan
    handle = slug(environment.name, environment.id)
    group = str(environment.settings.get("group", ""))
    name = account.rsplit("/", 1)[-1]
    ready = groups.get(group.lower(), "")
    shared: dict[str, Any] = {
        "environment": environment.id,
        "plan": plan.id,
        "host": host.id if host else "",
        "confidence": item.confidence,
    }
    region = proposal.target.region if proposal.target else plan.region
    machine = host.id if host else (environment.host.host if environment.host else "")
    held: dict[str, Any] = dict(environment.settings.get("extension") or {})
    # Which account the look before each step asks whether it answers.
    asked = proposal.existing_target if proposal.kind == "failback" and proposal.existing_target else plan
    inputs = {
        "account": account,
        "group": group,
        "machine": machine,
        "worker": worker_id(account, machine),
        "source_url": str(asked.properties.get("automationHybridServiceUrl", "")),
    }
    add = Step(
        id=f"{NAME}:{handle}:add",
        product=NAME,
        action="add",
        target=environment.id,
        title=f"add {environment.name} to group {group} of {name}",
        reason=_order(own.if_refused, environment.name),
        effect="create",
        estimate=Estimate(3, 3.0),
        needs=(ready,) if ready else (),
        inputs={**inputs, "if_refused": own.if_refused},
        preconditions=_still_lost(proposal),
        region=region,
        **shared,
    )
    own_kind = fits(held)
    known = host is not None and host.baseline.arm is not None and bool(host.baseline.arm.instance_id)
    by_drkit = known and item.disposition in CHAIN and bool(held) and own_kind
    source = source_of(own, host.id, held) if host else "ask"
    if not by_drkit or source == "ask" or host is None:
        why = (
            "which protected settings it has cannot be read back, and drkit.toml names no source for them"
            if by_drkit
            else "what is recorded as its extension is not the hybrid worker's as the documentation installs it"
            if held and not own_kind
            else "its machine or its extension could not be seen, so a person looks first"
        )
        ask = _by_hand(proposal, item, account, held if own_kind else {}, add.id, why)
        verify = _verify(proposal, item, inputs, ask.id, shared, region)
        return (add, ask, *verify) if machine else (ask,)
    steps = [add]
    tried = "not tried from the host"
    if item.channel == "run-command" and host.kind == "azure-vm" and host.os != "windows":
        tried = "tried from the host"
        steps.append(
            Step(
                id=f"{NAME}:{handle}:reach",
                product=NAME,
                action="reach",
                target=host.id,
                title=f"reach {name} from {host.name}",
                reason="a host is released only after the target was reached from it",
                effect="verify",
                estimate=Estimate(4, 25.0),
                needs=(steps[-1].id,),
                inputs={**inputs, "account_step": _account_step(plan)},
                preconditions=_fit(host)[:1],
                **shared,
            )
        )
    release = Step(
        id=f"{NAME}:{handle}:release",
        product=NAME,
        action="release",
        target=environment.id,
        title=f"take the extension of {plan.name} off {host.name}",
        reason=f"{item.reason}; its settings are in this runbook, to be installed again ({tried})",
        effect="release",
        estimate=Estimate(9, 60.0),
        needs=(steps[-1].id,),
        inputs={**inputs, "extension": held, "protected": source, "account_step": _account_step(plan)},
        preconditions=(
            *_still_lost(proposal),
            *_fit(host),
            Precondition(host.id, "identity", True, "ARM: machine"),
            Precondition(host.id, "may-change-extensions", True, "ARM: permissions"),
            *_served(host, held),
        ),
        region=host.region,
        **shared,
    )
    register = Step(
        id=f"{NAME}:{handle}:register",
        product=NAME,
        action="register",
        target=environment.id,
        title=f"install the extension of {name} on {host.name}",
        reason=f"{item.reason}; the settings recorded, only the account's address is another one",
        effect="register",
        estimate=Estimate(8, 130.0),
        needs=(release.id,),
        inputs={
            **inputs,
            "extension": held,
            "protected": source,
            "account_step": _account_step(plan),
            "added_by": add.id,
        },
        preconditions=(*(_still_lost(proposal) if proposal.kind == "failback" else ()), *_fit(host)),
        region=host.region,
        **shared,
    )
    return (*steps, release, register, *_verify(proposal, item, inputs, register.id, shared, region))


def _served(host: Host, held: Mapping[str, Any]) -> tuple[Precondition, ...]:
    """It still serves the account it served: what somebody else changed since is not taken off."""
    named = str(((held.get("properties") or {}).get("settings") or {}).get(URL, ""))
    return (Precondition(host.id, "serves", named, "ARM: extension"),) if named else ()


def _order(if_refused: str, name: str) -> str:
    first = "first the worker, then the extension: while the account refuses it nothing is taken off"
    if if_refused == "stop":
        return f"{first}; if it refuses because of the old extension, {name} stays as it is"
    return f"{first}; if it refuses because of the old extension, that is taken off first ([products.hybrid-worker] if_refused)"


def _account_step(plan: Plan) -> str:
    return f"{NAME}:{slug(plan.name, plan.id)}:verify-plan"


def _fit(host: Host) -> tuple[Precondition, ...]:
    """Itself, running, its agent ready: ARM can do both halves."""
    arm = host.baseline.arm
    same = (Precondition(host.id, "instance_id", arm.instance_id, "ARM: machine"),) if arm and arm.instance_id else ()
    return (
        *same,
        Precondition(host.id, "running", True, "ARM: machine"),
        Precondition(host.id, "agent", "ready", "ARM: machine"),
    )


def _verify(
    proposal: Proposal, item: Item, inputs: Mapping[str, Any], need_id: str, shared: Mapping[str, Any], region: str
) -> tuple[Step, Step]:
    environment, own = item.environment, settings_of(proposal.settings)
    handle = slug(environment.name, environment.id)
    name = str(inputs["account"]).rsplit("/", 1)[-1]
    common: dict[str, Any] = {
        "product": NAME,
        "target": environment.id,
        "effect": "verify",
        "estimate": Estimate(4, 40.0),
        "region": region,
        **shared,
    }
    first = Step(
        id=f"{NAME}:{handle}:verify",
        action="verify",
        title=f"see that {name} was reported to by {environment.name} since the move",
        reason="success is the account's last-seen time, never the extension's state",
        needs=(need_id,),
        inputs={**inputs, "after": need_id, "added_by": f"{NAME}:{handle}:add", "minutes": own.verify_minutes},
        **common,
    )
    again = Step(
        id=f"{NAME}:{handle}:verify-again",
        action="verify-again",
        title=f"see that {environment.name} still reports to {name}",
        reason="one report may be the last one",
        needs=(first.id,),
        inputs={**inputs, "after": first.id, "added_by": f"{NAME}:{handle}:add", "minutes": own.verify_minutes},
        **common,
    )
    return first, again


# by hand


def _by_hand(proposal: Proposal, item: Item, account: str, held: Mapping[str, Any], add: str, why: str) -> Step:
    environment, host = item.environment, item.host
    machine = host.id if host else (environment.host.host if environment.host else "")
    return Step(
        id=f"{NAME}:{slug(environment.name, environment.id)}:by-hand",
        product=NAME,
        action="by-hand",
        target=environment.id,
        title=f"somebody installs the extension of {account.rsplit('/', 1)[-1]} on {environment.name}",
        reason=f"{item.reason}; {why}",
        effect="ask",
        estimate=Estimate(0, 900.0),
        needs=(add,) if machine else (),
        inputs={
            "commands": commands(machine, held, account) if machine else [],
            "see_first": _see_first(item),
            "host": environment.name,
            "owner": environment.owner,
        },
        environment=environment.id,
        plan=proposal.plan.id,
        host=host.id if host else "",
    )


def _see_first(item: Item) -> list[str]:
    host = item.host
    if host is None:
        return [
            f"which machine {item.environment.name} is: {item.environment.host.host if item.environment.host else 'unknown'}"
        ]
    arm = host.baseline.arm
    known = [f"SMBIOS UUID {arm.instance_id}"] if arm and arm.instance_id else []
    return [f"machine {host.id}", *known]


def settings_lines(plans: Sequence[Plan], environments: Sequence[Environment]) -> list[str]:
    """What drkit.toml should say of these accounts, with what was found as comments."""
    ours = [account for account in plans if account.product == NAME]
    workers = [environment for environment in environments if environment.product == NAME]
    if not workers:
        return []
    lines = [
        '# Protected settings of a worker\'s extension cannot be read back. Of each host: "none" when it has none,',
        '# "env:NAME" or "file:PATH" where a JSON object holds them, "ask": a person installs it. For those not named below:',
        '#protected_settings = "ask"',
        '# What to do when the other account refuses a machine for its old extension: "stop", or "extension-first".',
        '#if_refused = "stop"',
        "",
        f"#[products.{NAME}.protected]",
    ]
    lines += [
        f'#{json.dumps(worker.name)} = "ask"' for worker in sorted(workers, key=lambda worker: worker.name.lower())
    ]
    lines += [
        "",
        "# Which account takes over from which. One that has the tag drkit-target = true, and is not named here, is used",
        "# only if the person who approves the runbook names it too: `drkit approve DIGEST --target ARM_ID`.",
    ]
    lines.append(f"#[products.{NAME}.replicas]")
    for plan in ours:
        others = stand_ins(plan, ours, Settings())
        if any(worker.plan_key == plan.id for worker in workers):
            lines.append(
                f"#{json.dumps(plan.name)} = {json.dumps(others[0].id if others else 'ARM ID OF THE OTHER ACCOUNT')}"
            )
    return lines


def commands(machine: str, held: Mapping[str, Any], account: str) -> list[str]:
    """What a person types: the address, the extension off, and on again. The extension's own resource, never the old account."""
    properties = held.get("properties") or {}
    kind = str(properties.get("type", "")) or "HybridWorkerForLinux"
    name = str(held.get("name", "")) or EXTENSION
    settings = {**(properties.get("settings") or {}), URL: "ADDRESS"}
    group, short = ArmId(machine).resource_group, machine.rsplit("/", 1)[-1]
    arc = "/microsoft.hybridcompute/" in machine.lower()
    version = str(properties.get("typeHandlerVersion", "")) or "1.1"
    public_settings = ["--settings", json.dumps(settings, sort_keys=True)]
    show = ["az", "resource", "show", "--ids", account, "--query", "properties.automationHybridServiceUrl", "-o", "tsv"]
    where = ["-g", group, "--machine-name" if arc else "--vm-name", short]
    base = ["az", "connectedmachine" if arc else "vm", "extension"]
    subscription = ["--subscription", ArmId(machine).subscription]
    if arc:
        off = [*base, "delete", *where, "-n", name, "--yes", *subscription]
        on = [*base, "create", *where, "-n", name, "--publisher", PUBLISHER, "--type", kind]
        on += ["--type-handler-version", version, *public_settings]
        on += ["--protected-settings", "@protected.json", *subscription]
    else:
        off = [*base, "delete", *where, "-n", name, *subscription]
        on = [*base, "set", *where, "-n", kind, "--extension-instance-name", name, "--publisher", PUBLISHER]
        on += ["--version", version, *public_settings, "--protected-settings", "@protected.json", *subscription]
    return [f"{shlex.join(show)}   # the ADDRESS below", shlex.join(off), shlex.join(on)]


def lacking(proposal: Proposal) -> list[LeftAlone]:
    """What the other account does not have of what this one has."""
    plan, target = proposal.plan, proposal.target
    if target is None:
        return []
    there = (proposal.existing_target.properties.get("holds") if proposal.existing_target else None) or {}
    unchanged = []
    for kind, words in CONTENTS.items():
        ours = (plan.properties.get("holds") or {}).get(kind) or ()
        known = {str(name).lower() for name in there.get(kind) or ()}
        missing = [str(name) for name in ours if kind == "jobSchedules" or str(name).lower() not in known]
        if missing:
            what = f"{len(missing)} {words}" if kind == "jobSchedules" else f"{words}: {', '.join(missing)}"
            remedy = {
                "schedules": "make them again there, and disable them in the account left behind before it starts work again",
                "jobSchedules": "link them again there",
            }.get(kind, "import them from where they are kept; values of secrets cannot be read back")
            unchanged.append(LeftAlone(plan.id, plan.name, f"{target.plan_name} lacks {what}", remedy))
    if proposal.kind == "failback":
        # It has its own identity, and its own grants, as before.
        return unchanged
    identity = plan.properties.get("identity") or {}
    if identity.get("type"):
        principal = str(identity.get("principalId", ""))
        ask = (
            f"az role assignment list --all --assignee {shlex.quote(principal)}"
            if principal
            else "az role assignment list --all"
        )
        why = f"its identity ({identity['type']}) is not carried over: {target.plan_name} needs its grants again"
        unchanged.append(LeftAlone(plan.id, plan.name, why, ask))
    return unchanged + granted_again(proposal)


def stale(chains: Sequence[Chain], proposal: Proposal) -> list[LeftAlone]:
    """Records that the lost account will still list when it returns."""
    unchanged = []
    by_id = {item.environment.id: item.environment for item in proposal.items}
    for chain in chains:
        if not chain.steps:
            continue
        environment = by_id[chain.affected.environment]
        record = record_of(proposal.plan.id, environment)
        unchanged.append(
            LeftAlone(
                record,
                environment.name,
                f"{proposal.plan.name} will list it still, when it returns, and `drkit cleanup RUN` proposes to delete it then. By "
                "hand, delete that record by REST and never in the portal, whose Delete takes the machine's extension too, which "
                "serves the other account by then",
                f"az rest --method delete --url {shlex.quote(f'{record}?api-version=2024-10-23')} && drkit assess",
            )
        )
    return unchanged
