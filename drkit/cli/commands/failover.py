"""``drkit failover``: one command that leads from the alarm to the report."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from drkit.cli.command import Common, command, finish, note, renamed, say, views
from drkit.cli.options import declare_options, target_option, wait_option
from drkit.errors import DrkitError, UsageError

T = TypeVar("T")


class TerminalPresenter:
    """The person at this terminal, if there is one. With ``--json`` the text goes to stderr, and nobody is asked."""

    def __init__(self, common: Common, concurrency: int) -> None:
        self.json, self.quiet, self.concurrency = common.json, common.quiet, concurrency
        self.present = sys.stdin.isatty() and not common.json

    def _print(self, parts: list[Any]) -> None:
        if self.quiet:
            return
        text = views().render(*parts, colour=not self.json and sys.stdout.isatty())
        (note if self.json else say)(text)

    def stage(self, number: int, title: str) -> None:
        """A head."""
        from drkit.cli.views import failover as failover_view

        self._print(failover_view.stage(number, title))

    def say(self, text: str) -> None:
        """A sentence."""
        from drkit.model.text import safe

        self._print([safe(text, 600)])

    def show(self, result: Any, *, whole: bool = False) -> None:
        """A result."""
        from drkit.cli.views import failover as failover_view

        self._print(failover_view.shown(result, whole=whole, concurrency=self.concurrency))

    def event(self, event: Any) -> None:
        """Progress."""
        if not self.quiet or event.kind == "code":
            note(views().event(event.kind, event.step.id if event.step else "", event.text))

    def ask(self, question: str) -> str:
        """What is typed; click.Abort at Ctrl-C, and at the end of the input."""
        from drkit.model.text import safe

        return str(click.prompt(safe(question, 600), default="", show_default=False, err=True)).strip()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """To its end; a run that was in it leaves the signals as they were."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return finish(work)
    finally:
        signal.signal(signal.SIGTERM, before)


@command(
    examples=("drkit failover", "drkit failover --declare-lost westeurope --reason 'the provider said so'"),
)
@click.option("--yes", is_flag=True, help="Ask nothing: approve it yourself; the journal says so.")
@declare_options()
@renamed("--restart", "--anew", "restart", is_flag=True, help="Assess again, even if an earlier run is unfinished.")
@wait_option("With --yes: minutes to wait for people when nothing else is left.")
@click.option("--report", "out", metavar="FILE", help="Write the HTML report to this file (default: report-RUN.html).")
@click.option("--called-as", default="", hidden=True)
@target_option()
def failover(
    common: Common, yes: bool, targets: tuple[str, ...], declare_lost: str | None, reason: str | None, restart: bool,
    wait_minutes: float | None, out: str | None, called_as: str,
) -> int:  # fmt: skip
    """Guide you through an outage: check, assess, plan, decide, apply, report. Continues where it stopped."""
    from drkit.api import guided_failover as api
    from drkit.api import plan
    from drkit.cli.views import html, json

    if bool(declare_lost) != bool((reason or "").strip()):
        raise UsageError("--declare-lost REGION and --reason TEXT go together: why it is lost is kept as evidence")
    given = (("--config", common.config), ("--store", common.store), ("--cloud", common.cloud))
    again = " ".join(
        [
            shlex.quote(called_as) if called_as else "drkit failover",
            *(f"{name} {shlex.quote(value)}" for name, value in given if value),
        ]
    )
    try:
        context = common.context()
        talk = TerminalPresenter(common, context.settings.run.concurrency)
        ended = api.failover(
            context, talk, again=again, yes=yes, targets=targets, anew=restart, declare_lost=declare_lost, reason=reason,
            wait_minutes=wait_minutes, run=_run,
        )  # fmt: skip
    except (click.Abort, KeyboardInterrupt, SystemExit):
        note(f"\nstopped; to continue: {again}")
        raise
    except DrkitError as error:
        if again not in error.remedy:
            note(f"stopped; when that is fixed, continue with: {again}")
        raise
    path = ""
    if ended.report is not None:
        path = out or f"report-{ended.run}.html"
        plan.write_out(path, html.report(ended.report).encode())
        talk.say(f"The report: {path}. Notices to the owners: drkit report --owners")
    if common.json:
        common.tell(lambda: json.failover(ended, path), list)
    return ended.exit_code
