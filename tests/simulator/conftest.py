"""One simulator for tests that only look, a fresh one for those that change things."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulator_thread import Running, seed


@pytest.fixture(scope="session", autouse=True)
def impatient() -> Iterator[None]:
    """The SDK takes ``Retry-After`` for real seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drkit.simulator.core.operations.RETRY_AFTER", 1)
        yield


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Shared by the tests of a module."""
    running = Running(tmp_path_factory.mktemp("azure"), seed())
    yield running
    running.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Makes simulators of a test's own, from the test seed with changes; ``speed`` as ``Running`` takes it."""
    made: list[Running] = []

    def make(speed: float = 60.0, **changes: Any) -> Running:
        made.append(Running(tmp_path / str(len(made)), seed(**changes), speed=speed))
        return made[-1]

    yield make
    for running in made:
        running.stop()
