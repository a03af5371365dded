"""Messages that people leave for a run: each is obeyed, journaled and shown, or ignored with the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from drkit.execution import schedule
from drkit.execution.events import Event
from drkit.execution.open_run import OpenRun
from drkit.execution.ports import Inbox
from drkit.planning import hosts_in_doubt
from drkit.store.records import ABOUT_STEPS, Message, Received, claimed_name

CONTROLS = {"pause": "paused", "unpause": "unpaused", "abort": "aborted"}
MOST_NAMED = 50
"""Messages that are ignored are journaled one by one up to this number; after that one of ten times as many."""


class Messages:
    """Obeys the inbox of a run.

    ``start`` begins a step in a task of its own unless it has one; ``cancel`` ends the tasks of steps. ``paused_at``: the clock's
    seconds at the last ``pause``.
    """

    def __init__(
        self,
        run: OpenRun,
        inbox: Inbox,
        start: Callable[[str], None],
        cancel: Callable[[Sequence[str]], Awaitable[None]],
    ) -> None:
        self.run, self.inbox = run, inbox
        self.start, self.cancel = start, cancel
        self.paused_at = 0.0
        self._ignored: set[str] = set()

    async def obey(self) -> bool:
        """Obey what was left for the run, and ignore what is no message for it. True when something was obeyed."""
        obeyed = False
        for received in self.inbox.inbox(self.run.context.run, self._ignored):
            message, name = received.message, received.path.name
            if name in self.run.state.processed_messages:
                self.inbox.obeyed(received.path)
            elif message is None or (fault := received.fault or self._fault(message)):
                await self._ignore(received, fault if message else received.fault)
            else:
                sender = claimed_name(message.who, received.writer)
                await self._carry_out(message, {"who": sender, "heard": name})
                self.inbox.obeyed(received.path)
                obeyed = True
        return obeyed

    def _fault(self, message: Message) -> str:
        """Why this run does not obey a message, in words; empty when it does."""
        if message.what not in ABOUT_STEPS:
            return ""
        step = self.run.steps.get(message.step)
        if step is None:
            return f"{message.what} names a step that this run does not have: {message.step}"
        status = self.run.state.of(step.id).status
        if message.what == "answer":
            # A person's word ends what a person was asked, and never what drkit itself must see.
            if step.effect != "ask":
                return f"{step.id} asks nothing of a person: it is of effect {step.effect}"
            fits = status in ("asked", "pending")
        else:
            fits = status not in ("done", "skipped") if message.what == "skip" else status in ("failed", "drifted")
        return "" if fits else f"{message.what} does not fit {step.id}, which is {status}"

    async def _ignore(self, received: Received, fault: str) -> None:
        """Journal and show that a message is ignored; of very many, the first ones and from time to time how many."""
        self._ignored.add(received.path.name)
        self.inbox.set_aside(received.path)
        number = len(self._ignored)
        if number > MOST_NAMED and number % (10 * MOST_NAMED):
            return
        message = received.message
        step = message.step if message and message.step in self.run.steps else ""
        sender = claimed_name(message.who if message else "", received.writer)
        more = f" (the {number}th message that is ignored; not each is named)" if number > MOST_NAMED else ""
        reason = f"the message {received.path.name[:100]}: {fault}; from {sender}{more}"
        data = {"what": "ignored", "message": message.what[:40] if message else "", "reason": reason, "number": number}
        await self.run.journal.append("control", step=step, data={**data, "who": sender})
        self.run.show(Event("note", self.run.steps.get(step), f"ignored {reason}"))

    async def _carry_out(self, message: Message, said: Mapping[str, str]) -> None:
        """Do what a message says. ``said``: its sender and its name, for the journal."""
        run, what, text, sender = self.run, message.what, message.text, said["who"]
        if what == "answer":
            await run.journal.append("answered", step=message.step, data={"detail": text, **said})
            run.tell("done", message.step, f"answered by {sender}: {text}")
            await run.defer()
        elif what == "skip":
            await self._skip(message.step, text, said)
        elif what == "retry":
            await run.reopen(run.runbook.step(message.step), said)
            run.tell("note", message.step, f"tried again for {sender}")
        else:
            if what == "pause":
                self.paused_at = run.context.clock.monotonic()
            reason = f"{CONTROLS[what]} by {sender}{f': {text}' if text else ''}"
            await run.journal.append("control", data={"what": what, "reason": reason, **said})
            run.show(Event("note", None, reason))
            await run.defer()

    async def _skip(self, step_id: str, text: str, said: Mapping[str, str]) -> None:
        """Skip a step, and what would only have led to it; refused while the host it is about is in doubt."""
        run = self.run
        step = run.runbook.step(step_id)
        left_out = [*schedule.idle_without(run.runbook, run.state, step_id), step_id]
        if not hosts_in_doubt.refusal(run.runbook, run.state, step):
            # A release that has not left yet does not leave now. What it may have sent meanwhile is seen after that.
            await self.cancel(left_out)
        if why := hosts_in_doubt.refusal(run.runbook, run.state, step):
            await run.journal.append(
                "control", step=step_id, data={"what": "ignored", "message": "skip", "reason": why, **said}
            )
            run.tell("note", step_id, f"not skipped: {why}")
            for name in left_out:
                if run.state.of(name).status == "open":
                    self.start(name)
            return
        # The step itself last: its record is the one that says that the message was obeyed.
        for skipped in left_out:
            by = said if skipped == step_id else {"who": said["who"]}
            await run.journal.append("skipped", step=skipped, data={"detail": text, **by})
            run.tell("skipped", skipped, f"skipped by {said['who']}: {text}")
        await run.defer()
