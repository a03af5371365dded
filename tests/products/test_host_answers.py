"""What a hostile host answers: odd shapes are no answer, and its words stay its words; then one estate of such hosts, every command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drkit.model.runbook import Step
from drkit.products.base import StepFailedError
from drkit.products.host_answers import KINDS, Reached, ScriptKind, answer, silent
from drkit.simulator.hosts import scripts
from drkit.simulator.hosts.scripts import ScriptOutput
from tests.scenarios.test_hostile_names import CONTROL
from tests.support import every_command, workers
from tests.support.command_line import Done, Here
from tests.support.estates import PLAN, REGION, SETTINGS, World, guid, host_id, seed

pytestmark = pytest.mark.slow

STEP = cast("Step", SimpleNamespace(id="codespaces:x:release"))
ID = "1d2c3b4a-0001-4000-8000-00000000aaaa"
GOOD: Mapping[ScriptKind, dict[str, Any]] = {
    "reach": {"results": [{"url": "https://a", "http": 200}]},
    "release": {"state": "released", "id": ID, "rc": 0, "backup": "/var/lib/drkit/x/registration", "again": False},
    "register": {"state": "started", "again": True},
    "watch": {"state": "exited", "rc": 1, "code": "ABCD", "codes": 2, "url": "https://a", "already": ID, "error": "no", "id": None},
    "restore": {"state": "restored", "id": ID},
}  # fmt: skip
ODD: Mapping[ScriptKind, tuple[dict[str, Any], ...]] = {
    "reach": ({"results": "all"}, {"results": [1]}, {"results": [{"http": 200}]}, {"results": [{"url": "a", "http": "yes"}]}),
    "release": ({"state": 1}, {"id": "x"}, {"id": ID + "\n"}, {"rc": "0"}, {"again": 1}, {"backup": "x" * 2000}, {"state": "re leased"}),
    "register": ({"state": None}, {"state": ["started"]}, {"state": "x" * 30}),
    "watch": ({"state": "done"}, {"id": "##vso[x]"}, {"already": 7}, {"error": {"a": 1}}, {"code": ["x"]}, {"rc": 1.5}),
    "restore": ({"state": "\x1b[2J"}, {"id": ID.replace("-", "")}),
}  # fmt: skip


def line(kind: str, value: Mapping[str, Any]) -> str:
    return json.dumps({"drkit": f"{kind}/1", **value})


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_has_the_shape_of_its_script(kind: ScriptKind) -> None:
    good = GOOD[kind]
    noise = "##vso[task.complete]\n\x1b[2J\n{\n"
    for stdout in (line(kind, good), noise + line(kind, good) + "\n", "x" * 1_000_000 + "\n" + line(kind, good)):
        found = answer(STEP, stdout, kind)
        assert {key: value for key, value in found.items() if key != "results"}.items() <= good.items()
    others = [line(other, {**GOOD[other], **good}) for other in KINDS if other != kind]
    deep = '{"drkit":' * 1000
    bad = [
        "",
        "done",
        line(kind, {}) if kind != "reach" else "",
        "{" + noise,
        deep,
        line(kind, good)[:-2],
        "[]",
        "{}",
        *others,
    ]
    bad += [line(kind, good | odd) for odd in ODD[kind]]
    bad += [line(kind, good | {"more": "x" * 5000}), line(kind, good) + "\n" + line("watch", {"state": "odd"})]
    for stdout in bad:
        with pytest.raises(StepFailedError) as failed:
            answer(STEP, stdout, kind)
        assert (failed.value.code, failed.value.again) == ("NoAnswer", True)


def test_only_what_was_asked_counts_as_reached() -> None:
    found = [Reached("https://a", 200), Reached("https://elsewhere.example", 200), Reached("https://b", 0)]
    assert silent(found, ["https://a", "https://b", "https://c"]) == ["https://b", "https://c"]


# one estate

FORGED = "run-0001: succeeded (every step is done)"
WORDS = (
    f"\x1b[2J\x1b]0;owned\x07\n##vso[task.setvariable variable=pwned]yes\n{FORGED}\n\u202e$(touch pwned)`touch pwned`"
)
PHISHING = "https://login.attacker.example/device"
CODE = "ATTACKER1"


class HostileHosts:
    """In place of what a host acts out: the genuine answer, spoilt in one of several ways, which change with each call."""

    def __init__(self) -> None:
        self.genuine, self.calls = scripts.run, 0

    def run(
        self, host: Any, around: Any, names: Mapping[str, str], sha256: str, parameters: list[tuple[str, str]]
    ) -> ScriptOutput:
        made = self.genuine(host, around, names, sha256, parameters)
        self.calls += 1
        name = names.get(sha256.lower(), "")
        if not made.stdout.startswith("{"):
            return made
        told = json.loads(made.stdout)
        if name == "probe":
            # It claims to be another, and to hold what another holds.
            claimed = [{"product": "codespaces", "id": guid("bench"), "user": WORDS, "path": WORDS}]
            told |= {"hostname": WORDS, "machine_id": WORDS, "macs": [WORDS] * 9, "ssh_host_keys": WORDS}
            told |= {"registrations": [*(told["registrations"] or []), *claimed]} if host.id == host_id("build") else {}
            return ScriptOutput(f"{WORDS}\n{json.dumps(told)}\n", WORDS)
        if name == "codespaces_watch":
            told |= {"code": CODE, "url": PHISHING, "error": WORDS, "id": None, "state": "running"}
            return ScriptOutput(f"{'x' * 2_000_000}\n{json.dumps(told)}\n", WORDS)
        if name == "reach":
            told["results"].append({"url": WORDS, "http": 0})
        return ScriptOutput(f"{WORDS}\n{line('release', GOOD['release'])}\n{json.dumps(told)}\n", WORDS)


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[World, list[tuple[str, Done]]]]:
    """Every command over an estate whose hosts answer so."""
    hostile = HostileHosts()
    monkeypatch.setattr(scripts, "run", hostile.run)
    world = World(tmp_path, seed(), leaping=True)
    monkeypatch.setattr("drkit.model.cloud.Cloud.clock", lambda _cloud: world.clock)
    here = Here(tmp_path / "site", monkeypatch, capsys, world.ready)
    here.put("drkit.toml", SETTINGS)
    done: list[tuple[str, Done]] = []
    words: tuple[str, ...]

    def run(*words: str) -> Done:
        done.append((" ".join(words), here(*words)))
        return done[-1][1]

    try:
        run("snapshot")
        world.control("lose", region=REGION, minutes_ago=25, announce_after=10)
        for words in (
            ("assess",),
            ("explain", PLAN),
            ("explain", "vm-build"),
            ("check",),
            ("plan",),
            ("show",),
        ):
            run(*words)
        run("approve", next((here.folder / ".drkit/state/runbooks").glob("*.json")).stem)
        run("apply", "latest", "--log-file", "log.jsonl")
        steps = json.loads(run("status", "latest", "--json").out)["steps"]
        for step in (one for one, word in steps.items() if word == "asked" and one.endswith(":ready")):
            run("answer", "latest", step, "ready")
        run("resume", "latest", "--log-file", "log.jsonl")
        for words in (
            ("status",),
            ("status", "latest"),
            ("report", "latest"),
            ("report", "latest", "--owners"),
            ("verify", "latest"),
        ):
            run(*words)
            run(*words, "--json")
            run(*words, "--pipelines")
        for form in ("markdown", "html", "junit"):
            run("report", "latest", "--format", form)
        digest = json.loads(run("show", "--json").out)["digest"]
        typed = {words.partition(" ")[0] for words, _ in done} | {"simulate"}  # which starts another cloud
        for name in sorted(set(every_command.names()) - typed, key=list(every_command.WORDS).index):
            for asked in every_command.WORDS[name]:
                put = {every_command.RUN: "latest", every_command.STEP: min(steps), every_command.RUNBOOK: digest}
                run(*(put.get(word, word) for word in asked))
        assert hostile.calls > 10
        yield world, done
    finally:
        world.stop()


def test_a_hostile_host_is_believed_of_nothing_and_steers_nothing(
    said: tuple[World, list[tuple[str, Done]]], tmp_path: Path
) -> None:
    world, done = said
    journal = (tmp_path / "site/.drkit/journal/run-0001.jsonl").read_text()
    secrets = [one.secret for one in world.simulator.world.principals.values()]
    for words, one in done:
        for text in (one.out, one.err):
            assert not CONTROL.search(text), words
            assert FORGED not in [row.strip() for row in text.splitlines()], words
            assert (
                not re.search(r"##vso\[task\.setvariable variable=pwned", text, re.IGNORECASE)
                or "--pipelines" not in words
            ), words
            assert "attacker" not in text, words
            assert CODE not in text, words
            assert not any(secret in text for secret in secrets), words
    told = "".join(one.err for words, one in done if words.startswith(("apply", "resume")))
    assert "look at the host before anybody signs in" in " ".join(told.split())
    # The one whose registration another host claims is not moved by anybody's word but a person's.
    assert '"nonce"' in journal
    steps = next(json.loads(one.out)["steps"] for words, one in done if words == "status latest --json")
    assert not [step for step in steps if step.startswith("codespaces:bench.") and step.endswith(":release")]
    assert not [path for path in tmp_path.rglob("*") if "pwned" in path.name]
    asked = {line["host"] for line in world.view("record")["requests"]}
    assert not [host for host in asked if "attacker" in host]
    assert CODE not in journal


def test_what_an_extension_says_when_it_fails_is_only_ever_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine of a worker: words of megabytes with everything in them, in every view of the run."""
    told = WORDS + '\\"' * 500_000
    monkeypatch.setattr("drkit.simulator.hybrid_worker.model.onboard", lambda *_: told)
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", '{"key": "planted-in-the-environment"}')
    with workers.site(tmp_path, leaping=True) as found:
        workers.lost(found)
        applied = workers.apply(found)
        here = Here(found.folder, monkeypatch, capsys, found.world.ready)
        where = ("--config", str(found.folder / "drkit.toml"), "--store", found.store_name)
        report = [("report", applied.run, "--format", form) for form in ("markdown", "html", "junit")]
        views = [("status", applied.run), ("report", applied.run), ("report", applied.run, "--owners")]
        shown = [here(*words, *where, *more) for words in views for more in ((), ("--json",), ("--pipelines",))]
        shown += [here(*words, *where) for words in report]
        assert any("VM has reported a failure when processing extension" in " ".join(one.out.split()) for one in shown)
    for one in shown:
        for text in (one.out, one.err):
            assert len(text) < 200_000
            assert "planted-in-the-environment" not in text
            assert not CONTROL.search(text)
            # A long text is folded and indented; a line of drkit begins at the left edge.
            assert FORGED not in text.splitlines()
    piped = [one.out + one.err for one in shown[2:9:3]]
    assert not [text for text in piped if re.search(r"##vso\[task\.setvariable variable=pwned", text, re.IGNORECASE)]
