"""One function a command: what ``import drkit`` gives. The command line only parses, calls these, and chooses a view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from drkit import settings as settings_
from drkit.applying import EXIT, MOST_WAIT_MINUTES, Applied, answer, apply, resume, skip
from drkit.errors import UsageError
from drkit.estate import Assessment, Snapshot
from drkit.journal import Record
from drkit.kept import Approval
from drkit.model.readiness import Readiness
from drkit.planning import Planned, approve, composed, plan, show, stale, write_out
from drkit.reading import ProbeScript, assess, generations_of, init, probe_script, reader, refusals_of, snapshot
from drkit.runbook import Runbook
from drkit.standing import DONE, Standing, codes, overview, runs, status
from drkit.workplace import Desk, desk

SCHEMAS: Mapping[str, Any] = {
    "readiness": Readiness,
    "snapshot": Snapshot,
    "assessment": Assessment,
    "runbook": Runbook,
    "settings": settings_.SettingsFile,
    "approval": Approval,
    "journal": Record,
}


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a file's kind."""
    if kind not in SCHEMAS:
        raise UsageError(f"there is no kind {kind!r}", remedy=f"one of: {', '.join(SCHEMAS)}")
    return msgspec.json.schema(SCHEMAS[kind])


__all__ = [
    "DONE", "EXIT", "MOST_WAIT_MINUTES", "SCHEMAS",
    "Applied", "Desk", "Planned", "ProbeScript", "Standing",
    "answer", "apply", "approve", "assess", "codes", "composed", "desk", "generations_of", "init", "overview", "plan",
    "probe_script", "reader", "refusals_of", "resume", "runs", "schema", "show", "skip", "snapshot", "stale", "status",
    "write_out",
]  # fmt: skip
