"""How a drill looks in a terminal, and in the files it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from drkit.api.plan import Planned
from drkit.cli.views import explain, html, json, junit, markdown, terminal
from drkit.model.runbook import Runbook
from drkit.planning.explain import Explanation


class TerminalDrillPresenter:
    """``drkit.drills.presenter.DrillPresenter``, as the other commands show the same things."""

    def width(self) -> int:
        return terminal.width()

    def table(self, *headers: str, rows: Sequence[Sequence[object]], wide: int, columns: int) -> list[str]:
        return _bare(terminal.table(*headers, rows=rows, ratios={wide: 1}), columns)

    def plans(self, book: Runbook, columns: int) -> list[str]:
        return _bare(terminal.plan_table(book), columns)

    def effects(self, book: Runbook, concurrency: int) -> str:
        return terminal.effects_line(book, concurrency)

    def runbook(self, planned: Planned, concurrency: int, columns: int) -> str:
        parts = terminal.show(
            planned.runbook, planned.digest, str(planned.path), planned.described_steps, concurrency=concurrency
        )
        return terminal.render(*parts, columns=columns)

    def event(self, kind: str, step: str, text: str) -> str:
        return terminal.event(kind, step, text)

    def explanation(self, explanation: Explanation, columns: int) -> list[str]:
        return explain.lines(explanation, columns)

    def reports(self, report: dict[str, Any]) -> Mapping[str, str]:
        return {
            ".md": markdown.report(report),
            ".html": html.report(report),
            ".xml": junit.report(report),
            ".json": json.encode(report),
        }

    def json(self, value: Any) -> str:
        return json.encode(value)


def _bare(table: Table, columns: int) -> list[str]:
    """The lines of a table without a rule under its head."""
    table.box = None
    return terminal.render(table, columns=columns).splitlines()
