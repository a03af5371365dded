"""Codespaces, the pure half: a self-hosted environment registered elsewhere, by drkit or by a person."""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec

from drkit.model.estate import Environment
from drkit.model.ids import slug
from drkit.model.runbook import Estimate, Precondition, Step
from drkit.planning.proposal import Item, Proposal
from drkit.products.codespaces.settings import NAME, health_url, settings_of
from drkit.products.codespaces.steps import ask_for, freed, names_for, stale, still_lost, verified, where


def has_channel(item: Item) -> bool:
    """Whether drkit can register there: the scripts that do are for sh, so that a Windows host is probed and no more."""
    return item.channel == "run-command" and not (item.host and item.host.os == "windows")


def hosted(proposal: Proposal, item: Item, ready: str) -> tuple[Step, ...]:
    """reach, ready, release, register, verify: the human comes before the irreversible."""
    environment, host, own = item.environment, item.host, settings_of(proposal.settings)
    # Nothing is released on a machine of which nobody could tell later whether it is the same.
    if host is None or environment.host is None or not _same_host(item):
        return by_hand(proposal, item, ready)
    plan_id, plan_name, region = where(proposal)
    handle = slug(environment.name, environment.id)
    names = names_for(proposal, item)
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
        preconditions=(*still_lost(proposal), *same),
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
            **stale(proposal),
            **_left(proposal, environment),
        },
        preconditions=(*(still_lost(proposal) if proposal.kind == "failback" else ()), *same),
        **shared,
    )
    cleared = freed(proposal, item, ask.id)
    if cleared:
        release = msgspec.structs.replace(release, needs=(cleared[-1].id,))
    return (reach, ask, *cleared, release, register, verified(proposal, item, (register.id,), 30.0))


def by_hand(proposal: Proposal, item: Item, ready: str) -> tuple[Step, ...]:
    """The steps of a machine where a person registers: the old record out of the way, the commands, and the service's word."""
    environment, host = item.environment, item.host
    plan_id, _, _ = where(proposal)
    name = names_for(proposal, item)[0]
    path = _workspace(environment)
    windows = host is not None and host.os == "windows"
    quote = _powershell if windows else shlex.quote
    start = f"codespaces start -i {quote(plan_id)} -n {quote(name)} -w {quote(path)}"
    commands = ["codespaces stop", start]
    user = environment.host.user if environment.host else ""
    why = f"as user {user or 'who registered it'}, signed in as {environment.owner or 'its owner'}; not tried from the host"
    cleared = freed(proposal, item, ready)
    needs = (cleared[-1].id,) if cleared else (ready,) if ready else ()
    ask = ask_for(proposal, item, needs, commands, _identity(item), why)
    return (*cleared, ask, verified(proposal, item, (ask.id,), 30.0))


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


def _powershell(text: str) -> str:
    # PowerShell ends such a text at a typographic quote as well: every one of the five is doubled.
    return "'" + re.sub("['\u2018-\u201b]", lambda quote: quote[0] * 2, text) + "'"


def _workspace(environment: Environment) -> str:
    if environment.host and environment.host.workspace:
        return environment.host.workspace
    return environment.workspace or "."


def _left(proposal: Proposal, environment: Environment) -> dict[str, Any]:
    """Where a host is released from while that answers: `stop` ends its record there, and nothing can be put back then."""
    if proposal.kind != "failback":
        return {}
    return {"left": {"plan": proposal.plan.id, "region": proposal.plan.region, "id": environment.id}}


def _same_host(item: Item) -> tuple[Precondition, ...]:
    host = item.host
    if host is None or host.baseline.arm is None or not host.baseline.arm.instance_id:
        return ()
    return (Precondition(host.id, "instance_id", host.baseline.arm.instance_id, "ARM: virtual machine"),)
