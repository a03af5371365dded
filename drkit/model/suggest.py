"""The name that somebody probably meant. Pure, and quick whatever the names are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 200
"""Beyond it a name was not typed, and comparing would take minutes."""


def near(text: str, names: Iterable[str], most: int = 1) -> list[str]:
    """The names that look like ``text``, the nearest first."""
    typed = text[:LONGEST].lower()
    by_word: dict[str, str] = {}
    for name in names:
        # What was typed exactly was refused for another reason than its spelling.
        if 0 < len(name) <= LONGEST and name != text:
            by_word.setdefault(name.lower(), name)
    return [by_word[word] for word in difflib.get_close_matches(typed, list(by_word), most)]


def remedy(text: str, names: Iterable[str], rest: str) -> str:
    """A remedy that begins with the nearest name, if one is near: ``did you mean 'westeurope'? one of: …``."""
    found = near(text, names)
    return f"did you mean {found[0]!r}? {rest}" if found else rest
