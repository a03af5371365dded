"""The processes that tests fork have nothing left to import: each import would be repeated in every one of them."""

from __future__ import annotations

import pkgutil

import drkit
from tests.support import forked
from tests.support.patience import PATIENCE


def test_a_forked_command_begins_with_all_of_drkit_imported() -> None:
    modules = {module.name for module in pkgutil.walk_packages(drkit.__path__, "drkit.")} - {"drkit.__main__"}
    assert "drkit.products.codespaces.act" in modules
    # A function of this module would import it, and what it imports.
    count_missing = f"import sys; sys.exit(len({modules!r} - sys.modules.keys()))"
    process = forked.server().Process(target=exec, args=(count_missing,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
