"""The journal keeps up: durable records a second, many writers sharing each fsync."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from drkit.store.journal import LocalJournal
from tests.store.test_journal import RUN, Still

RECORDS, WRITERS, LEAST = 6_000, 64, 2_000.0


def test_two_thousand_records_a_second_are_durable(tmp_path: Path) -> None:
    async def write() -> float:
        async with LocalJournal(tmp_path / f"{RUN}.jsonl", RUN, Still(), "ops@desk process 1") as held:

            async def writer(number: int) -> None:
                for _ in range(RECORDS // WRITERS):
                    await held.append(
                        "done", step=f"codespaces:plan.{number}:verify", attempt=1, data={"detail": "it answers"}
                    )

            began = time.perf_counter()
            await asyncio.gather(*(writer(number) for number in range(WRITERS)))
            return RECORDS // WRITERS * WRITERS / (time.perf_counter() - began)

    rate = max(asyncio.run(write()) for _ in range(2))
    print(f"{rate:.0f} records/s")
    assert rate >= LEAST
