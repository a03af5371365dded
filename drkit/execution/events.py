"""What a run shows while it is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from drkit.model.runbook import Step


@dataclass(frozen=True)
class Event:
    """Something worth showing: which step, what happened (``begun, done, failed, asked, drifted, skipped, code, note``), in words."""

    kind: str
    step: Step | None
    text: str
