"""Sign-in codes: in the memory of the process that runs the step, shown there or over a socket only its user can open.

Both ends look at each other: the folder is this user's own and nobody else's, and so is the process at the other end, where the
system tells (Linux).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Any

import msgspec

from drkit.errors import RefusedError
from drkit.model.sign_in import SignIn

MOST = 65_536
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Shown(msgspec.Struct, frozen=True):
    """What the holder tells of one step."""

    step: str
    code: str = ""
    url: str = ""
    warning: str = ""


def socket_path(store: Path, run: str) -> Path:
    """Where the holder of a run listens: short enough for a Unix socket, in a folder of this user's own, never a shared one."""
    key = hashlib.sha256(f"{store.resolve()}/{run}".encode()).hexdigest()[:20]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and _private(Path(runtime)):
        return Path(runtime) / f"drkit-{os.getuid()}" / f"{key}.sock"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return base / "drkit" / "codes" / f"{key}.sock"


def _private(folder: Path) -> bool:
    """Whether it is a folder of this user's that nobody else may open."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _is_me(connection: Any) -> bool:
    """Whether the process at the other end is this user's; True where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return bool(uid == os.getuid())


class Codes:
    """The codes shown so far, by step: never written anywhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._codes: dict[str, Shown] = {}
        self._server: asyncio.Server | None = None

    def show(self, step: str, sign_in: SignIn) -> bool:
        """Keep what is to be shown of a step; True when it is new."""
        shown = Shown(step, sign_in.code, sign_in.url, sign_in.warning)
        new = self._codes.get(step) != shown
        self._codes[step] = shown
        return new

    def drop(self, step: str) -> None:
        """Forget the code of a step that ended."""
        self._codes.pop(step, None)

    async def __aenter__(self) -> Codes:
        # Without a socket (no room, a path too long, a folder of somebody else's) codes are shown here only.
        with contextlib.suppress(OSError):
            await self._listen()
        return self

    async def _listen(self) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(folder):
            return
        self.path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._answer, path=str(self.path))
        finally:
            os.umask(mask)

    async def __aexit__(self, *_details: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self.path.unlink(missing_ok=True)

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _is_me(writer.get_extra_info("socket")):
            writer.write(msgspec.json.encode(list(self._codes.values())))
            await writer.drain()
        writer.close()


def ask(path: Path, run: str, holder: str) -> list[dict[str, Any]]:
    """The codes of a run held on this machine; RefusedError naming the holder when it is not reachable here.

    What another user's process says in the holder's place is not passed on: RefusedError too.
    """
    try:
        if not _private(path.parent):
            raise FileNotFoundError(path.parent)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            if not _is_me(connection):
                raise RefusedError(
                    f"another user's process listens in place of {run}",
                    where=str(path),
                    remedy="nothing it says is shown; remove that file, and look who could write there",
                )
            content = b""
            while len(content) <= MOST and (part := connection.recv(MOST)):
                content += part
    except OSError as error:
        raise RefusedError(
            f"the codes of {run} are only on the machine that runs it ({holder or 'nobody holds it now'})",
            remedy=f"run this command there as the same user, or `drkit resume {run}` here if nobody holds it",
        ) from error
    try:
        codes = msgspec.json.decode(content or b"[]", type=list[Shown])
    except msgspec.DecodeError:
        codes = []
    return [msgspec.structs.asdict(shown) for shown in codes]
