"""``--log-file``: what happens, as JSON lines for machines. No secret: what is written was redacted where it was made."""

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
# Without --log-file nothing of it is said: what people are to know is printed elsewhere.
log.addHandler(logging.NullHandler())


def say(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """An event, in words of drkit, with plain values."""
    log.log(level, event, extra={FIELDS: fields})


BEGINNING = b'{"time": "'
"""How every line of a log begins."""


class JsonLines(logging.Handler):
    """One JSON object a line: ``time`` (UTC), ``level``, ``event``, and the event's own fields.

    A disk that is full later ends no run: the file then ends, and nothing else does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        files.check_parent(path, remedy="choose another --log-file")
        # Unbuffered, so that the last line before a crash is there; 0600 as all that drkit writes.
        self._file = os.fdopen(files.open_own(path, append=True, remedy="choose another --log-file"), "ab", buffering=0)

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, FIELDS, None)
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if isinstance(fields, dict):
            told |= {key: value for key, value in fields.items() if value not in ("", None)}
        try:
            self._file.write(json.dumps(told, default=str).encode() + b"\n")
        except (OSError, ValueError):
            log.removeHandler(self)

    def close(self) -> None:
        self._file.close()
        super().close()


def _check_kind(path: str) -> None:
    """FileError for a file that holds something else than a log: adding to it would spoil it."""
    try:
        begun = b""
        if os.path.isfile(path) and os.path.getsize(path):  # noqa: PTH113, PTH202  (a name that no file can have is False here)
            with open(path, "rb") as stream:  # noqa: PTH123
                begun = stream.read(len(BEGINNING))
    except (OSError, ValueError):
        # Whoever opens it to write says why that cannot be.
        return
    if begun not in (b"", BEGINNING):
        raise FileError(
            "is no log file of drkit's, so nothing is added to it", where=path, remedy="choose another --log-file"
        )


@contextmanager
def writing(path: str | None) -> Iterator[None]:
    """Write every event to that file while the block runs; FileError, before anything happens, where that cannot be."""
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
