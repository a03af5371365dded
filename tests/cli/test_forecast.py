"""The forecast that is printed beside a runbook is one for the settings in force."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command_line import Here
from tests.support.every_command import prepare

pytestmark = pytest.mark.slow


def test_the_forecast_counts_as_many_steps_at_once_as_the_settings_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepare(tmp_path)
    here = Here(folder, monkeypatch, capsys, folder / "ready.json")
    settings = here.path("drkit.toml").read_text()
    printed = []
    for concurrency in (1, 8):
        here.put("drkit.toml", f"{settings}\n[run]\nconcurrency = {concurrency}\n")
        forecast = re.search(r"about (.+) and \d+\s+calls", here("show").out)
        assert forecast
        printed.append(forecast[1])
    assert printed[0] != printed[1]
