"""What a person reads of a runbook: its steps as they will be carried out, how many there are, and how long they take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from drkit.model.actions import Tables, action_of, announced, value_in_words
from drkit.model.operation import Request
from drkit.model.runbook import Runbook, Step
from drkit.model.settings import Settings

TYPED = frozenset({"see_first", "commands"})


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One step as it will be carried out: computed from its action, target and inputs, and never from its title or reason.

    ``requests``: every write it may send, method and URL. ``inputs``: name -> value, each whole. ``only_if``: what must still hold
    just before. ``unusual``: what a snapshot brought into it that is not the product's default. ``text_of_file``: title and
    reason, which the runbook brings along and nothing rests on. ``after``: numbers of the steps before it. ``see_first`` and
    ``commands``: what a person looks at and types.
    """

    number: int
    id: str
    product: str
    action: str
    effect: str
    target: str
    host: str
    environment: str
    plan: str
    wave: int
    after: tuple[int, ...]
    requests: tuple[Request, ...]
    inputs: dict[str, str]
    only_if: tuple[str, ...]
    unusual: tuple[str, ...]
    text_of_file: str
    see_first: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def described(book: Runbook, tables: Tables, settings: Settings) -> tuple[Described, ...]:
    """Every step of a runbook for a person, in its order. ``settings``: those it would be carried out with."""
    numbers = {step.id: number for number, step in enumerate(book.steps, 1)}
    arm = book.cloud.arm
    descriptions = []
    for step in book.steps:
        row = action_of(step, tables)
        descriptions.append(
            Described(
                number=numbers[step.id],
                id=step.id,
                product=step.product,
                action=step.action,
                effect=step.effect,
                target=step.target,
                host=step.host,
                environment=step.environment,
                plan=step.plan,
                wave=step.wave,
                after=tuple(numbers[need] for need in step.needs if need in numbers),
                requests=announced(step, tables, arm, settings) if row else (),
                inputs=dict(_leaves("", {key: value for key, value in step.inputs.items() if key not in TYPED})),
                see_first=tuple(map(str, step.inputs.get("see_first") or ())),
                commands=tuple(map(str, step.inputs.get("commands") or ())),
                only_if=_only_if(step),
                unusual=tuple(row.unusual(step)) if row else (),
                text_of_file=f"{step.title}; {step.reason}",
            )
        )
    return tuple(descriptions)


def _only_if(step: Step) -> tuple[str, ...]:
    """What must still hold, a sentence for each subject; the step's own ids, which stand beside it, are not repeated."""
    own = {step.host.lower(): "its host", step.plan.lower(): "its plan", step.target.lower(): "its target"}
    conditions: dict[str, list[str]] = {}
    for precondition in step.preconditions:
        expected = value_in_words(precondition.expected) if precondition.expected != "" else "(empty)"
        conditions.setdefault(own.get(precondition.subject.lower(), precondition.subject), []).append(
            f"{precondition.signal} = {expected}"
        )
    return tuple(f"{subject} has {', '.join(values)}" for subject, values in conditions.items())


def _leaves(name: str, value: Any) -> Iterable[tuple[str, str]]:
    """Every value among inputs with the way to it: ``body.location`` -> ``eastus``."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple) and value and not all(isinstance(part, str | int | float) for part in value):
        for number, inner in enumerate(value, 1):
            yield from _leaves(f"{name}.{number}", inner)
    elif isinstance(value, list | tuple) and len(value) == 1:
        yield name, value_in_words(value[0])
    elif name:
        yield name, value_in_words(value) if value != "" else "(empty)"


def effects(steps: Sequence[Step]) -> dict[str, int]:
    """How many steps of each effect, in the order of ``Effect``."""
    counts = dict.fromkeys(("create", "register", "release", "disable", "verify", "wait", "ask", "delete"), 0)
    for step in steps:
        counts[step.effect] += 1
    return {effect: number for effect, number in counts.items() if number}


def forecast_seconds(steps: Sequence[Step], concurrency: int) -> float:
    """Seconds the steps are expected to take: list scheduling by ``needs`` on ``concurrency`` hands; people cost what was estimated."""
    finish: dict[str, float] = {}
    hands = [0.0] * max(1, concurrency)
    for step in steps:
        ready = max((finish[need] for need in step.needs if need in finish), default=0.0)
        if step.effect in ("ask", "wait"):
            finish[step.id] = ready + step.estimate.seconds
            continue
        hand = min(range(len(hands)), key=hands.__getitem__)
        begin = max(ready, hands[hand])
        finish[step.id] = hands[hand] = begin + step.estimate.seconds
    return max(finish.values(), default=0.0)
