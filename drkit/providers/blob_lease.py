"""A lease on a blob, renewed by a thread while it is held: the lock of a store in a storage account.

It always uses real time. A holder stops two thirds of the lease's length after the last renewal; a successor can take the lease
after the whole length. A request that had passed the check has the last third to arrive.
https://learn.microsoft.com/rest/api/storageservices/lease-blob
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobLeaseClient

SECONDS = 60
TAKEN = frozenset({"LeaseAlreadyPresent", "LeaseIdMismatchWithLeaseOperation", "LeaseIsBreakingAndCannotBeAcquired"})


def elapsed() -> float:
    """Seconds on a clock that also runs while this process or the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """One lease. ``blob`` is a BlobClient; ``seconds`` from 15 to 60."""

    def __init__(self, blob: Any, seconds: int = SECONDS) -> None:
        self.blob, self.seconds = blob, seconds
        self._client: Any = None
        self._renewed = 0.0
        self._lost = True
        self._over = threading.Event()

    @property
    def id(self) -> str:
        """The lease id, which a write to the leased blob must carry."""
        return str(self._client.id) if self._client is not None else ""

    def acquire(self) -> bool:
        """Take the lease; False when somebody holds it."""
        at = elapsed()
        try:
            self._client = self.blob.acquire_lease(lease_duration=self.seconds)
        except HttpResponseError as error:
            if error.status_code in (409, 412) and str(getattr(error, "error_code", "")).rpartition(".")[2] in _names(
                TAKEN
            ):
                return False
            raise
        self._renewed, self._lost = at, False
        threading.Thread(target=self._beat, daemon=True, name="lease").start()
        return True

    def break_infinite(self) -> bool:
        """Break somebody's lease that has no end; False where it has one, or where there is no lease.

        drkit's own leases end. A lease without end was taken by hand or by another tool, and would stop every later run.
        """
        lease = self.blob.get_blob_properties().lease
        if lease.state != "leased" or lease.duration != "infinite":
            return False
        BlobLeaseClient(self.blob).break_lease(lease_break_period=0)
        return True

    def renew(self) -> bool:
        """Renew the lease now; False when it is lost, or the account does not answer."""
        at = elapsed()
        try:
            self._client.renew()
        except HttpResponseError as error:
            if error.status_code in (404, 409, 412):
                self._lost = True
            return False
        except AzureError:
            return False
        self._renewed = at
        return True

    def _beat(self) -> None:
        while not self._over.wait(self.seconds / 4) and not self._lost:
            self.renew()

    def held(self) -> bool:
        """Whether the lease is certainly held: not lost, and renewed within two thirds of its length."""
        return not self._lost and elapsed() - self._renewed < self.seconds * 2 / 3

    def release(self) -> None:
        """Give the lease back."""
        self._over.set()
        if self._client is not None and not self._lost:
            self._lost = True
            with contextlib.suppress(AzureError):
                self._client.release()


def _names(codes: frozenset[str]) -> frozenset[str]:
    return codes | {
        "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in code).lstrip("_") for code in codes
    }
