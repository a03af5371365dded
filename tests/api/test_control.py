"""Pause, unpause, retry and abort, deadlines, shares and places: what a run does when it is told, or told so beforehand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from drkit.api import control
from drkit.api.context import Context
from drkit.errors import LockedError, RefusedError, UsageError
from drkit.execution import run_outcome
from drkit.model import runbook
from drkit.model.clock import SystemClock, rfc3339
from drkit.model.estate import Assessment, Reading
from drkit.model.operation import Operation
from drkit.model.runbook import Affected, Precondition, Step
from drkit.model.settings import RunSettings, Settings
from drkit.products.base import Observation, Result, StepContext, StepFailedError, changed_by
from drkit.store.store import Store
from tests.execution.test_runner import ADA, RUN, Answer, Bench, Make, Scripted, bench, host_chain, passing
from tests.model.test_runbook import a_step

__all__ = ["bench"]


def saying(made: Bench, what: str, step: str = "", text: str = "because") -> Callable[[], Result]:
    """An act during which somebody says something to the run."""

    def act() -> Result:
        made.say(what, step, text)
        return Result("made")

    return act


CHAIN = (a_step("a"), a_step("b", needs=("a",)), a_step("c", needs=("b",)))


def notes(made: Bench) -> list[str]:
    return [str(one.data["what"]) for one in made.records if one.kind == "control"]


# --- pausing ---------------------------------------------------------------------------------------------------------


def test_a_pause_lets_what_is_under_way_end_and_begins_nothing(bench: Make) -> None:
    made = bench(*CHAIN, pause_minutes=5.0)
    ending = made.go(Scripted(a__act=[saying(made, "pause", text="the target is busy")]))
    assert (ending.outcome, ending.reason) == ("partial", f"paused by {ADA}: the target is busy")
    assert made.kinds("a") == ["intent", "done"]
    assert made.kinds("b") == []
    assert made.clock.seconds >= 300


def test_a_pause_is_waited_out_from_when_it_was_said_not_from_the_end_of_what_was_under_way(bench: Make) -> None:
    """A step of 50 minutes is under way, and after it nothing is left to wait for but the rest of the pause."""
    made = bench(*CHAIN, pause_minutes=60.0)
    long = Operation(method="PUT", url="https://arm.example/operations/1", retry_after=1500)
    sleep = made.clock.sleep

    async def slept(seconds: float) -> None:
        while seconds == long.retry_after and not made.state.paused:  # noqa: ASYNC110  (the journal has no event)
            await asyncio.sleep(0.01)
        await sleep(seconds)

    made.clock.sleep = slept  # type: ignore[method-assign]

    def act() -> Operation:
        made.say("pause", "")
        return long

    ending = made.go(Scripted(a__act=[act], a__poll=[long, Result("made in the end")]))
    assert (ending.outcome, made.state.of("a").status) == ("partial", "done")
    assert 3600 <= made.clock.seconds < 3660


def test_an_unpaused_run_continues_in_the_same_process(bench: Make) -> None:
    made = bench(*CHAIN, a_step("z"), pause_minutes=60.0)
    seconds: list[float] = []
    sleep = made.clock.sleep

    async def watched(for_seconds: float) -> None:
        await sleep(for_seconds)
        if made.clock.seconds > 120 and not seconds:
            seconds.append(made.clock.seconds)
            made.say("unpause", "")

    made.clock.sleep = watched  # type: ignore[method-assign, assignment]
    assert made.go(Scripted(a__act=[saying(made, "pause")])).outcome == "succeeded"
    assert notes(made) == ["pause", "unpause"]


def test_a_run_that_was_paused_is_left_so_by_resume_until_somebody_unpauses_it(bench: Make) -> None:
    made = bench(*CHAIN, a_step("f"), pause_minutes=0.0)
    made.go(Scripted(a__act=[saying(made, "pause")], f__act=[StepFailedError("no")]))
    actor = Scripted()
    assert made.go(actor, resumed=True).outcome == "partial"
    assert actor.calls == []
    made.say("unpause", "")
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"


# --- trying again ------------------------------------------------------------------------------------------------------


def test_a_failed_step_is_tried_again_while_the_run_continues(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b"), a_step("c", needs=("b",)), concurrency=1)
    actor = Scripted(a__act=[StepFailedError("no such SKU")], b__act=[saying(made, "retry", "a")])
    assert made.go(actor).outcome == "succeeded"
    assert made.kinds("a") == ["intent", "failed", "reopen", "intent", "done"]
    assert next(one for one in made.records if one.data.get("what") == "reopen").data["who"] == ADA


def test_a_retry_of_what_has_not_failed_changes_nothing(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", needs=("a",)))
    assert made.go(Scripted(a__act=[saying(made, "retry", "b")])).outcome == "succeeded"
    assert made.kinds("b") == ["ignored", "intent", "done"]


# --- aborting ----------------------------------------------------------------------------------------------------------


def test_an_abort_ends_the_run_as_failed_with_whose_word_and_begins_nothing(bench: Make) -> None:
    made = bench(*CHAIN)
    ending = made.go(Scripted(a__act=[saying(made, "abort", text="wrong region")]))
    assert (ending.outcome, ending.reason) == ("failed", f"aborted by {ADA}: wrong region")
    assert made.kinds("a") == ["intent", "done"]
    assert made.kinds("b") == []


def test_an_abort_brings_a_released_host_home_first(bench: Make) -> None:
    made = bench(*host_chain(), a_step("other", needs=("verify",)))
    made.say("answer", "e:ready")
    ending = made.go(Scripted(release__act=[saying(made, "abort")]))
    assert ending.outcome == "failed"
    assert made.state.of("register").status == made.state.of("verify").status == "done"
    assert made.kinds("other") == []


def test_an_abort_releases_no_host_that_was_not_released(bench: Make) -> None:
    made = bench(*host_chain())
    made.say("answer", "e:ready")
    made.go(Scripted(reach__verify=[saying(made, "abort")], reach__act=[saying(made, "abort")]))
    assert made.kinds("release") == []


def test_an_abort_that_waits_for_an_interrupted_run_is_carried_out_by_resume(bench: Make) -> None:
    made = bench(*CHAIN)
    made.go(Scripted(a__act=[StepFailedError("no")]))
    made.say("abort", "", "enough")
    actor = Scripted()
    assert made.go(actor, resumed=True).outcome == "failed"
    assert actor.calls == []


def test_an_abort_outweighs_a_pause(bench: Make) -> None:
    made = bench(*host_chain(), a_step("other", needs=("verify",)), pause_minutes=0.0)
    made.say("answer", "e:ready")
    made.go(Scripted(release__act=[saying(made, "pause")], register__act=[StepFailedError("it is off")]))
    assert made.kinds("register") == ["intent", "failed"]
    made.say("abort", "", "enough")
    assert made.go(Scripted(), resumed=True).outcome == "failed"
    assert made.state.of("verify").status == "done"


# --- limits ------------------------------------------------------------------------------------------------------------


def test_when_its_time_is_over_a_run_begins_nothing_and_the_next_holder_has_as_much_again(bench: Make) -> None:
    made = bench(*CHAIN, run_minutes=10.0)

    def slow() -> Result:
        made.clock.seconds += 601
        return Result("made")

    ending = made.go(Scripted(a__act=[slow]))
    assert ending.outcome == "partial"
    assert "10 min" in ending.reason
    assert made.kinds("b") == []
    assert notes(made) == ["deadline"]


def test_a_limited_number_of_steps_runs_at_a_time_in_one_subscription(bench: Make) -> None:
    def target(number: int) -> str:
        return f"/subscriptions/{'AB'[number % 2]}/resourceGroups/g/providers/p/t/n{number}"

    class Crowd(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.now: Counter[str] = Counter()
            self.most: Counter[str] = Counter()

        async def act(self, step: Step, context: StepContext) -> Any:
            place = step.target[15]
            self.now[place] += 1
            self.most[place] = max(self.most[place], self.now[place])
            try:
                return await super().act(step, context)
            finally:
                self.now[place] -= 1

    actor = Crowd()
    made = bench(*(a_step(f"s{number}", target=target(number)) for number in range(12)), subscription_concurrency=2)
    assert made.go(actor).outcome == "succeeded"
    assert dict(actor.most) == {"A": 2, "B": 2}


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.0, "succeeded-with-exceptions"), (0.5, "succeeded-with-exceptions"), (0.8, "failed")]
)
def test_a_run_that_skips_too_much_has_failed(bench: Make, share: float, outcome: str) -> None:
    made = bench(*(a_step(f"s{number}", environment=f"e{number}") for number in range(4)))
    affected = tuple(
        Affected(
            environment=f"e{number}", name="", plan="", owner="", disposition="new", reason="", data_at_risk="",
            proof_step=f"s{number}",
        )
        for number in range(4)
    )  # fmt: skip
    state = made.state
    state.minimum_share = share
    for number in range(4):
        state.of(f"s{number}").status = "skipped" if number < 2 else "done"
    found = run_outcome.ending(msgspec.structs.replace(made.book, environments=affected), state)
    assert found.outcome == outcome


# --- the commands ------------------------------------------------------------------------------------------------------


def context_of(made: Bench, **settings: Any) -> Context:
    class Clocked:
        mark = made.book.cloud

        def clock(self) -> SystemClock:
            return SystemClock()

    context = Context(Settings(run=RunSettings(**settings)), made.store, lambda: cast("Any", Clocked()))
    made.store.judge = lambda _book, _where: None  # the scripted product has no table
    return context


def begun(made: Bench, actor: Scripted) -> None:
    """As ``go``, with the record by which a run is known."""
    path = made.store.keep_runbook(runbook.encode(made.book))

    async def start() -> None:
        async with made.store.open_journal(RUN, cast("Any", made.clock)) as journal:
            await journal.append("started", data={"runbook": path.stem, "holder": "ada@desk process 1"})

    asyncio.run(start())
    made.go(actor)


def test_only_what_failed_or_drifted_can_be_tried_again(bench: Make) -> None:
    made = bench(a_step("p:a:make"), a_step("p:b:make"))
    told: dict[str, list[Answer]] = {"p:a:make__act": [StepFailedError("no")]}
    begun(made, Scripted(**told))
    context = context_of(made)
    assert control.retry(context, RUN, "p:a:make") == "p:a:make"
    with pytest.raises(RefusedError, match="is done"):
        control.retry(context, RUN, "p:b:make")
    assert [one.message.what for one in made.store.inbox(RUN) if one.message] == ["retry"]


def test_a_run_that_has_ended_hears_nothing(bench: Make) -> None:
    made = bench(a_step("a"))
    begun(made, Scripted())
    context = context_of(made)
    with pytest.raises(UsageError, match="reason"):
        control.abort(context, RUN, "  ")

    async def end() -> None:
        async with made.store.open_journal(RUN, cast("Any", made.clock)) as journal:
            await journal.append("ended", data={"outcome": "succeeded"})

    asyncio.run(end())
    for say in (control.pause, control.unpause, lambda context, run: control.abort(context, run, "x")):
        with pytest.raises(RefusedError, match="has ended"):
            say(context, RUN)
    assert made.store.inbox(RUN) == []


def test_a_held_run_is_not_rebased_and_an_old_assessment_is_not_planned_on(bench: Make) -> None:
    made = bench(a_step("a"))
    begun(made, Scripted(a__act=[StepFailedError("no")]))
    context = context_of(made)

    async def held() -> None:
        async with made.store.open_journal(RUN, cast("Any", made.clock)):
            assert made.store.holder(RUN)
            control.rebase(context, RUN)

    with pytest.raises(LockedError, match="held by"):
        asyncio.run(held())
    assert made.store.holder(RUN) == ""
    with pytest.raises(RefusedError, match="drkit assess"):
        control.rebase(context, RUN)
    made.store.keep(Assessment(cloud=made.book.cloud, taken="2026-11-23T07:00:00Z"))
    with pytest.raises(RefusedError, match="older than the last record"):
        control.rebase(context, RUN)


def test_what_may_pass_is_not_tried_again_by_itself_in_a_paused_run(bench: Make) -> None:
    made = bench(a_step("a"), pause_minutes=0.0)
    made.say("pause", "")
    assert made.go(Scripted(a__act=[passing()]), resumed=True).outcome == "partial"
    assert made.kinds("a") == []


def test_messages_carry_the_time_of_the_cloud(bench: Make) -> None:
    made = bench(a_step("a"))
    begun(made, Scripted(a__act=[StepFailedError("no")]))
    control.pause(context_of(made), RUN, "lunch")
    message = made.store.inbox(RUN)[0].message
    assert message is not None
    assert (message.what, message.text) == ("pause", "lunch")
    assert message.when[:4] == rfc3339(SystemClock().now())[:4]


# --- who changed it ------------------------------------------------------------------------------------------------------

TOLD = {"lastModifiedBy": "eve@contoso.example", "lastModifiedAt": "2026-11-23T07:10:00Z"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"systemData": TOLD}, "eve@contoso.example at 2026-11-23T07:10:00Z"),
        ({"systemData": {"createdBy": "mallory"}}, "mallory"),
        ({"systemData": None}, ""),
        ({"systemData": {"lastModifiedBy": None}}, ""),
        ({}, ""),
    ],
)
def test_who_changed_an_object_is_read_where_arm_tells(body: dict[str, Any], said: str) -> None:
    assert changed_by(body) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"/p": "eve at noon"}, "; changed by eve at noon"), ({"/p": ""}, "; Azure does not tell by whom"), ({}, "")],
)
def test_drift_names_who_changed_what_or_that_nobody_tells(bench: Make, changed: dict[str, str], said: str) -> None:
    made = bench(a_step("a", preconditions=(Precondition("/P", "exists", False, "ARM"),)))
    seen = Observation("", (Reading("/p", "exists", True, "ARM", ""),), changed=changed)
    assert made.go(Scripted(a__observe=[seen])).outcome == "partial"
    assert made.state.of("a").detail == f"exists of P is True, not False{said}"


def test_a_message_that_remained_after_a_crash_is_not_processed_again(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(*CHAIN, pause_minutes=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "obeyed", lambda *_args: None)
        made.go(Scripted(a__act=[saying(made, "pause")]))
        made.say("unpause", "")
        assert made.go(Scripted(), resumed=True).outcome == "succeeded"
    assert notes(made) == ["pause", "unpause"]
    assert len(made.store.inbox(RUN)) == 2
