"""Notices to owners as plain text that can be mailed: a part for each owner, every name on one line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from drkit.execution.owner_notices import EnvironmentNotice, OwnerNotice
from drkit.model.text import plural, safe

WIDTH = 76
NOBODY = "owner unknown"
ADDRESS = {"name": "name", "plan": "plan", "region": "region", "id": "id"}


def text(notices: Sequence[OwnerNotice], run: str, *, simulated: bool = False) -> str:
    """The notices, one after the other."""
    if not notices:
        return f"{run} affected no environment: there is nobody to notify."
    return "\n\n---\n\n".join(_one(letter, run, simulated=simulated) for letter in notices)


def _one(notice: OwnerNotice, run: str, *, simulated: bool) -> str:
    mark = "SIMULATED: " if simulated else ""
    lines = [
        f"To: {safe(notice.owner) or NOBODY}",
        f"Subject: {mark}what {run} did to {plural(len(notice.environments), 'environment')} of yours",
        "",
        *(["This was an exercise on a simulated Azure. Nothing real was moved.", ""] if simulated else []),
    ]
    for environment in notice.environments:
        lines += [*_told(environment), ""]
    return "\n".join(lines).rstrip()


def _told(environment: EnvironmentNotice) -> list[str]:
    lines = _wrapped(environment.what)
    lines += ["  New address:"] if environment.address else []
    lines += [
        f"    {word}: {safe(environment.address[key])}" for key, word in ADDRESS.items() if key in environment.address
    ]
    lines += _wrapped(f"What may be missing: {environment.missing}", "  ") if environment.missing else []
    return lines + _wrapped(f"What to do: {environment.do}", "  ")


def _wrapped(line: str, before: str = "") -> list[str]:
    return textwrap.wrap(
        safe(line, 2000),
        WIDTH,
        initial_indent=before,
        subsequent_indent=f"{before}  " if before else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
