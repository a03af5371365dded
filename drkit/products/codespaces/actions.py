"""Codespaces, the table of its actions: what each does, the requests it sends, and the shape of its target and inputs. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import quote

from msgspec import Meta

from drkit.model.actions import (
    GROUP,
    NAME,
    VM,
    Action,
    Actions,
    Around,
    Identified,
    Inputs,
    Minutes,
    Needed,
    Occasion,
    Region,
    Segment,
    SystemAssigned,
    VmId,
    body_made,
    creation_required,
    home_required,
    needed,
    on_target,
    result_of,
    run_command,
    same_inputs,
    still_required,
)
from drkit.model.operation import Request
from drkit.model.runbook import Step
from drkit.model.settings import Settings
from drkit.planning.proposal import replica_of
from drkit.products.codespaces.settings import DELEGATE_ACTION, environments_url, settings_of
from drkit.products.codespaces.settings import NAME as PRODUCT

PLAN = rf"{GROUP}/providers/Microsoft\.(?:VSOnline|Codespaces)/plans/{NAME}"
ENVIRONMENT = NAME
PlanId = Annotated[str, Meta(pattern=rf"(?i)^{PLAN}\Z")]
HealthUrl = Annotated[str, Meta(pattern=r"^https://[A-Za-z0-9.-]+/health\Z", max_length=300)]
Names = Annotated[tuple[str, ...], Meta(min_length=1, max_length=2)]
EnvironmentKind = Literal["managed", "self-hosted"]


class PlanProperties(Inputs, frozen=True):
    """What a plan carries over."""

    userId: str | None = None  # noqa: N815  Azure's names
    defaultAutoSuspendDelayMinutes: int | None = None  # noqa: N815
    defaultEnvironmentSku: str | None = None  # noqa: N815
    defaultCodespaceSku: str | None = None  # noqa: N815


class PlanBody(Inputs, frozen=True):
    """The body that makes a plan."""

    location: Region
    properties: PlanProperties
    tags: dict[str, str]
    sku: dict[str, Any] | None = None
    identity: SystemAssigned | None = None


class CreatePlanInputs(Inputs, frozen=True):
    body: PlanBody
    source: PlanId


class Seed(Inputs, frozen=True):
    """What an environment is made from."""

    type: Literal["git"]
    moniker: str
    gitConfig: Any = None  # noqa: N815


class Features(Inputs, frozen=True):
    customContainers: Literal[True]  # noqa: N815


class EnvironmentBody(Inputs, frozen=True):
    """The body that makes a managed environment."""

    type: Literal["cloudEnvironment"]
    planId: PlanId  # noqa: N815
    skuName: str  # noqa: N815
    autoShutdownDelayMinutes: int  # noqa: N815
    experimentalFeatures: Features  # noqa: N815
    seed: Seed | None = None


class Placed(Inputs, frozen=True):
    """Under which plan, in which region, for whom."""

    plan: PlanId
    region: Region
    owner: str


class Named(Placed, frozen=True):
    """Under which names; ``stale``: ids of records that hold their names and are nobody's environment."""

    names: Names
    stale: tuple[str, ...] = ()


class CreateInputs(Named, frozen=True, kw_only=True):
    kind: Literal["managed"]
    body: EnvironmentBody


class VerifyInputs(Named, frozen=True, kw_only=True):
    kind: EnvironmentKind
    minutes: Minutes
    stands: bool = False


class ByHandInputs(Placed, frozen=True):
    commands: tuple[str, ...]
    see_first: tuple[str, ...]
    host: str


class OnHost(Inputs, frozen=True):
    """On which machine, as which user, with which registration."""

    host: VmId
    user: str
    registration: str
    environment: Segment


class ReachInputs(OnHost, frozen=True):
    script: Literal["reach"]
    urls: tuple[HealthUrl, ...]


class ReadyInputs(Inputs, frozen=True):
    owner: str
    host: str


class ReleaseInputs(OnHost, frozen=True):
    script: Literal["codespaces_release"]
    timeout: Annotated[float, Meta(ge=0, le=24 * 3600)]
    move_aside: bool


class OldRecord(Inputs, frozen=True):
    """The record that a host leaves while its plan answers."""

    plan: PlanId
    region: Region
    id: Segment


class RegisterInputs(OnHost, frozen=True):
    script: Literal["codespaces_register"]
    plan: PlanId
    region: Region
    names: Names
    owner: str
    kind: Literal["self-hosted"]
    workspace: str
    service: bool
    released_by: str
    sign_in_minutes: Minutes
    stale: tuple[str, ...] = ()
    left: OldRecord | None = None


class Elsewhere(Inputs, frozen=True):
    """The environment that answers in a record's stead."""

    plan: PlanId
    region: Region
    id: Segment


class DeleteInputs(Placed, frozen=True):
    kind: EnvironmentKind
    elsewhere: Elsewhere
    minutes: Minutes


class DeletePlanInputs(Inputs, frozen=True):
    plan: PlanId
    region: Region
    source_region: Annotated[str, Meta(pattern=r"^[a-z0-9-]*\Z")]


# requests


def _creates(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
    service = settings_of(settings).service
    return (
        Request("POST", f"{arm}{step.inputs['plan']}/{DELEGATE_ACTION}"),
        Request("POST", environments_url(str(step.inputs["region"]), service)),
    )


def _deletes(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
    url = environments_url(str(step.inputs["region"]), settings_of(settings).service)
    return (
        Request("POST", f"{arm}{step.inputs['plan']}/{DELEGATE_ACTION}"),
        Request("DELETE", f"{url}/{quote(step.target, safe='')}"),
    )


# what must hold beyond a step's own inputs


def _made(step: Step, around: Around) -> Iterable[str]:
    if step.inputs["body"]["planId"] != step.inputs["plan"]:
        yield "its body is for another plan than its input plan"
    yield from same_inputs(step, region=step.region)


def _placed(step: Step, around: Around) -> Iterable[str]:
    return same_inputs(step, region=step.region)


def _by_hand(step: Step, around: Around) -> Iterable[str]:
    """What a person is to type is ``codespaces stop`` and ``codespaces start`` with quoted arguments, or a sentence that creates one."""
    plan = str(step.inputs["plan"])
    for line in step.inputs["commands"]:
        if line == "codespaces stop" or re.fullmatch(rf"create .+ under plan {re.escape(plan)}", line, re.DOTALL):
            continue
        if not _starts(line, plan):
            yield f"its command {line!r:.200} is none that registers a machine with {plan}"
    yield from _placed(step, around)


def _starts(line: str, plan: str) -> bool:
    """Whether a line is ``codespaces start -i PLAN -n NAME -w PATH``, each argument quoted for sh or for PowerShell."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if len(words) == 8 and shlex.join(words) == line:
        return words[:2] == ["codespaces", "start"] and words[2::2] == ["-i", "-n", "-w"] and words[3] == plan
    quoted = r"'(?:[^'\u2018-\u201b]|['\u2018-\u201b]{2})*'"
    return bool(re.fullmatch(rf"codespaces start -i '{re.escape(plan)}' -n {quoted} -w {quoted}", line))


def _on_host(step: Step, around: Around) -> Iterable[str]:
    return same_inputs(step, host=step.host)


def _registers(step: Step, around: Around) -> Iterable[str]:
    yield from _on_host(step, around)
    yield from result_of(step, around, "released_by", "release", step.target)


def _deleted(step: Step, around: Around) -> Iterable[str]:
    yield from same_inputs(step, plan=step.plan, region=step.region)


def _plan_deleted(step: Step, around: Around) -> Iterable[str]:
    yield from same_inputs(step, plan=step.target, region=step.region)


def _plan_verified(step: Step, around: Around) -> Iterable[str]:
    identity = step.inputs.get("identity")
    if identity and str(identity["plan"]).lower() != step.plan.lower():
        yield "it names the identity of another plan"


def _service(step: Step, settings: Settings) -> dict[str, str]:
    return {f"products.{PRODUCT}.service": settings_of(settings).service}


def _replica(step: Step, settings: Settings) -> dict[str, str]:
    other = replica_of(step.plan, settings_of(settings).replicas)
    return {**_service(step, settings), f"products.{PRODUCT}.replicas of {step.plan}": other or "none"}


def _same_host(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.host, "instance_id")


def _release_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield from occasion.still(step)
    yield from _same_host(step, occasion)


def _register_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield from occasion.home(step)
    yield from _same_host(step, occasion)


def _delete_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.plan, "answers", "yes")
    yield needed(step.target, "record")
    yield needed(str(step.inputs["elsewhere"]["id"]), "stands", "yes")
    # Work that was never pushed may be deleted if the approver can read why; a machine that answers never.
    if step.inputs["kind"] == "self-hosted":
        yield needed(step.target, "idle", True)


def _delete_plan_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.plan, "answers", "yes")
    yield needed(step.target, "made-for")
    yield needed(step.target, "empty", True)


ACTIONS: Actions = {
    "create-plan": Action(
        "create",
        PLAN,
        CreatePlanInputs,
        ("PUT",),
        on_target("PUT"),
        body_made("plan"),
        bound=_service,
        required=creation_required,
    ),
    "verify-plan": Action("verify", PLAN, Identified, check=_plan_verified, bound=_replica, required=home_required),
    "create": Action(
        "create", ENVIRONMENT, CreateInputs, ("POST",), _creates, _made, bound=_service, required=still_required
    ),
    "verify": Action("verify", ENVIRONMENT, VerifyInputs, check=_placed, bound=_service),
    "by-hand": Action("ask", ENVIRONMENT, ByHandInputs, check=_by_hand, bound=_service, required=still_required),
    "reach": Action(
        "verify",
        VM,
        ReachInputs,
        ("POST",),
        run_command("host"),
        _on_host,
        bound=_service,
        channel="host",
        required=_same_host,
    ),
    "ready": Action("ask", ENVIRONMENT, ReadyInputs),
    "release": Action(
        "release",
        ENVIRONMENT,
        ReleaseInputs,
        ("POST",),
        run_command("host"),
        _on_host,
        bound=_service,
        channel="host",
        required=_release_required,
    ),
    "register": Action(
        "register",
        ENVIRONMENT,
        RegisterInputs,
        ("POST",),
        run_command("host"),
        _registers,
        bound=_service,
        channel="host",
        required=_register_required,
    ),
    "delete": Action(
        "delete",
        ENVIRONMENT,
        DeleteInputs,
        ("POST", "DELETE"),
        _deletes,
        _deleted,
        bound=_service,
        required=_delete_required,
    ),
    "verify-elsewhere": Action("verify", ENVIRONMENT, DeleteInputs, check=_deleted, bound=_service),
    "delete-plan": Action(
        "delete",
        PLAN,
        DeletePlanInputs,
        ("DELETE",),
        on_target("DELETE"),
        _plan_deleted,
        bound=_service,
        required=_delete_plan_required,
    ),
}
