"""The engine alone: what it tries again and under which number, what stops what, and what it makes of messages and signals.

The product is a script of answers; journal and store are the real ones, on disk, under a clock that nobody waits for.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from drkit.errors import (
    ConflictError,
    DrkitError,
    ForbiddenError,
    NoAuthorityError,
    UnknownFateError,
    UnreachableError,
)
from drkit.execution import run_outcome
from drkit.execution.events import Event
from drkit.execution.intent import permitted
from drkit.execution.interrupt import InterruptibleClock
from drkit.execution.runner import Runner
from drkit.model import files
from drkit.model.actions import Action
from drkit.model.clock import Clock, rfc3339
from drkit.model.estate import Reading
from drkit.model.operation import Operation, Request
from drkit.model.run import Record, RunState
from drkit.model.runbook import Precondition, Runbook, Step
from drkit.model.settings import RunSettings, Settings
from drkit.products.base import Observation, Result, StepContext, StepFailedError
from drkit.store.records import Message
from drkit.store.store import Store
from tests.model.test_runbook import a_runbook, a_step

Answer = Operation | Result | Observation | DrkitError | Callable[[], Any]
RUN = "run-0001"
ADA = f"ada (claimed; the file is of {files.user_name(os.getuid())})"
"""How the sender of this bench's messages is written down."""


class QuickClock:
    """Time passes when somebody sleeps, and only then."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 8, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class Scripted:
    """An actor that answers as it was told, by ``step.call``; what it was not told it does at once, and well."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.answers = {name.replace("__", "."): list(listed) for name, listed in answers.items()}
        self.calls: list[tuple[str, int]] = []
        self.busy: Counter[str] = Counter()
        self.crowd = 0

    def requests(self, step: Step, context: StepContext) -> tuple[Request, ...]:
        return (Request("PUT", f"https://arm.example/{step.id}"),)

    async def _answer(self, call: str, step: Step, context: StepContext, otherwise: Any) -> Any:
        name = f"{step.id}.{call}"
        self.calls.append((name, context.attempt))
        told = self.answers.get(name)
        answer = told.pop(0) if told else otherwise
        if isinstance(answer, DrkitError):
            raise answer
        return answer() if callable(answer) else answer

    async def observe(self, step: Step, context: StepContext) -> Observation:
        seen = tuple(Reading(one.subject, one.signal, one.expected, "test", "") for one in step.preconditions)
        return cast("Observation", await self._answer("observe", step, context, Observation("", seen)))

    async def settle(self, step: Step, context: StepContext) -> Observation:
        assert permitted(), "settling happens under the step's intent"
        return cast("Observation", await self._answer("settle", step, context, Observation()))

    async def act(self, step: Step, context: StepContext) -> Operation | Result:
        assert [one.target for one in permitted()] == [f"https://arm.example/{step.id}"]
        self.busy[step.host] += 1
        self.crowd = max(self.crowd, self.busy[step.host] if step.host else 0)
        await asyncio.sleep(0.001)
        self.busy[step.host] -= 1
        return cast(
            "Result", await self._answer("act", step, context, Result("made", {"nonce": context.nonce(step.id)}))
        )

    async def poll(self, step: Step, operation: Operation, context: StepContext) -> Operation | Result:
        return cast("Result", await self._answer("poll", step, context, Result("made in the end")))

    async def verify(self, step: Step, context: StepContext) -> Operation | Result:
        return cast("Result", await self._answer("verify", step, context, Result("it answers")))

    def counted(self, name: str) -> int:
        return sum(call == name for call, _ in self.calls)


def an_action(step: Step) -> Action:
    """The row of a step's action: one that verifies sends nothing."""
    return Action(step.effect, ".*", methods=() if step.action == "verify" else ("POST",))


class Bench:
    """Runs a runbook in processes that are not any: each ``go`` opens the journal anew."""

    def __init__(self, folder: Path, *steps: Step, **settings: Any) -> None:
        self.store = Store(folder)
        self.store.new_run()
        self.book: Runbook = a_runbook(*steps)
        self.tables = {"p": {step.action: an_action(step) for step in steps}}
        self.settings = Settings(run=RunSettings(**settings))
        self.clock = QuickClock()
        self.shown: list[Event] = []

    def go(
        self, actor: Scripted, *, resumed: bool = False, wait: float = 0.0, stop: bool = False
    ) -> run_outcome.Ending:
        return asyncio.run(self._go(actor, resumed, wait, stop))

    async def _go(self, actor: Scripted, resumed: bool, wait: float, stop: bool) -> run_outcome.Ending:
        async with self.store.open_journal(RUN, self.clock) as journal:
            nap = InterruptibleClock(cast("Clock", self.clock))
            if stop:
                nap.stop()
            context = StepContext(
                run=RUN, runbook=self.book, azure=cast("Any", None), clock=nap, settings=self.settings, attempt=1,
                results=lambda step: journal.state.of(step).data, show_code=lambda _step, _code, _url: None,
            )  # fmt: skip
            runner = Runner(
                self.book, journal, self.store, {"p": actor}, self.tables, context,
                show=self.shown.append, wait_minutes=wait, stop=nap.stopped,
            )  # fmt: skip
            return await runner.run(resumed=resumed)

    @property
    def records(self) -> list[Record]:
        return self.store.records(RUN)

    @property
    def state(self) -> RunState:
        return self.store.state(RUN)

    def kinds(self, step: str) -> list[str]:
        return [str(one.data.get("what", one.kind)) for one in self.records if one.step == step]

    def attempts(self, step: str) -> list[int]:
        return [one.attempt for one in self.records if one.step == step and one.kind == "intent"]

    def say(self, what: str, step: str, text: str = "because") -> None:
        self.store.send(RUN, Message(what=what, step=step, text=text, who="ada", when=rfc3339(self.clock.now())))


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda *steps, **settings: Bench(tmp_path / "store", *steps, **settings)


Make = Callable[..., Bench]


# --- trying again ----------------------------------------------------------------------------------------------------


def passing() -> StepFailedError:
    return StepFailedError("the service is busy", code="8", again=True)


@pytest.mark.parametrize(
    "error", [passing(), UnreachableError("no answer"), UnknownFateError("cut off"), NoAuthorityError("no token")]
)
def test_what_may_pass_is_tried_three_times_with_growing_pauses_and_then_left(bench: Make, error: DrkitError) -> None:
    made = bench(a_step("a"), a_step("b"))
    actor = Scripted(a__act=[error] * 50)
    ending = made.go(actor)
    assert ending.outcome == "partial"
    assert made.kinds("a") == ["intent", "failed", "reopen", "intent", "failed", "reopen", "intent", "failed"]
    assert made.state.of("b").status == "done"
    times = [one.time for one in made.records if one.step == "a" and one.kind == "intent"]
    waits = [datetime.fromisoformat(two) - datetime.fromisoformat(one) for one, two in pairwise(times)]
    assert waits[0] >= timedelta(seconds=15)
    assert waits[1] >= timedelta(seconds=30)


def test_what_passes_is_done_in_the_same_run(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", needs=("a",)))
    assert made.go(Scripted(a__act=[passing()])).outcome == "succeeded"
    assert made.kinds("a") == ["intent", "failed", "reopen", "intent", "done"]


@pytest.mark.parametrize("error", [StepFailedError("no such SKU", code="12"), ForbiddenError("not allowed")])
def test_what_will_not_pass_is_not_tried_again_until_somebody_resumes(bench: Make, error: DrkitError) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__act=[error])
    assert made.go(actor).outcome == "partial"
    assert actor.counted("a.act") == 1
    assert made.go(actor, resumed=True).outcome == "succeeded"


def test_an_attempt_that_may_still_run_continues_under_its_number(bench: Make) -> None:
    """The number makes the nonce: under the same one a host does nothing twice."""
    made = bench(a_step("a"))
    actor = Scripted(a__act=[passing()] * 3)
    made.go(actor)
    made.go(actor, resumed=True)
    assert made.attempts("a") == [1, 1, 1, 1]
    assert len({attempt for call, attempt in actor.calls}) == 1


def test_an_attempt_that_is_known_to_be_over_is_followed_by_a_new_one(bench: Make) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__act=[StepFailedError("nobody signed in")])
    made.go(actor)
    made.go(actor, resumed=True)
    assert made.attempts("a") == [1, 2]


def test_a_failure_to_look_before_a_new_attempt_does_not_bring_the_old_number_back(bench: Make) -> None:
    made = bench(a_step("ready"), a_step("a", needs=("ready",)))
    over = StepFailedError("nobody signed in", reopen=("ready",))
    made.go(Scripted(a__act=[over]))
    blind = Scripted(ready__observe=[ForbiddenError("no")])
    made.go(blind, resumed=True)
    made.go(Scripted(), resumed=True)
    assert made.attempts("ready") == [1, 2]
    assert made.attempts("a") == [1, 2]


def test_looks_that_fail_are_repeated_before_anything_is_done(bench: Make) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__observe=[UnreachableError("no answer")] * 2)
    assert made.go(actor).outcome == "succeeded"
    assert made.kinds("a") == ["intent", "done"]
    assert [call for call, _ in actor.calls] == ["a.observe", "a.observe", "a.observe", "a.act"]


def test_a_step_that_cannot_be_looked_at_fails_without_having_acted(bench: Make) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__observe=[UnreachableError("no answer")] * 50)
    assert made.go(actor).outcome == "partial"
    assert actor.counted("a.act") == 0
    assert actor.counted("a.observe") == 9
    assert "nothing was done" in made.state.of("a").detail


# --- requests whose fate nobody knows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UnknownFateError("cut off"), ConflictError("there is one")])
def test_what_a_cut_request_made_is_found_and_not_made_again(bench: Make, error: DrkitError) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__act=[error], a__observe=[Observation(), Observation("it is there", (), {"id": "x"})])
    assert made.go(actor).outcome == "succeeded"
    assert actor.counted("a.act") == 1
    assert made.state.of("a").data["id"] == "x"
    assert made.kinds("a") == ["intent", "done"]


def test_what_a_cut_request_did_not_make_is_made_once_it_was_looked_for(bench: Make) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__act=[UnknownFateError("cut off")] * 2)
    assert made.go(actor).outcome == "succeeded"
    assert [call.partition(".")[2] for call, _ in actor.calls] == ["observe", "act"] * 3
    assert made.kinds("a") == ["intent", "done"]


def test_a_conflict_that_is_not_ours_is_not_run_into_again(bench: Make) -> None:
    actor = Scripted(a__act=[ConflictError("somebody else's")] * 9)
    assert bench(a_step("a")).go(actor).outcome == "partial"
    assert actor.counted("a.act") == 1


def test_nothing_is_sent_again_when_what_was_planned_on_has_changed_meanwhile(bench: Make) -> None:
    step = a_step("a", preconditions=(Precondition("/plan", "answers", "no", "service"),))
    back = Observation("", (Reading("/plan", "answers", "yes", "service", ""),))
    still = Observation("", (Reading("/plan", "answers", "no", "service", ""),))
    made = bench(step)
    actor = Scripted(a__act=[UnknownFateError("cut off")], a__observe=[still, back, back])
    assert made.go(actor).outcome == "partial"
    assert actor.counted("a.act") == 1
    assert made.state.of("a").status == "drifted"


# --- waiting ---------------------------------------------------------------------------------------------------------


RUNNING = Operation(method="POST", url="https://arm.example/operations/1", stage="doing")


def test_a_look_at_an_operation_that_fails_says_nothing_of_the_operation(bench: Make) -> None:
    made = bench(a_step("a"), a_step("v", "verify", action="verify"))
    blind: list[Answer] = [UnreachableError("no answer"), UnknownFateError("cut off"), UnreachableError("no answer")]
    actor = Scripted(a__act=[RUNNING], a__poll=list(blind), v__verify=[RUNNING, *blind])
    assert made.go(actor).outcome == "succeeded"
    assert made.kinds("a") == ["intent", "operation", "done"]


def test_waiting_ends_and_the_resumed_step_continues_under_its_number(bench: Make) -> None:
    made = bench(a_step("a"), step_minutes=5)
    assert made.go(Scripted(a__act=[RUNNING], a__poll=[RUNNING] * 999)).outcome == "partial"
    assert made.state.of("a").code == "Deadline"
    assert made.clock.seconds < 6 * 60
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"
    assert made.attempts("a") == [1, 1]


@pytest.mark.parametrize("asked", [1e9, 1e300])
def test_what_azure_asks_to_wait_is_no_longer_than_the_step_may_take(bench: Make, asked: float) -> None:
    made = bench(a_step("a"), a_step("v", "verify", action="verify", inputs={"minutes": 3}), step_minutes=5)
    patient = msgspec.structs.replace(RUNNING, retry_after=asked)
    assert made.go(Scripted(a__act=[patient], a__poll=[patient] * 9, v__verify=[patient] * 9)).outcome == "partial"
    assert [made.state.of(name).code for name in ("a", "v")] == ["Deadline", "Deadline"]
    assert made.clock.seconds < 9 * 60


def test_messages_are_heard_while_azure_is_waited_for(bench: Make) -> None:
    class Waiting(QuickClock):
        """A long wait lasts until the message was heard."""

        async def sleep(self, seconds: float) -> None:
            while seconds > 60 and not made.state.paused:  # noqa: ASYNC110  (the journal has no event to wait for)
                await asyncio.sleep(0.01)
            await super().sleep(seconds)

    made = bench(a_step("a"), a_step("b", needs=("a",)), step_minutes=5)
    made.clock = Waiting()
    patient = msgspec.structs.replace(RUNNING, retry_after=1e9)

    def pausing() -> Operation:
        made.say("pause", "")
        return patient

    assert made.go(Scripted(a__act=[pausing], a__poll=[patient] * 9)).outcome == "partial"
    assert made.state.paused
    assert made.kinds("b") == []


def test_a_step_is_verified_or_acted_as_its_action_says_whatever_its_name(bench: Make) -> None:
    made = bench(a_step("asks", "verify", action="look"), a_step("sends", "verify", action="verify-by-post"))
    made.tables = {"p": {"look": Action("verify", ".*"), "verify-by-post": Action("verify", ".*", methods=("POST",))}}
    actor = Scripted(asks__verify=[RUNNING, RUNNING], sends__act=[RUNNING])
    assert made.go(actor).outcome == "succeeded"
    called = {name for name, _ in actor.calls if not name.endswith(".observe")}
    assert called == {"asks.verify", "sends.act", "sends.poll"}


def test_verifying_ends_at_the_limit_of_the_step_and_says_what_was_seen_last(bench: Make) -> None:
    made = bench(a_step("v", "verify", action="verify", inputs={"minutes": 20}))
    waiting = Operation(stage="the service says: Unavailable", retry_after=10.0)
    assert made.go(Scripted(v__verify=[waiting] * 999)).outcome == "partial"
    assert 20 * 60 <= made.clock.seconds < 22 * 60
    assert "20 min" in made.state.of("v").detail
    assert "Unavailable" in made.state.of("v").detail


def test_a_run_left_for_hours_has_its_whole_time_when_it_is_resumed(bench: Make) -> None:
    made = bench(a_step("a"), step_minutes=5)

    def leave() -> Any:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        made.go(Scripted(a__act=[RUNNING], a__poll=[leave]))
    made.clock.seconds += 9 * 3600
    assert made.go(Scripted(a__poll=[RUNNING] * 10), resumed=True).outcome == "succeeded"
    assert made.kinds("a") == ["intent", "operation", "done"]


# --- what stops what -------------------------------------------------------------------------------------------------


OWN = ("failed", "drifted", "skipped")


def chains() -> tuple[Step, ...]:
    """Two environments behind one plan, the first of which goes first."""
    return (
        a_step("plan", criticality="critical"),
        a_step("a", needs=("plan",), environment="one", wave=1),
        a_step("av", "verify", action="verify", needs=("a",), environment="one", wave=1),
        a_step("b", needs=("plan", "av"), environment="two", wave=2),
        a_step("bv", "verify", action="verify", needs=("b",), environment="two", wave=2),
    )


def test_one_goes_first_and_the_rest_waits_for_it(bench: Make) -> None:
    actor = Scripted()
    assert bench(*chains()).go(actor).outcome == "succeeded"
    names = [call for call, _ in actor.calls]
    assert names.index("av.verify") < names.index("b.observe")


@pytest.mark.parametrize("end", OWN)
def test_the_first_environment_holds_the_others_only_when_it_fails(bench: Make, end: str) -> None:
    made = bench(*chains())
    actor = Scripted()
    if end == "failed":
        actor = Scripted(a__act=[StepFailedError("no")])
    elif end == "drifted":
        gone = Observation("", (Reading("/x", "exists", True, "test", ""),))
        steps = list(chains())
        steps[1] = a_step(
            "a",
            needs=("plan",),
            environment="one",
            wave=1,
            preconditions=(Precondition("/x", "exists", False, "test"),),
        )
        made = bench(*steps)
        actor = Scripted(a__observe=[gone])
    else:
        made.say("skip", "a")
    ending = made.go(actor)
    state = made.state
    assert state.of("a").status == end
    assert state.of("av").status == "pending"
    assert state.of("bv").status == ("pending" if end == "failed" else "done")
    assert ending.outcome == ("succeeded-with-exceptions" if end == "skipped" else "partial")


def test_a_critical_step_that_failed_for_good_ends_the_run_as_failed(bench: Make) -> None:
    made = bench(*chains())
    ending = made.go(Scripted(plan__act=[StepFailedError("quota", code="ExceededQuota", remedy="the next region")]))
    assert ending.outcome == "failed"
    assert "the next region" in ending.reason


def test_one_thing_at_a_time_happens_on_a_host(bench: Make) -> None:
    steps = [a_step(f"s{number}", host="/vm/A" if number % 2 else "/vm/a") for number in range(6)]
    actor = Scripted()
    assert bench(*steps).go(actor).outcome == "succeeded"
    assert actor.crowd == 1


# --- people and messages -----------------------------------------------------------------------------------------------


def host_chain() -> tuple[Step, ...]:
    """reach, ready, release, register, verify, as a product proposes them."""
    return (
        a_step("reach", "verify", action="reach", environment="e", host="/vm/a"),
        a_step("e:ready", "ask", needs=("reach",), environment="e"),
        a_step("release", "release", needs=("e:ready",), environment="e", host="/vm/a"),
        a_step("register", "register", needs=("release",), environment="e", host="/vm/a"),
        a_step("verify", "verify", action="verify", needs=("register",), environment="e"),
    )


NOBODY = StepFailedError("nobody signed in; the old one is back", code="NotRegistered", reopen=("e:ready", "release"))


def test_nobody_ready_leaves_the_host_alone_and_the_run_partial(bench: Make) -> None:
    made = bench(*host_chain(), a_step("other"))
    actor = Scripted()
    assert made.go(actor, wait=1).outcome == "partial"
    assert made.state.of("other").status == "done"
    assert not actor.counted("release.act")


def test_resume_asks_again_and_releases_again_after_nobody_signed_in(bench: Make) -> None:
    made = bench(*host_chain())
    made.say("answer", "e:ready")
    assert made.go(Scripted(register__act=[NOBODY])).outcome == "partial"
    assert made.go(Scripted(), resumed=True).outcome == "partial"
    assert made.state.of("e:ready").status == "asked"
    made.say("answer", "e:ready")
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"
    assert made.attempts("release") == [1, 2]
    assert made.attempts("register") == [1, 2]


def test_who_died_while_steps_were_opened_again_leaves_less_of_that_to_the_next(bench: Make) -> None:
    async def died() -> None:
        async with made.store.open_journal(RUN, made.clock) as journal:
            await journal.append("control", step="e:ready", data={"what": "reopen", "who": "grace"})

    made = bench(*host_chain())
    made.say("answer", "e:ready")
    assert made.go(Scripted(register__act=[NOBODY])).outcome == "partial"
    asyncio.run(died())
    assert made.go(Scripted(), resumed=True).outcome == "partial"
    assert made.kinds("e:ready").count("reopen") == 1
    made.say("answer", "e:ready")
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"


def test_a_skip_left_for_the_run_is_read_before_anything_is_opened_again(bench: Make) -> None:
    """Otherwise a host would be released for a registration that nobody wants any more."""
    made = bench(*host_chain())
    made.say("answer", "e:ready")
    made.go(Scripted(register__act=[NOBODY]))
    made.say("skip", "register", "not tonight")
    actor = Scripted()
    assert made.go(actor, resumed=True).outcome == "succeeded-with-exceptions"
    assert actor.calls == []
    assert made.kinds("release") == ["intent", "done"]


def test_skipping_a_registration_skips_the_release_that_has_not_begun(bench: Make) -> None:
    made = bench(*host_chain())
    made.go(Scripted())
    made.say("skip", "register", "not tonight")
    made.say("answer", "e:ready")
    actor = Scripted()
    assert made.go(actor, resumed=True).outcome == "succeeded-with-exceptions"
    assert not actor.counted("release.act")
    assert made.state.of("e:ready").detail == "not tonight"
    assert made.state.of("reach").status == "done"


def test_an_answer_left_while_nobody_held_the_run_is_taken_by_resume(bench: Make) -> None:
    made = bench(*host_chain())
    assert made.go(Scripted()).outcome == "partial"
    made.say("answer", "e:ready", "I am here")
    assert made.go(Scripted(), resumed=True).outcome == "succeeded"
    assert made.state.of("e:ready").who == ADA
    assert not made.store.inbox(RUN)


def test_messages_about_what_is_done_are_journaled_and_change_nothing(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b", "ask"))
    made.go(Scripted())
    made.say("skip", "a")
    made.go(Scripted(), resumed=True)
    assert made.kinds("a")[-1] == "ignored"
    assert made.state.of("a").status == "done"


# --- what was begun ----------------------------------------------------------------------------------------------------


def interrupted(made: Bench) -> None:
    """The process dies when the request of ``release`` is on its way."""

    def die() -> Any:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        made.go(Scripted(release__act=[die]))
    assert made.state.of("release").status == "open"


def guarded() -> tuple[Step, ...]:
    steps = list(host_chain())
    steps[2] = a_step(
        "release", "release", needs=("e:ready",), environment="e", host="/vm/a",
        preconditions=(Precondition("/plan", "answers", "no", "service"),),
    )  # fmt: skip
    return tuple(steps)


BACK = Observation("", (Reading("/plan", "answers", "yes", "service", ""),))


def test_a_release_that_was_carried_out_is_finished_although_its_plan_answers_again(bench: Make) -> None:
    made = bench(*guarded())
    made.say("answer", "e:ready")
    interrupted(made)
    actor = Scripted(
        release__observe=[BACK], release__settle=[Observation("the old registration is released", (), {"nonce": "n"})]
    )
    assert made.go(actor, resumed=True).outcome == "succeeded"
    assert not actor.counted("release.act")
    assert made.state.of("release").data["nonce"] == "n"


def test_a_release_that_was_not_carried_out_stops_when_its_plan_answers_again(bench: Make) -> None:
    made = bench(*guarded())
    made.say("answer", "e:ready")
    interrupted(made)
    actor = Scripted(release__observe=[BACK])
    assert made.go(actor, resumed=True).outcome == "partial"
    assert made.state.of("release").status == "drifted"
    assert actor.counted("release.settle") == 1
    assert not actor.counted("register.act")


def test_a_release_not_begun_stops_without_asking_the_host(bench: Make) -> None:
    made = bench(*guarded())
    made.say("answer", "e:ready")
    actor = Scripted(release__observe=[BACK])
    made.go(actor)
    assert made.state.of("release").status == "drifted"
    assert not actor.counted("release.settle")


def test_an_interrupted_attempt_continues_under_its_number(bench: Make) -> None:
    made = bench(*guarded())
    made.say("answer", "e:ready")
    interrupted(made)
    actor = Scripted()
    assert made.go(actor, resumed=True).outcome == "succeeded"
    assert ("release.act", 1) in actor.calls
    assert made.attempts("release") == [1]


def test_a_stopped_run_begins_nothing_and_can_be_resumed(bench: Make) -> None:
    made = bench(*chains())
    actor = Scripted()
    assert made.go(actor, stop=True).outcome == "partial"
    assert actor.calls == []
    assert made.go(actor, resumed=True).outcome == "succeeded"


# --- answers of an odd shape -------------------------------------------------------------------------------------------


def odd() -> Any:
    return cast("Any", 7).get("properties")


def test_an_odd_answer_to_a_look_fails_its_step_and_nothing_else(bench: Make) -> None:
    made = bench(a_step("a"), a_step("b"), a_step("v", "verify", action="verify", inputs={"minutes": 3}))
    actor = Scripted(a__observe=[odd] * 9, v__verify=[odd] * 99)
    assert made.go(actor).outcome == "partial"
    assert {name: made.state.of(name).status for name in "abv"} == {"a": "failed", "b": "done", "v": "failed"}
    assert actor.counted("a.act") == 0


def test_an_odd_answer_to_a_deed_is_looked_after_before_anything_else(bench: Make) -> None:
    made = bench(a_step("a"))
    actor = Scripted(a__act=[odd], a__observe=[Observation("", ()), Observation("it is there")])
    assert made.go(actor).outcome == "succeeded"
    assert [call for call, _ in actor.calls] == ["a.observe", "a.act", "a.observe"]


def test_odd_answers_to_polls_end_with_the_steps_limit(bench: Make) -> None:
    made = bench(a_step("a"), step_minutes=5)
    assert made.go(Scripted(a__act=[RUNNING] * 9, a__poll=[odd] * 9_999)).outcome == "partial"
    assert made.state.of("a").status == "failed"


def test_a_step_that_cannot_be_understood_fails(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "requests", lambda *_: cast("dict[str, Any]", {})["plan"])
    made = bench(a_step("a"))
    assert made.go(Scripted()).outcome in ("partial", "failed")
    assert made.state.of("a").code == "NotUnderstood"
