"""Bad input and endings: a clear line, the right exit code, one JSON object, nothing written, never a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drkit.model import estate, runbook
from drkit.simulator import sample_seed
from tests.support.command_line import Done, Here, command, copy_of_recorded, drkit, environment, recorded, runbook_of
from tests.support.patience import PATIENCE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder with a store up to a runbook; its cloud exists on paper only."""
    return Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """An empty folder."""
    return Here(tmp_path, monkeypatch, capsys)


def refused(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.err
    assert done.err.strip()
    for word in words:
        assert word.lower() in " ".join((done.err + done.out).split()).lower(), (word, done.err)


# files that are not what they should be


def whole(kind: str) -> bytes:
    made = recorded()
    paths = {
        "snapshot": made / ".drkit/state/snapshots/000001.json",
        "assessment": made / ".drkit/state/assessments/000001.json",
        "settings": made / "drkit.toml",
        "ready": made / "ready.json",
    }
    if kind == "seed":
        return json.dumps(sample_seed(1)).encode()
    return (runbook_of(made) if kind == "runbook" else paths[kind]).read_bytes()


USES: dict[str, tuple[str, ...]] = {
    "snapshot": ("plan", "--snapshot", "FILE"),
    "assessment": ("plan", "--assessment", "FILE"),
    "runbook": ("show", "FILE"),
    "settings": ("show", "--config", "FILE"),
    "ready": ("plan", "--cloud", "FILE"),
    "seed": ("simulate", "--speed", "60", "--estate", "FILE"),
}
FAULTS: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    "empty": (lambda _: b"", ()),
    "blank": (lambda _: b" \n\n", ()),
    "truncated": (lambda content: content[: len(content) // 2], ()),
    "cut after the first byte": (lambda content: content[:1], ()),
    "not UTF-8": (lambda content: content[:30] + b"\xff\xfe\x80" + content[30:], ()),
    "UTF-16": (lambda content: content.decode().encode("utf-16"), ()),
    "no JSON object": (lambda _: b"[1, 2]", ()),
    "a number": (lambda _: b"7", ()),
    "nested beyond reason": (lambda _: b"[" * 200_000, ()),
    "NUL bytes": (lambda content: b"\0" * len(content), ()),
    "wrong kind": (lambda _: b'{"drkit": "approval/1", "digest": "x"}', ()),
    "newer": (lambda content: re.sub(rb'("drkit": ?"[a-z-]+)/[12]"', rb'\1/9"', content, count=1), ("/9",)),
    "no marker": (lambda content: re.sub(rb'"drkit": ?"[a-z-]+/[12]", ?', b"", content, count=1), ()),
}
FINE = {("settings", "empty"), ("settings", "blank")}  # all defaults
TOML = {"newer", "no marker", "truncated"}  # words about JSON
READY = {"newer", "no marker"}  # a ready file has no marker
SEED = {"nested beyond reason"}  # told, but not yet as bad input


def meaningful(kind: str, fault: str) -> bool:
    return not (
        (kind, fault) in FINE
        or (kind == "settings" and fault in TOML)
        or (kind == "ready" and fault in READY)
        or (kind == "seed" and fault in SEED)
    )


@pytest.mark.parametrize(
    ("kind", "fault"), [(kind, fault) for kind in USES for fault in FAULTS if meaningful(kind, fault)]
)
def test_a_file_that_is_not_what_it_should_be_is_named(here: Here, kind: str, fault: str) -> None:
    change, words = FAULTS[fault]
    here.put("bad.file", change(whole(kind)))
    before = here.files()
    use = [word if word != "FILE" else "bad.file" for word in USES[kind]]
    done = here(*use)
    refused(done, 64, "bad.file", *words)
    assert done.out == ""
    assert len(done.err) < 3000
    asked = here(*use, "--json")
    assert asked.code == 64
    assert "bad.file" in asked.error["where"]
    assert here.files() == before


@pytest.mark.parametrize("what", ["a directory", "nothing", "a loop of links", "no permission"])
@pytest.mark.parametrize("kind", list(USES))
def test_what_cannot_be_read_is_named(here: Here, kind: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here.path("bad.file")
    if what == "a directory":
        path.mkdir()
    elif what == "a loop of links":
        path.symlink_to(path)
    elif what == "no permission":
        path.write_bytes(whole(kind))
        path.chmod(0)
        opening = os.open

        def refusing(name: str | Path, *more: Any, **options: Any) -> int:  # root may read everything
            if Path(name).name == path.name:
                raise PermissionError(13, "Permission denied")
            return opening(name, *more, **options)

        monkeypatch.setattr(os, "open", refusing)
    before = here.files()
    done = here(*(word if word != "FILE" else "bad.file" for word in USES[kind]))
    refused(done, 64, "bad.file")
    assert here.files() == before


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    path.mkdir()


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1_200_000_000)


def anybodys(path: Path) -> None:
    path.write_bytes(b"{}")
    path.chmod(0o666)


ODD: dict[str, Callable[[Path], None]] = {
    "a FIFO": fifo,
    "/dev/zero": endless,
    "a directory": directory,
    "1.2 GB": huge,
    "anybody's": anybodys,
}
PLACES: dict[str, tuple[str, ...]] = {
    ".drkit/state/snapshots/000001.json": ("plan",),
    ".drkit/state/assessments/000001.json": ("plan",),
    ".drkit/state/runbooks/{}.json": ("show", "{}"),
    ".drkit/approvals/{}.json": ("apply", "{}"),
    ".drkit/inbox/declarations/eastus-1.json": ("assess",),
    ".drkit/state/declarations/eastus-1.json": ("assess",),
    ".drkit/journal/run-0001.jsonl": ("verify", "run-0001"),
    "drkit.toml": ("show",),
    "cloud.json": ("plan", "--cloud", "cloud.json"),
    "estate.json": ("simulate", "--speed", "60", "--estate", "estate.json"),
    "snapshot.json": ("plan", "--snapshot", "snapshot.json"),
    "assessment.json": ("plan", "--assessment", "assessment.json"),
    "runbook.json": ("show", "runbook.json"),
    "events.log": ("show", "--log-file", "events.log"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", PLACES)
def test_a_special_file_is_refused_at_once_in_any_folder(here: Here, place: str, kind: str) -> None:
    """It is opened without waiting, and read no further than a file of its kind can be long."""
    if (place, kind) == ("events.log", "1.2 GB"):
        return  # it is only ever appended to
    digest = runbook_of(here.folder).stem
    path = here.path(place.format(digest))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    ODD[kind](path)
    done = here(*(word.format(digest) for word in PLACES[place]))
    # An approval that cannot be read is none: refused, and not a fault of what was typed.
    refused(done, 4 if "approvals" in place else 64)
    assert "Traceback" not in done.err
    assert path.name in done.err or digest[:12] in done.err, done.err


def test_a_folder_that_others_may_write_is_no_store(here: Here) -> None:
    for place in (".drkit", ".drkit/state", ".drkit/state/runbooks"):
        here.path(place).chmod(0o777)
        refused(here("show", "latest"), 64, place, "every user of this machine", f"chmod o-w {place}")
        here.path(place).chmod(0o755)
    assert here("show", "latest").code == 0


def test_what_the_store_keeps_is_checked_as_well(here: Here) -> None:
    for name in ("snapshots/000001.json", "assessments/000001.json"):
        path = here.path(f".drkit/state/{name}")
        good = path.read_bytes()
        path.write_bytes(good[:-40])
        refused(here("plan"), 64, name, "not whole")
        path.write_bytes(good)
    assert here("plan").code == 0


def edited(kind: str, change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(whole(kind))
    change(value)
    return json.dumps(value).encode()


def another_plan(value: dict[str, Any]) -> None:
    value["plans"].append({**value["plans"][0], "id": value["plans"][0]["id"].upper()})


def nowhere(value: dict[str, Any]) -> None:
    value["environments"][0]["plan"] += "-gone"


def unknown_region(value: dict[str, Any]) -> None:
    value["plans"][1]["region"] = "atlantis"


def no_arm_id(value: dict[str, Any]) -> None:
    value["plans"][0]["id"] = "my plan"


def twice(value: dict[str, Any]) -> None:
    value["environments"].append(value["environments"][3])


def hostless(value: dict[str, Any]) -> None:
    value["hosts"] = []


def when(value: dict[str, Any]) -> None:
    value["taken"] = "yesterday"


def zoneless(value: dict[str, Any]) -> None:
    value["taken"] = "2026-11-23T07:30:00"


def wrong_type(value: dict[str, Any]) -> None:
    value["plans"][2]["region"] = 7


def odd_state(value: dict[str, Any]) -> None:
    value["plans"][2]["state"] = "fine"


def odd_since(value: dict[str, Any]) -> None:
    value["plans"][1]["failing_since"] = "a while"


def odd_claim(value: dict[str, Any]) -> None:
    value["claims"][0]["since"] = ""


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("snapshot", another_plan, ("plans[9]", "two plans have the id")),
        ("snapshot", nowhere, ("environments[0]", "its plan is not there")),
        ("snapshot", unknown_region, ("plans[1]", "unknown region 'atlantis'")),
        ("snapshot", no_arm_id, ("plans[0]", "not the ARM id")),
        ("snapshot", twice, ("environments[46]", "two environments have the id")),
        ("snapshot", hostless, ("its host is not there", "more")),
        ("snapshot", when, ("taken", "yesterday")),
        ("snapshot", zoneless, ("taken", "time zone")),
        ("snapshot", wrong_type, ("$.plans[2].region", "str")),
        ("assessment", odd_state, ("$.plans[2].state", "fine")),
        ("assessment", odd_since, ("plans[1].failing_since", "a while")),
        ("assessment", odd_claim, ("claims[0].since",)),
        ("assessment", when, ("taken",)),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_an_unsound_file_is_refused_with_the_place(
    here: Here, kind: str, change: Callable[[dict[str, Any]], None], words: tuple[str, ...]
) -> None:
    here.put("bad.json", edited(kind, change))
    before = here.files()
    refused(here("plan", f"--{kind}", "bad.json"), 64, "bad.json", *words)
    assert here.files() == before


# settings


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("[advise]\nx = 1\n", 64, ("drkit.toml:1", "advice")),
        ("\ntarget = ['eastus']\n", 64, ("drkit.toml:2", "targets")),
        ("targets = 'eastus'\n", 64, ("drkit.toml:1", "targets")),
        ("[run]\nconcurrency = 'many'\n", 64, ("drkit.toml:2", "concurrency")),
        ("[run]\nwaves = [0]\nconcurrency = 0\n", 64, ("drkit.toml:2", "drkit.toml:3")),
        ("[cloud]\nclient_secret = 'x'\n", 64, ("drkit.toml:2", "secret")),
        ("targets = [\n", 64, ("drkit.toml",)),
        ("targets = ['westeurope', 'westus2']\n", 4, ("westeurope", "lost")),
        ("targets = ['atlantis']\n", 4, ("atlantis",)),
    ],
)
def test_settings_that_cannot_be_used_are_refused(here: Here, text: str, code: int, words: tuple[str, ...]) -> None:
    here.put("drkit.toml", text)
    before = here.files()
    refused(here("plan"), code, *words)
    assert here.files() == before


def test_a_folder_called_drkit_toml_is_not_taken_for_no_settings(bare: Here) -> None:
    bare.path("drkit.toml").mkdir()
    refused(bare("status"), 64, "drkit.toml", "directory")


@pytest.mark.parametrize("where", ["arm", "authority"])
def test_an_endpoint_without_https_is_refused(bare: Here, where: str) -> None:
    bare.put("drkit.toml", f"[cloud]\n{where} = 'http://127.0.0.1:1'\n")
    refused(bare("snapshot"), 64, "https://", f"cloud.{where}")
    assert bare.files() == {}


# runbooks


@pytest.mark.parametrize("place", [0, 1, 1000, -3, -2, -1])
@pytest.mark.parametrize("how", ["a byte", "a space"])
def test_a_runbook_edited_after_approval_is_refused(here: Here, place: int, how: str) -> None:
    path = runbook_of(here.folder)
    assert here("approve", "DIGEST").code == 0
    good = path.read_bytes()
    at = place % len(good)
    path.write_bytes(good[:at] + (b" " + good[at:] if how == "a space" else bytes([good[at] ^ 1]) + good[at + 1 :]))
    before = here.files()
    for words in (("apply", str(path)), ("apply",), ("approve", "DIGEST"), ("show",)):
        done = here(*words)
        assert done.code in (4, 64), words
        refused(done, done.code, path.name)
    assert here.files() == before


def test_a_canonical_edit_is_another_runbook_and_not_approved(here: Here) -> None:
    path = runbook_of(here.folder)
    assert here("approve", "DIGEST").code == 0
    book = runbook.decode(path.read_bytes(), str(path))
    content = runbook.encode(book).replace(b"westus2", b"westus3")
    outside = here.put("edited.json", content)
    refused(here("apply", str(outside)), 4, "not approved", runbook.digest(content)[:12])
    path.write_bytes(content)
    refused(here("apply"), 4, "was changed after it was written", "drkit plan")
    assert not here.path(".drkit/journal").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nosuch", ("nosuch", "drkit plan")),
        ("", ("drkit plan",)),
        (".", ("drkit plan",)),
        ("x" * 100_000, ("drkit plan",)),
        ("\udcff\udcfe", ("drkit plan",)),
        ("/dev/null/x", ("drkit plan",)),
    ],
    ids=["unknown", "empty", "a dot", "long", "not UTF-8", "no folder"],
)
def test_a_runbook_by_an_odd_name_is_not_found(here: Here, name: str, words: tuple[str, ...]) -> None:
    done = here("show", name)
    refused(done, 64, *words)
    assert len(done.err) < 1000
    assert here("show", name, "--json").error["kind"] == "FileError"


def test_an_ambiguous_digest_is_not_guessed(here: Here) -> None:
    path = runbook_of(here.folder)
    path.with_name(path.stem[:6] + "0" * 58 + ".json").write_bytes(path.read_bytes())
    refused(here("show", path.stem[:6]), 64, "more than one")


# another cloud


OTHERS: dict[str, dict[str, Any]] = {
    "another endpoint": {"arm": "https://127.0.0.1:1"},
    "another tenant": {"tenant": "00000000-0000-4000-8000-000000000000"},
}


@pytest.mark.parametrize("facts", OTHERS.values(), ids=list(OTHERS))
@pytest.mark.parametrize("words", [("snapshot",), ("assess",), ("plan",), ("approve", "DIGEST"), ("apply", "--yes")])
def test_what_was_made_against_another_cloud_is_refused(
    here: Here, words: tuple[str, ...], facts: dict[str, Any]
) -> None:
    here.put("other.json", {**json.loads(whole("ready")), "pid": os.getpid(), **facts})
    before = here.files()
    refused(here(*words, "--cloud", "other.json"), 4, "was made against", "SIMULATED", "--cloud")
    assert here.files() == before


def test_public_azure_is_not_what_a_simulator_made(here: Here) -> None:
    here.ready = None
    here._patch.delenv("DRKIT_CLOUD", raising=False)
    for words in (("plan",), ("approve", "DIGEST"), ("apply", "--yes")):
        refused(here(*words), 4, "(SIMULATED)", "management.azure.com")
    for name in ("snapshot", "assessment"):
        bad = here.put("foreign.json", edited(name, lambda value: value["made_against"].update(simulated=False)))
        here.ready = here.path("ready.json")
        refused(here("plan", f"--{name}", str(bad)), 4, "was made against")


# ready files


def test_a_ready_file_whose_process_is_gone_is_refused(here: Here) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    for number in (gone.pid, 0, -5, 10**30):
        here.put("gone.json", {**json.loads(whole("ready")), "pid": number})
        before = here.files()
        for words in (("snapshot",), ("assess",), ("plan",), ("apply", "--yes")):
            refused(here(*words, "--cloud", "gone.json"), 4, "gone.json", "is gone", "drkit simulate")
        assert here.files() == before


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"clock": {"origin": "now", "started": "2026-01-01T00:00:00Z", "speed": 1}}, ("clock",)),
        ({"clock": {"origin": "2026-01-01T00:00:00Z", "started": "2026-01-01T00:00:00Z", "speed": 600}}, ("speed",)),
        ({"clock": {"origin": "2026-01-01T00:00:00Z", "started": "2026-01-01T00:00:00Z", "speed": 0}}, ("speed",)),
        ({"arm": ""}, ("arm", "https://")),
        ({"authority": "http://127.0.0.1:1"}, ("authority", "https://")),
        ({"services": []}, ("services",)),
        ({"pid": "me"}, ("pid",)),
    ],
)
def test_a_ready_file_that_makes_no_sense_is_refused(here: Here, facts: dict[str, Any], words: tuple[str, ...]) -> None:
    here.put("odd.json", {**json.loads(whole("ready")), "pid": os.getpid(), **facts})
    refused(here("plan", "--cloud", "odd.json"), 64, "odd.json", *words)


# approving, applying, answering


def test_apply_wants_an_approval(here: Here) -> None:
    before = here.files()
    done = here("apply")
    refused(done, 4, "is not approved", "drkit approve")
    assert here("apply", "--json").error["kind"] == "RefusedError"
    assert here.files() == before


def test_an_approval_that_has_run_out_is_refused(here: Here) -> None:
    assert here("approve", "DIGEST", "--hours", "0.001").code == 0
    time.sleep(0.2)
    refused(here("apply"), 4, "was approved until", "drkit approve")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"drkit":"approval/3","digest":"D","who":"w","when":"2026-01-01T00:00:00Z","until":"2999-01-01T00:00:00Z"}',
     b'{"digest":"D","who":"w","when":"2026-01-01T00:00:00Z","until":"for ever"}'],
    ids=["empty", "cut", "a list", "newer", "no time"],
)  # fmt: skip
def test_an_approval_that_cannot_be_read_approves_nothing(here: Here, content: bytes) -> None:
    digest = runbook_of(here.folder).stem
    here.put(f".drkit/approvals/{digest}.json", content.replace(b'"D"', f'"{digest}"'.encode()))
    refused(here("apply"), 4, "cannot be read", digest[:12])
    assert not here.path(".drkit/journal").exists()


def test_an_approval_of_other_bytes_approves_nothing(here: Here) -> None:
    digest = runbook_of(here.folder).stem
    assert here("approve", "DIGEST").code == 0
    path = here.path(f".drkit/approvals/{digest}.json")
    path.write_bytes(path.read_bytes().replace(digest.encode(), b"0" * 64))
    refused(here("apply"), 4, "approves other bytes")


@pytest.mark.parametrize("words", [("approve", "DIGEST", "--hours", "nan"), ("approve", "DIGEST", "--hours", "0"),
    ("approve", "DIGEST", "--hours", "99999"),
    ("apply", "--yes", "--wait", "nan"), ("apply", "--yes", "--wait", "-1"), ("apply", "--yes", "--wait", "inf")])  # fmt: skip
def test_numbers_out_of_range_are_refused(here: Here, words: tuple[str, ...]) -> None:
    before = here.files()
    refused(here(*words), 64, words[-1])
    assert here.files() == before


@pytest.mark.parametrize(
    "words",
    [
        ("status", "run-0001"),
        ("report",),
        ("resume",),
        ("answer", "run-9", "x"),
        ("skip", "../../x", "x", "--reason", "r"),
        ("status", "--show-code"),
    ],
    ids=" ".join,
)
def test_an_unknown_run_is_named(here: Here, words: tuple[str, ...]) -> None:
    refused(here(*words), 64, "there is no run", "none yet")
    assert here(*words, "--json").error["kind"] == "UsageError"


def test_a_declaration_needs_a_reason_and_a_region(here: Here) -> None:
    before = here.files()
    refused(here("assess", "--declare-lost", "Atlantis", "--reason", "x"), 64, "Atlantis", "westeurope")
    refused(here("assess", "--declare-lost", "eastus", "--reason", "  "), 64, "--reason")
    refused(here("assess", "--declare-lost", "eastus"), 64, "--reason")
    refused(here("assess", "--reason", "x"), 64, "--declare-lost")
    assert here.files() == before


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"region": "eastus"}',
        '{"drkit": "declaration/9", "region": "x", "reason": "r", "who": "w", "when": "2026-01-01T00:00:00Z"}',
        '{"drkit": "declaration/1", "region": "x", "reason": "r", "who": "w", "when": "now"}',
    ],
)
def test_a_declaration_that_cannot_be_read_is_named(here: Here, text: str) -> None:
    here.put(".drkit/state/declarations/eastus-1.json", text)
    refused(here("assess"), 64, "eastus-1.json", "remove it")


def test_there_must_be_a_snapshot_and_an_assessment_first(bare: Here) -> None:
    copy_of_recorded(bare.folder)
    bare.ready = bare.path("ready.json")
    for name, command_, word in (("assessments", "plan", "drkit assess"), ("snapshots", "assess", "drkit snapshot")):
        for path in bare.path(f".drkit/state/{name}").iterdir():
            path.unlink()
        refused(bare(command_), 4, word)


def test_places_that_cannot_be_written_are_named(here: Here) -> None:
    refused(here("plan", "--out", str(here.folder)), 64, "cannot be written", "--out")
    refused(here("plan", "--out", "/proc/none/x"), 64, "cannot be written")
    here.put("file", "x")
    for words in (("snapshot",), ("plan",), ("status",), ("approve", "DIGEST")):
        refused(here(*words, "--store", "file"), 64, "not a folder", "--store")
    refused(
        here("approve", str(runbook_of(here.folder)), "--store", "/proc/none/x"), 64, "cannot be written", "--store"
    )
    refused(here("plan", "--store", "https://account.blob.core.windows.net/x"), 64, "folder")


def test_a_written_runbook_replaces_the_file_whole(here: Here) -> None:
    here.put("out.json", "what was there")
    assert here("plan", "--out", "out.json").code == 0
    assert here.path("out.json").read_bytes() == runbook_of(here.folder).read_bytes()
    assert sorted(path.name for path in here.folder.glob("*out*")) == ["out.json"]
    assert [path for path in here.folder.iterdir() if path.name.startswith(".new-")] == []


# usage


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shwo",), "drkit show"),
        (("aply",), "drkit apply"),
        (("xyzzy",), "drkit --help"),
        (("show", "--jsn"), "--json"),
        (("plan", "--kind", "failovr"), "failover"),
        (("plan", "--graceful"), "--from"),
        (("plan", "--force", "no-deletion"), "--reason"),
        (("plan", "--graceful", "--from", "Mars"), "westeurope"),
        (("show", "a", "b"), "unexpected"),
        (("skip", "run-0001", "x"), "--reason"),
        (("answer",), "RUN"),
        (("schema", "thing"), "snapshot"),
        (("simulate", "--port", "70000"), "65535"),
        (("simulate", "--port", "x"), "x"),
        (("simulate", "--speed", "nan"), "at most 60"),
        (("simulate", "--speed", "0"), "at most 60"),
        (("simulate", "--speed", "61"), "at most 60"),
        (("--verson",), "--version"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_usage_errors_leave_with_64_and_a_hint(here: Here, words: tuple[str, ...], said: str) -> None:
    done = here(*words)
    refused(done, 64, said)
    assert done.out == ""
    refused(here(*words, "--json"), 64, said)
    assert here(*words, "--json").error["what"]


def test_text_that_is_not_utf_8_is_refused_or_replaced(here: Here) -> None:
    before = here.files()
    done = here("assess", "--declare-lost", "eastus", "--reason", "caf\udce9")
    refused(done, 64, "UTF-8")
    done = here("assess", "--declare-lost", "eastus", "--reason", "caf\udce9", "--json")
    assert done.error["exit_code"] == 64
    assert here.files() == before


# what every command says


ENDS: tuple[tuple[str, ...], ...] = (
    ("plan",), ("show",), ("approve", "DIGEST"), ("status",), ("schema", "runbook"), ("plan", "--out", "copy.json"),
    ("snapshot",), ("assess",),
    ("apply",), ("resume",), ("answer", "latest", "x"), ("skip", "latest", "x", "--reason", "r"), ("report",), ("status", "latest"),
    ("drill", "--lose", "Atlantis"), ("simulate", "--speed", "0"), ("plan", "--detailed-exitcode"),
)  # fmt: skip


@pytest.mark.parametrize("words", ENDS, ids=" ".join)
def test_with_json_there_is_exactly_one_object_on_stdout(here: Here, words: tuple[str, ...]) -> None:
    here.put("drkit.toml", here.path("drkit.toml").read_text() + "[run]\nrequest_budget_seconds = 1\n")
    done = here(*words, "--json")
    value = json.loads(done.out)
    assert isinstance(value, dict)
    assert ("error" in value) == (done.code not in (0, 2, 5))


def test_drkit_alone_names_the_cloud_once(here: Here) -> None:
    done = here()
    assert (done.out + done.err).count("cloud: ") == 1
    assert done.out.startswith("cloud: SIMULATED embedded Azure")
    assert done.err == ""
    assert done.out.splitlines()[-1] == "next: `drkit plan`"


def test_every_other_command_names_the_cloud_first_on_stderr(here: Here) -> None:
    for words in (("plan",), ("apply",), ("approve", "DIGEST")):
        assert here(*words).err.splitlines()[0].startswith("cloud: SIMULATED embedded Azure (https://127.0.0.1:")


def test_a_hostile_cloud_name_is_harmless(bare: Here) -> None:
    bare.put("drkit.toml", '[cloud]\nname = "\\u001b[31mred\\u009b\\nx"\n')
    done = bare()
    refused(done, 64, "drkit.toml:2", "control character")
    assert "\x1b" not in done.out + done.err


def test_a_fault_of_drkits_own_is_one_line(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by \x1b[31mzero")

    monkeypatch.setattr("drkit.api.plan.show", broken)
    monkeypatch.setattr("tests.support.command_line.checked", lambda done: done)
    done = here("show", "--json")
    assert done.code == 1
    assert done.error["what"] == "drkit itself failed: ZeroDivisionError: by \x1b[31mzero"
    assert "\x1b" not in done.err + done.out
    assert "test_errors.py" in done.error["where"]
    monkeypatch.setenv("DRKIT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        here("show")


# signals, pipes, terminals


"""Seconds within which a command has ended, however busy the machine is."""


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process of its own, which does not outlive the block."""
    with subprocess.Popen(
        command(*words), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def simulator(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`drkit simulate` that serves: its ready file is there."""
    with started(folder, "simulate", "--ready", "ready.json") as process:
        while not (folder / "ready.json").exists():
            assert process.poll() is None
            time.sleep(0.02)
        yield process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_a_run_leaves_with_its_code(here: Here, number: signal.Signals, code: int) -> None:
    """The command hangs on an endpoint that accepts and never answers."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        here.put("hung.json", {**json.loads(whole("ready")), "pid": os.getpid(), "arm": address, "authority": address})
        with started(here.folder, "snapshot", "--store", "new", "--cloud", "hung.json") as process:
            silent.settimeout(PATIENCE)
            connection, _ = silent.accept()
            with connection:
                process.send_signal(number)
                out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (code, b""), err
    assert b"Traceback" not in err
    assert not here.path("new").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_the_simulator_stops_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with simulator(tmp_path) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (code, b"")
    assert not (tmp_path / "ready.json").exists()


def test_the_simulator_says_where_its_ready_file_cannot_be_and_takes_nobody_elses_away(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("folder", "nowhere/ready.json"):
        with started(tmp_path, "simulate", "--ready", name) as process:
            _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, b"cannot be written" in err, name.encode() in err) == (64, True, True), err
    with simulator(tmp_path) as process:
        (tmp_path / "ready.json").write_text('{"pid": 1}')
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert (tmp_path / "ready.json").exists()


def test_a_reader_that_has_gone_changes_nothing(here: Here) -> None:
    for words, code in ((("show",), 0), (("apply",), 4), (("plan", "--detailed-exitcode"), 2)):
        read, write = os.pipe()
        os.close(read)
        env = environment(DRKIT_CLOUD=str(here.ready))
        for streams in ({"stdout": write, "stderr": subprocess.PIPE}, {"stdout": write, "stderr": write}):
            done = subprocess.run(command(*words), cwd=here.folder, env=env, check=False, timeout=PATIENCE, **streams)  # type: ignore[call-overload]
            assert done.returncode == code
            assert not done.stderr or b"Broken" not in done.stderr
        os.close(write)


def test_a_result_that_cannot_be_written_is_said(here: Here) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("show"), cwd=here.folder, env=environment(DRKIT_CLOUD=str(here.ready)), stdout=full, stderr=subprocess.PIPE,
            check=False, timeout=PATIENCE,
        )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr, b"Exception" in done.stderr) == (1, False, False)
    assert b"cannot be written: No space left" in done.stderr


def test_a_terminal_gets_colours_unless_it_does_not_want_them(here: Here) -> None:
    pty = pytest.importorskip("pty")

    def seen(**more: str) -> bytes:
        main, other = pty.openpty()
        env = environment(DRKIT_CLOUD=str(here.ready), TERM="xterm-256color", COLUMNS="100", **more)
        env = {name: value for name, value in env.items() if name != "NO_COLOR" or "NO_COLOR" in more}
        with subprocess.Popen(
            command("show"), cwd=here.folder, env=env, stdout=other, stderr=subprocess.DEVNULL
        ) as process:
            os.close(other)
            content = b""
            try:
                while part := os.read(main, 65536):
                    content += part
            except OSError:
                pass
            os.close(main)
            assert process.wait(PATIENCE) == 0
        return content

    assert b"\x1b[" in seen()
    assert b"\x1b[" not in seen(NO_COLOR="1")


@pytest.mark.parametrize("coding", ["ascii", "latin-1"])
def test_a_narrow_encoding_loses_signs_and_nothing_else(here: Here, coding: str) -> None:
    env = environment(DRKIT_CLOUD=str(here.ready), PYTHONIOENCODING=coding)
    done = subprocess.run(command("show"), cwd=here.folder, env=env, capture_output=True, check=False, timeout=PATIENCE)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"digest" in done.stdout


def test_estate_bytes_are_what_the_plan_is_made_of(here: Here) -> None:
    """The files of the fixture are good: what the tests above spoil is the only thing wrong with them."""
    snapshot = here.put("snapshot.json", whole("snapshot"))
    assert (
        here("plan", "--snapshot", str(snapshot), "--assessment", str(here.put("a.json", whole("assessment")))).code
        == 0
    )
    assert estate.digest(snapshot.read_bytes())
    assert drkit("show", str(runbook_of(here.folder)), cwd=here.folder).code == 0


def test_an_error_is_said_once_and_with_nothing_beside_it(tmp_path: Path) -> None:
    done = drkit("show", "nosuch", cwd=tmp_path)
    assert (done.code, done.out) == (64, "")
    assert done.err.splitlines() == [
        "drkit: nosuch: is not a file, nor the digest of a runbook in .drkit",
        "  `drkit plan` writes one and prints its path",
    ]
