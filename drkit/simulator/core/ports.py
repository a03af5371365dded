"""The loopback ports, one a public host. With its region a host refuses or hangs, and its port really comes back."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

ADDRESS = "127.0.0.1"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Port:
    """One public host on a port of its own. The port stays reserved while nothing listens on it."""

    def __init__(self, host: str, region: str | None, handler: Handler, tls: ssl.SSLContext) -> None:
        self.host = host
        self.region = region
        self.number = 0
        self._handler = handler
        self._tls = tls
        self._runner: web.ServerRunner | None = None
        self._reserved: socket.socket | None = None
        self._silent: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{self.number}"

    def _socket(self) -> socket.socket:
        """A socket bound to the port; several may be, only those that listen take connections."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((ADDRESS, self.number))
        return made

    async def open(self, number: int = 0) -> None:
        """Serve, on that port if one is given, else on the one it had, else on any."""
        if self._reserved is None:
            with socket.socket() as alone:  # another simulator would share a port that is asked for by number
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind((ADDRESS, number))
            self.number = number
            self._reserved = self._socket()
            self.number = self._reserved.getsockname()[1]
        self._unsilence()
        if self._runner is None:
            server = web.Server(self._handler, handler_cancellation=True)
            self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
            await self._runner.setup()
            await web.SockSite(self._runner, self._socket(), ssl_context=self._tls).start()

    async def lose(self, mode: str) -> None:
        """Cut every connection; from now on refuse connections, or (``hang``) accept them and never say anything."""
        if self._runner is not None:
            for connection in self._runner.server.connections if self._runner.server else ():
                if connection.transport is not None:
                    connection.transport.abort()
            await self._runner.cleanup()
            await asyncio.sleep(0)
            self._runner = None
        self._unsilence()
        if mode == "hang":
            self._silent = self._socket()
            self._silent.listen(128)

    def _unsilence(self) -> None:
        if self._silent is not None:
            self._silent.close()
            self._silent = None

    async def close(self) -> None:
        await self.lose("refuse")
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
