"""Sign-in codes: in the memory of the process that runs the step, shown there or over a socket only its user can open."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from drkit.errors import RefusedError

MOST = 65_536


def socket_path(store: Path, run: str) -> Path:
    """Where the holder of a run listens: short enough for a Unix socket, in a folder of this user's own."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    key = hashlib.sha256(f"{store.resolve()}/{run}".encode()).hexdigest()[:20]
    return Path(base) / f"drkit-{os.getuid()}" / f"{key}.sock"


class Codes:
    """The codes shown so far, by step: never written anywhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._codes: dict[str, dict[str, str]] = {}
        self._server: asyncio.Server | None = None

    def show(self, step: str, code: str, url: str) -> bool:
        """Keep a code; True when it is a new one."""
        new = self._codes.get(step, {}).get("code") != code
        self._codes[step] = {"step": step, "code": code, "url": url}
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
        if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
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
        writer.write(json.dumps(list(self._codes.values())).encode())
        await writer.drain()
        writer.close()


def ask(path: Path, run: str, holder: str) -> list[dict[str, Any]]:
    """The codes of a run held on this machine; RefusedError naming the holder when it is not reachable here."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            content = b""
            while part := connection.recv(MOST):
                content += part
    except OSError as error:
        raise RefusedError(
            f"the codes of {run} are only on the machine that runs it ({holder or 'nobody holds it now'})",
            remedy=f"run this command there as the same user, or `drkit resume {run}` here if nobody holds it",
        ) from error
    try:
        found = json.loads(content or b"[]")
    except ValueError:
        found = []
    return [one for one in found if isinstance(one, dict)]
