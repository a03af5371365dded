"""What owners are told, as plain text that is fit to be mailed: a part for each owner, every name on one line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from drkit.execution.owner_notices import EnvironmentNotice, OwnerNotice
from drkit.model.text import plural, safe

WIDTH = 76
NOBODY = "nobody known: whoever it belongs to"
ADDRESS = {"name": "name", "plan": "plan", "region": "region", "id": "id"}


def text(found: Sequence[OwnerNotice], run: str, *, simulated: bool = False) -> str:
    """The letters, one after the other."""
    if not found:
        return f"{run} affected no environment: there is nobody to tell."
    return "\n\n---\n\n".join(_one(letter, run, simulated=simulated) for letter in found)


def _one(letter: OwnerNotice, run: str, *, simulated: bool) -> str:
    mark = "SIMULATED: " if simulated else ""
    lines = [
        f"To: {safe(letter.owner) or NOBODY}",
        f"Subject: {mark}what {run} did to {plural(len(letter.environments), 'environment')} of yours",
        "",
        *(["This was an exercise on an embedded Azure. Nothing real was moved.", ""] if simulated else []),
    ]
    for told in letter.environments:
        lines += [*_told(told), ""]
    return "\n".join(lines).rstrip()


def _told(told: EnvironmentNotice) -> list[str]:
    lines = _wrapped(told.what)
    lines += ["  New address:"] if told.address else []
    lines += [f"    {word}: {safe(told.address[key])}" for key, word in ADDRESS.items() if key in told.address]
    lines += _wrapped(f"What may be missing: {told.missing}", "  ") if told.missing else []
    return lines + _wrapped(f"What to do: {told.do}", "  ")


def _wrapped(line: str, before: str = "") -> list[str]:
    return textwrap.wrap(
        safe(line, 2000),
        WIDTH,
        initial_indent=before,
        subsequent_indent=f"{before}  " if before else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
