"""Which approval allows a run, and what that approval is worth."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from drkit.api.context import Context
from drkit.api.plan import Planned, approvable, candidates
from drkit.errors import FileError, ForbiddenError, RefusedError
from drkit.model.clock import Clock, parse_time, rfc3339
from drkit.model.run import RunState
from drkit.planning import replicas
from drkit.store import approvals
from drkit.store.records import Approval, who

SEPARATE = "[run] separate_approver asks for somebody else's approval"
SELF_APPROVED = "self-approved with --yes"
SELF_APPROVED_HOURS = 24.0


def approval_for(
    context: Context, shown: Planned, clock: Clock, *, yes: bool, targets: Sequence[str] = ()
) -> dict[str, Any]:
    """The approval of a runbook, as the journal keeps it: ``who``, ``how``, the file and more. RefusedError when none holds now.

    ``yes``: where there is no approval, write one of kind self-approved, if the store lets this identity do so. With ``[run]
    separate_approver`` that is refused, and an approval of the person who carries out does not count. An approval must name each
    candidate of the runbook.
    """
    separate, now = context.settings.run.separate_approver, clock.now()
    if yes and separate:
        raise RefusedError(f"{SEPARATE}, so --yes is refused", remedy=_by_another(shown.digest))
    stored = context.store.approvals(shown.digest)
    needed = candidates(context, shown.runbook)
    chosen = approvals.chosen(stored, clock, now, separate=separate, by_yes=yes, targets=needed)
    if chosen is None and yes:
        approvable(context, shown, targets, f"drkit apply {shown.digest[:12]} --yes")
        return _self_approved(context, shown.digest, clock, targets)
    if chosen is None and approvals.chosen(stored, clock, now, separate=separate, by_yes=yes) is not None:
        command = f"drkit approve {shown.digest[:12]}"
        raise replicas.refusal(needed, needed, command, f"the approval of runbook {shown.digest[:12]}")
    if chosen is None:
        raise _unapproved(stored, shown.digest, clock, separate=separate)
    return _for_journal(context, chosen, clock)


def _by_another(digest: str) -> str:
    return f"let another `drkit approve {digest[:12]}`"


def _unapproved(
    stored: Sequence[approvals.StoredApproval], digest: str, clock: Clock, *, separate: bool
) -> RefusedError:
    """Why none of these approvals counts now."""
    faults = [
        fault
        for approval in stored
        if not approvals.self_approved(approval) and (fault := approval.doubt(clock, clock.now()))
    ]
    own = next((approval for approval in stored if approval.own), None)
    if separate and own and not faults:
        what = f"{SEPARATE}, and {own.who} carries it out as well"
        return RefusedError(what, where=f"runbook {digest[:12]}", remedy=_by_another(digest))
    return RefusedError(
        "; ".join(dict.fromkeys(faults)) or "is not approved",
        where=f"runbook {digest[:12]}",
        remedy=_by_another(digest) if separate else f"`drkit show` it, then `drkit approve {digest[:12]}`",
    )


def _for_journal(context: Context, chosen: approvals.StoredApproval, clock: Clock) -> dict[str, Any]:
    """An approval as the journal keeps it: what the store knows of it, and what it is worth."""
    assert chosen.approval is not None  # noqa: S101  # chosen() returns no other
    made, until = chosen.span(clock)
    proved = context.store.approved_by_another(chosen)
    entry = {
        "who": chosen.who,
        "how": SELF_APPROVED if approvals.self_approved(chosen) else worth(chosen, proved=proved),
        "when": rfc3339(made),
        "until": rfc3339(until),
        "note": chosen.approval.note,
        "targets": list(chosen.approval.targets),
        "file": chosen.path.name,
        "authenticated": proved,
    }
    if context.settings.run.separate_approver:
        others = "the store lets nobody approve who carries this out"
        by = "by the owner of the file" if chosen.writer else "by name"
        entry["separate"] = others if proved else f"{by} only: who carries this out may write approvals here too"
    return entry


def worth(approval: approvals.StoredApproval, *, proved: bool) -> str:
    """What an approval is worth, as a sentence. ``proved``: the person who carries out the runbook cannot have written it."""
    if approval.writer:
        return (
            f"authenticated: its file is of {approval.writer}, and who carries this out cannot write it"
            if proved
            else "unauthenticated: who carries this out may write approvals in this folder too"
        )
    return (
        "worth the permissions of the container approvals, where who carries this out may not write; the name is claimed"
        if proved
        else "unauthenticated: who carries this out may write the container approvals too; the name is claimed"
    )


def _self_approved(context: Context, digest: str, clock: Clock, targets: Sequence[str]) -> dict[str, Any]:
    """Write the approval of the person who carries out. RefusedError where the store does not allow that."""
    now = clock.now()
    until = rfc3339(now + timedelta(hours=SELF_APPROVED_HOURS))
    approval = Approval(
        digest=digest,
        who=who(),
        when=rfc3339(now),
        until=until,
        kind="self-approved",
        targets=tuple(targets),
    )
    try:
        path = context.store.approve(approval)
    except (FileError, ForbiddenError) as error:
        raise RefusedError(
            f"--yes writes an approval, and this store does not let you: {error.what}",
            where=error.where,
            remedy=f"let somebody who may `drkit approve {digest[:12]}`",
        ) from error
    return {
        "who": who(), "how": SELF_APPROVED, "when": approval.when, "until": until, "note": "", "file": path.name,
        "targets": list(targets),
        "authenticated": False,
    }  # fmt: skip


def check_approved(context: Context, name: str, state: RunState, clock: Clock, targets: Collection[str] = ()) -> None:
    """Check that a run was approved before it began, by the approvals in the store. RefusedError when it was not.

    For a run that drkit 0.1 began, the times in a file of that version count too, because the store may have been copied since. With
    ``--yes`` that version wrote an entry in the journal and no approval. Everybody who can write journals can forge such an entry, so an
    approval that holds now is required (not with ``[run] separate_approver``). ``targets``: ARM ids that an approval must name.
    """
    separate, began = context.settings.run.separate_approver, parse_time(state.started)
    stored = approvals.naming(context.store.approvals(state.runbook), targets)
    if approvals.chosen(stored, clock, began, separate=separate, by_yes=not separate):
        return
    entries = [record.data for record in context.store.records(name) if record.kind == "approved"]
    # Later versions record the file of the approval.
    before = bool(entries) and "file" not in entries[0]
    if before and any(approval.claimed_to_hold(began) and not (separate and approval.own) for approval in stored):
        return
    if before and not separate and entries[0].get("how") == SELF_APPROVED:
        if approvals.chosen(stored, clock, clock.now(), separate=False, by_yes=True):
            return
        raise RefusedError(
            f"the journal of {name} says that drkit 0.1 began it with --yes, and no approval that holds now is in the store; "
            "a journal alone is none",
            where=f"{context.store.address}: approvals",
            remedy=f"`drkit show {state.runbook[:12]}`, and where {name} is yours, `drkit approve {state.runbook[:12]}`, then "
            f"`drkit resume {name}`",
        )
    faults = [fault for approval in stored if (fault := approval.doubt(clock, began))]
    if separate and not faults and any(approval.own or approvals.self_approved(approval) for approval in stored):
        faults = [f"{SEPARATE}, and who carries it out approved it"]
    raise RefusedError(
        f"no approval of runbook {state.runbook[:12]} from before {name} began ({state.started}) is in the store"
        f"{': ' if faults else ''}{'; '.join(dict.fromkeys(faults))}",
        where=f"{context.store.address}: approvals",
        remedy="restore the approval with the time it had (`cp -p` keeps it), or `drkit assess`, then "
        f"`drkit plan --rebase {name}` for what is left, with an approval of its own",
    )


def approved(context: Context, shown: Planned) -> bool:
    """Whether a runbook may be carried out now: an approval that the settings accept holds, and names each candidate."""
    digest, needed = shown.digest, candidates(context, shown.runbook)
    clock = context.clock
    stored = context.store.approvals(digest)
    separate = context.settings.run.separate_approver
    return approvals.chosen(stored, clock, clock.now(), separate=separate, by_yes=False, targets=needed) is not None
