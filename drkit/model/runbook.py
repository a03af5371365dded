"""What the planner proposes and people approve: steps, what was left alone, guards; canonical bytes and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from drkit.errors import FileError, UsageError
from drkit.model import suggest
from drkit.model.cloud import CloudMark
from drkit.model.estate import Environment, Leftover

RunbookKind = Literal["failover", "repair", "failback", "cleanup"]
Effect = Literal["create", "register", "release", "disable", "verify", "wait", "ask", "delete"]
Criticality = Literal["critical", "optional"]
MARKERS = frozenset({"runbook/1", "runbook/2"})
WRITES: frozenset[str] = frozenset({"create", "register", "release", "disable", "delete"})
DELETING_KINDS: frozenset[str] = frozenset({"failback", "cleanup"})
GUARDS = ("only-source-plans", "no-deletion", "only-cleanup", "confident-verdicts", "no-write-to-lost-region")
NEVER_FORCED: frozenset[str] = frozenset({"no-deletion"})
OF_CLEANUP: frozenset[str] = frozenset({"delete", "verify", "wait", "ask"})


class Precondition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was observed and must still hold just before the step: the subject, the signal, its value, and the source that read it."""

    subject: str
    signal: str
    expected: Any
    source: str


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a step is expected to cost: calls to Azure, and seconds."""

    calls: int
    seconds: float


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One effect. ``id`` is ``product:target:action``; ``inputs`` never hold a secret; ``environment`` is whose recovery it serves."""

    id: str
    product: str
    action: str
    target: str
    title: str
    reason: str
    effect: Effect
    estimate: Estimate
    needs: tuple[str, ...] = ()
    inputs: dict[str, Any] = {}
    preconditions: tuple[Precondition, ...] = ()
    criticality: Criticality = "optional"
    environment: str = ""
    plan: str = ""
    host: str = ""
    region: str = ""
    wave: int = 0
    confidence: str = ""


class Affected(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One affected environment and what the runbook does for it; ``proof_step`` is the step that proves it recovered."""

    environment: str
    name: str
    plan: str
    owner: str
    disposition: str
    reason: str
    data_at_risk: str
    verdict: str = ""
    host: str = ""
    proof_step: str = msgspec.field(name="final", default="")

    @classmethod
    def of(
        cls,
        environment: Environment,
        disposition: str,
        reason: str,
        *,
        plan: str = "",
        verdict: str = "",
        host: str = "",
        proof_step: str = "",
    ) -> Affected:
        """What a runbook says of an environment; ``plan``: the plan it is dealt with under, when not its own."""
        return cls(
            environment=environment.id,
            name=environment.name,
            plan=plan or environment.plan,
            owner=environment.owner,
            disposition=disposition,
            reason=reason,
            data_at_risk=environment.data_at_risk,
            verdict=verdict,
            host=host,
            proof_step=proof_step,
        )


class LeftAlone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Considered and left alone, why, and the command that would change it."""

    subject: str
    name: str
    reason: str
    remedy: str = ""


class GuardResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One guard: whether it passed, what it saw, and the reason it was forced with (empty: not forced)."""

    name: str
    passed: bool
    detail: str
    forced: str = ""


class Takeover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plan that takes over from another, by its ARM id, and why that one: who or what named it."""

    plan: str
    why: str


class Runbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An ordered graph of steps. ``rebases``: the run whose rest this is; ``source_run``: the run that it mirrors or cleans up after.

    ``settings``: what drkit.toml said of things that change what the steps do, by the place in it; a run refuses to continue where it
    says otherwise. ``target_plans``: source plan -> what takes over from it. ``runbook/1`` has neither.

    ``leftovers``: what is deferred to a cleanup once the steps that prove it superfluous are done.
    ``only_assumed``: it is for a loss that nobody observed.

    Every key sorts after ``drkit``, so the canonical bytes begin with the marker.
    """

    drkit: Literal["runbook/1", "runbook/2"] = "runbook/2"
    environments: tuple[Affected, ...] = ()
    guards: tuple[GuardResult, ...] = ()
    kind: RunbookKind
    leftovers: tuple[Leftover, ...] = msgspec.field(name="leaves_behind", default=())
    unchanged: tuple[LeftAlone, ...] = msgspec.field(name="left_alone", default=())
    lost_regions: tuple[str, ...] = ()
    cloud: CloudMark = msgspec.field(name="made_against")
    drkit_version: str = msgspec.field(name="made_with")
    notes: tuple[str, ...] = ()
    of_assessment: str
    source_run: str = msgspec.field(name="of_run", default="")
    snapshot_digest: str = msgspec.field(name="of_snapshot")
    # Left out of the bytes where it does not hold, so that runbooks made before there were assumptions stay canonical.
    only_assumed: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    rebases: str = ""
    scripts: dict[str, str] = {}
    settings: dict[str, str] = {}
    source_plans: dict[str, str] = {}
    steps: tuple[Step, ...] = ()
    target_plans: dict[str, Takeover] = {}
    target_regions: dict[str, str] = {}

    @property
    def assumed(self) -> bool:
        """Whether it was planned on an assumption; then it can be neither approved nor carried out."""
        return self.only_assumed is True

    @property
    def asking(self) -> frozenset[str]:
        """The ids of the steps that a person answers."""
        return frozenset(step.id for step in self.steps if step.effect == "ask")

    def step(self, step_id: str) -> Step:
        """The step of that id; KeyError when there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def find(self, text: str) -> Step:
        """The one step whose id is, begins with or contains ``text``; UsageError naming the candidates otherwise."""
        exact = [step for step in self.steps if step.id == text]
        matches = exact or [step for step in self.steps if text in step.id]
        if len(matches) == 1:
            return matches[0]
        listed = f"one of: {', '.join(step.id for step in (matches or self.steps)[:8])}"
        raise UsageError(
            f"{'no step' if not matches else 'more than one step'} is called {text!r}",
            remedy=listed if matches else suggest.remedy(text, (step.id for step in self.steps), listed),
        )


def encode(runbook: Runbook) -> bytes:
    """Canonical bytes: UTF-8, sorted keys, no insignificant whitespace, one final newline."""
    return msgspec.json.encode(runbook, order="sorted") + b"\n"


def digest(content: bytes) -> str:
    """The sha256 of a runbook's exact bytes; what an approval names."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes, where: str) -> Runbook:
    """A runbook from its bytes. FileError for anything that is not one, canonical, sound and of this version."""
    try:
        kind = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "is empty" if not content.strip() else f"is not JSON: {error}"
        raise FileError(what, where=where, remedy="`drkit plan` writes a new one") from error
    marker = kind.get("drkit") if isinstance(kind, dict) else None
    if not isinstance(marker, str) or marker not in MARKERS:
        raise FileError(*_wrong_marker(marker, "runbook"), where=where, remedy="`drkit plan` writes a new one")
    try:
        runbook = msgspec.json.decode(content, type=Runbook)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise FileError(
            f"breaks the schema of a runbook: {error}", where=where, remedy="`drkit plan` writes a new one"
        ) from error
    if marker == "runbook/1" and (runbook.settings or runbook.target_plans):
        raise FileError("is a runbook/1 with keys of runbook/2", where=where, remedy="`drkit plan` writes a new one")
    if (known := encode(runbook)) != content and not (
        msgspec.json.encode(kind, order="sorted") + b"\n" == content
        and _says_no_other(kind, msgspec.json.decode(known))
    ):
        raise FileError(
            "is not canonical (spacing, order of keys or the final newline was changed)",
            where=where,
            remedy="use the file exactly as `drkit plan` wrote it",
        )
    faults = [*faults_of(runbook.steps), *_guard_faults(runbook)]
    if faults:
        raise FileError("; ".join(faults), where=where, remedy="`drkit plan` writes a new one")
    return runbook


def _says_no_other(written: Any, whole: Any) -> bool:
    """Whether values are those of the whole runbook, fields left out that were unknown when it was written.

    A drkit that is upgraded in the middle of an outage continues with what was approved before.
    """
    if isinstance(written, dict) and isinstance(whole, dict):
        return all(key in whole and _says_no_other(value, whole[key]) for key, value in written.items())
    if isinstance(written, list) and isinstance(whole, list):
        return len(written) == len(whole) and all(map(_says_no_other, written, whole))
    return type(written) is type(whole) and bool(written == whole)


def _wrong_marker(marker: object, wanted: str) -> tuple[str]:
    if isinstance(marker, str) and marker.startswith(f"{wanted}/"):
        return (f"is {marker}, written by a newer drkit; this one reads {wanted}/1 and {wanted}/2",)
    return (f"is not a {wanted} (its marker is {marker!r})",)


def faults_of(steps: Sequence[Step]) -> list[str]:
    """What is unsound in a list of steps: repeated ids, needs that are not there or come later."""
    faults: list[str] = []
    seen: set[str] = set()
    for step in steps:
        if step.id in seen:
            faults.append(f"step {step.id} is there twice")
        for need in step.needs:
            if need not in seen:
                faults.append(f"step {step.id} needs {need}, which is not before it")
        seen.add(step.id)
    return faults


def _guard_faults(book: Runbook) -> list[str]:
    """What its guards say that no planner writes: the approver would read that a guard passed where it was forced."""
    faults = []
    for number, guard in enumerate(book.guards):
        if guard.name not in GUARDS or guard.name in {earlier.name for earlier in book.guards[:number]}:
            faults.append(f"it has a guard {guard.name!r:.80} that there is not, or twice")
        if guard.passed == bool(guard.forced):
            faults.append(
                f"guard {guard.name[:80]} is said to have {'passed and been' if guard.passed else 'neither passed nor been'} forced"
            )
        if guard.forced and guard.name in NEVER_FORCED and book.drkit != "runbook/1":
            faults.append(f"guard {guard.name} is said to be forced, which cannot be")
    return faults
