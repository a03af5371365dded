"""What an approval is worth: whose it is, when it was made, how long it counts, and that nothing is carried out without one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.api import apply, approval, plan
from drkit.api.plan import candidates, show_of
from drkit.errors import FileError, ForbiddenError, RefusedError, UsageError
from drkit.model import files, runbook
from drkit.model.clock import SimulatedClock, SystemClock, from_wall, rfc3339
from drkit.model.settings import Settings
from drkit.planning import replicas
from drkit.store import approvals
from drkit.store.records import Approval, who
from drkit.store.store import Store
from tests.api.test_control import context_of
from tests.execution.test_runner import RUN, Bench, Make, bench
from tests.model.test_runbook import a_step
from tests.support.command_line import Here, copy_of_recorded

__all__ = ["bench"]

ME = files.user_name(os.getuid())
LATER = "9998-12-31T00:00:00Z"
Foreign = Callable[[], None]


def in_hours(hours: float) -> str:
    return rfc3339(datetime.now(UTC) + timedelta(hours=hours))


def kept(made: Bench) -> str:
    return made.store.keep_runbook(runbook.encode(made.book)).stem


def put(made: Bench, *, hours_ago: float = 0.0, until: str = LATER, who: str = "grace@desk", **more: Any) -> Path:
    """An approval whose file was written so many hours ago."""
    approval = Approval(digest=kept(made), who=who, when=LATER, until=until, **more)
    path = made.store.approve(approval)
    stamp = time.time() - hours_ago * 3600
    os.utime(path, (stamp, stamp))
    return path


def begun(made: Bench, *, hours_ago: float = 1.0, approved: dict[str, Any] | None = None) -> None:
    """A run that began so many hours ago, as whoever may write its journal can say."""

    class Then(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) - timedelta(hours=hours_ago)

    told = approved or {"who": "ciso@bastion", "how": "authenticated", "file": "x.json", "authenticated": True}

    async def write() -> None:
        async with made.store.open_journal(RUN, Then()) as journal:
            await journal.append("started", data={"runbook": kept(made), "holder": "ada@desk process 1"})
            await journal.append("approved", data=told)

    asyncio.run(write())


def look(made: Bench, **settings: Any) -> None:
    context = context_of(made, **settings)
    approval.check_approved(context, RUN, made.store.state(RUN), context.clock)


def asked(made: Bench, *, yes: bool = False, targets: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    context = context_of(made, **settings)
    return approval.approval_for(context, show_of(context, kept(made)), context.clock, yes=yes, targets=targets)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder with a store up to a runbook; its cloud exists on paper only."""
    return Here(tmp_path, monkeypatch, capsys, copy_of_recorded(tmp_path))


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Foreign:
    """From when it is called, this process is somebody else than who wrote the files."""
    return lambda: monkeypatch.setattr(os, "geteuid", lambda: 4001)


# --- a run goes on under its approval only -----------------------------------------------------------------------------------


@pytest.mark.parametrize("separate", [True, False])
def test_a_journal_that_somebody_wrote_is_not_carried_out(bench: Make, separate: bool) -> None:
    made = bench(a_step("a"))
    begun(made)
    before = made.store.journal_bytes(RUN)
    context = context_of(made, separate_approver=separate)
    with pytest.raises(RefusedError, match=r"no approval of runbook .* from before run-0001 began"):
        asyncio.run(apply.resume(context, RUN))
    assert made.store.journal_bytes(RUN) == before
    assert not (made.store.folder / "state" / "locks").exists(), "it was refused before anything was done"


def test_a_run_continues_under_the_approval_from_before_its_start(bench: Make) -> None:
    made = bench(a_step("a"))
    begun(made, hours_ago=2)
    path = put(made, hours_ago=3, until=in_hours(-1))
    look(made)
    path.unlink()
    with pytest.raises(RefusedError, match="no approval"):
        look(made)


@pytest.mark.parametrize(
    ("hours_ago", "holds", "why"),
    [(1, None, "after that"), (3, -2.5, "until"), (24 * 31 + 3, None, "until"), (-2, None, "in the future")],
)
def test_an_approval_that_was_invalid_at_the_start_stays_invalid(
    bench: Make, hours_ago: float, holds: float | None, why: str
) -> None:
    made = bench(a_step("a"))
    begun(made, hours_ago=2)
    put(made, hours_ago=hours_ago, until=LATER if holds is None else in_hours(holds))
    with pytest.raises(RefusedError, match=why):
        look(made)


def test_a_later_approval_takes_nothing_from_an_earlier_one(bench: Make) -> None:
    made = bench(a_step("a"))
    put(made, hours_ago=3)
    begun(made, hours_ago=2)
    put(made, hours_ago=1)
    look(made)


def test_nobody_may_apply_a_runbook_that_they_approved_if_two_people_are_required(
    bench: Make, foreign: Foreign
) -> None:
    made = bench(a_step("a"))
    begun(made)
    put(made, hours_ago=2)
    with pytest.raises(RefusedError, match="who carries it out approved it"):
        look(made, separate_approver=True)
    foreign()
    look(made, separate_approver=True)


# --- whose and when ------------------------------------------------------------------------------------------------------------


def test_what_an_approval_says_of_itself_is_not_believed(bench: Make) -> None:
    made = bench(a_step("a"))
    path = put(made, hours_ago=1, who="ciso@bastion")
    content = msgspec.json.decode(path.read_bytes()) | {"authenticated": True, "drkit": "approval/1"}
    stamp = path.stat().st_mtime
    path.write_bytes(msgspec.json.encode(content))
    os.utime(path, (stamp, stamp))
    told = asked(made)
    assert told["who"] == f"ciso@bastion (claimed; the file is of {ME})"
    assert told["how"].startswith("unauthenticated: ")
    assert told["authenticated"] is False
    assert told["when"] == rfc3339(datetime.fromtimestamp(stamp, UTC)), "the store's word, not the file's"
    assert told["until"] == rfc3339(datetime.fromtimestamp(int(stamp), UTC) + timedelta(days=31))


@pytest.mark.parametrize(("hours_ago", "why"), [(-1, "which is in the future"), (24 * 31 + 1, "was approved until")])
def test_an_approval_counts_from_when_the_store_wrote_it_for_31_days(bench: Make, hours_ago: float, why: str) -> None:
    made = bench(a_step("a"))
    put(made, hours_ago=hours_ago)
    with pytest.raises(RefusedError, match=why):
        asked(made)


def test_an_unreadable_one_beside_does_no_harm(bench: Make) -> None:
    made = bench(a_step("a"))
    path = put(made)
    os.mkfifo(path.with_name(f"{path.stem}-fifo.json"))
    path.with_name(f"{path.stem}-odd.json").write_bytes(b"{")
    path.with_name(f"{path.stem}-folder.json").mkdir()
    assert asked(made)["file"] == path.name
    path.unlink()
    with pytest.raises(RefusedError, match="cannot be read"):
        asked(made)


def test_a_file_of_another_hour_is_read_on_the_simulated_clock() -> None:
    origin, wall = datetime(2030, 1, 1, tzinfo=UTC), datetime.now(UTC)
    clock = SimulatedClock(origin, wall - timedelta(minutes=2), 60.0)
    path = Path("x")
    found = approvals.StoredApproval(
        path, Approval(digest="d", who="w", when=LATER, until="2030-01-01T03:00:00Z"), wall - timedelta(minutes=1)
    )
    assert found.span(clock) == (origin + timedelta(hours=1), origin + timedelta(hours=3))
    assert not found.doubt(clock, origin + timedelta(hours=2))
    assert from_wall(SystemClock(), wall) == wall


# --- another's ------------------------------------------------------------------------------------------------------------------


def expired_of_another(made: Bench) -> None:
    put(made, hours_ago=3, until=in_hours(-2))


@pytest.mark.parametrize(
    "there", [lambda _made: None, expired_of_another, put], ids=["none", "expired", "one that holds"]
)
def test_yes_is_refused_where_another_must_approve_whatever_is_there(
    bench: Make, foreign: Foreign, there: Callable[[Bench], object]
) -> None:
    made = bench(a_step("a"))
    there(made)
    for _ in range(2):
        with pytest.raises(RefusedError, match="--yes is refused"):
            asked(made, yes=True, separate_approver=True)
        foreign()


@pytest.mark.parametrize("name", ["grace@desk", "client 1@agent-b", ""])
def test_a_file_of_the_user_counts_as_theirs_with_any_name_in_it(bench: Make, name: str) -> None:
    made = bench(a_step("a"))
    put(made, who=name)
    with pytest.raises(RefusedError, match="carries it out as well"):
        asked(made, separate_approver=True)


def test_another_is_named_by_the_owner_of_the_file(bench: Make, foreign: Foreign) -> None:
    made = bench(a_step("a"))
    put(made, who="grace@desk")
    foreign()
    told = asked(made, separate_approver=True)
    assert told["who"] == f"grace@desk (claimed; the file is of {ME})"
    assert told["separate"].startswith("by the owner of the file only")


def test_it_is_claimed_only_where_nothing_up_to_the_store_can_be_changed(
    bench: Make, foreign: Foreign, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = bench(a_step("a"))
    path = put(made)
    (one,) = made.store.approvals(kept(made))
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)
    assert not made.store.approved_by_another(one), "who owns a folder gives themselves the right to write it"
    owner = path.stat().st_uid
    foreign()
    assert made.store.approved_by_another(one)
    told = asked(made, separate_approver=True)
    assert told["separate"] == "the store lets nobody approve who carries this out"
    assert told["authenticated"] is True
    monkeypatch.setattr(os, "access", lambda place, *_args, **_more: place == made.store.folder)
    assert not made.store.approved_by_another(one), "the store's folder can be written to"
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)
    monkeypatch.setattr(approvals, "SUBORDINATE", tmp_path / "subuid")
    (tmp_path / "subuid").write_text(f"# none\nodd\n4001:{owner}:1\n")
    assert not made.store.approved_by_another(one), "a subordinate user of one's own is oneself"
    assert made.store.approvals(kept(made))[0].own
    (tmp_path / "subuid").write_text(f"4001:{owner + 1}:5\nother:{owner}:1\n")
    assert made.store.approved_by_another(one)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not made.store.approved_by_another(one), "root may write anything"


def test_a_link_on_the_way_proves_nothing(bench: Make, foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(a_step("a"))
    path = put(made)
    folder = path.parent
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    (one,) = made.store.approvals(kept(made))
    foreign()
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)
    assert not made.store.approved_by_another(one)


@pytest.mark.parametrize("name", ["approvals", "."])
def test_where_everybody_may_write_nobody_approved_anything(bench: Make, name: str) -> None:
    made = bench(a_step("a"))
    put(made)
    place = (made.store.folder / name).resolve()
    place.chmod(0o777)
    with pytest.raises((RefusedError, FileError), match="may be written by every user") as found:
        asked(made)
    assert found.value.remedy == f"chmod o-w {place}"


@pytest.mark.parametrize("first", ["keep", "lock", "run"])
def test_a_store_is_made_for_its_user_alone(tmp_path: Path, first: str) -> None:
    store = Store(tmp_path / "above" / "store")
    before = os.umask(0)
    try:
        if first == "keep":
            store.approve(Approval(digest="d" * 64, who="ada", when=LATER, until=LATER))
        elif first == "lock":
            with store.lock_runbook("d" * 64, LATER):
                pass
        else:
            store.new_run()
    finally:
        os.umask(before)
    assert store.folder.stat().st_mode & 0o777 == 0o700
    modes = {path.stat().st_mode & 0o777 for path in store.folder.rglob("*") if path.is_file()}
    assert modes == {0o600}


# --- one's own, with --yes --------------------------------------------------------------------------------------------------------


def test_yes_writes_an_approval_under_which_the_run_continues(bench: Make) -> None:
    made = bench(a_step("a"))
    told = asked(made, yes=True)
    assert (told["how"], told["who"]) == ("self-approved with --yes", who())
    (one,) = made.store.approvals(kept(made))
    assert one.approval is not None
    assert (one.approval.kind, one.path.name) == ("self-approved", told["file"])
    begun(made, hours_ago=0, approved=told)
    look(made)
    with pytest.raises(RefusedError, match="who carries it out approved it"):
        look(made, separate_approver=True)


def test_what_somebody_approved_with_yes_is_for_them_to_carry_out_with_yes(bench: Make, foreign: Foreign) -> None:
    made = bench(a_step("a"))
    asked(made, yes=True)
    with pytest.raises(RefusedError, match="is not approved"):
        asked(made)
    asked(made, yes=True)
    assert len(made.store.approvals(kept(made))) == 1, "it is not written a second time"
    foreign()
    with pytest.raises(RefusedError, match="approve"):
        asked(made, separate_approver=True)


@pytest.mark.parametrize("error", [FileError("cannot be written"), ForbiddenError("the store refused")])
def test_yes_needs_the_right_to_write_approvals(bench: Make, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(a_step("a"))
    digest = kept(made)

    def refuse(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(made.store, "_write", refuse)
    with pytest.raises(RefusedError, match="this store does not let you") as found:
        asked(made, yes=True)
    assert f"drkit approve {digest[:12]}" in found.value.remedy


OLD = {"who": "ada@desk", "how": "self-approved with --yes", "when": "2026-11-23T08:00:00Z"}


def test_a_run_that_the_earlier_version_began_with_yes_continues_under_a_new_approval(bench: Make) -> None:
    """Whoever writes journals can write such a run: its word alone carries nothing out, and leaves no approval behind."""
    made = bench(a_step("a"))
    begun(made, approved=OLD)
    with pytest.raises(RefusedError, match="no approval"):
        look(made, separate_approver=True)
    with pytest.raises(RefusedError, match="a journal alone is none") as found:
        look(made)
    assert f"drkit approve {kept(made)[:12]}" in found.value.remedy
    assert made.store.approvals(kept(made)) == []
    put(made)
    look(made)
    assert len(made.store.approvals(kept(made))) == 1


@pytest.mark.parametrize(
    ("version", "hours", "told", "goes_on"),
    [
        (1, 2, {"how": "unauthenticated"}, True),
        (1, 0.5, {"how": "unauthenticated"}, False),
        (2, 2, {"how": "unauthenticated"}, False),
        (1, 2, {"how": "unauthenticated", "file": "x.json"}, False),
    ],
)
def test_a_store_of_the_version_before_may_have_been_copied(
    bench: Make, version: int, hours: float, told: dict[str, Any], goes_on: bool
) -> None:
    made = bench(a_step("a"))
    begun(made, hours_ago=1, approved={"who": "ada@desk", **told})
    times = {"when": in_hours(-hours), "until": in_hours(1), "drkit": f"approval/{version}"}
    made.store.approve(msgspec.convert({"digest": kept(made), "who": "ada@desk", **times}, Approval))
    if goes_on:
        look(made)
    else:
        with pytest.raises(RefusedError, match="after that"):
            look(made)
    with pytest.raises(RefusedError):
        look(made, separate_approver=True)


@pytest.mark.parametrize("told", [{**OLD, "file": "x.json"}, {**OLD, "how": "authenticated"}])
def test_only_a_journal_of_the_version_before_says_so(bench: Make, told: dict[str, Any]) -> None:
    made = bench(a_step("a"))
    begun(made, approved=told)
    with pytest.raises(RefusedError, match="no approval"):
        look(made)


# --- which runbook is approved ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "latest", "abcdef1", "ABC", "0"])
def test_nobody_approves_without_saying_what(bench: Make, name: str) -> None:
    made = bench(a_step("a"))
    kept(made)
    with pytest.raises(UsageError, match="which runbook"):
        plan.approve(context_of(made), name)
    assert not (made.store.folder / "approvals").exists()


@pytest.mark.parametrize("cut", [8, 12, 64])
def test_a_digest_or_its_beginning_names_it(bench: Make, cut: int, tmp_path: Path, monkeypatch: Any) -> None:
    made = bench(a_step("a"))
    digest = kept(made)
    monkeypatch.chdir(tmp_path)
    Path(digest[:cut]).write_bytes(runbook.encode(msgspec.structs.replace(made.book, snapshot_digest="other")))
    assert plan.approve(context_of(made), digest[:cut].upper()).digest == digest


def test_a_file_called_like_a_digest_is_not_approved_for_it(bench: Make, tmp_path: Path, monkeypatch: Any) -> None:
    made = bench(a_step("a"))
    monkeypatch.chdir(tmp_path)
    Path("deadbeef").write_bytes(runbook.encode(made.book))
    with pytest.raises(RefusedError, match="called like a digest"):
        plan.approve(context_of(made), "deadbeef")
    assert plan.approve(context_of(made), "./deadbeef").digest == kept(made)


def test_approve_shows_what_it_approves(here: Here) -> None:
    shown, done = here("show", "DIGEST"), here("approve", "DIGEST")
    assert done.code == 0
    for line in shown.out.splitlines()[:-1]:
        assert line in done.out
    assert "the owner of its file" in " ".join(done.out.split())
    for words in (("approve",), ("approve", "latest")):
        refused = here(*words)
        assert (refused.code, "at least 8 digits" in refused.err) == (64, True)


@pytest.mark.parametrize(("said", "code"), [("yes", 0), ("", 4), ("y", 4)])
def test_at_a_terminal_it_is_asked(here: Here, monkeypatch: pytest.MonkeyPatch, said: str, code: int) -> None:
    questions: list[str] = []

    def answer(question: str, **_more: object) -> str:
        questions.append(question)
        return said

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.prompt", answer)
    assert here("approve", "DIGEST").code == code
    assert len(questions) == 1
    assert here.path(".drkit/approvals").exists() == (code == 0)


# what takes over though only a tag speaks for it

SOURCE, PREPARED = "/subscriptions/s/resourceGroups/r/p/n/t/old", "/subscriptions/s/resourceGroups/r/p/n/t/tagged"


def of_a_candidate(made: Bench, marker: str = "runbook/2") -> Bench:
    verify = a_step("v", "verify", plan=SOURCE, target=PREPARED)
    made.book = msgspec.structs.replace(made.book, drkit=marker, steps=(verify,))
    return made


def test_an_approval_counts_only_where_it_names_what_only_a_tag_speaks_for(bench: Make) -> None:
    made = of_a_candidate(bench(a_step("a")))
    put(made)
    put(made, targets=("/another",), hours_ago=1)
    with pytest.raises(RefusedError) as error:
        asked(made)
    assert PREPARED in error.value.what
    assert f"--target {PREPARED}" in error.value.remedy
    own = Settings(products={"codespaces": {"replicas": {"old": PREPARED}}})
    assert replicas.candidates(made.book, own, {}) == {}
    put(made, targets=(PREPARED.upper(),), hours_ago=2, who="ada@desk")
    assert asked(made)["targets"] == [PREPARED.upper()]


def test_yes_asks_for_it_by_name_too(bench: Make) -> None:
    made = of_a_candidate(bench(a_step("a")))
    with pytest.raises(RefusedError, match="a journal names"):
        asked(made, yes=True)
    with pytest.raises(RefusedError, match="does not move to"):
        asked(made, yes=True, targets=("/another",))
    assert made.store.approvals(kept(made)) == []
    assert asked(made, yes=True, targets=(PREPARED,))["targets"] == [PREPARED]
    assert asked(made, yes=True)["targets"] == [PREPARED]


def test_a_run_continues_only_under_an_approval_that_names_it(bench: Make) -> None:
    made = of_a_candidate(bench(a_step("a")))
    begun(made)
    put(made, hours_ago=2)
    context = context_of(made)
    with pytest.raises(RefusedError, match="no approval"):
        approval.check_approved(context, RUN, made.store.state(RUN), context.clock, candidates(context, made.book))
    put(made, hours_ago=3, targets=(PREPARED,), who="ada@desk")
    approval.check_approved(context, RUN, made.store.state(RUN), context.clock, candidates(context, made.book))


def test_approve_asks_for_the_whole_id_of_what_only_a_tag_speaks_for(here: Here) -> None:
    digest = here("show", "--json").json["digest"]
    assert here("show").out.count("LOOK") == 0
    toml = here.folder / "drkit.toml"
    lines = toml.read_text("utf-8").splitlines()
    named = next(line for line in lines if "auto-ops-dr-eus" in line)
    toml.write_text("\n".join(line for line in lines if line != named), "utf-8")
    replica = named.split('"')[3]
    shown = " ".join(here("show").out.split())
    assert f"--target {replica}" in shown
    refused = here("approve", digest)
    assert (refused.code, f"--target {replica}" in " ".join(refused.err.split())) == (4, True)
    assert not list((here.folder / ".drkit").rglob("approvals/*.json"))
    assert here("approve", digest, "--target", replica.rpartition("/")[2]).code == 4
    assert here("approve", digest, "--target", replica).code == 0
    (kept_one,) = (here.folder / ".drkit").rglob("approvals/*.json")
    assert replica in kept_one.read_text("utf-8")


def test_a_runbook_of_the_first_format_can_be_carried_out_and_no_longer_approved(bench: Make) -> None:
    """Its steps need not carry what must still hold, so whoever may write runbooks must not go back to it."""
    made = bench(a_step("a"))
    made.book = msgspec.structs.replace(made.book, drkit="runbook/1", settings={}, target_plans={})
    with pytest.raises(RefusedError, match="runbook/1"):
        plan.approve(context_of(made), kept(made))
    with pytest.raises(RefusedError, match="runbook/1"):
        asked(made, yes=True)
    assert not made.store.approvals(kept(made))
    put(made)
    assert asked(made)["who"]
