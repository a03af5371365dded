"""Every error drkit raises on purpose.

    DrkitError                        exit code
    ├── UsageError                    64   arguments, or a file that cannot be read as what it should be
    │   └── FileError                 64   names the file and the place in it
    ├── RefusedError                   4   readable, but not done: unsafe, not approved, another cloud
    │   ├── GuardError                 4   a request the pipeline must not send
    │   └── LockedError                4   somebody else holds the run or the plan
    ├── CloudError                     1   Azure, or the way to it, is at fault
    │   ├── CredentialError            1   no token
    │   │   └── NoAuthorityError       1   nobody who makes tokens answers
    │   ├── ForbiddenError             1   a token, but no permission
    │   ├── UnreachableError           1   no usable answer: refused, timed out, not JSON, bad certificate
    │   │   └── UnreadableError        1   an answer, but not of the documented shape, or one that leads astray
    │   ├── NotFoundError              1   404 of a code that means "gone"
    │   ├── ConflictError              1   409, 412
    │   ├── ThrottledError             1   429 beyond the retry budget
    │   └── UnknownFateError           1   sent, but nobody knows whether it was carried out
    ├── PartialError                   3   unfinished, can be resumed
    └── IntegrityError                 1   a chain or digest that does not hold

``what`` says what happened, ``where`` to which object or place, ``remedy`` what to type or change next.
"""

from __future__ import annotations


class DrkitError(Exception):
    """Base of all errors raised on purpose. ``exit_code`` is the command's exit status (docs/states.md)."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.remedy})" if self.remedy else text


class UsageError(DrkitError):
    """The arguments, or a file, cannot be used as they are."""

    exit_code = 64


class FileError(UsageError):
    """A file does not parse, breaks its schema or its references, or is of a newer version."""


class RefusedError(DrkitError):
    """Readable, but drkit will not do it."""

    exit_code = 4


class GuardError(RefusedError):
    """The pipeline was asked to send what may not be sent. Nothing left the process."""


class LockedError(RefusedError):
    """Somebody else holds what this command needs."""


class CloudError(DrkitError):
    """Azure, or the way to it, is at fault.

    ``status`` is the HTTP status (0: none), ``code`` Azure's error code (empty: none), ``request_id`` Azure's own.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str = "", remedy: str = "", status: int = 0, code: str = "", request_id: str = ""
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.status = status
        self.code = code
        self.request_id = request_id


NO_AUTHORITY = "AuthorityUnreachable"


class CredentialError(CloudError):
    """No token could be had. ``code`` is Entra's, or NO_AUTHORITY when no usable answer came from where tokens are made."""


class NoAuthorityError(CredentialError):
    """No token could be had because no usable answer came from where tokens are made: a little later one may."""


class ForbiddenError(CloudError):
    """The identity may not do this."""


class UnreachableError(CloudError):
    """No usable answer came: connection refused, timed out, a bad certificate, a body that is not JSON, a 5xx."""


class UnreadableError(UnreachableError):
    """Azure answered, and the answer is not of the documented shape, or leads where nothing may be asked."""


class NotFoundError(CloudError):
    """The object is gone, by a code that means it (never an empty or unknown 404)."""


class ConflictError(CloudError):
    """The object is there in a state that does not allow this (409, 412)."""


class ThrottledError(CloudError):
    """Refused with 429 for longer than the retry budget."""


class UnknownFateError(CloudError):
    """The request left, no answer came back: look before doing anything else."""


class PartialError(DrkitError):
    """Unfinished; can be resumed."""

    exit_code = 3


class IntegrityError(DrkitError):
    """A hash chain or digest does not hold."""

    exit_code = 1
