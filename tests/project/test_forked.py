"""The processes that tests fork have nothing left to import: each import would be repeated in every one of them."""

from __future__ import annotations

import json
import pkgutil
import signal
import subprocess
from pathlib import Path

import pytest

import drkit
from tests.support import forked
from tests.support.command_line import environment
from tests.support.estates import wait_for
from tests.support.patience import PATIENCE


def test_a_forked_command_begins_with_all_of_drkit_imported() -> None:
    modules = {module.name for module in pkgutil.walk_packages(drkit.__path__, "drkit.")} - {"drkit.__main__"}
    assert "drkit.products.codespaces.act" in modules
    # A function of this module would import it, and what it imports.
    count_missing = f"import sys; sys.exit(len({modules!r} - sys.modules.keys()))"
    process = forked.server().Process(target=exec, args=(count_missing,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_the_program_drkit_ends_as_the_command_does(drkit_folder: Path, tmp_path: Path) -> None:
    program, env = drkit_folder / "drkit", environment()
    done = subprocess.run(
        [program, "status", "run-0009"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    again = forked.run(["status", "run-0009"], cwd=tmp_path, env=env)
    assert done.returncode == again.returncode != 0
    assert (done.stdout, done.stderr) == (again.stdout, again.stderr)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_the_command_ends_with_the_program_drkit(drkit_folder: Path, tmp_path: Path, signal_number: int) -> None:
    ready = tmp_path / "ready.json"
    words = [str(drkit_folder / "drkit"), "simulate", "--ready", str(ready)]
    with subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as program:
        wait_for(ready.exists)
        process = json.loads(ready.read_text("utf-8"))["pid"]
        assert process != program.pid
        program.send_signal(signal_number)
    assert program.returncode == (-signal.SIGKILL if signal_number == signal.SIGKILL else 0)
    wait_for(lambda: not Path(f"/proc/{process}").exists())
