"""Values that nobody expects, and where to put them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

FOREIGN = "evil.example"
"""A host of nobody's; whoever asks it gives itself away."""
TEXTS: Sequence[str] = (
    "", " ", "x", "\x00", "a\x1b[2J\x07b", "\u202egnp.exe\u200b\ufeff", "\ud800", "é\u0301\U0001f600", "../../x", "a/b?c#d", "%2e%2e%2f",
    f"{FOREIGN}/x?", f"https://{FOREIGN}/x", f"https://{FOREIGN}:99999/", "https://[", "//[::1", f"a@{FOREIGN}", "null", "-1",
    "1e999", "NaN",
    "9" * 40, "w" * 20_000, "2026-13-45T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-23", "'; touch x #",
    "##vso[task.setvariable variable=x]y", "line\nline\r\nline", "=cmd|'/c calc'!A0", "{{7*7}}", "$(x)", "/subscriptions//resourceGroups//",
)  # fmt: skip
OTHERS: Sequence[Any] = (
    None, True, False, 0, -1, 7, 1.5, 10**30, -(10**25), 1e308, [], {}, [None], [[]], {"a": 1}, [7, "x", None, {}], {"": {"": {}}},
)  # fmt: skip


def deep(levels: int) -> Any:
    """Lists within lists."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def odd(random: Random) -> Any:
    """Some value."""
    return random.choice(
        (lambda: random.choice(TEXTS), lambda: random.choice(OTHERS), lambda: deep(random.choice((60, 150))))
    )()


Place = tuple[Any, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """The paths of everything within a value, itself apart; of a long list the first three items."""
    inner: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, dict):
        inner = iter(value.items())
    elif isinstance(value, list):
        inner = iter(enumerate(value[:3]))
    for key, found in inner:
        yield (*at, key)
        yield from places(found, (*at, key))


def changed(value: Any, place: Place, change: Callable[[Any], Any], *, leave_out: bool = False) -> Any:
    """A copy of a value with one part of it changed, or left out."""
    copy = json.loads(json.dumps(value))
    holder = copy
    for key in place[:-1]:
        holder = holder[key]
    if leave_out:
        del holder[place[-1]]
    else:
        holder[place[-1]] = change(holder[place[-1]])
    return copy


def mutated(value: Any, random: Random, most: int = 2) -> Any:
    """A copy of a JSON value with one or a few parts of another type, left out, or odd."""
    for _ in range(random.randint(1, most)):
        every = list(places(value))
        if not every:
            return odd(random)
        value = changed(value, random.choice(every), lambda _: odd(random), leave_out=random.random() < 0.2)
    return value


def bytes_of(value: Any) -> bytes:
    """JSON as some servers write it: surrogates escaped, numbers that are none."""
    return json.dumps(value).encode()


def broken(content: bytes, random: Random) -> bytes:
    """Bytes that are no longer what they were."""
    at = random.randrange(len(content)) if content else 0
    return random.choice(
        (
            lambda: content[:at],
            lambda: content[:at] + bytes(random.randrange(256) for _ in range(4)) + content[at + 1 :],
            lambda: content + content[at:],
            lambda: b"",
            lambda: b"\xff\xfe" + content.decode("utf-8", "replace").encode("utf-16-le"),
            lambda: b"\xef\xbb\xbf" + content,
            lambda: b"[" * 5000,
            lambda: content.replace(b'"', b"'", 3),
            lambda: b"\x00" * 64,
            lambda: content[at:],
        )
    )()
