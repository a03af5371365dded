"""The program ``drkit`` for the scripts of pages and pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import drkit_program


@pytest.fixture(scope="session")
def drkit_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for PATH, with a ``drkit`` that begins at once."""
    with drkit_program.installed(tmp_path_factory.mktemp("bin")) as folder:
        yield folder
