"""The safety rules of ``drkit.planning.transparency``, over every combination of signals or an even sample of them.

    python -m tests.planning.enumerate_transparency                  a sample, some seconds
    python -m tests.planning.enumerate_transparency --full --jobs 2  all 42 million, each with and without trust_registration

A *context* is one combination of the fields that are no comparison; within it stand the 729 combinations of the six
comparisons, so that every neighbour with one *same* turned into *unknown* is at hand.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from drkit.planning.transparency import DOMAINS, ROWS, Signals, Verdict, judge

COMPARISONS = ("instance_id", "os_id", "registration", "boot", "physical_host", "os_disk")
CONTEXT = tuple(name for name in DOMAINS if name not in COMPARISONS)
CONTEXTS = math.prod(len(DOMAINS[name]) for name in CONTEXT)
POINTS = 3 ** len(COMPARISONS)
SAMPLE = 727  # a prime near POINTS: one or two points in each context, and another one in the next

BENIGN = {"no-failover": 3, "transparent": 2, "transparent-with-interruption": 1}
SURE = {"high": 2, "medium": 1, "low": 0}


def after_first(given: Mapping[str, Any]) -> dict[str, Any]:
    """The signals as they stand after "First, before the rows": a second reading of that text, not the module's own."""
    stand = dict(given)
    if given["host_kind"] in ("arc", "physical"):
        stand["region"] = "ok"
    if given["successor"] == "moved":
        stand["successor"] = "none"
        if given["instance_id"] in ("same", "unknown"):
            if given["arm"] == "gone":
                stand["arm"] = "found"
            if given["arm"] in ("gone", "found"):
                stand["instance_id"] = "same"
    elif given["successor"] == "drill":
        stand["successor"] = "none"
    if given["probe"] in ("none", "down"):
        stand |= {name: "unknown" for name in ("os_id", "boot", "physical_host") if given[name] == "same"}
    return stand


def broken_rules(stand: Mapping[str, Any], verdict: Verdict) -> list[int]:
    """Which of the safety rules 1 to 4 a verdict breaks, given the signals as they stand after *First*."""
    broken = []
    differs = "different" in (stand["instance_id"], stand["os_id"], stand["registration"])
    up = stand["probe"] == "up"
    if verdict.outcome in BENIGN and differs:
        by_row_9 = verdict.rule == 9 and up and stand["os_id"] == stand["registration"] == "same"
        if not by_row_9:
            broken.append(1)
    if verdict.outcome == "host-lost" and (stand["arm"] == "unreachable" or up):
        broken.append(2)
    if verdict.outcome == "region-lost" and (stand["region"] != "both" or up):
        broken.append(3)
    if verdict.outcome == "re-register" and not (
        differs or stand["successor"] == "proved" or stand["ephemeral_os_disk"] or stand["arc_cloned"]
    ):
        broken.append(4)
    return broken


def reassured(seen: Verdict, unseen: Verdict) -> bool:
    """Whether safety rule 5 is broken: ``unseen``, which knows one *same* less than ``seen``, is the happier one."""
    was, now = BENIGN.get(seen.outcome, 0), BENIGN.get(unseen.outcome, 0)
    return now > was or (now == was > 0 and SURE[unseen.confidence] > SURE[seen.confidence])


@dataclass
class Tally:
    """What an enumeration met: combinations, verdicts per row, neighbours compared, and every rule broken, in words."""

    combinations: int = 0
    neighbours: int = 0
    rows: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        self.combinations += other.combinations
        self.neighbours += other.neighbours
        self.rows += other.rows
        self.broken += other.broken
        return self


def tally_context(number: int, stride: int, *, trust_registration: bool) -> Tally:
    """Judge every ``stride``-th point of one context and all its same -> unknown neighbours."""
    context: dict[str, Any] = {}
    rest = number
    for name in CONTEXT:
        rest, digit = divmod(rest, len(DOMAINS[name]))
        context[name] = DOMAINS[name][digit]
    tally = Tally()
    verdicts: dict[int, Verdict] = {}

    def given_at(point: int) -> dict[str, Any]:
        digits = (point // 3**place % 3 for place in range(len(COMPARISONS)))
        return context | {name: DOMAINS[name][digit] for name, digit in zip(COMPARISONS, digits, strict=True)}

    def verdict_at(point: int) -> Verdict:
        if point not in verdicts:
            verdicts[point] = judge(Signals(**given_at(point)), trust_registration=trust_registration)
        return verdicts[point]

    for point in range(number * 7 % stride, POINTS, stride):
        verdict = verdict_at(point)
        given = given_at(point)
        tally.combinations += 1
        tally.rows[verdict.rule] += 1
        for rule in broken_rules(after_first(given), verdict):
            tally.broken.append(f"rule {rule}: {verdict} for {given}")
        for place, name in enumerate(COMPARISONS):
            if given[name] == "same":
                tally.neighbours += 1
                unseen = verdict_at(point - 3**place)
                if reassured(verdict, unseen):
                    tally.broken.append(f"rule 5: {verdict}, but {unseen} once {name} is unknown, for {given}")
    return tally


def tally_contexts(numbers: range, stride: int, trust_registration: bool) -> Tally:
    """The tally over some contexts."""
    total = Tally()
    for number in numbers:
        total += tally_context(number, stride, trust_registration=trust_registration)
    return total


def tallies(stride: int, *, trust_registration: bool, jobs: int = 1) -> Iterator[Tally]:
    """The tallies of all contexts, in parts; stride 1 is every combination there is."""
    parts = [range(start, min(start + 400, CONTEXTS)) for start in range(0, CONTEXTS, 400)]
    if jobs == 1:
        for part in parts:
            yield tally_contexts(part, stride, trust_registration)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(tally_contexts, parts, itertools.repeat(stride), itertools.repeat(trust_registration))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planning.enumerate_transparency")
    parser.add_argument("--full", action="store_true", help="every combination; the same as --stride 1")
    parser.add_argument("--stride", type=int, default=SAMPLE, help=f"each so many-th combination, default {SAMPLE}")
    parser.add_argument("--jobs", type=int, default=1, help="processes, default 1")
    options = parser.parse_args(arguments)
    failed = False
    for trusted in (False, True):
        began = time.monotonic()
        total = Tally()
        for tally in tallies(1 if options.full else options.stride, trust_registration=trusted, jobs=options.jobs):
            total += tally
            if len(total.broken) > 20:
                break
        missed = [row.number for row in ROWS if not total.rows[row.number]]
        failed = failed or bool(total.broken or missed)
        print(f"trust_registration={trusted}: {total.combinations:,} combinations, {total.neighbours:,} neighbours,")
        print(f"  rules broken: {len(total.broken)}, rows never met: {missed or 'none'}")
        print(f"  verdicts per row: {', '.join(f'{row.number}: {total.rows[row.number]:,}' for row in ROWS)}")
        print(f"  {time.monotonic() - began:.0f} s")
        for line in total.broken[:20]:
            print(f"  {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
