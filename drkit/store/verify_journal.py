"""Whether a journal still contains what was written: its chain is computed again. Nothing is repaired here.

The chain is not signed. It shows a byte that was changed, lost or moved. It cannot show that somebody with write access wrote the
whole file again, or cut records off its end. A head that was kept elsewhere shows both.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from drkit.errors import UsageError
from drkit.model.run import GENESIS, Record
from drkit.store.journal import seal


@dataclass(frozen=True)
class Verified:
    """The result of a check. ``line``: the number of the first line that does not hold, from 1 (0: every line holds); ``fault``: why.

    ``count`` and ``head`` describe the part that holds. ``torn``: the number of bytes after the last newline, of a record whose
    writing was interrupted; nothing depends on it. ``since``: the number of records after the given head (-1: no head was given).
    """

    run: str
    count: int
    head: str
    line: int = 0
    fault: str = ""
    torn: int = 0
    ended: bool = False
    outcome: str = ""
    since: int = -1

    @property
    def holds(self) -> bool:
        """Whether the chain holds and contains the given head."""
        return not self.fault


def verify(content: bytes, run: str, head: str | None = None) -> Verified:
    """Compute the chain of a run's journal again, from its bytes alone.

    ``head``: a hash that was kept elsewhere and must be in the chain; None for no comparison. UsageError for an empty one, so that a
    variable that is not set is not mistaken for a comparison.
    """
    if head is not None and not head.strip():
        raise UsageError("the head is empty", where="--head", remedy="give the hash that was kept, or leave it out")
    head = (head or "").strip().lower()
    whole, newline, torn = content.rpartition(b"\n")
    lines = whole.split(b"\n") if newline else []
    last: Record | None = None
    since = -1
    for number, line in enumerate(lines, 1):
        record, fault = _checked(line, run, last)
        if record is None:
            return _result(run, last, number, fault, 0, since)
        last = record
        since = 0 if head and record.hash == head else since + 1 if since >= 0 else since
    if torn and _complete(torn):
        return _result(run, last, len(lines) + 1, "the newline after the record was changed", 0, since)
    if head and since < 0:
        fault = f"no record has the hash {head}: records were cut off, or the whole journal was written again"
        return _result(run, last, 0, fault, len(torn), since)
    return _result(run, last, 0, "" if last else "there is no record in it", len(torn), since)


def _result(run: str, last: Record | None, line: int, fault: str, torn: int, since: int) -> Verified:
    count, head = (last.seq + 1, last.hash) if last else (0, GENESIS)
    ended = last is not None and last.kind == "ended"
    outcome = str(last.data.get("outcome", "")) if last is not None and ended else ""
    return Verified(run, count, head, line, fault, torn, ended, outcome, since)


def _checked(line: bytes, run: str, last: Record | None) -> tuple[Record | None, str]:
    """The record of a line, or None and why the line does not hold."""
    try:
        record = msgspec.json.decode(line, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, f"it is not a record: {error}"
    sealed, again = seal(record)
    if sealed.hash != record.hash or again != line + b"\n":
        return None, "its content does not have the hash it states"
    seq, prev, token = (last.seq + 1, last.hash, last.token) if last else (0, GENESIS, 0)
    if record.drkit != "journal/1":
        return None, f"it is {record.drkit!r}, not journal/1"
    if record.seq != seq:
        return None, f"it is record {record.seq}, where {seq} belongs"
    if record.prev != prev:
        return None, "it does not follow the record before it"
    if record.run != run:
        return None, f"it is of {record.run}"
    if record.token < token:
        return None, f"its fencing token {record.token} is older than that of the record before it ({token})"
    if record.kind == "ended" and (record.data.get("count"), record.data.get("head")) != (record.seq, record.prev):
        return None, "the count and head it ends with are not those of the records before it"
    return record, ""


def _complete(torn: bytes) -> bool:
    """Whether a whole record and one more byte follow the last newline, which an interrupted write never leaves."""
    try:
        record = msgspec.json.decode(torn[:-1], type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return seal(record)[1][:-1] == torn[:-1]
