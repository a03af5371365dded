"""The command line: runs a command and tells how it ended. The commands are in ``commands``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import click

from drkit import core_dumps
from drkit.commands import after, before, during, night, running
from drkit.commands.base import Json, Pipelines, main_group, note, say
from drkit.errors import DrkitError, UsageError

COMMANDS = (before, night, during, running, after)


def main() -> NoReturn:
    """Entry point: exit codes, errors without traceback, signals."""
    signal.signal(signal.SIGTERM, _terminated)
    core_dumps.switch_off()
    Json.wanted = Json.told = False
    Pipelines.look()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = 0
    try:
        code = _run()
    except (click.Abort, KeyboardInterrupt):
        note("interrupted")
        code = 130
    sys.exit(code)


def _run() -> int:
    """The command's exit code, its errors told."""
    try:
        answered = main_group.main(prog_name="drkit", standalone_mode=False)
        return answered if isinstance(answered, int) else 0
    except DrkitError as error:
        return _failed(error)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "drkit"
        return _failed(UsageError(error.format_message(), remedy=f"`{where} --help`"))
    except (click.Abort, KeyboardInterrupt):
        raise
    except UnicodeEncodeError as error:
        return _failed(UsageError(f"a text is not UTF-8: {error.object!r}", remedy="give it in UTF-8"))
    except Exception as error:
        if os.environ.get("DRKIT_TRACEBACK"):
            if not Pipelines.wanted:
                raise
            note("".join(traceback.format_exception(error)))
        return _failed(_unexpected(error))


def _unexpected(error: Exception) -> DrkitError:
    """A fault of drkit's own, in one line; the place is where it was raised."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}"  # noqa: PTH119  (a name for people)
        trace = trace.tb_next
    return DrkitError(
        f"drkit itself failed: {type(error).__name__}: {error}",
        where=place,
        remedy="a run is left as its journal says and can be resumed; DRKIT_TRACEBACK=1 shows where it happened",
    )


def _terminated(_number: int, _frame: Any) -> NoReturn:
    sys.exit(143)


def _failed(error: DrkitError) -> int:
    from drkit.views.text import safe

    where = f"{safe(error.where, 300)}: " if error.where else ""
    asked = Json.wanted or "--json" in sys.argv
    lines = [safe(line, 600) for line in error.what.splitlines()] or [""]
    note(f"drkit: {where}{lines[0]}")
    for line in lines[1:]:
        note(f"  {line}")
    if error.remedy:
        note(f"  {safe(error.remedy, 400)}")
    if Pipelines.wanted:
        from drkit.views import pipelines

        issue = pipelines.issue("error", f"{error}", type(error).__name__)
        with contextlib.suppress(OSError):
            click.echo(issue, err=asked)
    if asked and not Json.told:
        from drkit.views import json

        with contextlib.suppress(DrkitError):
            say(json.encode(json.error(error)))
    return error.exit_code


if __name__ == "__main__":
    main()
