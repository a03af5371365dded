"""Results for programs: one JSON object on stdout. ``encode`` writes it; each other function gives the shape of a result."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from drkit.errors import CloudError, DrkitError

if TYPE_CHECKING:
    from drkit.api.apply import Applied
    from drkit.api.check import Checked
    from drkit.api.guided_failover import Ended
    from drkit.api.plan import Planned
    from drkit.api.status import RunStatus
    from drkit.execution.owner_notices import OwnerNotice
    from drkit.execution.progress import Progress

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
    return _UNSEEN.sub(lambda match: json.dumps(match.group())[1:-1], text)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)


def error(problem: DrkitError) -> dict[str, Any]:
    """An error as an object: kind, what, where, remedy, exit code, and Azure's own code where there is one."""
    fields: dict[str, Any] = {
        "kind": type(problem).__name__,
        "what": problem.what,
        "where": problem.where,
        "remedy": problem.remedy,
        "exit_code": problem.exit_code,
    }
    if isinstance(problem, CloudError):
        fields |= {"status": problem.status, "code": problem.code, "request_id": problem.request_id}
    return {"error": fields}


def planned(runbook: Planned, run: str = "") -> dict[str, Any]:
    """A runbook that was written. ``run``: the open run that it belongs to."""
    value = {"runbook": runbook.runbook, "digest": runbook.digest, "path": runbook.path, "warnings": runbook.warnings}
    return {**value, "run": run} if run else value


def shown(runbook: Planned, candidates: Sequence[str]) -> dict[str, Any]:
    """A runbook with its steps as they will be carried out."""
    return {
        "runbook": runbook.runbook, "digest": runbook.digest, "path": runbook.path, "steps": runbook.described_steps,
        "warnings": runbook.warnings, "candidates": candidates,
    }  # fmt: skip


def checked(check: Checked) -> Any:
    """Findings, with the fields of ``drkit.model.readiness.Readiness``; with ``--if-lost`` also the runbook that there would be."""
    if check.runbook is None:
        return check.readiness
    return {
        "readiness": check.readiness, "runbook": check.runbook, "digest": check.digest, "written": check.written,
    }  # fmt: skip


def applied(run: Applied) -> dict[str, Any]:
    """How ``apply`` or ``resume`` ended."""
    return {"run": run.run, "outcome": run.outcome, "reason": run.reason, "exit_code": run.exit_code}


def runs(every: Iterable[RunStatus]) -> dict[str, Any]:
    """The list of runs."""
    return {
        "runs": [
            {
                "run": run.run, "kind": run.runbook.kind, "outcome": run.outcome, "held": run.held,
                "started": run.state.started, "runbook": run.digest,
            }
            for run in every
        ]
    }  # fmt: skip


def run_status(run: RunStatus, progress: Progress) -> dict[str, Any]:
    """One run: how far it is, and each step's state."""
    from drkit.planning import hosts_in_doubt

    return {
        "run": run.run,
        "outcome": run.outcome,
        "reason": run.reason,
        "held": run.held,
        "replaced": run.replaced,
        "runbook": run.digest,
        "in_doubt": [
            doubt.words
            for doubts in (hosts_in_doubt.in_doubt, hosts_in_doubt.by_hand)
            for doubt in doubts(run.runbook, run.state)
        ],
        "steps": {step.id: run.state.of(step.id).status for step in run.runbook.steps},
        "progress": progress,
    }


def failover(ended: Ended, report: str) -> dict[str, Any]:
    """How the guided failover ended. ``report``: the path of its HTML report."""
    return {
        "run": ended.run, "runbook": ended.digest, "outcome": ended.outcome, "reason": ended.reason,
        "exit_code": ended.exit_code, "decisions": ended.decisions, "report": report,
    }  # fmt: skip


def owner_notices(run: str, notices: Sequence[OwnerNotice], *, simulated: bool) -> dict[str, Any]:
    """What each owner is told."""
    return {"drkit": "letters/1", "run": run, "simulated": simulated, "letters": notices}
