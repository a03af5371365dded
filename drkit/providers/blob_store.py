"""The store in a storage account: containers ``state``, ``inbox``, ``journal`` and ``approvals``; locks are leases.

The account keeps everything; a folder of this user holds copies of what was read, so that drkit can show a path. The account's
pipeline is the store's own: it allows writes to these four containers only.
https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient

from drkit.errors import (
    CloudError,
    CredentialError,
    ForbiddenError,
    GuardError,
    LockedError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from drkit.model import files
from drkit.model.clock import Clock
from drkit.model.cloud import Cloud, public
from drkit.providers.blob_journal import BlobJournal, segment, whole
from drkit.providers.blob_lease import SECONDS, Lease
from drkit.providers.blocking import BlockingTransport
from drkit.store.approvals import StoredApproval
from drkit.store.journal import LocalJournal
from drkit.store.records import LARGEST_MESSAGE, Approval, Declaration, Received, user_of, who
from drkit.store.store import DECLARATIONS, INBOXES, LOCKS, Store, folder_of, lock_name

CONTAINERS = ("state", "inbox", "journal", "approvals")
PLAIN = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.[a-z]+")
SEGMENT = re.compile(r"run-[0-9]+/[0-9]{6}\.jsonl")
READS = frozenset({"GET", "HEAD"})
INBOX_SECONDS = 2.0
INBOX_AT_ONCE = 50
"""Messages that are fetched before the run continues."""
MOST_MISSING = 5
"""How often a run may find no container for its journal although it has just created one."""
KEY = "AZURE_STORAGE_KEY"
STORAGE_SCOPE = "https://storage.azure.com/.default"  # of every cloud
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class GuardedTransport(BlockingTransport):
    """Sends reads to the whole account, and writes to the store's containers only."""

    def __init__(self, account: str) -> None:
        super().__init__()
        self._account = urlsplit(account)

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request; GuardError for one that may not be sent."""
        parts = urlsplit(request.url)
        inside = unquote(parts.path).removeprefix(self._account.path.rstrip("/")).lstrip("/").split("/")
        same = (parts.scheme, parts.netloc) == (self._account.scheme, self._account.netloc)
        if not same or ".." in inside or (request.method not in READS and inside[0] not in CONTAINERS):
            raise GuardError(
                f"{request.method} was not sent: it does not go to one of the store's containers",
                where=f"{parts.netloc}{parts.path}",
                remedy="nothing left this machine; please report the command that led here",
            )
        return super().send(request, **options)


def credential(address: str, cloud: Cloud) -> Any:
    """The credential that [cloud] names; for an emulator on this machine the key in AZURE_STORAGE_KEY. UsageError without TLS."""
    key, parts = os.environ.get(KEY), urlsplit(address)
    if parts.hostname in LOOPBACK and key:
        return AzureNamedKeyCredential(parts.path.strip("/") or parts.hostname, key)
    if parts.scheme != "https":
        raise UsageError(
            "an address without TLS is an emulator's, which takes a key",
            where=address,
            remedy=f"set {KEY}, or name the account's https:// address",
        )
    from drkit.providers import auth

    return Signing(auth.blocking(cloud), address, cloud)


class Signing:
    """A credential that gives tokens for storage only, whatever an answer asks for.

    The storage client would take audience and tenant from a challenge, which any server can write. A refusal is final: the client
    would repeat it for more than a minute, as if the network had failed.
    """

    def __init__(self, inner: Any, address: str, cloud: Cloud) -> None:
        self._inner, self._address, self._cloud = inner, address, cloud

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token for storage, of the cloud's tenant. CredentialError at once when there is none, or when another is asked for."""
        tenant = str(options.get("tenant_id") or "")
        audiences = {scope.removesuffix("/.default").rstrip("/") for scope in scopes}
        if other_audiences := sorted(audiences - {STORAGE_SCOPE.removesuffix("/.default")}):
            raise self._refused(
                f"it asked for one for {', '.join(other_audiences)[:200]}",
                "check the address of --store: this is no storage account",
            )
        if tenant and tenant.lower() != self._cloud.tenant.lower():
            raise self._refused(
                f"it asked for one of tenant {tenant[:80]}",
                f'if the account is of that tenant: [cloud] tenant = "{tenant[:80]}"',
            )
        try:
            return self._inner.get_token(
                STORAGE_SCOPE, **{key: options[key] for key in ("claims",) if options.get(key)}
            )
        except ClientAuthenticationError as error:
            from drkit.providers.auth import credential_name, remedy_of

            message = " ".join(str(error.message).split())[:300]
            raise CredentialError(
                f"no token for the store from credential {credential_name(self._cloud)}: {message}",
                where=self._address,
                remedy=remedy_of(self._cloud),
            ) from error

    def _refused(self, what: str, remedy: str) -> CredentialError:
        return CredentialError(
            f"the store accepts no token for storage: {what}, which it does not get", where=self._address, remedy=remedy
        )

    def close(self) -> None:
        """Close the credential's connections."""
        self._inner.close()


def open_store(address: str, cloud: Cloud | None = None, *, seconds: int = SECONDS) -> BlobStore:
    """The store at the address of an account's blob service.

    ``cloud`` says how to sign in (default: public Azure); ``seconds``: length of a lease. UsageError for an address that cannot be
    used, CredentialError for a credential that cannot.
    """
    address, signs = address.rstrip("/"), cloud or public()
    service = BlobServiceClient(
        address,
        credential=credential(address, signs),
        transport=GuardedTransport(address),
        # About ten seconds in all: the holder of a run must learn within its lease that the account does not answer.
        retry_total=3,
        initial_backoff=1,
        increment_base=2,
    )
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drkit" / "stores"
    folder = base / hashlib.sha256(address.encode()).hexdigest()[:16]
    files.make_folder(folder, mode=0o700, remedy="set XDG_CACHE_HOME to a folder of your own")
    return BlobStore(folder, address, service, seconds, signs)


class BlobStore(Store):
    """A store in an account; ``folder`` has copies. The path of a copy below the folder is container and name of its blob."""

    outlives_machine = True
    approvals_worth = "worth the permissions of the container approvals; the name is claimed"

    def __init__(
        self, folder: Path, address: str, service: Any, seconds: int = SECONDS, cloud: Cloud | None = None
    ) -> None:
        super().__init__(folder)
        self.address, self.service, self.seconds, self.cloud = address, service, seconds, cloud or public()
        self._tags: dict[str, str] = {}
        self._held: list[Lease] = []
        self._looked: dict[str, float] = {}
        self.remarks: list[str] = []

    # blobs

    def _blob(self, path: Path) -> tuple[str, str]:
        container, *parts = path.relative_to(self.folder).parts
        return container, "/".join(parts)

    def _write(self, path: Path, content: bytes, *, exclusive: bool = False) -> None:
        container, name = self._blob(path)
        with self._asked(f"{container}/{name}"):
            blob = self.service.get_blob_client(container, name)
            try:
                blob.upload_blob(content, overwrite=not exclusive)
            except ResourceExistsError as error:
                raise FileExistsError(name) from error
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    self.service.create_container(container)
                try:
                    blob.upload_blob(content, overwrite=not exclusive)
                except ResourceExistsError as error:
                    raise FileExistsError(name) from error
        super()._write(path, content)

    def _pull(self, container: str, prefix: str, *, most: int | None = None, longest: int | None = None) -> None:
        """Bring the copies below a prefix up to date: the first ``most`` by name, and of each the first ``longest`` bytes."""
        present: set[Path] = set()
        with self._asked(f"{container}/{prefix}"):
            client = self.service.get_container_client(container)
            try:
                listed = list(islice(client.list_blobs(name_starts_with=prefix), most))
            except ResourceNotFoundError:
                listed = []
            for item in listed:
                # Everybody who may write to the account can name blobs; no name may lead out of the folder of copies.
                if (not prefix or item.name.startswith(f"{prefix}/")) and PLAIN.fullmatch(item.name):
                    path = self.folder / container / item.name
                    present.add(path)
                    if self._tags.get(str(path)) != item.etag or not path.exists():
                        # A range of an empty blob would be refused.
                        part = longest if item.size else None
                        stream = client.download_blob(item.name, offset=0 if part else None, length=part)
                        super()._write(path, whole(stream))
                        stamp = item.last_modified.timestamp()
                        os.utime(path, (stamp, stamp))
                        self._tags[str(path)] = item.etag
        folder = self.folder / container / prefix
        for path in folder.glob("*.json") if folder.is_dir() else []:
            if path not in present:
                path.unlink(missing_ok=True)

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """The block talks to the account: its errors become drkit's."""
        try:
            yield
        except ClientAuthenticationError as error:
            raise self._refused(error, ForbiddenError, what) from error
        except HttpResponseError as error:
            kind = ForbiddenError if error.status_code in (401, 403) else CloudError
            raise self._refused(error, kind, what) from error
        except AzureError as error:
            raise UnreachableError(
                f"the store does not answer: {type(error).__name__}",
                where=self.address,
                remedy="check the address of --store",
            ) from error

    def _refused(self, error: HttpResponseError, kind: type[CloudError], what: str) -> CloudError:
        return kind(
            f"the store refused: {getattr(error, 'error_code', '') or error.reason}",
            where=f"{self.address}/{what}",
            remedy="the identity needs the rights of its role on that container: bicep/ of this version grants them"
            if kind is ForbiddenError
            else "",
            status=error.status_code or 0,
        )

    # what the folder store reads from files

    def _generations(self, kind: str) -> list[Path]:
        self._pull("state", folder_of(kind))
        return super()._generations(kind)

    def declarations(self) -> list[Declaration]:
        for container, *folder in DECLARATIONS:
            self._pull(container, "/".join(folder))
        return super().declarations()

    def runbook(self, name: str) -> Any:
        self._pull("state", "runbooks")
        return super().runbook(name)

    def runbook_of(self, digest: str) -> Any:
        self._pull("state", "runbooks")
        return super().runbook_of(digest)

    def keep_runbook(self, content: bytes) -> Path:
        self._pull("state", "runbooks")
        return super().keep_runbook(content)

    def approvals(self, digest: str) -> list[StoredApproval]:
        self._pull("approvals", "")
        return super().approvals(digest)

    def _is_own(self, _path: Path, approval: Approval) -> bool:
        return user_of(approval.who) == user_of(who())

    def approved_by_another(self, stored: StoredApproval) -> bool:
        """Whether this identity may not write approvals. It is tried with a write whose condition can never be met."""
        blob = self.service.get_blob_client("approvals", stored.path.name)
        try:
            blob.upload_blob(b"", overwrite=True, etag='"0x0"', match_condition=_if_match())
        except HttpResponseError as error:
            return error.status_code == 403
        except AzureError:
            return False
        return False

    # runs

    def runs(self) -> list[str]:
        with self._asked("journal"):
            try:
                names = list(self.service.get_container_client("journal").list_blob_names())
            except ResourceNotFoundError:
                names = []
        present = {name.partition("/")[0] for name in names if SEGMENT.fullmatch(name)}
        folder = self.folder / "journal"
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("run-*.jsonl"):
            if path.stem not in present:
                path.unlink(missing_ok=True)
        for name in present:
            (folder / f"{name}.jsonl").touch()
        return super().runs()

    def new_run(self) -> str:
        number = max((int(name[4:]) for name in self.runs()), default=0)
        missing = 0
        with self._asked("journal"):
            while missing < MOST_MISSING:
                number += 1
                name = f"run-{number:04d}"
                try:
                    self.service.get_blob_client("journal", segment(name, 0)).create_append_blob(if_none_match="*")
                except ResourceExistsError:
                    continue
                except ResourceNotFoundError:
                    # A new account has no containers. Where they exist, the identity needs no right to create one.
                    with suppress(ResourceExistsError):
                        self.service.create_container("journal")
                    number -= 1
                    missing += 1
                    continue
                return name
        raise NotFoundError(
            f"the account says {missing} times that it has no container journal, although drkit created it each time",
            where=f"{self.address}/journal",
            remedy="a container that is being deleted can be created again after some minutes; if that is not so, check the account",
            status=404,
        )

    def drop_unbegun(self, run: str) -> None:
        with suppress(AzureError):
            blob = self.service.get_blob_client("journal", segment(run, 0))
            properties = blob.get_blob_properties()
            if properties.size == 0:
                blob.delete_blob(etag=properties.etag, match_condition=_if_match())

    def journal_bytes(self, run: str) -> bytes:
        """The journal of a run, its segments joined. The copy is brought up to date."""
        path = self.journal_path(run)
        with self._asked(f"journal/{path.stem}"):
            client = self.service.get_container_client("journal")
            names = sorted(client.list_blob_names(name_starts_with=f"{path.stem}/"))
            content = b"".join(whole(client.download_blob(name)) for name in names)
        super()._write(path, content)
        return content

    def records(self, run: str) -> list[Any]:
        self.journal_bytes(run)
        return super().records(run)

    def holder(self, run: str) -> str:
        path = self.journal_path(run)
        with self._asked(f"journal/{path.stem}"):
            properties = self.service.get_blob_client("journal", segment(path.stem, 0)).get_blob_properties()
        return (self.state(path.stem).holder or "another process") if properties.lease.state == "leased" else ""

    def open_journal(self, run: str, clock: Clock) -> LocalJournal:
        path = self.journal_path(run)
        name = path.stem

        def held_by() -> str:
            takeovers = [record for record in self.records(name) if record.kind in ("started", "taken-over")]
            return (
                f"{takeovers[-1].data.get('holder')} since {takeovers[-1].time}"
                if takeovers
                else "another process, just now"
            )

        with self._asked(f"journal/{name}"):
            return BlobJournal(
                self.service.get_container_client("journal"),
                name,
                clock,
                f"{who()} process {os.getpid()}",
                where=f"{self.address}/journal/{name}",
                held_by=held_by,
                allowed=self._check_locks,
                seconds=self.seconds,
            ).open()

    # inbox

    def inbox(self, run: str, known: Collection[str] = ()) -> list[Received]:
        if time.monotonic() - self._looked.get(run, -INBOX_SECONDS) < INBOX_SECONDS:
            return []
        self._looked[run] = time.monotonic()
        for container, *folder in INBOXES:
            with suppress(CloudError):  # a message can wait; only the journal must be reachable
                # One byte more than a message may have, so that a longer one is noticed.
                prefix = "/".join((*folder, run))
                self._pull(container, prefix, most=INBOX_AT_ONCE, longest=LARGEST_MESSAGE + 1)
        return super().inbox(run, known)

    def _writer(self, _path: Path) -> str:
        return ""  # the service does not say who wrote a blob

    def obeyed(self, path: Path) -> None:
        with suppress(AzureError):
            self.service.get_blob_client(*self._blob(path)).delete_blob()
        super().obeyed(path)

    def set_aside(self, path: Path) -> None:
        super().set_aside(path)
        self.obeyed(path)

    # locks

    def _check_locks(self) -> None:
        if not all(lease.held() for lease in self._held):
            raise LockedError("the lease of a plan's lock is lost, so nothing more is sent", where=self.address)

    @contextmanager
    def _locks(self, wanted: Sequence[tuple[str, str]], holder: str, now: str) -> Iterator[None]:
        held: list[Lease] = []
        try:
            for name, subject in wanted:
                for place in LOCKS:
                    line = f"{holder}, {who()} process {os.getpid()}, since {now}"
                    lease = self._lease(place, name, subject, line)
                    if lease is not None:
                        held.append(lease)
                        self._held.append(lease)
            yield
        finally:
            for lease in held:
                lease.release()
                self._held.remove(lease)

    def _lease(self, place: tuple[str, ...], name: str, subject: str, line: str) -> Lease | None:
        """Take one lock in one place; None in the place of the version before, where this identity may not write any more.

        In ``journal`` blobs can only be appended to: a lock there is an append blob that is created once, and each holder adds a
        line. In ``state`` a lock has the form that the version before knows: a blob with one line.
        """
        container, *folder = place
        blob = self.service.get_blob_client(container, "/".join((*folder, lock_name(subject))))
        lease = Lease(blob, self.seconds)
        try:
            with self._asked(f"lock of {name}"):
                self._make_lock(container, blob)
                taken = lease.acquire()
                if not taken and lease.break_infinite():
                    self.remarks.append(
                        f"the lease on the lock of {name} in {container} had no end, so it was not drkit's; drkit broke it"
                    )
                    taken = lease.acquire()
                if not taken:
                    raise LockedError(
                        f"{name} is held by {_last_line(blob) or 'another process'}",
                        where=subject,
                        remedy=f"wait for that run, or stop its process: the lease ends {self.seconds} s later",
                    )
                if container == "state":
                    blob.upload_blob(f"{line}\n".encode(), overwrite=True, lease=lease.id)
                else:
                    blob.append_block(f"{line}\n".encode(), lease=lease.id)
        except BaseException as error:
            lease.release()
            if isinstance(error, ForbiddenError) and place != LOCKS[0]:
                return None
            raise
        return lease

    def _make_lock(self, container: str, blob: Any) -> None:
        if blob.exists():
            return
        with suppress(ResourceExistsError, ResourceModifiedError):
            try:
                self._new_lock(container, blob)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    self.service.create_container(container)
                self._new_lock(container, blob)

    def _new_lock(self, container: str, blob: Any) -> None:
        if container == "state":
            blob.upload_blob(b"", overwrite=False)
        else:
            blob.create_append_blob(if_none_match="*")

    def taken_remarks(self) -> list[str]:
        remarks, self.remarks = self.remarks, []
        return remarks


def _last_line(blob: Any) -> str:
    """The last holder that a lock names; empty for a new lock."""
    size = blob.get_blob_properties().size
    if not size:
        return ""
    part: bytes = blob.download_blob(offset=max(0, size - 1000), length=min(size, 1000)).readall()
    return part.decode("utf-8", "replace").strip().rpartition("\n")[2].strip()


def _if_match() -> Any:
    from azure.core import MatchConditions

    return MatchConditions.IfNotModified
