"""What makes an engineer's night easier: completion, a log for machines, traces; and that none of them can harm a run."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drkit.api import capture
from drkit.api.context import Context
from drkit.model import cloud as clouds
from drkit.model import files
from drkit.model import log as log_
from drkit.model.settings import Settings
from drkit.store.store import Store
from tests.support.command_line import Here, command, copy_of_recorded, environment, runbook_of
from tests.support.estates import SUBSCRIPTION, World, seed
from tests.support.patience import PATIENCE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder with a store up to a runbook; its cloud exists on paper only."""
    return Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))


# completion


def offered(folder: Path, typed: str) -> list[str]:
    """What the completion that bash sources would offer for a line, by click's own protocol."""
    words = shlex.split(typed)
    incomplete = "" if typed.endswith(" ") else words[-1]
    done = subprocess.run(
        command(),
        cwd=folder,
        env=environment(
            _DRKIT_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=str(len(words) - (0 if typed.endswith(" ") else 1))
        ),
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert not done.stderr
    assert incomplete is not None
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_options_and_values_are_offered(here: Here) -> None:
    assert {"snapshot", "show", "simulate", "skip", "status"} <= set(offered(here.folder, "drkit s"))
    assert "--declare-lost" in offered(here.folder, "drkit assess --de")
    assert "westeurope" in offered(here.folder, "drkit assess --declare-lost west")
    assert "AzureUSGovernment" in offered(here.folder, "drkit assess --cloud AzureU")
    digest = runbook_of(here.folder).stem[:12]
    assert offered(here.folder, f"drkit show {digest[:4]}") == [digest]
    assert "latest" in offered(here.folder, "drkit apply ")
    assert offered(here.folder, "drkit approve ") == [digest], "what is approved is named by its digest"
    assert offered(here.folder, "drkit explain vm-")
    assert "only-source-plans" in offered(here.folder, "drkit plan --force only")
    assert "region-lost" in offered(here.folder, "drkit assess --verdict reg")


def test_completion_stays_quiet_whatever_the_folder_holds(here: Here) -> None:
    here.put("drkit.toml", "store = [")
    assert offered(here.folder, "drkit resume ") == []
    here.put("drkit.toml", 'store = "https://account.blob.core.windows.net"')
    assert offered(here.folder, "drkit resume ") == []


def test_bash_itself_completes(here: Here, require: Callable[[str], str]) -> None:
    bash = require("bash")
    script = here("completion", "bash").out
    folder = Path(sys.executable).parent
    asked = 'COMP_WORDS=(drkit st); COMP_CWORD=1; _drkit_completion drkit; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        [bash, "--norc", "-c", f"{script}\n{asked}"], cwd=here.folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"),
    )  # fmt: skip
    assert done.stdout.split() == ["status"], done.stderr


ODD = (
    "x$(touch pwned)",
    "x`touch pwned`",
    "x;touch pwned",
    "x'$(touch pwned)'",
    'x"$(touch pwned)"',
    "x *",
    "x\\$(touch pwned)",
    "x!1",
)
DEVIOUS = ("x\x1b[31m", "x\ntouch pwned", "x\u202ey", "x\u009b31m")


def with_names(folder: Path, *names: str) -> None:
    """The newest snapshot's plans get these names."""
    path = max((folder / ".drkit/state/snapshots").glob("*.json"))
    told = json.loads(path.read_bytes())
    told["plans"] += [
        {**told["plans"][0], "id": f"{told['plans'][0]['id']}{number}", "name": name}
        for number, name in enumerate(names)
    ]
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("opened", ["", "'", '"'])
def test_what_bash_puts_on_the_line_runs_nothing(here: Here, require: Callable[[str], str], opened: str) -> None:
    bash = require("bash")
    with_names(here.folder, *ODD, *DEVIOUS)
    script = here("completion", "bash").out
    (here.folder / "x$(touch pwned)").touch()  # what a pattern would find
    asked = (
        "COMP_WORDS=(drkit explain x); COMP_CWORD=2; _drkit_completion drkit\n"
        'for one in "${COMPREPLY[@]}"; do printf "%s\\0" "$one"; done'
    )
    done = subprocess.run(
        [bash, "--norc", "-c", f"{script}\n{asked}"], cwd=here.folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"),
    )  # fmt: skip
    offered = done.stdout.split("\0")[:-1]
    assert len(offered) == len(ODD), done
    for name, text in zip(sorted(ODD), sorted(offered, key=lambda text: shlex.split(text)[0]), strict=True):
        # On the line, after a quotation mark that was there: bash reads it as one word, or asks for the end of the text.
        typed = subprocess.run(
            [bash, "--norc", "-c", f"printf '%s\\0' {opened}{text}{opened}"],
            cwd=here.folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert opened or typed.stdout.split("\0")[:-1] == [name]
        assert not (here.folder / "pwned").exists(), (opened, text)


def test_a_bash_with_an_older_script_is_offered_plain_values_only(here: Here) -> None:
    with_names(here.folder, *ODD, *DEVIOUS, "x-plain")
    assert offered(here.folder, "drkit explain x") == ["x-plain"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_no_control_character_reaches_a_shell(here: Here, shell: str) -> None:
    with_names(here.folder, *ODD, *DEVIOUS)
    words = {"zsh": ("drkit explain x", "2"), "fish": ("drkit explain x", "x")}[shell]
    done = subprocess.run(
        command(), cwd=here.folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=environment(_DRKIT_COMPLETE=f"{shell}_complete", COMP_WORDS=words[0], COMP_CWORD=words[1]),
    )  # fmt: skip
    lines = done.stdout.split("\n")
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert sum(line == "plain" if shell == "zsh" else line.startswith("plain,x") for line in lines) == len(ODD)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_theirs(shell: str, here: Here) -> None:
    told = here("completion", shell, "--json").json
    assert (told["shell"], "_DRKIT_COMPLETE" in told["text"]) == (shell, True)


# the log file


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    running = World(tmp_path, seed())
    yield running
    running.stop()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_log_file_says_what_happened_and_has_no_secret(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at = Here(tmp_path / "site", monkeypatch, capsys, world.ready)
    at.put("drkit.toml", 'targets = ["eastus"]\n')
    log = tmp_path / "log.jsonl"
    assert at("snapshot", "--log-file", str(log)).code == 0
    told = lines(log)
    assert [one["event"] for one in told if one["event"] != "request"] == ["command begun", "command ended"]
    requests = [one for one in told if one["event"] == "request"]
    assert all(one["method"] and one["url"].startswith("https://") and one["seconds"] >= 0 for one in requests)
    assert any(SUBSCRIPTION in one["url"] and one["status"] == 200 for one in requests)
    assert all("?" not in one["url"] for one in requests)
    text = log.read_text("utf-8")
    secrets = {one.secret for one in world.simulator.world.principals.values()} | set(world.simulator.world.tokens)
    assert not [secret for secret in secrets if secret in text]
    assert log.stat().st_mode & 0o777 == 0o600
    assert at("plan", "--log-file", str(log)).code == 4
    failed = lines(log)[-1]
    assert (failed["event"], failed["level"], failed["exit_code"]) == ("command failed", "error", 4)


def test_a_log_file_that_cannot_be_written_is_an_error_before_anything_happens(here: Here) -> None:
    done = here("approve", "DIGEST", "--log-file", str(here.folder / "nowhere" / "log.jsonl"))
    assert done.code == 64
    assert "--log-file" in done.err
    assert not list((here.folder / ".drkit").rglob("approvals/*.json"))


def test_a_disk_that_is_full_later_ends_the_log_and_nothing_else(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    path = tmp_path / "full.jsonl"
    own = files.open_own

    def opened(name: str | Path, **options: Any) -> int:
        # A device is refused by its name, so the disk that has no room is put behind the name of a file.
        return os.open("/dev/full", os.O_WRONLY) if Path(name) == path else own(name, **options)

    monkeypatch.setattr(files, "open_own", opened)
    assert here("approve", "DIGEST", "--log-file", str(path)).code == 0
    monkeypatch.undo()
    assert here("approve", "DIGEST", "--log-file", "/dev/full").code == 64


def test_without_a_log_file_nothing_is_formatted(tmp_path: Path) -> None:
    with log_.writing(None):
        log_.say("nothing", field="value")
    assert not list(tmp_path.iterdir())


def test_events_of_a_run_are_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with log_.writing(str(path)):
        log_.say("step done", step="a:b:c", text="line\nof its own", empty="")
    (one,) = lines(path)
    assert (one["event"], one["step"], one["text"], "empty" in one) == ("step done", "a:b:c", "line\nof its own", False)


# traces


def test_requests_become_spans_where_tracing_is_on_and_spans_hold_no_secret(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.core.settings import settings as azure_settings
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(azure_settings.tracing_enabled, "_user_value", True)
    cloud = clouds.from_ready_file(world.ready, "of a test")
    context = Context(Settings(), Store(tmp_path / "store"), lambda: cloud, loopback_only=True)
    asyncio.run(capture.snapshot(context))
    spans = kept.get_finished_spans()
    assert any(span.attributes and span.attributes.get("http.request.method") == "GET" for span in spans)
    assert any(SUBSCRIPTION in str((span.attributes or {}).get("url.full", "")) for span in spans)
    text = "".join(span.to_json() for span in spans)
    secrets = {one.secret for one in world.simulator.world.principals.values()} | set(world.simulator.world.tokens)
    assert not [secret for secret in secrets if secret in text]


def test_without_tracing_nothing_of_it_is_imported() -> None:
    code = "import sys, drkit.providers.session; print([one for one in sys.modules if one.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=True
    )
    assert done.stdout.strip() == "[]"
