"""Foreign text made harmless, and small words about times and numbers. Pure."""

from __future__ import annotations

import unicodedata

LONGEST = 400


def safe(text: object, most: int = LONGEST) -> str:
    """One line without control characters or direction marks, cut at ``most`` characters: names in Azure are other people's input."""
    kept = []
    for letter in str(text)[: most * 2]:
        kind = unicodedata.category(letter)
        kept.append(letter if letter == " " or kind[0] not in "CZ" or kind == "Co" else " ")
    line = " ".join("".join(kept).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def exact(text: object) -> str:
    """A line to be copied: nothing is cut or joined; control characters and direction marks become a replacement sign."""
    return "".join(
        "\ufffd" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in str(text)
    )


def last(arm_id: str) -> str:
    """The last segment of an ARM id."""
    return arm_id.rstrip("/").rsplit("/", 1)[-1]


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if rest else f"{hours} h"


def plural(number: int, word: str) -> str:
    """``1 step``, ``3 steps``."""
    return f"{number} {word}{'' if number == 1 else 's'}"
