"""How many calls, and seconds, assessing a fleet takes: ``python -m tests.benchmarks.fleet [HOSTS] [CHANGED]``.

A fleet of VMs on the simulated Azure, nothing happened to it; then to some of them something did.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drkit.drills import stories
from drkit.simulator.samples.stories import HostStory, StoryCall
from drkit.simulator.samples.story_estate import guid, vm

GRAPH = "/providers/Microsoft.ResourceGraph/resources"


def host(number: int) -> str:
    return vm(f"vm-fleet-{number:05}", ("rg-hosts-weu", "rg-hosts-neu")[number % 2])


@dataclass(frozen=True)
class Fleet(HostStory):
    """The plain estate of the stories, and that many VMs more, half in either region."""

    size: int = field(default=0)

    def seed(self) -> dict[str, Any]:
        found = super().seed()
        more = [
            {
                "id": host(number),
                "kind": "azure-vm",
                "hostname": host(number).rpartition("/")[2],
                "location": ("westeurope", "northeurope")[number % 2],
                "vm_id": guid("fleet", str(number)),
                "machine_id": guid("machine", str(number)).replace("-", ""),
                "boot_id": guid("boot", str(number)),
                "vm": {"created": "2026-10-01T08:00:00Z"},
            }
            for number in range(self.size)
        ]
        return found | {"hosts": [*found["hosts"], *more]}


def fleet(size: int, changed: Sequence[tuple[int, str]] = ()) -> Fleet:
    """A fleet whose hosts of those numbers suffer those events at minute 2."""
    steps = tuple(StoryCall(2, "host", {"id": host(number), "event": event}, event) for number, event in changed)
    return Fleet("fleet", "Many hosts.", steps, {}, 30, {}, size)


@dataclass
class Measured:
    """One assessment: its requests to ARM, the most queries of Resource Graph in 5 s, seconds, verdicts by host."""

    calls: Counter[str]
    in_five_seconds: int
    seconds: float
    verdicts: dict[str, str]

    @property
    def total(self) -> int:
        return sum(self.calls.values())


async def measure(size: int, changed: Sequence[tuple[int, str]], folder: Path) -> list[Measured]:
    """Assessed before anything happens, and at minute 30."""
    found = []
    async with stories.staged(fleet(size, changed), folder, "") as stage:
        for minute in (1.0, 30.0):
            await stage.play(minute)
            before = len(await stage.record())
            began = time.perf_counter()
            assessed = await stage.assess()
            seconds = time.perf_counter() - began
            asked = (await stage.record())[before:]
            found.append(
                Measured(
                    Counter(kind(line) for line in asked if line["kind"] != "token"),
                    most([line["time"] for line in asked if line["path"] == GRAPH]),
                    seconds,
                    {one.host.lower(): one.outcome for one in assessed.hosts},
                )
            )
    return found


def kind(line: dict[str, Any]) -> str:
    if line["path"] == GRAPH:
        return "Resource Graph"
    if "/virtualMachines/" in line["path"]:
        return "one VM"
    return "the estate"


def most(times: Sequence[str]) -> int:
    """The most of these moments in any 5 seconds."""
    moments = sorted(datetime.fromisoformat(one).timestamp() for one in times)
    return max((sum(one <= other < one + 5 for other in moments) for one in moments), default=0)


def main() -> None:
    size, changed = (int(one) for one in (*sys.argv[1:], *("10000", "50")[len(sys.argv) - 1 :]))
    events = [(number, ("migrate", "heal", "recreate", "down", "stop")[number % 5]) for number in range(changed)]
    with tempfile.TemporaryDirectory() as folder:
        for title, one in zip(
            ("nothing happened", f"{changed} changed"), asyncio.run(measure(size, events, Path(folder))), strict=True
        ):
            print(
                f"{size} hosts, {title}: {one.total} calls {dict(one.calls)}, at most {one.in_five_seconds} queries in 5 s, "
                f"{one.seconds:.1f} s, {dict(Counter(one.verdicts.values()))}"
            )


if __name__ == "__main__":
    main()
