"""What every command shares: its options, its two streams, JSON or lines for people, the log, signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from drkit.cli.completion import offer
from drkit.errors import DrkitError
from drkit.model import files, log
from drkit.version import __version__

if TYPE_CHECKING:
    from drkit.api.context import Context

T = TypeVar("T")


class Common:
    """The values of the options that every command has."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.config: str | None = options.pop("config")
        self.store: str | None = options.pop("store")
        self.cloud: str | None = options.pop("cloud")
        self.json: bool = options.pop("as_json")
        self.quiet: bool = options.pop("quiet")
        if options.pop("pipelines"):
            Pipelines.wanted = True
        self.pipelines: bool = Pipelines.wanted

    def context(self, announce: Callable[[str], None] | None = None) -> Context:
        """The context that these options describe. ``announce`` hears which cloud it is (default: stderr)."""
        from drkit.api.context import desk
        from drkit.model.text import safe
        from drkit.products import faults

        for fault in faults():
            note(f"drkit: {safe(fault, 800)}")
        return desk(config=self.config, cloud=self.cloud, store=self.store, announce=announce or note)

    def tell(self, value: Any, parts: Callable[[], list[Any]]) -> None:
        """A result: JSON, or the lines for people. ``value``: what becomes JSON, or a function that gives it."""
        if self.json:
            from drkit.cli.views import json

            JsonOutput.told = True
            say(json.encode(value() if callable(value) else value))
            return
        from drkit.cli.views import terminal

        say(terminal.render(*parts(), colour=sys.stdout.isatty()))

    def pipe(self, commands: Callable[[Any], list[str]]) -> None:
        """Logging commands, in a pipeline only; ``commands`` makes them with the view. Beside JSON they go to stderr."""
        if self.pipelines:
            from drkit.cli.views import azure_pipelines

            for line in commands(azure_pipelines):
                _echo(line, err=self.json)


class JsonOutput:
    """Whether errors are printed as JSON too, and whether the one object was printed."""

    wanted = False
    told = False


class Pipelines:
    """Whether an agent of Azure Pipelines reads the output."""

    wanted = False

    @classmethod
    def look(cls) -> None:
        """The agent sets a variable for every step; an option asks for the same."""
        cls.wanted = os.environ.get("TF_BUILD", "").lower() == "true" or "--pipelines" in sys.argv[1:]


def say(text: str, *, newline: bool = True) -> None:
    """Print a result to stdout. A reader that is gone (``| head``) changes neither what the command does nor its exit code."""
    if Pipelines.wanted:
        text = _defused(text)
    elif not (JsonOutput.wanted and text[:1] in "{["):
        from drkit.model.text import shown

        text = shown(text)
    try:
        click.echo(text, nl=newline)
    except BrokenPipeError:
        _let_go(sys.stdout)
    except OSError as error:
        _let_go(sys.stdout)
        raise DrkitError(
            f"the result cannot be written: {error.strerror}", where="stdout", remedy="what was done is done and kept"
        ) from error


def note(text: str) -> None:
    """Print progress to stderr. A closed stream or a full disk must not end a run."""
    from drkit.model.text import exact

    shown = "\n".join(exact(line) for line in text.split("\n"))
    if Pipelines.wanted:
        from drkit.cli.views import azure_pipelines

        shown = azure_pipelines.defuse(shown)
    _echo(shown, err=True)


def _echo(text: str, *, err: bool) -> None:
    try:
        click.echo(text, err=err)
    except OSError:
        _let_go(sys.stderr if err else sys.stdout)


def _defused(text: str) -> str:
    """Text for a pipeline, without anything that an agent could take for a command."""
    from drkit.cli.views import azure_pipelines

    # In a JSON object an escape has the same meaning, so that its values do not change.
    if JsonOutput.wanted and text[:1] in "{[":
        return azure_pipelines.defuse_json(text)
    return azure_pipelines.defuse(text)


def _let_go(stream: Any) -> None:
    """Discard all further output of a stream, so that the interpreter does not fail when it flushes it at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class RenamedOption(click.Option):
    """An option that also has the names of the previous version (``old``), which help does not show."""

    def __init__(self, *args: Any, old: tuple[str, ...], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.old = old

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Register the old names beside the new one."""
        shown = self.opts
        self.opts = [*shown, *self.old]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


def renamed(option: str, old: str, name: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option that was called ``old`` in the previous version. ``name``: the parameter that gets its value."""
    return click.option(option, name, cls=RenamedOption, old=(old,), **attributes)


class Command(click.Command):
    """A command of drkit. ``examples``: lines that can be typed as they are, in the folder of a drill (`drkit drill --keep`).

    They use the names of the sample estate, and a test types them all.
    """

    examples: tuple[str, ...] = ()


def command(
    name: str | None = None, *, examples: Sequence[str] = (), words: str = ""
) -> Callable[[Callable[..., Any]], Command]:
    """A command with the common options; the function gets them as ``common``. ``words``: what its arguments are."""

    def wrap(function: Callable[..., Any]) -> Command:
        called = name or function.__name__.rstrip("_")
        written = [
            option.name
            for option in getattr(function, "__click_params__", [])
            if isinstance(option, click.Option) and option.name in ("out", "summary") and option.metavar == "FILE"
        ]

        def run(**options: Any) -> Any:
            common = Common(options)
            JsonOutput.wanted = common.json
            # The output files are checked first, before the command reads, asks or keeps anything.
            for name in written:
                if options.get(name):
                    files.check_out(options[name], remedy=f"choose another --{name}")
            log_file: str | None = options.pop("log_file")
            if not log_file:
                return function(common, **options)
            with log.writing(log_file):
                return _logged(called, function, common, options)

        run.__doc__ = function.__doc__
        for parameter in getattr(function, "__click_params__", []):
            run.__dict__.setdefault("__click_params__", []).append(parameter)
        common_options = [
            click.option("--config", metavar="FILE", help="Settings file (default: drkit.toml here)."),
            click.option("--store", metavar="FOLDER", help="Folder of the store (default: .drkit here)."),
            click.option(
                "--cloud", metavar="FILE", help="Ready file of a simulator, or name of a cloud (AzureUSGovernment …)."
            ),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout."),
            click.option("-q", "--quiet", is_flag=True, help="Print no progress."),
            click.option(
                "--pipelines",
                is_flag=True,
                help="Print logging commands for Azure Pipelines (default if TF_BUILD=True).",
            ),
            click.option(
                "--log-file", metavar="FILE", envvar="DRKIT_LOG_FILE", help="Append a log to this file, as JSON lines."
            ),
        ]
        for option in reversed(common_options):
            run = option(run)
        command_ = click.command(called, cls=Command, epilog=_epilog(words, examples))(run)
        command_.examples = tuple(examples)
        offer(command_)
        return command_

    return wrap


def _logged(name: str, function: Callable[..., Any], common: Common, options: dict[str, Any]) -> Any:
    """The command, with its beginning and its end in the log file."""
    log.say("command begun", command=name, version=__version__)
    try:
        code = function(common, **options)
    except DrkitError as error:
        failure = {"what": error.what, "where": error.where, "remedy": error.remedy, "exit_code": error.exit_code}
        log.say("command failed", logging.ERROR, command=name, **failure)
        raise
    log.say("command ended", command=name, exit_code=code)
    return code


def views() -> Any:
    from drkit.cli.views import terminal

    return terminal


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. SIGTERM cancels it in good order, and the command exits with 143."""

    async def guarded() -> T:
        loop, task, signals = asyncio.get_running_loop(), asyncio.current_task(), []

        def terminated() -> None:
            signals.append(signal.SIGTERM)
            if task is not None:
                task.cancel()

        loop.add_signal_handler(signal.SIGTERM, terminated)
        try:
            return await work
        except asyncio.CancelledError:
            if signals:
                sys.exit(143)
            raise

    return asyncio.run(guarded())


def _epilog(words: str, examples: Sequence[str]) -> str | None:
    """The end of a command's help, in click's way of writing: ``\\b`` keeps lines as they are."""
    title = "Examples:" if len(examples) > 1 else "Example:"
    listed = "\n".join(("\b", title, *(f"  {line}" for line in examples))) if examples else ""
    return "\n\n".join(part for part in (words, listed) if part) or None
