"""A hostile inbox, and forged approvals beside it, as every command meets them: nothing sent, nothing done, nothing believed."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from drkit.model.clock import parse_time, rfc3339
from drkit.model.run import fold
from drkit.store.records import Message
from drkit.store.store import Store
from tests.support.command_line import Here, command, environment
from tests.support.every_command import every_command, prepare
from tests.support.patience import PATIENCE

EVIL = "ciso@contoso.example"
FLOOD = 20_000


def forged(store: Store, run: str) -> list[str]:
    """Fill a run's inbox with what it must not obey; returns what must be named."""
    asked = [step for step, known in store.state(run).steps.items() if known.status == "asked"]
    told = {
        "verify": next(
            step.id for step in store.runbook_of(store.state(run).runbook)[0].steps if step.effect == "verify"
        ),
        "nope": "codespaces:nope:verify",
    }
    messages = [
        Message(what="answer", step=told["verify"], text="looked at, fine", who=EVIL),
        *(Message(what=word, step=told["nope"], text="because", who=EVIL) for word in ("answer", "skip", "retry")),
        Message(what="retry", step=asked[0], who=EVIL),
        Message(what="skip", step=asked[0], text="", who=EVIL),
        Message(what="abort", text=" ", who=EVIL),
        Message(what="approve", step=asked[0], text="yes", who=EVIL),
        Message(what="abort", text="x" * 5000, who=EVIL),
        Message(what="abort", text="enough", who=EVIL, drkit="message/9"),
    ]
    folder = [store.send(run, one).parent for one in messages].pop()
    os.mkfifo(folder / "00-fifo.json")
    (folder / "00-folder.json").mkdir()
    (folder / "00-zero.json").symlink_to("/dev/zero")
    (folder / "00-secret.json").symlink_to("/etc/passwd")
    (folder / "00-huge.json").write_bytes(b'{"drkit":"message/1","what":"abort","text":"' + b"x" * 2_000_000 + b'"}')
    (folder / "00-deep.json").write_bytes(b"[" * 30_000)
    (folder / "00-odd.json").write_bytes(b"\xff\x00")
    (folder / "00-esc.json").write_bytes(b'{"drkit":"message/1","what":"\\u001b[31m##vso[task.complete]","step":""}')
    for number in range(FLOOD):
        (folder / f"zz-{number:05d}.json").write_bytes(b"{}")
    return [
        "asks nothing of a person", "names a step that this run does not have", "gives no reason", "'approve' is not one of",
        "its text has 5000 characters", "'message/9'", *(f"00-{name}.json" for name in ("fifo", "folder", "zero", "huge", "deep", "odd")),
    ]  # fmt: skip


def forge_approvals(store: Store, digest: str) -> None:
    """Approvals that are none: of other bytes, to come, long ago, unreadable, a FIFO, a link."""
    folder = store.folder / "approvals"
    good = {"drkit": "approval/1", "who": EVIL, "when": "2099-01-01T00:00:00Z", "until": "9998-12-31T00:00:00Z"}
    good |= {"digest": digest}
    (folder / f"{digest}.json").write_text(json.dumps({**good, "digest": "0" * 64}))
    for name, years in (("to-come", 9), ("long-ago", -9)):
        path = folder / f"{digest}-{name}.json"
        path.write_text(json.dumps({**good, "authenticated": True}))
        stamp = datetime.now(UTC).timestamp() + years * 365 * 86_400
        os.utime(path, (stamp, stamp))
    (folder / f"{digest}-odd.json").write_bytes(b"{")
    os.mkfifo(folder / f"{digest}-fifo.json")
    (folder / f"{digest}-link.json").symlink_to("/dev/zero")


def test_no_run_follows_a_hostile_inbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepare(tmp_path)
    ready = json.loads((folder / "ready.json").read_text())
    ready["clock"]["speed"] = 60.0
    (folder / "ready.json").write_text(json.dumps(ready))
    here = Here(folder, monkeypatch, capsys, folder / "ready.json")
    here.put("drkit.toml", here.path("drkit.toml").read_text() + "\n[run]\nrequest_budget_seconds = 0.1\n")
    store = Store(folder / ".drkit")
    run = json.loads((folder / "prepared.json").read_text())["run"]
    before = len(store.records(run))
    named = forged(store, run)

    # A process of its own, since one that hangs cannot be judged from inside.
    done = subprocess.run(
        command("resume", run, "--wait", "0"), cwd=folder, env=environment(DRKIT_CLOUD=str(folder / "ready.json")),
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    added = store.records(run)[before:]
    assert not [one for one in added if one.kind in ("answered", "skipped")]
    assert {one.data.get("what") for one in added if one.kind == "control"} <= {"ignored", "reopen"}
    assert done.returncode == 3, done.stderr
    state = store.state(run)
    assert not state.aborted
    assert not state.paused
    reasons = "\n".join(str(one.data["reason"]) for one in added if one.data.get("what") == "ignored")
    shown = " ".join(done.stderr.split())
    for fault in named:
        assert fault in reasons
        assert fault in shown
    assert "\x1b" not in done.stderr
    assert "root:" not in reasons + shown, "what a link leads to is not read out"
    assert "ignored" in here("status", run).out

    # No genuine approval is left: whatever is called, the run is not carried on, and nothing is begun.
    # And it is an hour later: an approval may be a few minutes younger than its run, since clocks differ.
    ready["clock"]["origin"] = rfc3339(parse_time(ready["clock"]["origin"]) + timedelta(hours=1))
    (folder / "ready.json").write_text(json.dumps(ready))
    digest = state.runbook
    for path in (store.folder / "approvals").iterdir():
        path.unlink()
    forge_approvals(store, digest)
    forged(store, run)
    journal_before = store.journal_bytes(run)
    runs = store.runs()
    for words in every_command(folder):
        code = here(*words).code
        if words[0] in ("resume", "apply") if words else False:
            assert code == 4, words
    assert store.journal_bytes(run) == journal_before
    assert store.runs() == runs
    assert fold(store.records(run)).outcome != "succeeded"
    genuine = [one for one in store.approvals(digest) if not one.fault and one.approval and one.approval.who != EVIL]
    assert len(genuine) <= 1, "what `approve` wrote"
    assert msgspec.json.decode(here("status", run, "--json").out.encode())
