"""The command line: parse, call ``api``, choose a view. No logic."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from drkit.errors import DrkitError, UsageError
from drkit.version import __version__

if TYPE_CHECKING:
    from drkit.api import Desk

T = TypeVar("T")
GROUPS: dict[str, tuple[str, ...]] = {
    "Before": ("init", "snapshot", "drill", "simulate", "schema"),
    "During": (
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
    "After": ("report", "verify"),
}
KINDS = ("snapshot", "assessment", "runbook", "settings", "approval", "journal")


class Grouped(click.Group):
    """Commands listed as before, during and after."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            rows = [
                (name, command.get_short_help_str(70))
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


class Common:
    """The options every command has, in force for this one."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.config: str | None = options.pop("config")
        self.store: str | None = options.pop("store")
        self.cloud: str | None = options.pop("cloud")
        self.json: bool = options.pop("as_json")
        self.quiet: bool = options.pop("quiet")

    def desk(self) -> Desk:
        """The desk these options describe."""
        from drkit import api

        return api.desk(config=self.config, cloud=self.cloud, store=self.store, announce=note)

    def tell(self, value: Any, parts: Callable[[], list[Any]]) -> None:
        """A result: JSON, or the lines for people."""
        if self.json:
            from drkit.views import json

            _Json.told = True
            say(json.encode(value))
            return
        from drkit.views import terminal

        say(terminal.render(*parts(), colour=sys.stdout.isatty()))


def say(text: str) -> None:
    """A result, to stdout. A reader that has gone (``| head``) changes nothing of what the command does or ends with."""
    try:
        click.echo(text)
    except BrokenPipeError:
        _let_go(sys.stdout)
    except OSError as error:
        _let_go(sys.stdout)
        raise DrkitError(
            f"the result cannot be written: {error.strerror}", where="stdout", remedy="what was done is done and kept"
        ) from error


def note(text: str) -> None:
    """Progress, to stderr. Nobody listening, or no room for it, must not end a run."""
    from drkit.views.text import exact

    try:
        click.echo("\n".join(exact(line) for line in text.split("\n")), err=True)
    except OSError:
        _let_go(sys.stderr)


def _let_go(stream: Any) -> None:
    """Write what is left, and all that follows, to nowhere, so that the interpreter does not stumble over it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def command(name: str | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with the common options; the function gets them as ``common``."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        def run(**options: Any) -> Any:
            common = Common(options)
            _Json.wanted = common.json
            return function(common, **options)

        run.__doc__ = function.__doc__
        for parameter in getattr(function, "__click_params__", []):
            run.__dict__.setdefault("__click_params__", []).append(parameter)
        common_options = [
            click.option("--config", metavar="FILE", help="Settings (default: drkit.toml here)."),
            click.option("--store", metavar="FOLDER", help="Where everything is kept (default: .drkit here)."),
            click.option("--cloud", metavar="FILE", help="Use the simulator that wrote this ready file."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
            click.option("-q", "--quiet", is_flag=True, help="No progress."),
        ]
        for option in reversed(common_options):
            run = option(run)
        return main_group.command(name or function.__name__.rstrip("_"))(run)

    return wrap


class _Json:
    """Whether errors go out as JSON too, and whether the one object was said."""

    wanted = False
    told = False


@click.group(
    cls=Grouped,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="drkit")
@click.pass_context
def main_group(ctx: click.Context) -> None:
    """Brings region-bound registrations back when an Azure region is lost."""
    if ctx.invoked_subcommand is None:
        from drkit import api

        # Its first line names the cloud, so that nothing need be said on stderr.
        for line in api.overview(api.desk()):
            say(line)


@command()
@click.option(
    "--subscription", "subscriptions", metavar="ID", multiple=True, help="Look at this one only; may be repeated."
)
@click.option("--out", metavar="FILE", default="drkit.toml", show_default=True, help="Where to write.")
def init(common: Common, subscriptions: tuple[str, ...], out: str) -> int:
    """Find what is registered where, and write a commented drkit.toml. Reads only."""
    from drkit import api

    text, path = _await(api.init(common.desk(), out, subscriptions=subscriptions))
    common.tell(
        {"path": path, "text": text},
        lambda: [f"kept as {path}", "next: read it, set what is commented out, then `drkit snapshot`"],
    )
    return 0


@command()
@click.option(
    "--subscription", "subscriptions", metavar="ID", multiple=True, help="Look at this one only; may be repeated."
)
def snapshot(common: Common, subscriptions: tuple[str, ...]) -> int:
    """Capture the estate: plans, environments, hosts and what identifies them."""
    from drkit import api

    taken, path = _await(api.snapshot(common.desk(), subscriptions=subscriptions))
    common.tell(taken, lambda: _views().snapshot(taken, str(path)))
    return 0


@command()
@click.option("--declare-lost", metavar="REGION", help="Declare a region lost, with your name; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why; kept as evidence.")
@click.option("--probe-output", metavar="DIR", help="A folder of what probes printed that people ran by hand.")
@click.option(
    "--verdict", "verdicts", metavar="WORD", multiple=True, help="Show only hosts of this verdict (or reason)."
)
@click.option("--plan", "only", metavar="NAME", help="Show only this plan and its hosts.")
def assess(
    common: Common,
    declare_lost: str | None,
    reason: str | None,
    probe_output: str | None,
    verdicts: tuple[str, ...],
    only: str | None,
) -> int:
    """Say how each plan is and what happened to each host. Reads only."""
    from drkit import api, telling

    if reason and not declare_lost:
        raise UsageError("--reason goes with --declare-lost", remedy="drkit assess --declare-lost REGION --reason TEXT")
    telling.check_words(verdicts)
    desk = common.desk()
    taken, path, code = _await(api.assess(desk, declare_lost=declare_lost, reason=reason, probe_output=probe_output))
    shown = telling.filtered(taken, verdicts=verdicts, plan=only or "", desk=desk)
    common.tell(shown, lambda: _views().assessment(shown, str(path)))
    return code


@command()
@click.argument("name")
def explain(common: Common, name: str) -> int:
    """Why a host's verdict, or a plan's state, is what it is, and what to do."""
    from drkit import telling
    from drkit.views.explain import lines

    found = telling.explain(common.desk(), name)
    common.tell(found, lambda: lines(found, _views().width()))
    return 0


@command()
@click.option(
    "--every", type=float, default=5.0, show_default=True, metavar="MINUTES", help="Between two looks, at the least."
)
@click.option(
    "--for", "for_minutes", type=float, default=0.0, metavar="MINUTES", help="How long (default: until a signal)."
)
@click.option(
    "--until", default="", metavar="WORD", help="Stop at this plan state or verdict, or when all is `settled`."
)
def watch(common: Common, every: float, for_minutes: float, until: str) -> int:
    """Assess again and again, and print what changed. Ends with 0, 1 (--until was not reached) or 5 (cannot tell)."""
    from drkit import telling

    told, code = _await(
        telling.watched(
            common.desk(), every_minutes=every, for_minutes=for_minutes, until=until,
            tell=(lambda text: None if common.quiet else note(text)) if common.json else say,
        )
    )  # fmt: skip
    if common.json:
        common.tell(told, list)
    return code


@command("probe-script")
@click.argument("system", type=click.Choice(["linux", "windows"]), default="linux")
def probe_script(common: Common, system: str) -> int:
    """Print the probe, to run by hand on a host that drkit cannot reach."""
    from drkit import api

    found = api.probe_script(common.desk().settings, system)
    if common.json:
        common.tell(found, list)
        return 0
    click.echo(found.text, nl=False)
    if not common.quiet:
        note(f"in a file on the host, as an administrator: {found.command}")
        note("collect the outputs in a folder, each named for its host, then: drkit assess --probe-output FOLDER")
    return 0


@command()
@click.option(
    "--kind", type=click.Choice(["failover", "repair"]), help="Default: failover if a plan is lost, else repair."
)
@click.option("--graceful", is_flag=True, help="Move away from a region that still works; needs --from.")
@click.option("--from", "from_region", metavar="REGION", help="The region to move away from.")
@click.option("--snapshot", metavar="FILE", help="Recover from this snapshot.")
@click.option("--assessment", metavar="FILE", help="Plan on this assessment.")
@click.option("--force", metavar="GUARD", multiple=True, help="Write an exception to a guard into the runbook.")
@click.option("--reason", metavar="TEXT", help="Why the guard is forced.")
@click.option("--out", metavar="FILE", help="Write the runbook here too.")
@click.option("--rebase", metavar="RUN", help="What a run left undone, anew, for an approval of its own.")
@click.option("--detailed-exitcode", is_flag=True, help="Leave with 2 when there is something to do.")
def plan(
    common: Common,
    kind: Any,
    graceful: bool,
    from_region: str | None,
    snapshot: str | None,
    assessment: str | None,
    force: tuple[str, ...],
    reason: str | None,
    out: str | None,
    rebase: str | None,
    detailed_exitcode: bool,
) -> int:
    """Write the runbook. Pure: the same snapshot and assessment give the same bytes."""
    from drkit import api, control

    if graceful != bool(from_region):
        raise UsageError("--graceful and --from REGION go together")
    if force and not (reason or "").strip():
        raise UsageError("--force needs --reason TEXT: the approver reads it")
    forced = dict.fromkeys(force, reason or "")
    if rebase:
        if kind or graceful or snapshot or assessment:
            raise UsageError(
                "--rebase takes kind, region, snapshot and assessment from the run and the store",
                remedy="leave them out",
            )
        planned = control.rebase(common.desk(), rebase, force=forced, out=out)
    else:
        planned = api.plan(
            common.desk(),
            kind=kind,
            graceful_from=from_region or "",
            snapshot=snapshot,
            assessment=assessment,
            force=forced,
            out=out,
        )
    value = {"runbook": planned.runbook, "digest": planned.digest, "path": planned.path, "warnings": planned.warnings}
    common.tell(value, lambda: _views().planned(planned.runbook, planned.digest, str(planned.path), planned.warnings))
    return 2 if detailed_exitcode and planned.runbook.steps else 0


@command()
@click.argument("runbook", default="latest")
def show(common: Common, runbook: str) -> int:
    """Show a runbook whole: every step, its reason, what was left alone."""
    from drkit import api

    shown = api.show(common.desk(), runbook)
    value = {"runbook": shown.runbook, "digest": shown.digest, "path": shown.path}
    common.tell(value, lambda: _views().show(shown.runbook, shown.digest, str(shown.path)))
    return 0


@command()
@click.argument("runbook", default="latest")
@click.option("--hours", type=float, default=24.0, show_default=True, help="How long the approval holds.")
@click.option("--note", default="", help="A word for the record.")
def approve(common: Common, runbook: str, hours: float, note: str) -> int:
    """Approve a runbook's exact bytes."""
    from drkit import api

    approval = api.approve(common.desk(), runbook, hours=hours, note=note)
    common.tell(
        approval,
        lambda: [
            (
                f"approved {approval.digest[:12]} by {approval.who} until {approval.until}"
                f"{'' if approval.authenticated else ' (unauthenticated: this store cannot say who wrote it)'}"
            ),
            f"next: `drkit apply {approval.digest[:12]}`",
        ],
    )
    return 0


def _listener(common: Common) -> Callable[[Any], None]:
    def heard(event: Any) -> None:
        if not common.quiet:
            note(_views().event(event.kind, event.step.id if event.step else "", event.text))

    return heard


def _applied(common: Common, desk: Desk, applied: Any) -> int:
    from drkit import api

    standing = api.status(desk, applied.run)
    common.tell(
        {"run": applied.run, "outcome": applied.outcome, "reason": applied.reason, "exit_code": applied.exit_code},
        lambda: _views().status(standing.runbook, standing.state, standing.outcome, standing.reason),
    )
    return int(applied.exit_code)


@command()
@click.argument("runbook", default="latest")
@click.option("--yes", is_flag=True, help="Approve it yourself; the journal says so.")
@click.option("--wait", "wait_minutes", type=float, help="Minutes to wait for people when nothing else is left.")
def apply(common: Common, runbook: str, yes: bool, wait_minutes: float | None) -> int:
    """Carry out an approved runbook."""
    from drkit import api

    desk = common.desk()
    applied = _await(api.apply(desk, runbook, yes=yes, wait_minutes=wait_minutes, on_event=_listener(common)))
    return _applied(common, desk, applied)


@command()
@click.argument("run", default="latest")
@click.option("--wait", "wait_minutes", type=float, help="Minutes to wait for people when nothing else is left.")
def resume(common: Common, run: str, wait_minutes: float | None) -> int:
    """Go on with a run, whatever ended it."""
    from drkit import api

    desk = common.desk()
    applied = _await(api.resume(desk, run, wait_minutes=wait_minutes, on_event=_listener(common)))
    return _applied(common, desk, applied)


@command()
@click.argument("run")
@click.argument("step")
@click.argument("text", default="done")
def answer(common: Common, run: str, step: str, text: str) -> int:
    """Tell a run that what a step asks of a person is done, or that the person is ready."""
    from drkit import api

    found = api.answer(common.desk(), run, step, text)
    common.tell({"step": found, "said": text}, lambda: [f"said to {run}: {found}: {text}", _taken_up(run)])
    return 0


def _taken_up(run: str) -> str:
    return f"a process that holds the run takes it up; if none does, `drkit resume {run}`"


@command()
@click.argument("run")
@click.argument("step")
@click.option("--reason", required=True, metavar="TEXT", help="Why; the journal keeps it.")
def skip(common: Common, run: str, step: str, reason: str) -> int:
    """Leave a step out, with a reason."""
    from drkit import api

    found = api.skip(common.desk(), run, step, reason)
    common.tell({"step": found, "reason": reason}, lambda: [f"said to {run}: skip {found}: {reason}", _taken_up(run)])
    return 0


@command()
@click.argument("run")
@click.argument("step")
def retry(common: Common, run: str, step: str) -> int:
    """Try a failed or drifted step again; it is looked at anew first."""
    from drkit import control

    found = control.retry(common.desk(), run, step)
    common.tell({"step": found}, lambda: [f"said to {run}: retry {found}", _taken_up(run)])
    return 0


@command()
@click.argument("run", default="latest")
@click.option("--reason", default="", metavar="TEXT", help="Why; the journal keeps it.")
def pause(common: Common, run: str, reason: str) -> int:
    """Begin nothing new; what is under way is finished."""
    from drkit import control

    name = control.pause(common.desk(), run, reason)
    common.tell({"run": name}, lambda: [f"said to {name}: pause", _taken_up(name), f"next: `drkit unpause {name}`"])
    return 0


@command()
@click.argument("run", default="latest")
def unpause(common: Common, run: str) -> int:
    """Go on after a pause."""
    from drkit import control

    name = control.unpause(common.desk(), run)
    common.tell({"run": name}, lambda: [f"said to {name}: unpause", _taken_up(name)])
    return 0


@command()
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Why; the journal keeps it.")
def abort(common: Common, run: str, reason: str) -> int:
    """End a run for good: what was begun for a host is finished, nothing else is begun."""
    from drkit import control

    name = control.abort(common.desk(), run, reason)
    common.tell({"run": name, "reason": reason}, lambda: [f"said to {name}: abort: {reason}", _taken_up(name)])
    return 0


@command()
@click.argument("run", default="latest")
@click.option("--head", default="", metavar="HASH", help="A head kept elsewhere, which must be in the chain.")
def verify(common: Common, run: str, head: str) -> int:
    """Compute the hash chain of a run's journal again. Repairs nothing."""
    from drkit import control

    found = control.verify(common.desk(), run, head)
    torn = (
        [f"{found.torn} bytes of a record that was being written follow; `drkit resume {found.run}` drops them"]
        if found.torn
        else []
    )
    since = [f"{found.since} records were added since that head"] if head else []
    common.tell(
        found, lambda: [f"{found.run}: the chain holds: {found.count} records", f"head {found.head}", *since, *torn]
    )
    return 0


@command()
@click.argument("run", required=False)
@click.option("--show-code", is_flag=True, help="Sign-in codes, on the machine that runs it only.")
def status(common: Common, run: str | None, show_code: bool) -> int:
    """Where a run stands; without one, the list of runs."""
    from drkit import api

    desk = common.desk()
    if show_code:
        found = api.codes(desk, run or "latest")
        common.tell({"codes": found}, lambda: _views().codes(found))
        return 0
    if run is None:
        listed = api.runs(desk)
        rows = [(one.run, one.runbook.kind, one.outcome, one.state.started, one.reason) for one in listed]
        value = [
            {"run": one.run, "kind": one.runbook.kind, "outcome": one.outcome, "started": one.state.started}
            for one in listed
        ]
        common.tell(
            {"runs": value},
            lambda: (
                [_views().table("run", "kind", "outcome", "started", "why", rows=rows, ratios={4: 1})]
                if rows
                else ["no runs yet"]
            ),
        )
        return 0
    standing = api.status(desk, run)
    value_one = {
        "run": standing.run,
        "outcome": standing.outcome,
        "reason": standing.reason,
        "runbook": standing.digest,
        "steps": {step.id: standing.state.of(step.id).status for step in standing.runbook.steps},
    }
    common.tell(value_one, lambda: _views().status(standing.runbook, standing.state, standing.outcome, standing.reason))
    return 0


@command()
@click.argument("run", default="latest")
@click.option("--markdown", is_flag=True, help="As Markdown.")
@click.option("--out", metavar="FILE", help="Write it here.")
def report(common: Common, run: str, markdown: bool, out: str | None) -> int:
    """What a run did, and what became of each environment."""
    from drkit import api
    from drkit.views import json
    from drkit.views import markdown as marked

    found = api.report(common.desk(), run)
    if out:
        text = f"{json.encode(found)}\n" if common.json else marked.report(found)
        api.write_out(out, text.encode())
        common.tell({"run": found["run"], "path": out}, lambda: [f"kept as {out}"])
        return 0
    if markdown and not common.json:
        say(marked.report(found))
        return 0
    common.tell(found, lambda: _views().report(found))
    return 0


@command()
@click.argument("kind", type=click.Choice(KINDS))
def schema(common: Common, kind: str) -> int:
    """The JSON Schema of a kind of file."""
    from drkit import api
    from drkit.views import json

    del common
    say(json.encode(api.schema(kind)))
    return 0


@command()
@click.option("--estate", metavar="FILE", help="A simulator seed, or a snapshot of your own.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the ARM endpoint (default: any free one)."
)
@click.option(
    "--speed", type=float, default=1.0, show_default=True, help="Simulated seconds a real second, at most 60."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which sample estate.")
@click.option("--ready", metavar="FILE", help="Write here, once it serves, what a program needs to use it.")
def simulate(common: Common, estate: str | None, port: int, speed: float, seed: int, ready: str | None) -> int:
    """Serve the embedded Azure on loopback until a signal stops it."""
    from drkit import rehearsal
    from drkit.views import json

    def serving(facts: dict[str, Any]) -> None:
        if common.json:
            say(json.encode(facts))
            return
        for line in rehearsal.exports(facts, ready):
            say(line)

    return _await(rehearsal.simulate(estate=estate, port=port, speed=speed, seed=seed, ready=ready, serving=serving))


@command()
@click.option("--estate", metavar="FILE", help="A snapshot of your own to lose and recover (default: the sample).")
@click.option("--lose", metavar="REGION", default="westeurope", show_default=True, help="The region to lose.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same number tells the same story.")
@click.option(
    "--speed", type=float, default=60.0, show_default=True, help="Simulated seconds a real second, at most 60."
)
@click.option("--keep", is_flag=True, help="Leave the embedded Azure up afterwards, until a signal.")
@click.option("-v", "--verbose", is_flag=True, help="Every step of every run.")
@click.option(
    "--story", metavar="NAME", help="Play a named story of one host instead, and explain its end (`list` lists them)."
)
def drill(
    common: Common, estate: str | None, lose: str, seed: int, speed: float, keep: bool, verbose: bool, story: str | None
) -> int:
    """Lose a region on the embedded Azure, and recover from it. Reaches nothing but loopback."""
    from drkit import rehearsal
    from drkit.views import json

    quiet = common.json or common.quiet
    if story is not None:
        from drkit import story as stories

        told = _await(
            stories.tell(story, (lambda _line: None) if quiet else say, folder=common.store, columns=_views().width())
        )
        if common.json:
            say(json.encode(told))
        return 0 if told.get("as_told", True) else 1

    def kept(found: dict[str, Any], lines: list[str]) -> None:
        if common.json:
            say(json.encode(found))
        for line in lines:
            (note if common.json else say)(line)

    found = _await(
        rehearsal.drill(
            estate=estate, lose=lose, seed=seed, speed=speed, keep=keep, folder=common.store,
            say=(lambda _line: None) if quiet else say, kept=kept, verbose=verbose,
        )
    )  # fmt: skip
    if common.json and not keep:
        say(json.encode(found))
    return 0 if str(found["outcome"]).startswith("succeeded") else 3 if found["outcome"] == "partial" else 1


def _views() -> Any:
    from drkit.views import terminal

    return terminal


def main() -> NoReturn:
    """Entry point: exit codes, errors without traceback, signals."""
    signal.signal(signal.SIGTERM, _terminated)
    _Json.wanted = _Json.told = False
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
            raise
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


def _await(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end. SIGTERM cancels it in good order, and the command leaves with 143."""

    async def guarded() -> T:
        loop, task, heard = asyncio.get_running_loop(), asyncio.current_task(), []

        def terminated() -> None:
            heard.append(signal.SIGTERM)
            if task is not None:
                task.cancel()

        loop.add_signal_handler(signal.SIGTERM, terminated)
        try:
            return await work
        except asyncio.CancelledError:
            if heard:
                sys.exit(143)
            raise

    return asyncio.run(guarded())


def _terminated(_number: int, _frame: Any) -> NoReturn:
    sys.exit(143)


def _failed(error: DrkitError) -> int:
    from drkit.views.text import safe

    where = f"{safe(error.where, 300)}: " if error.where else ""
    asked = _Json.wanted or "--json" in sys.argv
    lines = [safe(line, 600) for line in error.what.splitlines()] or [""]
    note(f"drkit: {where}{lines[0]}")
    for line in lines[1:]:
        note(f"  {line}")
    if error.remedy:
        note(f"  {safe(error.remedy, 400)}")
    if asked and not _Json.told:
        from drkit.views import json

        with contextlib.suppress(DrkitError):
            say(json.encode(json.error(error)))
    return error.exit_code


if __name__ == "__main__":
    main()
