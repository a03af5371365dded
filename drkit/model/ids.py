"""Azure Resource Manager ids: compared without case, and taken apart by name.

Files, requests and messages hold ids as plain text, in the case in which Azure gave them. ``ArmId`` is what the code compares, sorts
and keys by: the ``key`` properties of ``model.estate`` give it.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any


class ArmId(str):
    """An id that keeps its text and compares, hashes and sorts without case and without a slash at its end.

    ``ArmId("/Subscriptions/S/") == "/subscriptions/s"``. A plain text finds an ``ArmId`` in a dict or set only where it is written
    in lower case, so a text is made an ``ArmId`` before it is looked up. A host that ARM does not know has a plain name instead of
    an id; it is compared in the same way, and has no parts.

    Source: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules ("resource names are
    case-insensitive unless noted").
    """

    __slots__ = ("folded",)
    folded: str

    def __new__(cls, text: str) -> ArmId:
        """The same value again where ``text`` is an ``ArmId`` already."""
        if type(text) is cls:
            return text
        made = super().__new__(cls, text)
        made.folded = text.rstrip("/").lower()
        return made

    def __eq__(self, other: object) -> bool:
        """Whether both are the id of the same thing."""
        return self.folded == _folded(other) if isinstance(other, str) else NotImplemented

    def __ne__(self, other: object) -> bool:
        """Whether they are the ids of two things."""
        return self.folded != _folded(other) if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        """That of the text in lower case."""
        return hash(self.folded)

    def __lt__(self, other: str) -> bool:
        """The order of the texts in lower case."""
        return self.folded < _folded(other)

    def __le__(self, other: str) -> bool:
        """The order of the texts in lower case."""
        return self.folded <= _folded(other)

    def __gt__(self, other: str) -> bool:
        """The order of the texts in lower case."""
        return self.folded > _folded(other)

    def __ge__(self, other: str) -> bool:
        """The order of the texts in lower case."""
        return self.folded >= _folded(other)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and pickled by its text."""
        return (ArmId, (str(self),))

    @property
    def name(self) -> str:
        """The last part: the name of what it is the id of."""
        return self.rstrip("/").rsplit("/", 1)[-1]

    @property
    def parts(self) -> list[str]:
        """What is between its slashes, in its own case."""
        return self.strip("/").split("/")

    def segment(self, name: str) -> str:
        """The part after the part ``name`` (``resourceGroups``, ``virtualMachines``), or an empty text."""
        parts, wanted = self.parts, name.lower()
        return next((after for part, after in pairwise(parts) if part.lower() == wanted), "")

    @property
    def subscription(self) -> str:
        """The subscription's id, or an empty text."""
        return self.segment("subscriptions")

    @property
    def resource_group(self) -> str:
        """The resource group's name, or an empty text."""
        return self.segment("resourceGroups")

    @property
    def group(self) -> ArmId:
        """The id of its resource group: the part before its provider."""
        return ArmId("/" + "/".join(self.parts[:4]))

    @property
    def parent(self) -> ArmId:
        """The id without its last type and name: the resource that holds this one."""
        return ArmId(self.rstrip("/").rsplit("/", 2)[0])

    @property
    def resource_type(self) -> str:
        """The provider and type of a resource in a group, without types below it: ``Microsoft.Compute/virtualMachines``."""
        return "/".join(self.parts[5:7])

    def within(self, scope: str) -> bool:
        """Whether it is ``scope`` itself or something below it."""
        above = _folded(scope)
        return self.folded == above or self.folded.startswith(f"{above}/")


def _folded(text: str) -> str:
    return text.folded if isinstance(text, ArmId) else text.rstrip("/").lower()


def slug(name: str, arm_id: str) -> str:
    """A short, stable, readable handle: the name's letters and digits, and six hexadecimal digits of its id."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()).strip("-")
    return f"{letters[:24] or 'x'}.{hashlib.sha256(_folded(arm_id).encode()).hexdigest()[:6]}"
