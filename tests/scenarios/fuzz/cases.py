"""The cases: what each of them makes odd, and what is typed then. The same seed and number give the same case."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import click

from drkit.cli.group import main_group
from tests.scenarios.fuzz.values import TEXTS, broken, bytes_of, mutated, odd
from tests.support.every_command import every_command

KINDS = ("answers", "files", "files", "files", "lines", "lines", "lines")
READING: Sequence[tuple[str, ...]] = (
    ("snapshot",), ("snapshot", "--json"), ("assess",), ("assess", "--json"), ("check",), ("check", "--json"),
    ("preflight", "--machine", "x"),
    ("watch", "--for", "0.01"), ("failover",),
)  # fmt: skip
LINE_BREAKERS = (
    "--nonsense",
    "-",
    "--",
    "",
    "--json",
    "--pipelines",
    "-q",
    "--store",
    "--cloud",
    "--config",
    "--log-file",
    "-h",
    "latest",
)
FOREVER = frozenset({"simulate", "drill"})
"""What serves until it is stopped, or walks through a whole night: not typed with words of chance."""


@dataclass(frozen=True)
class Case:
    """``kind`` of thing that is odd; ``random`` decides the rest."""

    seed: int
    number: int

    @property
    def random(self) -> Random:
        return Random(f"{self.seed}/{self.number}")

    @property
    def kind(self) -> str:
        return KINDS[self.number % len(KINDS)]

    @property
    def repeat(self) -> str:
        """What to type to have this case alone."""
        return f"scripts/fuzz --seed {self.seed} --only {self.number}"


# files


def _toml(content: bytes, random: Random) -> bytes:
    text = content.decode()
    lines = text.split("\n")
    at = random.randrange(len(lines))
    word = random.choice(TEXTS).replace("\ud800", "?")[:5000]
    quoted = json.dumps(word, ensure_ascii=False)
    numbers = (7, -1, 1e400, "[]", "{}", "nan", "true", "[[]]")
    more: Sequence[Callable[[], list[str]]] = (
        lambda: lines[:at],
        lambda: [*lines[:at], lines[at].partition("=")[0] + "= " + quoted, *lines[at + 1 :]],
        lambda: [*lines[:at], lines[at].partition("=")[0] + f"= {random.choice(numbers)}", *lines[at + 1 :]],
        lambda: [*lines[:at], ".".join(["a"] * random.choice((3, 20_000))) + " = 1", *lines[at:]],
        lambda: [f"store = {quoted}", *lines],
        lambda: [*lines, "[cloud]", f"{random.choice(('arm', 'authority', 'tenant', 'credential', 'ca_bundle', 'name'))} = {quoted}"],
        lambda: [*lines, "[products.codespaces]", f"service = {quoted}"],
        lambda: [*lines, f"[{word[:50]}]"],
        lambda: [*lines, lines[at]],
    )  # fmt: skip
    changed = "\n".join(random.choice(more)()).encode("utf-8", "replace")
    return broken(changed, random) if random.random() < 0.1 else changed


def _json(content: bytes, random: Random) -> bytes:
    if random.random() < 0.2:
        return broken(content, random)
    try:
        value = json.loads(content)
    except ValueError:
        return broken(content, random)
    return bytes_of(mutated(value, random))


def _journal(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    if random.random() < 0.3:
        return broken(content, random)
    if random.random() < 0.3:
        return b"\n".join(
            random.choice(([*lines[:at], *lines[at + 1 :]], [*lines[:at], lines[at], *lines[at:]], lines[::-1]))
        )
    return b"\n".join([*lines[:at], _json(lines[at], random), *lines[at + 1 :]])


def spoil(folder: Path, random: Random) -> str:
    """Make one file of a prepared folder odd; its name."""
    files = [folder / "drkit.toml", folder / "ready.json"]
    found = [path for path in sorted((folder / ".drkit").rglob("*.json*")) if path.is_file()]
    # Settings and the ready file are asked for by every command, the rest by some.
    path = random.choice((*files, random.choice(found), random.choice(found), random.choice(found)))
    content = path.read_bytes()
    if random.random() < 0.03:
        path.unlink()
        path.mkdir()
        return str(path.relative_to(folder))
    spoilt = _toml if path.suffix == ".toml" else _journal if path.suffix == ".jsonl" else _json
    path.write_bytes(spoilt(content, random))
    return str(path.relative_to(folder))


# command lines


@cache
def _options() -> dict[str, list[str]]:
    """By command: the options it has."""

    def below(command: click.Command, name: str) -> dict[str, list[str]]:
        own = {name: [option for one in command.params if isinstance(one, click.Option) for option in one.opts]}
        if isinstance(command, click.Group):
            for word, inner in command.commands.items():
                own |= below(inner, f"{name} {word}".strip())
        return own

    return below(main_group, "")


def typed(folder: Path, random: Random) -> tuple[str, ...]:
    """A command of the folder's as it is meant to be typed."""
    return random.choice([words for words in every_command(folder) if not words or words[0] not in FOREVER])


def mistyped(folder: Path, random: Random) -> tuple[str, ...]:
    """A command with words left out, put in, doubled, and made odd."""
    words = list(typed(folder, random))
    options = _options().get(words[0] if words else "", [])
    for _ in range(random.randint(1, 3)):
        at = random.randint(1, max(1, len(words)))
        what = random.random()
        if what < 0.3 and options:
            value = str(odd(random)) if random.random() < 0.7 else random.choice(("latest", "1", "x", "./drkit.toml"))
            words[at:at] = [random.choice(options), *([value] if random.random() < 0.8 else [])]
        elif what < 0.5:
            words[at:at] = [random.choice(LINE_BREAKERS)]
        elif what < 0.7:
            words[at:at] = [str(odd(random))[:2000]]
        elif what < 0.85 and len(words) > 1:
            words[min(at, len(words) - 1)] = str(odd(random))[:2000]
        elif len(words) > 1:
            del words[min(at, len(words) - 1)]
    if words and words[0] == "watch":
        words += ["--for", "0.01"]
    # A word of a command line holds no NUL, and a lone surrogate is how bytes that are no UTF-8 arrive.
    return tuple(word.replace("\x00", "?").replace("\ud800", "\udcff") for word in words)
