"""``scripts/chaos``: seeded chaos runs, or one run killed at every record, judged by the simulator's record."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from tests.scenarios.chaos import sample_estate as sample
from tests.scenarios.chaos.chaos_run import BLOWS, Fate, alone
from tests.support import azurite
from tests.support.kill_points import killed_at_every_record
from tests.support.run_process import Lives

WHOLE_SECONDS = 400.0
BACKENDS = ("folder", "account")


def counted(fates: Sequence[Fate]) -> dict[str, int]:
    """The numbers that are printed."""
    ends = Counter(fate.outcome for fate in fates)
    return {
        "runs": len(fates),
        "succeeded": ends["succeeded"],
        "exceptions": ends["succeeded-with-exceptions"],
        "partial": ends["partial"],
        "failed": ends["failed"],
        "lost": sum(bool(fate.lost) for fate in fates),
        "twice": sum(bool(fate.twice) for fate in fates),
        "stuck": ends["stuck"],
        "unsaid": sum(bool(fate.unsaid) for fate in fates),
    }


def struck(fates: Sequence[Fate]) -> dict[str, int]:
    """How often each kind of fault did strike, by the simulator's own count; 0 for one that never did."""
    found = Counter(dict.fromkeys((*BLOWS, "clock off", "deaths"), 0))
    for fate in fates:
        found.update(fate.struck)
        found["deaths"] += fate.deaths
    return dict(found)


def _faults(fate: Fate) -> str:
    """What the judge found, and who was beside the run."""
    found = f"lost {fate.lost}, twice {fate.twice}, unsaid {fate.unsaid}"
    stuck = f", stuck: {fate.why}" if fate.why else ""
    return f"{found}, said {fate.operator}, elsewhere {fate.elsewhere}{stuck}"


def storms(
    numbers: Sequence[int], seed: int, jobs: int, *, as_json: bool, operator: bool = False, keep: Path | None = None
) -> int:
    """Tell these stories of a seed, so many at once; 1 when one of them is not good. ``keep``: a folder for what each leaves."""
    fates = []
    # Ctrl-C reaches every process, and ends who tells a story at once.
    at_ctrl_c = (signal.SIGINT, signal.SIG_DFL)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=signal.signal, initargs=at_ctrl_c) as pool:
        try:
            for done in as_completed(
                [pool.submit(alone, number, seed, operator=operator, keep=keep) for number in numbers]
            ):
                fate = done.result()
                fates.append(fate)
                if not as_json or not fate.good:
                    word = "" if fate.good else f"  NOT GOOD: {_faults(fate)}"
                    blows = ", ".join(f"{name} ({fate.struck.get(name, 0)})" for name in fate.blows)
                    store = f"  another store {fate.elsewhere}" if fate.elsewhere else ""
                    line = (
                        f"{fate.number:4} {fate.ground:14} {fate.outcome:26} {fate.deaths} deaths  {blows}{store}{word}"
                    )
                    print(line, file=sys.stderr, flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    counts = counted(fates)
    bad = sorted(fate.number for fate in fates if not fate.good)
    faults = struck(fates)
    if as_json:
        print(json.dumps({**counts, "seed": seed, "bad": bad, "faults": faults}))
    else:
        print(", ".join(f"{name} {number}" for name, number in counts.items()))
        print("struck: " + ", ".join(f"{name} {number}" for name, number in faults.items()))
    return 1 if bad else 0


def every_record(every: int, backends: Sequence[str], *, as_json: bool) -> int:
    """Kill a run of the whole sample at every record, on a folder and on a storage account; 1 when one does not end as it must."""
    lives, said = Lives(), {}
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, azurite.account(Path(name) / "azurite") as address:
        folder = Path(name)
        os.environ |= {azurite.KEY: azurite.SECRET, "XDG_CACHE_HOME": str(folder / "cache")}
        with sample.sample(folder / "undisturbed") as (site, place), sample.Everybody(site):
            code = lives.one(place, seconds=WHOLE_SECONDS)
            undisturbed, records = sample.end_of(site), len(site.journal())
        print(f"undisturbed: exit code {code}, {records} records", file=sys.stderr, flush=True)
        for backend in backends:
            account = address if backend == "account" else None
            with sample.sample(folder / backend, account) as (site, place):
                between = partial(azurite.let_leases_run_out, site.store) if account else lambda: None
                found = killed_at_every_record(
                    site,
                    lives,
                    every=every,
                    between=between,
                    place=place,
                    people=sample.Everybody,
                    seconds=WHOLE_SECONDS,
                )
                repeated, end = sample.twice(site), sample.end_of(site)
            said[backend] = {
                "records": len(site.journal()),
                "deaths": found.deaths,
                "exit_code": found.exit_code,
                "twice": len(repeated),
                "same_end": end == undisturbed,
            }
            for one in repeated:
                print(f"{backend}: {one}", file=sys.stderr)
            for part in undisturbed:
                if end[part] != undisturbed[part]:
                    print(f"{backend}: {part}: {end[part]}\n  undisturbed: {undisturbed[part]}", file=sys.stderr)
    for backend, ended in said.items():
        if not as_json:
            print(f"{backend}: {', '.join(f'{name} {value}' for name, value in ended.items())}")
    if as_json:
        print(json.dumps(said))
    return 0 if all(end["exit_code"] == code and not end["twice"] and end["same_end"] for end in said.values()) else 1


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Runs that are killed and stormed at.")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="how many stories (default: 20)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which stories (default: 1)")
    parser.add_argument(
        "--story", type=int, action="append", metavar="N", help="only this story of the seed, instead of --runs"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep what each story leaves: its journals and its output"
    )
    jobs = 2 * (os.cpu_count() or 1)  # most of a story is waiting for a simulated clock
    parser.add_argument("--jobs", type=int, default=jobs, metavar="J", help=f"how many at once (default here: {jobs})")
    parser.add_argument(
        "--operator",
        action="store_true",
        help="with a second operator who pauses, skips, aborts, retries, rebases, and with another store",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument(
        "--every-record",
        action="store_true",
        help="one run of the whole sample, killed at every record, on both stores",
    )
    parser.add_argument("--every", type=int, default=1, metavar="K", help="with it: at every K-th record (default: 1)")
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="with it: this store only (default: both)")
    options = parser.parse_args()
    if min(options.runs, options.jobs, options.every) < 1:
        parser.error("--runs, --jobs and --every are at least 1")
    numbers = options.story or range(options.runs)
    if min(numbers) < 0:
        parser.error("--story is at least 0")
    if options.every_record:
        return every_record(options.every, options.backend or BACKENDS, as_json=options.json)
    try:
        return storms(
            numbers, options.seed, options.jobs, as_json=options.json, operator=options.operator, keep=options.keep
        )
    except (KeyboardInterrupt, BrokenProcessPool):
        print("stopped before every story was told", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
