"""Times as people read them: in UTC, and beside it what the clock on their wall said then."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.model.text import clock
from tests.support.command_line import Here, copy_of_recorded

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def be(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield be
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("place", "moment", "shown"),
    [
        ("UTC0", "2026-03-01T08:30:20Z", "2026-03-01T08:30:20Z"),
        (BERLIN, "2026-03-01T08:30:20Z", "2026-03-01T08:30:20Z (09:30 CET)"),
        # The hour that comes twice: the zone's name tells one from the other.
        (BERLIN, "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z (02:30 CEST)"),
        (BERLIN, "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z (02:30 CET)"),
        # The hour that never comes is passed over.
        (BERLIN, "2026-03-29T00:59:59Z", "2026-03-29T00:59:59Z (01:59 CET)"),
        (BERLIN, "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z (03:00 CEST)"),
        ("<+0545>-5:45", "2026-03-01T20:00:00Z", "2026-03-01T20:00:00Z (03-02 01:45 +0545)"),
        ("PST8", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00Z (02-28 18:00 PST)"),
        (BERLIN, "2026-03-01T08:30:20", "2026-03-01T08:30:20"),
        (BERLIN, "soon\x1b[2J", "soon [2J"),
        (BERLIN, "", ""),
        (BERLIN, "0001-01-01T00:00:00Z", None),
        (BERLIN, "9999-12-31T23:59:59Z", None),
    ],
)
def test_local_time_is_printed_beside_utc(
    zone: Callable[[str], None], place: str, moment: str, shown: str | None
) -> None:
    zone(place)
    assert clock(moment) == shown if shown is not None else clock(moment).startswith(moment)


@given(st.text(max_size=60))
def test_what_is_no_time_is_shown_harmless(text: str) -> None:
    assert "\n" not in clock(text)
    assert "\x1b" not in clock(text)


def test_commands_say_both_and_json_says_utc(
    zone: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))
    zone("XYZ-5:30")
    path = next((tmp_path / ".drkit/state/runbooks").glob("*.json"))
    subject = next(iter(json.loads(path.read_text())["source_plans"]))
    shown = here("explain", subject)
    assert shown.code == 0, shown.err
    assert " XYZ)" in shown.out
    assert "XYZ" not in here("explain", subject, "--json").out
