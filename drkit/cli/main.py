"""The process: runs a command, says how it ended, and sets the exit code. The commands are in ``commands``."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import traceback
import warnings
from typing import Any, NoReturn

import click

from drkit.cli.command import JsonOutput, Pipelines, note, say
from drkit.cli.group import main_group
from drkit.errors import DrkitError, FileError, UsageError

OF_PATHS = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.EEXIST,
    }
)
PR_SET_DUMPABLE = 4
SHELLS = ("bash", "zsh", "fish")


def main() -> NoReturn:
    """Entry point: exit codes, errors without traceback, signals."""
    signal.signal(signal.SIGTERM, _terminated)
    _switch_off_core_dumps()
    _open_streams()
    # What libraries log goes to --log-file or nowhere: theirs are tracebacks, and drkit says in its own words what happened.
    logging.lastResort = logging.NullHandler()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    JsonOutput.wanted = JsonOutput.told = False
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


def _switch_off_core_dumps() -> None:
    """No core dump of a process that holds credentials: it would write their memory to a disk, or give it to a service of the system.

    Does nothing where the system cannot. On Linux it does not affect the processes that this one starts, except for the size limit.
    On Linux another process of the same user can then no longer read this one's memory either.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        # A dump that goes to a program (core_pattern begins with |) is not held up by the limit.
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _open_streams() -> None:
    """Open the null device for a stream that was closed before drkit began, so that no file of drkit gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        with contextlib.suppress(OSError):
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        # It lasts as long as the process.
        setattr(sys, name, open(os.devnull, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _check_completion() -> None:
    """UsageError for a completion that no shell asked for: click would end with a KeyError, or silently."""
    asked = os.environ.get("_DRKIT_COMPLETE", "")
    shell, _, what = asked.partition("_")
    if not asked or (shell in SHELLS and what == "source"):
        return
    missing = [name for name in ("COMP_WORDS", "COMP_CWORD") if not os.environ.get(name)]
    if shell not in SHELLS or what != "complete" or missing:
        raise UsageError(
            f"_DRKIT_COMPLETE is {asked!r}{f', without {missing[0]}' if missing else ''}: no shell sends that",
            remedy="unset it; `drkit completion bash`, `zsh` or `fish` says how to complete",
        )


def _run() -> int:
    """The exit code of the command; its errors are printed."""
    try:
        _check_completion()
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
    except OSError as error:
        return _failed(_of_the_machine(error))
    except MemoryError:
        return _failed(DrkitError("there is not enough memory", remedy="a run can be resumed"))
    except Exception as error:
        if os.environ.get("DRKIT_TRACEBACK"):
            if not Pipelines.wanted:
                raise
            note("".join(traceback.format_exception(error)))
        return _failed(_unexpected(error))


def _of_the_machine(error: OSError) -> DrkitError:
    """What the operating system refuses, or a path that a person gave."""
    paths = [path for path in (error.filename, error.filename2) if isinstance(path, str | bytes | os.PathLike)]
    where, message = (os.fsdecode(paths[0]) if paths else ""), error.strerror or str(error) or type(error).__name__
    if paths and error.errno in OF_PATHS:
        return FileError(f"cannot be used: {message}", where=where, remedy="name another one")
    return DrkitError(
        f"the operating system refused: {message}",
        where=where,
        remedy="what was done is recorded; a run can be resumed",
    )


def _unexpected(error: Exception) -> DrkitError:
    """A bug in drkit, in one line; ``where`` is the place that raised it."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}"  # noqa: PTH119  (a name for people)
        trace = trace.tb_next
    return DrkitError(
        f"drkit itself failed: {type(error).__name__}: {error}",
        where=place,
        remedy="the journal of a run says how far it is, and it can be resumed; DRKIT_TRACEBACK=1 shows where it happened",
    )


def _terminated(_number: int, _frame: Any) -> NoReturn:
    sys.exit(143)


def _failed(error: DrkitError) -> int:
    from drkit.model.text import safe

    where = f"{safe(error.where, 300)}: " if error.where else ""
    asked = JsonOutput.wanted or "--json" in sys.argv
    lines = [safe(line, 600) for line in error.what.splitlines()] or [""]
    note(f"drkit: {where}{lines[0]}")
    for line in lines[1:]:
        note(f"  {line}")
    if error.remedy:
        note(f"  {safe(error.remedy, 400)}")
    if Pipelines.wanted:
        from drkit.cli.views import azure_pipelines

        issue = azure_pipelines.issue("error", f"{error}", type(error).__name__)
        with contextlib.suppress(OSError):
            click.echo(issue, err=asked)
    if asked and not JsonOutput.told:
        from drkit.cli.views import json

        with contextlib.suppress(DrkitError):
            say(json.encode(json.error(error)))
    return error.exit_code


if __name__ == "__main__":
    main()
