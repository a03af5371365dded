"""``explain``: why the newest assessment gives a host or a plan its verdict."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import get_args

import msgspec

from drkit.api import history
from drkit.api.context import Context
from drkit.api.plan import composed
from drkit.errors import RefusedError, UsageError
from drkit.model import suggest
from drkit.model.estate import Assessment
from drkit.model.ids import ArmId
from drkit.planning import explain as explain_
from drkit.planning.explain import Explanation, PlanExplanation
from drkit.planning.transparency import ROWS, VerdictOutcome

VERDICTS = (*get_args(VerdictOutcome), *dict.fromkeys(row.reason for row in ROWS if row.reason))


def explain(context: Context, name: str) -> Explanation | PlanExplanation:
    """Why the newest assessment gives a host its verdict, or a plan its state.

    ``name``: the id or name of a host or plan, or the name of an environment, which means its host. RefusedError without an assessment,
    or when it does not contain the host or plan; UsageError for a name that nothing has, or more than one thing.
    """
    assessed, _ = context.store.assessment()
    base = composed(context, assessed)
    hosts, plans = explain_.subjects(name, base)
    if len(hosts) + len(plans) != 1:
        home = "" if hosts or plans else explain_.plan_of(name, base)
        if home:
            raise UsageError(
                f"{name!r} is an environment without a known host, and verdicts are of hosts",
                remedy=f"`drkit explain {shlex.quote(home)}` explains its plan's state",
            )
        names = sorted({*(host.id for host in hosts), *(plan.id for plan in plans)})
        raise UsageError(
            f"{name!r} is {'more than one thing' if names else 'no host, plan or environment of the snapshot'}",
            remedy=f"one of: {', '.join(names)}"
            if names
            else suggest.remedy(name, explain_.names(base), "`drkit assess` lists them"),
        )
    if plans:
        state = next((finding for finding in assessed.plans if finding.key == plans[0].id), None)
        if state is None:
            raise RefusedError("the assessment does not contain it", where=plans[0].id, remedy="`drkit assess` again")
        return explain_.explain_plan(state, plans[0], assessed, base)
    finding = next((finding for finding in assessed.hosts if finding.key == hosts[0].id), None)
    if finding is None:
        raise RefusedError("the assessment does not contain it", where=hosts[0].id, remedy="`drkit assess` again")
    return explain_.explain_host(
        finding,
        hosts[0],
        assessed,
        trust_registration=context.settings.assess.trust_registration,
        in_doubt=[
            (doubt.words, following)
            for doubt, following in history.in_doubt(context)
            if ArmId(doubt.host) == hosts[0].id
        ],
    )


def check_words(words: Sequence[str], *more: str) -> None:
    """UsageError for a word that is no verdict, no reason, and not in ``more``."""
    for word in words:
        if word not in (*VERDICTS, *more):
            known = (*VERDICTS, *more)
            raise UsageError(
                f"{word!r} is no verdict", remedy=suggest.remedy(word, known, f"one of: {', '.join(known)}")
            )


def filtered(assessed: Assessment, *, verdicts: Sequence[str] = (), plan: str = "", context: Context) -> Assessment:
    """The assessment with only the hosts that have one of these verdicts or reasons, and only that plan (id or name) and its hosts."""
    hosts, plans = assessed.hosts, assessed.plans
    if verdicts:
        hosts = tuple(finding for finding in hosts if finding.outcome in verdicts or finding.reason in verdicts)
    if plan:
        base = composed(context, assessed)
        _, named = explain_.subjects(plan, base)
        if not named:
            known = [candidate.name for candidate in base.plans]
            raise UsageError(
                f"there is no plan {plan!r}", remedy=suggest.remedy(plan, known, f"one of: {', '.join(known)}")
            )
        ids = {candidate.key for candidate in named}
        machines = {
            environment.host.key
            for environment in base.environments
            if environment.plan_key in ids and environment.host
        }
        hosts = tuple(finding for finding in hosts if finding.key in machines)
        plans = tuple(finding for finding in plans if finding.key in ids)
    return msgspec.structs.replace(assessed, hosts=hosts, plans=plans)
