"""``drkit snapshot``: captures the estate."""

from __future__ import annotations

from drkit.cli.command import Common, command, finish, renamed, say, views
from drkit.cli.options import subscription_option

MOST_PROBLEMS = 20


@command(examples=("drkit snapshot", "drkit snapshot --quiet --problems-only"))
@subscription_option()
@renamed(
    "--problems-only",
    "--only-wrong",
    "problems_only",
    is_flag=True,
    help="For a timer: print only what could not be read or looks wrong.",
)
def snapshot(common: Common, subscriptions: tuple[str, ...], problems_only: bool) -> int:
    """Capture the estate: plans, environments, hosts, and what identifies each host. Read-only."""
    from drkit.api import capture
    from drkit.model.text import safe

    announcements: list[str] = []
    context = common.context(announcements.append if problems_only else None)
    taken, path = finish(capture.snapshot(context, subscriptions=subscriptions))
    if problems_only and not common.json:
        problems = capture.problems(taken)
        for problem in problems[:MOST_PROBLEMS]:
            say(safe(problem, 300))
        if len(problems) > MOST_PROBLEMS:
            say(f"and {len(problems) - MOST_PROBLEMS} more; {path} has them all")
        return 0
    common.tell(taken, lambda: views().snapshot(taken, str(path)))
    return 0
