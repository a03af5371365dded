"""What a product is to the rest of drkit: one Protocol, and the values that pass through it.

A product's pure half (``need``, ``propose``) decides; the other half reads and acts through the session it is handed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from drkit.errors import DrkitError
from drkit.model import host_scripts
from drkit.model.clock import Clock
from drkit.model.estate import Capture, Environment, Plan, Reading, Snapshot, TargetFacts
from drkit.model.ids import ArmId
from drkit.model.operation import Operation, Request
from drkit.model.runbook import Runbook, Step
from drkit.model.settings import Settings
from drkit.planning.proposal import Proposer

if TYPE_CHECKING:
    from drkit.providers.session import Session


class StepFailedError(DrkitError):
    """A step ended badly, and it is known how.

    ``code`` is Azure's or the product's word; ``again``: a retry may help; ``reopen``: steps to be done again before this one.
    ``settled``: nothing that this attempt began is still under way, so the next attempt may begin again from the start (default: unless
    ``again``); otherwise the next one continues under the same nonce.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        code: str = "",
        again: bool = False,
        reopen: tuple[str, ...] = (),
        settled: bool | None = None,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.code = code
        self.again = again
        self.reopen = reopen
        self.settled = not again if settled is None else settled


class RegisteredElsewhereError(StepFailedError):
    """Somebody else's registration is on the host: nothing was written over it. ``another``: whose, as far as it is known."""

    def __init__(self, what: str, *, another: str, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy, code="RegisteredElsewhere")
        self.another = another


@dataclass(frozen=True)
class Captured:
    """What a capture found: plans with their grants, their environments, and how each reading went."""

    plans: tuple[Plan, ...] = ()
    environments: tuple[Environment, ...] = ()
    captures: tuple[Capture, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """Where a plan's own regional service is asked whether it is there: its region, and a URL that needs no token."""

    region: str
    url: str


@dataclass(frozen=True)
class Observation:
    """What was seen just before a step: ``done`` says how it is done already (empty: it is not); ``readings`` answer the preconditions.

    ``changed``: id in lower case -> who changed that last and when, in words; empty if ARM does not tell.
    """

    done: str = ""
    readings: tuple[Reading, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, str] = field(default_factory=dict)


def changed_by(body: Mapping[str, Any]) -> str:
    """Who changed an ARM object last, and when, as its ``systemData`` has it; empty when that is not there."""
    data = body.get("systemData")
    if not isinstance(data, Mapping):
        return ""
    who, when = data.get("lastModifiedBy") or data.get("createdBy"), data.get("lastModifiedAt") or data.get("createdAt")
    return f"{who}{f' at {when}' if when else ''}" if who else ""


@dataclass(frozen=True)
class Result:
    """A step's good end: one sentence, and what is worth keeping of it (never a secret)."""

    detail: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepContext:
    """What a step may use: the session, time, settings, the runbook, results of earlier steps, a way to show a sign-in code.

    ``regions``: source plan id -> its region. ``salt``: random, of this run alone (see ``RunState.salt``). ``scripts``: those that
    may run on hosts.
    """

    run: str
    runbook: Runbook
    azure: Session
    clock: Clock
    settings: Settings
    attempt: int
    results: Callable[[str], Mapping[str, Any]]
    show_code: Callable[[str, str, str], None]
    regions: Mapping[ArmId, str] = field(default_factory=dict)
    epoch: int = 1
    salt: str = ""
    scripts: host_scripts.Scripts = field(default_factory=host_scripts.common)

    def nonce(self, step: str, attempt: int | None = None) -> str:
        """32 hexadecimal digits, the same for one attempt at one step of one run, in every process; nobody else can know them."""
        number = self.attempt if attempt is None else attempt
        salted = f"{self.salt}/" if self.salt else ""
        return hashlib.sha256(f"{salted}{self.run}/{step}/{number}".encode()).hexdigest()[:32]


def approved_script(step: Step, context: StepContext, name: str) -> host_scripts.HostScript:
    """The host script of that name as the runbook has it approved; StepFailedError when this drkit has none of that hash."""
    try:
        return context.scripts.approved(name, context.runbook.scripts.get(name, ""))
    except KeyError:
        raise StepFailedError(
            f"the script {name} is not the one that was approved",
            where=step.id,
            remedy="`drkit plan` again",
            code="ScriptChanged",
        ) from None


class Actor(Protocol):
    """What carries out steps: looks, acts once, polls, verifies."""

    def requests(self, step: Step, context: StepContext) -> tuple[Request, ...]:
        """The writes this step may make, announced in its intent."""
        ...

    async def observe(self, step: Step, context: StepContext) -> Observation:
        """Look before acting: is it done already, and what do the preconditions read now."""
        ...

    async def settle(self, step: Step, context: StepContext) -> Observation | Operation:
        """What came of requests of this step that may have left, where ``observe`` cannot see it. Does nothing itself.

        An operation: they are still being carried out, and it is to be waited for. Whatever is neither that nor done is proof
        that nothing came of them; where that cannot be learnt, this raises.
        """
        ...

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        """Carry out one step, once. Long work comes back as an operation that ``poll`` continues, here or in another process."""
        ...

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        """One look at an operation: itself or its next stage while it runs, the result at its end. StepFailedError when it failed."""
        ...

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        """Ask the service whether what the step names answers there, for its owner. An operation means: not yet."""
        ...


class Rehearsal(Protocol):
    """A product's part in a drill: its estate for the simulated Azure, and what people do there by hand."""

    def seed(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """What a captured estate puts into a simulator's seed: lists by key; ``on_hosts``: host id -> what its entry gains."""
        ...

    def settings(self, hints: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, str]]:
        """Lines of the drill's drkit.toml, and environment variables, from a seed's ``settings``."""
        ...

    def by_hand(self, step: Step, environment: Environment) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Control calls that stand for a person doing what an ``ask`` step says."""
        ...


class Product(Proposer, Actor, Protocol):
    """One kind of region-bound registration.

    ``health_services``: what Service Health calls what it depends on. ``table``: its table in drkit.toml, with a default for
    every key. ``rehearsal``: its part in a drill.
    """

    health_services: tuple[str, ...]
    table: type[msgspec.Struct]
    rehearsal: Rehearsal

    def settings_lines(self, plans: Sequence[Plan], environments: Sequence[Environment]) -> Sequence[str]:
        """What to begin with in its table of drkit.toml, with comments; no lines for nothing."""
        ...

    def registration_path(self, settings: Settings) -> str:
        """Where its registration is kept on a host; empty when it keeps none there."""
        ...

    def api_version(self, plan_id: str) -> str:
        """The api-version that knows this plan's type."""
        ...

    async def capture(self, azure: Session, subscriptions: Sequence[str], settings: Settings, clock: Clock) -> Captured:
        """Read what exists. Never raises for a plan that cannot be read: that is a failed capture of that plan."""
        ...

    def endpoint(self, plan: Plan, settings: Settings) -> Endpoint:
        """The service that this plan rests on, in its own region."""
        ...

    def controls(self, plan: Plan, plans: Sequence[Plan], settings: Settings) -> Sequence[Endpoint]:
        """The same service in other regions: when none of them answers either, it is us. ``plans``: the estate's."""
        ...

    async def answers(self, azure: Session, endpoint: Endpoint, clock: Clock) -> Reading:
        """Does it answer? Of its region, signal ``service``; value ``yes``, ``no`` or ``unknown``."""
        ...

    async def witnesses(self, azure: Session, settings: Settings, clock: Clock) -> Sequence[Reading]:
        """What the service says of itself apart from one region's answer: shown to people, never a claim. Signal ``status``."""
        ...

    async def target(
        self, azure: Session, subscription: str, region: str, snapshot: Snapshot, settings: Settings, clock: Clock
    ) -> TargetFacts:
        """What is in the way, or already there, in a target region."""
        ...


@runtime_checkable
class SeesWhatHostsCarry(Protocol):
    """A product whose capture reads what is registered on the hosts themselves; the others need not have this."""

    def carried(self, environment: Environment) -> str:
        """What a captured environment's host carries: empty where that is its own registration, or was not read; ``none``; whose."""
        ...


@runtime_checkable
class LeavesMarks(Protocol):
    """A product whose steps leave in a target what only drkit leaves there, with or without tags; the others need not have this."""

    async def marks(self, steps: Sequence[Step], context: StepContext) -> Sequence[tuple[str, str]]:
        """What of that is there already: the id of the step that would leave it, and what was found, in words. Reads only."""
        ...


def carried(product: object, environment: Environment | None) -> str | None:
    """What that product saw on a captured environment's host, as ``SeesWhatHostsCarry`` says it; None where it sees no such thing."""
    if not isinstance(product, SeesWhatHostsCarry):
        return None
    return product.carried(environment) if environment is not None else ""


@runtime_checkable
class RunsScripts(Protocol):
    """A product that runs scripts of its own on hosts; the others need not have this."""

    @property
    def host_scripts(self) -> host_scripts.Scripts:
        """Its scripts, without those that every product uses (``drkit.model.host_scripts.read_folder``)."""
        ...


@runtime_checkable
class ReadsByPost(Protocol):
    """A product whose provider lists by POST; the others need not have this."""

    @property
    def reading_posts(self) -> Sequence[str]:
        """These POSTs, below a resource group's providers, with ``*`` for one name: ``Microsoft.Web/sites/*/listThings``."""
        ...


@runtime_checkable
class KeepsDeleted(Protocol):
    """A product whose service keeps deleted plans for a while, and tells of them; the others need not have this."""

    async def deleted(self, azure: Session, subscription: str, now: str) -> Sequence[Reading]:
        """What was deleted and can be restored: signal ``deleted``, of the old id, its region as value, when as detail."""
        ...
