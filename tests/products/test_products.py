"""Products behind one Protocol: nothing else knows any of them by name, and a third one is its own files and one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drkit.model.settings import Settings
from drkit.products import actors, registry, tables
from drkit.products.base import StepFailedError
from drkit.products.handlers import ActionHandler, ByAction
from tests.model.test_runbook import a_step

DRKIT = Path(__file__).parents[2] / "drkit"
# The folder of a product, and the words by which other modules would know it.
OWN = {
    "codespaces": ("codespaces", re.compile(r"codespaces|vsonline", re.IGNORECASE)),
    "hybrid-worker": (
        "hybrid_worker",
        re.compile(r"hybrid.?worker|automationaccount|microsoft\W*automation", re.IGNORECASE),
    ),
}
REGISTRY = DRKIT / "products" / "__init__.py"


def others(prefix: str) -> list[Path]:
    """The modules of drkit without the simulator, the registry, and the folder of one product."""
    found = [path for path in sorted(DRKIT.rglob("*.py")) if "simulator" not in path.parts]
    return [path for path in found if path != REGISTRY and prefix not in path.relative_to(DRKIT).parts]


@pytest.mark.parametrize("product", sorted(OWN))
def test_no_module_but_its_own_knows_a_product(product: str) -> None:
    prefix, words = OWN[product]
    told = [
        f"{path.relative_to(DRKIT)}:{number}: {line.strip()}"
        for path in others(prefix)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert told == []


def test_nothing_asks_which_product_it_is() -> None:
    asks = re.compile(r"product(\.name)?\s*(==|!=|in)\s*[\"'(]\s*[\"']?[a-z]")
    told = [
        f"{path.relative_to(DRKIT)}: {line.strip()}"
        for path in others("no product")
        for line in path.read_text("utf-8").splitlines()
        if asks.search(line)
    ]
    assert told == []


def test_the_registry_has_one_line_a_product() -> None:
    lines = REGISTRY.read_text("utf-8")
    for product in OWN:
        assert lines.count(f'    ("{OWN[product][0]}", ') == 1
    assert set(registry()) == set(OWN) == set(tables())
    assert set(actors()) == {"azure", *OWN}


@pytest.mark.parametrize("product", sorted(OWN))
def test_every_default_of_a_products_table_holds(product: str) -> None:
    assert Settings().product(product, registry()[product].table) == registry()[product].table()


def test_every_row_of_a_table_has_a_handler_and_every_handler_a_row() -> None:
    for name, actor in actors().items():
        assert isinstance(actor, ByAction)
        assert sorted(actor.handlers) == sorted(actor.actions), name


@pytest.mark.parametrize("name", sorted(actors()))
def test_a_handler_has_the_methods_that_its_row_asks_of_it(name: str) -> None:
    actor = actors()[name]
    assert isinstance(actor, ByAction)
    for action, row in actor.actions.items():
        kind = type(actor.handlers[action])
        own = {method for method in ("act", "verify") if getattr(kind, method) is not getattr(ActionHandler, method)}
        assert own == (set() if row.effect == "ask" else {"verify"} if row.verifies else {"act"}), action


async def test_a_handler_without_the_method_that_is_asked_for_fails_its_step() -> None:
    handler, step = ActionHandler(), a_step()
    for outcome in (handler.act(step, None), handler.poll(step, None, None), handler.verify(step, None)):  # type: ignore[arg-type]
        with pytest.raises(StepFailedError, match="the action create of p has no `"):
            await outcome
