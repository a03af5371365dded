"""What a run makes of messages: who may end which step by a word, what is ignored, and how people hear of it."""

from __future__ import annotations

import asyncio
import os
from typing import Any, cast

import msgspec
import pytest

from drkit.api import control, status
from drkit.cli.views import status as status_view
from drkit.errors import UsageError
from drkit.execution import results
from drkit.model.runbook import Affected
from drkit.store import records
from drkit.store.records import LONGEST, Message
from tests.api.test_control import begun, context_of
from tests.execution.test_runner import ADA, RUN, Bench, Make, Scripted, bench, host_chain
from tests.model.test_runbook import a_step

__all__ = ["bench"]


def noted(made: Bench) -> list[str]:
    return [event.text for event in made.shown if event.kind == "note"]


def ignored(made: Bench) -> list[str]:
    return [str(one.data["reason"]) for one in made.records if one.data.get("what") == "ignored"]


@pytest.mark.parametrize("effect", ["verify", "wait", "create", "register", "release", "disable", "delete"])
def test_a_word_ends_only_a_step_that_asks_a_person(bench: Make, effect: str) -> None:
    made = bench(a_step("a"), a_step("s", effect, needs=("a",)))
    made.say("answer", "s", "looked at, fine")
    actor = Scripted()
    made.go(actor, resumed=True)
    assert [call for call, _ in actor.calls if call.startswith("s.")], "drkit did it, or looked, itself"
    assert "answered" not in [one.kind for one in made.records]
    (why,) = ignored(made)
    assert f"s asks nothing of a person: it is of effect {effect}" in why
    assert noted(made) == [f"ignored {why}"]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"what": "skip", "step": "nope", "text": "because"}, "names a step that this run does not have: nope"),
        ({"what": "retry", "step": "nope"}, "names a step that this run does not have: nope"),
        ({"what": "answer", "step": "nope"}, "names a step that this run does not have: nope"),
        ({"what": "answer"}, "names no step"),
        ({"what": "retry", "step": "a"}, "does not fit a, which is pending"),
        ({"what": "skip", "step": "a", "text": " "}, "gives no reason"),
        ({"what": "abort", "text": ""}, "gives no reason"),
        ({"what": "explode", "step": "a"}, "'explode' is not one of: abort, answer"),
        ({"what": ""}, "is not one of"),
        ({"what": "pause", "text": "x" * 4001}, "its text has 4001 characters"),
        ({"what": "skip", "step": "a" * 501, "text": "y"}, "its step has 501 characters"),
        ({"what": "pause", "who": "w" * 201}, "its who has 201 characters"),
        ({"what": "pause", "drkit": "message/2"}, "'message/2', not message/1"),
    ],
)
def test_what_a_run_does_not_understand_is_ignored_journaled_and_named(
    bench: Make, message: dict[str, Any], why: str
) -> None:
    made = bench(a_step("a"))
    made.store.send(RUN, msgspec.convert(message, Message))
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"
    (said,) = ignored(made)
    assert why in said
    assert noted(made) == [f"ignored {said}"]
    assert made.store.inbox(RUN) == []
    shown = "\n".join(str(part) for part in status_view.parts(made.book, made.state, "succeeded", ""))
    assert "1 message ignored" in shown
    assert why[:60] in shown


def test_what_is_in_the_way_in_the_inbox_is_ignored(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", "ask"))
    made.say("answer", "b", "done")
    folder = made.store.send(RUN, Message(what="pause", text="lunch")).parent
    os.mkfifo(folder / "0-fifo.json")
    (folder / "0-folder.json").mkdir()
    (folder / "0-link.json").symlink_to("/dev/zero")
    (folder / "0-huge.json").write_bytes(b'{"drkit": "message/1", "what": "' + b"x" * records.LARGEST_MESSAGE + b'"}')
    (folder / "0-deep.json").write_bytes(b"[" * 20_000)
    (folder / "0-odd.json").write_bytes(b"\xff\xfe\x00")
    made.go(Scripted(), resumed=True)
    told = "\n".join(ignored(made))
    for name in ("0-fifo", "0-folder", "0-link", "0-huge", "0-deep", "0-odd"):
        assert f"{name}.json: " in told
    assert made.state.of("b").said
    assert made.state.paused.startswith("paused by nobody named")
    assert not list(folder.glob("*.json")), "nothing is read a second time"


def test_what_cannot_be_moved_out_of_the_way_is_ignored_once(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(a_step("a"), a_step("b", "ask", needs=("a",)))
    made.say("skip", "nope")
    monkeypatch.setattr(type(made.store), "set_aside", lambda *_args: None)
    made.go(Scripted(), wait=1.0)
    assert len(ignored(made)) == 1


def test_a_flood_is_read_in_parts_and_counted(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", "ask"), a_step("c", needs=("b",)))
    folder = made.store.send(RUN, Message(what="unpause")).parent
    for number in range(3_000):
        (folder / f"0-{number:04d}.json").write_bytes(b"{}")
    made.say("answer", "b", "done")
    assert made.go(Scripted(), wait=60.0).outcome == "succeeded", "the one behind them is heard"
    assert 50 <= len(ignored(made)) < 100
    assert made.state.ignored_number == 3_000
    assert len(made.state.ignored) == 20


def test_messages_that_are_ignored_do_not_prolong_a_wait(bench: Make) -> None:
    made = bench(a_step("b", "ask"))
    sleep = made.clock.sleep

    async def nagged(seconds: float) -> None:
        await sleep(seconds)
        made.say("skip", "nope")

    made.clock.sleep = nagged  # type: ignore[method-assign]
    made.go(Scripted(), wait=2.0)
    assert made.clock.seconds < 200


def test_a_name_is_a_claim_beside_the_owner_of_the_file(bench: Make) -> None:
    made = bench(a_step("b", "ask"))
    made.say("answer", "b", "done")
    made.go(Scripted(), resumed=True)
    record = next(one for one in made.records if one.kind == "answered")
    assert record.data["who"] == ADA
    assert made.state.of("b").who == record.data["who"]


def test_a_name_needs_no_doubt_where_the_file_is_theirs() -> None:
    assert records.claimed_name("grace@desk", "user grace") == "grace@desk"
    assert records.claimed_name("grace@desk", "") == "grace@desk (claimed)"
    assert records.claimed_name("", "user eve") == "nobody named (claimed; the file is of user eve)"


def test_what_is_done_by_a_word_is_shown_as_said(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", "ask"))
    begun(made, Scripted())
    made.say("answer", "b", "done")
    made.go(Scripted(), resumed=True)
    standing = status.status(context_of(made), RUN)
    shown = "\n".join(str(part) for part in status_view.parts(standing.runbook, standing.state, standing.outcome, ""))
    assert "1 done, 1 said" in shown
    found = results.report(
        RUN, standing.runbook, "", standing.state, outcome="", reason="", since="", objective_minutes=1
    )
    assert [step["status"] for step in found["steps"]] == ["done", "said"]


def test_a_word_for_a_verification_in_an_older_journal_is_not_believed(bench: Make) -> None:
    """drkit 0.1 took an answer for any step: such a run goes on, and looks itself."""
    made = bench(*host_chain())
    whole = Affected(
        environment="e", name="e", plan="", owner="", disposition="reregister", reason="", data_at_risk="none",
        proof_step="verify",
    )  # fmt: skip
    made.book = msgspec.structs.replace(made.book, environments=(whole,))
    begun(made, Scripted())

    async def forged() -> None:
        async with made.store.open_journal(RUN, cast("Any", made.clock)) as kept_journal:
            for step in made.book.steps:
                await kept_journal.append("answered", step=step.id, data={"detail": "fine", "who": "ciso@contoso"})
            await kept_journal.append("ended", data={"outcome": "succeeded", "reason": ""})

    asyncio.run(forged())
    standing = status.status(context_of(made), RUN)
    assert standing.outcome == "partial"
    assert results.outcomes(standing.runbook, standing.state)[0].ending != "recovered"
    assert "proves nothing" in standing.state.of("verify").detail
    actor = Scripted()
    assert made.go(actor, resumed=True).outcome == "succeeded"
    assert actor.counted("verify.verify") or actor.counted("verify.act")
    assert not made.state.of("verify").said


def test_what_a_run_would_ignore_is_not_sent(bench: Make) -> None:
    made = bench(a_step("p:a:make"), a_step("p:b:ask", "ask"))
    begun(made, Scripted())
    context = context_of(made)
    with pytest.raises(UsageError, match="at most 4000"):
        control.answer(context, RUN, "p:b:ask", "x" * (LONGEST["text"] + 1))
    with pytest.raises(UsageError, match="at most 4000"):
        control.pause(context, RUN, "x" * (LONGEST["text"] + 1))
    assert made.store.inbox(RUN) == []
