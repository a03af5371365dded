"""What a step may do: each product's table of actions, and a runbook looked at against the tables of all. Pure.

A step's product and action decide its effect, the requests it sends, and the shape of its target and its inputs. Its title and its
reason are for people and decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from drkit.errors import FileError
from drkit.model.ids import ArmId
from drkit.model.operation import Request
from drkit.model.runbook import Effect, Runbook, RunbookKind, Step
from drkit.model.settings import Settings

MOST_FAULTS = 5
NAME = r"(?!\.{1,2}(?:/|\Z))[^/?#%\\\x00-\x20\x7f]+"
"""One segment of a path, as a regular expression: nothing that could mean another path on the wire."""
GROUP = rf"/subscriptions/{NAME}/resourceGroups/{NAME}"
MACHINE = rf"{GROUP}/providers/(?:Microsoft\.Compute/virtualMachines|Microsoft\.HybridCompute/machines)/{NAME}"
VM = rf"{GROUP}/providers/Microsoft\.Compute/virtualMachines/{NAME}"
REGION = r"[a-z0-9-]{1,64}"

# JSON Schema's patterns are found anywhere, so each begins and ends here; the letters of an ARM id are compared without case.
Region = Annotated[str, Meta(pattern=rf"^{REGION}\Z")]
MachineId = Annotated[str, Meta(pattern=rf"(?i)^{MACHINE}\Z")]
VmId = Annotated[str, Meta(pattern=rf"(?i)^{VM}\Z")]
Segment = Annotated[str, Meta(pattern=rf"^{NAME}\Z", max_length=256)]
Minutes = Annotated[float, Meta(gt=0, le=7 * 24 * 60)]


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shape of the inputs of one action. A key that it does not have is refused."""


class NoInputs(Inputs, frozen=True):
    """An action without inputs."""


class SystemAssigned(Inputs, frozen=True):
    """An identity that Azure makes with a plan."""

    type: Literal["SystemAssigned"]


class Identity(Inputs, frozen=True):
    """Whose identity ends with a plan, and what it was granted: for the report, and sent nowhere."""

    plan: str
    was: str
    grants: tuple[dict[str, str], ...] = ()
    on_plan: tuple[dict[str, str], ...] = ()
    unread: bool = False


class Identified(Inputs, frozen=True):
    """An action that may tell of an identity."""

    identity: Identity | None = None


Requests = Callable[[Step, str, Settings], tuple[Request, ...]]
"""The writes of a step: from the step, the address of ARM without a final slash, and the settings. Pure."""


def no_requests(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
    """An action that sends no write."""
    return ()


def on_target(method: str) -> Requests:
    """One request of that method to the target's own ARM id."""

    def requests(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
        return (Request(method, f"{arm}{step.target}"),)

    return requests


def run_command(key: str) -> Requests:
    """The run command of the virtual machine that the input ``key`` names."""

    def requests(step: Step, arm: str, settings: Settings) -> tuple[Request, ...]:
        return (Request("POST", f"{arm}{step.inputs[key]}/runCommand"),)

    return requests


Around = Mapping[str, Step]
"""The steps of a runbook by their id, for a rule that looks beyond its own step."""


def nothing_more(step: Step, around: Around) -> Iterable[str]:
    """No further rule."""
    return ()


def nothing_told(step: Step) -> Sequence[str]:
    """Nothing that differs from the product's own defaults."""
    return ()


def nothing_bound(step: Step, settings: Settings) -> Mapping[str, str]:
    """No setting that changes what the step does."""
    return {}


def nothing_named(step: Step) -> Mapping[str, str]:
    """No setting that the step's inputs name themselves."""
    return {}


@dataclass(frozen=True)
class Needed:
    """A precondition that a step must carry: one of these subjects, the signal, and its value (``ANY``: whatever was observed)."""

    subjects: frozenset[str]
    signal: str
    expected: Any

    def __str__(self) -> str:
        value = "" if self.expected is ANY else f" = {value_in_words(self.expected)}"
        return f"{self.signal}{value} of {' or '.join(sorted(self.subjects)) or 'a plan that is verified'}"

    def met(self, step: Step) -> bool:
        """Whether the step carries it."""
        return any(
            precondition.signal == self.signal
            and precondition.subject.lower() in self.subjects
            and (
                self.expected is ANY
                or (type(precondition.expected) is type(self.expected) and precondition.expected == self.expected)
            )
            for precondition in step.preconditions
        )


ANY = object()
"""Stands for every value."""


def needed(subject: str, signal: str, expected: Any = ANY) -> Needed:
    """A precondition on one subject."""
    return Needed(frozenset({subject.lower()}), signal, expected)


@dataclass(frozen=True)
class Occasion:
    """What a runbook is for: its kind, whether it moves away from what is lost, and the plans in it that are verified, in lower case."""

    kind: RunbookKind
    lost: bool
    verified: frozenset[str]

    @classmethod
    def of(cls, book: Runbook) -> Occasion:
        """That of a runbook."""
        verified = (step.target.lower() for step in book.steps if step.effect == "verify" and not step.environment)
        return cls(book.kind, book.kind == "failover" and bool(book.lost_regions), frozenset(verified))

    def still(self, step: Step) -> Iterable[Needed]:
        """That the plan that is left is still lost; in a failback, that the plan gone back to still answers."""
        if self.kind == "failback":
            yield Needed(self.verified, "answers", "yes")
        elif self.lost:
            yield needed(step.plan, "answers", "no")

    def home(self, step: Step) -> Iterable[Needed]:
        """In a failback, that the plan gone back to still answers."""
        return self.still(step) if self.kind == "failback" else ()


def nothing_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    """No precondition that a step must carry."""
    return ()


def still_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    """As ``Occasion.still``."""
    return occasion.still(step)


def home_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    """As ``Occasion.home``."""
    return occasion.home(step)


def creation_required(step: Step, occasion: Occasion) -> Iterable[Needed]:
    """That a plan is not there yet, and as ``Occasion.still``."""
    yield needed(step.target, "exists", False)
    yield from occasion.still(step)


@dataclass(frozen=True)
class Action:
    """One row of a product's table.

    ``target``: a regular expression that the whole target matches, without case. ``inputs``: their shape. ``methods``: those of its
    requests; none for an action that only looks or asks. ``check``: what else must hold between the step and the rest of its
    runbook, as sentences that say what does not. ``unusual``: what a snapshot brought into the inputs that differs from the
    product's own defaults, as sentences for who approves. ``bound``: the settings that change what the step does, by their place in
    drkit.toml; they are approved with it. ``named``: what its inputs say of those. ``channel``: the input that names the virtual
    machine whose run command it uses. ``required``: the preconditions that a step must carry, by what its runbook is for.
    """

    effect: Effect
    target: str
    inputs: type[msgspec.Struct] = NoInputs
    methods: tuple[str, ...] = ()
    requests: Requests = no_requests
    check: Callable[[Step, Around], Iterable[str]] = nothing_more
    unusual: Callable[[Step], Sequence[str]] = nothing_told
    bound: Callable[[Step, Settings], Mapping[str, str]] = nothing_bound
    named: Callable[[Step], Mapping[str, str]] = nothing_named
    channel: str = ""
    required: Callable[[Step, Occasion], Iterable[Needed]] = nothing_required

    @property
    def verifies(self) -> bool:
        """Whether its steps are carried out by asking the service (``Actor.verify``): effect ``verify``, and no requests to send."""
        return self.effect == "verify" and not self.methods


Actions = Mapping[str, Action]
"""Action -> what it does."""
Tables = Mapping[str, Actions]
"""Product -> its table."""


def action_of(step: Step, tables: Tables) -> Action | None:
    """The row of a step; None where there is none."""
    return tables.get(step.product, {}).get(step.action)


def announced(step: Step, tables: Tables, arm: str, settings: Settings) -> tuple[Request, ...]:
    """Each write that a step may send, as its product's table says. KeyError for a step that no table has."""
    return tables[step.product][step.action].requests(step, arm.rstrip("/"), settings)


def every_request(
    steps: Iterable[Step], tables: Tables, arm: str, settings: Settings
) -> dict[str, tuple[Request, ...]]:
    """Step id -> its writes, for steps that the tables have."""
    return {step.id: announced(step, tables, arm, settings) for step in steps if action_of(step, tables) is not None}


def faults(steps: Iterable[Step], tables: Tables, beside: Iterable[Step] = ()) -> list[str]:
    """How steps break the tables, as sentences; empty when none does. ``beside``: further steps of their runbook, not looked at."""
    own = {step.id: step for step in steps}
    around = {**{step.id: step for step in beside}, **own}
    return [f"step {step.id}: {fault}" for step in own.values() for fault in _faults(step, around, tables)]


def check(book: Runbook, tables: Tables, where: str) -> None:
    """FileError for a runbook that breaks a table: it is no runbook."""
    problems = faults(book.steps, tables) or unheld(book, tables)
    if problems:
        more = f"; and {len(problems) - MOST_FAULTS} more" if len(problems) > MOST_FAULTS else ""
        raise FileError(
            f"is no runbook that this drkit carries out: {'; '.join(problems[:MOST_FAULTS])}{more}",
            where=where,
            remedy="`drkit plan` writes one; find out who wrote this one",
        )


def unheld(book: Runbook, tables: Tables) -> list[str]:
    """Preconditions that the tables require and steps lack, as sentences. ``runbook/1`` was written before there were such rules."""
    if book.drkit == "runbook/1":
        return []
    occasion = Occasion.of(book)
    problems: list[str] = []
    for step in book.steps:
        row = action_of(step, tables)
        if row is None:
            continue
        # Of every product: nothing is released from a plan that answers again.
        wanted = (*row.required(step, occasion), *(occasion.still(step) if step.effect == "release" else ()))
        problems.extend(
            f"step {step.id}: it does not depend on {requirement}"
            for requirement in wanted
            if not requirement.met(step)
        )
    return list(dict.fromkeys(problems))


def _faults(step: Step, around: Around, tables: Tables) -> list[str]:
    table = tables.get(step.product)
    if table is None:
        return [f"there is no product {step.product!r} here"]
    action = table.get(step.action)
    if action is None:
        return [f"{step.product} has no action {step.action!r}"]
    problems = []
    if step.effect != action.effect:
        problems.append(f"the effect of {step.action} is {action.effect}, not {step.effect}")
    if not step.id.startswith(f"{step.product}:") or not step.id.endswith(f":{step.action}"):
        problems.append(f"its id does not say that it is {step.action} of {step.product}")
    if not re.fullmatch(action.target, step.target, re.IGNORECASE):
        problems.append(f"the target of {step.action} is not of the right kind: {step.target!r:.200}")
    try:
        msgspec.convert(step.inputs, action.inputs)
    except msgspec.ValidationError as error:
        return [*problems, f"its inputs are not those of {step.action}: {error}"]
    return [*problems, *action.check(step, around)]


def same_inputs(step: Step, **wanted: str) -> list[str]:
    """Sentences for inputs that are not what the step itself says: ``machine=step.host``."""
    return [
        f"its input {key} is {step.inputs.get(key)!r:.200}, not {value!r:.200}"
        for key, value in wanted.items()
        if ArmId(str(step.inputs.get(key, ""))) != value
    ]


def body_made(what: str) -> Callable[[Step, Around], Iterable[str]]:
    """The rule for a body that makes a plan: its region is the step's, and its source the step's plan. ``what``: the plan's noun."""

    def rule(step: Step, around: Around) -> Iterable[str]:
        location = step.inputs["body"].get("location")
        if location != step.region:
            yield f"the {what}'s body is for {location!r}, not {step.region!r}"
        yield from same_inputs(step, source=step.plan)

    return rule


def result_of(step: Step, around: Around, key: str, action: str, target: str) -> list[str]:
    """Sentences where the step that the input ``key`` names is not that action of the same product on that target."""
    named = str(step.inputs.get(key, ""))
    other = around.get(named)
    if other is None or other.product != step.product or other.action != action or ArmId(other.target) != target:
        return [f"its input {key} names {named!r:.200}, which is no {action} of {target}"]
    return []


# what resource groups need, which no product owns


class GroupInputs(Inputs, frozen=True):
    """Of a resource group to be made."""

    location: Region
    tags: dict[str, str]


def _new_group(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.target, "location", "")


def _own_group(step: Step, occasion: Occasion) -> Iterable[Needed]:
    yield needed(step.target, "made-by")
    yield needed(step.target, "empty", True)


SHARED = "azure"
"""The actor that no product is: what makes the groups that all of them share."""
GROUPS: Actions = {
    "create": Action("create", GROUP, GroupInputs, ("PUT",), on_target("PUT"), required=_new_group),
    "delete": Action("delete", GROUP, NoInputs, ("DELETE",), on_target("DELETE"), required=_own_group),
}


def value_in_words(value: Any) -> str:
    """An input's value whole, in one line."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, order="sorted").decode()


# the settings that are approved with it


def bound(book: Runbook, tables: Tables, settings: Settings) -> dict[str, str]:
    """The settings that change what a runbook's steps do: place in drkit.toml -> value, as they are now. No secrets."""
    own = {host.id.lower(): host.channel for host in settings.hosts if host.id and host.channel}
    values: dict[str, str] = {}
    if book.kind == "failover":
        for region in sorted(set(book.target_regions.values())):
            among = not settings.targets or region in settings.targets
            values[f"targets names {region}"] = "yes" if among else "no"
    for step in book.steps:
        row = action_of(step, tables)
        if row is None:
            continue
        values |= row.bound(step, settings)
        if row.channel:
            host = str(step.inputs[row.channel])
            values[f"channel of {host}"] = own.get(host.lower()) or settings.channels.azure_vm or "none"
    return dict(sorted(values.items()))


def differences(book: Runbook, tables: Tables, settings: Settings) -> list[str]:
    """Where drkit.toml says something else than what was approved, as sentences. ``runbook/1`` names what its inputs name only."""
    now = bound(book, tables, settings)
    wanted = {
        place: value
        for step in book.steps
        if (row := action_of(step, tables)) is not None
        for place, value in row.named(step).items()
    }
    if book.drkit != "runbook/1":
        wanted = {**dict.fromkeys(now, "nothing"), **book.settings, **wanted}
    return [
        f"{place} is {now.get(place, 'not set')}, and {value} was approved"
        for place, value in sorted(wanted.items())
        if now.get(place) != value
    ]
