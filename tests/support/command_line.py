"""The real command line, in a separate process or in this one, and an estate to try it on."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from drkit.cli import main
from tests.support import forked
from tests.support.patience import PATIENCE

LOST = "westeurope"
TARGETS = ("westus2", "eastus")


@dataclass(frozen=True)
class Done:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> dict[str, Any]:
        """The error in it."""
        found = self.json["error"]
        assert isinstance(found, dict)
        assert found["exit_code"] == self.code
        return found


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anybody's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DRKIT_", "TF_BUILD", "AZURE_", "COLUMNS"))
    }
    return {**kept, "PYTHONWARNINGS": "error", **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "drkit", *words]


def drkit(*words: str, cwd: Path, **more: str) -> Done:
    """Run a command in a separate process."""
    done = forked.run(words, cwd=cwd, env=environment(**more))
    return checked(Done(done.returncode, done.stdout, done.stderr))


def checked(done: Done) -> Done:
    assert "Traceback" not in done.err + done.out, done.err
    assert "drkit itself failed" not in done.err + done.out, done.err
    return done


class Here:
    """A folder, and commands carried out in it by this process through the same ``main``."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], ready: Path | None = None
    ) -> None:
        self.folder, self._patch, self._capture, self.ready = folder, patch, capture, ready

    def __call__(self, *words: str) -> Done:
        """The word DIGEST is replaced by the digest of the newest runbook."""
        self._patch.chdir(self.folder)
        put = {"DIGEST": newest(self.folder)}
        self._patch.setattr(sys, "argv", ["drkit", *(put.get(word, word) for word in words)])
        if self.ready:
            self._patch.setenv("DRKIT_CLOUD", str(self.ready))
        self._patch.setenv("COLUMNS", "80")
        self._capture.readouterr()
        with pytest.raises(SystemExit) as left:
            main.main()
        told = self._capture.readouterr()
        assert isinstance(left.value.code, int)
        return checked(Done(left.value.code, told.out, told.err))

    def path(self, name: str) -> Path:
        return self.folder / name

    def put(self, name: str, content: bytes | str | Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Mapping):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def files(self) -> dict[str, bytes]:
        """What is kept: every file of the store and its content (locks aside, which hold nothing)."""
        return kept(self.folder)


def kept(folder: Path) -> dict[str, bytes]:
    store = folder / ".drkit"
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


class Cloud:
    """``drkit simulate`` in a separate process."""

    def __init__(self, folder: Path, *words: str, speed: float = 60.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ready = folder / "ready.json"
        self.process = forked.Command(
            ["simulate", "--speed", str(speed), "--ready", str(self.ready), *words], cwd=folder, env=environment()
        )
        try:
            until = time.monotonic() + PATIENCE
            while not self.ready.exists():
                assert self.process.poll() is None, "the simulator has ended"
                assert time.monotonic() < until, "the simulator does not come up"
                time.sleep(0.02)
        except BaseException as error:
            self.process.kill()
            error.add_note(repr(self.process.communicate()))
            raise
        self.facts: dict[str, Any] = json.loads(self.ready.read_text())
        self._tls = ssl.create_default_context(cafile=self.facts["ca_bundle"])

    def control(self, name: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        content = json.dumps(body).encode()
        return self._ask(urllib.request.Request(f"{self.facts['control']}/{name}", content, headers, method="POST"))

    def view(self, name: str) -> Any:
        return self._ask(urllib.request.Request(f"{self.facts['control']}/{name}"))

    def _ask(self, request: urllib.request.Request) -> Any:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._tls)
        )
        with opener.open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()
        return self.process.wait()


def settings(*, channels: bool = True, more: str = "") -> str:
    """A drkit.toml for the sample estate: target regions, the hosts nobody can probe, the channel for the others."""
    from drkit.simulator import sample_seed

    hints = sample_seed(1)["settings"]
    lines = [f"targets = {json.dumps(TARGETS)}", "[products.hybrid-worker.replicas]"]
    lines += [f"{json.dumps(one)} = {json.dumps(other)}" for one, other in hints["replicas"].items()]
    for host in hints["host"]:
        lines += ["[[host]]", f'environment = "{host["environment"]}"', f'id = "{host["host"]}"']
        lines += [f'channel = "{host["channel"]}"', f'user = "{host["user"]}"', f"workspace = '{host['workspace']}'"]
    return "\n".join([*lines, *(["[channels]", 'azure_vm = "run-command"'] if channels else []), more, ""])


@cache
def recorded() -> Path:
    """Made once a process: a folder with drkit.toml, a store up to a runbook, and a ready file of a cloud now gone."""
    folder = Path(tempfile.mkdtemp(prefix="drkit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "drkit.toml").write_text(settings())
    cloud = Cloud(folder / "cloud")
    try:
        more = {"DRKIT_CLOUD": str(cloud.ready)}
        assert drkit("snapshot", cwd=folder, **more).code == 0
        cloud.control("lose", region=LOST)
        declared = drkit("assess", "--declare-lost", LOST, "--reason", "it is dark", cwd=folder, **more)
        assert declared.code == 0, declared.err
        assert drkit("plan", cwd=folder, **more).code == 0
        shutil.copy(cloud.facts["ca_bundle"], folder / "ca.pem")
        facts = {**cloud.facts, "ca_bundle": str(folder / "ca.pem")}
    finally:
        cloud.stop()
    (folder / "ready.json").write_text(json.dumps(facts))
    return folder


def copy_of_recorded(folder: Path, **facts: Any) -> Path:
    """The recorded folder's settings and store copied; a ready file that lives as long as this process. Its path."""
    made = recorded()
    shutil.copytree(made / ".drkit", folder / ".drkit")
    shutil.copy(made / "drkit.toml", folder)
    ready = {**json.loads((made / "ready.json").read_text()), "pid": os.getpid(), **facts}
    (folder / "ready.json").write_text(json.dumps(ready))
    return folder / "ready.json"


def only(paths: Sequence[Path]) -> Path:
    assert len(paths) == 1
    return paths[0]


def newest(folder: Path) -> str:
    """The digest of the newest runbook; zeros where there is none."""
    paths = (folder / ".drkit/state/runbooks").glob("*.json")
    return max(paths, key=lambda path: path.stat().st_mtime_ns, default=Path("0" * 64)).stem


def runbook_of(folder: Path) -> Path:
    return only(list((folder / ".drkit/state/runbooks").glob("*.json")))
