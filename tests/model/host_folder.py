"""A host made of temporary folders, for scripts to run on for real, and a ``codespaces`` that records its calls."""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from drkit import products
from tests.support.patience import PATIENCE

SHELLS: Mapping[str, tuple[str, ...]] = {"dash": ("dash",), "bash": ("bash",), "busybox": ("busybox", "sh")}
MOST = 3500
NONCE = "0123456789abcdef0123456789abcdef"
OTHER_NONCE = "f" * 32
OLD_ID = "1d2c3b4a-0001-4000-8000-00000000aaaa"
NEW_ID = "1d2c3b4a-0002-4000-8000-00000000bbbb"
PLAN = "/subscriptions/s/resourceGroups/g/providers/Microsoft.VSOnline/plans/dr"

# The registration the fake command line writes; like the real one it may hold bytes that are no text.
REGISTRATION = b'{"environmentId": "%s", "key": "\xff\xfe\x00\r\n"}\nno newline at the end' % OLD_ID.upper().encode()

FAKE = r"""#!/bin/sh
here=@HERE@
registration=@REGISTRATION@
call=$(mktemp "$here/calls/new.XXXXXX")
printf '%s\0' "$@" >"$call"
{ id -u; pwd; printf '%s\n' "$HOME" "$USER" "${drkit_nonce-unset}"; } >"$call.as"
IFS= read -r input && echo "$input" >"$here/stdin-was-read"
mv "$call" "$here/calls/$1.${call##*.}"
mode=$(cat "$here/$1.mode")
case $mode in
  stop-says-yes) rm -f "$registration"; echo "Your machine was removed." ;;
  stop-removes-but-fails) rm -f "$registration"; exit 7 ;;
  stop-does-nothing) echo "Done." ;;
  stop-fails) echo "[2020-07-01 13:09:03.847 CLI E] [!ERROR] Error calling HTTP DELETE" >&2; exit 1 ;;
  stop-swaps) sed s/0001/0002/ "$registration" >"$registration.n"; mv "$registration.n" "$registration" ;;
  stop-hangs | stop-ignores-sigterm)
    [ $mode = stop-hangs ] || trap '' TERM
    sleep 300 & echo $! >"$here/child.pid"
    setsid sleep 300 & echo $! >"$here/distant.pid"
    echo $$ >"$here/stop.pid"
    while :; do sleep 300; done ;;
  stop-is-slow)
    while [ ! -e "$here/go-on" ]; do sleep 0.05; done
    rm -f "$registration" ;;
  start-*)
    echo "[2020-07-01 13:09:03.296 CLI I] vso v1.0.2380.36818 (pid: $$)"
    echo "[2020-07-01 13:09:03.847 CLI I] Authenticating..."
    echo $$ >"$here/start.pid"
    case $mode in
      start-already)
        printf '[2020-07-01 13:09:04.000 CLI E] [!ERROR] An environment is already registered on this machine'
        echo ' with ID: @OLD@'
        exit 1 ;;
      start-fails)
        echo "[2020-07-01 13:09:04.000 CLI E] [!ERROR] first"
        cat "$here/error"
        exit 3 ;;
    esac
    n=0
    for code in ABCDEFGH1 ABCDEFGH2; do
      printf 'To sign in, use a web browser to open the page https://microsoft.com/devicelogin '
      printf 'and enter the code %s to authenticate.\r\n' "$code"
      n=$((n + 1))
      while [ ! -e "$here/signed-in" ] && [ ! -e "$here/expired.$n" ]; do sleep 0.05; done
      [ ! -e "$here/signed-in" ] || break
    done
    echo "[2020-07-01 13:09:09.296 CLI I] Creating your Codespace..."
    printf '{"environmentId": "@NEW@"}' >"$registration"
    [ "$mode" != start-stays ] || exec sleep 300
    exit 0 ;;
esac
"""


def installed_shells() -> list[str]:
    return [name for name, words in SHELLS.items() if shutil.which(words[0])]


def shell_command(name: str) -> list[str]:
    """The words that run a script under that shell; skips without it, but fails on a build server."""
    words = list(SHELLS[name])
    found = shutil.which(words[0])
    if found is None:
        text = f"{words[0]} is not installed"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(text)
        pytest.skip(text)
    return [found, *words[1:]]


def tools(folder: Path, *, without: Sequence[str] = (), busybox: str = "") -> str:
    """A PATH of one folder that links to every program of this machine but these, or to busybox's programs alone."""
    folder.mkdir(parents=True)
    if busybox:
        names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        sources = {name: Path(busybox) for name in names}
        if "su" not in sources and (su := shutil.which("su")):  # Debian leaves it out
            sources["su"] = Path(su)
    else:
        sources = {}
        for source in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
            for program in Path(source).glob("*"):
                sources.setdefault(program.name, program)
    for name, program in sources.items():
        if name not in without:
            (folder / name).symlink_to(program)
    return str(folder)


@dataclass
class Host:
    """Folders that stand for a host. ``run`` runs a script on it under ``shell`` and returns the object it printed."""

    folder: Path
    shell: list[str]
    path: str
    user: str = field(default_factory=lambda: pwd.getpwuid(os.geteuid()).pw_name)
    uid: int = field(default_factory=os.geteuid)
    gid: int = field(default_factory=os.getegid)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self.home = self.folder / "home folder"
        self.state = self.folder / "state"
        self.bin = self.folder / "bin"
        self.workspace = self.home / "work space"
        self.registration = self.home / ".vso" / "registration"
        for folder in (self.root / "etc", self.registration.parent, self.workspace, self.bin, self.bin / "calls"):
            folder.mkdir(parents=True)
        self.passwd(f"{self.user}:x:{self.uid}:{self.gid}::{self.home}:/bin/sh")
        self.install("codespaces")
        self.mode("stop", "stop-says-yes")
        self.mode("start", "start-waits")

    def passwd(self, *lines: str) -> None:
        (self.root / "etc" / "passwd").write_text("".join(line + "\n" for line in lines))

    def install(self, name: str) -> None:
        text = FAKE.replace("@HERE@", f"'{self.bin}'").replace("@REGISTRATION@", f"'{self.registration}'")
        program = self.bin / name
        program.write_text(text.replace("@OLD@", OLD_ID).replace("@NEW@", NEW_ID))
        program.chmod(0o755)

    def mode(self, command: str, mode: str) -> None:
        (self.bin / f"{command}.mode").write_text(mode)

    def register(self, content: bytes = REGISTRATION, mode: int = 0o640) -> None:
        self.registration.write_bytes(content)
        self.registration.chmod(mode)
        os.chown(self.registration, self.uid, self.gid)

    def belong_to(self, user: str) -> None:
        """Makes it the host of a user who is not root, for root to act on."""
        entry = pwd.getpwnam(user)
        self.user, self.uid, self.gid = user, entry.pw_uid, entry.pw_gid
        self.passwd("root:x:0:0::/nonexistent:/bin/sh", f"{user}:x:{self.uid}:{self.gid}::{self.home}:/bin/false")
        self.give()

    def give(self) -> None:
        """Everything the user owns on a real host becomes the user's here."""
        for path in (self.home, *self.home.rglob("*"), self.bin, *self.bin.rglob("*")):
            os.chown(path, self.uid, self.gid)

    def variables(self) -> dict[str, str]:
        return {
            "PATH": self.path,
            "HOME": str(self.home),
            "DRKIT_ROOT": str(self.root),
            "DRKIT_STATE": str(self.state),
            "DRKIT_PATH": str(self.bin),
            "DRKIT_IMDS": "http://127.0.0.1:9",  # nothing listens on the discard port
            **self.environment,
        }

    def start(
        self,
        script: str,
        values: Mapping[str, str],
        *,
        form: str = "place",
        become: Callable[[], None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a script with its parameters in one of the forms they may arrive in."""
        loaded = products.scripts().load(script)
        file = self.folder / f"{script}.sh"
        if not file.exists():
            file.write_text(loaded.text)
        pairs = loaded.encode(values)
        variables = self.variables()
        arguments: list[str] = []
        if form == "name":
            arguments = [f"{name}={value}" for name, value in pairs]
        elif form == "variable":
            variables.update(pairs)
        elif form == "both":  # the variables tell, whatever stands in the places
            variables.update(pairs)
            arguments = [value for _, value in reversed(pairs)]
        else:
            arguments = [value for _, value in pairs]
        words = [*self.shell, "-s", "--", *arguments] if form == "stdin" else [*self.shell, str(file), *arguments]
        with Path(os.devnull if form != "stdin" else file).open("rb") as stdin:
            return subprocess.Popen(
                words,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=variables,
                cwd=self.folder,
                preexec_fn=become,  # nothing but setuid happens there
            )

    def run(
        self,
        script: str,
        values: Mapping[str, str],
        *,
        form: str = "place",
        become: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        return outcome(self.start(script, values, form=form, become=become))

    def release(self, environment: str = OLD_ID, seconds: int = 20, force: int = 0) -> dict[str, Any]:
        return self.run("codespaces_release", self.release_values(environment, seconds, force))

    def release_values(self, environment: str = OLD_ID, seconds: int = 20, force: int = 0) -> dict[str, str]:
        return {
            "drkit_nonce": NONCE,
            "drkit_user": self.user,
            "drkit_registration": "~/.vso/registration",
            "drkit_environment": environment,
            "drkit_timeout": str(seconds),
            "drkit_force": str(force),
        }

    def register_values(self, **changed: str) -> dict[str, str]:
        return {
            "drkit_nonce": NONCE,
            "drkit_user": self.user,
            "drkit_plan": PLAN,
            "drkit_name": "workstation",
            "drkit_workspace": str(self.workspace),
            "drkit_service": "0",
        } | changed

    def watch(self, nonce: str = NONCE) -> dict[str, Any]:
        return self.run(
            "codespaces_watch",
            {"drkit_nonce": nonce, "drkit_user": self.user, "drkit_registration": "~/.vso/registration"},
        )

    def watch_until(self, key: str, value: object) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while (seen := self.watch())[key] != value:
            assert time.monotonic() < end, seen
            time.sleep(0.02)
        return seen

    def restore(self, register_nonce: str = OTHER_NONCE) -> dict[str, Any]:
        return self.run(
            "codespaces_restore",
            {
                "drkit_nonce": NONCE,
                "drkit_user": self.user,
                "drkit_registration": "~/.vso/registration",
                "drkit_register_nonce": register_nonce,
            },
        )

    def calls(self, command: str) -> list[list[bytes]]:
        """The arguments of each time the command line was run with that command."""
        return [
            file.read_bytes().split(b"\0")[:-1]
            for file in sorted((self.bin / "calls").glob(f"{command}.*"))
            if not file.name.endswith(".as")
        ]

    def called_as(self) -> list[list[str]]:
        """uid, working folder, HOME, USER and the nonce in the environment, of each run of the command line."""
        return [file.read_text().splitlines() for file in (self.bin / "calls").glob("*.as")]

    def await_call(self, command: str) -> list[bytes]:
        await_that(lambda: bool(self.calls(command)))
        (call,) = self.calls(command)
        return call

    def processes(self) -> dict[int, str]:
        """What still runs on this host: process id -> command line, of all that have its home in their environment."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has ended, or is another user's
                continue
            if b"HOME=" + bytes(self.home) in variables and running(int(folder.name)):
                found[int(folder.name)] = command
        return found

    def end_everything(self) -> None:
        """Ends what a test left behind."""
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)


def outcome(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The object on the last line, after looking at what holds for every script."""
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, b"")  # a run command's few bytes are stderr's too
    line = out.splitlines()[-1]
    assert out.endswith(b"\n")
    assert len(line) <= MOST
    assert line.isascii()
    value = json.loads(line)
    assert isinstance(value, dict)
    assert next(iter(value)) == "drkit"
    return value


def refusal(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit status and what stderr says, of a script that printed no object."""
    out, err = process.communicate(timeout=PATIENCE)
    assert out == b""
    return process.returncode, err.decode().strip()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_that(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def pool(*records: tuple[bytes, bytes]) -> bytes:
    """Hyper-V's key-value pool: records of a 512-byte key and a 2048-byte value."""
    return b"".join(key.ljust(512, b"\0") + value.ljust(2048, b"\0") for key, value in records)


def key_blob(kind: bytes = b"ssh-ed25519", body: bytes = b"k" * 32) -> str:
    """A public key as it stands in a .pub file."""
    blob = b"".join(len(part).to_bytes(4) + part for part in (kind, body))
    return base64.b64encode(blob).decode()


@contextmanager
def metadata_service(answer: bytes, status: int = 200, delay: float = 0) -> Iterator[tuple[str, list[str]]]:
    """A metadata service; yields its URL and the paths it was asked for with ``Metadata: true``."""
    asked: list[str] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Metadata") == "true":
                asked.append(self.path)
            over.wait(delay)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # the asker has given up

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
