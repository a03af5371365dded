"""The JSON Schemas of the files that drkit reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from drkit.errors import UsageError
from drkit.model import settings as settings_
from drkit.model.estate import Assessment, Snapshot
from drkit.model.readiness import Readiness
from drkit.model.run import Record
from drkit.model.runbook import Runbook
from drkit.store.records import Approval

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
    """The JSON Schema of a kind of file: one of the keys of ``SCHEMAS``. UsageError for any other kind."""
    if kind not in SCHEMAS:
        raise UsageError(f"there is no kind {kind!r}", remedy=f"one of: {', '.join(SCHEMAS)}")
    return msgspec.json.schema(SCHEMAS[kind])
