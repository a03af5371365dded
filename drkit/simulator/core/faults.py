"""Rules that make a request go wrong.

A rule matches by ``method``, ``url`` (a regular expression, searched without case in ``https://host/path?query``) and
``principal`` (a role); all that are given must fit. ``nth`` (1) is the first matching request it strikes, ``times``
(1; 0: no end) how many, ``for_seconds`` how long in simulated time. What happens then, one or more of:

- ``delay``: so many simulated seconds pass first;
- ``status`` with ``code``, ``message``, ``retry_after`` (seconds), ``headers``: this error, nothing is done;
- ``hang``: true: never answered, nothing is done;
- ``drop``: ``before`` or ``after``: the connection is cut before or after the request was carried out;
- ``truncate``: true: carried out, half of the body arrives, then the connection is cut;
- ``html``: true: carried out, answered with a page of HTML (with ``status``, that status);
- ``stale``: a list (Resource Manager's, a plan's environments) is answered as it was so many simulated seconds ago (``stale_lists``);
- ``lro``: ``fail`` (with ``code``, ``message``) or ``never``: how the long-running operation ends that it starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from drkit.simulator.core.state import Json

MATCH = ("id", "method", "url", "principal", "nth", "times", "for_seconds")
EFFECT = (
    "delay",
    "status",
    "code",
    "message",
    "retry_after",
    "headers",
    "hang",
    "drop",
    "truncate",
    "html",
    "stale",
    "lro",
)
KEYS = frozenset((*MATCH, *EFFECT))
LONGEST_URL = 2000
_ENDLESS = re.compile(r"[*+]|\{\d*,\}")
_REPEATS = re.compile(r"[*+{]")
_GROUP = re.compile(r"\((?:\?(?:[:=!]|<[=!]|P<\w+>))?([^()]*)\)")


@dataclass
class FaultRule:
    id: int
    said: Json
    until: datetime | None
    seen: int = 0
    struck: int = 0

    def strikes(self, now: datetime, method: str, url: str, principal: str) -> bool:
        """Whether this request is struck; counts it."""
        said = self.said
        if self.until is not None and now > self.until:
            return False
        if said.get("method", method).upper() != method or said.get("principal", principal) != principal:
            return False
        if not re.search(said.get("url", ""), url[:LONGEST_URL], re.IGNORECASE):
            return False
        self.seen += 1
        times = said.get("times", 1)
        if self.seen < said.get("nth", 1) or (times and self.struck >= times):
            return False
        self.struck += 1
        return True

    def view(self) -> Json:
        return {**self.said, "id": self.id, "seen": self.seen, "struck": self.struck}


def _check(expression: str) -> None:
    """ValueError for one that does not compile, or whose search may take for ever: a repetition of repetitions, or many of them."""
    try:
        re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"url: {error}") from error
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", expression, flags=re.DOTALL)
    if len(expression) > 500 or len(_ENDLESS.findall(bare)) > 4:
        raise ValueError("url: has more than 500 characters or 4 repetitions without end")
    while (flat := _GROUP.sub(lambda group: "x*" if _REPEATS.search(group[1]) else "x", bare)) != bare:
        if re.search(r"x\*[*+{]", flat):
            raise ValueError("url: repeats a group that repeats something itself")
        bare = flat


class Faults:
    """The rules in force, in the order in which they were made."""

    def __init__(self) -> None:
        self.rules: list[FaultRule] = []
        self._count = 0

    def add(self, now: datetime, said: Json) -> FaultRule:
        """A new rule. ValueError for a key that is none, or an expression that does not compile."""
        for key in said.keys() - KEYS:
            raise ValueError(f"a fault has no {key!r}")
        _check(str(said.get("url", "")))
        self._count += 1
        seconds = said.get("for_seconds")
        rule = FaultRule(self._count, said, now + timedelta(seconds=seconds) if seconds else None)
        self.rules.append(rule)
        return rule

    @property
    def lagging(self) -> bool:
        """Whether a list may be answered from the past: what lists show is remembered then."""
        return any("stale" in rule.said for rule in self.rules)

    def remove(self, number: int | None) -> int:
        """Remove one rule, or all; how many went."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if number is not None and rule.id != number]
        return before - len(self.rules)

    def find(self, now: datetime, method: str, url: str, principal: str) -> Json:
        """What the first rule that strikes says; an empty object when none does."""
        for rule in self.rules:
            if rule.strikes(now, method, url, principal):
                return rule.said
        return {}
