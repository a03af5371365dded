"""What is done on an ordinary day: look at the estate, record it, rehearse."""

from __future__ import annotations

from typing import Any

import click

from drkit.cli.command import KINDS, Common, command, finish, main_group, note, renamed, say, views
from drkit.errors import UsageError

MOST_WRONG = 20


@command()
@click.option(
    "--subscription", "subscriptions", metavar="ID", multiple=True, help="Look at this one only; may be repeated."
)
@click.option("--out", metavar="FILE", default="drkit.toml", show_default=True, help="Where to write.")
def init(common: Common, subscriptions: tuple[str, ...], out: str) -> int:
    """Find what is registered where, and write a commented drkit.toml. Reads only."""
    from drkit.api import init

    text, path = finish(init.init(common.context(), out, subscriptions=subscriptions, store=common.store or ""))
    common.tell(
        {"path": path, "text": text},
        lambda: [f"kept as {path}", "next: read it, set what is commented out, then `drkit snapshot`"],
    )
    return 0


@command()
@click.option(
    "--subscription", "subscriptions", metavar="ID", multiple=True, help="Look at this one only; may be repeated."
)
@renamed(
    "--problems-only",
    "--only-wrong",
    "only_wrong",
    is_flag=True,
    help="For a timer: print only what was not read or looks wrong.",
)
def snapshot(common: Common, subscriptions: tuple[str, ...], only_wrong: bool) -> int:
    """Capture the estate: plans, environments, hosts and what identifies them."""
    from drkit.api import capture
    from drkit.model.text import safe

    heard: list[str] = []
    context = common.context(heard.append if only_wrong else None)
    taken, path = finish(capture.snapshot(context, subscriptions=subscriptions))
    if only_wrong and not common.json:
        wrong = capture.problems(taken)
        for line in wrong[:MOST_WRONG]:
            say(safe(line, 300))
        if len(wrong) > MOST_WRONG:
            say(f"and {len(wrong) - MOST_WRONG} more; {path} has them all")
        return 0
    common.tell(taken, lambda: views().snapshot(taken, str(path)))
    return 0


@command()
@renamed(
    "--if-lost", "--lose", "lose", metavar="REGION", default="", help="Show the runbook for the loss of this region."
)
@click.option("--out", metavar="FOLDER", help="With --if-lost: write that runbook and its assessment there.")
@click.option("--summary", metavar="FILE", help="Write what was found as Markdown.")
def check(common: Common, lose: str, out: str | None, summary: str | None) -> int:
    """Look for what would stop a recovery, and say what is worse than last time. Reads only."""
    from drkit.api import check as check_
    from drkit.api import plan
    from drkit.cli.views import check as views_check

    context = common.context()
    found = finish(check_.check(context, lose=lose, out=out))
    if summary:
        plan.write_out(summary, views_check.summary(found).encode())
        common.pipe(lambda view: [view.summary(summary)])
    common.pipe(lambda view: view.findings(found.readiness.findings))
    value: Any = found.readiness
    if found.runbook is not None:
        value = {
            "readiness": found.readiness, "runbook": found.runbook, "digest": found.digest, "written": found.written,
        }  # fmt: skip
    common.tell(value, lambda: views_check.lines(found, context.settings.run.concurrency))
    return found.exit_code


@command()
@renamed(
    "--protected-region",
    "--away-from",
    "away_from",
    metavar="REGION",
    multiple=True,
    help="A region that may be lost; may be repeated.",
)
@click.option(
    "--machine", metavar="REGION", default="", help="Where this machine stands (default: [check] machine, imds)."
)
def preflight(common: Common, away_from: tuple[str, ...], machine: str) -> int:
    """Refuse a machine or a store that a recovery cannot rest on: what a pipeline does first."""
    from drkit.api import ci

    fit = finish(ci.preflight(common.context(), protected=away_from, machine=machine))
    runs = ", ".join(fit.open_runs) or "none"
    common.tell(
        fit,
        lambda: [
            f"store {fit.store}: outlives this machine",
            f"this machine stands in {fit.region} ({fit.source}), protected: {', '.join(fit.protected) or 'none named'}",
            f"open runs: {runs}",
        ],
    )
    common.pipe(lambda view: view.fit(fit.open_runs))
    return 0


@command()
@click.argument("kind", type=click.Choice(KINDS))
def schema(common: Common, kind: str) -> int:
    """The JSON Schema of a kind of file."""
    from drkit.api import schema as schema_
    from drkit.cli.views import json

    del common
    say(json.encode(schema_.schema(kind)))
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
@click.option(
    "--lose", metavar="REGION", help="Serve nothing: tell the running one (--cloud, DRKIT_CLOUD) to lose a region."
)
@click.option("--minutes-ago", type=click.FloatRange(0, 1440), default=0.0, help="Since when it is lost.")
@click.option("--restore", metavar="REGION", help="Serve nothing: tell the running one that a region is back.")
@renamed("--exit-with-parent", "--leash", "leash", is_flag=True, hidden=True, help="End when standard input ends.")
def simulate(
    common: Common, estate: str | None, port: int, speed: float, seed: int, ready: str | None, leash: bool,
    lose: str | None, minutes_ago: float, restore: str | None,
) -> int:  # fmt: skip
    """Serve the embedded Azure on loopback until a signal stops it."""
    from drkit.cli.views import json
    from drkit.drills import simulate as simulate_

    if lose or restore:
        if lose and restore:
            raise UsageError("--lose and --restore do not go together", remedy="one after the other")
        told = finish(
            simulate_.happen(common.context().cloud, lose=lose or "", restore=restore or "", minutes_ago=minutes_ago)
        )
        word = f"{told['region']} is back" if restore else f"{told['region']} is lost since {told.get('since', '')}"
        common.tell(told, lambda: [word, "next: `drkit assess`"])
        return 0

    def serving(facts: dict[str, Any]) -> None:
        if common.json:
            say(json.encode(facts))
            return
        for line in simulate_.exports(facts, ready):
            say(line)

    return finish(
        simulate_.simulate(estate=estate, port=port, speed=speed, seed=seed, ready=ready, leash=leash, serving=serving)
    )


@command()
@click.option("--estate", metavar="FILE", help="A snapshot of your own to lose and recover (default: the sample).")
@click.option("--lose", metavar="REGION", default="westeurope", show_default=True, help="The region to lose.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same number tells the same story.")
@click.option(
    "--speed", type=float, default=60.0, show_default=True, help="Simulated seconds a real second, at most 60."
)
@click.option("--keep", is_flag=True, help="Leave the embedded Azure up afterwards, until a signal.")
@click.option("-v", "--verbose", is_flag=True, help="Every step of every run.")
@renamed(
    "--with-failback",
    "--return",
    "returning",
    is_flag=True,
    help="Then restore the region, go back to it, and clean up.",
)
@click.option(
    "--story", metavar="NAME", help="Play a named story of one host instead, and explain its end (`list` lists them)."
)
def drill(
    common: Common,
    estate: str | None,
    lose: str,
    seed: int,
    speed: float,
    keep: bool,
    verbose: bool,
    returning: bool,
    story: str | None,
) -> int:
    """Lose a region on the embedded Azure, and recover from it. Reaches nothing but loopback."""
    from drkit.cli import drill as drill_
    from drkit.cli.views import json
    from drkit.cli.views.drill import DrillPresenter

    quiet = common.json or common.quiet
    if story is not None:
        from drkit.drills import stories

        told = finish(
            stories.tell(
                story,
                (lambda _line: None) if quiet else say,
                DrillPresenter(),
                folder=common.store,
                columns=views().width(),
            )
        )
        if common.json:
            say(json.encode(told))
        return 0 if told.get("as_told", True) else 1

    def kept(found: dict[str, Any], lines: list[str]) -> None:
        if common.json:
            say(json.encode(found))
        for line in lines:
            (note if common.json else say)(line)

    found = finish(
        drill_.drill(
            estate=estate, lose=lose, seed=seed, speed=speed, keep=keep, folder=common.store,
            say=(lambda _line: None) if quiet else say, kept=kept, verbose=verbose, returning=returning,
        )
    )  # fmt: skip
    if common.json and not keep:
        say(json.encode(found))
    return 0 if str(found["outcome"]).startswith("succeeded") else 3 if found["outcome"] == "partial" else 1


@command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(common: Common, shell: str) -> int:
    """Print what makes a shell complete drkit's commands, options and values.

    In ~/.bashrc or ~/.zshrc: eval "$(drkit completion bash)". For fish: drkit completion fish | source.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    text = found(main_group, {}, "drkit", "_DRKIT_COMPLETE").source() if found else ""
    if common.json:
        common.tell({"shell": shell, "text": text}, list)
    else:
        say(text)
    return 0
