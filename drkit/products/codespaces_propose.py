"""Codespaces, the pure half: which steps bring a plan and its environments up elsewhere, or a host back to its plan."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from drkit import hostscripts
from drkit.estate import Environment, Plan, slug
from drkit.products.codespaces_settings import CodespacesSettings
from drkit.proposal import Chain, Item, Need, Proposal, Proposed, Target, identity_change, record_behind, spare_names
from drkit.runbook import Affected, Estimate, LeftAlone, Precondition, Step
from drkit.settings import Settings

NAME = "codespaces"
PLAN_TYPES = ("Microsoft.VSOnline/plans", "Microsoft.Codespaces/plans")
REGIONS = ("eastus", "southeastasia", "westeurope", "westus2")
# From the display names the service publishes with its SKUs ("Standard (Linux): 4 cores, 8 GB RAM").
CORES = {"basiclinux": 2, "standardlinux": 4, "premiumlinux": 8}
CARRIED = ("userId", "defaultAutoSuspendDelayMinutes", "defaultEnvironmentSku", "defaultCodespaceSku")
HOST_SCRIPTS = ("reach", "codespaces_release", "codespaces_register", "codespaces_watch", "codespaces_restore")
# A registration that is not Available by then will not be by itself.
VERIFY_MINUTES = 20
RISK = {
    "pushed": "all work was pushed when it was last seen",
    "unpushed": "it had unpushed work: that stays behind until its region returns",
    "unknown": "whether it had unpushed work is not known",
}


def settings_of(settings: Settings) -> CodespacesSettings:
    """The ``[products.codespaces]`` table."""
    return settings.product(NAME, CodespacesSettings)


def need(environments: Sequence[Environment]) -> Need:
    """SKUs and cores of the managed environments among these."""
    managed = [one for one in environments if one.kind == "managed"]
    return Need(frozenset(one.sku for one in managed if one.sku), sum(CORES.get(one.sku.lower(), 4) for one in managed))


def regional_host(region: str, service: str) -> str:
    """The host of the environment service in a region."""
    return f"{region}.{service}"


def health_url(region: str, service: str) -> str:
    """Where the environment service of a region says that it is there."""
    return f"https://{regional_host(region, service)}/health"


def propose(proposal: Proposal) -> Proposed:
    """The plan's own steps, then one chain an environment."""
    plan, target = proposal.plan, proposal.target
    plan_steps = _plan_steps(proposal, target or _stays(plan))
    ready = plan_steps[-1].id if plan_steps else ""
    chains = tuple(_chain(proposal, item, ready) for item in proposal.items)
    used = {str(step.inputs.get("script", "")) for chain in chains for step in chain.steps}
    scripts = {name: hostscripts.load(name).sha256 for name in HOST_SCRIPTS} if used - {""} else {}
    left = tuple(_not_carried(plan, proposal)) if target and not target.plan_exists else ()
    return Proposed(plan_steps, chains, left, (), scripts)


def _stays(plan: Plan) -> Target:
    """In a repair the plan is its own target, and is verified like any other before a host is released."""
    return Target(plan.region, plan.subscription, plan.resource_group, "", plan.name, plan.id, plan_exists=True)


def _plan_steps(proposal: Proposal, target: Target) -> tuple[Step, ...]:
    plan = proposal.plan
    handle = slug(plan.name, plan.id)
    verify = Step(
        id=f"{NAME}:{handle}:verify-plan",
        product=NAME,
        action="verify-plan",
        target=target.plan_id,
        title=f"see that {target.plan_name} answers in {target.region}",
        reason="nothing is registered with a plan that its own service does not know",
        effect="verify",
        estimate=Estimate(4, 5.0),
        needs=() if target.plan_exists else (f"{NAME}:{handle}:create-plan",),
        inputs=identity_change(proposal),
        preconditions=_still_lost(proposal) if proposal.kind == "failback" else (),
        criticality="critical",
        plan=plan.id,
        region=target.region,
    )
    if target.plan_exists:
        return (verify,)
    properties = {key: plan.properties[key] for key in CARRIED if plan.properties.get(key) is not None}
    body: dict[str, Any] = {"location": target.region, "properties": properties, "tags": dict(plan.tags)}
    if plan.sku:
        body["sku"] = plan.sku
    if str((plan.properties.get("identity") or {}).get("type", "")) == "SystemAssigned":
        body["identity"] = {"type": "SystemAssigned"}
    create = Step(
        id=f"{NAME}:{handle}:create-plan",
        product=NAME,
        action="create-plan",
        target=target.plan_id,
        title=f"create plan {target.plan_name} in {target.region}",
        reason=f"{plan.name} {'leaves' if proposal.graceful else 'is lost with'} {plan.region}; a plan's region cannot be changed",
        effect="create",
        estimate=Estimate(3, 5.0),
        needs=(target.group_step,) if target.group_step else (),
        inputs={"body": body, "source": plan.id},
        preconditions=(Precondition(target.plan_id, "exists", False, "ARM: plan"), *_still_lost(proposal)),
        criticality="critical",
        plan=plan.id,
        region=target.region,
    )
    return (create, verify)


def _not_carried(plan: Plan, proposal: Proposal) -> list[LeftAlone]:
    left: list[LeftAlone] = []
    network = plan.properties.get("vnetProperties")
    if isinstance(network, dict) and any(network.values()):
        subnet = next((str(value) for value in network.values() if value), "")
        left.append(
            LeftAlone(
                plan.id,
                plan.name,
                f"its subnet stays behind ({subnet}): a plan's network is in the plan's own region",
                "prepare a subnet in the target region and set it on the new plan",
            )
        )
    encryption = plan.properties.get("encryption")
    if isinstance(encryption, dict) and encryption.get("keySource") == "Microsoft.KeyVault":
        left.append(
            LeftAlone(
                plan.id,
                plan.name,
                "its customer-managed key is not carried over: the new plan has another identity",
                "grant the new plan's identity on a key in a healthy region, then set it",
            )
        )
    scope = shlex.quote(proposal.target.plan_id) if proposal.target else ""
    for grant in proposal.grants:
        left.append(
            LeftAlone(
                plan.id,
                plan.name,
                f"grant of {grant.role} to {grant.principal} on {grant.scope} must be made again",
                f"az role assignment create --assignee {shlex.quote(grant.principal)} --role {shlex.quote(grant.role)} "
                f"--scope {scope}",
            )
        )
    return left


def _chain(proposal: Proposal, item: Item, ready: str) -> Chain:
    environment = item.environment
    disposition = item.disposition
    steps: tuple[Step, ...] = ()
    if disposition == "new-plan" and environment.kind == "managed":
        steps = _managed(proposal, item, ready)
    elif disposition in ("new-plan", "successor", "same-plan"):
        steps = _hosted(proposal, item, ready) if _has_channel(item) else _by_hand(proposal, item, ready)
    elif disposition == "person":
        steps = _by_hand(proposal, item, ready)
    behind = (record_behind(NAME, environment.id, item, proposal.plan, steps[-1].id),) if steps else ()
    return Chain(_affected(item, steps), steps, any(step.effect == "ask" for step in steps), behind)


def _has_channel(item: Item) -> bool:
    """Whether drkit can register there: the scripts that do are for sh, so that a Windows host is probed and no more."""
    return item.channel == "run-command" and not (item.host and item.host.os == "windows")


def _affected(item: Item, steps: Sequence[Step]) -> Affected:
    remedy = {
        "lost": "; until it is restored (a [[host]] entry says where), or its region returns",
        "start": "; start it, then assess and plan again",
        "wait": "; assess again in a few minutes",
    }.get(item.disposition, "")
    return Affected.of(
        item.environment,
        item.disposition,
        item.reason + remedy,
        verdict=item.verdict if item.environment.kind == "self-hosted" else "",
        host=item.host.id if item.host else "",
        final=steps[-1].id if steps else "",
    )


def _where(proposal: Proposal) -> tuple[str, str, str]:
    """(plan id, plan name, region) that the environments go to."""
    if proposal.target:
        return proposal.target.plan_id, proposal.target.plan_name, proposal.target.region
    return proposal.plan.id, proposal.plan.name, proposal.plan.region


def _names(proposal: Proposal, item: Item) -> list[str]:
    """The name to take, and the one to fall back to when a record nobody can see holds it."""
    name = (item.origin or item.environment).name
    free = list(islice(spare_names(name, proposal.names | proposal.held_names), 2))
    return [name, free[0]] if proposal.target and name.lower() not in proposal.held_names else free


def _stale(proposal: Proposal) -> dict[str, Any]:
    """Records under the target that were left behind there: they hold their names, and are nobody's environment."""
    return {"stale": sorted(proposal.held)} if proposal.held else {}


def _verify(proposal: Proposal, item: Item, needs: tuple[str, ...], seconds: float) -> Step:
    environment = item.environment
    plan_id, plan_name, region = _where(proposal)
    return Step(
        id=f"{NAME}:{slug(environment.name, environment.id)}:verify",
        product=NAME,
        action="verify",
        target=environment.id,
        title=f"see that {environment.name} is Available under {plan_name}, for its owner",
        reason="success is the service saying so, never an exit code",
        effect="verify",
        estimate=Estimate(4, seconds),
        needs=needs,
        inputs={
            "plan": plan_id,
            "region": region,
            "names": _names(proposal, item),
            "owner": environment.owner,
            "kind": environment.kind,
            "minutes": VERIFY_MINUTES,
            **_stale(proposal),
        },
        environment=environment.id,
        plan=proposal.plan.id,
        region=region,
        host=item.host.id if item.host else "",
    )


def _still_lost(proposal: Proposal) -> tuple[Precondition, ...]:
    """What must hold just before: the plan that is left is lost still; on the way back, the plan gone back to answers still."""
    if not proposal.target or proposal.graceful:
        return ()
    if proposal.kind == "failback":
        return (Precondition(proposal.target.plan_id, "answers", "yes", "environment service"),)
    return (Precondition(proposal.plan.id, "answers", "no", "environment service"),)


def _managed(proposal: Proposal, item: Item, ready: str) -> tuple[Step, ...]:
    environment = item.environment
    plan_id, plan_name, region = _where(proposal)
    handle = slug(environment.name, environment.id)
    if item.old is not None and item.old.state.lower() not in ("failed", "deleted"):
        return (_revived(proposal, item, ready),)
    body: dict[str, Any] = {
        "type": "cloudEnvironment",
        "planId": plan_id,
        "skuName": environment.sku,
        "autoShutdownDelayMinutes": environment.settings.get("autoShutdownDelayMinutes", 30),
        "experimentalFeatures": {"customContainers": True},
    }
    if environment.repository:
        moniker = environment.repository
        if environment.branch and "/tree/" not in moniker:
            moniker = f"{moniker}/tree/{environment.branch}"
        body["seed"] = {"type": "git", "moniker": moniker}
        if environment.settings.get("gitConfig"):
            body["seed"]["gitConfig"] = environment.settings["gitConfig"]
    create = Step(
        id=f"{NAME}:{handle}:create",
        product=NAME,
        action="create",
        target=environment.id,
        title=f"create {environment.name} again under {plan_name}",
        reason=f"{item.reason}; {RISK[environment.data_at_risk]}",
        effect="create",
        estimate=Estimate(4, 5.0),
        needs=(ready,) if ready else (),
        inputs={
            "plan": plan_id,
            "region": region,
            "names": _names(proposal, item),
            "owner": environment.owner,
            "kind": "managed",
            "body": body,
            **_stale(proposal),
        },
        preconditions=_still_lost(proposal),
        environment=environment.id,
        plan=proposal.plan.id,
        region=region,
    )
    verify = _verify(proposal, item, (create.id,), 75.0)
    if settings_of(proposal.settings).keep_owner == "delegate" and environment.owner and environment.repository:
        return (create, verify)
    origin = environment.repository or "what it was made from (no repository is recorded)"
    commands = [f"create {environment.name} from {origin} under plan {plan_id}"]
    ask = _ask(
        proposal,
        item,
        (ready,) if ready else (),
        commands,
        [f"signed in as {environment.owner}"],
        f"its owner creates it; {RISK[environment.data_at_risk]}",
    )
    return (ask, _verify(proposal, item, (ask.id,), 75.0))


def _revived(proposal: Proposal, item: Item, ready: str) -> Step:
    """Its own record is alive: that is the environment, perhaps with work that was never pushed, and no copy is made of it."""
    old, verify = item.old, _verify(proposal, item, (ready,) if ready else (), 2.0)
    name = old.name if old else item.environment.name
    return msgspec.structs.replace(
        verify,
        title=f"see that {name} is there again under {proposal.target.plan_name if proposal.target else ''}, for its owner",
        reason="its own record is alive again, with all that was in it; what was done since is in the temporary one, which is "
        "kept until a cleanup finds it pushed",
        inputs={**verify.inputs, "names": [name], "stands": True},
        preconditions=_still_lost(proposal),
    )


def _ask(
    proposal: Proposal, item: Item, needs: tuple[str, ...], commands: list[str], identity: list[str], why: str
) -> Step:
    environment = item.environment
    plan_id, _, region = _where(proposal)
    return Step(
        id=f"{NAME}:{slug(environment.name, environment.id)}:by-hand",
        product=NAME,
        action="by-hand",
        target=environment.id,
        title=f"somebody registers {environment.name} by hand",
        reason=f"{item.reason}; {why}",
        effect="ask",
        estimate=Estimate(0, 900.0),
        needs=needs,
        inputs={
            "plan": plan_id,
            "region": region,
            "owner": environment.owner,
            "commands": commands,
            "see_first": identity,
            "host": item.host.name if item.host else "",
        },
        environment=environment.id,
        plan=proposal.plan.id,
        host=item.host.id if item.host else "",
        region=region,
    )


def _identity(item: Item) -> list[str]:
    host = item.host
    if host is None:
        return ["which machine it is: look at its registration before touching anything"]
    lines = [f"host name {host.name}"]
    guest = host.baseline.guest
    if guest and guest.machine_id:
        lines.append(f"{'MachineGuid' if host.os == 'windows' else '/etc/machine-id'} {guest.machine_id}")
    if guest and guest.ssh_host_keys:
        lines.append(f"SSH host key {guest.ssh_host_keys[0]}")
    if host.baseline.arm and host.baseline.arm.instance_id:
        lines.append(f"SMBIOS UUID {host.baseline.arm.instance_id}")
    lines.append(f"it is registered as environment {item.environment.id}")
    return lines


def _by_hand(proposal: Proposal, item: Item, ready: str) -> tuple[Step, ...]:
    environment, host = item.environment, item.host
    plan_id, _, _ = _where(proposal)
    name = _names(proposal, item)[0]
    path = _workspace(environment)
    windows = host is not None and host.os == "windows"
    quote = _powershell if windows else shlex.quote
    start = f"codespaces start -i {quote(plan_id)} -n {quote(name)} -w {quote(path)}"
    commands = ["codespaces stop", start]
    user = environment.host.user if environment.host else ""
    why = f"as user {user or 'who registered it'}, signed in as {environment.owner or 'its owner'}; not tried from the host"
    cleared = _cleared(proposal, item, ready)
    needs = (cleared[-1].id,) if cleared else (ready,) if ready else ()
    ask = _ask(proposal, item, needs, commands, _identity(item), why)
    return (*cleared, ask, _verify(proposal, item, (ask.id,), 30.0))


def _powershell(text: str) -> str:
    # PowerShell ends such a text at a typographic quote as well: every one of the five is doubled.
    return "'" + re.sub("['\u2018-\u201b]", lambda quote: quote[0] * 2, text) + "'"


def _workspace(environment: Environment) -> str:
    if environment.host and environment.host.workspace:
        return environment.host.workspace
    return environment.workspace or "."


def _hosted(proposal: Proposal, item: Item, ready: str) -> tuple[Step, ...]:
    """reach, ready, release, register, verify: the human comes before the irreversible."""
    environment, host, own = item.environment, item.host, settings_of(proposal.settings)
    if host is None or environment.host is None:
        return _by_hand(proposal, item, ready)
    plan_id, plan_name, region = _where(proposal)
    handle = slug(environment.name, environment.id)
    names = _names(proposal, item)
    shared: dict[str, Any] = {
        "environment": environment.id,
        "plan": proposal.plan.id,
        "host": host.id,
        "confidence": item.confidence,
    }
    same = _same_host(item)
    inputs = {
        "host": host.id,
        "user": environment.host.user,
        "registration": environment.host.path or own.registration,
        "environment": environment.id,
    }
    reach = Step(
        id=f"{NAME}:{handle}:reach",
        product=NAME,
        action="reach",
        target=host.id,
        title=f"reach {region} from {host.name}",
        reason="a host is released only after the target was reached from it",
        effect="verify",
        estimate=Estimate(5, 25.0),
        needs=(ready,) if ready else (),
        inputs={**inputs, "script": "reach", "urls": [health_url(region, own.service)]},
        preconditions=same,
        **shared,
    )
    ask = Step(
        id=f"{NAME}:{handle}:ready",
        product=NAME,
        action="ready",
        target=environment.id,
        title=f"ask the owner of {environment.name} to be ready to sign in",
        reason="registering asks for a sign-in every time; nothing is released before its owner is at hand",
        effect="ask",
        estimate=Estimate(0, proposal.settings.run.sign_in_minutes * 20),
        needs=(reach.id,),
        inputs={"owner": environment.owner, "host": host.name},
        **shared,
    )
    release = Step(
        id=f"{NAME}:{handle}:release",
        product=NAME,
        action="release",
        target=environment.id,
        title=f"take {host.name} off {proposal.plan.name}",
        reason=f"{item.reason}; its registration is copied first, and put back if nobody signs in",
        effect="release",
        estimate=Estimate(6, 45.0),
        needs=(ask.id,),
        inputs={
            **inputs,
            "script": "codespaces_release",
            "timeout": own.stop_timeout_seconds,
            "move_aside": own.move_registration_aside,
        },
        preconditions=(*_still_lost(proposal), *same),
        **shared,
    )
    register = Step(
        id=f"{NAME}:{handle}:register",
        product=NAME,
        action="register",
        target=environment.id,
        title=f"register {host.name} as {names[0]} under {plan_name}",
        reason=item.reason,
        effect="register",
        estimate=Estimate(14, 60.0 + proposal.settings.run.sign_in_minutes * 20),
        needs=(release.id,),
        inputs={
            **inputs,
            "script": "codespaces_register",
            "plan": plan_id,
            "region": region,
            "names": names,
            "owner": environment.owner,
            "kind": "self-hosted",
            "workspace": _workspace(environment),
            "service": own.install_as_service,
            "released_by": release.id,
            "sign_in_minutes": proposal.settings.run.sign_in_minutes,
            **_stale(proposal),
            **_left(proposal, environment),
        },
        preconditions=(*(_still_lost(proposal) if proposal.kind == "failback" else ()), *same),
        **shared,
    )
    cleared = _cleared(proposal, item, ask.id)
    if cleared:
        release = msgspec.structs.replace(release, needs=(cleared[-1].id,))
    return (reach, ask, *cleared, release, register, _verify(proposal, item, (register.id,), 30.0))


def _left(proposal: Proposal, environment: Environment) -> dict[str, Any]:
    """Where a host is released from while that answers: `stop` ends its record there, and nothing can be put back then."""
    if proposal.kind != "failback":
        return {}
    return {"left": {"plan": proposal.plan.id, "region": proposal.plan.region, "id": environment.id}}


def _cleared(proposal: Proposal, item: Item, need_id: str) -> tuple[Step, ...]:
    """The deletion of the old record, which holds the name that the host is to have again."""
    if proposal.standing is None or item.old is None or not item.record:
        return ()
    step = deletion(item.old, item.record, proposal.standing, proposal.plan, item.environment.id, "it holds the name")
    return (
        msgspec.structs.replace(
            step,
            environment=item.environment.id,
            host=item.host.id if item.host else "",
            needs=(need_id,) if need_id else (),
        ),
    )


def deletion(
    old: Environment, record: str, plan: Plan, where: Plan, other: str, why: str, *, discard: bool = False
) -> Step:
    """The deletion of an old record by its id: it is that record, nothing answers to it, its environment answers elsewhere."""
    managed = old.kind == "managed"
    # A self-hosted record that answers is somebody's; unpushed work in a managed one is somebody's too.
    kept = Precondition(record, "pushed" if managed else "idle", True, "environment service")
    return Step(
        id=f"{NAME}:{slug(old.name, record)}:delete",
        product=NAME,
        action="delete",
        target=record,
        title=f"delete the old record of {old.name} under {plan.name}",
        reason=why,
        effect="delete",
        estimate=Estimate(6, 4.0),
        inputs={
            "plan": plan.id,
            "region": plan.region,
            "owner": old.owner,
            "kind": old.kind,
            "elsewhere": {"plan": where.id, "region": where.region, "id": other},
            "minutes": VERIFY_MINUTES,
        },
        preconditions=(
            Precondition(plan.id, "answers", "yes", "environment service"),
            Precondition(record, "record", old.name, "environment service"),
            *(() if discard and managed else (kept,)),
            Precondition(other, "stands", "yes", "environment service"),
        ),
        environment=old.id,
        plan=plan.id,
        region=plan.region,
    )


def _same_host(item: Item) -> tuple[Precondition, ...]:
    host = item.host
    if host is None or host.baseline.arm is None or not host.baseline.arm.instance_id:
        return ()
    return (Precondition(host.id, "instance_id", host.baseline.arm.instance_id, "ARM: virtual machine"),)


def plan_limit(settings: Settings) -> int:
    """Plans a subscription may have."""
    return settings_of(settings).plans_per_subscription
