"""The list of all commands is whole, and each finds in the prepared folder what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Here
from tests.support.every_command import WORDS, every_command, names, prepare

pytestmark = pytest.mark.slow


def test_every_command_has_words_it_can_be_called_with() -> None:
    assert sorted(WORDS) == sorted(names()), "tests/support/every_command.py: WORDS has an entry for each command"
    assert all(words[: len(name.split())] == tuple(name.split()) for name, lines in WORDS.items() for words in lines)
    assert all(WORDS.values())


def test_every_command_can_be_called_in_the_prepared_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cloud is gone, so most end early; but none for want of a file, a run or a step."""
    folder = prepare(tmp_path)
    here = Here(folder, monkeypatch, capsys, folder / "ready.json")
    here.put("drkit.toml", here.path("drkit.toml").read_text() + "\n[run]\nrequest_budget_seconds = 0.1\n")
    wrong = []
    for words in every_command(folder):
        done = here(*words)
        if done.code == 64:
            wrong.append((words, done.err))
    assert wrong == []
