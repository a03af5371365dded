"""Hosts in doubt: whatever is said to a run, one that was released is registered again, or is said to be registered nowhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drkit.api import status as status_
from drkit.errors import UnknownFateError, UnreachableError
from drkit.model.estate import Reading
from drkit.model.operation import Operation
from drkit.model.run import Record, RunState, StepState, StepStatus, fold
from drkit.model.runbook import Precondition, Step
from drkit.planning import hosts_in_doubt
from drkit.products.base import Observation, RegisteredElsewhereError, Result, StepFailedError
from tests.execution.test_runner import NOBODY, Bench, Make, QuickClock, Scripted, bench, host_chain
from tests.model.test_runbook import a_step
from tests.support.patience import PATIENCE

__all__ = ["bench"]
CHAIN = ("release", "register", "verify")
RUNNING = Operation(method="DELETE", url="https://arm.example/operations/1", stage="deleting")


def chain(**changes: Any) -> tuple[Step, ...]:
    """A release, a registration and its proof, with nobody to ask."""
    return (
        a_step("release", "release", environment="e", host="/vm/a", plan="/plans/old", **changes),
        a_step("register", "register", needs=("release",), environment="e", host="/vm/a", plan="/plans/old"),
        a_step("verify", "verify", action="verify", needs=("register",), environment="e", plan="/plans/old"),
    )


def saying(made: Bench, what: str, step: str = "", *, answer: Any = None) -> Callable[[], Any]:
    def act() -> Any:
        made.say(what, step)
        return answer or Result("made")

    return act


def doubts(made: Bench) -> list[str]:
    return [one.words for one in hosts_in_doubt.in_doubt(made.book, made.state)]


# --- a skip ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skipped", CHAIN)
@pytest.mark.parametrize("running", [False, True])
def test_no_skip_takes_a_step_out_of_a_chain_whose_release_may_have_left(
    bench: Make, skipped: str, running: bool
) -> None:
    """Neither the release under way, nor the registration after it, nor the proof alone."""
    made = bench(*chain())
    begun = saying(made, "skip", skipped, answer=RUNNING if running else None)
    actor = Scripted(release__act=[begun], release__poll=[RUNNING] * 3)
    ending = made.go(actor)
    assert ending.outcome == "succeeded"
    assert {made.state.of(step).status for step in CHAIN} == {"done"}
    assert "ignored" in made.kinds(skipped)
    assert actor.counted("register.act") == 1


def test_a_skip_that_waits_for_an_interrupted_run_removes_nothing_from_such_a_chain(bench: Make) -> None:
    made = bench(*chain())
    assert made.go(Scripted(register__act=[StepFailedError("the machine is off")])).outcome == "partial"
    made.say("skip", "register")
    assert made.go(Scripted(register__act=[StepFailedError("the machine is off")]), resumed=True).outcome == "partial"
    assert doubts(made) == ["e was taken off old, and its registration failed"]
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"


def test_what_was_not_begun_is_skipped_with_its_release(bench: Make) -> None:
    made = bench(a_step("first"), *(chain(needs=("first",))))
    actor = Scripted(first__act=[saying(made, "skip", "verify")])
    assert made.go(actor).outcome == "succeeded-with-exceptions"
    assert {made.state.of(step).status for step in CHAIN} == {"skipped"}
    assert not actor.counted("release.act")


def test_a_release_that_is_looked_at_when_its_registration_is_skipped_does_not_leave(bench: Make) -> None:
    made = bench(*chain())

    async def observe(step: Step, context: Any) -> Observation:
        if step.id == "release":
            made.say("skip", "register")
            while not made.kinds("register"):  # noqa: ASYNC110  (the journal has no event to wait for)
                await asyncio.sleep(0.01)
        return Observation()

    actor = Scripted()
    actor.observe = observe  # type: ignore[method-assign]
    assert made.go(actor).outcome == "succeeded-with-exceptions"
    assert made.kinds("release") == ["skipped"]
    assert not actor.counted("release.act")


def test_a_registration_that_was_put_back_is_in_no_doubt(bench: Make) -> None:
    made = bench(*host_chain())
    made.say("answer", "e:ready")
    made.go(Scripted(register__act=[NOBODY]))
    assert doubts(made) == []
    made.say("skip", "register")
    assert made.go(Scripted(), resumed=True).outcome == "succeeded-with-exceptions"
    assert doubts(made) == []


def test_one_that_was_not_put_back_is_in_doubt_and_an_abort_asks_its_owner_once_more(bench: Make) -> None:
    made = bench(*host_chain())
    made.say("answer", "e:ready")
    nowhere = StepFailedError("nobody signed in; it is registered nowhere", reopen=("e:ready",))
    made.go(Scripted(register__act=[nowhere]))
    assert doubts(made)
    made.say("abort", "")
    ending = made.go(Scripted(), resumed=True, wait=1)
    assert ending.outcome == "failed"
    assert "its registration failed" in ending.reason
    assert made.state.of("e:ready").status == "asked"
    made.say("answer", "e:ready")
    ending = made.go(Scripted(), resumed=True)
    assert ending.outcome == "succeeded"
    assert ending.reason.startswith("every step is done, though aborted by ada")
    assert doubts(made) == []


# --- an abort, a pause, a deadline -------------------------------------------------------------------------------------


def slow(made: Bench) -> Scripted:
    """A deletion that is accepted and does not end in the step's time."""
    return Scripted(release__act=[RUNNING], release__poll=[RUNNING] * 999)


def test_an_abort_sees_a_release_through_that_failed_of_its_time(bench: Make) -> None:
    made = bench(*chain(), a_step("other", needs=("verify",)), step_minutes=5)
    assert made.go(slow(made)).outcome == "partial"
    assert doubts(made) == ["e may have been taken off old and is registered nowhere"]
    made.say("abort", "")
    ending = made.go(Scripted(), resumed=True)
    assert ending.outcome == "failed"
    assert re.fullmatch(r"aborted by ada.*: because", ending.reason)
    assert {made.state.of(step).status for step in CHAIN} == {"done"}
    assert made.kinds("other") == []


def test_an_aborted_run_that_could_not_finish_names_unregistered_hosts_and_can_be_resumed(bench: Make) -> None:
    made = bench(*chain(), a_step("other", needs=("verify",)), step_minutes=5)
    made.go(slow(made))
    made.say("abort", "")
    again = Scripted(release__act=[RUNNING], release__poll=[RUNNING] * 999)
    ending = made.go(again, resumed=True)
    assert ending.outcome == "failed"
    assert "e may have been taken off old and is registered nowhere: `drkit resume run-0001`" in ending.reason
    assert re.fullmatch(r"aborted by ada.*: because", made.go(Scripted(), resumed=True).reason)


@pytest.mark.parametrize("what", ["pause", "abort"])
def test_nothing_that_holds_a_run_holds_what_finishes_a_released_host(bench: Make, what: str) -> None:
    made = bench(*chain(), a_step("other", needs=("verify",)), pause_minutes=0.0)
    made.go(Scripted(release__act=[saying(made, what)]))
    assert made.state.of("verify").status == "done"
    assert made.kinds("other") == []


def test_the_end_of_its_holders_time_does_not_leave_a_host_off(bench: Make) -> None:
    made = bench(*chain(), a_step("other", needs=("verify",)), run_minutes=10.0)

    def late() -> Result:
        made.clock.seconds += 601
        return Result("made")

    assert made.go(Scripted(release__act=[late])).outcome == "partial"
    assert made.state.of("verify").status == "done"
    assert made.kinds("other") == []


class Walking(QuickClock):
    """A clock whose waits take so many real seconds, so that messages are read between two polls."""

    def __init__(self, real: float = 0.02) -> None:
        super().__init__()
        self.real = real
        self.waited: list[float] = []
        """The waits that were not cut short."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.real if seconds > 1 else 0.01)
        self.seconds += seconds
        self.waited.append(seconds)


def busy(made: Bench, what: str = "", times: int = 9999) -> Scripted:
    """A creation that is accepted and runs for very long; ``what`` is said at its second look."""
    looks: list[Any] = [RUNNING, saying(made, what, answer=RUNNING) if what else RUNNING, *([RUNNING] * times)]
    return Scripted(a__act=[RUNNING], a__poll=looks)


@pytest.mark.parametrize("what", ["abort", "pause"])
def test_an_operation_that_releases_no_host_does_not_keep_a_run_that_is_to_begin_nothing(
    bench: Make, what: str
) -> None:
    made = bench(a_step("a"), a_step("b", needs=("a",)), step_minutes=300, pause_minutes=1)
    made.clock = Walking()
    before = made.clock.seconds
    actor = busy(made, what)
    ending = made.go(actor)
    assert made.clock.seconds - before < 900, "seconds of the clock"
    assert made.state.of("a").status == "open"
    assert made.kinds("a")[:2] == ["intent", "operation"]
    assert (ending.outcome, made.kinds("b")) == ("failed" if what == "abort" else "partial", [])
    assert what == "pause" or "still under way: create x; `drkit resume run-0001` looks it up" in ending.reason


@pytest.mark.parametrize("what", ["abort", "pause"])
def test_a_resume_looks_such_an_operation_up_once_and_ends_the_run_when_it_is_over(bench: Make, what: str) -> None:
    made = bench(a_step("a"), a_step("b", needs=("a",)), step_minutes=300, pause_minutes=1)
    made.clock = Walking()
    made.go(busy(made, what))
    again = busy(made)
    made.go(again, resumed=True)
    assert (again.counted("a.poll"), again.counted("a.act")) == (1, 0)
    assert not status_.closed(made.book, ended(made))
    last = Scripted()
    ending = made.go(last, resumed=True)
    assert (last.counted("a.act"), made.state.of("a").status, made.kinds("b")) == (0, "done", [])
    assert status_.closed(made.book, ended(made)) == (what == "abort")
    assert "under way" not in ending.reason


def test_an_aborted_run_gives_up_an_operation_that_outlasts_the_limit_of_its_step(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", needs=("a",)), step_minutes=300, pause_minutes=1)
    made.clock = Walking()
    made.go(busy(made, "abort"))
    assert not status_.closed(made.book, ended(made))
    made.clock.seconds += 301 * 60
    again = busy(made)
    ending = made.go(again, resumed=True)
    assert (again.counted("a.poll"), again.counted("a.act")) == (1, 0)
    assert (ending.outcome, made.state.of("a").status, made.state.of("a").code) == ("failed", "failed", "Deadline")
    assert status_.closed(made.book, ended(made))


def test_a_long_pause_between_looks_is_cut_short_by_an_abort(bench: Make) -> None:
    slowly = Operation(method="PUT", url="https://arm.example/operations/2", stage="creating", retry_after=7200)
    made = bench(a_step("a"), step_minutes=300)

    made.clock = clock = Walking(real=PATIENCE)

    def act() -> Operation:
        made.say("abort", "")
        return slowly

    actor = Scripted(a__act=[act], a__poll=[slowly] * 99)
    assert made.go(actor).outcome == "failed"
    assert max(clock.waited, default=0.0) <= 1
    assert actor.counted("a.poll") == 1


def test_an_unpaused_run_continues_the_operation_that_was_running(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", needs=("a",)), step_minutes=300, pause_minutes=1)
    made.clock = Walking()
    looks: list[Any] = [
        RUNNING,
        saying(made, "pause", answer=RUNNING),
        RUNNING,
        saying(made, "unpause", answer=RUNNING),
        RUNNING,
    ]
    assert made.go(Scripted(a__act=[RUNNING], a__poll=looks)).outcome == "succeeded"


def ended(made: Bench) -> RunState:
    """The state with the end that ``apply`` journals."""
    return replace(made.state, outcome="failed")


def test_an_abort_after_the_last_step_changes_nothing_of_the_end(bench: Make) -> None:
    made = bench(a_step("a"))
    ending = made.go(Scripted(a__act=[saying(made, "abort")]))
    assert ending.outcome == "succeeded"
    assert "aborted by ada" in ending.reason


# --- drift -------------------------------------------------------------------------------------------------------------

GONE = Observation("", (Reading("/plan", "answers", "yes", "service", ""),))
LOST = (Precondition("/plan", "answers", "no", "service"),)


def killed(made: Bench) -> None:
    def die() -> Any:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        made.go(Scripted(release__act=[die]))


def test_a_deletion_under_way_is_waited_for_although_its_plan_answers_again(bench: Make) -> None:
    made = bench(*chain(preconditions=LOST))
    killed(made)
    actor = Scripted(release__observe=[GONE], release__settle=[RUNNING], release__poll=[RUNNING, Result("off")])
    assert made.go(actor, resumed=True).outcome == "succeeded"
    assert made.kinds("release") == ["intent", "operation", "done"]
    assert not actor.counted("release.act")


def test_a_deletion_of_which_nothing_came_leaves_no_doubt(bench: Make) -> None:
    made = bench(*chain(preconditions=LOST))
    killed(made)
    assert doubts(made)
    assert made.go(Scripted(release__observe=[GONE]), resumed=True).outcome == "partial"
    assert made.state.of("release").status == "drifted"
    assert doubts(made) == []


def test_a_deletion_whose_fate_cannot_be_learnt_stays_in_doubt_and_is_not_said_to_be_nothing(bench: Make) -> None:
    made = bench(*chain(preconditions=LOST))
    killed(made)
    blind = Scripted(release__observe=[GONE] * 9, release__settle=[UnreachableError("no answer")] * 9)
    assert made.go(blind, resumed=True).outcome == "partial"
    assert doubts(made)


def test_a_request_that_left_and_cannot_be_looked_after_is_never_called_nothing(bench: Make) -> None:
    made = bench(*chain())
    blind = [UnreachableError("no answer")] * 50
    actor = Scripted(release__act=[UnknownFateError("cut off")], release__observe=[Observation(), *blind])
    assert made.go(actor).outcome == "partial"
    detail = made.state.of("release").detail
    assert "nothing was done" not in detail
    assert "not known" in detail
    assert doubts(made)


def test_another_registration_between_the_two_is_drift_and_a_person_may_leave_it_so(bench: Make) -> None:
    made = bench(*chain())
    theirs = RegisteredElsewhereError("its extension names another account", another="https://other.example")
    assert made.go(Scripted(register__observe=[theirs])).outcome == "partial"
    assert made.state.of("register").status == "drifted"
    assert doubts(made) == ["e was taken off old, and another registration is on it now: https://other.example"]
    made.say("skip", "register")
    assert made.go(Scripted(register__observe=[theirs]), resumed=True).outcome == "succeeded-with-exceptions"
    assert doubts(made) == []


# --- by hand ----------------------------------------------------------------------------------------------------------


def by_hand() -> tuple[Step, ...]:
    """A registration that a person is asked for, and its proof."""
    return (
        a_step("by-hand", "ask", environment="e", host="/vm/a", plan="/plans/old"),
        a_step("verify", "verify", action="verify", needs=("by-hand",), environment="e", plan="/plans/old"),
    )


def unproved(made: Bench) -> list[str]:
    return [doubt.words for doubt in hosts_in_doubt.by_hand(made.book, made.state)]


def test_a_host_that_a_person_registered_and_nothing_proved_is_named_where_its_run_was_aborted(bench: Make) -> None:
    made = bench(*by_hand())
    assert made.go(Scripted(), wait=1).outcome == "partial"
    assert unproved(made) == [], "nobody answered"
    made.say("answer", "by-hand")
    assert made.go(Scripted(verify__verify=[StepFailedError("not listed")]), resumed=True).outcome == "partial"
    assert unproved(made) == ["e was registered by hand, as a person answered, and is not proved to serve"]
    (doubt,) = hosts_in_doubt.by_hand(made.book, made.state)
    assert hosts_in_doubt.remedy((doubt,), "run-0001") == "`drkit resume run-0001` looks again"
    made.say("abort", "")
    ending = made.go(Scripted(), resumed=True)
    assert ending.outcome == "failed"
    assert "e was registered by hand" in ending.reason
    assert "`drkit assess`, then `drkit plan` asks for it again" in ending.reason
    assert hosts_in_doubt.in_doubt(made.book, made.state) == (), "the run is over, and carries out nothing for it"


def test_a_host_that_is_proved_or_was_there_already_is_named_by_nobody(bench: Make) -> None:
    made = bench(*by_hand())
    made.go(Scripted(), wait=1)
    made.say("answer", "by-hand")
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"
    assert unproved(made) == []


# --- journals ------------------------------------------------------------------------------------------------------------


def test_a_step_that_was_skipped_after_its_intent_by_an_earlier_version_is_in_doubt() -> None:
    records = [
        Record(seq=number, time="2026-11-23T08:00:00Z", run="run-0001", token=1, kind=kind, step="release", prev="")  # type: ignore[arg-type]
        for number, kind in enumerate(("intent", "skipped"))
    ]
    assert fold(records).of("release").in_doubt


def test_a_step_that_was_never_begun_is_in_none(bench: Make) -> None:
    made = bench(*chain())
    never: tuple[StepStatus, ...] = ("pending", "failed", "drifted", "skipped", "asked")
    for status in never:
        state = made.state
        state.steps["release"] = StepState(status)
        assert hosts_in_doubt.in_doubt(made.book, state) == ()
