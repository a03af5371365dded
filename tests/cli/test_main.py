"""``python -m drkit`` and what drkit starts itself: nothing of the folder they are typed in is loaded; and nothing is dumped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import environment
from tests.support.patience import PATIENCE

MODULES = (
    "__future__",
    "typing",
    "json",
    "click",
    "msgspec",
    "asyncio",
    "aiohttp",
    "azure",
    "evil",
    "sitecustomize",
)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with modules of well-known names and a distribution that offers a product."""
    mark = f"open({str(tmp_path / 'pwned')!r}, 'a').write(__name__ + '\\n')\n"
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(mark)
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[drkit.products]\nevil = evil:Product\n")
    return tmp_path


@pytest.mark.parametrize("words", [("-m", "drkit"), ("-mdrkit",), ("-W", "error", "-m", "drkit")])
def test_nothing_of_the_current_folder_is_loaded(hostile: Path, words: tuple[str, ...]) -> None:
    for command in (("--help",), ("schema", "runbook"), ("init", "--out", "made.toml")):
        done = subprocess.run(
            [sys.executable, *words, *command],
            cwd=hostile,
            env=environment(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        assert not (hostile / "pwned").exists(), (hostile / "pwned").read_text()


def test_a_library_keeps_the_path_of_who_imports_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import drkit\nimport other\nprint(other.WORD)\n")
    (tmp_path / "other.py").write_text("WORD = 'found'\n")
    done = subprocess.run(
        [sys.executable, "-m", "mine"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == "found\n"


def test_no_core_is_dumped_of_a_command() -> None:
    code = """
import ctypes, resource, sys
from drkit.cli import main as cli
sys.argv = ["drkit", "--version"]
try:
    cli.main()
except SystemExit:
    pass
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 0"


def test_what_drkit_starts_of_itself_does_not_look_into_the_current_folder() -> None:
    for path in (Path(__file__).parents[2] / "drkit").rglob("*.py"):
        text = path.read_text("utf-8")
        assert text.count("sys.executable") == text.count('sys.executable, "-P", "-m", "drkit"'), path
