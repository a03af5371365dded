"""Real azurite, from npm, started by the tests that need a storage account; skipped visibly without npm, a failure when CI=true."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from azure.storage.blob import BlobLeaseClient

from drkit.providers.blob_store import BlobStore
from drkit.store.store import Store
from tests.support.patience import PATIENCE

LOCK = Path(__file__).parents[1] / "emulator"
PROGRAM = Path("node_modules/.bin/azurite-blob")
ACCOUNT = "drkit"
KEY = "AZURE_STORAGE_KEY"
SECRET = base64.b64encode(b"a key that only this test knows, and azurite").decode()


CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
"""As it was when this began: a test may give drkit another folder, and azurite is not installed once more for it."""


def cache() -> Path:
    """Where azurite is installed once, outside the repository. Another lock has another folder: an old install is not used."""
    return CACHES / f"drkit-azurite-{hashlib.sha256((LOCK / 'package-lock.json').read_bytes()).hexdigest()[:16]}"


def install() -> str:
    """Install what the lock names and nothing else, without running any package's scripts; why not, else empty."""
    if (cache() / PROGRAM).exists():
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    cache().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache().parent, prefix="drkit-azurite.") as name:
        made = Path(name) / "made"
        made.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(LOCK / file, made / file)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=made, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        if done.returncode != 0 or not (made / PROGRAM).exists():
            return f"npm cannot install azurite: {done.stderr[-300:]}"
        with suppress(OSError):  # another process was first
            made.rename(cache())
    return "" if (cache() / PROGRAM).exists() else f"azurite cannot be kept in {cache()}"


def installed() -> Path:
    """The program, installed when it is not there. Skips (fails in CI) where that cannot be."""
    fault = install()
    if not fault:
        return cache() / PROGRAM
    if os.environ.get("CI") == "true":
        pytest.fail(fault)
    pytest.skip(fault)


@contextmanager
def account(folder: Path) -> Iterator[str]:
    """A storage account of azurite's own process; its blob address."""
    program = installed()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            str(program),
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--location",
            str(folder),
            "--blobPort",
            str(port),
        ],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{SECRET}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "azurite does not serve"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def let_leases_run_out(store: Store) -> None:
    """What the service does by itself a while after a holder died."""
    assert isinstance(store, BlobStore)
    for name in ("state", "journal"):
        client = store.service.get_container_client(name)
        for item in list(client.list_blobs()):
            if item.lease.state == "leased":
                BlobLeaseClient(client.get_blob_client(item.name)).break_lease(lease_break_period=0)


if __name__ == "__main__":
    sys.exit(install())
