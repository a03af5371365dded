"""The store: a folder with snapshots, assessments, runbooks, approvals and runs. Generations are never overwritten.

state/snapshots/000001.json     state/assessments/000001.json     state/readiness/000001.json     the planner's
state/runbooks/<digest>.json
inbox/<run>/*.json              inbox/declarations/*.json                                         the responders'
journal/<run>.jsonl             journal/locks/<hash>.lock                                         the operator's
approvals/<digest>.json                                                                           the approvers'

Before version 0.2 ``inbox``, ``declarations`` and ``locks`` were in ``state``. Version 0.2 still reads them there, and takes its
locks in both places, so that no process of the earlier version holds the same run or plan.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from drkit.errors import FileError, IntegrityError, LockedError, RefusedError, UsageError
from drkit.model import estate, files, runbook, suggest
from drkit.model.clock import Clock, time_faults
from drkit.model.cloud import Cloud, check_same
from drkit.model.estate import Assessment, Snapshot, faults_of
from drkit.model.ids import ArmId
from drkit.model.readiness import Readiness
from drkit.model.run import Record, RunRecord, RunState, disbelieve, fold
from drkit.model.runbook import Runbook
from drkit.store import journal
from drkit.store.approvals import StoredApproval, beyond_reach, stored_approvals, writable_as
from drkit.store.journal import LocalJournal
from drkit.store.records import (
    LARGEST_MESSAGE,
    Approval,
    Declaration,
    Message,
    Received,
    decode,
    message_fault,
    owner_of,
    who,
)

DIGEST = re.compile(r"[0-9a-f]{8,64}")
FULL = re.compile(r"[0-9a-f]{64}")
MOST_AT_ONCE = 1000
"""How many files of an inbox are read before the run continues."""
BEGINNING = re.compile(r"[0-9a-f]{4,64}")
INBOXES = (("inbox",), ("state", "inbox"))
DECLARATIONS = (("inbox", "declarations"), ("state", "declarations"))
LOCKS = (("journal", "locks"), ("state", "locks"))
"""Where each kind is kept, and where version 0.1 kept it."""
PLACE = "choose another --store, or correct its permissions"


File = TypeVar("File", Snapshot, Assessment, Readiness)
KINDS: dict[type, str] = {Snapshot: "snapshot", Assessment: "assessment", Readiness: "readiness"}
_WRITERS = {"snapshot": "snapshot", "assessment": "assess", "readiness": "check"}
MOST_FAULTS = 10


class Store:
    """A store in a folder. Nothing is created until something is written.

    ``outlives_machine``: whether the store survives the loss of this machine. ``address``: where it is, for people to read.
    ``approvals_worth``: what an approval in it is worth, for people to read. ``judge`` raises FileError for a runbook that the tables
    of its products do not allow.
    """

    outlives_machine = False
    approvals_worth = "whose it is, the owner of its file says"

    def __init__(self, folder: Path, *, own: bool = False) -> None:
        """``own``: the folder must belong to this user or to root, because nobody named it."""
        self.folder = folder
        self.address = str(folder)
        self.judge: Callable[[Runbook, str], None] = lambda _book, _where: None
        self.own = own

    # files

    def _place(self, *parts: str) -> Path:
        """A folder of the store. FileError where a third user may put files into it, or into one above it.

        Responders may share a group, which may write to the folders of ``inbox``.
        """
        self._owners(*parts)
        return self.folder.joinpath(*parts)

    def _owners(self, *parts: str) -> list[int]:
        """Who may own files in that folder, beside this user and root: its owner (nobody when it is missing). FileError as ``_place``."""
        folder, group = self.folder, parts[:1] == ("inbox",)
        owners: list[int] = []
        for part in ("", *parts):
            folder = folder / part
            if not os.path.lexists(folder):
                return []
            known = files.check_folder(folder, group=group and bool(part))
            if self.own and not part:
                files.check_owner(folder, known, remedy=f"if you trust what it holds, name it: --store {self.folder}")
            owners = [known.st_uid]
        return owners

    def _names(self, *parts: str) -> list[Path]:
        """The JSON files of a folder of the store, by name."""
        folder = self._place(*parts)
        return sorted(folder.glob("*.json")) if folder.is_dir() else []

    def _inside(self, path: Path) -> tuple[str, ...]:
        """The folders between the store and one of its files, from the top."""
        return path.parent.relative_to(self.folder).parts

    def _read(self, path: Path, limit: int = files.LARGE) -> bytes:
        """The content of a file. FileError when its owner is neither this user, nor root, nor the owner of its folder."""
        return files.read(path, limit=limit, own=True, also=self._owners(*self._inside(path)), links=False)

    def _write(self, path: Path, content: bytes, *, exclusive: bool = False) -> None:
        """Write a file atomically: a reader sees all of it or nothing. FileExistsError when ``exclusive`` and it exists."""
        self._place(*self._inside(path))
        self._make_folder()
        files.write(path, content, exclusive=exclusive, remedy=PLACE)

    def _make_folder(self) -> None:
        """Create the folder of the store for its user alone, whatever the umask; to share it, change its mode."""
        files.make_folder(self.folder, mode=0o700, remedy=PLACE)

    def _write_generation(self, kind: str, content_of: Any) -> tuple[Path, bytes]:
        folder = self.folder / "state" / folder_of(kind)
        while True:
            number = max((int(path.stem) for path in self._generations(kind)), default=0) + 1
            path = folder / f"{number:06d}.json"
            content: bytes = content_of(number)
            try:
                self._write(path, content, exclusive=True)
            except FileExistsError:
                continue
            return path, content

    def _generations(self, kind: str) -> list[Path]:
        return [path for path in self._names("state", folder_of(kind)) if path.stem.isdigit()]

    # snapshots and assessments

    def keep(self, value: Snapshot | Assessment | Readiness) -> Path:
        """Write the next generation; return its path."""
        kind = KINDS[type(value)]
        path, _ = self._write_generation(
            kind, lambda number: estate.encode(msgspec.structs.replace(value, generation=number))
        )
        return path

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot, oldest first. FileError for one that cannot be read."""
        owners = self._owners("state", folder_of("snapshot"))
        return [load(path, Snapshot, of=owners) for path in self._generations("snapshot")]

    def generations(self, cloud: Cloud, *, needed: bool = False) -> list[Snapshot]:
        """The snapshots of this cloud, oldest first. A snapshot that failed wholly at another address is left out.

        RefusedError for a snapshot of another cloud; with ``needed`` also when there is no snapshot.
        """
        generations = [
            snapshot
            for snapshot in self.snapshots()
            if snapshot.cloud == cloud.mark or snapshot.plans or snapshot.hosts
        ]
        for snapshot in generations:
            check_same(snapshot.cloud, cloud, f"snapshot {snapshot.generation} in {self.folder}")
        if needed and not generations:
            raise RefusedError("there is no snapshot yet", where=str(self.folder), remedy="`drkit snapshot` takes one")
        return generations

    def assessment(self) -> tuple[Assessment, Path]:
        """The newest assessment and where it is. RefusedError when there is none."""
        newest = self.newest(Assessment)
        if newest is None:
            raise RefusedError("there is no assessment yet", where=str(self.folder), remedy="`drkit assess` makes one")
        return newest

    def newest(self, type_: type[File]) -> tuple[File, Path] | None:
        """The newest generation of a kind and its path, or None."""
        paths = self._generations(KINDS[type_])
        owners = self._owners("state", folder_of(KINDS[type_]))
        return (load(paths[-1], type_, of=owners), paths[-1]) if paths else None

    def of_digest(self, type_: type[File], digest: str) -> File | None:
        """The generation whose bytes have that SHA-256, or None."""
        for path in reversed(self._generations(KINDS[type_])):
            if estate.digest(self._read(path)) == digest:
                return load(path, type_, of=self._owners(*self._inside(path)))
        return None

    # declarations

    def declare(self, declaration: Declaration) -> None:
        """Keep a declaration."""
        name = f"{declaration.region}-{_stamp(declaration.when)}.json"
        self._write(self.folder.joinpath(*DECLARATIONS[0], name), msgspec.json.encode(declaration) + b"\n")

    def declarations(self) -> list[Declaration]:
        """Every declaration, by file name. Removing its file withdraws a declaration."""
        paths = sorted((path for place in DECLARATIONS for path in self._names(*place)), key=lambda path: path.name)
        return [decode(path, Declaration, "declaration", times=("when",), of=self._declarers(path)) for path in paths]

    def _declarers(self, path: Path) -> list[int] | None:
        """Who may own a declaration: anybody in ``inbox``, where the folder decides who can write; else as ``_owners``."""
        inside = self._inside(path)
        return None if inside[0] == "inbox" else self._owners(*inside)

    # runbooks and approvals

    def keep_runbook(self, content: bytes) -> Path:
        """Keep the bytes of a runbook under their digest; return the path."""
        path = self.folder / "state" / "runbooks" / f"{runbook.digest(content)}.json"
        if not os.path.lexists(path):
            self._write(path, content)
        return path

    def _names_kept(self, folder: Path, name: str) -> bool:
        if name == "latest":
            return True
        return BEGINNING.fullmatch(name.lower()) is not None and any(folder.glob(f"{name.lower()}*.json"))

    def runbook(self, name: str) -> tuple[Runbook, bytes, Path]:
        """A runbook by path, by digest or the beginning of one, or the newest for ``latest``.

        A word that names a runbook of the store is never taken for a file in the current folder. FileError when there is no such
        runbook, or more than one; RefusedError when its bytes were changed.
        """
        path, owners = Path(name), None
        folder = self.folder / "state" / "runbooks"
        if self._names_kept(folder, name) or not _readable(name):
            paths = [file for file in self._names("state", "runbooks") if stat.S_ISREG(file.lstat().st_mode)]
            owners = self._owners("state", "runbooks")
            paths.sort(key=lambda file: (file.lstat().st_mtime_ns, file.name))
            wanted = name.lower()
            matching = (
                paths[-1:] if name == "latest" else [file for file in paths if wanted and file.stem.startswith(wanted)]
            )
            if len(matching) != 1:
                what = (
                    f"is not a file, nor the digest of a runbook in {self.folder}"
                    if not matching
                    else "is the beginning of more than one digest"
                )
                raise FileError(what, where=name or "''", remedy="`drkit plan` writes one and prints its path")
            path = matching[0]
        # By the name that was asked for, not by the target of a link.
        return self._runbook(path, owners, in_store=owners is not None or path.parent.resolve() == folder.resolve())

    def _runbook(self, path: Path, owners: Sequence[int] | None, *, in_store: bool) -> tuple[Runbook, bytes, Path]:
        content = files.read(path, limit=files.LARGE, own=owners is not None, also=owners or (), links=owners is None)
        decoded = runbook.decode(content, str(path))
        if in_store and path.stem != runbook.digest(content):
            raise RefusedError(
                "was changed after it was written", where=str(path), remedy="`drkit plan` again, and approve that"
            )
        self.judge(decoded, str(path))
        return decoded, content, path

    def runbook_of(self, digest: str) -> tuple[Runbook, bytes, Path]:
        """The runbook with exactly this digest, which a journal names. RefusedError when the file has other bytes.

        IntegrityError for a text that is no digest; FileError when there is no such file.
        """
        if not FULL.fullmatch(digest):
            raise IntegrityError(
                f"a journal names {digest[:80]!r} as its runbook, which is no digest",
                where=str(self.folder),
                remedy="restore the journal from a copy, and look at who could write it",
            )
        path = self.folder / "state" / "runbooks" / f"{digest}.json"
        if not path.is_file():
            what = f"is not a file, nor the digest of a runbook in {self.folder}"
            raise FileError(
                what, where=digest, remedy="restore it from a copy: a run needs the runbook that was approved"
            )
        return self._runbook(path, self._owners("state", "runbooks"), in_store=True)

    def approve(self, approval: Approval) -> Path:
        """Keep an approval beside the others of the same bytes; return its path."""
        name = approval.digest
        while True:
            path = self.folder / "approvals" / f"{name}.json"
            try:
                self._write(path, msgspec.json.encode(approval) + b"\n", exclusive=True)
            except FileExistsError:
                name = f"{approval.digest}-{uuid.uuid4().hex[:12]}"
                continue
            return path

    def approvals(self, digest: str) -> list[StoredApproval]:
        """The approvals of the runbook with this digest, newest first. RefusedError when a third user may write them."""
        return stored_approvals(self.folder / "approvals", digest, self._writer, self._is_own)

    def _is_own(self, path: Path, _approval: Approval) -> bool:
        """Whether an approval comes from the identity of this process."""
        return writable_as(path.lstat().st_uid)

    def approval(self, digest: str) -> Approval | None:
        """The newest approval of these bytes, whether or not it counts."""
        return next((stored.approval for stored in self.approvals(digest) if stored.approval), None)

    def approved_by_another(self, stored: StoredApproval) -> bool:
        """Whether this process could not have written that approval: it can write neither the file nor the folders above it."""
        return beyond_reach(stored.path, self.folder)

    # runs

    def new_run(self) -> str:
        """The name of the next run, which is taken by creating its journal."""
        folder = self._place("journal")
        self._make_folder()
        number = max((_number(name) for name in self.runs()), default=0)
        while True:
            number += 1
            path = folder / f"run-{number:04d}.jsonl"
            try:
                os.close(files.open_own(path, exclusive=True, remedy=PLACE))
            except FileExistsError:
                continue
            return path.stem

    def drop_unbegun(self, run: str) -> None:
        """Give up the name of a run whose journal is still empty."""
        path = self.folder / "journal" / f"{run}.jsonl"
        with suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()

    def runs(self) -> list[str]:
        """The names of all runs, oldest first."""
        folder = self._place("journal")
        names = [path.stem for path in folder.glob("run-*.jsonl")] if folder.is_dir() else []
        return sorted((name for name in names if re.fullmatch(r"run-[0-9]+", name)), key=_number)

    def journal_path(self, run: str) -> Path:
        """The path of a run's journal; ``latest`` is the newest run. UsageError when there is no such run."""
        if run == "latest" and self.runs():
            run = self.runs()[-1]
        path = self.folder / "journal" / f"{run}.jsonl"
        if run not in self.runs():
            known = ", ".join(self.runs()[-5:]) or "none yet"
            raise UsageError(
                f"there is no run {run!r}",
                where=str(self.folder),
                remedy=suggest.remedy(run, [*self.runs(), "latest"], f"runs: {known}"),
            )
        return path

    def records(self, run: str) -> list[Record]:
        """The records of a run. IntegrityError when their chain breaks."""
        path = self.journal_path(run)
        return journal.parse(self._read(path), str(path))[0]

    def state(self, run: str) -> RunState:
        """The state of a run. Errors as ``records``; IntegrityError for a runbook that is no digest."""
        state = fold(self.records(run))
        if state.runbook and not FULL.fullmatch(state.runbook):
            raise IntegrityError(
                f"names its runbook {state.runbook!r:.200}, which is no digest", where=str(self.journal_path(run))
            )
        return state

    def run_records(self) -> list[RunRecord]:
        """Every run that began and can be read, oldest first, with its runbook."""
        runs: list[RunRecord] = []
        for run in self.runs():
            try:
                state = self.state(run)
                if state.runbook:
                    book = self.runbook_of(state.runbook)[0]
                    disbelieve(state, book.asking)
                    runs.append(RunRecord(run, book, state))
            except (FileError, RefusedError, IntegrityError):
                continue
        return runs

    def holder(self, run: str) -> str:
        """Which process holds a run now; empty when none does. Takes no lock."""
        return (self.state(run).holder or "another process") if files.is_locked(self.journal_path(run)) else ""

    def journal_bytes(self, run: str) -> bytes:
        """A run's journal, byte for byte."""
        return self._read(self.journal_path(run))

    def open_journal(self, run: str, clock: Clock) -> LocalJournal:
        """Lock a run's journal for this process. LockedError names the holder."""
        path = self.journal_path(run)
        return LocalJournal(path, path.stem, clock, f"{who()} process {os.getpid()}").open()

    # inbox

    def send(self, run: str, message: Message) -> Path:
        """Leave a message for the process that holds a run; return its path."""
        name = self.journal_path(run).stem
        folder = self.folder.joinpath(*INBOXES[0], name)
        # Real time orders the messages of one sender; the rest makes the name unique.
        path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.json"
        self._write(path, msgspec.json.encode(message) + b"\n", exclusive=True)
        return path

    def inbox(self, run: str, known: Collection[str] = ()) -> list[Received]:
        """The messages for a run, oldest first, at most ``MOST_AT_ONCE``. A file that is no message is listed with its fault.

        ``known``: names of files that need not be read again.
        """
        waiting = [(path, fault) for path, fault in self._waiting(run) if path.name not in known]
        return [self._received(path, fault) for path, fault in waiting[:MOST_AT_ONCE]]

    def _waiting(self, run: str) -> list[tuple[Path, str]]:
        """The files in a run's inboxes of both versions, oldest first, each with what is wrong with its folder."""
        waiting: list[tuple[Path, str]] = []
        for place in INBOXES:
            folder, fault = self.folder.joinpath(*place, run), ""
            try:
                self._place(*place, run)
            except FileError as error:
                fault = f"its folder {error.where} {error.what}"
            waiting += [(path, fault) for path in (folder.glob("*.json") if folder.is_dir() else ())]
        return sorted(waiting, key=lambda item: item[0].name)

    def _received(self, path: Path, fault: str) -> Received:
        writer = self._writer(path)
        if fault:
            return Received(path, None, fault, writer)
        try:
            message = decode(path, Message, "message", limit=LARGEST_MESSAGE)
        except FileError as error:
            return Received(path, None, error.what, writer)
        return Received(path, message, message_fault(message), writer)

    def _writer(self, _path: Path) -> str:
        """Who wrote a file of this store; empty when the store does not know."""
        return owner_of(_path)

    def obeyed(self, path: Path) -> None:
        """Remove a message that is in the journal now."""
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def set_aside(self, path: Path) -> None:
        """Rename a file that the run ignores, so that it is kept but not read again."""
        with suppress(OSError):
            path.rename(path.with_suffix(".ignored"))

    # locks

    def taken_remarks(self) -> list[str]:
        """What was unusual when locks were taken, as sentences for people and the journal; each is returned once."""
        return []

    @contextmanager
    def lock_plans(self, plans: Sequence[str], run: str, now: str) -> Iterator[None]:
        """Hold a lock for each source plan. LockedError says which run holds it, since when, and what to do."""
        with self._locks([(f"plan {ArmId(plan).name}", plan) for plan in sorted(set(plans), key=str.lower)], run, now):
            yield

    @contextmanager
    def lock_runbook(self, digest: str, now: str) -> Iterator[None]:
        """Hold the lock on beginning this runbook, so that only one process begins it. LockedError as ``lock_plans``."""
        with self._locks([(f"runbook {digest[:12]}", digest)], "apply", now):
            yield

    @contextmanager
    def _locks(self, wanted: Sequence[tuple[str, str]], holder: str, now: str) -> Iterator[None]:
        held: list[int] = []
        self._make_folder()
        try:
            for name, subject in wanted:
                for place in LOCKS:
                    handle = self._lock(place, name, subject)
                    if handle is None:
                        continue
                    held.append(handle)
                    with suppress(OSError):
                        os.ftruncate(handle, 0)
                        os.pwrite(handle, f"{holder}, {who()} process {os.getpid()}, since {now}\n".encode(), 0)
            yield
        finally:
            for handle in held:
                # Emptied before the lock is released, so that the next holder is not mistaken for this one.
                with suppress(OSError):
                    os.ftruncate(handle, 0)
                os.close(handle)

    def _lock(self, place: tuple[str, ...], name: str, subject: str) -> int | None:
        """Take one lock in one place; None where version 0.1 kept it and this user may no longer write."""
        path = self._place(*place) / lock_name(subject)
        try:
            handle = files.open_own(path, remedy=PLACE)
        except FileError as error:
            if place != LOCKS[0] and isinstance(error.__cause__, PermissionError):
                return None
            raise
        if not files.lock(handle):
            text = _held_by(handle)
            os.close(handle)
            raise LockedError(
                f"{name} is held by {text}",
                where=subject,
                remedy="wait for that run, or stop its process, which releases the lock",
            )
        return handle


def lock_name(subject: str) -> str:
    """The file name of the lock on a plan or a runbook."""
    return f"{hashlib.sha256(subject.lower().encode()).hexdigest()[:32]}.lock"


def _held_by(handle: int) -> str:
    """Who holds a lock, from its file; a process that has just taken it gets a moment to write its name."""
    for _ in range(20):
        text = os.pread(handle, 500, 0).decode("utf-8", "replace").strip()
        if text:
            return text
        time.sleep(0.01)
    return "another process"


def _readable(name: str) -> bool:
    """Whether a name is that of a file. FileError for a folder."""
    try:
        path = Path(name)
        if name not in ("", ".", "latest") and path.is_dir():
            raise FileError("is a directory, not a runbook", where=name, remedy="name a file, a digest or `latest`")
        return path.is_file()
    except (OSError, ValueError):
        return False


def _number(run: str) -> int:
    return int(run[4:])


def _stamp(when: str) -> str:
    return re.sub(r"[^0-9]", "", when)


def folder_of(kind: str) -> str:
    """The folder of the generations of a kind, below ``state``."""
    return kind if kind == "readiness" else f"{kind}s"


def load(path: Path, type_: type[File], *, of: Collection[int] | None = None) -> File:
    """A snapshot, assessment or readiness from its file. FileError lists what is wrong with it, at most ``MOST_FAULTS`` faults.

    ``of``: the users who may own the file, beside this user and root; by default anybody may, and the path may be a link.
    """
    kind = KINDS[type_]
    remedy = f"`drkit {_WRITERS[kind]}` writes a new one"
    content = files.read(path, limit=files.LARGE, own=of is not None, also=of or (), links=of is None)
    if not content.strip():
        raise FileError("is empty", where=str(path), remedy=remedy)
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"is not whole JSON: {error}", where=str(path), remedy=remedy) from error
    marker = raw.get("drkit") if isinstance(raw, dict) else None
    if marker != f"{kind}/1":
        newer = isinstance(marker, str) and marker.startswith(f"{kind}/")
        what = f"is {marker}, of a newer drkit" if newer else f"is no {kind} (its marker is {marker!r})"
        raise FileError(what, where=str(path), remedy="use a drkit that is as new as the file" if newer else remedy)
    try:
        value = msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise FileError(f"breaks the schema of a {kind}: {error}", where=str(path), remedy=remedy) from error
    faults: list[str] = time_faults("taken", value.taken) if isinstance(value, Readiness) else faults_of(value)
    if faults:
        more: list[str] = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        first: list[str] = [f"{len(faults)} faults"] if len(faults) > 1 else []
        raise FileError("\n".join([*first, *faults[:MOST_FAULTS], *more]), where=str(path), remedy=remedy)
    return value
