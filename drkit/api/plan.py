"""``plan`` writes a runbook for the newest assessment; ``show`` and ``approve`` show and approve one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import msgspec

from drkit.api import history as history_
from drkit.api.context import Context
from drkit.errors import DrkitError, FileError, ForbiddenError, IntegrityError, RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model import estate, files, runbook, suggest
from drkit.model.actions import differences
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Assessment, Snapshot, region_name
from drkit.model.guards import failed_guards
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord
from drkit.model.runbook import Runbook, RunbookKind, Takeover
from drkit.model.summary import Described, described
from drkit.planning import failover, leftovers, recovery_point, replicas
from drkit.planning.runbook_builder import Provenance
from drkit.products import actions, registry
from drkit.store.records import Approval, who
from drkit.store.store import DIGEST
from drkit.version import __version__

HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Planned:
    """A runbook, its exact bytes, their SHA-256, and the path where they are kept.

    ``warnings``: what to consider before approving, as sentences; ``described_steps``: each step as it would be carried out.
    """

    runbook: Runbook
    content: bytes
    digest: str
    path: Path
    warnings: tuple[str, ...] = ()
    described_steps: tuple[Described, ...] = ()


def plan(
    context: Context,
    *,
    kind: RunbookKind | None = None,
    graceful_from: str = "",
    snapshot: str | None = None,
    assessment: str | None = None,
    force: Mapping[str, str] | None = None,
    out: str | None = None,
    rebases: str = "",
    notes: tuple[str, ...] = (),
    fits: Callable[[Runbook], None] = lambda _book: None,
) -> Planned:
    """Write the runbook for what an assessment found, and keep it. Loads no Azure SDK.

    ``kind``: by default a failover when a plan is lost, else a repair. ``graceful_from``: a region to leave although it answers.
    ``snapshot`` and ``assessment``: paths of files to plan on instead of those in the store. ``force``: guard -> the reason to ignore it.
    ``out``: a path to write the runbook to as well. ``rebases``: the run whose rest this is, with ``notes`` about it. ``fits`` may refuse
    the runbook before it is kept.

    RefusedError (4) when there is no assessment or snapshot, no target region is left, a target is lost, or a guard refuses; UsageError for
    an unknown region or guard; FileError for a file that cannot be used.
    """
    from drkit.store.store import load

    if assessment is None:
        assessed, path = context.store.assessment()
    else:
        assessed, path = load(Path(assessment), Assessment), Path(assessment)
    clouds.check_same(assessed.cloud, context.cloud, str(path))
    if snapshot is None:
        base = composed(context, assessed)
    else:
        base = load(Path(snapshot), Snapshot)
        clouds.check_same(base.cloud, context.cloud, snapshot)
    runs = context.store.run_records()
    base = leftovers.advanced(base, runs)
    region = region_name(graceful_from)
    here = {plan.region for plan in base.plans}
    if region and region not in here:
        raise UsageError(
            f"no plan is in {graceful_from!r}",
            remedy=suggest.remedy(region, here, f"one of: {', '.join(sorted(here))}"),
        )
    book = failover.recovery_runbook(
        base,
        assessed,
        context.settings,
        registry(),
        provenance(context, base, assessment_digest=estate.digest(files.read(path, limit=files.LARGE))),
        kind=kind,
        graceful_from=region,
        force=force,
        made=leftovers.created_for(runs),
    )
    if rebases:
        book = msgspec.structs.replace(book, rebases=rebases, notes=(*notes, *book.notes))
    fits(book)
    planned = keep(context, book, out)
    return replace(
        planned,
        path=Path(out) if out else planned.path,
        warnings=(
            *candidate_lines(context, book),
            *_thin(assessed, base),
            *stale(context, assessed),
            *_outlived(context, runs),
        ),
    )


def keep(context: Context, book: Runbook, out: str | None) -> Planned:
    """Keep a new runbook in the store, and write it to ``out`` as well, if a person asked for that. FileError when that fails."""
    content = runbook.encode(book)
    if out:
        write_out(out, content)
    path = context.store.keep_runbook(content)
    return Planned(
        book,
        content,
        runbook.digest(content),
        path,
        described_steps=described(book, actions(), context.settings),
    )


def provenance(
    context: Context,
    snapshot: Snapshot,
    *,
    assessment_digest: str,
    run: str = "",
    run_chain: frozenset[str] = frozenset(),
) -> Provenance:
    """Where a runbook that is planned here comes from. ``run`` and ``run_chain`` as in ``Provenance``."""
    return Provenance(
        snapshot_digest=estate.digest(estate.encode(snapshot)),
        assessment_digest=assessment_digest,
        cloud=context.cloud.mark,
        drkit_version=__version__,
        run=run,
        run_chain=run_chain,
    )


def candidates(context: Context, book: Runbook) -> dict[str, Takeover]:
    """What a runbook moves to although neither drkit.toml nor a journal of this store names it; as ``replicas.candidates``.

    Without the right to read journals, only drkit.toml counts.
    """
    unnamed = replicas.candidates(book, context.settings, {})
    if not unnamed:
        return {}
    try:
        return replicas.candidates(book, context.settings, leftovers.created_for(context.store.run_records()))
    except ForbiddenError:
        return unnamed


def candidate_lines(context: Context, book: Runbook) -> list[str]:
    """A sentence about each of ``candidates``, with the option that names it."""
    return [
        f"{plan} is a candidate only, to take over from {takeover.plan}; the runbook says of it: {takeover.why}. "
        f"If it is the one you mean, name it: `drkit approve DIGEST --target {plan}`"
        for plan, takeover in candidates(context, book).items()
    ]


def write_out(name: str, content: bytes) -> None:
    """Write a file that a person asked for. FileError when that fails."""
    files.write_out(name, content)


def composed(context: Context, assessed: Assessment) -> Snapshot:
    """The snapshot to recover from: for each plan its newest complete capture from before it began to fail. RefusedError without one."""
    generations = context.store.generations(context.cloud, needed=True)
    regions = {plan.key: plan.region for plan in generations[-1].plans}
    cutoffs: dict[str, str] = {
        finding.plan.lower(): moment
        for finding in assessed.plans
        if (moment := recovery_point.cutoff(finding.failing_since, assessed.claims, regions.get(finding.key, "")))
    }
    return recovery_point.compose(generations, cutoffs)


def _thin(assessed: Assessment, base: Snapshot) -> list[str]:
    """Warnings about what this assessment and this snapshot do not contain."""
    if assessed.blind:
        return [
            f"assessment {assessed.generation} does not know the state of any plan: `drkit assess` again, and plan on that"
        ]
    known = {plan.key for plan in base.plans}
    missing = [finding.key for finding in assessed.plans if finding.state == "lost" and finding.key not in known]
    return [f"{plan.name} is lost, and this snapshot does not contain it: {plan}" for plan in missing]


def _outlived(context: Context, runs: Sequence[RunRecord]) -> list[str]:
    newest = context.store.newest(Snapshot)
    back = leftovers.since_snapshot(runs, newest[0]) if newest else ""
    return [f"{back}: `drkit snapshot` while all is well"] if back else []


def stale(context: Context, assessed: Assessment) -> list[str]:
    """Why a runbook of this assessment would be out of date, as sentences; empty when it would not."""
    for run in context.store.runs():
        try:
            ended = context.store.state(run).ended
        except (FileError, IntegrityError) as error:
            return [f"it is not known whether a run ended after this assessment was made: {error}"]
        if ended and parse_time(ended) > parse_time(assessed.taken):
            return [f"{run} ended after this assessment was made: `drkit assess` again, and plan on that"]
    return []


def show(context: Context, name: str = "latest") -> Planned:
    """A runbook as it is kept.

    ``name``: a path, the digest or its beginning, or ``latest``. ``warnings`` says which guards do not pass and what differs from the
    settings. FileError when there is no such runbook; RefusedError when its bytes were changed.
    """
    book, content, path = context.store.runbook(name)
    return Planned(
        book,
        content,
        runbook.digest(content),
        path,
        (*_stopped(context, book), *differences(book, actions(), context.settings)),
        described(book, actions(), context.settings),
    )


def _stopped(context: Context, book: Runbook) -> list[str]:
    """The guards that do not pass, computed again: what a file says about its own guards proves nothing."""
    try:
        recorded = history_.recorded(context, book)
    except DrkitError as error:
        return [f"what {book.source_run} recorded cannot be read, and nothing is deleted without: {error}"]
    return [
        f"guard {guard.name} does not pass: {guard.detail}"
        for guard in failed_guards(book, actions(), context.settings, recorded)
    ]


def show_of(context: Context, digest: str) -> Planned:
    """The runbook that a journal names, by its whole digest. Errors as ``Store.runbook_of``."""
    book, content, path = context.store.runbook_of(digest)
    return Planned(book, content, digest, path)


def named(context: Context, name: str) -> Planned:
    """The runbook that a person wants to approve: by at least 8 digits of its digest, or by the path of a file.

    UsageError for ``latest``, for nothing and for fewer digits, because everybody who may write to the store can choose what is newest.
    RefusedError for a runbook that cannot be approved: of another cloud, of an assumed loss, or with a guard that does not pass.
    """
    digits = name.lower()
    if not DIGEST.fullmatch(digits) and (name in ("", "latest") or HEX.fullmatch(digits)):
        raise UsageError(
            f"{name!r} does not say which runbook is approved" if name else "which runbook is approved?",
            remedy="give its digest, at least 8 digits of it, as `drkit plan` and `drkit show` print it, or the path of a file",
        )
    shown = show(context, name)
    clouds.check_same(shown.runbook.cloud, context.cloud, str(shown.path))
    observed(shown)
    if bad := _stopped(context, shown.runbook):
        raise RefusedError("; ".join(bad), where=str(shown.path), remedy="`drkit plan` again, and approve that")
    if DIGEST.fullmatch(digits) and not shown.digest.startswith(digits):
        raise RefusedError(
            f"is a file called like a digest, and its own is {shown.digest}",
            where=str(shown.path),
            remedy=f"`./{name}` names the file",
        )
    return shown


def approve(
    context: Context, name: str, *, hours: float = 24.0, note: str = "", targets: Sequence[str] = ()
) -> Approval:
    """Approve the exact bytes of a runbook, for ``hours`` (above 0, at most 744). ``name`` as in ``named``.

    ``targets``: whole ARM ids of the plans that take over although only a tag names them; RefusedError when one is missing. In a folder
    the approval is that of the file's owner; in a storage account it is worth the permissions of its container.
    """
    shown = named(context, name)
    if not 0 < hours <= 24 * 31:
        raise UsageError(f"{hours} hours is not above 0 and at most a month", remedy="--hours 24")
    approvable(context, shown, targets, f"drkit approve {shown.digest[:12]}")
    now = context.clock.now()
    context.store.keep_runbook(shown.content)
    approval = Approval(
        digest=shown.digest, who=who(), when=rfc3339(now), until=rfc3339(now + timedelta(hours=hours)), note=note,
        targets=tuple(targets),
    )  # fmt: skip
    context.store.approve(approval)
    return approval


def approvable(context: Context, shown: Planned, targets: Sequence[str], command: str) -> None:
    """RefusedError for a runbook that cannot be approved now.

    Either it has the first format, which names no settings and lets a step leave out its preconditions. (A runbook that was approved in
    that format can still be carried out, and one that has begun can be approved, to be resumed.) Or ``targets`` does not name each of
    its candidates, or names a plan that it does not move to.
    """
    if shown.runbook.drkit == "runbook/1" and not _is_begun(context, shown.digest):
        raise RefusedError(
            "is a runbook/1, written by drkit 0.1: it names no settings, and its steps need not say what must still hold",
            where=str(shown.path),
            remedy="`drkit plan` again, and approve that",
        )
    known = replicas.targets(shown.runbook)
    strange = [target for target in targets if not any(ArmId(target) == plan for plan in known)]
    if strange:
        raise RefusedError(
            f"the runbook does not move to {strange[0]}",
            where=f"runbook {shown.digest[:12]}",
            remedy=f"the whole id of one of: {', '.join(known) or 'none, it makes its targets itself'}",
        )
    needed = candidates(context, shown.runbook)
    if missing := replicas.unnamed(needed, targets):
        raise replicas.refusal(needed, missing, command, f"runbook {shown.digest[:12]}")


def _is_begun(context: Context, digest: str) -> bool:
    """Whether a journal says that a run carries out these bytes."""
    return any(context.store.state(run).runbook == digest for run in context.store.runs())


def observed(shown: Planned) -> None:
    """RefusedError for a runbook of a loss that was only assumed."""
    if shown.runbook.assumed:
        raise RefusedError(
            "was planned on an assumption (`drkit check --if-lost REGION`): nobody saw that region lost",
            where=str(shown.path),
            remedy="`drkit assess` and `drkit plan` make one of what is",
        )
