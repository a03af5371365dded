"""``failover``: the guided path through an outage, from the alarm to the report. It continues where it stopped.

It asks a person at most two questions: whether a silent region is to be declared lost, and whether the runbook is to be carried
out. Besides, it asks as often as needed who is ready to sign in. Every step of it is one of the other commands.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeVar

from drkit.api import apply, approval, assess, capture, check, control, status
from drkit.api import plan as plan_
from drkit.api import report as report_
from drkit.api.apply import Applied
from drkit.api.context import Context
from drkit.api.loop import run as to_its_end
from drkit.api.plan import Planned
from drkit.api.status import RunStatus
from drkit.errors import DrkitError, RefusedError
from drkit.execution import run_outcome, schedule
from drkit.model import estate, files
from drkit.model.clock import parse_time
from drkit.model.cloud import age_text
from drkit.model.estate import Assessment, Snapshot
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook, Step
from drkit.planning import hosts_in_doubt, replicas
from drkit.store.records import who

T = TypeVar("T")
FRESH = timedelta(minutes=30)
"""How long a runbook may wait for another person's approval before everything is read again."""
YES, SHOW, ALL = "yes", "show", "all"
STAGES = {
    "begin": "where things stand",
    "check": "what could stop a recovery",
    "assess": "what happened",
    "plan": "what could be done",
    "decide": "the decision",
    "apply": "carrying it out",
    "report": "the report",
}


class Runs(Protocol):
    """Something that runs a coroutine to its end."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """Return its result."""
        ...


class Presenter(Protocol):
    """Shows the path to a person and asks questions. ``present``: whether there is somebody to ask."""

    present: bool

    def stage(self, number: int, title: str) -> None:
        """One of the ``STAGES`` begins. ``number`` is from 1."""
        ...

    def say(self, text: str) -> None:
        """Show one sentence."""
        ...

    def show(self, value: Any, *, whole: bool = False) -> None:
        """Show a Snapshot, Checked, Assessment, Planned, list of Waiting, or report. ``whole``: every step of a runbook."""
        ...

    def event(self, event: Any) -> None:
        """Show an event of the run."""
        ...

    def ask(self, question: str) -> str:
        """Ask a question. Return the answer, empty for none."""
        ...


@dataclass(frozen=True)
class ResumePoint:
    """Where the path begins: it resumes ``run``, carries out the approved ``digest``, waits for its approval, or looks at everything."""

    at: Literal["resume", "apply", "approval", "look"]
    run: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """A step that waits for a person. ``number``: what to type for it."""

    number: int
    step: Step


@dataclass
class Ended:
    """How the path ended: with the outcome of a run, ``cannot-tell`` or ``nothing-to-do``.

    ``decisions``: how many a person was asked for, without sign-ins; ``asked``: those questions; ``report``: as ``drkit.report``.
    """

    run: str = ""
    digest: str = ""
    outcome: str = "nothing-to-do"
    reason: str = ""
    exit_code: int = 0
    decisions: int = 0
    asked: list[str] = field(default_factory=list)
    report: dict[str, Any] | None = None


def begin(context: Context) -> ResumePoint:
    """Where to begin, by what the store contains. Reads only the store, and from the cloud only its name."""
    notes: list[str] = []
    ours, runs = context.cloud.mark, context.store.run_records()
    unread = set(context.store.runs()) - {run.run for run in runs}
    notes.extend(f"{run} never began, or cannot be read: `drkit verify {run}`" for run in sorted(unread))
    replaced = {run.book.rebases for run in runs}
    for run in reversed(runs):
        if run.book.kind != "failover" or run.book.cloud != ours or run.run in replaced:
            continue
        if run_outcome.ending(run.book, run.state).outcome == "partial":
            return ResumePoint("resume", run.run, run.state.runbook, tuple(notes))
    return _planned(context, {run.state.runbook for run in runs}, tuple(notes))


def _planned(context: Context, carried_out: set[str], notes: tuple[str, ...]) -> ResumePoint:
    """Whether the newest runbook is to be carried out: it is of the newest assessment, and approved or waiting for an approval."""
    look, newest = ResumePoint("look", notes=notes), context.store.newest(Assessment)
    try:
        shown = plan_.show(context)
    except DrkitError:
        return look
    book = shown.runbook
    if newest is None or book.kind != "failover" or not book.steps or shown.digest in carried_out:
        return look
    if book.cloud != context.cloud.mark or book.of_assessment != estate.digest(
        files.read(newest[1], limit=files.LARGE)
    ):
        return look
    if approval.approved(context, shown):
        return ResumePoint("apply", digest=shown.digest, notes=notes)
    if context.settings.run.separate_approver and context.clock.now() - parse_time(newest[0].taken) < FRESH:
        return ResumePoint("approval", digest=shown.digest, notes=notes)
    return look


def silent_regions(assessed: Assessment, snapshot: Snapshot) -> list[str]:
    """Regions whose plans do not answer although nobody says that they are lost. A person could declare them lost."""
    where = {plan.key: plan.region for plan in snapshot.plans}
    silent = {where.get(finding.key, "") for finding in assessed.plans if finding.state == "unreachable"}
    return sorted(silent - {""})


def stakes(book: Runbook) -> list[str]:
    """What a failover would do, and what it would cost if it were a mistake, as sentences for the person who decides."""
    released = sum(step.effect == "release" for step in book.steps)
    created = sum(step.effect == "create" for step in book.steps)
    asks = sum(step.effect == "ask" for step in book.steps)
    risk = [
        environment
        for environment in book.environments
        if environment.data_at_risk != "none" and environment.proof_step
    ]
    lost = ", ".join(book.lost_regions) or "no region"
    sentences = [
        f"Nothing is written to what is lost ({lost}); deleting something there later needs its own runbook.",
        f"{created} things are created in the target, and cost money until somebody deletes them."
        if created
        else "Nothing new is created in the target.",
    ]
    if released:
        sentences.append(
            f"{released} registrations are removed from their hosts, each after its target answered; for about a quarter of an "
            "hour, until the host is registered again, nobody can reach it through the service."
        )
    if asks:
        sentences.append(f"{asks} steps wait for a person: a sign-in, or something only a person can do.")
    if risk:
        sentences.append(f"{len(risk)} environments may hold work that was never pushed; that work does not move.")
    return [
        *sentences,
        "If this is a mistake, because the region comes back, the old environments start beside the new ones.",
        "Then `drkit failback RUN` moves everything back, and `drkit cleanup RUN` deletes what is left; owners sign in once more.",
    ]


def waiting(run: RunStatus) -> list[Waiting]:
    """The steps with which a run waits for people, numbered."""
    asked = [step for step in run.runbook.steps if run.state.of(step.id).status == "asked"]
    return [Waiting(number, step) for number, step in enumerate(asked, 1)]


def chosen(text: str, offered: Sequence[Waiting]) -> list[Waiting]:
    """The steps that an answer names: ``all``, or numbers. RefusedError for anything else."""
    words = text.replace(",", " ").split()
    if [word.lower() for word in words] == [ALL]:
        return list(offered)
    known = {str(waiting.number): waiting for waiting in offered}
    strange = [word for word in words if word not in known]
    if strange:
        raise RefusedError(f"{strange[0]!r} is none of them", remedy=f"numbers from 1 to {len(offered)}, or `{ALL}`")
    return [known[word] for word in dict.fromkeys(words)]


def failover(
    context: Context,
    talk: Presenter,
    *,
    again: str = "drkit failover",
    yes: bool = False,
    targets: Sequence[str] = (),
    anew: bool = False,
    declare_lost: str | None = None,
    reason: str | None = None,
    wait_minutes: float | None = None,
    run: Runs = to_its_end,
) -> Ended:
    """Guide a person from the alarm to the report. Blocks until the end.

    ``talk``: shows and asks. ``again``: the command that continues after a stop. ``yes``: approve without asking; without it, and with
    nobody to ask, the path stops before the approval. ``anew``: leave an unfinished run alone. ``declare_lost``, ``reason``: as in
    ``assess``. ``targets``: whole ARM ids of the plans that take over although only a tag names them. ``wait_minutes``: as in ``apply``.

    RefusedError (4) when nothing is lost, when the advice is to wait and nobody can be asked, or when nobody approves.
    """
    return _Path(context, talk, again, yes, wait_minutes, run, tuple(targets)).walk(anew, declare_lost, reason)


@dataclass
class _Path:
    context: Context
    talk: Presenter
    again: str
    yes: bool
    wait_minutes: float | None
    run: Runs
    targets: tuple[str, ...] = ()
    ended: Ended = field(default_factory=Ended)

    @property
    def _present(self) -> bool:
        return self.talk.present and not self.yes

    def _stage(self, name: str) -> None:
        self.talk.stage(list(STAGES).index(name) + 1, STAGES[name])

    def walk(self, anew: bool, declare_lost: str | None, reason: str | None) -> Ended:
        self._stage("begin")
        start = begin(self.context)
        for note in start.notes:
            self.talk.say(note)
        if anew or declare_lost:
            start = ResumePoint("look")
        if start.at == "resume":
            self.talk.say(f"{start.run} was begun and is not finished: this continues it, under the approval it has.")
            self.talk.say(f"If tonight is about another region: {self.again} --restart")
            return self._carry_out(run=start.run)
        if start.at == "approval":
            raise self._unapproved(start.digest)
        if start.at == "apply":
            self.talk.say("A runbook of the newest assessment is approved and has not begun: this carries it out.")
            planned = plan_.show(self.context, start.digest)
            self.talk.show(planned)
            return self._carry_out(planned=planned)
        self._snapshot()
        self._check()
        assessed = self._assess(declare_lost, reason)
        if assessed is None:
            return self.ended
        planned = self._plan()
        if not planned.runbook.steps:
            return self._nothing(planned.runbook, planned.digest[:12])
        self._decide(planned, assessed)
        return self._carry_out(planned=planned)

    def _nothing(self, book: Runbook, digest: str) -> Ended:
        """The end when everything is elsewhere already. RefusedError when something is not, and a runbook cannot help."""
        if not book.environments or not all(
            environment.disposition in ("already", "offered") for environment in book.environments
        ):
            raise RefusedError(
                "a plan is lost, and nothing can be done now for what was on it; nothing was changed",
                remedy=f"`drkit show {digest}` gives the reason for each thing; then {self.again}",
            )
        self.ended.reason = "everything that was on it is elsewhere already"
        self.talk.say(f"What is lost needs nothing more: {self.ended.reason}.")
        return self.ended

    # looking

    def _snapshot(self) -> None:
        newest = self.context.store.newest(Snapshot)
        if newest is None:
            self.talk.say(
                "There is no snapshot to recover from yet, so one is taken now. A lost region answers nothing:"
            )
            self.talk.say("what can no longer be read, drkit cannot recover. This only reads.")
            self.talk.show(self.run(capture.snapshot(self.context))[0])
            return
        age = age_text(parse_time(newest[0].taken), self.context.clock.now())
        self.talk.say(
            f"Recovery is from snapshot {newest[0].generation}, {age} old: drkit does not know what came after it."
        )

    def _check(self) -> None:
        """Show what could stop a recovery. It stops nothing here: the runbook avoids it, or says that it cannot."""
        self._stage("check")
        self.talk.say("Looking for anything that would be in the way. This only reads.")
        try:
            self.talk.show(self.run(check.check(self.context)))
        except DrkitError as error:
            self.talk.say(f"That could not be read ({error.what}); this continues without it.")

    def _assess(self, declare_lost: str | None, reason: str | None) -> Assessment | None:
        """The assessment in which a plan is lost; None when nothing is known."""
        self._stage("assess")
        self.talk.say("Asking Azure, and each plan's own service, here and in other regions. This only reads.")
        assessed, _, code = self.run(assess.assess(self.context, declare_lost=declare_lost, reason=reason))
        self.talk.show(assessed)
        if code == 0 and not _lost(assessed):
            newest = self.context.store.newest(Snapshot)
            silent = silent_regions(assessed, newest[0]) if newest else []
            assessed, code = self._declared(silent)
        if code:
            self.ended.outcome, self.ended.exit_code = "cannot-tell", code
            self.ended.reason = "nothing is known: it may be this machine's own network"
            self.talk.say(f"{self.ended.reason}. Nothing was changed. Look again in a few minutes: {self.again}")
            return None
        return assessed

    def _declared(self, silent: Sequence[str]) -> tuple[Assessment, int]:
        """Nothing counts as lost: a person may declare one silent region lost. RefusedError when nobody does."""
        words = " --reason TEXT" if len(silent) == 1 else " --reason TEXT, if you know it"
        remedy = f"{self.again} --declare-lost {silent[0] if len(silent) == 1 else 'REGION'}{words}"
        if not silent:
            raise RefusedError("nothing is lost, so there is nothing to fail over; nothing was changed", remedy=remedy)
        where = ", ".join(silent)
        if self._present and len(silent) == 1:
            self.talk.say(
                f"{where} does not answer, and Microsoft does not say that it is down (often it says so an hour late)."
            )
            self.talk.say("You can declare it lost. That is kept as evidence, with your name, and moves nothing yet.")
            said = self._decision(f"To declare {where} lost, type why; Enter waits instead")
            if said:
                assessed, _, code = self.run(assess.assess(self.context, declare_lost=silent[0], reason=said))
                self.talk.show(assessed)
                if code or _lost(assessed):
                    return assessed, code
        what = f"{where} does not answer, but nobody says that it is lost; nothing was changed"
        raise RefusedError(what, remedy=f"look again in 5 minutes, or {remedy}")

    def _plan(self) -> Planned:
        self._stage("plan")
        planned = plan_.plan(self.context, kind="failover")
        self.ended.digest = planned.digest
        self.talk.show(planned)
        return planned

    # deciding

    def _decide(self, planned: Planned, assessed: Assessment) -> None:
        """Return when the runbook is approved, or may be carried out with --yes. RefusedError when it is not."""
        self._stage("decide")
        for text in stakes(planned.runbook):
            self.talk.say(text)
        advices = [finding.advice for finding in assessed.plans if finding.state == "lost" and finding.advice]
        patient = [advice for advice in advices if advice.advice == "wait"]
        wait = bool(patient) and len(patient) == len(advices)
        for text in dict.fromkeys(f"drkit's advice: {advice.advice}. {advice.reason}." for advice in advices):
            self.talk.say(text)
        digest = planned.digest[:12]
        candidates = plan_.candidates(self.context, planned.runbook)
        for plan, takeover in candidates.items():
            self.talk.say(f"{plan} would take over from {takeover.plan}, and is a candidate only: {takeover.why}.")
        if self.context.settings.run.separate_approver:
            raise self._unapproved(planned.digest)
        if self.yes:
            plan_.approvable(self.context, planned, self.targets, f"{self.again} --yes")
        if self.yes and not wait:
            self.talk.say(f"{who()} approves it, with --yes; the journal says so.")
            return
        if not self._present:
            if wait:
                by = f"`drkit approve {digest}`, then {self.again}, moves in spite of it"
                raise RefusedError("the advice is to wait, and nobody is here to decide against it", remedy=by)
            raise self._unapproved(planned.digest)
        word = "move" if wait else YES
        question = f"Type `{word}` to approve it as {who()} and carry it out, `{SHOW}` to read every step; Enter leaves"
        said = self._decision(question).lower()
        while said == SHOW:
            self.talk.show(planned, whole=True)
            said = self.talk.ask(question).lower()
        if said != word:
            raise self._unapproved(planned.digest)
        given = list(self.targets)
        for plan in replicas.unnamed(candidates, given):
            said = self._decision(
                f"Type the whole id of what takes over from {ArmId(candidates[plan].plan).name}; Enter leaves"
            )
            if ArmId(said) != plan:
                raise self._unapproved(planned.digest)
            given.append(plan)
        plan_.approve(self.context, planned.digest, note="on the guided path", targets=given)

    def _decision(self, question: str) -> str:
        self.ended.decisions += 1
        self.ended.asked.append(question)
        return self.talk.ask(question)

    def _unapproved(self, digest: str) -> RefusedError:
        short, other = digest[:12], self.context.settings.run.separate_approver
        options = replicas.options(plan_.candidates(self.context, plan_.show(self.context, digest).runbook))
        approve = f"drkit approve {short} {options}".strip()
        return RefusedError(
            f"runbook {short} is not approved{', and somebody other than the person who carries it out must do that' if other else ''}; "
            "nothing was changed",
            remedy=f"`drkit show {short}`, `{approve}`, then {self.again}",
        )

    # doing

    def _carry_out(self, *, planned: Planned | None = None, run: str = "") -> Ended:
        self._stage("apply")
        self.talk.say(f"Ctrl-C stops it cleanly, and nothing is done twice when you continue with: {self.again}")
        wait = 0.0 if self._present else self.wait_minutes
        if planned is not None:
            applied = self.run(
                apply.apply(
                    self.context,
                    planned.digest,
                    yes=self.yes,
                    targets=self.targets,
                    wait_minutes=wait,
                    on_event=self.talk.event,
                )
            )
        else:
            applied = self.run(apply.resume(self.context, run, wait_minutes=wait, on_event=self.talk.event))
        while self._present and applied.outcome == "partial" and self._people(applied):
            applied = self.run(apply.resume(self.context, applied.run, wait_minutes=0.0, on_event=self.talk.event))
        return self._report(applied)

    def _people(self, applied: Applied) -> bool:
        """Ask who is ready. Return whether the run can continue with the answers."""
        run = status.status(self.context, applied.run)
        offered = waiting(run)
        stopped = any(run.state.of(step.id).status == "open" for step in run.runbook.steps)
        if not offered or stopped or schedule.startable(run.runbook, run.state):
            return False
        self.talk.show(offered)
        self.talk.say(
            "Whoever is ready signs in with a code that appears here; elsewhere on this machine, in another terminal:"
        )
        self.talk.say(f"`drkit status {applied.run} --show-code`.")
        self.talk.say(f"From another terminal: {hosts_in_doubt.asked(run.runbook, run.state)}.")
        while True:
            said = self.talk.ask(f"Who is ready, or what is done? Numbers, or `{ALL}`; Enter leaves it for later")
            try:
                ready = chosen(said, offered)
            except RefusedError as error:
                self.talk.say(f"{error.what}: {error.remedy}")
                continue
            for person in ready:
                control.answer(
                    self.context, applied.run, person.step.id, "done" if person.step.action == "by-hand" else "ready"
                )
            return bool(ready)

    def _report(self, applied: Applied) -> Ended:
        self._stage("report")
        self.ended.run, self.ended.outcome = applied.run, applied.outcome
        self.ended.reason, self.ended.exit_code = applied.reason, applied.exit_code
        run = status.status(self.context, applied.run)
        self.ended.digest = run.digest
        self.ended.report = report_.report(self.context, applied.run)
        self.talk.show(self.ended.report)
        if applied.outcome == "partial":
            if number := len(waiting(run)):
                self.talk.say(
                    f"{number} steps wait for people: `drkit status {applied.run}` lists them, with what to type."
                )
            self.talk.say(f"It is not finished. To go on: {self.again}")
        return self.ended


def _lost(assessed: Assessment) -> bool:
    return any(plan.state == "lost" for plan in assessed.plans)


__all__ = ["Ended", "Presenter", "ResumePoint", "Waiting", "begin", "failover", "silent_regions", "stakes", "waiting"]
