"""What ``drkit status`` prints for people: one run, the list of runs, sign-in codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from drkit.cli.views import terminal
from drkit.model.run import RunState
from drkit.model.runbook import Runbook
from drkit.model.sign_in import SignIn
from drkit.model.text import clock, exact, plural, safe
from drkit.planning import hosts_in_doubt

if TYPE_CHECKING:
    from drkit.api.status import RunStatus


def of(run_status: RunStatus) -> list[Any]:
    """A run as it is now."""
    return parts(
        run_status.runbook,
        run_status.state,
        run_status.outcome,
        run_status.reason,
        run_status.held,
        run_status.replaced,
    )


def parts(book: Runbook, state: RunState, outcome: str, reason: str, held: str = "", replaced: str = "") -> list[Any]:
    """A run: its steps by state, who must do what, and what to type.

    ``held``: who holds the run now. ``replaced``: the run that carries out the rest of this one.
    """
    is_now = f"under way, held by {safe(held)}" if held else outcome
    shown: list[Any] = [f"{terminal.mark(book.cloud.simulated)}{state.run}: {is_now} ({safe(reason)})"]
    counts = Counter(state.of(step.id).word for step in book.steps)
    shown.append(", ".join(f"{number} {word}" for word, number in sorted(counts.items())))
    approved = f"approved by {safe(state.approved_by)} ({safe(state.approved_how)})"
    times = f"{state.resumed + 1} times" if state.resumed else "once"
    shown.append(f"started {clock(state.started)}, {approved}, held {times}")
    for step in book.steps:
        known = state.of(step.id)
        if known.status in ("pending", "done"):
            continue
        # The id is complete on its own line, to be copied for `answer`, `skip` and `retry`.
        shown.append(Text.assemble((f"{known.status:8}", terminal.COLOURS.get(known.status, "")), f"  {safe(step.id)}"))
        owner = safe(step.inputs.get("owner", "")) if known.status == "asked" else ""
        words = f"{safe(known.detail or step.title)}{f' ({owner})' if owner else ''}"
        shown.append(Padding(Text(words, overflow="fold"), (0, 0, 0, 10)))
        if known.status == "asked":
            shown.extend(f"    {exact(line)}" for line in step.inputs.get("commands", ()))
    if state.ignored_number:
        shown.append(f"{plural(state.ignored_number, 'message')} ignored; the last of them:")
        shown.extend(f"    {safe(text, 200)}" for text in state.ignored[-5:])
    doubt = hosts_in_doubt.in_doubt(book, state)
    shown.extend(f"in doubt: {safe(doubted.words)}" for doubted in (*doubt, *hosts_in_doubt.by_hand(book, state)))
    if replaced:
        return [*shown, f"next: `drkit status {replaced}`"]
    unsettled = bool(doubt or state.under_way)
    over = bool(state.outcome and state.aborted and not unsettled)
    if not over and (ways := hosts_in_doubt.asked(book, state)):
        shown.append(f"next: {ways}")
    if (outcome == "partial" or unsettled) and not held and not over:
        shown.append(f"next: `drkit resume {state.run}`")
    elif outcome.startswith("succeeded"):
        shown.append(f"next: `drkit report {state.run}`")
    elif over:
        shown.append(f"next: `drkit report {state.run}`; for what is left `drkit assess`, then `drkit plan`")
    return shown


def runs(every: Sequence[RunStatus], *, only_open: bool = False) -> list[Any]:
    """The list of runs."""
    rows = [
        (
            run.run,
            run.runbook.kind,
            "under way" if run.held else run.outcome,
            clock(run.state.started),
            run.reason,
        )
        for run in every
    ]
    if not rows:
        return ["no run is open" if only_open else "no runs yet"]
    return [terminal.table("run", "kind", "outcome", "started", "why", rows=rows, ratios={4: 1})]


def codes(every: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Sign-in codes. They came from a host: they are shown, and trusted no further."""
    lines = [
        f"{safe(code['step'])}: {safe(SignIn(code['code'], code['url'], code['warning']).words, 400)}" for code in every
    ]
    return lines or ["no code now"]
