"""Hybrid workers, the table of their actions: what each does, the requests it sends, and the shape of its target and inputs. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from drkit.model.actions import (
    GROUP,
    NAME,
    VM,
    Action,
    Actions,
    Around,
    Identified,
    Identity,
    Inputs,
    MachineId,
    Minutes,
    Needed,
    Occasion,
    Region,
    Segment,
    SystemAssigned,
    body_made,
    creation_required,
    home_required,
    needed,
    on_target,
    result_of,
    run_command,
    same_inputs,
    still_required,
    value_in_words,
)
from drkit.model.ids import ArmId
from drkit.model.operation import Request
from drkit.model.runbook import Step
from drkit.model.settings import Settings
from drkit.planning.proposal import replica_of
from drkit.products.hybrid_worker.settings import NAME as PRODUCT
from drkit.products.hybrid_worker.settings import PUBLISHER, TYPES, URL, HybridWorkerSettings, settings_of, worker_id

ACCOUNT = rf"{GROUP}/providers/Microsoft\.Automation/automationAccounts/{NAME}"
WORKER_GROUP = rf"{ACCOUNT}/hybridRunbookWorkerGroups/{NAME}"
RECORD = rf"{WORKER_GROUP}/hybridRunbookWorkers/{NAME}"
VERSION = "1.1"
AccountId = Annotated[str, Meta(pattern=rf"(?i)^{ACCOUNT}\Z")]
Name = Literal["HybridWorkerExtension", "HybridWorkerForLinux", "HybridWorkerForWindows"]
"""What the documentation calls the extension, and what ``az vm extension set`` calls it when it is given no name."""
Source = Annotated[
    str, Meta(pattern=r"^(none|env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f]+|vault:https://[^\x00-\x20]+)\Z")
]
ServiceUrl = Annotated[
    str, Meta(pattern=r"^(https://[A-Za-z0-9.-]+\.azure-automation\.(net|us|cn)(/[A-Za-z0-9/_-]*)?)?\Z")
]


class Credential(Inputs, frozen=True):
    name: str


class GroupProperties(Inputs, frozen=True):
    credential: Credential


class GroupBody(Inputs, frozen=True):
    """The body that makes a worker group."""

    properties: GroupProperties | None = None


class CreateGroupInputs(Inputs, frozen=True):
    body: GroupBody


class Sku(Inputs, frozen=True):
    name: Literal["Basic"]


class AccountProperties(Inputs, frozen=True):
    sku: Sku
    publicNetworkAccess: bool | None = None  # noqa: N815  Azure's names
    disableLocalAuth: bool | None = None  # noqa: N815


class AccountBody(Inputs, frozen=True):
    """The body that makes an account."""

    location: Region
    tags: dict[str, str]
    properties: AccountProperties
    identity: SystemAssigned | None = None


class CreateAccountInputs(Inputs, frozen=True):
    body: AccountBody
    source: AccountId


class SourceVault(Inputs, frozen=True):
    id: str


class VaultReference(Inputs, frozen=True):
    """Where Azure itself takes an extension's protected settings from."""

    secretUrl: str  # noqa: N815
    sourceVault: SourceVault  # noqa: N815


class ExtensionProperties(Inputs, frozen=True):
    """An extension's properties. Publisher and type are the hybrid worker's own and no other."""

    publisher: Literal["Microsoft.Azure.Automation.HybridWorker"]
    type: Literal["HybridWorkerForLinux", "HybridWorkerForWindows"]
    typeHandlerVersion: Annotated[str, Meta(pattern=r"^[0-9.]{0,40}\Z")] = ""  # noqa: N815
    autoUpgradeMinorVersion: bool | None = None  # noqa: N815
    enableAutomaticUpgrade: bool | None = None  # noqa: N815
    suppressFailures: bool | None = None  # noqa: N815
    forceUpdateTag: str | None = None  # noqa: N815
    provisionAfterExtensions: tuple[str, ...] = ()  # noqa: N815
    settings: dict[str, Any] | None = None
    protectedSettingsFromKeyVault: VaultReference | None = None  # noqa: N815


class Extension(Inputs, frozen=True):
    """An extension as it was recorded."""

    name: Name
    properties: ExtensionProperties
    location: str = ""
    tags: dict[str, str] | None = None


class WorkerInputs(Inputs, frozen=True):
    """Which machine, in which group of which account, as which worker; ``source_url``: the service of the account that is left."""

    account: AccountId
    group: Segment
    machine: MachineId
    worker: Segment
    source_url: ServiceUrl


class AddInputs(WorkerInputs, frozen=True):
    if_refused: Literal["stop", "extension-first"]


class ReachInputs(WorkerInputs, frozen=True):
    account_step: str


class ReleaseInputs(WorkerInputs, frozen=True):
    extension: Extension
    protected: Source
    account_step: str


class RegisterInputs(ReleaseInputs, frozen=True):
    added_by: str


class VerifyInputs(WorkerInputs, frozen=True):
    after: str
    added_by: str
    minutes: Minutes


class ByHandInputs(Inputs, frozen=True):
    commands: tuple[str, ...]
    see_first: tuple[str, ...]
    host: str
    owner: str


class Elsewhere(Inputs, frozen=True):
    """The worker that reports in a record's stead."""

    account: AccountId
    group: Segment
    id: Segment


class DeleteInputs(Inputs, frozen=True):
    account: AccountId
    machine: MachineId
    addresses: dict[str, ServiceUrl]
    elsewhere: Elsewhere
    minutes: Minutes


class VerifyElsewhereInputs(DeleteInputs, frozen=True):
    after: str


class DeleteGroupInputs(Inputs, frozen=True):
    account: AccountId
    addresses: dict[str, ServiceUrl]


class DeleteAccountInputs(DeleteGroupInputs, frozen=True):
    identity: Identity | None = None


# requests


def worker_path(inputs: Mapping[str, Any]) -> str:
    """The ARM id of the worker that the inputs name."""
    return f"{inputs['account']}/hybridRunbookWorkerGroups/{inputs['group']}/hybridRunbookWorkers/{inputs['worker']}"


def extension_path(inputs: Mapping[str, Any]) -> str:
    """The ARM id of the extension that the inputs name."""
    return f"{inputs['machine']}/extensions/{inputs['extension']['name']}"


def _adds(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
    return (Request("PUT", f"{arm}{worker_path(step.inputs)}"),)


def _releases(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
    return (Request("DELETE", f"{arm}{extension_path(step.inputs)}"),)


def _registers(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
    inputs = step.inputs
    return (Request("PUT", f"{arm}{extension_path(inputs)}"), Request("PUT", f"{arm}{worker_path(inputs)}"))


# what must hold beyond a step's own inputs


def _worker_fits(step: Step) -> Iterable[str]:
    inputs = step.inputs
    if inputs["worker"] != worker_id(str(inputs["account"]), str(inputs["machine"])):
        yield "its worker is not the one of that machine in that account"


def _is_worker(step: Step, around: Around) -> Iterable[str]:
    """A machine that the assessment did not see is no host of the step."""
    yield from _worker_fits(step)
    if step.host:
        yield from same_inputs(step, machine=step.host)


def _on_machine(step: Step, around: Around) -> Iterable[str]:
    yield from _worker_fits(step)
    yield from same_inputs(step, machine=step.host)
    yield from result_of(step, around, "account_step", "verify-plan", str(step.inputs["account"]))


def _reached(step: Step, around: Around) -> Iterable[str]:
    yield from _on_machine(step, around)
    yield from same_inputs(step, machine=step.target)


def _extension_held(step: Step, around: Around) -> Iterable[str]:
    yield from _on_machine(step, around)
    vault = (step.inputs["extension"]["properties"].get("protectedSettingsFromKeyVault") or {}).get("secretUrl")
    named = str(step.inputs["protected"])
    if named.startswith("vault:") != bool(vault) or (vault and ArmId(named.removeprefix("vault:")) != str(vault)):
        yield f"its protected settings come from {named}, and its extension names {vault or 'no key vault'}"


def _installed(step: Step, around: Around) -> Iterable[str]:
    yield from _extension_held(step, around)
    yield from result_of(step, around, "added_by", "add", step.target)
    released = next((around[need] for need in step.needs if need in around), None)
    if released is None or released.action != "release" or released.inputs.get("extension") != step.inputs["extension"]:
        yield "it does not install what the step before it took off"


def _verified(step: Step, around: Around) -> Iterable[str]:
    yield from _is_worker(step, around)
    for key in ("after", "added_by"):
        other = around.get(str(step.inputs[key]))
        by_hand = other is None and key == "added_by" and not step.needs
        if not by_hand and (other is None or other.environment != step.environment):
            yield f"its input {key} names no step of the same worker"


def _by_hand(step: Step, around: Around) -> Iterable[str]:
    """What a person is to type is one simple ``az`` command a line, on the hybrid worker's extension."""
    for line in step.inputs["commands"]:
        command = line.partition("   # ")[0]
        try:
            words = shlex.split(command)
        except ValueError:
            words = []
        if not words or shlex.join(words) != command or not _allowed(words):
            yield f"its command {line!r:.200} is none that moves a hybrid worker"


def _allowed(words: Sequence[str]) -> bool:
    if words[:4] == ["az", "resource", "show", "--ids"]:
        return True
    if words[:3] not in (["az", "vm", "extension"], ["az", "connectedmachine", "extension"]):
        return False
    options = dict(pairwise(words))
    if words[3:4] == ["delete"]:
        return options.get("-n") in TYPES | {"HybridWorkerExtension"}
    kinds = {options.get("--type", options.get("-n"))}
    return words[3:4] in (["set"], ["create"]) and options.get("--publisher") == PUBLISHER and kinds <= TYPES


def _record_deleted(step: Step, around: Around) -> Iterable[str]:
    yield from same_inputs(step, account=step.plan)
    if not step.target.lower().startswith(f"{step.plan.lower()}/"):
        yield "its target is no record of its account"


def _seen_elsewhere(step: Step, around: Around) -> Iterable[str]:
    yield from same_inputs(step, account=step.plan)


def _part_deleted(step: Step, around: Around) -> Iterable[str]:
    yield from same_inputs(step, account=step.plan)
    if not f"{step.target.lower()}/".startswith(f"{step.plan.lower()}/"):
        yield "its target is no part of its account"


def _group_made(step: Step, around: Around) -> Iterable[str]:
    account = step.target.rpartition("/hybridRunbookWorkerGroups/")[0].lower()
    verified = (around[need] for need in step.needs if need in around)
    if not any(step.action == "verify-plan" and step.target.lower() == account for step in verified):
        yield "its account is not the one that was verified before"


def fits(held: Mapping[str, Any]) -> bool:
    """Whether a recorded extension is the hybrid worker's, with nothing in it that its table does not have."""
    try:
        msgspec.convert(held, Extension)
    except msgspec.ValidationError:
        return False
    return True


def unusual(step: Step) -> list[str]:
    """What of an extension was recorded, is put back, and is not what the documentation installs."""
    held = step.inputs["extension"]
    properties = held["properties"]
    odd = []
    for key, value in sorted((properties.get("settings") or {}).items()):
        if key != URL:
            odd.append(
                f"the recorded setting {key} = {value_in_words(value)} is put back; the documentation has {URL} alone"
            )
    version = str(properties.get("typeHandlerVersion") or VERSION)
    # Azure may tell the third number too, which is not for an installation to choose.
    if version.split(".")[:2] != VERSION.split("."):
        odd.append(f"version {version}, where the documentation has {VERSION}")
    usual = {"publisher", "type", "typeHandlerVersion", "settings", "autoUpgradeMinorVersion", "enableAutomaticUpgrade"}
    for key, value in sorted(properties.items()):
        if key not in usual:
            odd.append(f"{key} = {value_in_words(value)}, which the documentation does not have")
    if held.get("tags"):
        odd.append(f"tags {value_in_words(held['tags'])}")
    return odd


def source_of(own: HybridWorkerSettings, machine: str, extension: Mapping[str, Any]) -> str:
    """Where a machine's protected settings come from, as drkit.toml says: ``none``, ``env:NAME``, ``file:PATH``, ``vault:URL``, ``ask``.

    An extension that was recorded with a key vault's secret takes them from there only where drkit.toml names that very secret.
    """
    named = {name.lower(): source for name, source in own.protected.items()}
    source = named.get(machine.lower()) or named.get(ArmId(machine).name.lower()) or own.protected_settings
    vault = str(((extension.get("properties") or {}).get("protectedSettingsFromKeyVault") or {}).get("secretUrl") or "")
    if vault or source.startswith("vault:"):
        same = source.startswith("vault:") and ArmId(source.removeprefix("vault:")) == vault
        return source if same else "ask"
    return source


def _place(step: Step) -> str:
    return f"products.{PRODUCT}.protected of {step.inputs['machine']}"


def _protected(step: Step, settings: Settings) -> dict[str, str]:
    own = settings_of(settings)
    return {_place(step): source_of(own, str(step.inputs["machine"]), step.inputs["extension"])}


def _named(step: Step) -> dict[str, str]:
    return {_place(step): str(step.inputs["protected"])}


def _replica(step: Step, settings: Settings) -> dict[str, str]:
    other = replica_of(step.plan, settings_of(settings).replicas)
    return {f"products.{PRODUCT}.replicas of {step.plan}": other or "none"}


def _ready_host(step: Step) -> Iterable[Needed]:
    yield needed(step.host, "instance_id")
    yield needed(step.host, "running", True)
    yield needed(step.host, "agent", "ready")


def _reach_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.host, "instance_id")


def _release_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield from occasion.still(step)
    yield from _ready_host(step)
    yield needed(step.host, "identity", True)
    yield needed(step.host, "may-change-extensions", True)
    # What somebody else changed since is not taken off.
    if named := (step.inputs["extension"]["properties"].get("settings") or {}).get(URL):
        yield needed(step.host, "serves", named)


def _register_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield from occasion.home(step)
    yield from _ready_host(step)


def _delete_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.plan, "answers", "yes")
    yield needed(step.target, "machine")
    yield needed(step.target, "idle", True)
    yield needed(str(step.inputs["elsewhere"]["id"]), "stands", "yes")


def _group_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.plan, "answers", "yes")
    yield needed(step.target, "empty", True)


def _account_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield from _group_required(step, occasion)
    yield needed(step.target, "made-for")


ACTIONS: Actions = {
    "create-plan": Action(
        "create",
        ACCOUNT,
        CreateAccountInputs,
        ("PUT",),
        on_target("PUT"),
        body_made("account"),
        required=creation_required,
    ),
    "verify-plan": Action("verify", ACCOUNT, Identified, bound=_replica, required=home_required),
    "create-group": Action(
        "create", WORKER_GROUP, CreateGroupInputs, ("PUT",), on_target("PUT"), _group_made, required=still_required
    ),
    "add": Action("create", NAME, AddInputs, ("PUT",), _adds, _is_worker, required=still_required),
    "reach": Action(
        "verify",
        VM,
        ReachInputs,
        ("POST",),
        run_command("machine"),
        _reached,
        channel="machine",
        required=_reach_required,
    ),
    "release": Action(
        "release",
        NAME,
        ReleaseInputs,
        ("DELETE",),
        _releases,
        _extension_held,
        unusual,
        _protected,
        _named,
        required=_release_required,
    ),
    "register": Action(
        "register",
        NAME,
        RegisterInputs,
        ("PUT",),
        _registers,
        _installed,
        unusual,
        _protected,
        _named,
        required=_register_required,
    ),
    "verify": Action("verify", NAME, VerifyInputs, check=_verified),
    "verify-again": Action("verify", NAME, VerifyInputs, check=_verified),
    "by-hand": Action("ask", NAME, ByHandInputs, check=_by_hand),
    "delete": Action(
        "delete", RECORD, DeleteInputs, ("DELETE",), on_target("DELETE"), _record_deleted, required=_delete_required
    ),
    "verify-elsewhere": Action("verify", NAME, VerifyElsewhereInputs, check=_seen_elsewhere),
    "delete-group": Action(
        "delete",
        WORKER_GROUP,
        DeleteGroupInputs,
        ("DELETE",),
        on_target("DELETE"),
        _part_deleted,
        required=_group_required,
    ),
    "delete-plan": Action(
        "delete",
        ACCOUNT,
        DeleteAccountInputs,
        ("DELETE",),
        on_target("DELETE"),
        _part_deleted,
        required=_account_required,
    ),
}
