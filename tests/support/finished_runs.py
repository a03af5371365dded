"""Runs to report on: stores whose journals were written by the real journal, smoothly, badly, or long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from drkit.api.context import Context
from drkit.model import estate, runbook
from drkit.model.cloud import public
from drkit.model.runbook import Runbook
from drkit.model.settings import Settings
from drkit.store.store import Store
from tests.support.builders import (
    a_claim,
    a_plan,
    a_snapshot,
    a_vm,
    an_assessment,
    facts,
    hosted,
    make,
    managed,
    state_of,
    verdict,
)

BAD = "<img src=x onerror=alert(1)>&amp;\"'`]]>--><script>x</script>\x1b[31m\u202e " + "wide" * 40
NAME = "p" + re.sub(r"[/?#%\\\x00-\x20\x7f]", "", BAD)[:110]
"""As bad as the name of a resource can be: without the characters, and of the length, for which nothing would be planned."""
START = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


class Paced:
    """A clock that goes on by some seconds whenever it is read."""

    def __init__(self, seconds: float) -> None:
        self.at, self.by = START, timedelta(seconds=seconds)

    def now(self) -> datetime:
        self.at += self.by
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


Told = Callable[[Any, Runbook], Any]


def a_run(folder: Path, name: str, environments: int, hosts: int, told: Told, seconds: float = 1.0) -> Context:
    """A store with a runbook for one lost plan, and a run of it whose journal ``told`` writes."""
    plan = a_plan(name)
    machines = [a_vm(f"{name}-vm-{number}") for number in range(hosts)]
    kept = [managed(f"{name}-{number}", plan, owner=f"person-{number % 7}") for number in range(environments)]
    kept += [hosted(host.name, plan, host, owner="") for host in machines]
    store = Store(folder)
    assessed = an_assessment(
        [state_of(plan, "lost", failing_since="2026-03-01T08:00:00Z")],
        [verdict(host) for host in machines],
        [facts(cores_left=100_000)],
        claims=(a_claim(),),
        unread=(f"something of {name}",),
    )
    store.keep(assessed)
    content = estate.digest(max((folder / "state/assessments").iterdir()).read_bytes())
    book = make(a_snapshot([plan], kept, machines), assessed)
    book = msgspec.structs.replace(book, of_assessment=content)
    encoded = runbook.encode(book)
    store.keep_runbook(encoded)
    clock = Paced(seconds)

    async def write() -> None:
        async with store.open_journal(store.new_run(), clock) as journal:
            journal.take_over()
            await journal.append(
                "started",
                data={"runbook": runbook.digest(encoded), "holder": "ada@bastion", "since": "2026-03-01T08:00:00Z"},
            )
            await journal.append("approved", data={"who": name, "how": "unauthenticated", "note": "read"})
            await told(journal, book)

    asyncio.run(write())
    return Context(Settings(), store, public, own_clock=clock)


async def smoothly(journal: Any, book: Runbook) -> None:
    """Every step is done, one after the other; written in one go."""
    records = []
    for step in book.steps:
        target = f"https://management.azure.com{step.target}"
        requests = [{"method": "PUT", "target": target}] if step.effect == "create" else []
        done = {"detail": "it is there", "data": {"name": step.target[-12:]}}
        records.append(journal.append("intent", step=step.id, attempt=1, data={"requests": requests}))
        records.append(journal.append("done", step=step.id, attempt=1, data=done))
    await asyncio.gather(*records)
    await ended(journal, "succeeded")


async def ended(journal: Any, outcome: str) -> None:
    cost = {"calls": {"read": 40, "write": 7}, "throttled": 2, "retries": 1, "waited_seconds": 12.5}
    cost |= {"sent_bytes": 100, "received_bytes": 2000}
    await journal.append("ended", data={"outcome": outcome, "reason": "said so", "evidence": cost})


async def badly(journal: Any, book: Runbook) -> None:
    """Everything that can happen to a step happens to some, in words that are not meant well."""
    for number, step in enumerate(book.steps):
        how = ("done", "failed", "skipped", "drifted", "asked", "open", "answered")[number % 7]
        if how in ("done", "failed", "open"):
            await journal.append("intent", step=step.id, attempt=1, data={"requests": []})
        if how in ("drifted", "skipped", "failed"):
            await journal.append(
                how, step=step.id, attempt=1, data={"detail": BAD, "who": BAD, "code": "Bad", "again": False}
            )
        elif how == "asked":
            await journal.append("asked", step=step.id, data={"detail": BAD})
        elif how in ("done", "answered"):
            kind = "answered" if step.effect == "ask" else "done"
            await journal.append(kind, step=step.id, attempt=1, data={"detail": BAD, "who": "ada"})
    await journal.append("control", data={"what": "pause", "reason": BAD, "who": BAD})
    await ended(journal, "partial")
    await journal.append("taken-over", data={"holder": BAD, "who": "bob"})
    await journal.append("repaired", data={"torn_bytes": 17})
    await journal.append("control", data={"what": "abort", "reason": BAD, "who": BAD})
    await ended(journal, "failed")


def three(folder: Path) -> dict[str, Context]:
    """One where everything happened, one of two thousand steps, and one where nothing did."""
    return {
        "every exception": a_run(folder / "bad", NAME, 9, 4, badly),
        "two thousand steps": a_run(folder / "many", "many", 300, 280, smoothly, seconds=2.0),
        "a smooth run": a_run(folder / "small", "orders", 5, 3, smoothly, seconds=20.0),
    }
