"""``--log-file``: what happens, as JSON lines for machines. It holds no secrets: texts are redacted where they are made."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drkit.errors import FileError
from drkit.model import files

FIELDS = "drkit"
log = logging.getLogger("drkit")
# Without --log-file nothing is logged: what people must know is printed.
log.addHandler(logging.NullHandler())


def say(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with plain values."""
    log.log(level, event, extra={FIELDS: fields})


BEGINNING = b'{"time": "'
"""How every line of a log begins."""


class JsonLines(logging.Handler):
    """One JSON object a line: ``time`` (UTC), ``level``, ``event``, and the event's own fields.

    A disk that becomes full ends the log, but not the run. FileError for a file that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        files.check_parent(path, remedy="choose another --log-file")
        # Unbuffered, so that the last line before a crash is written; mode 0600, as all files of drkit.
        self._file = os.fdopen(files.open_own(path, append=True, remedy="choose another --log-file"), "ab", buffering=0)

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, FIELDS, None)
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if isinstance(fields, dict):
            entry |= {key: value for key, value in fields.items() if value not in ("", None)}
        try:
            self._file.write(json.dumps(entry, default=str).encode() + b"\n")
        except (OSError, ValueError):
            log.removeHandler(self)

    def close(self) -> None:
        self._file.close()
        super().close()


def _check_kind(path: str) -> None:
    """FileError for a file that holds something other than a log: appended lines would spoil it."""
    try:
        begun = b""
        if os.path.isfile(path) and os.path.getsize(path):  # noqa: PTH113, PTH202  (a name that no file can have is False here)
            with open(path, "rb") as stream:  # noqa: PTH123
                begun = stream.read(len(BEGINNING))
    except (OSError, ValueError):
        # The error is reported when the file is opened for writing.
        return
    if begun not in (b"", BEGINNING):
        raise FileError(
            "is not a log file of drkit's, so nothing is appended to it", where=path, remedy="choose another --log-file"
        )


@contextmanager
def writing(path: str | None) -> Iterator[None]:
    """Log every event to that file while the block runs. FileError, before the block, where the file cannot be written."""
    if not path:
        yield
        return
    _check_kind(path)
    handler = JsonLines(Path(path))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(handler)
        handler.close()
