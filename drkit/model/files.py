"""Reads, writes and locks files of this machine so that no other user of it can influence that. Standard library only.

Reading takes regular files only, opens them without waiting, reads no more than a limit, and refuses files that a third user may
write. Writing replaces a name (never the target of a link) with a whole file. Locks and appends open a regular file of one's own
that has one name.

Where a system does not say who owns a file and who may write it (Windows), drkit does not check that, and says so once on stderr.
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from drkit.errors import DrkitError, FileError

try:
    import fcntl
    import grp
    import pwd

    POSIX = True
except ImportError:  # pragma: no cover  # Windows
    POSIX = False

SMALL = 4 * 1024 * 1024
"""Bytes: settings, ready files, messages, approvals, declarations, certificates, protected settings."""
LARGE = 1024 * 1024 * 1024
"""Bytes: files that grow with the estate (snapshots, assessments, runbooks, journals, seeds), 10 kB for each of 100,000 environments."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
OTHERS = stat.S_IWGRP | stat.S_IWOTH
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_OPENING: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY: int = getattr(os, "O_BINARY", 0)
_said: set[str] = set()


# reading


def read(
    path: str | Path,
    *,
    limit: int = SMALL,
    remedy: str = "",
    own: bool = False,
    also: Iterable[int] = (),
    links: bool = True,
) -> bytes:
    """The bytes of a regular file.

    ``limit``: the most bytes it may have. ``own``: its owner must be this user, root or one of ``also`` (user ids). ``links``:
    whether the name may be a link (its target is checked like any file). ``remedy`` replaces the general advice of an error.

    FileError for a file that does not exist, cannot be read, is not regular, is too long, belongs to another user, or may be
    written by a third user.
    """
    content = _read(Path(path), limit + 1, own=own, also=also, links=links, remedy=remedy, most=limit)
    if len(content) > limit:
        raise _too_long(Path(path), len(content), limit, remedy)
    return content


def beginning(path: str | Path, size: int, *, remedy: str = "", own: bool = False, links: bool = True) -> bytes:
    """The first ``size`` bytes of a regular file of any length; FileError as ``read``."""
    return _read(Path(path), size, own=own, also=(), links=links, remedy=remedy, most=None)


def text(path: str | Path, *, limit: int = SMALL, remedy: str = "", own: bool = False, links: bool = True) -> str:
    """The text of a file, decoded from UTF-8 without a byte order mark; FileError as ``read``, and for bytes that are not UTF-8."""
    content = read(path, limit=limit, remedy=remedy, own=own, links=links)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"is not UTF-8: {error}", where=str(path), remedy=remedy or "save it as UTF-8") from error


def check(path: str | Path, *, limit: int = SMALL, remedy: str = "", own: bool = False) -> None:
    """FileError where ``read`` would raise one: for files that a library opens by name (certificates)."""
    os.close(_opened(Path(path), own=own, also=(), links=True, remedy=remedy, most=limit))


def _read(
    path: Path, size: int, *, own: bool, also: Iterable[int], links: bool, remedy: str, most: int | None
) -> bytes:
    handle = _opened(path, own=own, also=also, links=links, remedy=remedy, most=most)
    try:
        with os.fdopen(handle, "rb") as file:
            # Read no more at once than the file's size: Python allocates memory for the whole request.
            content = file.read(min(size, os.fstat(handle).st_size + 1))
            while len(content) < size and (more := file.read(min(size - len(content), SMALL))):
                content += more
            return content
    except OSError as error:
        raise _unreadable(error, path, remedy) from error


def _opened(path: Path, *, own: bool, also: Iterable[int], links: bool, remedy: str, most: int | None) -> int:
    """The handle of a file that may be read. It is also checked before it is opened, because to open some devices is to use them."""
    try:
        _regular(path, path.stat(follow_symlinks=links), remedy)
        handle = os.open(path, os.O_RDONLY | _OPENING | _BINARY | (0 if links else _NOFOLLOW))
    except (OSError, ValueError) as error:
        raise _unreadable(error, path, remedy) from error
    try:
        status = os.fstat(handle)
        _regular(path, status, remedy)
        if most is not None and status.st_size > most:
            raise _too_long(path, status.st_size, most, remedy)
        if own:
            check_owner(path, status, also=also, remedy=remedy)
        _check_mode(path, status, handle, remedy)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _regular(path: Path, status: os.stat_result, remedy: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise FileError(f"is {kind}, not a regular file", where=str(path), remedy=remedy or "name a regular file")


def _too_long(path: Path, size: int, most: int, remedy: str) -> FileError:
    what = f"is too long: {_size(size)}, and at most {_size(most)} are read"
    return FileError(what, where=str(path), remedy=remedy or "name the file that is meant")


def _size(count: int) -> str:
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _unreadable(error: OSError | ValueError, path: Path, remedy: str) -> FileError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return FileError(
        f"cannot be read: {reason}", where=str(path), remedy=remedy or "correct its name or its permissions"
    )


# who may write


def check_owner(path: str | Path, status: os.stat_result, *, also: Iterable[int] = (), remedy: str = "") -> None:
    """FileError unless the file with that ``status`` belongs to this user, to root or to one of ``also`` (user ids)."""
    if not POSIX:
        _say_unchecked()
        return
    if status.st_uid not in {os.geteuid(), 0, *also}:
        raise FileError(
            f"belongs to {user_name(status.st_uid)}",
            where=str(path),
            remedy=remedy or "use a file of your own: another user can change this one at any time",
        )


def check_folder(
    path: str | Path, *, own: bool = False, also: Iterable[int] = (), group: bool = False, remedy: str = ""
) -> os.stat_result:
    """The status of a folder into which only its owner and root may put files; FileError for anything else.

    ``own``: its owner must be this user, root or one of ``also``. ``group``: its group may put files into it too.
    """
    place = Path(path)
    try:
        status = place.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(error, place, remedy) from error
    if not stat.S_ISDIR(status.st_mode):
        raise FileError("is not a folder", where=str(path), remedy=remedy or "name a folder")
    if own:
        check_owner(place, status, also=also, remedy=remedy)
    _check_mode(place, status, place, remedy, group=group)
    return status


def user_name(uid: int) -> str:
    """``user alice``, or ``user 4001`` for a user without a name."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except (KeyError, NameError):
        return f"user {uid}"


def _check_mode(path: Path, status: os.stat_result, place: int | Path, remedy: str, *, group: bool = False) -> None:
    if not POSIX:
        _say_unchecked()
        return
    if status.st_mode & stat.S_IWOTH:
        raise FileError(
            "may be written by every user of this machine", where=str(path), remedy=remedy or f"chmod o-w {path}"
        )
    if (
        status.st_mode & stat.S_IWGRP
        and not group
        and (_has_acl(place) or not any(_private(status.st_gid, uid) for uid in (status.st_uid, os.geteuid())))
    ):
        raise FileError(
            f"may be written by {_group_name(status.st_gid)}", where=str(path), remedy=remedy or f"chmod g-w {path}"
        )


@functools.cache
def _private(gid: int, uid: int) -> bool:
    """Whether only that user (and root) is in a group: root's own group, or the one with the user's name."""
    try:
        group = grp.getgrgid(gid)
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return gid == 0  # containers run as users without a name in root's group
    if not {*group.gr_mem} <= {name, "root"}:
        return False
    # Where users come from a directory, not every user is listed, so the group must also have the user's name.
    return gid == 0 or (
        group.gr_name == name and all(user.pw_uid == uid for user in pwd.getpwall() if user.pw_gid == gid)
    )


def _has_acl(place: int | Path) -> bool:
    """Whether an ACL may give rights to more users than the mode says; the group's bits are the most that it gives."""
    if not hasattr(os, "getxattr"):
        return False
    with suppress(OSError):
        return bool(os.getxattr(place, "system.posix_acl_access"))
    return False


def _group_name(gid: int) -> str:
    try:
        return f"group {grp.getgrgid(gid).gr_name}"
    except KeyError:
        return f"group {gid}"


def _say_unchecked() -> None:
    if "unchecked" in _said or sys.stderr is None:
        return
    _said.add("unchecked")
    sys.stderr.write("note: on this system drkit does not check who owns a file and who may write it\n")


# writing


def unwritable(error: OSError | ValueError, path: str | Path, remedy: str = "") -> DrkitError:
    """The error for an exception while writing: DrkitError (exit code 1) for a full disk, else FileError (64)."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    what = f"cannot be written: {reason}"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return DrkitError(
            what,
            where=str(path),
            remedy="make room, then repeat the command; the files that drkit has kept are complete",
        )
    return FileError(what, where=str(path), remedy=remedy or "name another place, or correct its permissions")


def make_folder(path: str | Path, *, mode: int = 0o755, remedy: str = "") -> None:
    """Create a folder, and those above it, where they are missing; never writable by group or others, whatever the umask."""
    place = Path(path)
    _check_way(place, remedy)
    missing = []
    for folder in (place, *place.parents):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    try:
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir(mode & ~OTHERS)
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except (OSError, ValueError) as error:
        raise unwritable(error, place, remedy) from error


def check_parent(path: str | Path, *, remedy: str = "") -> None:
    """FileError unless the folder of a file that a person named exists: a mistyped name creates no folders."""
    if not Path(path).parent.is_dir():
        raise FileError("cannot be written: its folder is not there", where=str(path), remedy=remedy)


def write(
    path: str | Path, content: bytes, *, exclusive: bool = False, mode: int = 0o600, sync: bool = True, remedy: str = ""
) -> None:
    """Write a whole file or nothing; a reader sees all of it or nothing. A missing folder is created.

    A link of that name is replaced, not its target. ``exclusive``: FileExistsError when the name is taken. ``mode`` is reduced by
    the umask and by the right of others to write. FileError where the file cannot be written, DrkitError on a full disk.
    """
    place = Path(path)
    make_folder(place.parent, remedy=remedy)
    _put(place, content, exclusive=exclusive, mode=mode, sync=sync, remedy=remedy)


def _put(path: Path, content: bytes, *, exclusive: bool, mode: int, sync: bool, remedy: str) -> None:
    temporary = path.parent / f".new-{secrets.token_hex(8)}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, mode & ~OTHERS)
    except (OSError, ValueError) as error:
        raise unwritable(error, path, remedy) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
        else:
            temporary.replace(path)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(error, path, remedy) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_out(path: str, *, remedy: str) -> None:
    """FileError when it is certain that a file that a person named cannot be written. Writes nothing."""
    place = Path(path)
    try:
        if place.is_dir():
            why = "it is a folder"
        elif not place.parent.is_dir():
            why = "its folder is not there"
        else:
            why = "" if os.access(place if os.path.lexists(place) else place.parent, os.W_OK) else "permission denied"
    except (OSError, ValueError) as error:
        raise unwritable(error, place, remedy) from error
    if why:
        raise FileError(f"cannot be written: {why}", where=str(path), remedy=remedy)


def write_out(path: str | Path, content: bytes, *, remedy: str = "choose another --out") -> None:
    """Write a file that a person named: a whole file or nothing; to a device or a pipe of one's own directly (/dev/stdout).

    A link of one's own, or of root, is followed; another user's is replaced. The mode of a file of one's own is kept, except
    for the right of others to write. Raises the errors of ``write``.
    """
    place = Path(path)
    try:
        target = _followed(place)
        status = target.lstat() if os.path.lexists(target) else None
        if status is not None and stat.S_ISLNK(status.st_mode) and not _foreign(status):
            status = target.stat()
        if status is not None and not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            _write_as_it_comes(target, content, status, remedy)
            return
        _check_way(target.parent, remedy)
        _put(target, content, exclusive=False, mode=0o644, sync=False, remedy=remedy)
        if status is not None and stat.S_ISREG(status.st_mode) and not _foreign(status):
            target.chmod(stat.S_IMODE(status.st_mode) & 0o777 & ~OTHERS)
    except (OSError, ValueError) as error:
        raise unwritable(error, place, remedy) from error


def _foreign(status: os.stat_result) -> bool:
    return POSIX and status.st_uid not in (os.geteuid(), 0)


def _followed(path: Path) -> Path:
    """The path that a name leads to over links of one's own and of root; a link of another user is not followed."""
    for _ in range(40):
        if not path.is_symlink() or _foreign(path.lstat()):
            return path
        following = path.parent / path.readlink()
        if path.exists() and not os.path.lexists(following):
            return path  # the target of /proc/self/fd/1 has no other name
        path = following
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _write_as_it_comes(path: Path, content: bytes, status: os.stat_result, remedy: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        raise FileError(f"is {KINDS[stat.S_IFMT(status.st_mode)]}", where=str(path), remedy=remedy)
    check_owner(path, status, remedy=remedy)
    # A FIFO without a reader is an error at once.
    handle = os.open(path, os.O_WRONLY | _OPENING | _BINARY)
    with os.fdopen(handle, "wb") as file:
        if not os.path.samestat(os.fstat(handle), status):
            raise FileError("was replaced while it was opened", where=str(path), remedy=remedy)
        os.set_blocking(handle, True)
        file.write(content)


def _check_way(folder: Path, remedy: str) -> None:
    """FileError when a folder in the path is a link of another user, who could choose where the file is written."""
    if not POSIX:
        return
    place = folder.absolute()
    for step in (*reversed(place.parents), place):
        with suppress(OSError, ValueError):
            status = step.lstat()
            if stat.S_ISLNK(status.st_mode) and _foreign(status):
                raise FileError(
                    f"is a link of {user_name(status.st_uid)}",
                    where=str(step),
                    remedy=remedy or "name the folder itself",
                )


# locks and appends


def open_own(path: str | Path, *, append: bool = False, exclusive: bool = False, remedy: str = "") -> int:
    """A handle to read and write a file of one's own. A missing file is created with mode 0600, and its folder too.

    It must be a regular file with one name, owned by this user (for root: by root or by the folder's owner), that no third user
    may write; FileError for any other file. ``append``: each write goes to the end. ``exclusive``: FileExistsError when the name
    is taken.
    """
    place = Path(path)
    make_folder(place.parent, remedy=remedy)
    flags = os.O_RDWR | os.O_CREAT | _NOFOLLOW | _OPENING | _BINARY
    flags |= (os.O_APPEND if append else 0) | (os.O_EXCL if exclusive else 0)
    try:
        with suppress(FileNotFoundError):
            if not exclusive:
                _regular(place, place.lstat(), remedy)
        handle = os.open(place, flags, 0o600)
    except FileExistsError as error:
        if exclusive:
            raise
        raise unwritable(error, place, remedy) from error
    except (OSError, ValueError) as error:
        raise unwritable(error, place, remedy) from error
    try:
        check_own(place, os.fstat(handle), handle, remedy=remedy)
    except BaseException:
        os.close(handle)
        raise
    return handle


def check_own(path: str | Path, status: os.stat_result, handle: int, *, remedy: str = "") -> None:
    """FileError unless an open file is one that ``open_own`` accepts."""
    place = Path(path)
    _regular(place, status, remedy)
    if status.st_nlink > 1:
        raise FileError(
            f"has {status.st_nlink} names: what is written to it would change another file",
            where=str(path),
            remedy=remedy or "remove it: drkit makes a new one",
        )
    if not POSIX:
        _say_unchecked()
        return
    allowed = {os.geteuid()}
    if os.geteuid() == 0:
        allowed.add(place.parent.stat().st_uid)
    if status.st_uid not in allowed:
        raise FileError(
            f"belongs to {user_name(status.st_uid)}",
            where=str(path),
            remedy=remedy or "remove it: drkit makes one of its own",
        )
    _check_mode(place, status, handle, remedy)


def is_locked(path: str | Path) -> bool:
    """Whether another process has the lock of a file. It takes no lock. FileError as ``read``."""
    handle = _opened(Path(path), own=False, also=(), links=False, remedy="", most=None)
    try:
        return not lock(handle, shared=True)
    finally:
        os.close(handle)


def lock(handle: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; False when another process has it. It ends when the handle is closed."""
    try:
        if POSIX:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:  # pragma: no cover
            msvcrt: Any = importlib.import_module("msvcrt")
            os.lseek(handle, 2**31 - 2, os.SEEK_SET)  # beyond the content: Windows' locks forbid reading too
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
