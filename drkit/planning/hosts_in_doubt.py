"""Hosts in doubt: a release may have left, and the host is not proved registered since. Pure: runbook and folded journal in.

From the intent of a release until its host is proved registered somewhere, that chain is one act. Whether something may have
left is known from the journal, an intent without a proof, and from no status.

A host that a person registers by hand is in doubt too once that person answered, because the first thing to type on it ends its
registration. drkit carries out nothing there, so such a doubt is said and holds no run open (``by_hand``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drkit.model.ids import ArmId
from drkit.model.run import RunState
from drkit.model.runbook import Runbook, Step

NAMED = 3
"""So many hosts are named in one sentence."""


@dataclass(frozen=True)
class InDoubt:
    """An environment whose host is in doubt.

    ``release``: the step that may have left; ``certain``: it did. ``register``: the step that registers the host; ``begun``: it was
    begun; ``registered``: it is done; ``failed``: it was begun and failed. ``another``: whose registration was found on the host
    instead, empty when none was. ``skipped``: a step of the chain is left out. ``left``: the ids of the steps that finish the chain.

    ``answered``: a person answered that it is registered by hand; ``release`` and ``register`` are the step that asked for it.
    ``aborted``: the run is, and looks no more.
    """

    environment: str
    name: str
    host: str
    plan: str
    release: str
    register: str
    certain: bool
    begun: bool
    registered: bool
    another: str
    skipped: bool
    left: tuple[str, ...]
    failed: bool = False
    answered: bool = False
    aborted: bool = False

    @property
    def words(self) -> str:
        """What is known of the host, as one clause."""
        if self.answered:
            return f"{self.name} was registered by hand, as a person answered, and is not proved to serve"
        taken = f"{self.name} {'was' if self.certain else 'may have been'} taken off {ArmId(self.plan).name}"
        if self.another:
            return f"{taken}, and another registration is on it now: {self.another}"
        if self.registered:
            return f"{taken} and registered again, and is not proved to serve"
        if self.begun:
            return f"{taken}, and whether it is registered anywhere is not known"
        if self.failed:
            # What failed may have changed something on the host all the same.
            return f"{taken}, and its registration failed"
        return f"{taken} and is registered nowhere"


def in_doubt(book: Runbook, state: RunState) -> tuple[InDoubt, ...]:
    """The environments whose hosts are in doubt, in the runbook's order."""
    names = {affected.environment: affected.name for affected in book.environments}
    return tuple(doubt for steps in _chains(book) for doubt in _of(steps, names, state))


def by_hand(book: Runbook, state: RunState) -> tuple[InDoubt, ...]:
    """The environments that a person registered by hand, as that person answered, and that nothing proved since."""
    names = {affected.environment: affected.name for affected in book.environments}
    return tuple(doubt for steps in _chains(book) for doubt in _by_hand(steps, names, state))


def _chains(book: Runbook) -> list[list[Step]]:
    """The steps of each environment, in the runbook's order."""
    chains: dict[str, list[Step]] = {}
    for step in book.steps:
        if step.environment:
            chains.setdefault(step.environment, []).append(step)
    return list(chains.values())


def _by_hand(steps: Sequence[Step], names: dict[str, str], state: RunState) -> Iterator[InDoubt]:
    if any(step.effect in ("release", "register") for step in steps):
        return
    for place, step in enumerate(steps):
        answer, proofs = state.of(step.id), [after for after in steps[place + 1 :] if after.effect == "verify"]
        # What is done and was not said to be, drkit saw for itself: it is there already.
        if step.effect != "ask" or not step.host or answer.status != "done" or not answer.said or not proofs:
            continue
        if not any(state.of(proof.id).status == "done" for proof in proofs):
            yield InDoubt(
                environment=step.environment,
                name=names.get(step.environment) or ArmId(step.environment).name,
                host=step.host,
                plan=step.plan,
                release=step.id,
                register=step.id,
                certain=False,
                begun=True,
                registered=False,
                another="",
                skipped=any(state.of(proof.id).status == "skipped" for proof in proofs),
                left=tuple(proof.id for proof in proofs),
                answered=True,
                aborted=bool(state.aborted),
            )


def proved(book: Runbook, state: RunState) -> frozenset[str]:
    """The hosts that a run proved to be registered: the last step of their environment, or any proof after a registration, is done."""
    finals = {affected.proof_step for affected in book.environments if affected.proof_step}
    begun: set[str] = set()
    hosts: set[str] = set()
    for step in book.steps:
        done = state.of(step.id).status == "done"
        if done and step.host and (step.id in finals or (step.effect == "verify" and step.environment in begun)):
            hosts.add(step.host)
        if done and step.effect == "register":
            begun.add(step.environment)
    return frozenset(hosts)


def _of(steps: Sequence[Step], names: dict[str, str], state: RunState) -> Iterator[InDoubt]:
    place = max((number for number, step in enumerate(steps) if _may_have_left(step, steps, state)), default=-1)
    if place < 0:
        return
    release, after = steps[place], steps[place + 1 :]
    registers = [step for step in after if step.effect == "register"]
    proofs = [step for step in after if step.effect == "verify"] or registers
    if not registers or any(state.of(step.id).status == "done" for step in proofs):
        return
    register = state.of(registers[-1].id)
    another = str(register.data.get("another", ""))
    if another and register.status == "skipped":
        # Somebody saw whose it is now, and left it so.
        return
    known = state.of(release.id)
    yield InDoubt(
        environment=release.environment,
        name=names.get(release.environment) or ArmId(release.environment).name,
        host=release.host,
        plan=release.plan,
        release=release.id,
        register=registers[-1].id,
        certain=known.status == "done",
        begun=register.status == "open" or register.in_doubt,
        failed=register.intended,
        registered=register.status == "done",
        another=another,
        skipped=any(state.of(step.id).status == "skipped" for step in steps[place:]),
        left=tuple(step.id for step in steps if state.of(step.id).status != "done"),
    )


def _may_have_left(step: Step, steps: Sequence[Step], state: RunState) -> bool:
    if step.effect != "release":
        return False
    known = state.of(step.id)
    if known.status not in ("open", "done") and not known.in_doubt:
        return False
    # Nobody signed in, and the old registration was put back: that is what opening the release again means.
    return not any(
        state.of(other.id).status in ("failed", "skipped") and step.id in state.of(other.id).data.get("reopen", ())
        for other in steps
    )


def doubts_in_words(doubts: Sequence[InDoubt], run: str, *, held: bool = False) -> str:
    """What a run's end says of hosts in doubt, with what to type unless a process holds it; empty when there are none."""
    if not doubts:
        return ""
    listed = "; ".join(doubt.words for doubt in doubts[:NAMED])
    more = f"; and {len(doubts) - NAMED} more" if len(doubts) > NAMED else ""
    return f"{listed}{more}{'' if held else f': {remedy(doubts, run)}'}"


def remedy(doubts: Sequence[InDoubt], run: str) -> str:
    """What to type about them. What an earlier version skipped is no run's any more."""
    if doubts and all(doubt.answered for doubt in doubts):
        ended = all(doubt.aborted for doubt in doubts)
        return "`drkit assess`, then `drkit plan` asks for it again" if ended else f"`drkit resume {run}` looks again"
    if any(doubt.skipped for doubt in doubts):
        return "`drkit assess`, then `drkit plan --kind repair` registers what is off"
    if all(doubt.another for doubt in doubts):
        commands = ", ".join(f"`drkit skip {run} {doubt.register} --reason TEXT`" for doubt in doubts[:NAMED])
        return f"ask whose it is; {commands} leaves it so"
    return f"`drkit resume {run}` goes on with {'it' if len(doubts) == 1 else 'them'}"


def asked(book: Runbook, state: RunState) -> str:
    """What to type about the steps that wait for a person; empty when none does. One that finishes a release is not left out."""
    waiting = [step for step in book.steps if state.of(step.id).status == "asked"]
    if not waiting:
        return ""
    doubtful = {doubt.environment for doubt in in_doubt(book, state) if not doubt.another}
    free = [step.id for step in waiting if step.environment not in doubtful]
    answer = f"`drkit answer {state.run} STEP` when it is done"
    if not free:
        return answer
    which = "STEP" if len(free) == len(waiting) else free[0]
    return f"{answer}, or `drkit skip {state.run} {which} --reason TEXT`"


def refusal(book: Runbook, state: RunState, step: Step) -> str:
    """Why a step may not be left out now; empty when it may."""
    if not step.environment:
        return ""
    doubts = (doubt for doubt in in_doubt(book, state) if doubt.environment == step.environment and not doubt.another)
    doubt = next(doubts, None)
    return f"{doubt.words}; until it is proved registered, that is one act" if doubt else ""
