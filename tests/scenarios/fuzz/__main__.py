"""``scripts/fuzz``: bad files, command lines and answers of Azure, each given to drkit, and its end judged."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.scenarios.fuzz import cases, judge
from tests.scenarios.fuzz.cases import Case
from tests.scenarios.fuzz.judge import Ended
from tests.support import command_line as cli_support
from tests.support import every_command, forked
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[3]
LIMITS = forked.Limits(cpu_seconds=40, memory=3 << 30)


def run(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Ended:
    """``drkit WORDS`` in that folder, with that environment and no standard input."""
    began = time.monotonic()
    command = forked.Command(words, cwd=folder, env=environment, limits=LIMITS)
    try:
        code: int | None = command.wait()
    except subprocess.TimeoutExpired:
        code = None
    out, err = command.output()
    return Ended(tuple(words), code, out, err, time.monotonic() - began)


@dataclass
class Fate:
    """What came of one case: what was odd, what was typed, and what is wrong with how it ended."""

    case: Case
    odd: str
    ended: list[Ended]
    faults: list[str]


@dataclass
class Cloud:
    """The simulated Azure in a process of its own (``tests.scenarios.fuzz.cloud``)."""

    folder: Path
    process: subprocess.Popen[str]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def case(self, text: str) -> None:
        """What its answers are made into from now on; empty: nothing."""
        (self.folder / "case").write_text(text, "utf-8")

    def control(self, name: str, **body: Any) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"name": name, **body}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def secrets(self) -> set[str]:
        """What must be printed and kept nowhere: its clients' secrets, and every token it gave."""
        given = (self.folder / "secrets").read_text("utf-8").split()
        return {*given, *secrets_of(self.facts)}


def secrets_of(facts: Mapping[str, Any]) -> set[str]:
    """The clients' secrets in a ready file."""
    return {one["client_secret"] for one in facts["principals"].values()} | {facts["client_secret"]}


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """Serves while the block runs."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scenarios.fuzz.cloud", str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the simulated Azure does not come up")
        yield Cloud(folder, process, json.loads((folder / "ready.json").read_text("utf-8")))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE)


class Bench:
    """Where cases are tried: prepared folders, copied for each of them."""

    def __init__(self, folder: Path, azure: Cloud | None) -> None:
        self.folder, self.azure = folder, azure
        self.environment = {
            **cli_support.environment(COLUMNS="100"),
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.live = folder / "live"
        if azure is not None:
            self._make_live(azure)

    def _make_live(self, azure: Cloud) -> None:
        """A folder whose cloud answers: captured, then a region lost, declared, and planned for."""
        self.live.mkdir()
        (self.live / "drkit.toml").write_text(cli_support.settings())
        for words in (
            ("snapshot",),
            ("assess", "--declare-lost", cli_support.LOST, "--reason", "it is dark"),
            ("plan",),
        ):
            if words[0] == "assess":
                azure.control("lose", region=cli_support.LOST)
            ended = run(words, self.live, self._with_cloud(azure.folder / "ready.json"))
            if ended.code != 0:
                raise SystemExit(f"the estate cannot be prepared: {words}: {ended.code}\n{ended.err}")

    def _with_cloud(self, ready: Path) -> dict[str, str]:
        return {**self.environment, "DRKIT_CLOUD": str(ready)}

    def tell(self, case: Case) -> Fate:
        """One case."""
        folder = self.folder / f"case-{case.number}"
        try:
            return {"answers": self._answers, "files": self._files, "lines": self._lines}[case.kind](case, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _answers(self, case: Case, folder: Path) -> Fate:
        assert self.azure is not None
        shutil.copytree(self.live, folder)
        before = judge.kept(folder)
        environment = self._with_cloud(self.azure.folder / "ready.json")
        self.azure.case(f"{case.seed}/{case.number}")
        try:
            ended = run(case.random.choice(cases.READING), folder, environment)
        finally:
            self.azure.case("")
        secrets = self.azure.secrets()
        wrong = judge.faults(ended, secrets) + judge.kept_faults(before, judge.kept(folder), secrets)
        wrong += judge.strayed(self.azure.folder)
        (self.azure.folder / "strayed").write_text("")
        return self._readable(Fate(case, "answers", [ended], wrong), folder, environment)

    def _files(self, case: Case, folder: Path) -> Fate:
        random = case.random
        every_command.prepare(self._empty(folder), clock={**self._clock(), "speed": 60.0})
        typed = cases.typed(folder, random)
        name = cases.spoil(folder, random)
        words = (*typed, "--json") if random.random() < 0.3 and "--json" not in typed else typed
        environment = self._with_cloud(folder / "ready.json")
        ended = run(words, folder, environment)
        return Fate(case, f"file {name}", [ended], judge.faults(ended, secrets_of(every_command.prepared().facts)))

    def _lines(self, case: Case, folder: Path) -> Fate:
        random = case.random
        every_command.prepare(self._empty(folder), clock={**self._clock(), "speed": 60.0})
        before = judge.kept(folder)
        environment = self._with_cloud(folder / "ready.json")
        ended = run(cases.mistyped(folder, random), folder, environment)
        secrets = secrets_of(every_command.prepared().facts)
        wrong = judge.faults(ended, secrets) + judge.kept_faults(before, judge.kept(folder), secrets)
        return self._readable(Fate(case, "line", [ended], wrong), folder, environment)

    def _readable(self, fate: Fate, folder: Path, environment: Mapping[str, str]) -> Fate:
        """Whether the store, which was good, still is: what drkit wrote, it reads."""
        looked = run(("status", "--json"), folder, environment)
        fate.ended.append(looked)
        if looked.code not in (0, 1, 3) or "drkit itself failed" in looked.err:
            fate.faults.append(f"the store cannot be read any more: {looked.code} {looked.err.strip()[-400:]}")
        return fate

    def _clock(self) -> dict[str, Any]:
        return {"origin": every_command.prepared().now, "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    def _empty(self, folder: Path) -> Path:
        folder.mkdir()
        return folder


def fuzz(numbers: Sequence[int], seed: int, *, as_json: bool) -> int:
    """Try these cases of a seed; 1 when one of them does not end well."""
    tried = [Case(seed, number) for number in numbers]
    began, fates, kinds = time.monotonic(), [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        if any(case.kind == "answers" for case in tried):
            with cloud(folder / "cloud") as live:
                fates = list(_told(Bench(folder, live), tried, kinds))
        else:
            fates = list(_told(Bench(folder, None), tried, kinds))
    bad = [fate for fate in fates if fate.faults]
    numbers_of = {"cases": len(fates), **kinds, "bad": len(bad), "seconds": round(time.monotonic() - began)}
    if as_json:
        print(json.dumps({**numbers_of, "seed": seed, "numbers": [fate.case.number for fate in bad]}))
    else:
        print(", ".join(f"{key} {value}" for key, value in numbers_of.items()))
    return 1 if bad else 0


def _told(bench: Bench, tried: Sequence[Case], kinds: Counter[str]) -> Iterator[Fate]:
    for case in tried:
        fate = bench.tell(case)
        kinds[case.kind] += 1
        if fate.faults:
            first = fate.ended[0]
            print(f"NOT GOOD: {'; '.join(fate.faults)}", file=sys.stderr)
            print(
                f"  odd: {fate.odd}; typed: drkit {' '.join(map(repr, first.words))[:400]}; code {first.code}",
                file=sys.stderr,
            )
            print(f"  {(first.err or first.out).strip()[-600:]!r}", file=sys.stderr)
            print(f"  again: {case.repeat}", file=sys.stderr, flush=True)
        yield fate


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same cases (1)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one (0)")
    parser.add_argument("--only", type=int, help="this one alone")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--kind", choices=sorted(set(cases.KINDS)), help="those of that kind only")
    said = parser.parse_args()
    numbers = [said.only] if said.only is not None else range(said.first, said.first + said.cases)
    if said.kind:
        numbers = [number for number in numbers if Case(said.seed, number).kind == said.kind]
    os.umask(0o077)
    return fuzz(list(numbers), said.seed, as_json=said.json)


if __name__ == "__main__":
    sys.exit(main())
