"""Suggests the name that somebody probably meant. Pure, and quick for any names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 200
"""A longer name was not typed by hand, and comparing it would take minutes."""


def near(text: str, names: Iterable[str], most: int = 1) -> list[str]:
    """At most ``most`` names that look like ``text``, the nearest first."""
    typed = text[:LONGEST].lower()
    by_word: dict[str, str] = {}
    for name in names:
        # A name that was typed exactly was refused for another reason than its spelling.
        if 0 < len(name) <= LONGEST and name != text:
            by_word.setdefault(name.lower(), name)
    return [by_word[word] for word in difflib.get_close_matches(typed, list(by_word), most)]


def remedy(text: str, names: Iterable[str], rest: str) -> str:
    """A remedy that begins with the nearest name, if one is near: ``did you mean 'westeurope'? one of: …``."""
    nearest = near(text, names)
    return f"did you mean {nearest[0]!r}? {rest}" if nearest else rest
