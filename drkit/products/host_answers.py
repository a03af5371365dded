"""What a host's script may answer, by its kind (docs/host-scripts.md). A host is somebody's machine: what has another shape is no answer.

A text that is kept is the host's word: it is shown as such, and never decides which host or environment is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from drkit.model.runbook import Step
from drkit.products.base import StepFailedError

MOST = 4096
"""Characters of a line: Azure keeps so many of a run command's output, and a script prints fewer."""
LINES = 100
ScriptKind = Literal["reach", "release", "register", "watch", "restore"]
Word = Annotated[str, Meta(pattern="^[a-z-]{1,24}$")]
Id = Annotated[str, Meta(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", max_length=36)]
Text = Annotated[str, Meta(max_length=1024)]


class Reached(msgspec.Struct):
    """Whether one URL answered: its HTTP status, 0 for none, None where it could not be asked."""

    url: Text
    http: int | None = None


class ReachAnswer(msgspec.Struct):
    """``reach/1``."""

    results: list[Reached] | None = None


class ReleaseAnswer(msgspec.Struct):
    """``release/1``."""

    state: Word
    id: Id | None = None
    rc: int | None = None
    backup: Text | None = None
    again: bool = False


class RegisterAnswer(msgspec.Struct):
    """``register/1``."""

    state: Word
    again: bool = False


class WatchAnswer(msgspec.Struct):
    """``watch/1``."""

    state: Literal["running", "exited", "absent"]
    rc: int | None = None
    code: Text | None = None
    url: Text | None = None
    already: Id | None = None
    error: Text | None = None
    id: Id | None = None


class RestoreAnswer(msgspec.Struct):
    """``restore/1``."""

    state: Word
    id: Id | None = None


KINDS: Mapping[ScriptKind, type[msgspec.Struct]] = {
    "reach": ReachAnswer, "release": ReleaseAnswer, "register": RegisterAnswer, "watch": WatchAnswer, "restore": RestoreAnswer,
}  # fmt: skip


def answer(step: Step, stdout: str, kind: ScriptKind) -> dict[str, Any]:
    """The object that a script of that kind printed last; StepFailedError when there is none of its shape."""
    for line in reversed(stdout.rstrip()[-MOST * 4 :].splitlines()[-LINES:]):
        if not line.startswith("{") or len(line) > MOST:
            continue
        try:
            value = msgspec.json.decode(line)
            if isinstance(value, dict) and value.get("drkit") == f"{kind}/1":
                return msgspec.structs.asdict(msgspec.convert(value, KINDS[kind]))
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass
        break
    raise StepFailedError(
        "the host answered, but not in the script's words", where=step.id, code="NoAnswer", again=True
    )


def silent(results: Sequence[Reached], urls: Sequence[str]) -> list[str]:
    """Those of the URLs that a script was to ask which did not answer it, in the words of who asked."""
    answered = {reached.url for reached in results if reached.http}
    return [url for url in urls if url not in answered]
