"""A running simulator is told to lose a region and to bring it back, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Here
from tests.support.estates import World, seed


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(tmp_path, monkeypatch, capsys)


def test_a_region_is_lost_and_comes_back(bare: Here, tmp_path: Path) -> None:
    world = World(tmp_path, seed())
    try:
        bare.ready = world.ready
        assert bare("simulate", "--lose", "West Europe", "--minutes-ago", "25", "--json").json["region"] == "westeurope"
        assert list(world.view("state")["lost"]) == ["westeurope"]
        done = bare("simulate", "--restore", "westeurope")
        assert done.code == 0
        assert "is back" in done.out
        assert not world.view("state")["lost"]
        nowhere = bare("simulate", "--lose", "atlantis")
        assert nowhere.code == 4
        assert "atlantis" in nowhere.err
    finally:
        world.stop()


def test_only_an_embedded_azure_loses_regions_on_command(bare: Here) -> None:
    done = bare("simulate", "--lose", "westeurope")
    assert done.code == 4
    assert "is not a simulator" in done.err


def test_one_thing_happens_at_a_time(bare: Here) -> None:
    assert bare("simulate", "--lose", "westeurope", "--restore", "westeurope").code == 64
