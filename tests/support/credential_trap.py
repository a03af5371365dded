"""Traps for credentials: an HTTPS server that notes all it receives, and an ``az`` that gives tokens away."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE

TOKEN = "REAL-OPERATOR-TOKEN-for-"
CREDENTIAL_HEADERS = ("authorization", "proxy-authorization", "x-ms-authorization-auxiliary", "cookie")
SECRETS = (b"client_secret", b"client_assertion", b"assertion=", b"password=", TOKEN.encode(), b"REAL-")


@dataclass
class Caught:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def credential(self) -> str:
        """What of it is a credential; empty for none."""
        for name in CREDENTIAL_HEADERS:
            if self.headers.get(name):
                return f"{name}: {self.headers[name]}"
        whole = self.path.encode() + self.body
        return next((secret.decode() for secret in SECRETS if secret in whole), "")


Answering = Callable[[Caught], tuple[int, dict[str, str], bytes]]


def challenging(_caught: Caught) -> tuple[int, dict[str, str], bytes]:
    """Asks for a token of another audience and tenant."""
    challenge = (
        "Bearer authorization_uri=https://login.microsoftonline.com/99999999-9999-9999-9999-999999999999/oauth2/authorize "
        "resource_id=https://management.azure.com"
    )
    return 401, {"WWW-Authenticate": challenge}, b""


@dataclass
class Catcher:
    """Listens on 127.0.0.1; ``answer`` says what it says to each request."""

    port: int
    ca: Path
    answer: Answering = challenging
    caught: list[Caught] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def credentials(self) -> list[str]:
        """Every credential it was sent."""
        return [one.credential for one in self.caught if one.credential]


@contextmanager
def catching(folder: Path, answer: Answering = challenging) -> Iterator[Catcher]:
    """A catcher with a certificate of its own authority, both in ``folder``."""
    from tests.support.https_server import certificates

    folder.mkdir(parents=True, exist_ok=True)
    context, ca = certificates(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            one = Caught(self.command, self.path, headers, body)
            catcher.caught.append(one)
            status, told, content = catcher.answer(one)
            self.send_response(status)
            for name, value in {**told, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_args: Any) -> None:
            return

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"):
        setattr(Handler, f"do_{method}", Handler.any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    catcher = Catcher(server.server_port, ca, answer)
    server.socket = wrapped(context, server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield catcher
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def wrapped(context: ssl.SSLContext, server: ThreadingHTTPServer) -> Any:
    """The server's socket under TLS; a handshake takes place in the request's own thread."""
    return context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)


def az(folder: Path) -> Path:
    """A folder with a program ``az`` that gives a token for every request, and notes the request."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = json.dumps(
        {"accessToken": f"{TOKEN}@", "expires_on": 4102444800, "expiresOn": "2100-01-01 00:00:00.000000"}
    )
    program = folder / "az"
    program.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$*" >> '{folder}/asked'
for word in "$@"; do [ "$before" = --resource ] && resource=$word; before=$word; done
printf '%s' '{answer}' | sed "s#@#$resource#"
"""
    )
    program.chmod(0o755)
    return folder


def asked(folder: Path) -> list[str]:
    """What ``az`` was called with."""
    path = folder / "asked"
    return path.read_text().splitlines() if path.exists() else []
