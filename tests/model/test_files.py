"""Reading, writing and locking of files where other users and odd files are about."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drkit.errors import FileError
from drkit.model import files
from tests.support.patience import PATIENCE

OTHER = 4001
"""A user id of nobody on this machine."""
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
ROOM = Path(__file__).parents[2]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


ODD: dict[str, Callable[[Path], None]] = {"FIFO": fifo, "directory": directory, "device": zeros, "socket": listening}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("act", [files.read, files.text, files.check, files.open_own], ids=lambda act: act.__name__)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, kind: str, act: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ODD[kind](tmp_path / "odd")
    with pytest.raises(FileError, match="not a regular file") as caught:
        act(tmp_path / "odd")
    assert caught.value.where == str(tmp_path / "odd")
    assert caught.value.remedy


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(1_200_000_000)
    for act in (files.read, files.text, files.check):
        with pytest.raises(FileError, match=r"is too long: 1\.12 GB, and at most 4 MB are read"):
            act(path)
    assert files.beginning(path, 10) == b"\0" * 10
    (tmp_path / "short").write_bytes(b"1234")
    assert files.read(tmp_path / "short", limit=4) == b"1234"
    with pytest.raises(FileError, match="is too long: 4 bytes, and at most 3 bytes"):
        files.read(tmp_path / "short", limit=3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a file that says it is empty and is not")
def test_a_file_that_does_not_know_its_length_is_read_to_its_end() -> None:
    assert b"Name:" in files.read("/proc/self/status")
    with pytest.raises(FileError, match="too long"):
        files.read("/proc/self/status", limit=10)


def test_what_cannot_be_named_or_is_not_there_is_an_error_of_that_file(tmp_path: Path) -> None:
    for name in (tmp_path / "none", "a\0b", "x" * 5000, "\ud800"):
        with pytest.raises(FileError, match="cannot be read"):
            files.read(name)
        with pytest.raises(FileError, match="cannot be written"):
            files.write("/proc/none/x" if name == tmp_path / "none" else name, b"")
    (tmp_path / "text").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="is not UTF-8"):
        files.text(tmp_path / "text")


def test_a_link_is_read_unless_the_place_wants_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"it")
    (tmp_path / "link").symlink_to("file")
    assert files.read(tmp_path / "link") == b"it"
    with pytest.raises(FileError, match="is a link, not a regular file"):
        files.read(tmp_path / "link", links=False)


def test_what_others_may_write_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"it")
    path.chmod(0o646)
    with pytest.raises(FileError, match="every user of this machine") as caught:
        files.read(path)
    assert caught.value.remedy == f"chmod o-w {path}"
    path.chmod(0o644)
    assert files.read(path) == b"it"
    tmp_path.chmod(0o1777)
    with pytest.raises(FileError, match="every user of this machine"):
        files.check_folder(tmp_path)
    tmp_path.chmod(0o755)
    files.check_folder(tmp_path, own=True)


@root
def test_a_group_may_write_where_it_has_no_other_member(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"it")
    path.chmod(0o664)
    assert files.read(path) == b"it"  # root's own group
    os.chown(path, 0, OTHER)
    with pytest.raises(FileError, match=f"may be written by group {OTHER}"):
        files.read(path)
    alone = next((one for one in pwd.getpwall() if one.pw_uid and one.pw_uid == one.pw_gid), None)
    if alone is not None and files._private(alone.pw_gid, alone.pw_uid):
        os.chown(path, alone.pw_uid, alone.pw_gid)
        assert files.read(path) == b"it"


@root
def test_a_file_of_another_user_is_refused_where_it_must_be_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"it")
    os.chown(path, OTHER, OTHER)
    assert files.read(path) == b"it"
    with pytest.raises(FileError, match=f"belongs to user {OTHER}"):
        files.read(path, own=True)
    os.chown(tmp_path, OTHER, OTHER)
    files.check_folder(tmp_path)
    files.check_folder(tmp_path, own=True, also=[OTHER])
    with pytest.raises(FileError, match=f"belongs to user {OTHER}"):
        files.check_folder(tmp_path, own=True)


def test_a_file_is_whole_or_not_there_and_replaces_a_link_not_its_target(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    link = tmp_path / "new" / "link"
    files.write(tmp_path / "new" / "first", b"1")
    link.symlink_to(victim)
    files.write(link, b"2")
    assert (victim.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"precious", b"2", False)
    link.unlink()
    link.symlink_to(tmp_path / "dangling")
    with pytest.raises(FileExistsError):
        files.write(link, b"3", exclusive=True)
    assert not (tmp_path / "dangling").exists()
    assert sorted(one.name for one in link.parent.iterdir()) == ["first", "link"]


def test_whatever_the_umask_nothing_is_made_that_others_may_write(tmp_path: Path) -> None:
    """S29's kind: a folder or file made under umask 000."""
    code = (
        "import os, sys; from pathlib import Path; from drkit.model import files; os.umask(0); at = Path(sys.argv[1]);"
        "files.write(at / 'a/b/c', b''); files.write_out(at / 'out', b''); os.close(files.open_own(at / 'd/lock'))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOM)
    modes = {str(one.relative_to(tmp_path)): stat.S_IMODE(one.stat().st_mode) for one in tmp_path.rglob("*")}
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/c": 0o600, "out": 0o644, "d": 0o755, "d/lock": 0o600}


def test_what_a_person_named_follows_their_own_link_and_keeps_the_mode(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    target.chmod(0o666)
    (tmp_path / "link").symlink_to("target")
    files.write_out(tmp_path / "link", b"new")
    assert (target.read_bytes(), (tmp_path / "link").is_symlink()) == (b"new", True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FileError, match="symbolic links"):
        files.write_out(tmp_path / "loop", b"")
    with pytest.raises(FileError, match="Is a directory"):
        files.write_out(tmp_path, b"")


def test_a_device_or_a_pipe_is_written_as_it_comes(tmp_path: Path) -> None:
    files.write_out("/dev/null", b"gone")
    code = "from drkit.model import files; files.write_out('/dev/stdout', b'shown')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOM).stdout == b"shown"
    fifo(tmp_path / "fifo")
    with pytest.raises(FileError, match="cannot be written"):
        files.write_out(tmp_path / "fifo", b"nobody reads it")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    for _ in range(1000):
        try:
            files.write_out(tmp_path / "fifo", b"read" * 100_000)
            break
        except FileError:
            reader.join(0.01)
    reader.join(PATIENCE)
    assert got == [b"read" * 100_000]


@root
def test_a_link_or_a_pipe_of_another_user_leads_nothing_anywhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    link, pipe, way = tmp_path / "link", tmp_path / "pipe", tmp_path / "way"
    link.symlink_to(victim)
    os.mkfifo(pipe)
    way.symlink_to(tmp_path)
    for one in (link, pipe, way):
        os.chown(one, OTHER, OTHER, follow_symlinks=False)
    files.write_out(link, b"a report")
    assert (victim.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"precious", b"a report", False)
    with pytest.raises(FileError, match=f"belongs to user {OTHER}"):
        files.write_out(pipe, b"a report")
    for put in (files.write_out, files.write):
        with pytest.raises(FileError, match=f"is a link of user {OTHER}"):
            put(way / "x", b"")
    with pytest.raises(FileError, match=f"is a link of user {OTHER}"):
        files.open_own(way / "x")
    assert not (tmp_path / "x").exists()


def test_a_file_to_lock_or_append_to_belongs_to_the_user_and_has_one_name(tmp_path: Path) -> None:
    """S13's kind: a lock that is a link, or has a second name, changes another file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    (tmp_path / "link").symlink_to(victim)
    os.link(victim, tmp_path / "second")
    with pytest.raises(FileError, match="is a link, not a regular file"):
        files.open_own(tmp_path / "link")
    with pytest.raises(FileError, match="has 2 names"):
        files.open_own(tmp_path / "second", append=True)
    (tmp_path / "shared").touch()
    (tmp_path / "shared").chmod(0o606)
    with pytest.raises(FileError, match="every user"):
        files.open_own(tmp_path / "shared")
    assert victim.read_bytes() == b"precious"
    handle = files.open_own(tmp_path / "own", append=True)
    with pytest.raises(FileExistsError):
        files.open_own(tmp_path / "own", exclusive=True)
    os.write(handle, b"a")
    os.close(handle)
    assert (tmp_path / "own").read_bytes() == b"a"


@root
def test_a_lock_that_another_user_planted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(mode=0o600)
    os.chown(tmp_path / "lock", OTHER, OTHER)
    with pytest.raises(FileError, match=f"belongs to user {OTHER}"):
        files.open_own(tmp_path / "lock")
    os.chown(tmp_path, OTHER, OTHER)  # root at work in the folder of a user
    os.close(files.open_own(tmp_path / "lock"))


def test_a_lock_is_of_one_process_and_falls_with_it(tmp_path: Path) -> None:
    first, second = files.open_own(tmp_path / "lock"), files.open_own(tmp_path / "lock")
    assert files.lock(first)
    assert not files.lock(second)
    assert not files.lock(second, shared=True)
    os.close(first)
    assert files.lock(second)
    os.close(second)


def test_where_owners_are_unknown_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "POSIX", False)
    monkeypatch.setattr(files, "_said", set())
    (tmp_path / "file").write_bytes(b"it")
    assert files.read(tmp_path / "file", own=True) == files.read(tmp_path / "file") == b"it"
    files.check_folder(tmp_path, own=True)
    os.close(files.open_own(tmp_path / "own"))
    assert capsys.readouterr().err == "note: on this system drkit does not check who owns a file and who may write it\n"
