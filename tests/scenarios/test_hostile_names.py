"""One estate whose every name is meant badly, through every command: nothing is forged, run, escaped from, or written elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Done, Here
from tests.support.estates import BY_HAND, PLAN, SETTINGS, World, guid, host_id, seed
from tests.support.patience import PATIENCE

FORGED = "next: `drkit abort latest`"
LONG = "w" * 100_000
NAMES = {
    "api": f"api\r\n{FORGED}\n",
    "shop": "shop\x1b[2J\x1b]0;owned\x07\x9b31m",
    "docs": "docs\u202egnp.exe\u200b\u2066\ufeff",
    "build": "b'; touch pwned #\"$(touch pwned)`touch pwned`&& touch pwned | touch pwned > pwned",
    "bench": "-rf --yes\n; touch pwned",
    BY_HAND: "r'\"; touch pwned; $(touch pwned) `touch pwned` \\",
    "billing": LONG,
}
MORE = {
    "api": "../../../../pwned",
    "shop": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "docs": "##vso[task.setvariable variable=pwned]yes",
    "build": "| a | b |\n# heading [link](javascript:alert(1))",
    "bench": "=cmd|'/c calc'!A0",
    BY_HAND: "%0Aforged%1b",
    "billing": LONG[:5000],
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def hostile(more: bool) -> dict[str, Any]:
    """The small estate, its environments, folders, hosts and tags named badly."""
    content = seed()
    names = MORE if more else NAMES
    by_id = {guid(name): bad for name, bad in names.items()}
    for one in content["environments"]:
        bad = by_id[one["id"]]
        one["friendlyName"] = bad
        if "seed" in one:
            one["seed"] = {"type": "git", "moniker": f"https://github.com/contoso/{bad[:200]}"}
        if "recentFolders" in one:
            one["recentFolders"] = [f"/home/dev/{bad[:200]}"]
    for one in content["hosts"]:
        one["hostname"] = next(bad for name, bad in names.items() if host_id(name) == one["id"])[:200]
    for one in content["resources"]:
        one["tags"] = {f"t{number}": bad[:200] for number, bad in enumerate(names.values())}
    return content


@dataclass
class Tried:
    """The commands that were typed, with what each said, and the seconds of computing that the dearest took."""

    here: Here
    said: list[tuple[str, Done]] = field(default_factory=list)
    dearest: float = 0.0

    def __call__(self, *words: str, code: int | None = 0) -> Done:
        began = time.process_time()
        done = self.here(*words)
        self.dearest = max(self.dearest, time.process_time() - began)
        assert code is None or done.code == code, (words, done.err[-2000:], done.out[-500:])
        self.said.append((" ".join(words), done))
        return done


@pytest.fixture(params=[False, True], ids=["names", "more names"])
def tried(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Tried]:
    world = World(tmp_path, hostile(request.param), leaping=True)
    monkeypatch.setattr("drkit.model.cloud.Cloud.clock", lambda _cloud: world.clock)
    site = tmp_path / "a" / "b" / "site"
    here = Here(site, monkeypatch, capsys, world.ready)
    here.put("drkit.toml", SETTINGS)
    run = Tried(here)
    try:
        run("snapshot")
        run("init", "--out", "other.toml")
        world.control("lose", region="westeurope", minutes_ago=25, announce_after=10)
        run("assess")
        run("explain", PLAN)
        run("explain", "vm-build")
        run("check", code=None)
        digest = json.loads(run("plan", "--json").out)["digest"]
        run("show")
        run("approve", digest, "--note", NAMES["build"])
        run("apply", "latest", "--log-file", "log.jsonl", code=3)
        run("status")
        run("status", "latest")
        asked = [
            step for step, is_ in json.loads(run("status", "latest", "--json").out)["steps"].items() if is_ == "asked"
        ]
        assert asked
        run("skip", "latest", asked[0], "--reason", f"{NAMES['shop']}{FORGED}")
        run("resume", "latest", code=None)
        run("report", "latest")
        run("report", "latest", "--owners")
        for form in ("markdown", "html", "junit"):
            run("report", "latest", "--format", form)
        for name in ("r.html", "r.md", "r.xml", "r.json", "r.txt"):
            run("report", "latest", "--out", name)
        for words in (("show",), ("status", "latest"), ("report", "latest"), ("explain", PLAN), ("verify", "latest")):
            run(*words, "--json")
        for words in (("snapshot",), ("assess",), ("show",), ("status", "latest"), ("report", "latest"), ("plan",)):
            run(*words, "--pipelines", code=None)
        for more in (("cleanup", "latest"), ("failback",), ("status", "--open"), ("check", "--if-lost", "westeurope")):
            run(*more, code=None)
        run()
        yield run
    finally:
        world.stop()


def test_nothing_is_forged_hidden_or_written_elsewhere_and_what_is_pasted_is_inert(
    tried: Tried, tmp_path: Path, require: Callable[[str], str]
) -> None:
    markup = ("--format html", "--format junit", "--format markdown")
    for words, done in tried.said:
        for text in (done.out, done.err):
            assert not CONTROL.search(text), (words, CONTROL.search(text))
            # A long line may be folded anywhere; a line of its own is what nobody's name may make.
            assert not [line for line in text.splitlines() if line.strip() == FORGED], words
            if "--pipelines" in words:
                # An agent obeys such a command wherever it stands in a line.
                assert not re.search(r"##vso\[task\.setvariable variable=pwned", text, re.IGNORECASE), words
        if "--json" not in words and not any(form in words for form in markup):
            # What is to be copied keeps its line; all else fits, and nobody's name makes a screen of it.
            loose = [
                line for line in done.out.splitlines() if not line.startswith(("    ", "kept as", "next:", "##vso["))
            ]
            assert max(map(len, loose), default=0) <= 80 or "--owners" in words, words
            assert len(done.out) < 200_000, (words, len(done.out))
        if "--json" in words:
            json.loads(done.out)
    assert tried.dearest < 30
    logged = (tried.here.folder / "log.jsonl").read_text().splitlines()
    assert {"command begun", "command ended"} <= {json.loads(line)["event"] for line in logged}
    assert not [line for line in logged if CONTROL.search(line) or not line.isascii()]
    page = next(done.out for words, done in tried.said if words.endswith("--format html"))
    assert "<script" not in page
    assert "<img" not in page
    outside = {path for path in tmp_path.rglob("*") if "pwned" in path.name or path.name.startswith("forged")}
    assert outside == set()
    assert not list(Path.cwd().glob("*pwned*"))
    pasted = [
        line.strip()
        for _, done in tried.said
        for line in done.out.splitlines()
        if line.startswith(("    az ", "    codespaces "))
    ]
    assert pasted
    _paste(list(dict.fromkeys(pasted)), tmp_path / "shell", require)


def _paste(lines: list[str], folder: Path, require: Callable[[str], str]) -> None:
    """Every printed command in real shells whose only programs are stubs that write down how they were called."""
    stubs = folder / "bin"
    stubs.mkdir(parents=True)
    for name in ("az", "codespaces", "touch", "cmd", "drkit", "rm"):
        (stubs / name).write_text(f'#!{require("dash")}\nprintf "%s\\n" "{name}" >> "$CALLED"\n')
        (stubs / name).chmod(0o755)
    for shell in ("dash", "bash"):
        called = folder / f"{shell}.called"
        done = subprocess.run(
            [require(shell), "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={"PATH": str(stubs), "CALLED": str(called)},
        )  # fmt: skip
        programs = called.read_text().split()
        assert set(programs) <= {"az", "codespaces"}, (shell, set(programs))
        assert len(programs) == len(lines), (shell, done.stderr[-500:])
    assert {path.name for path in folder.iterdir()} == {"bin", "dash.called", "bash.called"}
    shutil.rmtree(folder)


def test_names_that_look_like_paths_stay_inside_the_store(tmp_path: Path) -> None:
    from drkit.errors import DrkitError
    from drkit.store.store import Store

    store = Store(tmp_path / "site" / "store")
    for name in ("../../pwned", "/etc/passwd", "run-0001/../../x", "..", "run-0001\n", "", "run-0001.jsonl"):
        with pytest.raises(DrkitError):
            store.records(name)
        with pytest.raises(DrkitError):
            store.runbook(name)
    assert not list(tmp_path.rglob("*pwned*"))
