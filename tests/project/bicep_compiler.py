"""The real Bicep compiler, and a copy of bicep/ with what it reads, for whoever wants to spoil or measure it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
"""The subscription that predictions are made for."""


def found() -> str | None:
    """The compiler: ``$DRKIT_BICEP``, else on the PATH, else the one beside the project; None where there is none."""
    beside = ROOT.parent / "shared" / "tools" / "bicep"
    return os.environ.get("DRKIT_BICEP") or shutil.which("bicep") or (str(beside) if beside.exists() else None)


def run(compiler: str, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One run of it, to its end. Without the variable it asks for a library of languages that a small machine lacks."""
    return subprocess.run(
        [compiler, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
    )  # fmt: skip


def snapshot(compiler: str, path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What a deployment with these parameters would do, written beside them."""
    return run(compiler, "snapshot", path, "--subscription-id", SUBSCRIPTION, "--location", "northeurope", *more)


def copied(folder: Path) -> Path:
    """bicep/, its parameter sets and the roles, in a folder."""
    shutil.copytree(ROOT / "bicep", folder / "bicep")
    shutil.copytree(ROOT / "tests/bicep", folder / "tests/bicep")
    (folder / "drkit/model").mkdir(parents=True)
    shutil.copy(ROOT / "drkit/model/roles.json", folder / "drkit/model/roles.json")
    return folder


def parameters(folder: Path, name: str) -> Path:
    """The parameter set of that name: ``main``, which people begin with, or ``full``."""
    return folder / ("bicep/main.bicepparam" if name == "main" else f"tests/bicep/{name}.bicepparam")
