"""The tests mirror the packages: a test file is named after the module that it tests, in a folder named after its package."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
OTHER_FOLDERS = {"scenarios": "whole outages", "project": "the repository itself"}
ASPECTS = {
    "api/test_library.py": "what `import drkit` offers",
    "cli/test_bad_input.py": "every command, given bad input",
    "cli/test_errors.py": "every command, when it fails",
    "cli/test_every_command.py": "the list of commands that other tests go through",
    "cli/test_examples.py": "the examples in the help of every command",
    "cli/test_forecast.py": "what several commands print",
    "cli/test_help.py": "the help of every command",
    "providers/test_bounded_waits.py": "every wait that an answer of Azure asks for",
    "simulator/test_published_shapes.py": "bodies of several services, compared with those that Azure published",
    "simulator/test_sample_estate.py": "all modules of drkit/simulator/samples/ that make the estate",
    "simulator/test_signal_shapes.py": "bodies of the signals, compared with those that Azure published",
    "survey/test_sources.py": "the published bodies of every source",
}
"""Test files of what several modules of a package do."""

FILES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py"))


def modules(package: Path) -> set[str]:
    """Names that a test file of this package may have: its modules, and itself."""
    simulator = ROOT / "drkit/simulator"
    paths = simulator.rglob("*") if package == simulator else package.iterdir()
    return {package.name, *(path.stem for path in paths if path.suffix == ".py" or path.is_dir())}


def named_after(name: str, module: str) -> bool:
    """Whether the file is of the module, or of an aspect of it: ``test_MODULE.py``, ``test_MODULE_ASPECT.py``."""
    return name.removeprefix("test_") == module or name.startswith(f"test_{module}_")


@pytest.mark.parametrize("file", [name for name in FILES if name.partition("/")[0] not in OTHER_FOLDERS])
def test_a_test_file_is_named_after_a_module_of_its_package(file: str) -> None:
    package = (ROOT / "drkit" / file).parent
    assert package.is_dir(), f"there is no package {package.relative_to(ROOT)}"
    named = any(named_after(Path(file).stem, module) for module in modules(package))
    assert named != (file in ASPECTS), f"name tests/{file} after a module of {package.relative_to(ROOT)}"


def test_every_listed_aspect_and_folder_exists() -> None:
    assert [name for name in ASPECTS if not (TESTS / name).is_file()] == []
    assert [name for name in OTHER_FOLDERS if not (TESTS / name).is_dir()] == []


@pytest.mark.parametrize("package", sorted(path.parent.name for path in (ROOT / "drkit").glob("*/__init__.py")))
def test_every_package_has_tests(package: str) -> None:
    assert any(name.startswith(f"{package}/") for name in FILES)
