"""docs/transparency.md: what ``drkit explain`` says at the end of each story, as the story was played."""

from __future__ import annotations

import re
from collections.abc import Sequence

from drkit.simulator.stories import STORIES
from drkit.story import Played, play
from drkit.transparency import ROWS
from drkit.views.explain import lines

PORT = re.compile(r"(127\.0\.0\.1):\d+")
HEAD = """# What happened to a host

`drkit assess` compares each host with its baseline and with what Azure says, and gives it one of seven verdicts.
`drkit explain HOST` shows why: what was known, the row of the table that decided, what would have changed it, the
evidence with its times, what people will notice, and what to do. `drkit explain PLAN` does so for a plan.

| verdict | meaning |
| --- | --- |
| `no-failover` | nothing happened to it |
| `transparent` | it moved or stood still, and its environment noticed nothing |
| `transparent-with-interruption` | it restarted, and its registration still stands |
| `re-register` | what the service knows is not this machine any more |
| `host-lost` | it is lost, and its region is not |
| `region-lost` | it is lost with its region |
| `undetermined` | nothing may be done on what is known; a word in brackets says why |

## Where it is read

| source | what it tells | how late |
| --- | --- | --- |
| the probe, through run command or by hand | boot, machine-id, SSH host keys, physical host, registration | at once |
| ARM | whether it exists, its vmId, OS disk and power | seconds |
| Resource Health, current and history | available or not, since when, who is behind it | up to 10 min |
| Resource Graph: annotations | what the platform did to it: pause, restart, another physical host | about 5 min |
| Resource Graph: Site Recovery | what a failover, or a test failover, made of it | about 5 min |
| activity log | who did what to it | 3 to 20 min |
| `VmAvailabilityMetric` | for how long it was down; a minute nobody measured is unknown, not down | minutes |
| Service Health, emerging issues | Microsoft's claim that a region is lost | 10 to 60 min |
| the environment service, Azure DevOps status | shown beside the plan, never a claim | at once |

A verdict is *provisional* for 20 minutes after the last thing that happened. From 200 VMs on, Resource Graph is asked
for all of them at once, and ARM only for one that looks different. Nothing that could not be read counts as "same".

## Watching

`drkit watch` assesses every 5 minutes (`--every`) and prints changes only. `--until WORD` stops at a plan state, a
verdict, or when all is `settled`; `--for MINUTES` stops anyway. It ends with 0, with 1 when `--until` was not reached,
with 5 when nothing could be told.

## The table

The first row that holds decides.

| row | when | verdict |
| --- | --- | --- |
"""

STORIES_HEAD = """
## The stories

Each was played on the embedded Azure, with its baseline taken five minutes before minute 0 (03:00 UTC), and explained
at its end. `drkit drill --story NAME` plays one. The plan stands in East US and stays well, so what is judged is the
host, `vm-build` in West Europe.
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
