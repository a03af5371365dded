"""The append-only record of a run: hash-chained JSON lines, the fold of them into the state of the run, the local file.

Each line carries ``seq``, ``prev`` and ``hash``; ``hash`` is the sha256 of the line with an empty ``hash``. An unsigned chain
shows accident and clumsiness, not somebody who rewrites all of it: keep the head elsewhere to notice that.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import msgspec

from drkit.errors import FileError, IntegrityError, LockedError, PartialError
from drkit.model import files
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.estate import Deferred, Leftover
from drkit.model.operation import Operation

GENESIS = "0" * 64
MOST_IGNORED = 20
"""Ignored messages that the state of a run names: the last ones."""
LOCK_TRIES, LOCK_SECONDS = 25, 0.01
RecordKind = Literal[
    "started", "approved", "intent", "operation", "done", "failed", "skipped", "asked", "answered", "drifted",
    "deferred", "control", "taken-over", "repaired", "ended",
]  # fmt: skip
StepStatus = Literal["pending", "open", "asked", "done", "failed", "skipped", "drifted"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a journal."""

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
    """Where a step stands: folded from its records. Times are RFC 3339, empty when it did not come to that."""

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
    """It is done because a person said so; drkit saw nothing of it."""
    passing: bool = False
    """What it failed of may pass: a little later the same step may succeed."""
    unsettled: bool = False
    """What its last attempt began may be under way still: the next one goes on under the same number."""
    intended: bool = False
    """Some attempt at it recorded its intent: what was then found there may be drkit's own."""

    @property
    def word(self) -> str:
        """The status as people read it: ``said`` for what is done by a person's word alone."""
        return "said" if self.said and self.status == "done" else self.status


@dataclass
class RunState:
    """Where a run stands: a pure fold of its journal."""

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
    heard: set[str] = field(default_factory=set)
    """Messages that were journaled, by name: one that is still there after a crash is not obeyed again."""
    ignored: list[str] = field(default_factory=list)
    """The last messages that were ignored: whose, which and why."""
    ignored_number: int = 0
    stopped: str = ""
    """Aborted: by whom and why. What was begun for a host is finished, nothing else is begun."""
    paused: str = ""
    """By whom and why; ``unpause`` ends it."""
    overdue: str = ""
    """The time its holder had is over; the next holder has as much again."""
    minimum_share: float = 0.0
    salt: str = ""
    """128 random bits in hexadecimal, from which the nonces of its host scripts are made; empty for a run of version 0.1."""
    kept_out: str = ""
    """What was seen of another store's run before the first write: once a person was told, a resume goes on."""
    resumed: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)
    deferred: dict[str, Deferred] = field(default_factory=dict)
    """What was left behind for a cleanup, by lower-cased id."""

    def of(self, step: str) -> StepState:
        """The state of a step, pending when nothing was recorded of it."""
        return self.steps.setdefault(step, StepState())

    @property
    def under_way(self) -> tuple[str, ...]:
        """The ids of the steps that were begun, and of which no end is known."""
        return tuple(name for name, known in self.steps.items() if known.status == "open")


def fold(records: Iterable[Record]) -> RunState:
    """The state of the run these records tell of."""
    state = RunState()
    for record in records:
        try:
            apply(state, record)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise FileError(
                f"its data is not that of {record.kind!r}: {type(error).__name__}: {error}",
                where=f"journal of {record.run}: line {record.seq + 1}",
                remedy="restore the file from a copy",
            ) from error
    return state


def apply(state: RunState, record: Record) -> None:
    """Carry one record into the state."""
    state.count, state.head, state.token, state.run = record.seq + 1, record.hash, record.token, record.run
    data = record.data
    if "heard" in data:
        state.heard.add(str(data["heard"]))
    if record.kind == "started":
        state.runbook, state.started, state.holder = data["runbook"], record.time, data.get("holder", "")
        state.minimum_share = float(data.get("minimum_share", 0.0))
        state.salt = str(data.get("salt", ""))
    elif record.kind == "approved":
        state.approved_by, state.approved_how = data["who"], data["how"]
    elif record.kind == "taken-over":
        state.holder = data.get("holder", "")
        state.resumed += 1
        state.ended = state.outcome = state.overdue = ""
    elif record.kind == "ended":
        state.ended, state.outcome = record.time, data["outcome"]
        state.evidence = data.get("evidence", {})
    elif record.kind == "control":
        _apply_control(state, record)
    elif record.kind == "deferred":
        _apply_deferred(state, record)
    elif record.step:
        _apply_step(state.of(record.step), record)


def disbelieve(state: RunState, asking: Collection[str]) -> None:
    """Take back what a person's word ended although the step asks no person; ``asking``: the ids of the steps that do.

    drkit 0.1 took an answer for any step. Such a step is looked at by the next holder, and counts as not begun until then.
    """
    for name, known in state.steps.items():
        if known.said and known.status == "done" and name not in asking:
            known.status, known.said, known.ended, known.data = "pending", False, "", {}
            known.detail = f"said to be done by {known.who or 'nobody named'}, which proves nothing"
            if state.outcome != "failed":
                state.outcome = state.ended = ""


def _apply_control(state: RunState, record: Record) -> None:
    what, reason = record.data.get("what"), str(record.data.get("reason", ""))
    if what == "abort":
        state.stopped = reason
    elif what == "pause":
        state.paused = reason
    elif what == "unpause":
        state.paused = ""
    elif what == "deadline":
        state.overdue = reason
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


def _apply_deferred(state: RunState, record: Record) -> None:
    told, now = record.data["behind"], record.data.get("now", {})
    behind = msgspec.convert({key: told[key] for key in Leftover.__struct_encode_fields__ if key in told}, Leftover)
    state.deferred[behind.id.lower()] = Deferred(
        behind=behind,
        run=record.run,
        when=record.time,
        now=str(now.get("id") or ""),
        now_name=str(now.get("name") or ""),
        now_plan=str(now.get("plan") or ""),
    )


def _apply_step(step: StepState, record: Record) -> None:
    data = record.data
    begun = step.status == "open" or step.unsettled
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
        # Nobody's word settles what was sent.
        step.unsettled = step.said and begun
    elif record.kind in ("failed", "drifted", "skipped"):
        step.status, step.ended, step.operation = record.kind, record.time, None
        step.detail, step.code, step.who = data.get("detail", ""), data.get("code", ""), data.get("who", "")
        # What was sent before is not undone by a word: only who looked says that nothing came of it.
        step.unsettled = not data.get("settled", record.kind == "failed" or not begun)
        step.passing = bool(data.get("again", False))
        if data.get("data"):
            step.data = dict(data["data"])


class Journal(Protocol):
    """What a run writes to. Only the holder of its lock has one."""

    @property
    def state(self) -> RunState:
        """The run so far."""
        ...

    async def append(
        self, kind: RecordKind, *, step: str = "", attempt: int = 0, data: Mapping[str, Any] | None = None
    ) -> Record:
        """Add a record; returns when it is durable."""
        ...

    def check(self) -> None:
        """Raise LockedError when this process no longer holds the journal."""
        ...


def seal(record: Record) -> tuple[Record, bytes]:
    """The record with its hash, and its line."""
    bare = msgspec.json.encode(msgspec.structs.replace(record, hash=""))
    sealed = msgspec.structs.replace(record, hash=hashlib.sha256(bare).hexdigest())
    return sealed, msgspec.json.encode(sealed) + b"\n"


def read(path: Path) -> tuple[list[Record], bytes]:
    """Every record of a journal file, its chain checked, and the torn rest of its last line (empty: none).

    IntegrityError says where the chain breaks; FileError when the file is not a journal.
    """
    return parse(files.read(path, limit=files.LARGE, links=False), str(path))


def parse(content: bytes, where: str) -> tuple[list[Record], bytes]:
    """As ``read``, from the bytes."""
    whole, newline, torn = content.rpartition(b"\n")
    return list(_records(whole.split(b"\n") if newline else [], where)), torn


def _records(lines: Iterable[bytes], where: str) -> Iterator[Record]:
    prev = GENESIS
    for number, line in enumerate(lines):
        place = f"{where}: line {number + 1}"
        try:
            record = msgspec.json.decode(line, type=Record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IntegrityError(
                f"is not a journal record: {error}", where=place, remedy="restore the file from a copy"
            ) from error
        if record.drkit != "journal/1":
            raise FileError(
                f"is {record.drkit!r}, which this drkit does not read",
                where=place,
                remedy="use the drkit that wrote it",
            )
        sealed, again = seal(record)
        if record.seq != number or record.prev != prev or sealed.hash != record.hash or again != line + b"\n":
            raise IntegrityError("the hash chain breaks here", where=place, remedy="restore the file from a copy")
        try:
            parse_time(record.time)
        except ValueError as error:
            raise FileError(f"its time is none: {error}", where=place, remedy="restore the file from a copy") from error
        prev = record.hash
        yield record


class LocalJournal:
    """A journal in a local file: exclusive lock, mode 0600, group-committed fsync, stops in time when the disk is full."""

    def __init__(self, path: Path, run: str, clock: Clock, holder: str) -> None:
        self.path, self.run, self.clock, self.holder = path, run, clock, holder
        self.state = RunState(run=run)
        self._file = -1
        self._buffer: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._size = 0
        self._broken: OSError | None = None
        self.repaired = b""
        self.remarks: list[str] = []
        """What was unusual when it was taken, in words, for people and for the record."""

    def _lock(self) -> bool:
        """Take the lock. Who only asks whether it is held (``Store.holder``) has it for a moment, too."""
        for left in reversed(range(LOCK_TRIES)):
            if files.lock(self._file):
                return True
            if left:
                time.sleep(LOCK_SECONDS)
        return False

    def open(self) -> Self:
        """Take the lock and read what is there. LockedError says who holds it; a torn last line is cut off."""
        self._file = files.open_own(self.path, append=True)
        if not self._lock():
            os.close(self._file)
            self._file = -1
            raise LockedError(
                f"run {self.run} is held by {self._held_by()}",
                where=str(self.path),
                remedy=f"wait for it, or stop that process; then `drkit resume {self.run}`",
            )
        try:
            records, torn = read(self.path)
            if torn:
                os.ftruncate(self._file, os.fstat(self._file).st_size - len(torn))
                os.fsync(self._file)
                self.repaired = torn
        except BaseException:
            os.close(self._file)
            self._file = -1
            raise
        self.state = fold(records)
        self.state.run = self.run
        self._size = os.fstat(self._file).st_size
        return self

    def _held_by(self) -> str:
        try:
            records = read(self.path)[0]
        except (FileError, IntegrityError):
            return "another process"
        taken = [record for record in records if record.kind in ("started", "taken-over")]
        if not taken:
            return "another process, just now"
        return f"{taken[-1].data.get('holder') or 'another process'} since {taken[-1].time}"

    def check(self) -> None:
        if self._file < 0:
            raise LockedError(f"run {self.run} is no longer held by this process")

    async def append(
        self, kind: RecordKind, *, step: str = "", attempt: int = 0, data: Mapping[str, Any] | None = None
    ) -> Record:
        self.check()
        if self._broken is not None:
            raise self._full(self._broken)
        record, line = seal(
            Record(
                seq=self.state.count,
                time=rfc3339(self.clock.now()),
                run=self.run,
                token=self.state.token,
                kind=kind,
                step=step,
                attempt=attempt,
                data=dict(data or {}),
                prev=self.state.head,
            )
        )
        # The fold runs at once so that seq and prev of the next record are right; the caller goes on only when durable.
        apply(self.state, record)
        self._buffer.append(line)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await future
        return record

    def take_over(self) -> None:
        """The next fencing token: records of this holder carry it."""
        self.state.token += 1

    async def _flush(self) -> None:
        while self._buffer:
            lines, waiting = b"".join(self._buffer), self._waiting
            self._buffer, self._waiting = [], []
            try:
                await asyncio.to_thread(self._write, lines)
            except OSError as error:
                self._broken = error
                for future in waiting:
                    if not future.done():
                        future.set_exception(self._full(error))
                continue
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _write(self, lines: bytes) -> None:
        if self._broken is not None:
            raise self._broken
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def _full(self, error: OSError) -> PartialError:
        return PartialError(
            f"the journal cannot be written ({error.strerror}), so nothing more is done",
            where=str(self.path),
            remedy=f"make room, then `drkit {f'resume {self.run}' if self._size else 'apply'}`",
        )

    async def close(self) -> None:
        """Wait for what is being written, and give the lock back."""
        if self._flusher is not None:
            await self._flusher
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def __aenter__(self) -> Self:
        return self if self._file >= 0 else self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
