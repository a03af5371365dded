"""Ends a paged list that goes round in a circle, repeats what was read, or does not end."""

from __future__ import annotations

import hashlib
from typing import Any

from drkit.errors import UnreachableError

MOST = 20_000
"""Pages of one list: a fleet of 100,000 machines has 2,000 pages of 50."""
EMPTY = 50
"""Empty pages in a row: a filter may leave a few of them empty."""


class Pages:
    """The pages of one list that were read so far. ``where`` names the list in an error; ``first`` is the link of its first page."""

    def __init__(self, where: str, first: str = "") -> None:
        self._where = where
        self._links = {first}
        self._contents: set[bytes] = set()
        self._empty = 0

    def turn(self, items: list[Any], following: str) -> str:
        """Record a page's items and return ``following``, the link to the next page (empty: this is the last one).

        UnreachableError when the list would not end.
        """
        if not following:
            return ""
        self._empty = 0 if items else self._empty + 1
        content = hashlib.sha256(repr(items).encode("utf-8", "backslashreplace")).digest() if items else b""
        why = ""
        if following in self._links:
            why = "the list goes round in a circle: the link to a page repeats"
        elif content in self._contents:
            why = "the list goes round in a circle: the content of a page repeats"
        elif self._empty >= EMPTY:
            why = f"the list does not end: {EMPTY} empty pages in a row"
        elif len(self._links) >= MOST:
            why = f"the list does not end: it has more than {MOST} pages"
        if why:
            raise UnreachableError(
                why, where=self._where, remedy="repeat the command; what was read so far is not complete"
            )
        self._links.add(following)
        if content:
            self._contents.add(content)
        return following
