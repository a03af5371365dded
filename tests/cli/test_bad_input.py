"""What a person, a file or the way drkit is called can bring about is answered in drkit's words, each a case of its kind."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from drkit.errors import (
    CredentialError,
    FileError,
    ForbiddenError,
    GuardError,
    UnknownFateError,
    UnreachableError,
    UnreadableError,
)
from drkit.model.answers import cleaned, reading_azure, segment, text_of, writing_azure_in_step
from drkit.model.clock import StoppedError, parse_time
from drkit.model.files import check_out
from drkit.model.run import GENESIS, Record, fold
from drkit.model.text import shown
from drkit.model.toml_faults import parse
from drkit.providers.transport import tls_context
from drkit.simulator.core.seed import build
from drkit.store import journal
from tests.support.command_line import Here, command, copy_of_recorded, environment, kept
from tests.support.estates import seed
from tests.support.patience import PATIENCE

# answers


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b'{"a": "\\ud800x\\udc00"}', {"a": "\ufffdx\ufffd"}),
        (b'{"\\udfff": 1}', {"\ufffd": 1}),
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b"[NaN, Infinity, 1e999]", [None, None, None]),
        (b'["\xff"]', ["\ufffd"]),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_an_answer_becomes_what_a_file_can_hold(content: bytes, wanted: Any) -> None:
    assert json.loads(cleaned(content)) == wanted
    cleaned(content).decode()


def test_a_good_answer_stays_as_it_is() -> None:
    content = b'{"a": [1, "x", {"b": null}]}'
    assert cleaned(content) is content


@pytest.mark.parametrize(
    "content", [b"[" * 200 + b"]" * 200, b"[" * 100_000, b'{"a":' * 150 + b"1" + b"}" * 150, b"x", b""]
)
def test_an_invalid_answer_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        cleaned(content)


def test_a_text_keeps_what_it_can() -> None:
    assert text_of("é\ud800\U0001f600") == "é\ufffd\U0001f600"


@pytest.mark.parametrize(
    "error", [KeyError("a"), TypeError("b"), AttributeError("c"), ValueError("d"), RecursionError(), AssertionError()]
)
def test_whatever_reading_raises_is_one_failed_reading(error: Exception) -> None:
    with pytest.raises(UnreadableError) as found, reading_azure("/plan"):
        raise error
    assert found.value.where == "/plan"
    with pytest.raises(UnknownFateError), writing_azure_in_step("/plan"):
        raise error


def test_what_reading_may_raise_stays_what_it_is() -> None:
    for error in (ForbiddenError("no"), UnreachableError("no"), StoppedError()):
        with pytest.raises(type(error)), reading_azure():
            raise error
    with pytest.raises(UnreadableError, match="was not read"), reading_azure():
        raise GuardError("it leads elsewhere")
    with pytest.raises(GuardError), writing_azure_in_step("x"):
        raise GuardError("it leads elsewhere")


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", None, 7, "../x"])
def test_what_is_no_name_is_no_part_of_a_path(name: Any) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        segment(name)


def test_a_name_is_one_part_of_a_path() -> None:
    assert segment("a?b#c%d é") == "a%3Fb%23c%25d%20%C3%A9"


# files


def test_a_key_of_many_parts_is_reported_at_once() -> None:
    text = ".".join(["a"] * 20_000) + " = 1"
    began = time.process_time()
    with pytest.raises(FileError, match="nested"):
        parse(text, "drkit.toml")
    assert time.process_time() - began < 20


@pytest.mark.parametrize("text", ["a = " + "[" * 60 + "]" * 60, "[" + ".".join("abcdefgh" * 6) + "]\nx = 1"])
def test_settings_nested_deeply_are_refused(text: str) -> None:
    with pytest.raises(FileError, match="nested"):
        parse(text, "drkit.toml")


def test_a_ca_file_with_a_nul_in_its_name_is_named() -> None:
    with pytest.raises(CredentialError, match="CA file"):
        tls_context("a\x00b")


@pytest.mark.parametrize("time", ["2026-13-45T00:00:00Z", "x", "", "0001-01-01T00:00:00+14:00", "2026-11-23"])
def test_a_record_with_an_invalid_time_is_named(time: str) -> None:
    record, line = journal.seal(
        Record(seq=0, time=time, run="run-0001", token=1, kind="started", data={"runbook": "x"}, prev=GENESIS)
    )
    with pytest.raises(FileError, match="line 1: its time cannot be read"):
        journal.parse(line, "run-0001.jsonl")
    assert record.time == time


@pytest.mark.parametrize(
    ("kind", "data"),
    [("started", {}), ("started", {"runbook": 1, "minimum_share": "x"}), ("operation", {"operation": 7}), ("operation", {}),
     ("deferred", {"behind": []}), ("ended", {}), ("approved", {}), ("done", {"data": 7})],
)  # fmt: skip
def test_a_record_whose_data_are_not_its_kinds_is_named(kind: Any, data: dict[str, Any]) -> None:
    record = Record(
        seq=0, time="2026-11-23T00:00:00Z", run="run-0001", token=1, kind=kind, step="s", data=data, prev=""
    )
    with pytest.raises(FileError, match="journal of run-0001: line 1"):
        fold([record])


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_calendar_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        parse_time(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [("principals", [{}]), ("principals", [7]), ("principals", [{"role": 1}]), ("principals", 7), ("signals", 7),
     ("signals", {"delays": {"log": 7}}), ("signals", {"gaps": 7}), ("seed", "x"), ("seed", 1e400), ("origin", 7)],
)  # fmt: skip
def test_an_invalid_seed_is_named(key: str, value: Any) -> None:
    with pytest.raises(FileError):
        build({**seed(), key: value}, 1.0, {})


def test_a_host_of_a_seed_with_an_extension_of_no_shape_is_named() -> None:
    content = seed()
    content["hosts"][0]["extensions"] = 1.5
    with pytest.raises(FileError):
        build(content, 1.0, {})


# what is written and printed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))


@pytest.mark.parametrize(
    "words", [("--out", "no/such/folder"), ("--out", "."), ("--summary", "no/such/folder"), ("--out", "w" * 300)]
)
def test_a_runbook_that_cannot_be_written_is_not_kept(here: Here, words: tuple[str, ...]) -> None:
    before = kept(here.folder)
    done = here("plan", *words)
    assert done.code == 64
    assert words[1][:100] in done.err
    assert kept(here.folder) == before


def test_what_can_be_written_passes(tmp_path: Path) -> None:
    check_out(str(tmp_path / "new"), remedy="")
    check_out(os.devnull, remedy="")


@pytest.mark.parametrize("option", ["--store", "--config", "--log-file", "--estate"])
def test_an_impossible_path_is_reported(here: Here, option: str) -> None:
    words = ("drill", option) if option == "--estate" else ("status", option)
    done = here(*words, "[" * 300)
    assert done.code == 64
    assert done.err


def test_a_log_is_added_to_no_other_file(here: Here) -> None:
    before = (here.folder / "drkit.toml").read_bytes()
    done = here("status", "--log-file", "drkit.toml")
    assert (done.code, "is not a log file" in done.err) == (64, True)
    assert (here.folder / "drkit.toml").read_bytes() == before
    for _ in range(2):
        assert here("status", "--log-file", "log.jsonl").code == 0
    assert len((here.folder / "log.jsonl").read_text().splitlines()) >= 4


@pytest.mark.parametrize("closed", ["stdout", "stderr", "stdin", "all"])
def test_a_closed_stream_ends_nothing(tmp_path: Path, closed: str) -> None:
    ready = copy_of_recorded(tmp_path)
    shut = {"stdout": ">&-", "stderr": "2>&-", "stdin": "<&-", "all": ">&- 2>&- <&-"}[closed]
    digest = next((tmp_path / ".drkit/state/runbooks").glob("*.json")).stem
    for words in (("status",), ("approve", digest)):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {shut}', "sh", *command(*words)], cwd=tmp_path, check=False, capture_output=True,
            env=environment(DRKIT_CLOUD=str(ready)), timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
        assert b"Traceback" not in done.stderr
    assert list((tmp_path / ".drkit").glob("**/approvals/*.json"))


@pytest.mark.parametrize(
    ("asked", "code"), [("bash_complete", 64), ("tcsh_complete", 64), ("x", 64), ("bash_", 64), ("bash_source", 0)]
)
def test_a_completion_that_no_shell_requested_is_reported(
    here: Here, monkeypatch: pytest.MonkeyPatch, asked: str, code: int
) -> None:
    monkeypatch.setenv("_DRKIT_COMPLETE", asked)
    for name in ("COMP_WORDS", "COMP_CWORD"):
        monkeypatch.delenv(name, raising=False)
    done = here("status")
    assert done.code == code
    assert done.out + done.err


def test_a_librarys_log_reaches_nobodys_terminal(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    here("status")
    assert isinstance(logging.lastResort, logging.NullHandler)


def test_what_nobody_sees_is_shown_as_such() -> None:
    assert (
        shown("a\x1b[2Jb\u202ec\u200bd\x07\n\te\x1b[1;31mf\x1b[0m")
        == "a\ufffd[2Jb\ufffdc\ufffdd\ufffd\n\te\x1b[1;31mf\x1b[0m"
    )
