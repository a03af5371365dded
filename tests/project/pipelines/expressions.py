"""Expressions of Azure Pipelines: conditions, and what stands in ``${{ }}`` and ``$[ ]``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z_][A-Za-z0-9_-]*)|(-?[0-9.]+)|([()\[\],.]))")
Call = Callable[..., Any]


class WrongError(ValueError):
    """An expression that Azure Pipelines would refuse, or that names what is not there."""


def same(one: Any, other: Any) -> bool:
    return str(one).lower() == str(other).lower()


PLAIN: dict[str, Call] = {
    "and": lambda *given: all(truth(one) for one in given),
    "or": lambda *given: any(truth(one) for one in given),
    "not": lambda one: not truth(one),
    "eq": same,
    "ne": lambda one, other: not same(one, other),
    "in": lambda one, *others: any(same(one, other) for other in others),
    "startsWith": lambda text, start: str(text).lower().startswith(str(start).lower()),
    "replace": lambda text, old, new: str(text).replace(old, new),
}


def truth(value: Any) -> bool:
    return value.lower() not in ("", "false") if isinstance(value, str) else bool(value)


def evaluate(text: str, context: Mapping[str, Any], functions: Mapping[str, Call] | None = None) -> Any:
    """The value of an expression. In ``context`` names are found by any case; a variable that is not there is empty."""
    calls = {**PLAIN, **(functions or {})}
    found = list(TOKEN.finditer(text.strip()))
    if "".join(match.group(0) for match in found).strip() != text.strip():
        raise WrongError(f"cannot be read: {text}")
    tokens = [match.group(0).strip() for match in found]
    place = 0

    def take(wanted: str = "") -> str:
        nonlocal place
        if place >= len(tokens) or (wanted and tokens[place] != wanted):
            raise WrongError(f"expected {wanted or 'more'} in {text}")
        place += 1
        return tokens[place - 1]

    def value() -> Any:
        word = take()
        if word[0] == "'":
            return word[1:-1].replace("''", "'")
        if word.lower() in ("true", "false"):
            return word.lower() == "true"
        if word[0].isdigit() or word[0] == "-":
            return word
        if place < len(tokens) and tokens[place] == "(":
            return call(word)
        return member(word)

    def call(word: str) -> Any:
        given = []
        take("(")
        while tokens[place : place + 1] != [")"]:
            given.append(value())
            if tokens[place : place + 1] == [","]:
                take(",")
        take(")")
        found = next((one for name, one in calls.items() if name.lower() == word.lower()), None)
        if found is None:
            raise WrongError(f"no function {word} in {text}")
        return found(*given)

    def member(word: str) -> Any:
        here: Any = look(context, word, text)
        while tokens[place : place + 1] in (["."], ["["]):
            dot = take() == "."
            name = take() if dot else str(value())
            if not dot:
                take("]")
            here = look(here, name, text)
        return here

    told = value()
    if place != len(tokens):
        raise WrongError(f"too much in {text}")
    return told


def look(where: Any, name: str, text: str) -> Any:
    if not isinstance(where, Mapping):
        raise WrongError(f"{name} of nothing in {text}")
    for key, found in where.items():
        if key.lower() == name.lower():
            return found
    if where.get("") == "may miss":
        return ""
    raise WrongError(f"there is no {name} in {text}")
