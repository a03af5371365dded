"""How a drill shows what it finds. The drill gives the values; the program that starts it gives a presenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from drkit.api.plan import Planned
from drkit.model.runbook import Runbook
from drkit.planning.explain import Explanation


class DrillPresenter(Protocol):
    """Turns values into lines and files. It decides nothing and writes nothing."""

    def width(self) -> int:
        """Columns of the terminal, 80 where there is none."""

    def table(self, *headers: str, rows: Sequence[Sequence[object]], wide: int, columns: int) -> list[str]:
        """A table; the column of the number ``wide`` gets the room that is left."""

    def plans(self, book: Runbook, columns: int) -> list[str]:
        """A table of the source plans: where each goes, and what happens to its environments."""

    def effects(self, book: Runbook, concurrency: int) -> str:
        """How many steps of each effect, and how long they take with so many at once."""

    def runbook(self, planned: Planned, concurrency: int, columns: int) -> str:
        """A runbook with every step."""

    def event(self, kind: str, step: str, text: str) -> str:
        """One line about a step."""

    def explanation(self, explanation: Explanation, columns: int) -> list[str]:
        """Why a verdict is what it is."""

    def reports(self, report: dict[str, Any]) -> Mapping[str, str]:
        """A run's report as files: the text of each, by the ending of its name. JSON comes last."""

    def json(self, value: Any) -> str:
        """Any value as JSON."""
