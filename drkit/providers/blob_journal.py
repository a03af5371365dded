"""The journal as append blobs: segments ``<run>/000000.jsonl`` under a lease; each block names the position where it belongs.

https://learn.microsoft.com/rest/api/storageservices/append-block
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Self

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError

from drkit.errors import FileError, LockedError
from drkit.model.clock import Clock
from drkit.model.files import LARGE
from drkit.model.run import fold
from drkit.providers.blob_lease import SECONDS, Lease
from drkit.store.journal import LocalJournal, parse

MOST_BLOCKS = 49_000
"""Blocks of one segment; the service allows 50,000 for a blob."""
MOST_BYTES = 4 * 1024 * 1024 - 1024


def segment(run: str, number: int) -> str:
    """The name of a segment in the journal's container."""
    return f"{run}/{number:06d}.jsonl"


def whole(stream: Any, most: int = LARGE) -> bytes:
    """The content of a download. FileError, before it is read, for more than ``most`` bytes."""
    if stream.size > most:
        raise FileError(
            f"is too long: {stream.size} bytes, and at most {most} are read",
            where=f"{stream.container}/{stream.name}",
            remedy="look who wrote it; drkit writes nothing of that length",
        )
    return bytes(stream.readall())


class BlobJournal(LocalJournal):
    """A journal in one container. ``held_by`` names the holder; ``allowed`` raises when another lock of this process is lost."""

    def __init__(
        self,
        container: Any,
        run: str,
        clock: Clock,
        holder: str,
        *,
        where: Any,
        held_by: Callable[[], str],
        allowed: Callable[[], None] = lambda: None,
        seconds: int = SECONDS,
        most_blocks: int = MOST_BLOCKS,
    ) -> None:
        super().__init__(where, run, clock, holder)
        self.container, self.allowed, self.seconds, self.most_blocks = container, allowed, seconds, most_blocks
        self._who = held_by
        self._first: Lease | None = None
        self._last: Lease | None = None
        self._number = 0
        self._blocks = 0

    def open(self) -> Self:
        """Lease the first segment, then the last one, and read the records. LockedError when another process holds the run."""
        first = Lease(self.container.get_blob_client(segment(self.run, 0)), self.seconds)
        taken = first.acquire()
        if not taken and first.break_infinite():
            self.remarks.append(f"the lease of {self.run} had no end, so it was not drkit's; drkit broke it")
            taken = first.acquire()
        if not taken:
            raise LockedError(
                f"run {self.run} is held by {self._who()}",
                where=str(self.path),
                remedy=f"wait for it, or stop that process: {self.seconds} s later `drkit resume {self.run}` takes it over",
            )
        self._first = self._last = first
        try:
            names = sorted(self.container.list_blob_names(name_starts_with=f"{self.run}/"))
            content = b"".join(whole(self.container.download_blob(name)) for name in names)
            records, torn = parse(content, str(self.path))
            if torn:
                raise LockedError(
                    f"run {self.run} ends in half a record", where=str(self.path), remedy=f"`drkit verify {self.run}`"
                )
            if len(names) > 1:
                self._last = self._take(names[-1])
            self._number = len(names) - 1
            properties = self.container.get_blob_client(names[-1]).get_blob_properties()
            self._size, self._blocks = int(properties.size), int(properties.append_blob_committed_block_count or 0)
        except BaseException:
            self._let_go()
            raise
        self.state = fold(records)
        self.state.run = self.run
        return self

    def _take(self, name: str) -> Lease:
        """The lease of a later segment, taken from its holder if need be: the run's lock is the lease of the first segment."""
        lease = Lease(self.container.get_blob_client(name), self.seconds)
        if not lease.acquire():
            _break(lease.blob)
            if not lease.acquire():
                raise LockedError(
                    f"the last segment of {self.run} is held", where=name, remedy=f"`drkit resume {self.run}`"
                )
        return lease

    def check(self) -> None:
        if self._first is None or self._last is None:
            raise LockedError(f"run {self.run} is no longer held by this process")
        if not (self._first.held() and self._last.held()):
            raise LockedError(
                f"the lease of {self.run} is lost or was not renewed in time, so nothing more is sent",
                where=str(self.path),
                remedy=f"`drkit status {self.run}` shows who holds it now",
            )
        self.allowed()

    def _write(self, lines: bytes) -> None:
        if self._broken is not None:
            raise self._broken
        # A block ends where a record ends, so no reader ever sees half a record.
        block = b""
        for line in lines.splitlines(keepends=True):
            if block and len(block) + len(line) > MOST_BYTES:
                self._append(block)
                block = b""
            block += line
        if block:
            self._append(block)

    def _append(self, block: bytes) -> None:
        if self._blocks >= self.most_blocks:
            self._next_segment()
        if self._last is None or not self._last.held():
            raise OSError(errno.ENOLCK, "its lease is lost")
        blob = self.container.get_blob_client(segment(self.run, self._number))
        try:
            blob.append_block(block, length=len(block), lease=self._last.id, appendpos_condition=self._size)
        except HttpResponseError as error:
            if not self._arrived(blob, block, error):
                raise OSError(errno.EIO, f"its blob took no record: {_word(error)}") from error
        except AzureError as error:
            raise OSError(errno.EIO, f"its blob cannot be reached: {type(error).__name__}") from error
        self._size += len(block)
        self._blocks += 1

    def _arrived(self, blob: Any, block: bytes, error: HttpResponseError) -> bool:
        """Whether a block that was refused for its position is stored already: its first attempt arrived, but not the answer."""
        if error.status_code != 412 or "append" not in _word(error).lower():
            return False
        stored: bytes = blob.download_blob(offset=self._size, length=len(block) + 1).readall()
        return stored == block

    def _next_segment(self) -> None:
        """Begin the next segment. The run's lease is renewed first: a process that lost it must not write to an unleased blob."""
        if self._first is None or not self._first.renew():
            raise OSError(errno.ENOLCK, "its lease is lost")
        name = segment(self.run, self._number + 1)
        blob = self.container.get_blob_client(name)
        try:
            blob.create_append_blob(if_none_match="*")
        except ResourceExistsError as error:
            if blob.get_blob_properties().size:
                raise OSError(errno.EEXIST, "its next segment was written by somebody else") from error
        following = self._take(name)
        if self._last is not None and self._last is not self._first:
            self._last.release()
        self._last, self._number, self._size, self._blocks = following, self._number + 1, 0, 0

    def _let_go(self) -> None:
        for lease in (self._last, self._first):
            if lease is not None:
                lease.release()
        self._first = self._last = None

    async def close(self) -> None:
        """Wait until everything is written, and give the leases back."""
        if self._flusher is not None:
            await self._flusher
        self._let_go()

    async def __aenter__(self) -> Self:
        return self if self._first is not None else self.open()


def _break(blob: Any) -> None:
    from azure.storage.blob import BlobLeaseClient

    BlobLeaseClient(blob).break_lease(lease_break_period=0)


def _word(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or error.status_code)
