"""Results for programs: one JSON object on stdout."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import msgspec

from drkit.errors import CloudError, DrkitError

# What may move a terminal's cursor or turn its text round, and half a surrogate pair: these only ever stand in strings.
_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def encode(value: Any) -> str:
    """Any result as indented JSON."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode()
    except UnicodeEncodeError:
        # An argument that is not UTF-8; msgspec refuses it, json escapes it.
        text = json.dumps(msgspec.to_builtins(value, enc_hook=_plain), indent=2)
    return _UNSEEN.sub(lambda found: json.dumps(found.group())[1:-1], text)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)


def error(problem: DrkitError) -> dict[str, Any]:
    """An error as an object: kind, what, where, remedy, exit code, and Azure's own code where there is one."""
    found: dict[str, Any] = {
        "kind": type(problem).__name__,
        "what": problem.what,
        "where": problem.where,
        "remedy": problem.remedy,
        "exit_code": problem.exit_code,
    }
    if isinstance(problem, CloudError):
        found |= {"status": problem.status, "code": problem.code, "request_id": problem.request_id}
    return {"error": found}
