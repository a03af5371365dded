"""The store: generations that are never overwritten, whole files or none, locks that say who, small files checked."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.json import encode as json_bytes
from msgspec.structs import replace

from drkit.errors import DrkitError, FileError, IntegrityError, LockedError, RefusedError, UsageError
from drkit.execution.ports import HeldJournal, RunStore
from drkit.model import runbook
from drkit.model.clock import SystemClock
from drkit.model.cloud import CloudMark
from drkit.model.estate import Assessment, Plan, Snapshot
from drkit.model.files import unwritable, write_out
from drkit.model.runbook import Runbook
from drkit.providers.blob_journal import BlobJournal
from drkit.providers.blob_store import BlobStore
from drkit.store.journal import LocalJournal
from drkit.store.records import Approval, Declaration, Message
from drkit.store.store import Store, load, lock_name
from tests.support.patience import PATIENCE

MARK = CloudMark("https://127.0.0.1:1", "t", simulated=True)
WHEN = "2026-11-23T07:30:00Z"
PLAN = Plan(
    id="/subscriptions/s/resourceGroups/g/providers/Microsoft.VSOnline/plans/p", product="codespaces", name="p",
    region="westeurope", subscription="s", resource_group="g",
)  # fmt: skip
TAKEN = Snapshot(cloud=MARK, taken=WHEN, plans=(PLAN,))
BOOK = runbook.encode(Runbook(kind="repair", cloud=MARK, drkit_version="0", of_assessment="a", snapshot_digest="s"))
OTHER = runbook.encode(Runbook(kind="repair", cloud=MARK, drkit_version="0", of_assessment="b", snapshot_digest="s"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_nothing_is_made_until_something_is_written(store: Store) -> None:
    assert (store.snapshots(), store.newest(Assessment), store.runs(), store.declarations()) == ([], None, [], [])
    assert (store.approval("d"), store.inbox("run-0001")) == (None, [])
    assert not store.folder.exists()


def test_generations_are_never_overwritten_however_many_write_at_once(store: Store) -> None:
    threads = [threading.Thread(target=store.keep, args=(TAKEN,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.generation for one in store.snapshots()] == list(range(1, 13))
    newest = store.newest(Snapshot)
    assert newest is not None
    assert newest[1].name == "000012.json"
    assert list(store.folder.rglob(".new-*")) == []


def test_a_file_is_its_own_generation_and_reads_back_as_it_was(store: Store) -> None:
    path = store.keep(TAKEN)
    assert load(path, Snapshot).plans == TAKEN.plans
    assert next(iter(json.loads(path.read_bytes()))) == "drkit"


@pytest.mark.parametrize("error", [28, 122, 27, 5])
def test_no_room_is_a_failure_and_no_permission_a_question_of_place(error: int) -> None:
    assert unwritable(OSError(error, "full"), Path("x")).exit_code == 1
    assert "make room" in unwritable(OSError(error, "full"), Path("x")).remedy
    assert unwritable(PermissionError(13, "no"), Path("x")).exit_code == 64


FULL = """
import sys
from pathlib import Path
from tests.store.test_store import BOOK, TAKEN, Store
from drkit.errors import DrkitError
from drkit.model.files import write_out
from drkit.store.records import Message

store = Store(Path(sys.argv[1]))
for act in (lambda: store.keep(TAKEN), lambda: store.keep_runbook(BOOK), lambda: write_out(Path(sys.argv[1]) / "out", BOOK)):
    try:
        act()
    except DrkitError as error:
        print(error.exit_code, error.what)
"""


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_a_full_disk_leaves_whole_files_or_none(store: Store) -> None:
    path = store.keep(TAKEN)
    (store.folder / "out").write_bytes(b"what was there")
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(store.folder)], capture_output=True, text=True, check=True, preexec_fn=_limit,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.splitlines() == ["1 cannot be written: File too large"] * 3
    files = sorted(str(one.relative_to(store.folder)) for one in store.folder.rglob("*") if one.is_file())
    assert files == ["out", "state/snapshots/000001.json"]
    assert (path.read_bytes(), (store.folder / "out").read_bytes()) == (before, b"what was there")


def test_a_file_for_a_person_keeps_its_place_its_mode_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_out(link, b"new")
    assert (real.read_bytes(), real.stat().st_mode & 0o777, link.is_symlink()) == (b"new", 0o640, True)
    write_out(Path("/dev/null"), b"away")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(FileError, match="cannot be written"):
        write_out(tmp_path, b"x")


# runbooks and approvals


def test_a_runbook_is_found_by_path_digest_beginning_and_age(store: Store, tmp_path: Path) -> None:
    first = store.keep_runbook(BOOK)
    os.utime(first, (1, 1))
    other = BOOK.replace(b'"made_with":"0"', b'"made_with":"1"')
    second = store.keep_runbook(other)
    assert store.runbook("latest")[2] == second
    assert store.runbook(first.stem[:5].upper())[1] == BOOK
    outside = tmp_path / "mine.json"
    outside.write_bytes(BOOK)
    assert store.runbook(str(outside))[2] == outside


def test_a_runbook_changed_in_the_store_is_refused(store: Store) -> None:
    path = store.keep_runbook(BOOK)
    path.write_bytes(BOOK.replace(b'"made_with":"0"', b'"made_with":"2"'))
    with pytest.raises(RefusedError, match="was changed after it was written"):
        store.runbook("latest")


def test_a_dangling_link_among_the_runbooks_is_ignored(store: Store) -> None:
    path = store.keep_runbook(BOOK)
    path.with_name("0" * 64 + ".json").symlink_to("nowhere")
    assert store.runbook("latest")[1] == BOOK


def test_an_approval_speaks_of_its_own_bytes_only(store: Store) -> None:
    kept = Approval(digest="d" * 64, who="ada", when=WHEN, until=WHEN)
    path = store.approve(kept)
    assert store.approval("d" * 64) == kept
    path.rename(path.with_name("e" * 64 + ".json"))
    assert store.approval("e" * 64) is None
    assert "approves other bytes" in store.approvals("e" * 64)[0].fault


@pytest.mark.parametrize("key", ["when", "until"])
def test_an_invalid_time_is_reported_before_it_is_needed(store: Store, key: str) -> None:
    path = store.approve(Approval(digest="d" * 64, who="ada", when=WHEN, until=WHEN))
    path.write_text(json.dumps({**json.loads(path.read_text()), key: "soon"}))
    (found,) = store.approvals("d" * 64)
    assert f"{key}: " in found.fault


def test_an_approval_takes_no_others_place(store: Store) -> None:
    first, second = (
        store.approve(Approval(digest="d" * 64, who=name, when=WHEN, until=WHEN)) for name in ("ada", "bob")
    )
    assert first.name == "d" * 64 + ".json"
    assert second.stem.startswith("d" * 64 + "-")
    assert {one.approval.who for one in store.approvals("d" * 64) if one.approval} == {"ada", "bob"}


@pytest.mark.parametrize("kept", ["replaced", "a link"])
def test_what_is_kept_under_a_digest_must_have_it(store: Store, tmp_path: Path, kept: str) -> None:
    path = store.keep_runbook(BOOK)
    other = tmp_path / "other.json"
    other.write_bytes(OTHER)
    path.unlink()
    if kept == "a link":
        path.symlink_to(other)
    else:
        path.write_bytes(OTHER)
    for name in ("latest", path.stem, path.stem[:9], str(path)):
        with pytest.raises(
            (RefusedError, FileError), match=r"was changed after it was written|is a link|is not a file"
        ):
            store.runbook(name)
    with pytest.raises((RefusedError, FileError), match=r"was changed after it was written|link"):
        store.runbook_of(path.stem)


@pytest.mark.parametrize("name", ["", "latest", "d" * 63, "../../x", "/etc/passwd", "D" * 64])
def test_a_journal_names_its_runbook_by_a_whole_digest_only(store: Store, name: str) -> None:
    store.keep_runbook(BOOK)
    with pytest.raises(IntegrityError, match="which is no digest"):
        store.runbook_of(name)


def test_a_file_called_like_a_digest_is_not_taken_for_what_is_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.keep_runbook(BOOK)
    monkeypatch.chdir(tmp_path)
    for name in (path.stem, path.stem[:8]):
        Path(name).write_bytes(OTHER)
        assert store.runbook(name)[1] == BOOK


def test_declarations_are_kept_with_who_said_them(store: Store) -> None:
    said = Declaration(region="westeurope", reason="dark", who="ada@desk", when=WHEN)
    store.declare(said)
    assert store.declarations() == [said]


# runs and messages


def test_runs_are_numbered_in_order_and_strays_are_no_runs(store: Store) -> None:
    assert [store.new_run() for _ in range(3)] == ["run-0001", "run-0002", "run-0003"]
    folder = store.folder / "journal"
    for name in ("run-9999.jsonl", "run-10000.jsonl", "run-x.jsonl", "run-0001.jsonl.bak", "run-١.jsonl"):
        (folder / name).touch()
    assert store.runs() == ["run-0001", "run-0002", "run-0003", "run-9999", "run-10000"]
    assert store.journal_path("latest").stem == "run-10000"
    assert store.new_run() == "run-10001"
    assert (folder / "run-0001.jsonl").stat().st_mode & 0o777 == 0o600
    for name in ("run-x", "../journal/run-0001", "run-5", ""):
        with pytest.raises(UsageError, match="there is no run"):
            store.journal_path(name)


def test_what_was_said_in_the_places_of_the_version_before_is_heard(store: Store) -> None:
    run = store.new_run()
    told = Declaration(region="westeurope", reason="dark", who="ada", when=WHEN)
    old = store.folder / "state"
    for path, value in (
        (old / "declarations/westeurope-20261123073000.json", told),
        (old / "inbox" / run / "00000000000000000001-0123456789ab.json", Message(what="pause", who="ada", when=WHEN)),
    ):
        path.parent.mkdir(parents=True)
        path.write_bytes(json_bytes(value))
    store.declare(replace(told, region="eastus"))
    sent = store.send(run, Message(what="unpause", who="ada", when=WHEN))
    assert [one.region for one in store.declarations()] == ["eastus", "westeurope"]
    assert sent.parent == store.folder / "inbox" / run
    found = store.inbox(run)
    assert [one.path.name for one in found] == ["00000000000000000001-0123456789ab.json", sent.name]
    for path in [one.path for one in found]:
        store.obeyed(path)
    assert store.inbox(run) == []


OLD_HOLDER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.pwrite(handle, b"run-0007, ada@desk process 12, since then", 0)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_process_of_the_version_before_and_one_of_this_never_hold_a_lock_both(store: Store) -> None:
    old = store.folder / "state/locks" / lock_name("/plans/one")
    old.parent.mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", OLD_HOLDER, str(old)], stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(LockedError, match="plan one is held by run-0007, ada@desk process 12"),
        store.lock_plans(["/plans/one"], "run-0001", WHEN),
    ):
        pass
    process.communicate("")
    with store.lock_plans(["/plans/one"], "run-0001", WHEN):
        done = subprocess.run([sys.executable, "-c", OLD_HOLDER, str(old)], capture_output=True, text=True, check=False)
        assert "BlockingIOError" in done.stderr
    subprocess.run(
        [sys.executable, "-c", OLD_HOLDER, str(old)], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )


def links(store: Store, target: Path) -> dict[str, Path]:
    """Every file that is written or locked by name, with a link to ``target`` in its place."""
    names = {
        "lock": store.folder / "journal/locks" / lock_name("/plans/one"),
        "lock of the version before": store.folder / "state/locks" / lock_name("/plans/one"),
        "journal": store.folder / "journal/run-0001.jsonl",
        "approval": store.folder / "approvals" / f"{'a' * 64}.json",
    }
    for path in names.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return names


def test_no_link_makes_drkit_change_another_file(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "authorized_keys"
    victim.write_bytes(b"ssh-ed25519 AAAA")
    planted = links(store, victim)
    approval = Approval(digest="a" * 64, who="ada", when=WHEN, until=WHEN)
    for name in ("lock", "lock of the version before"):
        with pytest.raises(FileError, match="is a link") as caught, store.lock_plans(["/plans/one"], "run-0001", WHEN):
            pass
        assert caught.value.where == str(planted[name])
        planted[name].unlink()
    with pytest.raises(FileError, match="is a link"):
        store.open_journal("run-0001", SystemClock())
    assert store.approval("a" * 64) is None
    assert "is a link" in store.approvals("a" * 64)[0].fault
    assert store.new_run() == "run-0002"
    assert store.approve(approval) != planted["approval"]
    assert store.approval("a" * 64) == approval
    assert victim.read_bytes() == b"ssh-ed25519 AAAA"


def test_messages_come_out_in_order_and_a_bad_one_is_set_aside(store: Store) -> None:
    run = store.new_run()
    for number in range(3):
        store.send(run, Message(what="answer", step=f"s{number}", text="done", who="ada", when=WHEN))
    bad = store.folder / "inbox" / run / "0-bad.json"
    bad.write_bytes(b'{"what": 7}')
    newer = bad.with_name("0-newer.json")
    newer.write_bytes(b'{"drkit": "message/2", "what": "skip"}')
    found = store.inbox(run)
    assert [one.message.step for one in found if one.message] == ["s0", "s1", "s2"]
    faults = {one.path: one.fault for one in found if one.fault}
    assert "cannot be read" in faults[bad]
    assert "not message/1" in faults[newer]
    assert len(store.inbox(run, {bad.name})) == 4
    store.set_aside(bad)
    store.set_aside(newer)
    assert not bad.exists()
    assert bad.with_suffix(".ignored").exists(), "it is kept for who looks into it"
    store.obeyed(found[-1].path)
    store.obeyed(found[-1].path)
    assert len(store.inbox(run)) == 2


@pytest.mark.parametrize("act", ["run", "lock", "keep", "send"])
def test_a_store_that_cannot_be_written_is_said_not_raised(tmp_path: Path, act: str) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    store = Store(file / "store")

    def lock() -> None:
        with store.lock_plans(["/p"], "run-0001", WHEN):
            pass

    acts: dict[str, Callable[[], object]] = {
        "run": store.new_run,
        "keep": lambda: store.keep(TAKEN),
        "send": lambda: store.send("run-0001", Message(what="answer")),
        "lock": lock,
    }
    with pytest.raises(DrkitError, match=r"cannot be written|no run"):
        acts[act]()


# locks


def test_a_plan_has_one_holder_and_the_other_hears_who_and_since_when(store: Store) -> None:
    with store.lock_plans(["/sub/plans/A", "/sub/plans/b"], "run-0001", WHEN):
        with pytest.raises(LockedError) as found, store.lock_plans(["/sub/plans/a"], "run-0002", WHEN):
            pass
        with store.lock_plans(["/sub/plans/c"], "run-0003", WHEN):
            pass
    assert "held by run-0001, " in found.value.what
    assert f"process {os.getpid()}, since {WHEN}" in found.value.what
    assert found.value.exit_code == 4
    with store.lock_plans(["/sub/plans/a"], "run-0002", WHEN):
        pass


def test_a_lock_falls_with_its_process_and_names_no_former_holder(store: Store) -> None:
    holder = (
        "import sys, time\nfrom pathlib import Path\nfrom drkit.store.store import Store\n"
        "with Store(Path(sys.argv[1])).lock_plans(['/p'], 'run-0007 of a name that is long', 'then'):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(store.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="run-0007"), store.lock_plans(["/p"], "run-0008", WHEN):
            pass
        process.kill()
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with store.lock_plans(["/p"], "run-8", WHEN):
                with pytest.raises(LockedError) as found, store.lock_plans(["/p"], "run-9", WHEN):
                    pass
                break
        except LockedError:
            assert time.monotonic() < until
    assert "held by run-8, " in found.value.what
    assert "long" not in found.value.what


def test_a_runbook_is_begun_by_one(store: Store) -> None:
    held = pytest.raises(LockedError, match="runbook dddddddddddd is held by")
    with store.lock_runbook("d" * 64, WHEN), held, store.lock_runbook("d" * 64, WHEN):
        pass


def test_messages_sent_in_one_second_are_all_kept_while_others_are_processed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = store.new_run()
    sent = []
    for number in range(40):
        message = Message(what="answer", step=f"step-{number}", when="2026-11-23T08:00:00Z")
        sent.append(store.send(run, message))
        if number % 2:
            store.obeyed(store.inbox(run)[0].path)
    assert len(set(sent)) == 40
    assert [one.message.step for one in store.inbox(run) if one.message] == [
        f"step-{number}" for number in range(20, 40)
    ]


def test_both_stores_and_both_journals_are_what_carrying_out_needs() -> None:
    # What is checked here is checked by mypy; at run time it is seen that no member is missing.
    stores: tuple[type[RunStore], ...] = (Store, BlobStore)
    journals: tuple[type[HeldJournal], ...] = (LocalJournal, BlobJournal)
    for needed, kinds in ((RunStore, stores), (HeldJournal, journals)):
        methods = {
            name for one in needed.__mro__ for name, what in vars(one).items() if callable(what) and name[0] != "_"
        }
        assert methods
        for kind in kinds:
            assert methods <= set(dir(kind)), kind
