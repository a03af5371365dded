"""The journal of a run: an append-only file of JSON lines, each with the hash of the line before.

The chain is not signed. It shows damage and careless changes. Somebody who writes all of it again can be noticed only with a
head that was kept elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from drkit.errors import FileError, IntegrityError, LockedError, PartialError
from drkit.model import files
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.run import GENESIS, Record, RecordKind, RunState, add, fold

LOCK_TRIES, LOCK_SECONDS = 25, 0.01


class Journal(Protocol):
    """What a run writes to. Only the process that holds its lock has one."""

    @property
    def state(self) -> RunState:
        """The run so far."""
        ...

    async def append(
        self, kind: RecordKind, *, step: str = "", attempt: int = 0, data: Mapping[str, Any] | None = None
    ) -> Record:
        """Add a record; return when it is on disk. LockedError as ``check``; PartialError when it cannot be written."""
        ...

    def check(self) -> None:
        """Raise LockedError when this process no longer holds the journal."""
        ...


def seal(record: Record) -> tuple[Record, bytes]:
    """The record with its hash, and its line in the file."""
    bare = msgspec.json.encode(msgspec.structs.replace(record, hash=""))
    sealed = msgspec.structs.replace(record, hash=hashlib.sha256(bare).hexdigest())
    return sealed, msgspec.json.encode(sealed) + b"\n"


def read_file(path: Path) -> tuple[list[Record], bytes]:
    """Every record of a journal file, and the bytes after its last newline (a line that was not written whole).

    IntegrityError says where the chain breaks; FileError for a record of a format, or with a time, that drkit cannot read.
    """
    return parse(files.read(path, limit=files.LARGE, links=False), str(path))


def parse(content: bytes, where: str) -> tuple[list[Record], bytes]:
    """As ``read_file``, for the content of a file. ``where`` names the file in errors."""
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
            raise FileError(
                f"its time cannot be read: {error}", where=place, remedy="restore the file from a copy"
            ) from error
        prev = record.hash
        yield record


class LocalJournal:
    """A journal in a local file of mode 0600, locked exclusively; one fsync for all records that wait. A full disk ends the run."""

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
        """What was unusual when the lock was taken, as sentences for people and for the journal."""

    def _lock(self) -> bool:
        """Whether the lock could be taken. A process that only asks whether it is held (``Store.holder``) has it for a moment, too."""
        for remaining in reversed(range(LOCK_TRIES)):
            if files.lock(self._file):
                return True
            if remaining:
                time.sleep(LOCK_SECONDS)
        return False

    def open(self) -> Self:
        """Take the lock and read the file. LockedError names the holder; a last line that was not written whole is cut off."""
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
            records, torn = read_file(self.path)
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
            records = read_file(self.path)[0]
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
        # The state changes at once, so that the next record has the right seq and prev; the caller waits for the disk.
        add(self.state, record)
        self._buffer.append(line)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await future
        return record

    def take_over(self) -> None:
        """Raise the fencing token: every record of this holder has the new one."""
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
        """Wait for what is being written, and release the lock."""
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
