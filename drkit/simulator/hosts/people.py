"""People who sign in, and the ``codespaces start`` that waits for them.

A person says they are ready some time after they were first asked, and signs in some time after a code reached them:
when somebody read it off the host's output, or at once where they typed the command themselves. A code is good for
fifteen minutes; then the command line shows a new one, as the device-code flow does. Times are seconds of simulated
time, moments seconds since the epoch.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SIGN_IN_PAGE = "https://microsoft.com/devicelogin"
CODE_LIFE = 15 * 60.0
FIRST_CODE = 2.0  # "Authenticating..." comes first


@dataclass
class Person:
    """An owner, ``{tid}_{oid}``. ``None`` for a time means never."""

    owner: str
    name: str = ""
    ready_after: float | None = 0.0
    signs_in_after: float | None = 60.0
    asked: float | None = None

    def ask(self, now: float) -> bool:
        """Asks whether they are ready; the first question starts their time."""
        if self.asked is None:
            self.asked = now
        return self.ready(now)

    def ready(self, now: float) -> bool:
        return self.asked is not None and self.ready_after is not None and now >= self.asked + self.ready_after


def person_from_seed(entry: Mapping[str, Any]) -> Person:
    """A person of a seed: {owner, name, ready_after, signs_in_after}."""
    return Person(**entry)


def describe(person: Person, world: Any) -> dict[str, Any]:
    """Whether the person, once asked, is ready now, and where they are waiting for a code or have one before them."""
    now = world.now().timestamp()
    jobs = [
        {"host": host.id, "plan": job.plan, "name": job.name, "codes": job.codes(now), "has_code": bool(job.read)}
        for host in world.hosts.values()
        for job in host.jobs()
        if job.person == person.owner and job.waiting
    ]
    times = {"ready_after": person.ready_after, "signs_in_after": person.signs_in_after}
    return {"owner": person.owner, "name": person.name, "ready": person.ready(now), **times, "waiting": jobs}


@dataclass
class Job:
    """One ``codespaces start`` and what its output shows so far."""

    key: str
    user: str
    person: str
    plan: str
    name: str
    workspace: str
    service: bool
    started: float
    typed: bool = False
    read: dict[int, float] = field(default_factory=dict)
    """Code number -> when somebody first read it."""
    appointed: int = 0
    """The code the person means to type."""
    signed_in: float | None = None
    ended: float | None = None
    rc: int | None = None
    already: str | None = None
    error: str | None = None
    environment: str | None = None

    def fail(self, text: str, at: float) -> None:
        """Ends it with ``[!ERROR] text``."""
        self.error, self.ended, self.rc = text, at, 1

    def codes(self, now: float) -> int:
        """How many codes it has shown by then."""
        until = min(t for t in (now, self.signed_in, self.ended) if t is not None)
        shown_for = until - self.started - FIRST_CODE + 0.001  # moments are rounded to microseconds
        return 0 if self.already is not None or shown_for < 0 else 1 + int(shown_for // CODE_LIFE)

    def code(self, now: float) -> str | None:
        """The newest code shown."""
        shown = self.codes(now)
        if not shown:
            return None
        digest = hashlib.sha256(f"{self.key}/{self.started}/{shown}".encode()).digest()
        return base64.b32encode(digest).decode()[:9]

    def look(self, now: float) -> None:
        """Somebody reads the output, and the newest code reaches the person."""
        if self.waiting and (shown := self.codes(now)):
            self.read.setdefault(shown, now)

    @property
    def waiting(self) -> bool:
        """Whether nobody has signed in and it still runs."""
        return self.signed_in is None and self.ended is None

    def sign_in(self, now: float) -> bool:
        """The person types the newest code that reached them; whether it still counts."""
        if not self.waiting or not self.read or max(self.read) != self.codes(now):
            return False
        self.signed_in = now
        return True
