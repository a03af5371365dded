"""Another user of the same machine, who made files that a person's drkit meets: nothing sent, nothing run, nothing believed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drkit.store.store import lock_name
from tests.support import credential_trap as catcher
from tests.support.command_line import Here
from tests.support.credential_trap import Catcher
from tests.support.estates import SETTINGS, plan_id
from tests.support.every_command import every_command, names, prepare

OTHER = 4001
"""A user id of nobody on this machine."""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
STORELESS = frozenset({"schema", "completion", "probe-script", "drill", "simulate", "init"})
"""Commands that open no store."""


@pytest.fixture
def lurking(tmp_path: Path) -> Iterator[Catcher]:
    with catcher.catching(tmp_path / "catcher") as found:
        yield found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder with settings and a store up to a run, all of it this user's."""
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {"HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": str(home / ".cache")}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "work"
    folder.mkdir()
    prepare(folder)
    (folder / "drkit.toml").write_text(f"{SETTINGS}\n[run]\nrequest_budget_seconds = 0.1\n")
    (folder / "ready.json").chmod(0o600)
    return Here(folder, monkeypatch, capsys, folder / "ready.json")


def give(path: Path) -> None:
    """All of it is the other user's."""
    for one in (path, *path.rglob("*")) if path.is_dir() else (path,):
        os.chown(one, OTHER, OTHER, follow_symlinks=False)


def foreign_store(here: Here) -> None:
    give(here.path(".drkit"))


def open_store(here: Here) -> None:
    """Made under umask 000: who wants may write what is to be read, approved and obeyed."""
    for path in here.path(".drkit").rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    here.path(".drkit").chmod(0o777)


def foreign_settings(here: Here) -> None:
    give(here.path("drkit.toml"))


def foreign_ready_file(here: Here) -> None:
    give(here.path("ready.json"))


REFUSED: dict[str, tuple[Callable[[Here], None], str]] = {
    "the store": (foreign_store, f"belongs to user {OTHER}"),
    "a store that everybody may write": (open_store, "may be written by every user"),
    "the settings": (foreign_settings, f"belongs to user {OTHER}"),
    "the ready file": (foreign_ready_file, f"belongs to user {OTHER}"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_another_user_made_is_believed_by_no_command(here: Here, lurking: Catcher, what: str) -> None:
    plant, said = REFUSED[what]
    if "store" not in what:
        told = json.loads(here.path("ready.json").read_bytes())
        here.put("ready.json", told | {"arm": lurking.url, "authority": lurking.url, "ca_bundle": str(lurking.ca)})
    plant(here)
    before = here.files()
    seen, refused = set(), 0
    for words in every_command(here.folder):
        done = here(*words)
        seen.add(words[0] if words else "")
        shown = " ".join((done.err + done.out).split())
        refused += done.code == 64 and said in shown
        if what.endswith(("store", "write")) and (words[0] if words else "") not in STORELESS:
            assert done.code != 0, (words, shown)
    assert seen == set(names())
    assert refused > len(seen) // 2
    assert here.files() == before
    if "store" not in what:
        assert lurking.caught == []


def test_no_command_changes_a_file_of_ours_through_what_another_user_planted(here: Here, tmp_path: Path) -> None:
    """Links, second names, FIFOs and locks of the other user where drkit reads, locks and writes: in the store and beside it."""
    victim = tmp_path / "authorized_keys"
    victim.write_text("ssh-ed25519 AAAA\n")
    victim.chmod(0o600)
    store = here.path(".drkit")
    (store / "journal/locks").mkdir(exist_ok=True)
    (store / "state/locks").mkdir(exist_ok=True)
    run = next((store / "journal").glob("run-*.jsonl"))
    (store / "inbox" / run.stem).mkdir(parents=True, exist_ok=True)
    planted = [here.path(name) for name in ("report.html", "made.toml", "runbook.json", "runbook.md")]
    planted += [store / "journal/locks" / lock_name(plan_id()), store / "state/locks" / lock_name(plan_id().upper())]
    planted += [store / f"inbox/{run.stem}/0001.json", store / "approvals" / f"{'0' * 64}.json"]
    for path in planted:
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        give(path)
    os.link(victim, store / "state/snapshots/999999.json")
    os.mkfifo(store / f"inbox/{run.stem}/0002.json")
    forged = store / f"inbox/{run.stem}/0003.json"
    forged.write_text('{"drkit":"message/1","what":"abort","text":"forged","who":"ops@bastion","when":""}')
    here.path("work").mkdir()
    os.mkfifo(here.path("work/never"))
    for path in (store / f"inbox/{run.stem}/0002.json", forged):
        give(path)
        path.chmod(0o666)
    begun = run.read_bytes()
    seen = set()
    for words in every_command(here.folder):
        here(*words)
        seen.add(words[0] if words else "")
    assert seen == set(names())
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("ssh-ed25519 AAAA\n", 0o600)
    assert run.read_bytes().startswith(begun)
    obeyed = [
        line for line in run.read_bytes()[len(begun) :].splitlines() if b"forged" in line and b"ignored" not in line
    ]
    assert obeyed == []
    assert not here.path("report.html").is_symlink()


def test_a_file_of_another_user_in_a_store_of_ours_is_not_believed(here: Here) -> None:
    """It was put there when the folder was still open, and stayed."""
    newest = here.path(".drkit/state/assessments/000099.json")
    shutil.copy(here.path(".drkit/state/assessments/000001.json"), newest)
    give(newest)
    done = here("plan")
    assert (done.code, f"belongs to user {OTHER}" in done.err, newest.name in done.err) == (64, True, True)
    newest.unlink()
    approval = next(here.path(".drkit/approvals").iterdir())
    give(approval)
    done = here("apply", approval.stem)
    assert (done.code != 0, f"belongs to user {OTHER}" in done.err) == (True, True), done.err
