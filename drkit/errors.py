"""Every error that drkit raises on purpose.

    DrkitError                        exit code
    ├── UsageError                    64   arguments, or a file that cannot be read as what it should be
    │   └── FileError                 64   names the file and the place in it
    ├── RefusedError                   4   understood, but not done: unsafe, not approved, another cloud
    │   ├── GuardError                 4   a request the pipeline must not send
    │   └── LockedError                4   somebody else holds the run or the plan
    ├── CloudError                     1   Azure, or the way to it, is at fault
    │   ├── CredentialError            1   no token
    │   │   └── NoAuthorityError       1   the authority that issues tokens does not answer
    │   ├── ForbiddenError             1   a token, but no permission
    │   ├── UnreachableError           1   no usable answer: refused, timed out, not JSON, bad certificate
    │   │   └── UnreadableError        1   an answer, but not of the documented shape, or with a URL that leads elsewhere
    │   ├── NotFoundError              1   404 of a code that means "gone"
    │   ├── ConflictError              1   409, 412
    │   ├── ThrottledError             1   429 beyond the retry budget
    │   └── UnknownFateError           1   sent, but it is unknown whether it was carried out
    ├── PartialError                   3   unfinished, can be resumed
    └── IntegrityError                 1   a chain or digest that does not match

``what`` says what happened, ``where`` to which object or place, ``remedy`` what to type or change next. An exit code is what the
command ends with (docs/states.md).
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
    """A file cannot be parsed, breaks its schema or its references, or has a newer version."""


class RefusedError(DrkitError):
    """drkit understands what it is asked to do, and refuses."""

    exit_code = 4


class GuardError(RefusedError):
    """The pipeline was asked to send a request that may not be sent. Nothing was sent."""


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
    """There is no token. ``code``: Entra's, or NO_AUTHORITY when the authority gave no usable answer."""


class NoAuthorityError(CredentialError):
    """There is no token because the authority gave no usable answer; a later request may succeed."""


class ForbiddenError(CloudError):
    """The identity may not do this."""


class UnreachableError(CloudError):
    """No usable answer came: connection refused, timed out, a bad certificate, a body that is not JSON, a 5xx."""


class UnreadableError(UnreachableError):
    """Azure's answer is not of the documented shape, or leads to a place where drkit may not send requests."""


class NotFoundError(CloudError):
    """The object is gone, by a code that means so (never an empty or unknown 404)."""


class ConflictError(CloudError):
    """The state of the object does not allow this (409, 412)."""


class ThrottledError(CloudError):
    """Azure refused with 429 for longer than the retry budget."""


class UnknownFateError(CloudError):
    """The request was sent and no answer came: look at the object before you do anything else."""


class PartialError(DrkitError):
    """The work is unfinished and can be resumed."""

    exit_code = 3


class IntegrityError(DrkitError):
    """A hash chain or digest does not match."""

    exit_code = 1
