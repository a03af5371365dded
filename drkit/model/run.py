"""A run as values: the records of its journal, and the state that follows from them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from drkit.errors import FileError
from drkit.model.estate import Deferred, Leftover
from drkit.model.operation import Operation
from drkit.model.runbook import Runbook

GENESIS = "0" * 64
MOST_IGNORED = 20
"""How many ignored messages the state of a run lists: the last ones."""
RecordKind = Literal[
    "started", "approved", "intent", "operation", "done", "failed", "skipped", "asked", "answered", "drifted",
    "deferred", "control", "taken-over", "repaired", "ended",
]  # fmt: skip
StepStatus = Literal["pending", "open", "asked", "done", "failed", "skipped", "drifted"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a journal. ``hash`` is the SHA-256 of the line with an empty ``hash``, ``prev`` that of the line before."""

    drkit: str = "journal/1"
    seq: int
    time: str
    run: str
    token: int
    kind: RecordKind
    step: str = ""
    attempt: int = 0
    data: dict[str, Any] = {}
    prev: str
    hash: str = ""


@dataclass
class StepState:
    """The state of a step, from its records. Times are RFC 3339, and empty for what has not happened."""

    status: StepStatus = "pending"
    attempt: int = 0
    detail: str = ""
    code: str = ""
    began: str = ""
    ended: str = ""
    operation: Operation | None = None
    data: dict[str, Any] = field(default_factory=dict)
    who: str = ""
    said: bool = False
    """A person said that it is done; drkit has seen no proof."""
    retryable: bool = False
    """The reason of the failure may pass: a later attempt may succeed."""
    in_doubt: bool = False
    """What its last attempt began may still be under way: the next attempt continues under the same number."""
    intended: bool = False
    """An attempt recorded its intent: what exists there afterwards may be made by drkit."""

    @property
    def word(self) -> str:
        """The status as people read it: ``said`` for what only a person calls done."""
        return "said" if self.said and self.status == "done" else self.status


@dataclass
class RunState:
    """The state of a run: what the records of its journal add up to."""

    run: str = ""
    runbook: str = ""
    started: str = ""
    ended: str = ""
    outcome: str = ""
    approved_by: str = ""
    approved_how: str = ""
    holder: str = ""
    token: int = 0
    count: int = 0
    head: str = GENESIS
    steps: dict[str, StepState] = field(default_factory=dict)
    processed_messages: set[str] = field(default_factory=set)
    """File names of the messages in the journal: a message that is still in the inbox after a crash is not obeyed twice."""
    ignored: list[str] = field(default_factory=list)
    """The last messages that were ignored: from whom, which and why."""
    ignored_number: int = 0
    aborted: str = ""
    """By whom and why it was aborted. What was begun for a host is finished, and nothing else is begun."""
    paused: str = ""
    """By whom and why it was paused; ``unpause`` ends it."""
    deadline: str = ""
    """Why its holder stopped when ``[run] run_minutes`` were over; the next holder has as many minutes again."""
    minimum_share: float = 0.0
    salt: str = ""
    """128 random bits in hexadecimal, from which the nonces of its host scripts are made; empty for a run of version 0.1."""
    kept_out: str = ""
    """What was seen of another store's run before the first write. A resume continues: a person has read it by then."""
    resumed: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)
    deferred: dict[str, Deferred] = field(default_factory=dict)
    """What a cleanup may delete later, by id in lower case."""

    def of(self, step: str) -> StepState:
        """The state of a step, pending when nothing was recorded of it."""
        return self.steps.setdefault(step, StepState())

    @property
    def under_way(self) -> tuple[str, ...]:
        """The ids of the steps that were begun and have no known end."""
        return tuple(name for name, known in self.steps.items() if known.status == "open")


def fold(records: Iterable[Record]) -> RunState:
    """The state that these records add up to. FileError, with the line, for a record whose data is not that of its kind."""
    state = RunState()
    for record in records:
        try:
            add(state, record)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise FileError(
                f"its data is not that of {record.kind!r}: {type(error).__name__}: {error}",
                where=f"journal of {record.run}: line {record.seq + 1}",
                remedy="restore the file from a copy",
            ) from error
    return state


def add(state: RunState, record: Record) -> None:
    """Add one record to the state."""
    state.count, state.head, state.token, state.run = record.seq + 1, record.hash, record.token, record.run
    data = record.data
    if "heard" in data:
        state.processed_messages.add(str(data["heard"]))
    if record.kind == "started":
        state.runbook, state.started, state.holder = data["runbook"], record.time, data.get("holder", "")
        state.minimum_share = float(data.get("minimum_share", 0.0))
        state.salt = str(data.get("salt", ""))
    elif record.kind == "approved":
        state.approved_by, state.approved_how = data["who"], data["how"]
    elif record.kind == "taken-over":
        state.holder = data.get("holder", "")
        state.resumed += 1
        state.ended = state.outcome = state.deadline = ""
    elif record.kind == "ended":
        state.ended, state.outcome = record.time, data["outcome"]
        state.evidence = data.get("evidence", {})
    elif record.kind == "control":
        _add_control(state, record)
    elif record.kind == "deferred":
        _add_deferred(state, record)
    elif record.step:
        _add_step(state.of(record.step), record)


def disbelieve(state: RunState, asking: Collection[str]) -> None:
    """Take back answers of people to steps that ask nobody. ``asking``: the ids of the steps that ask a person.

    drkit 0.1 accepted an answer for any step. Such a step counts as not begun until the next holder of the run looks at it.
    """
    for name, known in state.steps.items():
        if known.said and known.status == "done" and name not in asking:
            known.status, known.said, known.ended, known.data = "pending", False, "", {}
            known.detail = f"said to be done by {known.who or 'nobody named'}, which proves nothing"
            if state.outcome != "failed":
                state.outcome = state.ended = ""


def _add_control(state: RunState, record: Record) -> None:
    what, reason = record.data.get("what"), str(record.data.get("reason", ""))
    if what == "abort":
        state.aborted = reason
    elif what == "pause":
        state.paused = reason
    elif what == "unpause":
        state.paused = ""
    elif what == "deadline":
        state.deadline = reason
    elif what == "kept-out":
        state.kept_out = str(record.data.get("reason", ""))
    elif what == "ignored":
        number = record.data.get("number")
        state.ignored_number = max(state.ignored_number + 1, number if isinstance(number, int) else 0)
        state.ignored = [*state.ignored[1 - MOST_IGNORED :], reason or str(record.data.get("message", ""))]
    elif what == "reopen":
        step = state.of(record.step)
        step.status = "pending"
        step.data.pop("reopen", None)


def _add_deferred(state: RunState, record: Record) -> None:
    fields, now = record.data["behind"], record.data.get("now", {})
    behind = msgspec.convert({key: fields[key] for key in Leftover.__struct_encode_fields__ if key in fields}, Leftover)
    state.deferred[behind.id.lower()] = Deferred(
        behind=behind,
        run=record.run,
        when=record.time,
        now=str(now.get("id") or ""),
        now_name=str(now.get("name") or ""),
        now_plan=str(now.get("plan") or ""),
    )


def _add_step(step: StepState, record: Record) -> None:
    data = record.data
    begun = step.status == "open" or step.in_doubt
    step.attempt = max(step.attempt, record.attempt)
    if record.kind == "intent":
        step.status, step.began, step.operation = "open", step.began or record.time, None
        step.ended = step.detail = step.code = ""
        step.data, step.intended = {}, True
    elif record.kind == "operation":
        step.operation = msgspec.convert(data["operation"], Operation)
    elif record.kind == "asked":
        step.status, step.began, step.detail = "asked", step.began or record.time, data.get("detail", "")
    elif record.kind in ("done", "answered"):
        step.status, step.ended, step.operation = "done", record.time, None
        step.began = step.began or record.time
        step.detail, step.who = data.get("detail", ""), data.get("who", "")
        step.data, step.code = dict(data.get("data", {})), ""
        step.said = record.kind == "answered"
        # What was sent stays in doubt, whatever a person says.
        step.in_doubt = step.said and begun
    elif record.kind in ("failed", "drifted", "skipped"):
        step.status, step.ended, step.operation = record.kind, record.time, None
        step.detail, step.code, step.who = data.get("detail", ""), data.get("code", ""), data.get("who", "")
        # A word does not undo what was sent: only a look at Azure shows that nothing came of it.
        step.in_doubt = not data.get("settled", record.kind == "failed" or not begun)
        step.retryable = bool(data.get("again", False))
        if data.get("data"):
            step.data = dict(data["data"])


@dataclass(frozen=True)
class RunRecord:
    """A run: its name, its runbook, and the state that its journal gives."""

    run: str
    book: Runbook
    state: RunState
