"""The ready file of a simulated Azure holds secrets and the address of its control interface: for its user alone."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from drkit.drills import simulate
from tests.support.command_line import Cloud


def test_a_link_in_a_shared_folder_does_not_get_what_is_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    path = tmp_path / "cloud.json"
    for name in (path.name, f"{path.name}.{os.getpid()}"):
        (tmp_path / name).symlink_to(treasure)
    simulate._write_ready(path, {"control": "x"})
    assert treasure.read_text() == "mine"
    assert json.loads(path.read_bytes()) == {"control": "x"}
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert not path.is_symlink()


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cloud = Cloud(tmp_path)
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(cloud.ready.stat().st_mode) == 0o600
        assert cloud.view("clock")["speed"] == 60.0
    finally:
        cloud.process.kill()
        cloud.process.communicate()
