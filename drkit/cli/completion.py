"""What a shell offers for the values of arguments and options: from files on this machine, quickly, and never from Azure."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

if TYPE_CHECKING:
    from drkit.api.context import Context

MOST = 200
PLAIN = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")


@add_completion_class
class Bash(BashComplete):
    """What bash sources. With click's own script, bash would split a value, take it for a pattern, or run it.

    Each character that could mean something is escaped, which holds inside quotes that somebody opened, too. A bash that sourced
    click's script before drkit had this one is offered plain values only.
    """

    source_template = BashComplete.source_template.replace("read type value", "read -r type value").replace(
        "COMPREPLY+=($value)", 'COMPREPLY+=("$value")'
    ).replace("response=$(env ", "response=$(env DRKIT_COMPLETE_ESCAPED=1 ")  # fmt: skip

    def format_completion(self, item: CompletionItem) -> str:
        """The line of one value; bash ignores an empty line."""
        if item.type != "plain" or PLAIN.fullmatch(item.value):
            return super().format_completion(item)
        if not os.environ.get("DRKIT_COMPLETE_ESCAPED"):
            return ""
        return "plain," + re.sub(r"([^A-Za-z0-9@%+=:,./_-])", r"\\\1", item.value)


class CompletableText(click.types.StringParamType):
    """A text, for which the shell offers what ``values`` finds. Any other text is valid too."""

    name = "text"

    def __init__(self, values: Callable[[Context, click.Context], Iterable[tuple[str, str]]]) -> None:
        self.values = values

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from drkit.model.text import safe

        items: list[CompletionItem] = []
        # Whatever is wrong with files or settings, the command itself will say; a shell that completes must stay quiet.
        with contextlib.suppress(Exception):
            for value, help_ in self.values(_context_of(ctx), ctx):
                # Control characters steer a terminal, and the end of a line is the end of a value to every shell.
                if value.startswith(incomplete) and value.isprintable() and len(items) < MOST:
                    items.append(CompletionItem(value, help=safe(help_)))
        return items


def _context_of(ctx: click.Context) -> Context:
    from drkit.api.context import desk
    from drkit.errors import UsageError
    from drkit.store.store import Store

    context = desk(config=ctx.params.get("config"), store=ctx.params.get("store"))
    if type(context.store) is not Store:
        raise UsageError("a store in an account is not asked while somebody types")
    return context


def runs(context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The runs of the store, the newest first."""
    yield "latest", "the newest"
    yield from ((run, "") for run in reversed(context.store.runs()))


def steps(context: Context, ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The steps of the run that was named before."""
    name = context.store.journal_path(ctx.params.get("run") or "latest").stem
    state = context.store.state(name)
    for step in context.store.runbook_of(state.runbook)[0].steps:
        if state.of(step.id).status not in ("done", "skipped"):
            yield step.id, f"{state.of(step.id).status}: {step.title}"


def runbooks(context: Context, ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The digests of the runbooks in the store, the newest first."""
    if ctx.info_name != "approve":
        yield "latest", "the newest"
    folder = context.store.folder / "state" / "runbooks"
    for path in sorted(folder.glob("*.json"), key=lambda path_: -path_.stat().st_mtime_ns):
        yield path.stem[:12], ""


def regions(context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The regions of the newest snapshot."""
    from drkit.model.estate import Snapshot

    newest = context.store.newest(Snapshot)
    if newest:
        here = {plan.region for plan in newest[0].plans} | {host.region for host in newest[0].hosts if host.region}
        names = {location.name: location.display_name for location in newest[0].locations}
        yield from ((region, names.get(region, "")) for region in sorted(here))


def subjects(context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """Plans and hosts of the newest snapshot."""
    from drkit.model.estate import Snapshot

    newest = context.store.newest(Snapshot)
    if newest:
        yield from ((plan.name, f"plan in {plan.region}") for plan in newest[0].plans)
        yield from ((host.name, f"host in {host.region or 'no region'}") for host in newest[0].hosts)


def verdicts(_context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The verdicts."""
    from drkit.model.words import VERDICTS
    from drkit.planning.transparency import ROWS

    yield from ((name, VERDICTS[name]) for name in sorted({row.outcome for row in ROWS}))


def states(context: Context, ctx: click.Context) -> Iterable[tuple[str, str]]:
    """What ``watch --until`` may wait for."""
    from typing import get_args

    from drkit.model.estate import PlanState

    yield "settled", "nothing changes any more"
    yield from ((word, "a plan's state") for word in get_args(PlanState))
    yield from verdicts(context, ctx)


def stories(_context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The stories that a drill can play."""
    from drkit.drills import stories as stories_

    yield "list", "all of them"
    yield from ((name, "") for name in stories_.names())


def clouds(_context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The clouds that have a name."""
    from drkit.model.cloud import NAMED

    yield from ((name, cloud["arm"]) for name, cloud in NAMED.items())


def guards(_context: Context, _ctx: click.Context) -> Iterable[tuple[str, str]]:
    """The guards of a runbook."""
    from drkit.model.guards import check_steps

    results = check_steps(kind="failover", steps=(), source_plans=(), lost_regions=())
    yield from ((guard.name, guard.detail) for guard in results)


FILE = click.Path()
TYPES: dict[str, Any] = {
    "run": CompletableText(runs),
    "rebase": CompletableText(runs),
    "step": CompletableText(steps),
    "runbook": CompletableText(runbooks),
    "declare_lost": CompletableText(regions),
    "from_region": CompletableText(regions),
    "lose": CompletableText(regions),
    "if_lost": CompletableText(regions),
    "restore": CompletableText(regions),
    "name": CompletableText(subjects),
    "only": CompletableText(subjects),
    "verdicts": CompletableText(verdicts),
    "until": CompletableText(states),
    "story": CompletableText(stories),
    "cloud": CompletableText(clouds),
    "force": CompletableText(guards),
    **dict.fromkeys(("config", "store", "snapshot", "assessment", "out", "estate", "ready", "probe_output", "log_file"), FILE),
}  # fmt: skip
"""By the name of the parameter, in every command."""


def offer(command: click.Command) -> click.Command:
    """Add completion to the parameters of a command."""
    for param in command.params:
        if param.type is click.STRING and param.name in TYPES:
            param.type = TYPES[param.name]
    return command
