"""Two checks side by side: what is worse than last time, what is better, and what nobody can see any more. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from drkit.model.readiness import Compared, Finding, Readiness
from drkit.planning.readiness.values import RANK


def compare(before: Readiness, now: Sequence[Finding]) -> Compared:
    """What changed since a check.

    A finding that is no longer there counts as better only if its rule could look: where the rule has come to find something
    unknown, it is hidden. So is what is unknown now and was not before.
    """
    old = {finding.id: finding for finding in before.findings}
    new = {finding.id: finding for finding in now}
    blind = {
        finding.rule
        for finding in now
        if finding.severity == "unknown" and (finding.id not in old or old[finding.id].severity != "unknown")
    }
    worse: list[str] = []
    better: list[str] = []
    hidden: list[str] = []
    unchanged = 0
    for key, finding in new.items():
        known = old.get(key)
        if known is None:
            (hidden if finding.severity == "unknown" else worse).append(key)
        elif known.severity == finding.severity:
            unchanged += 1
        elif finding.severity == "unknown":
            hidden.append(key)
        elif known.severity == "unknown" or RANK[finding.severity] < RANK[known.severity]:
            worse.append(key)
        else:
            better.append(key)
    for key, finding in old.items():
        if key not in new:
            (hidden if finding.rule in blind and finding.severity != "unknown" else better).append(key)
    return Compared(
        generation=before.generation,
        taken=before.taken,
        worse=tuple(sorted(worse)),
        better=tuple(sorted(better)),
        hidden=tuple(sorted(hidden)),
        unchanged=unchanged,
    )
