"""What a pipeline needs beside the other commands: a fit machine, the open runs, and exactly these bytes carried out."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drkit.api import apply, history, plan, status
from drkit.api.apply import Applied
from drkit.api.context import Context
from drkit.api.plan import Planned
from drkit.api.status import RunStatus
from drkit.errors import LockedError, RefusedError, UsageError
from drkit.model.estate import region_name
from drkit.model.runbook import RunbookKind
from drkit.planning import hosts_in_doubt

if TYPE_CHECKING:
    from drkit.execution.events import Event

DIGEST = re.compile(r"[0-9a-f]{64}")
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class PreflightResult:
    """A machine that may carry out a recovery: the store's address, the machine's region and its source, and the open runs."""

    store: str
    region: str
    source: str
    protected: tuple[str, ...]
    open_runs: tuple[str, ...]


async def preflight(context: Context, *, protected: Sequence[str], machine: str = "") -> PreflightResult:
    """Check that a recovery may run on this machine. Reads the store and the machine's own metadata service, and no cloud.

    ``protected``: regions that may be lost. ``machine``: the region of this machine; ``imds``, or nothing here and in the settings, asks
    the Instance Metadata Service. RefusedError (4) when the store is a folder, or the machine is in a protected region or in an unknown
    one.
    """
    if not context.store.outlives_machine:
        raise RefusedError(
            "this store is a folder: a journal that dies with its agent cannot be resumed",
            where=str(context.store.folder),
            remedy="keep it in an account: DRKIT_STORE=https://ACCOUNT.blob.core.windows.net, or `store` in drkit.toml",
        )
    region, source = await _place(machine or context.settings.check.machine or "imds")
    names = tuple(dict.fromkeys(region_name(name) for name in protected if name.strip()))
    if region in names:
        raise RefusedError(
            f"this machine is in {region}, which is to be recovered from: it would be lost with it",
            where=source,
            remedy="choose an agent pool in another region",
        )
    return PreflightResult(context.store.address, region, source, names, tuple(run.run for run in open_runs(context)))


async def _place(given: str) -> tuple[str, str]:
    from drkit.survey.dependencies import imds

    if given.strip().lower() != "imds":
        return region_name(given), "settings"
    region, why = await asyncio.to_thread(imds)
    if not region:
        raise RefusedError(
            f"the region of this machine is not known: {why}",
            where="Instance Metadata Service",
            remedy='name its region with --machine REGION, or [check] machine = "REGION"',
        )
    return region, "Instance Metadata Service"


def open_runs(context: Context) -> list[RunStatus]:
    """The runs that can be continued, oldest first: begun, not ended for good, and not replaced by another run."""
    return [
        run
        for run in status.runs(context)
        if run.open and (not history.over(run.state) or hosts_in_doubt.in_doubt(run.runbook, run.state))
    ]


def open_like(
    context: Context, *, kind: RunbookKind, graceful_from: str = "", source_run: str = ""
) -> tuple[str, Planned] | None:
    """The newest open run of that kind (and from that region, if one is given) and its runbook, or None."""
    region = region_name(graceful_from)
    for run in reversed(open_runs(context)):
        book = run.runbook
        if book.kind != kind or (source_run and book.source_run != source_run):
            continue
        if kind == "failover" and bool(book.lost_regions) == bool(region):
            continue
        if region and region not in book.source_plans.values():
            continue
        return run.run, plan.show(context, run.digest)
    return None


def way_back(
    context: Context, run: str | None, *, out: str | None = None, or_open: bool = False
) -> tuple[Planned, str]:
    """The failback of ``run`` (default: the newest failover); with ``or_open`` that of an open failback, with the name of its run.

    RefusedError as in ``api.failback.failback``, and when there is no failover.
    """
    from drkit.api import failback

    going = open_like(context, kind="failback", source_run=run or "") if or_open else None
    if going:
        if out:
            plan.write_out(out, going[1].content)
        return going[1], going[0]
    if run is None:
        kinds = [failover.run for failover in status.runs(context) if failover.runbook.kind == "failover"]
        if not kinds:
            raise RefusedError("there is no failover to go back from", where=str(context.store.address))
        run = kinds[-1]
    return failback.failback(context, run, out=out), ""


def run_of(context: Context, digest: str) -> str:
    """The newest run of a runbook; RefusedError when there is none."""
    for run in reversed(context.store.runs()):
        digest_of_run = context.store.state(run).runbook
        if digest_of_run and digest_of_run == exact(digest):
            return run
    raise RefusedError("was never carried out", where=f"runbook {digest[:12]}", remedy=f"`drkit apply {digest[:12]}`")


def exact(digest: str) -> str:
    """The digest, if it has all 64 digits. UsageError for anything else, so that an empty variable never means any runbook."""
    if not DIGEST.fullmatch(digest):
        raise UsageError(
            f"{digest[:80]!r} is not a digest",
            where="--digest",
            remedy="give the 64 hex digits that `drkit plan` printed",
        )
    return digest


def pinned(context: Context, name: str, digest: str) -> Planned:
    """The runbook of that name. RefusedError when its bytes have another digest than ``digest``."""
    expected, shown = exact(digest), plan.show(context, name)
    if shown.digest != expected:
        raise RefusedError(
            f"is another runbook: its sha256 is {shown.digest}, not {expected}",
            where=str(shown.path),
            remedy="nothing was done; take the file that `drkit plan` wrote, unchanged",
        )
    return shown


async def carry_out(
    context: Context,
    name: str,
    *,
    digest: str | None = None,
    or_resume: bool = False,
    yes: bool = False,
    targets: Sequence[str] = (),
    wait_minutes: float | None = None,
    patience: float = PATIENCE_SECONDS,
    on_event: Callable[[Event], None] = lambda _event: None,
    say: Callable[[str], None] = lambda _line: None,
) -> Applied:
    """Carry out a runbook; with ``or_resume`` continue the run of the same bytes, if there is one.

    ``digest``: the SHA-256 that the bytes must have. With ``or_resume``, wait at most ``patience`` seconds for a run or plan that a dead
    process still holds. The other parameters and the errors are those of ``apply``; RefusedError for other bytes.
    """
    if digest is not None:
        shown = pinned(context, name, digest)
        # By digest from here on, so that the compared bytes are the ones that are carried out.
        context.store.keep_runbook(shown.content)
        name = shown.digest
    until = time.monotonic() + (patience if or_resume else 0.0)
    said = False
    while True:
        try:
            begun = _run_of(context, plan.show(context, name).digest) if or_resume else ""
            if begun:
                return await apply.resume(context, begun, wait_minutes=wait_minutes, on_event=on_event)
            return await apply.apply(
                context, name, yes=yes, targets=targets, wait_minutes=wait_minutes, on_event=on_event
            )
        except LockedError as error:
            if time.monotonic() >= until:
                raise
            if not said:
                say(f"{error}; waiting up to {patience:.0f} s for it")
            said = True
        await asyncio.sleep(min(LOOK_SECONDS, max(0.1, until - time.monotonic())))


def _run_of(context: Context, digest: str) -> str:
    try:
        return run_of(context, digest)
    except RefusedError:
        return ""
