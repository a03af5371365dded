"""The help of every command: readable at 80 columns, nothing cut, and examples that the command line takes."""

from __future__ import annotations

import shlex

import click
import pytest

from drkit.cli.group import GROUPS, main_group
from tests.support.every_command import examples_of

COMMANDS = [name for names in GROUPS.values() for name in names]


def help_of(command: click.Command, name: str) -> str:
    with click.Context(command, info_name=name, terminal_width=80) as context:
        return command.get_help(context)


def test_every_command_is_listed_with_its_whole_sentence() -> None:
    told = help_of(main_group, "drkit")
    assert sorted(COMMANDS) == sorted(main_group.commands)
    assert "..." not in told.partition("Before:")[2]
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_fits_a_terminal_and_explains_itself(name: str) -> None:
    command = main_group.commands[name]
    told = help_of(command, f"drkit {name}")
    assert max(map(len, told.splitlines())) <= 80
    assert "Example" in told or name == "completion"
    for one in command.params:
        if isinstance(one, click.Option) and not one.hidden:
            assert one.help
            assert one.help.endswith("."), one.name
        elif isinstance(one, click.Argument) and one.metavar is None and not isinstance(one.type, click.Choice):
            assert f"{str(one.name).upper()} is" in " ".join(told.split()) or one.name == "text", one.name


@pytest.mark.parametrize("line", [line for name in COMMANDS for line in examples_of(name)])
def test_an_example_is_what_the_command_line_takes(line: str) -> None:
    drkit, name, *words = shlex.split(line.partition(" > ")[0])
    assert drkit == "drkit"
    command = main_group.commands[name]
    with command.make_context(name, words):
        pass
    assert line in help_of(command, name)


OLD_NAMES = {
    "snapshot --problems-only": "--only-wrong",
    "preflight --protected-region westeurope": "--away-from westeurope",
    "check --if-lost westeurope": "--lose westeurope",
    "drill --with-failback": "--return",
    "simulate --exit-with-parent": "--leash",
    "failover --restart": "--anew",
    "plan --reuse-open": "--or-open",
    "failback --reuse-open": "--or-open",
    "apply latest --resume-existing": "--or-resume",
    "report --runbook 0123": "--of 0123",
}


@pytest.mark.parametrize("line", OLD_NAMES)
def test_an_option_is_still_understood_under_its_old_name_and_only_the_new_one_is_shown(line: str) -> None:
    name, *words = line.split()
    old = OLD_NAMES[line].split()
    found = main_group.commands[name]
    given = [*words[: -len(old)], *old]

    def parsed(arguments: list[str]) -> dict[str, object]:
        with found.make_context(name, list(arguments), resilient_parsing=False) as context:
            return dict(context.params)

    assert parsed(given) == parsed(words)
    assert parsed(words) != parsed(words[: -len(old)])
    with click.Context(found) as context:
        shown = found.get_help(context).split()
    assert old[0] not in shown
    assert name == "simulate" or words[-len(old)] in shown
