"""Plays every story and writes docs/transparency.md: what ``drkit explain`` says at the end of each.

``scripts/transparency-page`` runs it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from drkit.cli.views.explain import lines
from drkit.drills.stories import Played, play
from drkit.planning.transparency import ROWS
from drkit.simulator.samples.stories import STORIES

PORT = re.compile(r"(127\.0\.0\.1):\d+")
HEAD = """# What happened to a host

`drkit assess` compares each host with its baseline and with what Azure says, and gives it one of seven verdicts.
`drkit explain HOST` gives the reasons: what was known, the row of the table that decided, what would have changed the
verdict, the evidence with its times, what people will notice, and what to do. `drkit explain PLAN` does so for a plan.

| verdict | in plain words | meaning |
| --- | --- | --- |
| `no-failover` | unaffected | nothing happened to the host |
| `transparent` | failed over, nothing to do | the host moved or was paused, and its environment did not notice |
| `transparent-with-interruption` | restarted, nothing to do | the host restarted, and its registration is still valid |
| `re-register` | must be registered again | the machine is no longer the one that the service knows |
| `host-lost` | lost | the host is lost, but its region is not |
| `region-lost` | lost with its region | the host is in a lost region |
| `undetermined` | cannot be decided | the readings allow no decision; a word in brackets gives the reason |

## Sources

| source | what drkit reads there | delay |
| --- | --- | --- |
| the probe, through run command or by hand | boot, machine-id, SSH host keys, physical host, registration | none |
| ARM | whether the host exists, its vmId, OS disk and power state | seconds |
| Resource Health, current and history | whether the host is available, since when, and who caused it | up to 10 min |
| Resource Graph: annotations | what the platform did to the host: pause, restart, another physical host | about 5 min |
| Resource Graph: Site Recovery | the machine that a failover, or a test failover, created | about 5 min |
| activity log | who did what to the host | 3 to 20 min |
| `VmAvailabilityMetric` | how long the host was down; a minute without a measurement is unknown, not down | minutes |
| Service Health, emerging issues | Microsoft's claim that a region is lost | 10 to 60 min |
| the environment service, Azure DevOps status | shown beside the plan, never a claim | none |

A verdict is *provisional* for 20 minutes after the last event. With 200 VMs or more, drkit reads them all from Resource
Graph, and asks ARM only about a VM that looks different. A reading that failed never counts as "same".

## Watching

`drkit watch` assesses every 5 minutes (`--every`) and prints changes only. `--until WORD` stops at a plan state or a
verdict, or when everything is `settled`; `--for MINUTES` stops in any case. The exit code is 0, or 1 if `--until` was not
reached, or 5 if drkit could not tell anything.

## The table

The first row that applies decides.

| row | when | verdict |
| --- | --- | --- |
"""

STORIES_HEAD = """
## The stories

Each story was played in the simulator, with its baseline taken five minutes before minute 0 (03:00 UTC), and explained
at its end. `drkit drill --story NAME` plays one. The plan is in East US and healthy, so the verdict is about the host,
`vm-build` in West Europe.
"""


def page(played: Sequence[Played]) -> str:
    """The page, from stories that were played."""
    table = "".join(
        f"| {row.number} | {row.when} | {row.outcome}{f' ({row.reason})' if row.reason else ''} |\n" for row in ROWS
    )
    return HEAD + table + STORIES_HEAD + "".join(chapter(one) for one in played)


def chapter(played: Played) -> str:
    """One story."""
    story = played.story
    steps = "".join(f"- minute {step.minute:g}: {step.tells}\n" for step in story.timeline) or "- nothing happens\n"
    told = PORT.sub(r"\1", "\n".join(lines(played.explanation, 100)))
    return f"\n### {story.name}\n\n{story.why}\n\n{steps}- minute {story.ends:g}: `drkit explain`\n\n```text\n{told}\n```\n"


async def every() -> list[Played]:
    """Every story, played."""
    return [await play(name) for name in STORIES]


if __name__ == "__main__":
    (Path(__file__).parents[1] / "transparency.md").write_text(page(asyncio.run(every())), "utf-8")
