"""The plain words for verdicts and plan states: every name has some, and the documentation lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from drkit.model import words
from drkit.model.estate import PlanState
from drkit.planning.transparency import VerdictOutcome

DOCS = Path(__file__).parents[2] / "docs"


def listed(page: str) -> dict[str, str]:
    """Names and plain words in the tables of a page."""
    text = (DOCS / page).read_text("utf-8")
    tables = re.findall(
        r"^\| \w+ \| in plain words \| meaning \|\n\| --- \| --- \| --- \|\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    return dict(re.findall(r"^\| `([\w-]+)` \| (.+?) \|", "".join(tables), re.MULTILINE))


@pytest.mark.parametrize(("table", "names"), [(words.VERDICTS, VerdictOutcome), (words.PLAN_STATES, PlanState)])
def test_every_name_has_words(table: Mapping[str, str], names: object) -> None:
    assert set(table) == set(get_args(names))


def test_the_pages_list_the_same_words() -> None:
    assert listed("states.md") == {**words.PLAN_STATES, **words.VERDICTS}
    assert listed("transparency.md") == words.VERDICTS


def test_a_name_is_shown_beside_its_words() -> None:
    assert words.verdict("re-register") == "re-register: must be registered again"
    assert words.verdict("undetermined", "stopped") == "undetermined (stopped): cannot be decided"
    assert words.verdict("undetermined (stopped)") == "undetermined (stopped): cannot be decided"
    assert words.verdict("no-host") == "no-host"
    assert words.plain("undetermined", "stopped") == "cannot be decided (stopped)"
    assert words.plan_state("gone") == "gone: deleted"
    assert words.plan_state("lost") == "lost"
