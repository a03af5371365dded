"""A program ``drkit`` for shell scripts: the fork server begins the command, in a tenth of an interpreter's time."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from tests.support import forked

SOURCE = """\
#!{python} -IS
import json, os, signal, socket, struct, sys

mask = os.umask(0o077)
call = {{"words": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "umask": mask}}
content = json.dumps(call).encode()
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [struct.pack(">Q", len(content))], [0, 1, 2])
server.sendall(content)
answers = server.makefile()
process = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, _: os.kill(process, number))
code = int(answers.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def installed(folder: Path) -> Iterator[Path]:
    """A folder with the program, for PATH; it works as long as the block runs."""
    program, address = folder / "drkit", str(folder / "socket")
    program.write_text(SOURCE.format(python=sys.executable, address=address))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        thread = threading.Thread(target=_accept, args=(listener,), daemon=True)
        thread.start()
        yield folder
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket) -> None:
    """Serve each caller in a thread, until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


_changing = threading.Lock()
"""Processes are begun and reaped by one thread at a time: multiprocessing looks at all of them whenever it begins one."""


def _serve(connection: socket.socket) -> None:
    """Run one command to its end. When the caller is killed, so is the command."""
    with connection:
        size, streams, _, _ = socket.recv_fds(connection, 8, 3)
        with connection.makefile("rb") as message:
            call = json.loads(message.read(int.from_bytes(size)))
        drkit = forked.Drkit(
            ["drkit", *call["words"]], Path(call["cwd"]), call["env"], call["umask"], streams, limits=None
        )
        with _changing:
            process = forked.server().Process(target=drkit, daemon=True)
            process.start()
        for stream in streams:
            os.close(stream)
        connection.sendall(f"{process.pid}\n".encode())
        if process.sentinel not in wait([process.sentinel, connection]):
            process.kill()
            wait([process.sentinel])
        with _changing:
            process.join()
        try:
            connection.sendall(f"{process.exitcode}\n".encode())
        except BrokenPipeError:
            return  # the caller was killed
