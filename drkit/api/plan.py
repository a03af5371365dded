"""From an assessment to a runbook, and to its approval."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from drkit.api import history as history_
from drkit.api.context import Context
from drkit.errors import DrkitError, FileError, ForbiddenError, IntegrityError, RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model import estate, files, runbook, suggest
from drkit.model.actions import Described, described, differences, stopped
from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Assessment, Snapshot, region_name
from drkit.model.ids import ArmId
from drkit.model.run import RunRecord
from drkit.model.runbook import Kind, Runbook, Takeover
from drkit.planning import failover, leftovers, recovery_point, replicas
from drkit.planning.runbook_builder import Provenance
from drkit.products import actions, registry
from drkit.store.records import Approval, who
from drkit.store.store import DIGEST
from drkit.version import __version__

HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Planned:
    """A runbook, its exact bytes, their digest, where they are kept, and its steps as they will be carried out."""

    runbook: Runbook
    content: bytes
    digest: str
    path: Path
    warnings: tuple[str, ...] = ()
    told: tuple[Described, ...] = ()


def plan(
    context: Context,
    *,
    kind: Kind | None = None,
    graceful_from: str = "",
    snapshot: str | None = None,
    assessment: str | None = None,
    force: Mapping[str, str] | None = None,
    out: str | None = None,
    rebases: str = "",
    notes: tuple[str, ...] = (),
    fits: Callable[[Runbook], None] = lambda _book: None,
) -> Planned:
    """Write the runbook for what the newest assessment found. Loads no Azure SDK. ``rebases``: the run whose rest it is.

    ``fits`` may refuse it before it is kept.

    RefusedError (4) when there is no assessment, no target region is left, a target is lost, or a guard refuses.
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
    content = runbook.encode(book)
    if out:
        write_out(out, content)
    kept = context.store.keep_runbook(content)
    return Planned(
        book,
        content,
        runbook.digest(content),
        Path(out) if out else kept,
        (*candidate_lines(context, book), *_thin(assessed, base), *stale(context, assessed), *_outlived(context, runs)),
        described(book, actions(), context.settings),
    )


def provenance(
    context: Context,
    snapshot: Snapshot,
    *,
    assessment_digest: str,
    run: str = "",
    run_chain: frozenset[str] = frozenset(),
) -> Provenance:
    """What a runbook made here says of where it comes from; ``run`` and ``run_chain`` as in ``Provenance``."""
    return Provenance(
        snapshot_digest=estate.digest(estate.encode(snapshot)),
        assessment_digest=assessment_digest,
        cloud=context.cloud.mark,
        drkit_version=__version__,
        run=run,
        run_chain=run_chain,
    )


def candidates(context: Context, book: Runbook) -> dict[str, Takeover]:
    """What a runbook moves to though neither drkit.toml nor a journal of this store speaks for it; as ``replicas.candidates``.

    Where the journals may not be read, none speaks for anything.
    """
    open_ones = replicas.candidates(book, context.settings, {})
    if not open_ones:
        return {}
    try:
        return replicas.candidates(book, context.settings, leftovers.created_for(context.store.run_records()))
    except ForbiddenError:
        return open_ones


def candidate_lines(context: Context, book: Runbook) -> list[str]:
    """Each of ``candidates`` as a sentence, with what names it."""
    return [
        f"{plan} is a candidate only, to take over from {one.plan}; the runbook says of it: {one.why}. If it is the one you mean, "
        f"name it: `drkit approve DIGEST --target {plan}`"
        for plan, one in candidates(context, book).items()
    ]


def write_out(name: str, content: bytes) -> None:
    """Write a file a person asked for; FileError when that cannot be."""
    files.write_out(name, content)


def composed(context: Context, assessed: Assessment) -> Snapshot:
    """The snapshot to recover from: per plan, its newest complete capture from before it began to fail."""
    generations = context.store.generations(context.cloud, needed=True)
    regions = {plan.id.lower(): plan.region for plan in generations[-1].plans}
    cutoffs = {
        finding.plan.lower(): moment
        for finding in assessed.plans
        if (
            moment := recovery_point.cutoff(
                finding.failing_since, assessed.claims, regions.get(finding.plan.lower(), "")
            )
        )
    }
    return recovery_point.compose(generations, cutoffs)


def _thin(assessed: Assessment, base: Snapshot) -> list[str]:
    """What a runbook made of these two must leave out, though nobody decided so."""
    if assessed.blind:
        return [
            f"assessment {assessed.generation} could not tell how any plan is: `drkit assess` again, and plan on that"
        ]
    known = {plan.id.lower() for plan in base.plans}
    missing = [one.plan for one in assessed.plans if one.state == "lost" and one.plan.lower() not in known]
    return [f"{plan.rsplit('/', 1)[-1]} is lost, and this snapshot does not hold it: {plan}" for plan in missing]


def _outlived(context: Context, runs: Sequence[RunRecord]) -> list[str]:
    newest = context.store.newest(Snapshot)
    back = leftovers.since_snapshot(runs, newest[0]) if newest else ""
    return [f"{back}: `drkit snapshot` while all is well"] if back else []


def stale(context: Context, assessed: Assessment) -> list[str]:
    """Why a plan made of this assessment would be out of date, as sentences for people; empty when it would not."""
    for run in context.store.runs():
        try:
            ended = context.store.state(run).ended
        except (FileError, IntegrityError) as error:
            return [f"it is not known whether a run ended after this assessment was made: {error}"]
        if ended and parse_time(ended) > parse_time(assessed.taken):
            return [f"{run} ended after this assessment was made: `drkit assess` again, and plan on that"]
    return []


def show(context: Context, name: str = "latest") -> Planned:
    """A runbook as it is kept, by path, digest or ``latest``."""
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
    """Why its guards would not let it be carried out, computed again: what a file says of its own guards proves nothing."""
    try:
        recorded = history_.recorded(context, book)
    except DrkitError as error:
        return [f"what {book.source_run} recorded cannot be read, and nothing is deleted without: {error}"]
    return [
        f"guard {one.name} does not pass: {one.detail}" for one in stopped(book, actions(), context.settings, recorded)
    ]


def show_of(context: Context, digest: str) -> Planned:
    """The runbook that a journal names, by its whole digest. Errors as ``Store.runbook_of``."""
    book, content, path = context.store.runbook_of(digest)
    return Planned(book, content, digest, path)


def named(context: Context, name: str) -> Planned:
    """The runbook that somebody means to approve: by its digest, at least 8 digits of it, or the path of a file.

    UsageError for ``latest``, for nothing and for fewer digits: what is newest is for who may write the store to choose.
    RefusedError for one that cannot be approved: of another cloud, of a loss that was assumed, or with a guard that does not pass.
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
    """Approve a runbook's exact bytes; ``name`` as in ``named``.

    ``targets``: whole ARM ids of the plans that take over though only a tag speaks for them. RefusedError for one that is not named.
    In a folder an approval is that of the file's owner; in a storage account it is worth the permissions of its container.
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
    """RefusedError for a runbook that nobody may approve as things are.

    It is of the first format, which names no settings and lets a step leave out its preconditions (what was approved in that format
    can still be carried out, and what was begun can be approved, to be resumed); or ``targets`` does not name each of its candidates,
    or names what it does not move to.
    """
    if shown.runbook.drkit == "runbook/1" and not _is_begun(context, shown.digest):
        raise RefusedError(
            "is a runbook/1, written by drkit 0.1: it names no settings, and its steps need not say what must still hold",
            where=str(shown.path),
            remedy="`drkit plan` again, and approve that",
        )
    known = replicas.targets(shown.runbook)
    strange = [one for one in targets if not any(ArmId(one) == plan for plan in known)]
    if strange:
        raise RefusedError(
            f"the runbook does not move to {strange[0]}",
            where=f"runbook {shown.digest[:12]}",
            remedy=f"the whole id of one of: {', '.join(known) or 'none, it makes its targets itself'}",
        )
    found = candidates(context, shown.runbook)
    if missing := replicas.unnamed(found, targets):
        raise replicas.refusal(found, missing, command, f"runbook {shown.digest[:12]}")


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
