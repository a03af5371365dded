"""The program ``drkit``: its commands, by the time at which they are needed. A command is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

import click

from drkit.cli.command import note, say
from drkit.version import __version__

GROUPS: dict[str, tuple[str, ...]] = {
    "Before": ("init", "snapshot", "check", "preflight", "drill", "simulate", "schema", "completion"),
    "During": (
        "failover",
        "assess",
        "explain",
        "watch",
        "probe-script",
        "plan",
        "show",
        "approve",
        "apply",
        "resume",
        "answer",
        "skip",
        "retry",
        "pause",
        "unpause",
        "abort",
        "status",
    ),
    "After": ("report", "failback", "cleanup", "verify"),
}


class Commands(Mapping[str, click.Command]):
    """Every command by its name; each has a module of its name in ``drkit.cli.commands``."""

    def __getitem__(self, name: str) -> click.Command:
        if not any(name in names for names in GROUPS.values()):
            raise KeyError(name)
        function = name.replace("-", "_")
        command = getattr(import_module(f"drkit.cli.commands.{function}"), function)
        assert isinstance(command, click.Command)  # noqa: S101  a module of commands holds its command
        return command

    def __iter__(self) -> Iterator[str]:
        return (name for names in GROUPS.values() for name in names)

    def __len__(self) -> int:
        return sum(map(len, GROUPS.values()))


class Grouped(click.Group):
    """Commands listed as before, during and after."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            rows = [
                (name, command.get_short_help_str(150))
                for name in names
                if (command := self.get_command(ctx, name)) is not None
            ]
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.commands, 1)
            hint = f"did you mean `drkit {near[0]}`?" if near else "`drkit --help` lists the commands"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}") from error


@click.group(
    cls=Grouped,
    commands=Commands(),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="drkit")
@click.pass_context
def main_group(ctx: click.Context) -> None:
    """Recover registrations of machines whose Azure region is lost."""
    if ctx.invoked_subcommand is None:
        from drkit.api import status
        from drkit.api.context import desk

        # Its first line names the cloud, so that only the account it reads first need be said on stderr.
        for line in status.overview(desk(announce_store=note)):
            say(line)
