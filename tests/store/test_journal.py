"""The journal: chained, torn lines repaired, flipped bytes found, one holder, a full disk stops the run in time."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drkit.errors import FileError, IntegrityError, LockedError, PartialError
from drkit.model.operation import Operation
from drkit.model.run import GENESIS, Record, fold
from drkit.store import journal
from drkit.store.journal import LocalJournal

RUN = "run-0001"


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 7, 30, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def made(path: Path, steps: int = 5) -> list[bytes]:
    """A journal of that many steps; its lines."""

    async def write() -> None:
        async with LocalJournal(path, RUN, Still(), "ops@desk process 1") as held:
            held.take_over()
            await held.append("started", data={"runbook": "d" * 64, "holder": held.holder})
            for number in range(steps):
                await held.append("intent", step=f"s{number}", attempt=1, data={"requests": []})
                await held.append("done", step=f"s{number}", attempt=1, data={"detail": "is there"})

    asyncio.run(write())
    return path.read_bytes().splitlines(keepends=True)


def opened(path: Path) -> LocalJournal:
    return LocalJournal(path, RUN, Still(), "ops@desk process 2").open()


@contextmanager
def held(path: Path) -> Iterator[LocalJournal]:
    one = opened(path)
    try:
        yield one
    finally:
        asyncio.run(one.close())


def test_a_journal_is_private_whole_and_folds_to_the_state_of_its_run(tmp_path: Path) -> None:
    path = tmp_path / "run-0001.jsonl"
    lines = made(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(next(iter(json.loads(line))) == "drkit" for line in lines)
    records, torn = journal.read_file(path)
    assert (len(records), torn) == (11, b"")
    assert records[0].prev == GENESIS
    state = fold(records)
    assert (state.count, state.head, state.runbook) == (11, records[-1].hash, "d" * 64)
    assert {name: step.status for name, step in state.steps.items()} == {f"s{number}": "done" for number in range(5)}


@pytest.mark.parametrize("cut", [1, 2, 10, 100, 10**6])
def test_a_torn_last_line_is_cut_off_and_kept_for_the_record(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    lines = made(path)
    torn = lines[-1][: max(1, len(lines[-1]) - cut)] if cut < 10**6 else b"{"
    path.write_bytes(b"".join(lines[:-1]) + torn)
    assert journal.read_file(path)[1] == torn
    with held(path) as one:
        assert one.repaired == torn
        assert path.read_bytes() == b"".join(lines[:-1])
        asyncio.run(one.append("repaired", data={"torn_bytes": len(torn)}))
    records, rest = journal.read_file(path)
    assert (records[-1].kind, rest) == ("repaired", b"")


def test_nothing_but_a_torn_line_is_an_empty_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"drkit":"jour')
    with held(path) as one:
        assert (one.state.count, path.read_bytes()) == (0, b"")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_before_the_end_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped"
    lines = made(path, 3)
    content = b"".join(lines)
    at = int(place * (len(content) - 1))  # the final newline apart: without it the last line is torn
    path.write_bytes(content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :])
    with pytest.raises((IntegrityError, FileError)) as found:
        journal.read_file(path)
    assert "line " in found.value.where
    path.unlink()


@pytest.mark.parametrize(
    "change", ["a line gone", "two lines swapped", "a line twice", "a blank line", "the first gone"]
)
def test_a_line_out_of_place_breaks_the_chain(tmp_path: Path, change: str) -> None:
    path = tmp_path / "j"
    lines = made(path)
    changed = {
        "a line gone": lines[:3] + lines[4:],
        "two lines swapped": [*lines[:3], lines[4], lines[3], *lines[5:]],
        "a line twice": [*lines[:3], lines[2], *lines[3:]],
        "a blank line": [*lines[:3], b"\n", *lines[3:]],
        "the first gone": lines[1:],
    }[change]
    path.write_bytes(b"".join(changed))
    with pytest.raises(IntegrityError) as found:
        opened(path)
    assert found.value.exit_code == 1
    assert found.value.remedy
    assert "line 1" in found.value.where if change == "the first gone" else "line 4" in found.value.where


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"[" * 100_000 + b"\n", IntegrityError),
        (b"\xff\xfe\n", IntegrityError),
        (b"hello\n", IntegrityError),
        (b"\0" * 4096 + b"\n", IntegrityError),
        (b'{"drkit":"snapshot/1"}\n', IntegrityError),
    ],
)
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes, kind: type[Exception]) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(kind, match="line 1"):
        journal.read_file(path)


def test_a_journal_of_a_newer_drkit_says_so(tmp_path: Path) -> None:
    path = tmp_path / "j"
    record = Record(drkit="journal/2", seq=0, time="t", run=RUN, token=1, kind="started", prev=GENESIS)
    path.write_bytes(journal.seal(record)[1])
    with pytest.raises(FileError, match="journal/2"):
        journal.read_file(path)


def test_a_directory_or_nothing_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileError, match=r"cannot be read|is a directory"):
            journal.read_file(path)
    with pytest.raises(FileError, match="is a directory"):
        opened(tmp_path)


def test_there_is_one_holder_and_the_other_hears_who_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made(path)
    with held(path), pytest.raises(LockedError) as found:
        opened(path)
    assert found.value.exit_code == 4
    assert "ops@desk process 1 since 2026-11-23T07:30:00Z" in found.value.what
    assert f"drkit resume {RUN}" in found.value.remedy
    with held(path) as again:
        assert again.state.count == 11


def test_a_holder_that_closed_writes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made(path)
    with held(path) as one:
        pass
    with pytest.raises(LockedError):
        asyncio.run(one.append("done", step="s1"))


async def test_records_written_together_stay_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    async with LocalJournal(path, RUN, Still(), "me") as one:
        await asyncio.gather(*(one.append("done", step=f"s{number}") for number in range(200)))
    records, torn = journal.read_file(path)
    assert ([record.step for record in records], torn) == ([f"s{number}" for number in range(200)], b"")


FULL = """
import asyncio, resource, sys
from pathlib import Path
from tests.store.test_journal import Still
from drkit.errors import PartialError
from drkit.store.journal import LocalJournal

async def main():
    wrote = 0
    async with LocalJournal(Path(sys.argv[1]), "run-0001", Still(), "me") as one:
        try:
            while wrote < 1000:
                await one.append("done", step=f"s{wrote}", data={"detail": "x" * 100})
                wrote += 1
        except PartialError as error:
            print(wrote, error.exit_code, error.remedy)
            try:
                await one.append("done", step="another")
            except PartialError:
                print("and nothing more")
asyncio.run(main())
"""


def limited(*, size: int) -> Any:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return limit


def test_who_only_asks_whether_it_is_held_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / f"{RUN}.jsonl"
    made(path)
    with path.open("rb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (asking, fcntl.LOCK_UN)).start()
        one = LocalJournal(path, RUN, Still(), "me").open()
        asyncio.run(one.close())


@pytest.mark.parametrize("size", [3000, 4096, 5001, 40])
def test_a_full_disk_stops_the_run_with_nothing_torn(tmp_path: Path, size: int) -> None:
    path = tmp_path / "j"
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(path)], capture_output=True, text=True, check=True,
        preexec_fn=limited(size=size), cwd=Path(__file__).parents[2],
    )  # fmt: skip
    told = done.stdout.splitlines()
    wrote, code, remedy = told[0].split(" ", 2)
    records, torn = journal.read_file(path)
    assert (len(records), torn, code) == (int(wrote), b"", "3")
    assert path.stat().st_size <= size
    assert told[1] == "and nothing more"
    assert remedy == ("make room, then `drkit resume run-0001`" if records else "make room, then `drkit apply`")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system; the limit above stands for it")
def test_a_full_file_system_stops_the_run_with_nothing_torn(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(small)], check=False, capture_output=True
    ).returncode:
        pytest.skip("this root may not mount; the limit above stands for it")
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", FULL, str(small / "j")], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        records, torn = journal.read_file(small / "j")
        assert (len(records), torn) == (int(done.stdout.split()[0]), b"")
        assert records
    finally:
        subprocess.run(["umount", str(small)], check=True)


async def test_an_append_waits_until_it_is_durable_and_fails_when_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalJournal(tmp_path / "j", RUN, Still(), "me") as one:
        await one.append("started", data={"runbook": "d"})

        def refuse(_handle: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(PartialError, match="Input/output error"):
            await one.append("done", step="s")
    assert [record.kind for record in journal.read_file(tmp_path / "j")[0]] == ["started"]


async def test_many_writers_share_each_write_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers, each = 64, 20
    synced: list[int] = []
    fsync = os.fsync

    def counted(handle: int) -> None:
        synced.append(handle)
        fsync(handle)

    async with LocalJournal(tmp_path / "j", RUN, Still(), "me") as held:
        monkeypatch.setattr(os, "fsync", counted)

        async def writer(number: int) -> None:
            for _ in range(each):
                await held.append("done", step=f"s{number}", attempt=1, data={"detail": "it answers"})

        await asyncio.gather(*(writer(number) for number in range(writers)))
    assert len(journal.read_file(tmp_path / "j")[0]) == writers * each
    assert len(synced) <= 3 * each


def test_the_fold_follows_a_step_through_its_life(tmp_path: Path) -> None:
    operation = Operation(method="PUT", url="https://x/op?sig=1", style="azure-async-operation")
    path = tmp_path / "j"

    async def write() -> None:
        async with LocalJournal(path, RUN, Still(), "me") as one:
            one.take_over()
            await one.append("started", data={"runbook": "d", "holder": "me"})
            await one.append("approved", data={"who": "ada", "how": "self-approved with --yes"})
            await one.append("intent", step="a", attempt=1)
            await one.append("operation", step="a", attempt=1, data={"operation": msgspec.to_builtins(operation)})
            await one.append("intent", step="b", attempt=1)
            await one.append("failed", step="b", attempt=1, data={"detail": "no", "code": "Quota"})
            await one.append("control", step="b", data={"what": "reopen"})
            await one.append("asked", step="c", data={"detail": "do it"})
            await one.append("answered", step="c", data={"detail": "done", "who": "bob"})
            await one.append("skipped", step="d", data={"detail": "re-planned", "who": "bob"})
            await one.append("ended", data={"outcome": "partial"})
            await one.append("taken-over", data={"holder": "you"})

    asyncio.run(write())
    state = fold(journal.read_file(path)[0])
    assert (state.approved_by, state.approved_how) == ("ada", "self-approved with --yes")
    assert (state.holder, state.resumed, state.outcome) == ("you", 1, "")
    assert (state.of("a").status, state.of("a").operation) == ("open", operation)
    assert [state.of(step).status for step in "bcde"] == ["pending", "done", "skipped", "pending"]
