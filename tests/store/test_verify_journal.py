"""``drkit verify``: whatever was changed in a journal is found and named, and nothing is repaired."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drkit.api import control
from drkit.api.context import Context
from drkit.errors import IntegrityError, UsageError
from drkit.model.run import GENESIS, Record
from drkit.model.settings import Settings
from drkit.store.journal import seal
from drkit.store.store import Store
from drkit.store.verify_journal import verify
from tests.store.test_journal import RUN, made
from tests.support.command_line import drkit


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return made(tmp_path_factory.mktemp("journal") / f"{RUN}.jsonl")


def test_a_journal_as_it_was_written_holds(lines: list[bytes]) -> None:
    found = verify(b"".join(lines), RUN)
    assert (found.holds, found.line, found.count, found.torn) == (True, 0, len(lines), 0)
    assert found.head.encode() in lines[-1]


def test_every_flipped_byte_is_found_at_its_line(lines: list[bytes]) -> None:
    content = b"".join(lines)
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        found = verify(changed, RUN)
        assert not found.holds, place
        assert found.line == content[:place].count(b"\n") + 1, place
        assert found.count == found.line - 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_other_byte_anywhere_is_found(lines: list[bytes], data: st.DataObject) -> None:
    content = b"".join(lines)
    place = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    assert not verify(content[:place] + bytes([other]) + content[place + 1 :], RUN).holds


def test_lines_lost_moved_or_said_twice_are_found_where_they_are(lines: list[bytes]) -> None:
    for changed, line in (
        (lines[1:], 1),
        (lines[:3] + lines[4:], 4),
        ([lines[0], lines[2], lines[1], *lines[3:]], 2),
        ([*lines[:2], lines[1], *lines[2:]], 3),
    ):
        found = verify(b"".join(changed), RUN)
        assert (found.line, found.count) == (line, line - 1)


def test_a_line_being_written_is_no_break(lines: list[bytes]) -> None:
    content = b"".join(lines)
    for cut in range(1, len(lines[-1])):
        found = verify(content[:-cut], RUN)
        assert (found.holds, found.count, found.torn) == (True, len(lines) - 1, len(lines[-1]) - cut)


def test_records_cut_off_the_end_show_only_against_a_head_kept_elsewhere(lines: list[bytes]) -> None:
    content, shorter = b"".join(lines), b"".join(lines[:-2])
    head = verify(content, RUN).head
    assert verify(shorter, RUN).holds
    assert "cut off" in verify(shorter, RUN, head).fault
    assert verify(content, RUN, verify(shorter, RUN).head).since == 2
    assert verify(content, RUN, head).since == 0


def chained(*records: Record) -> bytes:
    content, prev = b"", GENESIS
    for number, one in enumerate(records):
        sealed, line = seal(
            Record(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "seq": number, "prev": prev})
        )
        prev, content = sealed.hash, content + line
    return content


def a_record(**fields: object) -> Record:
    return Record(**{"seq": 0, "prev": "", "time": "", "run": RUN, "token": 1, "kind": "control", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"run": "run-0002"}, "of run-0002"),
        ({"token": 0}, "fencing token"),
        ({"kind": "ended", "data": {"outcome": "succeeded", "count": 7, "head": "x"}}, "count and head"),
        ({"drkit": "journal/2"}, "journal/2"),
    ],
)
def test_a_valid_chain_with_impossible_records_is_found(second: dict[str, object], why: str) -> None:
    found = verify(chained(a_record(), a_record(**second)), RUN)
    assert found.line == 2
    assert why in found.fault


@pytest.mark.parametrize("head", ["", " ", "\n"])
def test_an_empty_head_is_not_taken_for_none(lines: list[bytes], tmp_path: Path, head: str) -> None:
    """A variable of a pipeline that was not set must not make a chain pass that was cut."""
    with pytest.raises(UsageError, match="the head is empty"):
        verify(b"".join(lines), RUN, head)
    store = Store(tmp_path)
    made(store.folder / "journal" / f"{RUN}.jsonl")
    context = Context(Settings(), store, lambda: pytest.fail("verifying needs no cloud"))
    with pytest.raises(UsageError, match="the head is empty"):
        control.verify(context, RUN, head)
    done = drkit("verify", RUN, "--head", head, "--store", str(tmp_path), cwd=tmp_path)
    assert (done.code, "the head is empty" in done.err) == (64, True)


def test_the_command_repairs_nothing_and_names_the_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.folder / "journal" / f"{RUN}.jsonl"
    lines = made(path)
    context = Context(Settings(), store, lambda: pytest.fail("verifying needs no cloud"))
    assert control.verify(context, "latest").count == len(lines)
    broken = b"".join(lines).replace(b"is there", b"is gone!", 1)
    path.write_bytes(broken)
    with pytest.raises(IntegrityError, match="line 3") as caught:
        control.verify(context, RUN)
    assert caught.value.exit_code == 1
    assert path.read_bytes() == broken
