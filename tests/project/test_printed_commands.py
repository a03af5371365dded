"""Every command that drkit's own text names can be typed: it exists, has the options it is given, and wants nothing more."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import drkit
from drkit.cli.group import main_group

HOLE = "\ufffc"
COMMAND = re.compile(r"`(drkit(?: [^`]+)?)`")
FILLED = {
    "RUN": "run-0001",
    "STEP": "auto-we:release",
    "TEXT": "because",
    "REGION": "westeurope",
    "FOLDER": "probes",
    "FILE": "file.json",
    "DIGEST": "0123456789ab",
    "ARM_ID": "/subscriptions/s/x",
    "GUARD": "zombies",
    "HOST": "vm-1",
    "PLAN": "plan-1",
    "WORD": "lost",
}
SOURCES = sorted(Path(drkit.__file__).parent.rglob("*.py"))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module with its line, a hole for each value put in."""
    tree = ast.parse(path.read_text("utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    if path.parent.name == "commands":
        inner |= {id(node.value) for node in tree.body[:1] if isinstance(node, ast.Expr)}
    else:
        # Docstrings are for people who read the code; those of commands are their help.
        inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def printed() -> list[tuple[str, str]]:
    """Where a command is named, and the command with its placeholders."""
    return [
        (f"{path.relative_to(SOURCES[0].parent.parent)}:{line}", command)
        for path in SOURCES
        for line, text in texts(path)
        for command in COMMAND.findall(text)
    ]


def filled(command: str) -> list[str]:
    """The words to type after ``drkit``. A hole is a run, a runbook or a name, whichever the command takes."""
    words = shlex.split(command)[1:]
    return [FILLED.get(word, word.replace(HOLE, "run-0001")) for word in words]


def refusal(words: list[str]) -> str:
    """What click says against a command, which is parsed and not carried out; empty when it takes it."""
    try:
        with click.Context(main_group, info_name="drkit") as above:
            if not words or words[0].startswith("--"):
                main_group.parse_args(above, words)
                return ""
            name, command, rest = main_group.resolve_command(above, words)
            assert command is not None
            command.make_context(name, rest, parent=above)
    except click.exceptions.Exit:
        return ""
    except click.ClickException as error:
        return error.format_message()
    return ""


def test_every_command_that_drkit_names_can_be_typed() -> None:
    # Which command a hole is, is known only when it is printed.
    named = [(place, command) for place, command in printed() if command.split()[1:2] != [HOLE]]
    assert len(named) > 150
    refused = {f"{place}: {command}": why for place, command in named if (why := refusal(filled(command)))}
    assert refused == {}


@pytest.mark.parametrize(
    "command", ["drkit skip", "drkit answer run-0001", "drkit assess --declare-lost", "drkit nope"]
)
def test_a_command_that_wants_more_is_noticed(command: str) -> None:
    assert refusal(filled(command)) != ""
