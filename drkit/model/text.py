"""Makes text from outside harmless, and formats times and numbers for people. Pure."""

from __future__ import annotations

import re
import unicodedata

from drkit.model.clock import parse_time

LONGEST = 400


def safe(text: object, most: int = LONGEST) -> str:
    """A text as one line of at most ``most`` characters, without control and direction characters: anybody can choose names in Azure."""
    letters = []
    for letter in str(text)[: most * 2]:
        kind = unicodedata.category(letter)
        letters.append(letter if letter == " " or kind[0] not in "CZ" or kind == "Co" else " ")
    line = " ".join("".join(letters).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


# General categories Cc (but for tabs and line ends), Cf, Cs, Zl and Zp of Unicode 15; the colours of a terminal stay.
_HIDDEN = re.compile(
    "(\x1b\\[[0-9;]*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)


def shown(text: str) -> str:
    """A text for printing: invisible characters (control and direction characters) become U+FFFD; line ends and tabs stay."""
    return text if text.isascii() and text.isprintable() else _HIDDEN.sub(lambda match: match[1] or "\ufffd", text)


def exact(text: object) -> str:
    """A line for copying: nothing is cut or joined; control and direction characters become U+FFFD."""
    return "".join(
        "\ufffd" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter for letter in str(text)
    )


def cells(text: str, most: int) -> str:
    """A text cut to ``most`` columns of a fixed-width font; a wide letter takes two."""
    used, start = 0, ""
    for letter in text:
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > most:
            return f"{start[:-1]}…"
        start += letter
    return start


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if minutes_left else f"{hours} h"


def clock(time: str, *, short: bool = False) -> str:
    """A time in UTC and, where it differs, the reader's local time: ``…T08:30:20Z (09:30 CET)``. ``time``: RFC 3339.

    ``short`` writes the first one as ``2026-03-01 08:30``. The zone's name is the one in force at that time, so that the hour that
    comes twice in autumn is unambiguous.
    """
    try:
        local = parse_time(time).astimezone()
    except (ValueError, OverflowError):
        return safe(time, 40)
    shown = time[:16].replace("T", " ") if short else time
    if not local.utcoffset():
        return shown
    day = "" if time.startswith(f"{local:%Y-%m-%d}") else f"{local:%m-%d} "
    return f"{shown} ({day}{local:%H:%M} {safe(local.tzname(), 12)})"


def plural(number: int, word: str) -> str:
    """``1 step``, ``3 steps``."""
    return f"{number} {word}{'' if number == 1 else 's'}"
