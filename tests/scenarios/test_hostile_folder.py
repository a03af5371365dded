"""A folder of somebody else's making, in which a person who is signed in types each of drkit's commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.test_trusted_hosts import found_files
from tests.support import credential_trap as catcher
from tests.support.command_line import Done, Here, environment
from tests.support.credential_trap import Catcher
from tests.support.every_command import every_command, names, prepare
from tests.support.patience import PATIENCE

SECRETS = {
    "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111", "AZURE_CLIENT_ID": "me", "AZURE_CLIENT_SECRET": "REAL-CLIENT-SECRET",
    "AZURE_STORAGE_KEY": "UkVBTC1LRVk=",
}  # fmt: skip
SETTLED = frozenset({"schema", "completion", "drill", "simulate"})
"""Commands that read no settings: they speak to nothing but a simulator of their own."""
PROGRAM = "#!/bin/sh\ntouch '{0}/pwned'\n"
MODULE = "import pathlib\npathlib.Path({0!r}, 'pwned').touch()\n"


@pytest.fixture
def lurking(tmp_path: Path) -> Iterator[Catcher]:
    with catcher.catching(tmp_path / "catcher") as found:
        yield found


@pytest.fixture
def here(lurking: Catcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The folder: a store with a run, programs and modules of well-known names. Beside it a home folder with a .netrc."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("default login me password REAL-NETRC\n")
    (home / ".netrc").chmod(0o600)
    values = {
        "HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": str(home / ".cache"), "NETRC": str(home / ".netrc"),
        "REQUESTS_CA_BUNDLE": str(lurking.ca), "SSL_CERT_FILE": str(lurking.ca), **SECRETS,
        "PATH": f"{catcher.az(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "found"
    folder.mkdir()
    prepare(folder)
    made = Here(folder, monkeypatch, capsys)
    made.put("ca.pem", lurking.ca.read_text())
    for name in ("az", "git", "ssh", "bicep"):
        made.put(name, PROGRAM.format(folder)).chmod(0o755)
    for name in ("azure.py", "requests.py", "click.py", "sitecustomize.py", "drkit/__init__.py", "drkit/cli.py"):
        made.put(name, MODULE.format(str(folder)))
    made.put(".netrc", "default login me password REAL-NETRC\n")
    made.put(".env", "DRKIT_STORE=https://evil.example\n")
    made.put("trusted.toml", f'hosts = ["{lurking.host}"]\n')
    made.put(".config/drkit/trusted.toml", f'hosts = ["{lurking.host}"]\n')
    return made


@pytest.mark.parametrize("what", list(found_files(Catcher(1, Path()))))
def test_nothing_is_sent_run_or_believed_by_any_command(
    here: Here, lurking: Catcher, what: str, tmp_path: Path
) -> None:
    here.put("drkit.toml", found_files(lurking)[what])
    before = here.files()
    seen: set[str] = set()
    for words in every_command(here.folder):
        done = here(*words)
        name = words[0] if words else ""
        seen.add(name)
        assert lurking.caught == [], (words, lurking.caught)
        if name not in SETTLED or ("--lose" in words[:2] and name == "simulate"):
            assert refused(done), (words, done.err)
    assert seen == set(names())
    assert catcher.asked(tmp_path / "bin") == []
    assert here.files() == before
    assert not here.path("pwned").exists()
    assert not here.path("made.toml").exists()


def refused(done: Done) -> bool:
    return done.code == 4 and "decides where credentials go" in " ".join(done.err.split()) and "drkit.toml" in done.err


def test_a_folder_that_names_nothing_strange_leads_to_the_named_clouds_only(
    here: Here, lurking: Catcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every request goes over a proxy that notes for which host it is asked, and makes no connection to it."""
    import socketserver
    import threading

    wanted: list[str] = []

    class Refusing(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            wanted.append(self.rfile.readline(10_000).decode().strip())
            while self.rfile.readline(10_000).strip():
                pass
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        here.put(
            "drkit.toml",
            'store = "https://contoso1.blob.core.windows.net"\n[cloud]\ncredential = "azure-cli"\n[run]\nrequest_budget_seconds = 0.1\n',
        )
        for words in (
            ("status",),
            ("snapshot",),
            ("snapshot", "--store", ".drkit"),
            ("assess", "--store", ".drkit"),
            ("check", "--store", ".drkit"),
        ):
            here(*words)
        proxy.shutdown()
        thread.join(PATIENCE)
    hosts = {line.split()[1] for line in wanted}
    assert {line.split()[0] for line in wanted} == {"CONNECT"}
    assert hosts
    assert hosts <= {"contoso1.blob.core.windows.net:443", "management.azure.com:443", "status.dev.azure.com:443"}
    assert lurking.caught == []
    asked = catcher.asked(tmp_path / "bin")
    assert asked
    assert not [
        line for line in asked if "https://management.azure.com" not in line and "https://storage.azure.com" not in line
    ]


def test_no_program_and_no_module_of_the_folder_is_run(here: Here, lurking: Catcher) -> None:
    """The real program, as a person starts it."""
    here.put("drkit.toml", found_files(lurking)["store"])
    program = Path(sys.executable).parent / "drkit"
    env = {**environment(), "PATH": f".{os.pathsep}{os.environ['PATH']}"}
    for words in ((), ("--version",), ("status",), ("snapshot",), ("schema", "runbook"), ("completion", "bash")):
        done = subprocess.run(
            [str(program), *words], cwd=here.folder, env=env, capture_output=True, timeout=PATIENCE, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert not here.path("pwned").exists(), words
    assert lurking.caught == []
