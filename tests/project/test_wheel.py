"""A wheel, in an environment that has nothing else of drkit: it holds what it must and no more, and runs the drill."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from drkit.version import __version__
from tests.project.test_ground import tracked
from tests.support.command_line import environment
from tests.support.estates import BY_HAND, REGION, guid, seed
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(one) for one in command], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [*PIP, "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    run(*build, cwd=folder, PYTHONWARNINGS="default")
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def bin_(wheel: Path) -> Path:
    """An empty environment with the wheel. What drkit depends on is lent by this one's folder, whose ``.pth`` files (and so the
    checkout) are not followed from there."""
    home = wheel.parent / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=wheel.parent)
    python = home / "bin/python"
    run(
        *PIP, "--python", str(python), "install", "-q", "--no-index", "--no-deps", str(wheel), cwd=wheel.parent,
        PYTHONWARNINGS="default",
    )  # fmt: skip
    (site,) = (home / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_it_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"drkit-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
        info = f"drkit-{__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        entries = archive.read(f"{info}/entry_points.txt").decode()
    package = {str(path.relative_to(ROOT)) for path in tracked() if path.is_relative_to(ROOT / "drkit")}
    assert {name for name in held if not name.startswith(f"{info}/")} == package
    for needed in (
        "drkit/py.typed",
        "drkit/model/host_scripts/probe.sh",
        "drkit/model/host_scripts/probe.ps1",
        "drkit/model/roles.json",
    ):
        assert needed in package
    assert re.search(r"^drkit = drkit\.cli\.main:main$", entries, re.MULTILINE)
    assert "Provides-Extra: blob" in metadata
    assert f"{info}/licenses/LICENSE" in held


def test_it_runs_the_drill_with_no_checkout_beside_it(bin_: Path, tmp_path: Path) -> None:
    """Of the small estate, whose people and machines all play their part: a region is lost, and everybody comes back."""
    where = run(bin_ / "python", "-c", "import drkit, sys; print(drkit.__file__, sys.path)", cwd=tmp_path).stdout
    assert where.startswith(str(bin_.parent))
    assert str(ROOT) not in where.replace(sysconfig.get_path("purelib"), "")
    for words in (["--version"], ["--help"], ["schema", "runbook"], ["probe-script", "windows"]):
        assert run(bin_ / "drkit", *words, cwd=tmp_path).stdout.strip()
    rack = {
        "environment": guid(BY_HAND),
        "host": BY_HAND,
        "channel": "manual",
        "user": "dev",
        "workspace": f"/home/dev/{BY_HAND}",
    }
    (tmp_path / "estate.json").write_text(json.dumps(seed(settings={"host": [rack]})))
    done = run(
        bin_ / "drkit", "drill", "--estate", "estate.json", "--lose", REGION, "--json", "--store", "here", cwd=tmp_path
    )
    told = json.loads(done.stdout)
    assert told["outcome"].startswith("succeeded"), told
    assert (tmp_path / "here").is_dir()
