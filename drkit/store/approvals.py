"""Approvals as a store keeps them: who approved which bytes, when, and how long that counts.

What a file says about itself proves nothing. The approval was made when the store last wrote the file, by the owner of the file. A
storage account does not know the writer of a blob: an approval there is worth the permissions of its container, and the name in
it is only a claim.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drkit.errors import FileError, RefusedError
from drkit.model import files
from drkit.model.clock import Clock, from_wall, parse_time, rfc3339
from drkit.model.ids import ArmId
from drkit.store.records import Approval, claimed_name, decode

LONGEST = timedelta(days=31)
"""How long after it was made an approval counts at most, whatever it says."""
SKEW = timedelta(minutes=15)
"""How far the clock of the store and that of this machine may be apart."""
MOST = 200
SUBORDINATE = Path("/etc/subuid")


@dataclass(frozen=True)
class StoredApproval:
    """An approval in a store. ``writer``: its author as the store knows them (empty: the store does not know).

    ``changed``: when the store last wrote it, on the store's own clock. ``own``: it belongs to the identity that asks, by the owner
    of the file or, where the store does not know the owner, by the name in it without the machine. ``fault``: why it cannot count.
    """

    path: Path
    approval: Approval | None
    changed: datetime
    writer: str = ""
    own: bool = False
    fault: str = ""

    @property
    def who(self) -> str:
        """Who approved, for people to read."""
        return claimed_name(self.approval.who if self.approval else "", self.writer)

    def span(self, clock: Clock) -> tuple[datetime, datetime]:
        """From when until when it counts, on that clock. ValueError for an approval with a fault."""
        if self.approval is None:
            raise ValueError(self.fault)
        # Records have whole seconds.
        made = from_wall(clock, self.changed).replace(microsecond=0)
        return made, min(parse_time(self.approval.until), made + LONGEST)

    def doubt(self, clock: Clock, moment: datetime) -> str:
        """Why the approval did not hold at a moment of that clock; empty when it did."""
        if self.fault:
            return self.fault
        made, until = self.span(clock)
        if made > clock.now() + SKEW:
            return (
                f"is dated {rfc3339(made)}, which is in the future: the clock of the store or of this machine is wrong"
            )
        if made > moment + SKEW:
            return f"was approved at {rfc3339(made)}, after that"
        return f"was approved until {rfc3339(until)} only" if until <= moment else ""

    def claimed_to_hold(self, moment: datetime) -> bool:
        """Whether a file of drkit 0.1 says that it held at that moment. That version checked nothing else."""
        return (
            self.approval is not None
            and self.approval.drkit == "approval/1"
            and parse_time(self.approval.when) <= moment + SKEW
            and moment < parse_time(self.approval.until)
        )


def stored_approvals(
    folder: Path, digest: str, writer: Callable[[Path], str], own: Callable[[Path, Approval], bool]
) -> list[StoredApproval]:
    """The approvals of these bytes in a store's folder of approvals, the newest first.

    RefusedError when a third user may write into the folder or the folder above it: then nothing in it proves anything.
    """
    if not os.path.lexists(folder):
        return []
    for place in (folder.parent, folder):
        _closed(place)
    owner = folder.stat().st_uid
    names = [path for path in folder.glob("*.json") if path.stem == digest or path.stem.startswith(f"{digest}-")]
    approvals = [_stored(path, digest, owner, writer, own) for path in sorted(names)[:MOST]]
    return sorted(approvals, key=lambda stored: stored.changed, reverse=True)


def _closed(place: Path) -> None:
    try:
        files.check_folder(place)
    except FileError as error:
        raise RefusedError(
            f"{error.what}, so no approval in it counts", where=error.where, remedy=error.remedy
        ) from error


def _stored(
    path: Path, digest: str, owner: int, writer: Callable[[Path], str], own: Callable[[Path, Approval], bool]
) -> StoredApproval:
    try:
        changed = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        approval = decode(path, Approval, "approval", times=("when", "until"), versions=(1, 2), of=(owner,))
    except (FileError, OSError, OverflowError, ValueError) as error:
        return StoredApproval(
            path, None, datetime.fromtimestamp(0, UTC), fault=f"an approval of it cannot be read: {error}"
        )
    if approval.digest != digest:
        fault = f"{path} approves other bytes ({approval.digest[:12]})"
        return StoredApproval(path, None, changed, fault=fault)
    return StoredApproval(path, approval, changed, writer(path), own(path, approval))


def self_approved(stored: StoredApproval) -> bool:
    """Whether the person who carried out the runbook approved it, with ``--yes``."""
    return stored.approval is not None and stored.approval.kind == "self-approved"


def naming(approvals: Sequence[StoredApproval], targets: Collection[str]) -> list[StoredApproval]:
    """The approvals that name each of these ARM ids."""
    wanted = {ArmId(target) for target in targets}
    return [
        stored
        for stored in approvals
        if not wanted
        or (stored.approval is not None and wanted <= {ArmId(target) for target in stored.approval.targets})
    ]


def chosen(
    approvals: Sequence[StoredApproval],
    clock: Clock,
    moment: datetime,
    *,
    separate: bool,
    by_yes: bool,
    targets: Collection[str] = (),
) -> StoredApproval | None:
    """The newest approval that held at that moment, or None. ``by_yes``: a self-approved one counts too.

    ``separate``: it must come from another identity than the one that asks. ``targets``: ARM ids that it must name.
    """
    for stored in naming(approvals, targets):
        if (separate and (stored.own or self_approved(stored))) or (self_approved(stored) and not by_yes):
            continue
        if not stored.doubt(clock, moment):
            return stored
    return None


# who may write what


def writable_as(uid: int) -> bool:
    """Whether this process can write files as that user: its own user, or one of its subordinate users."""
    return uid == os.geteuid() or any(first <= uid < first + count for first, count in _subordinate())


def _subordinate() -> list[tuple[int, int]]:
    """The ranges of user ids that this user may use in a namespace, as first id and count (subuid(5))."""
    try:
        lines = SUBORDINATE.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    me = {str(os.geteuid()), files.user_name(os.geteuid()).removeprefix("user ")}
    ranges = []
    for line in lines:
        name, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if name in me and first.isdigit() and count.strip().isdigit():
            ranges.append((int(first), int(count)))
    return ranges


def beyond_reach(path: Path, top: Path) -> bool:
    """Whether this process can write neither that file nor any folder from it up to ``top``, and cannot give itself that right.

    The owner of a file or folder can change its mode, and root can do anything, so for them the answer is no.
    """
    if os.geteuid() == 0:
        return False
    place = path
    while True:
        try:
            known = place.lstat()
        except OSError:
            return False
        kind = stat.S_ISREG if place == path else stat.S_ISDIR
        if not kind(known.st_mode) or writable_as(known.st_uid) or os.access(place, os.W_OK, effective_ids=True):
            return False
        if place == top:
            return True
        if place == place.parent:
            return False
        place = place.parent
