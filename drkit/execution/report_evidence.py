"""What a report shows besides its steps: the decision, who approved it, what people and processes did, what it cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from drkit.model.estate import Assessment
from drkit.model.guards import aims_at_lost
from drkit.model.ids import ArmId
from drkit.model.run import Record
from drkit.model.runbook import Runbook

EVENTS = frozenset(
    {"started", "approved", "taken-over", "repaired", "control", "answered", "skipped", "drifted", "failed", "ended"}
)


def gather(book: Runbook, records: Sequence[Record], assessed: Assessment | None) -> dict[str, Any]:
    """The keys that a report has besides those of ``results``: ``decision``, ``approvals``, ``events``, ``cost``, ``untouched``.

    ``assessed``: the assessment that the runbook was planned on, where the store still has it.
    """
    titles = {step.id: step.title for step in book.steps}
    return {
        "decision": decision(book, assessed),
        "approvals": [{"time": record.time, **record.data} for record in records if record.kind == "approved"],
        "events": [event(record, titles) for record in records if record.kind in EVENTS],
        "cost": cost(records),
        "untouched": untouched(book, records),
        "notes": list(book.notes),
        "scripts": book.scripts,
        "linked": {"rebases": book.rebases, "of_run": book.source_run},
        "made_with": book.drkit_version,
        "made_against": msgspec.to_builtins(book.cloud),
        "digests": {"snapshot": book.snapshot_digest, "assessment": book.of_assessment},
    }


def decision(book: Runbook, assessed: Assessment | None) -> dict[str, Any]:
    """What it was decided on: each source plan's state with its reason and advice, the claims, and what claimed nothing."""
    if assessed is None:
        return {"known": False}
    sources = {ArmId(plan) for plan in book.source_plans}
    plans = [
        {**msgspec.to_builtins(finding), "readings": len(finding.readings)}
        for finding in assessed.plans
        if not sources or finding.key in sources
    ]
    regions = set(book.lost_regions) | set(book.source_plans.values())
    return {
        "known": True,
        "assessed": assessed.taken,
        "plans": plans,
        "claims": [msgspec.to_builtins(claim) for claim in assessed.claims if not regions or claim.region in regions],
        "statements": [msgspec.to_builtins(statement) for statement in assessed.statements],
        "verdicts": dict(Counter(host.outcome for host in assessed.hosts)),
        "unread": list(assessed.unread),
    }


def event(record: Record, titles: Mapping[str, str]) -> dict[str, Any]:
    """Something that people or processes did, as the journal has it: when, what, which step, whose word, in words."""
    data = record.data
    words = {
        "started": f"begun by {data.get('holder', '')}",
        "approved": f"approved by {data.get('who', '')} ({data.get('how', '')})",
        "taken-over": f"taken over by {data.get('holder', '')}",
        "repaired": f"{data.get('torn_bytes', 0)} bytes of a torn last record dropped",
        "control": _control(data),
        "ended": f"{data.get('outcome', '')}: {data.get('reason', '')}",
    }
    return {
        "time": record.time,
        "kind": record.kind,
        "step": record.step,
        "title": titles.get(record.step, ""),
        "who": str(data.get("who", "")),
        "text": words.get(record.kind, str(data.get("detail", ""))),
    }


def _control(data: Mapping[str, Any]) -> str:
    reason = str(data.get("reason", ""))
    return f"{data.get('what', '')}{': ' if reason else ''}{reason}"


def cost(records: Sequence[Record]) -> dict[str, Any]:
    """Calls, throttles and waits, summed over the processes that came to an end; the others took their counts with them."""
    counted = [dict(record.data.get("evidence") or {}) for record in records if record.kind == "ended"]
    calls: Counter[str] = Counter()
    for counts in counted:
        calls.update({kind: int(number) for kind, number in (counts.get("calls") or {}).items()})
    begun = sum(record.kind in ("started", "taken-over") for record in records)
    return {
        "calls": dict(calls),
        "throttled": sum(int(counts.get("throttled", 0)) for counts in counted),
        "retries": sum(int(counts.get("retries", 0)) for counts in counted),
        "sent_bytes": sum(int(counts.get("sent_bytes", 0)) for counts in counted),
        "received_bytes": sum(int(counts.get("received_bytes", 0)) for counts in counted),
        "waited_seconds": round(sum(float(counts.get("waited_seconds", 0.0)) for counts in counted), 3),
        "processes": begun,
        "uncounted": max(0, begun - len(counted)),
    }


def untouched(book: Runbook, records: Sequence[Record]) -> dict[str, Any]:
    """That nothing was written to what is lost: every request that was announced, and how many of them aimed there."""
    announced = [
        (str(request.get("method", "")), str(request.get("target", "")))
        for record in records
        if record.kind == "intent"
        for request in record.data.get("requests", ())
    ]
    aimed = [f"{method} {target}" for method, target in announced if aims_at_lost(book, target)]
    return {"regions": list(book.lost_regions), "announced": len(announced), "aimed_there": aimed}
